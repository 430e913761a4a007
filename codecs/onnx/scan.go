package onnx

import (
	"context"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxDepth is how deep messages may lie in one another. C++ protobuf stops at 100, Go's at 10,000; a subgraph is
	// four levels below the graph it stands in.
	maxDepth = 128

	// maxText is the most structure, in bytes, that is held: everything of a file but tensors and what is not known.
	// The largest that were seen are of some 20 MB.
	maxText = 256 << 20

	// heavySize is the size from which on the contents of a field that may be large are left where they are. What is
	// smaller comes along with the structure around it in one read.
	heavySize = 512

	page      = 4 << 10  // read after a leap
	maxWindow = 64 << 10 // read where one part follows another
)

// scanner walks the wire format of a file and keeps its text.
type scanner struct {
	ctx  context.Context
	src  layout.Source
	size int64
	text strings.Builder
	cuts []cut

	win  []byte // the bytes of the file from base on
	base int64
	next int64 // how many to read the next time, if that is just behind
	buf  []byte
}

// scan reads the structure of a file: everything is checked that can be without knowing what it means. The bytes of
// tensors are leapt over.
func scan(ctx context.Context, src layout.Source) (*text, error) {
	s := &scanner{ctx: ctx, src: src, size: src.Size()}
	if s.size == 0 {
		return nil, fault.At(fault.Malformed, 0, "the file has 0 bytes")
	}
	if err := s.message(modelMessage, 0, s.size, 0); err != nil {
		return nil, err
	}
	t := &text{src: src, size: s.size, s: s.text.String(), cuts: s.cuts}
	t.index()
	return t, nil
}

// message walks the bytes off to end as a message.
func (s *scanner) message(m message, off, end int64, depth int) error {
	if depth > maxDepth {
		return fault.At(fault.Limit, off, "messages lie more than %d deep in one another", maxDepth)
	}
	rules := schema[m]
	var seen uint64 // by field number, of those that may stand once; none is above 63
	for off < end {
		start := off
		tag, off2, err := s.varint(off, end)
		if err != nil {
			return err
		}
		off = off2
		num, typ := protowire.Number(tag>>3), protowire.Type(tag&7)
		if tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
			return fault.At(fault.Malformed, start, "field number %d in a %s", tag>>3, m)
		}
		r, known := rules[num]
		if known && typ != r.typ && !(r.shape == packed && typ == bytes) {
			return fault.At(fault.Malformed, start, "%s of a %s has wire type %d, and %d is right", r.name, m, typ, r.typ)
		}
		if known && r.shape == one {
			once := uint64(1) << num
			if seen&once != 0 {
				return fault.At(fault.Duplicate, start, "%s is given twice in a %s", r.name, m)
			}
			if group := oneOf[m]; group&once != 0 && seen&group != 0 {
				return fault.At(fault.Duplicate, start, "a %s holds %s beside another of which it holds one", m, r.name)
			}
			seen |= once
		}
		switch typ {
		case vint:
			if _, off, err = s.varint(off, end); err != nil {
				return err
			}
		case f32, f64:
			n := int64(4)
			if typ == f64 {
				n = 8
			}
			if n > end-off {
				return fault.At(fault.Truncated, start, "a value of %d bytes, and %d are left", n, end-off)
			}
			if err := s.keep(off, off+n); err != nil {
				return err
			}
			off += n
		case bytes:
			n, off2, err := s.varint(off, end)
			if err != nil {
				return err
			}
			off = off2
			if n > uint64(end-off) {
				return fault.At(fault.Truncated, start, "%s of %d bytes, and %d are left in the %s", fieldName(r, num), n, end-off, m)
			}
			if err := s.content(m, r, known, off, off+int64(n), depth); err != nil {
				return err
			}
			off += int64(n)
		default:
			return fault.At(fault.Malformed, start, "wire type %d in a %s: groups and what is reserved are no part of ONNX", typ, m)
		}
	}
	return nil
}

func fieldName(r rule, num protowire.Number) string {
	if r.name != "" {
		return r.name
	}
	return "field " + itoa(int64(num))
}

// content walks what a field of bytes holds.
func (s *scanner) content(m message, r rule, known bool, off, end int64, depth int) error {
	switch {
	case known && r.in != opaqueMessage:
		return s.message(r.in, off, end, depth+1)
	case (!known || r.heavy) && end-off >= heavySize:
		s.cuts = append(s.cuts, cut{off: off, n: end - off, at: s.text.Len()})
		return nil
	}
	at := s.text.Len()
	if err := s.keep(off, end); err != nil {
		return err
	}
	switch got := s.text.String()[at:]; {
	case r.text && !utf8.ValidString(got):
		return fault.At(fault.Malformed, off, "%s of a %s is not UTF-8", r.name, m)
	case r.shape == packed && r.typ != bytes:
		if _, err := count(got, r.typ); err != nil {
			return fault.At(fault.Malformed, off, "%s of a %s: %s", r.name, m, fault.Reason(err))
		}
	}
	return nil
}

// varint reads a number of at most 10 bytes that ends before end.
func (s *scanner) varint(off, end int64) (uint64, int64, error) {
	want := min(end-off, protowireMax)
	p, err := s.bytes(off, want)
	if err != nil {
		return 0, 0, err
	}
	v, n := protowire.ConsumeVarint(p)
	if n < 0 {
		if want < protowireMax {
			return 0, 0, fault.At(fault.Truncated, off, "a number that does not end within its message of %d bytes more", want)
		}
		return 0, 0, fault.At(fault.Malformed, off, "a number of more than 64 bits")
	}
	if err := s.keep(off, off+int64(n)); err != nil {
		return 0, 0, err
	}
	return v, off + int64(n), nil
}

// protowireMax is the longest number in bytes.
const protowireMax = 10

// keep adds the bytes off to end of the file to the text.
func (s *scanner) keep(off, end int64) error {
	if int64(s.text.Len())+end-off > maxText {
		return fault.At(fault.Limit, off, "more than %d bytes beside the tensors' own", maxText)
	}
	for off < end {
		p, err := s.bytes(off, min(end-off, maxWindow))
		if err != nil {
			return err
		}
		s.text.Write(p)
		off += int64(len(p))
	}
	return nil
}

// bytes are n bytes of the file, at most maxWindow, until the next call.
func (s *scanner) bytes(off, n int64) ([]byte, error) {
	have := s.base + int64(len(s.win))
	if off >= s.base && off+n <= have {
		return s.win[off-s.base:][:n], nil
	}
	rest := 0 // of the window that is wanted again
	if off >= s.base && off <= have {
		rest = copy(s.win, s.win[off-s.base:])
		s.next = min(2*s.next, maxWindow)
	} else {
		s.next = page
	}
	s.next = max(s.next, page)
	want := min(max(n, s.next), s.size-off)
	if int64(cap(s.win)) < want {
		s.buf = make([]byte, max(want, 2*int64(cap(s.win))))
		copy(s.buf, s.win[:rest])
		s.win = s.buf
	}
	s.win, s.base = s.win[:want], off
	for got := rest; got < len(s.win); {
		m, err := s.src.ReadAt(s.ctx, s.win[got:], off+int64(got))
		got += m
		if got == len(s.win) {
			break
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		if m <= 0 {
			return nil, fault.At(fault.Changed, off, "the file ended where it had %d bytes", s.size)
		}
	}
	return s.win[:n], nil
}
