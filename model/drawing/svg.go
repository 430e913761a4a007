package drawing

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// SVG is the drawing as an image. It has no scripts and asks for nothing outside itself.
func (d *Drawing) SVG() []byte {
	edges := d.edges()
	var sheets []*sheet
	w, h := 0, margin
	for _, p := range d.plates {
		s := place(p, edges)
		s.x, s.y = margin, h
		sheets = append(sheets, s)
		w, h = max(w, s.w+2*margin), h+s.h+margin
	}
	foot := 0
	if d.left {
		foot = rowHeight + margin
		w = max(w, textWidth(tooMany)+2*margin)
	}
	h += foot
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="Helvetica, Arial, sans-serif" font-size="10">`+"\n", w, h, w, h)
	b.WriteString(`<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#777;stroke:none"/></marker></defs>` + "\n")
	b.WriteString("<style>rect{stroke:#777}path{fill:none;stroke:#888}.k{fill:#555;font-size:9px;paint-order:stroke;stroke:#fff;stroke-width:3px}.t{font-weight:bold}text{text-anchor:middle}.f{text-anchor:start}.d{stroke-dasharray:4 3}.p{fill:#fff;fill-opacity:.7;stroke:#ccc}")
	for c, colour := range colours {
		fmt.Fprintf(&b, ".c%d{fill:%s}", c, colour)
	}
	fmt.Fprintf(&b, "</style>\n<rect width=\"%d\" height=\"%d\" style=\"fill:#fff;stroke:none\"/>\n", w, h)
	for _, s := range sheets {
		s.write(&b)
	}
	if d.left {
		fmt.Fprintf(&b, "<text class=\"f\" x=\"%d\" y=\"%d\">%s</text>\n", margin, h-margin, tooMany)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// edges are the lines between the boxes of each plate: a line that leads into another plate counts for the boxes that
// hold its ends on the plate around both.
func (d *Drawing) edges() map[*plate][]edge {
	at := map[*box]int{}
	var number func(p *plate)
	number = func(p *plate) {
		for i, b := range p.boxes {
			at[b] = i
			for _, inner := range b.inner {
				number(inner)
			}
		}
	}
	for _, p := range d.plates {
		number(p)
	}
	depth := func(p *plate) int {
		n := 0
		for ; p.in != nil; p = p.in.of {
			n++
		}
		return n
	}
	type key struct {
		from, to *box
		value    string
	}
	seen := map[key]bool{}
	list := map[*plate][]edge{}
	for _, l := range d.lines {
		from, to := l.from, l.to
		for i, j := depth(from.of), depth(to.of); from.of != to.of; {
			if i >= j {
				from = from.of.in
				i--
			} else {
				to = to.of.in
				j--
			}
			if from == nil || to == nil {
				break
			}
		}
		if from == nil || to == nil || from == to || seen[key{from, to, l.value}] {
			continue
		}
		seen[key{from, to, l.value}] = true
		list[from.of] = append(list[from.of], edge{at[from], at[to], l.value, l.kind})
	}
	return list
}

// write is the sheet as a group at its place.
func (s *sheet) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<g transform=\"translate(%d,%d)\">\n<rect width=\"%d\" height=\"%d\" rx=\"4\" class=\"p\"/>\n", s.x, s.y, s.w, s.h)
	if s.plate.title != "" {
		fmt.Fprintf(b, "<text class=\"f\" x=\"%d\" y=\"%d\">%s</text>\n", margin, margin+rowHeight-4, escaped(s.plate.title))
	}
	for _, x := range s.strands {
		from, to := s.things[x.from], s.things[x.to]
		y0, y1 := from.y+from.h, to.y
		end := ""
		if x.last {
			end = ` marker-end="url(#to)"`
		}
		path := fmt.Sprintf("M%d %d", x.fromX, y0)
		if bottom := s.top[from.layer] + s.high[from.layer]; bottom > y0 { // beside a higher box straight down
			path += fmt.Sprintf("V%d", bottom)
			y0 = bottom
		}
		if x.fromX == x.toX {
			path += fmt.Sprintf("V%d", y1)
		} else {
			path += fmt.Sprintf("C%d %d %d %d %d %d", x.fromX, (y0+y1)/2, x.toX, (y0+y1)/2, x.toX, y1)
		}
		fmt.Fprintf(b, "<path d=\"%s\"%s><title>%s</title></path>\n", path, end, escaped(x.value))
	}
	for _, t := range s.things {
		if t.box == nil {
			continue
		}
		for _, p := range t.ports {
			if p.kind != "" {
				fmt.Fprintf(b, "<text class=\"k\" x=\"%d\" y=\"%d\">%s</text>\n", t.x+p.x, t.y+t.h+11, escaped(p.kind))
			}
		}
		t.write(b)
	}
	b.WriteString("</g>\n")
}

func (t *placed) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<g transform=\"translate(%d,%d)\">", t.x-t.w/2, t.y)
	if t.box.tip != "" {
		fmt.Fprintf(b, "<title>%s</title>", escaped(t.box.tip))
	}
	radius, class := 4, fmt.Sprintf("c%d", t.box.class)
	switch t.box.class {
	case port:
		radius = 12
	case outer:
		class += " d"
	}
	fmt.Fprintf(b, "<rect class=\"%s\" width=\"%d\" height=\"%d\" rx=\"%d\"/>", class, t.w, t.h, radius)
	for i, line := range t.text {
		bold := ""
		if i == 0 {
			bold = ` class="t"`
		}
		fmt.Fprintf(b, "<text%s x=\"%d\" y=\"%d\">%s</text>", bold, t.w/2, textPad/2+rowHeight*(i+1)-3, escaped(line))
	}
	b.WriteString("\n")
	for _, in := range t.inner {
		in.write(b)
	}
	b.WriteString("</g>\n")
}

// escaped is text within an element.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
