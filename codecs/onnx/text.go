package onnx

import (
	"math"
	"sort"
	"strconv"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"google.golang.org/protobuf/encoding/protowire"
)

// text is the bytes of a file but for large fields that are no structure: those are cut out and known by their place.
// Offsets are those of the file.
type text struct {
	src  layout.Source
	size int64
	s    string
	cuts []cut

	gone []int64 // gone[i] is how many bytes the cuts before i leave out
}

// cut is n bytes of the file at off that the text leaves out, where its byte at would be.
type cut struct {
	off, n int64
	at     int
}

func (t *text) index() {
	t.gone = make([]int64, len(t.cuts)+1)
	for i, c := range t.cuts {
		t.gone[i+1] = t.gone[i] + c.n
	}
}

// after is the index of the first cut that ends beyond off.
func (t *text) after(off int64) int {
	return sort.Search(len(t.cuts), func(i int) bool { return t.cuts[i].off+t.cuts[i].n > off })
}

// place is the index in the text of a byte of the file that is not cut out.
func (t *text) place(off int64) int { return int(off - t.gone[t.after(off)]) }

// slice is the bytes off to end of the file, where nothing is cut out between them.
func (t *text) slice(off, end int64) string {
	if off == end {
		return ""
	}
	i := t.place(off)
	return t.s[i : i+int(end-off)]
}

// isCut reports whether a field's content is left out.
func (t *text) isCut(f field) bool {
	i := t.after(f.body)
	return i < len(t.cuts) && t.cuts[i].off == f.body && f.end > f.body
}

// field is one field of a message. It was scanned, so nothing about it can be wrong.
type field struct {
	num        protowire.Number
	typ        protowire.Type
	head, body int64  // where its tag begins, and its content
	end        int64  // just past it
	value      uint64 // of a number
}

// fields calls visit for each field of the message that lies between body and end.
func (t *text) fields(body, end int64, visit func(field)) {
	if body >= end {
		return
	}
	i := t.after(body)
	at := int(body - t.gone[i])
	for off := body; off < end; {
		f := field{head: off}
		tag, n := uvarint(t.s[at:])
		at += n
		off += int64(n)
		f.num, f.typ = protowire.Number(tag>>3), protowire.Type(tag&7)
		f.body = off
		switch f.typ {
		case vint:
			f.value, n = uvarint(t.s[at:])
			off += int64(n)
			at += n
		case f32:
			f.value = uint64(le32(t.s[at:]))
			off += 4
			at += 4
		case f64:
			f.value = le64(t.s[at:])
			off += 8
			at += 8
		case bytes:
			size, n := uvarint(t.s[at:])
			at += n
			f.body = off + int64(n)
			off = f.body + int64(size)
			at += int(size)
			for ; i < len(t.cuts) && t.cuts[i].off < off; i++ {
				at -= int(t.cuts[i].n)
			}
		}
		f.end = off
		visit(f)
	}
}

func uvarint(s string) (uint64, int) {
	var v uint64
	for i := range min(len(s), protowireMax) {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, i + 1
		}
	}
	return v, min(len(s), protowireMax)
}

func le32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func le64(s string) uint64 { return uint64(le32(s)) | uint64(le32(s[4:]))<<32 }

// count is how many values of a type stand in packed bytes.
func count(s string, typ protowire.Type) (int64, error) {
	switch typ {
	case f32, f64:
		n := 4
		if typ == f64 {
			n = 8
		}
		if len(s)%n != 0 {
			return 0, fault.New(fault.Malformed, "%d bytes are no whole number of values of %d", len(s), n)
		}
		return int64(len(s) / n), nil
	}
	var values int64
	long := 0
	for i := range len(s) {
		long++
		if s[i] < 0x80 {
			if long == protowireMax && s[i] > 1 {
				return 0, fault.New(fault.Malformed, "a number of more than 64 bits")
			}
			values++
			long = 0
		} else if long == protowireMax {
			return 0, fault.New(fault.Malformed, "a number of more than 64 bits")
		}
	}
	if long > 0 {
		return 0, fault.New(fault.Malformed, "the last number does not end")
	}
	return values, nil
}

// ints appends the values of a field of varints, packed or not.
func (t *text) ints(list []int64, f field) []int64 {
	if f.typ != bytes {
		return append(list, int64(f.value))
	}
	for s := t.slice(f.body, f.end); len(s) > 0; {
		v, n := uvarint(s)
		list, s = append(list, int64(v)), s[n:]
	}
	return list
}

// floats appends the values of a field of float32, packed or not.
func (t *text) floats(list []float32, f field) []float32 {
	if f.typ != bytes {
		return append(list, math.Float32frombits(uint32(f.value)))
	}
	for s := t.slice(f.body, f.end); len(s) >= 4; s = s[4:] {
		list = append(list, math.Float32frombits(le32(s)))
	}
	return list
}

// str is the content of a field of bytes.
func (t *text) str(f field) string { return t.slice(f.body, f.end) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// wire is where an element was stored: what a Wire field of a graph holds.
type wire struct {
	t               *text
	num             protowire.Number
	head, body, end int64
}

func (t *text) wire(f field) *wire { return &wire{t, f.num, f.head, f.body, f.end} }

// spans are the bytes off to end of the file: from the text, and as extents what was left out.
func (t *text) spans(list []layout.Span, off, end int64) []layout.Span {
	for i := t.after(off); off < end; i++ {
		next := end
		if i < len(t.cuts) && t.cuts[i].off < end {
			next = t.cuts[i].off
		}
		if next > off {
			list = append(list, layout.Literal(t.slice(off, next)))
			off = next
		}
		if off < end {
			list = append(list, layout.Extent{Source: t.src, Off: off, Len: t.cuts[i].n})
			off += t.cuts[i].n
		}
	}
	return list
}
