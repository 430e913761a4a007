package graph

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/model"
)

// Print is a graph as text, a line for each value, tensor and node, in their order.
func Print(g *model.Graph) string {
	var p printer
	var opsets []string
	for _, o := range g.Opsets {
		domain := o.Domain
		if model.Standard(domain) {
			domain = "ai.onnx"
		}
		opsets = append(opsets, fmt.Sprintf("%s %d", domain, o.Version))
	}
	p.line(0, "ir %d, %s", g.IRVersion, strings.Join(opsets, ", "))
	if g.Main != nil {
		p.block(0, g.Main)
	}
	for _, f := range g.Functions {
		p.line(0, "function %s.%s(%s) -> (%s)", f.Domain, f.Name, strings.Join(f.Inputs, ", "), strings.Join(f.Outputs, ", "))
		for _, n := range f.Nodes {
			p.node(1, n)
		}
	}
	return p.String()
}

type printer struct{ strings.Builder }

func (p *printer) line(depth int, format string, args ...any) {
	p.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

func (p *printer) block(depth int, b *model.Body) {
	for _, v := range b.Inputs {
		p.line(depth, "input %s: %s", v.Name, v.Type.String())
	}
	for _, c := range b.Initializers {
		p.line(depth, "tensor %s", tensorText(c))
	}
	for _, s := range b.Sparse {
		p.line(depth, "sparse %s of %v", tensorText(s.Values), s.Shape)
	}
	for _, n := range b.Nodes {
		p.node(depth, n)
	}
	for _, v := range b.Values {
		p.line(depth, "value %s: %s", v.Name, v.Type.String())
	}
	for _, v := range b.Outputs {
		p.line(depth, "output %s: %s", v.Name, v.Type.String())
	}
}

func (p *printer) node(depth int, n *model.Node) {
	op := n.Op
	if !model.Standard(n.Domain) {
		op = n.Domain + "." + op
	}
	var attributes []string
	for _, a := range n.Attributes {
		switch v := a.Value.(type) {
		case *model.Body, []*model.Body:
		case *model.Constant:
			attributes = append(attributes, a.Name+"="+tensorText(v))
		case string:
			attributes = append(attributes, a.Name+"="+strconv.Quote(v))
		default:
			if a.Ref != "" {
				attributes = append(attributes, a.Name+"=@"+a.Ref)
			} else {
				attributes = append(attributes, fmt.Sprintf("%s=%v", a.Name, v))
			}
		}
	}
	text := ""
	if len(attributes) > 0 {
		text = " {" + strings.Join(attributes, ", ") + "}"
	}
	p.line(depth, "%s = %s(%s)%s", strings.Join(n.Outputs, ", "), op, strings.Join(n.Inputs, ", "), text)
	for _, a := range n.Attributes {
		for _, b := range a.Bodies() {
			p.line(depth+1, "%s:", a.Name)
			p.block(depth+2, b)
		}
	}
}

func tensorText(c *model.Constant) string {
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s: %s%v", c.Name, c.DType, c.Shape)
}

// quoted is a name from a file, for a message: quoted, and cut where it is long.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
