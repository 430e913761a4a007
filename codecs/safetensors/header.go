// Package safetensors reads and writes the safetensors container.
//
//	byte 0       N, u64 little-endian, at most 100,000,000
//	     8       header: N bytes of JSON, padded with spaces
//	             {"__metadata__": {"format": "pt"},
//	              "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//	     8+N     data: each tensor little-endian, in C order, at its offsets from here
//
// The specification is the README of https://github.com/huggingface/safetensors; where it and the reference reader
// differ, what either refuses is refused here, with these exceptions: white space before the header's brace, unknown
// fields of an entry, and null for __metadata__ are taken, as the reference takes them or real files have them.
// Beyond the reference, a name given twice is refused however it is escaped, and dimensions may not overflow even
// beside a 0.
//
// A model in several files comes with an index, NAME.safetensors.index.json, that says which file holds which tensor.
package safetensors

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Limits, each with where it comes from.
const (
	maxHeader  = 100_000_000 // bytes: the reference reader's MAX_HEADER_SIZE
	maxTensors = 1 << 20     // a header of maxHeader holds some 860,000 entries of usual length
	maxRank    = 64          // NumPy 2 goes no further
)

// metadataKey is the one name that is no tensor's.
const metadataKey = "__metadata__"

// Entry is what a header says of one tensor.
type Entry struct {
	Name       string
	DType      model.DType
	Shape      []int64
	Begin, End int64 // offsets of its bytes from the start of the data

	at int64 // offset of its name in the file
}

// Header is what stands before the data.
type Header struct {
	Metadata map[string]string // never nil
	Entries  []Entry           // in the order of their data, which is the reference reader's; empty ones as they were named
	Start    int64             // offset of the data in the file
}

// Decode reads and checks the header of a file: its grammar, each entry by itself, and that the entries cover the rest
// of the file without holes or overlap. It reads in pieces of bounded size and touches no tensor's bytes.
func Decode(ctx context.Context, src layout.Source) (*Header, error) {
	size := src.Size()
	if size < 8 {
		return nil, fault.At(fault.Truncated, size, "a file of %d bytes has no header", size)
	}
	var length [8]byte
	if err := readFull(ctx, src, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > maxHeader:
		return nil, fault.At(fault.Limit, 0, "the header would be %d bytes long, and the most is %d", n, maxHeader)
	case n < uint64(len("{}")):
		return nil, fault.At(fault.Malformed, 0, "a header of %d bytes holds no JSON object", n)
	case int64(n) > size-8:
		return nil, fault.At(fault.Truncated, size, "the header would end at byte %d of %d", 8+n, size)
	}
	h := &Header{Metadata: map[string]string{}, Start: 8 + int64(n)}
	d := &decoder{scanner: newScanner(ctx, src, 8, int64(n)), h: h, names: arena{least: int(min(n, 64<<10))}}
	if err := d.header(); err != nil {
		return nil, err
	}
	if err := h.unique(); err != nil {
		return nil, err
	}
	if err := h.tile(size); err != nil {
		return nil, err
	}
	return h, nil
}

// decoder reads a header's JSON.
type decoder struct {
	*scanner
	h      *Header
	names  arena
	shapes []int64 // what shapes are cut from, so that a million of them are few allocations
}

