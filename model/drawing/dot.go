package drawing

import (
	"bytes"
	"fmt"
	"strings"
)

// Dot is the drawing in the language of Graphviz: `dot -Tpdf graph.dot`.
func (d *Drawing) Dot() []byte {
	var b bytes.Buffer
	b.WriteString("digraph model {\n  graph [rankdir=TB, fontname=\"Helvetica\", fontsize=11")
	if d.left {
		fmt.Fprintf(&b, ", label=%s", dotText(tooMany))
	}
	b.WriteString("];\n  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=9, arrowsize=0.6];\n")
	clusters := 0
	for _, p := range d.plates {
		d.dotPlate(&b, p, "  ", &clusters)
	}
	for _, l := range d.lines {
		fmt.Fprintf(&b, "  n%d -> n%d [", l.from.number, l.to.number)
		if l.kind != "" {
			fmt.Fprintf(&b, "label=%s, ", dotText(l.kind))
		}
		fmt.Fprintf(&b, "tooltip=%s];\n", dotText(l.value))
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// tooMany says that a drawing is not whole.
const tooMany = "Some lines are left out: there are too many."

func (d *Drawing) dotPlate(b *bytes.Buffer, p *plate, indent string, clusters *int) {
	fmt.Fprintf(b, "%ssubgraph cluster_%d {\n%s  label=%s;\n", indent, *clusters, indent, dotText(p.title))
	*clusters++
	for _, x := range p.boxes {
		if len(x.inner) == 0 {
			dotBox(b, x, indent+"  ")
			continue
		}
		fmt.Fprintf(b, "%s  subgraph cluster_%d {\n%s    label=%s;\n", indent, *clusters, indent, dotText(x.text[0]))
		*clusters++
		if x.class != block { // a block is its frame alone
			dotBox(b, x, indent+"    ")
		}
		for _, inner := range x.inner {
			d.dotPlate(b, inner, indent+"    ", clusters)
		}
		fmt.Fprintf(b, "%s  }\n", indent)
	}
	fmt.Fprintf(b, "%s}\n", indent)
}

func dotBox(b *bytes.Buffer, x *box, indent string) {
	lines := make([]string, len(x.text))
	for i, s := range x.text {
		lines[i] = dotEscape(s)
	}
	fmt.Fprintf(b, "%sn%d [label=\"%s\", fillcolor=\"%s\"", indent, x.number, strings.Join(lines, `\n`), colours[x.class])
	if x.class == port {
		b.WriteString(", shape=ellipse")
	}
	if x.class == outer {
		b.WriteString(`, style="rounded,dashed"`)
	}
	if x.tip != "" {
		fmt.Fprintf(b, ", tooltip=%s", dotText(x.tip))
	}
	b.WriteString("];\n")
}

// dotText is a quoted string.
func dotText(s string) string { return `"` + dotEscape(s) + `"` }

// dotEscape is text within quotes: a backslash begins an escape of Graphviz's own there, and & an entity of HTML.
func dotEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;").Replace(s)
}
