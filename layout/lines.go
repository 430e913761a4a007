package layout

import (
	"fmt"
	"slices"
	"strings"
)

// Line is one span as `isomerfs layout` shows it.
type Line struct {
	Off       int64  `json:"off"`
	Size      int64  `json:"size"`
	Kind      string `json:"kind"`       // literal zeros extent box coded materialized fold
	Source    any    `json:"source"`     // path of the stored file the bytes begin in, null where none
	SourceOff any    `json:"source_off"` // byte offset there
	Op        any    `json:"op"`         // the computation
	Label     string `json:"label,omitempty"`
	Whole     bool   `json:"whole,omitempty"` // a Fold lies behind it: any of its bytes needs all of what that is over
}

// Lines lists the file's spans.
func (f *File) Lines() []Line {
	lines := make([]Line, 0, len(f.spans))
	var off int64
	for _, s := range f.spans {
		l := s.line()
		l.Off, l.Size = off, s.Size()
		l.Whole = folds(s)
		off += l.Size
		lines = append(lines, l)
	}
	return lines
}

// String is a line for each span: offset, size, kind, computation, where the input begins, label.
func (f *File) String() string {
	var b strings.Builder
	for _, l := range f.Lines() {
		b.WriteString(l.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String is the line as text.
func (l Line) String() string {
	text := fmt.Sprintf("%12d %12d %s", l.Off, l.Size, l.Kind)
	if l.Op != nil {
		text += fmt.Sprintf(" %v", l.Op)
	}
	if l.Source != nil {
		text += fmt.Sprintf(" %v@%v", l.Source, l.SourceOff)
	}
	if l.Label != "" {
		text += fmt.Sprintf(" %q", l.Label)
	}
	if l.Whole {
		text += " whole"
	}
	return text
}

// folds reports whether a span is a Fold, or is made of a file that has one.
func folds(s Span) bool {
	if _, ok := s.(Fold); ok {
		return true
	}
	for _, in := range inputs(s) {
		if slices.ContainsFunc(in.runs, folds) {
			return true
		}
	}
	return false
}

func (s Literal) line() Line { return Line{Kind: "literal"} }
func (s Zeros) line() Line   { return Line{Kind: "zeros"} }
func (s Extent) line() Line {
	return Line{Kind: "extent", Source: s.Source.String(), SourceOff: s.Off}
}

func (s Box) line() Line {
	l := Line{Kind: "box", Op: fmt.Sprintf("shape %v strides %v of %d bytes", s.Shape, s.Strides, s.Elem)}
	l.begin(s.In, s.Off)
	return l
}

func (s Coded) line() Line {
	l := Line{Kind: "coded", Op: s.Op.String(), Label: s.Label}
	for _, in := range s.In {
		if l.Source == nil {
			l.begin(in, 0)
		}
	}
	return l
}

func (s Materialized) line() Line {
	l := Line{Kind: "materialized", Op: s.Name}
	if len(s.In) > 0 {
		l.begin(s.In[0], 0)
	}
	return l
}

// begin tells where byte off of an input comes from.
func (l *Line) begin(in *File, off int64) {
	if off >= in.Size() {
		return
	}
	i := in.find(off)
	off -= in.ends[i] - in.runs[i].Size()
	switch r := in.runs[i].(type) {
	case Extent:
		l.Source, l.SourceOff = r.Source.String(), r.Off+off
	case Box, Coded, Materialized, Fold:
		inner := r.line()
		l.Source, l.SourceOff = inner.Source, inner.SourceOff
	}
}