func (d *decoder) header() error {
	var metadata bool
	err := d.object(func(name []byte, at int64) error {
		if string(name) == metadataKey {
			if metadata {
				return fault.At(fault.Duplicate, at, "%s is given twice", metadataKey)
			}
			metadata = true
			return d.metadata()
		}
		if len(d.h.Entries) == maxTensors {
			return fault.At(fault.Limit, at, "more than %d tensors", maxTensors)
		}
		e := Entry{Name: d.names.keep(name), at: at}
		if err := d.entry(&e); err != nil {
			return err
		}
		d.h.Entries = append(d.h.Entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	return d.finish()
}

// metadata reads an object of strings, or null.
func (d *decoder) metadata() error {
	if null, err := d.null(); null || err != nil {
		return err
	}
	return d.object(func(name []byte, at int64) error {
		key := string(name)
		if _, ok := d.h.Metadata[key]; ok {
			return fault.At(fault.Duplicate, at, "%s has %q twice", metadataKey, key)
		}
		value, err := d.string(d.end)
		if err != nil {
			return err
		}
		d.h.Metadata[key] = string(value)
		return nil
	})
}

// entry reads one tensor's object. Fields it does not know are read and ignored.
func (d *decoder) entry(e *Entry) error {
	const dtype, shape, offsets = 1, 2, 4
	have := 0
	open := d.off()
	err := d.object(func(name []byte, at int64) error {
		field := 0
		switch string(name) {
		case "dtype":
			field = dtype
		case "shape":
			field = shape
		case "data_offsets":
			field = offsets
		default:
			return d.skip()
		}
		if have&field != 0 {
			return fault.At(fault.Duplicate, at, "tensor %q has %s twice", e.Name, name)
		}
		have |= field
		switch field {
		case dtype:
			at := d.off()
			text, err := d.string(d.end)
			if err != nil {
				return err
			}
			if e.DType = spelt(string(text)); e.DType == model.Invalid {
				return fault.At(fault.Unsupported, at, "tensor %q is of a type %q that is not read here", e.Name, text)
			}
			return nil
		case shape:
			return d.shape(e)
		}
		return d.offsets(e)
	})
	if err != nil {
		return err
	}
	for _, field := range []struct {
		bit  int
		name string
	}{{dtype, "dtype"}, {shape, "shape"}, {offsets, "data_offsets"}} {
		if have&field.bit == 0 {
			return fault.At(fault.Malformed, open, "tensor %q has no %s", e.Name, field.name)
		}
	}
	return e.check()
}

func (d *decoder) shape(e *Entry) error {
	start := len(d.shapes)
	err := d.array(func() error {
		n, err := d.integer("a dimension")
		if err != nil {
			return err
		}
		if len(d.shapes)-start == maxRank {
			return fault.At(fault.Limit, d.off(), "tensor %q has more than %d dimensions", e.Name, maxRank)
		}
		if len(d.shapes) == cap(d.shapes) { // a new pool begins with what there is of this shape
			pool := make([]int64, 0, min(4096, max(2*len(d.h.Entries), 16))+maxRank)
			d.shapes, start = append(pool, d.shapes[start:]...), 0
		}
		d.shapes = append(d.shapes, n)
		return nil
	})
	e.Shape = d.shapes[start:len(d.shapes):len(d.shapes)]
	return err
}

func (d *decoder) offsets(e *Entry) error {
	at, i := d.off(), 0
	err := d.array(func() (err error) {
		switch i {
		case 0:
			e.Begin, err = d.integer("an offset")
		case 1:
			e.End, err = d.integer("an offset")
		default:
			err = fault.At(fault.Malformed, d.off(), "tensor %q has more than two data_offsets", e.Name)
		}
		i++
		return err
	})
	if err == nil && i != 2 {
		err = fault.At(fault.Malformed, at, "tensor %q has %d data_offsets instead of two", e.Name, i)
	}
	return err
}

// check compares an entry's extent with its shape.
func (e *Entry) check() error {
	if e.Begin > e.End {
		return fault.At(fault.Extent, e.at, "tensor %q ends at %d, before it begins at %d", e.Name, e.End, e.Begin)
	}
	count, err := model.Elements(e.Shape)
	if err != nil {
		return e.say(err)
	}
	size, err := e.DType.Bytes(count)
	if err != nil {
		return e.say(err)
	}
	if size != e.End-e.Begin {
		return fault.At(fault.Mismatch, e.at, "tensor %q has %d bytes, and its shape %v of %s takes %d", e.Name, e.End-e.Begin, e.Shape, e.DType, size)
	}
	return nil
}

// say names the tensor in an error that knows only its shape.
func (e *Entry) say(err error) error {
	return fault.At(fault.KindOf(err), e.at, "tensor %q: %s", e.Name, fault.Reason(err))
}

// unique checks that no name is given twice.
func (h *Header) unique() error {
	order := make([]int32, len(h.Entries))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(strings.Compare(h.Entries[a].Name, h.Entries[b].Name), cmp.Compare(a, b))
	})
	for i := 1; i < len(order); i++ {
		if e := &h.Entries[order[i]]; e.Name == h.Entries[order[i-1]].Name {
			return fault.At(fault.Duplicate, e.at, "tensor %q is given twice", e.Name)
		}
	}
	return nil
}

// tile sorts the entries by their data and checks that they cover all of it, each byte once, in a file of size bytes.
func (h *Header) tile(size int64) error {
	slices.SortFunc(h.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), cmp.Compare(a.at, b.at))
	})
	var end int64
	for i := range h.Entries {
		e := &h.Entries[i]
		if e.Begin > end {
			return fault.At(fault.Extent, e.at, "tensor %q begins at %d of the data, and %d bytes before it belong to no tensor", e.Name, e.Begin, e.Begin-end)
		}
		if e.Begin < end {
			return fault.At(fault.Extent, e.at, "tensor %q begins at %d of the data, before another ends at %d", e.Name, e.Begin, end)
		}
		end = e.End
		if end > size-h.Start {
			return fault.At(fault.Truncated, e.at, "tensor %q ends at byte %d of the data, of which the file holds %d", e.Name, end, size-h.Start)
		}
	}
	if rest := size - h.Start - end; rest > 0 {
		return fault.At(fault.Extent, h.Start+end, "%d bytes after the last tensor", rest)
	}
	return nil
}

// arena keeps strings in few allocations.
type arena struct {
	b     strings.Builder
	least int // the size of a piece
}

func (a *arena) keep(p []byte) string {
	if a.b.Cap()-a.b.Len() < len(p) {
		a.b = strings.Builder{}
		a.b.Grow(max(a.least, len(p)))
	}
	n := a.b.Len()
	a.b.Write(p)
	return a.b.String()[n:]
}
