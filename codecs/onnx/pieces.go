package onnx

import (
	"github.com/isomerfs/isomerfs/layout"
	"google.golang.org/protobuf/encoding/protowire"
)

// piece is a run of a file that is being written: stored bytes of a text, new ones, or a tensor's.
type piece struct {
	t        *text // of the stored bytes off to end; else nil
	off, end int64
	lit      []byte
	file     *layout.File
}

// pieces is a file, or a message, that is being written.
type pieces struct {
	list []piece
	size int64
}

// stored appends bytes as they were stored.
func (p *pieces) stored(t *text, off, end int64) {
	if off >= end {
		return
	}
	p.size += end - off
	if last := len(p.list) - 1; last >= 0 && p.list[last].t == t && p.list[last].end == off {
		p.list[last].end = end
		return
	}
	p.list = append(p.list, piece{t: t, off: off, end: end})
}

// write appends new bytes, which it does not keep.
func (p *pieces) write(b []byte) {
	if len(b) == 0 {
		return
	}
	p.size += int64(len(b))
	if last := len(p.list) - 1; last >= 0 && p.list[last].lit != nil {
		p.list[last].lit = append(p.list[last].lit, b...)
		return
	}
	p.list = append(p.list, piece{lit: append([]byte(nil), b...)})
}

func (p *pieces) file(f *layout.File) {
	if f.Size() > 0 {
		p.size += f.Size()
		p.list = append(p.list, piece{file: f})
	}
}

func (p *pieces) pieces(q pieces) {
	for _, x := range q.list {
		switch {
		case x.t != nil:
			p.stored(x.t, x.off, x.end)
		case x.file != nil:
			p.file(x.file)
		default:
			p.write(x.lit)
		}
	}
}

// is reports whether the pieces are the bytes off to end of a text, and nothing else.
func (p *pieces) is(t *text, off, end int64) bool {
	if len(p.list) == 0 {
		return off == end
	}
	x := &p.list[0]
	return len(p.list) == 1 && x.t == t && x.off == off && x.end == end
}

// layout is the file. What is small is bytes of the plan, so that reading the structure of a file never goes back to
// the stored one.
func (p *pieces) layout() (*layout.File, error) {
	var spans []layout.Span
	var buf []byte
	add := func(list []layout.Span) {
		for _, s := range list {
			if lit, ok := s.(layout.Literal); ok {
				buf = append(buf, lit...)
				continue
			}
			if len(buf) > 0 {
				spans = append(spans, layout.Literal(buf))
				buf = nil
			}
			spans = append(spans, s)
		}
	}
	for i := range p.list {
		switch x := &p.list[i]; {
		case x.t != nil:
			add(x.t.spans(nil, x.off, x.end))
		case x.file != nil:
			add(x.file.Spans())
		default:
			buf = append(buf, x.lit...)
		}
	}
	if len(buf) > 0 {
		spans = append(spans, layout.Literal(buf))
	}
	return layout.New(spans...)
}

// The fields of a message, as protobuf writes them.

func (p *pieces) number(num protowire.Number, v uint64) {
	p.write(protowire.AppendVarint(protowire.AppendTag(nil, num, vint), v))
}

func (p *pieces) fixed32(num protowire.Number, v uint32) {
	p.write(protowire.AppendFixed32(protowire.AppendTag(nil, num, f32), v))
}

func (p *pieces) string(num protowire.Number, s string) {
	p.write(protowire.AppendString(protowire.AppendTag(nil, num, bytes), s))
}

// begin is a field of bytes up to its content of n bytes.
func (p *pieces) begin(num protowire.Number, n int64) {
	p.write(protowire.AppendVarint(protowire.AppendTag(nil, num, bytes), uint64(n)))
}

func (p *pieces) message(num protowire.Number, content pieces) {
	p.begin(num, content.size)
	p.pieces(content)
}
