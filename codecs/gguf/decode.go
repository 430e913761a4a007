package gguf

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Limits of what is read.
const (
	maxKey     = 1<<16 - 1 // bytes of a key: the specification's
	maxKeys    = 1 << 16   // keys of a file; the largest models have some hundred
	maxName    = 63        // bytes of a tensor's name: llama.cpp's
	maxTensors = 1 << 20
	maxDims    = 4

	// maxString is the largest string that is held, and maxStrings the sum of them; the others are shown by their size
	// and copied as they are. Chat templates are some tens of kilobytes.
	maxString  = 64 << 10
	maxStrings = 16 << 20
)

const (
	magic            = "GGUF"
	keyAlignment     = "general.alignment"
	defaultAlignment = 32
)

// Header is what stands before a file's data.
type Header struct {
	Version   uint32
	Order     binary.ByteOrder
	KVs       []KV // arrays are those of the file, turned to little-endian where it is not
	Entries   []Entry
	Alignment int64
	Start     int64 // of the data in the file
}

// Entry is a tensor's.
type Entry struct {
	Name  string
	Shape []int64 // outermost first
	Type  ggml.Type
	Off   int64 // of its data in the file
	Size  int64 // of its data in bytes

	at int64 // where the entry stands
}

// Decode reads and checks everything of a file but the tensors' data. A file that begins as none is Malformed, one of
// version 1 Unsupported.
func Decode(ctx context.Context, src layout.Source) (*Header, error) {
	s := &scanner{ctx: ctx, src: src, order: binary.LittleEndian}
	h := &Header{Alignment: defaultAlignment}
	tensors, keys, err := h.begin(s)
	if err != nil {
		return nil, err
	}
	if err := h.readKeys(s, keys); err != nil {
		return nil, err
	}
	if err := h.readEntries(s, tensors); err != nil {
		return nil, err
	}
	h.Start = s.off
	if over := h.Start % h.Alignment; over > 0 {
		h.Start += h.Alignment - over
	}
	return h, h.place(src.Size())
}

// begin reads the first bytes and how many tensors and keys there are.
func (h *Header) begin(s *scanner) (tensors, keys int64, err error) {
	b, err := s.take(4, "the magic")
	if err != nil {
		return 0, 0, err
	}
	if string(b) != magic {
		return 0, 0, fault.At(fault.Malformed, 0, "the file begins with %q, and a GGUF file with %q", b, magic)
	}
	if b, err = s.take(4, "the version"); err != nil {
		return 0, 0, err
	}
	h.Version = s.order.Uint32(b)
	if h.Version&0xffff == 0 && h.Version != 0 {
		s.order = binary.BigEndian
		h.Version = s.order.Uint32(b)
	}
	h.Order = s.order
	switch h.Version {
	case 2, 3:
	case 1:
		return 0, 0, fault.At(fault.Unsupported, 4, "the file is GGUF of version 1, and 2 and 3 are read").
			Remedied("convert the model anew: llama.cpp has not read version 1 since 2023")
	case 0:
		return 0, 0, fault.At(fault.Malformed, 4, "the file says that it is GGUF of version 0")
	default:
		return 0, 0, fault.At(fault.Unsupported, 4, "the file is GGUF of version %d, and 2 and 3 are read", h.Version)
	}
	const leastEntry, leastKey = 24, 13 // bytes
	if tensors, err = s.length(leastEntry, "the number of tensors"); err != nil {
		return 0, 0, err
	}
	if tensors > maxTensors {
		return 0, 0, fault.At(fault.Limit, 8, "%d tensors, and at most %d are read", tensors, maxTensors)
	}
	if keys, err = s.length(leastKey, "the number of keys"); err != nil {
		return 0, 0, err
	}
	if keys > maxKeys {
		return 0, 0, fault.At(fault.Limit, 16, "%d keys, and at most %d are read", keys, maxKeys)
	}
	return tensors, keys, nil
}

// readKeys reads n keys with their values.
func (h *Header) readKeys(s *scanner, n int64) error {
	seen := map[string]bool{}
	held := 0
	for range n {
		at := s.off
		key, err := s.text(maxKey, "a key")
		switch {
		case err != nil:
			return err
		case key == "":
			return fault.At(fault.Malformed, at, "a key is empty")
		case !utf8.ValidString(key):
			return fault.At(fault.Malformed, at, "the key %q is not UTF-8", key)
		case seen[key]:
			return fault.At(fault.Duplicate, at, "the key %q is there twice", key)
		}
		seen[key] = true
		kv := KV{Key: key}
		kind, err := s.uint32("the type of " + key)
		if err != nil {
			return err
		}
		kv.Type = ValueType(kind)
		at = s.off
		switch {
		case kv.Type == Array:
			err = kv.readArray(s)
		case kv.Type == String:
			err = kv.readString(s, &held)
		case kv.Type.size() > 0:
			var b []byte
			if b, err = s.take(kv.Type.size(), "the value of "+key); err == nil {
				kv.Value = number(kv.Type, b, s.order)
				if kv.Type == Bool && b[0] > 1 {
					err = fault.At(fault.Malformed, at, "%s is a boolean of value %d", key, b[0])
				}
			}
		default:
			err = fault.At(fault.Malformed, at-4, "%s has a value of type %d, and the last type is %d", key, kind, Float64)
		}
		if err != nil {
			return err
		}
		if key == keyAlignment {
			if err := h.align(&kv, at); err != nil {
				return err
			}
		}
		h.KVs = append(h.KVs, kv)
	}
	return nil
}

// align takes the alignment from its key.
func (h *Header) align(kv *KV, at int64) error {
	n, ok := kv.Value.(uint32)
	if !ok {
		return fault.At(fault.Malformed, at, "%s is of type %s instead of uint32", keyAlignment, kv.Type)
	}
	if n == 0 || n&(n-1) != 0 || n%8 != 0 {
		return fault.At(fault.Malformed, at, "%s is %d, which is no power of two of at least 8", keyAlignment, n)
	}
	h.Alignment = int64(n)
	return nil
}

// readString reads a value that is a string. Values are kept as they are, UTF-8 or not.
func (kv *KV) readString(s *scanner, held *int) error {
	n, err := s.length(1, "the length of "+kv.Key)
	if err != nil {
		return err
	}
	if n > maxString || *held+int(n) > maxStrings {
		if kv.Data, err = layout.New(layout.Extent{Source: s.src, Off: s.off, Len: n}); err != nil {
			return err
		}
		return s.skip(n, kv.Key)
	}
	*held += int(n)
	b, err := s.take(n, kv.Key)
	kv.Value = string(b)
	return err
}

// readArray reads a value that is an array: its bytes stay in the file.
func (kv *KV) readArray(s *scanner) error {
	at := s.off
	elem, err := s.uint32("the type of the elements of " + kv.Key)
	if err != nil {
		return err
	}
	kv.Elem = ValueType(elem)
	least := kv.Elem.size()
	switch {
	case kv.Elem == Array:
		return fault.At(fault.Unsupported, at, "%s is an array of arrays, which llama.cpp does not read either", kv.Key)
	case kv.Elem == String:
		least = 8
	case least == 0:
		return fault.At(fault.Malformed, at, "%s is an array of type %d, and the last type is %d", kv.Key, elem, Float64)
	}
	if kv.Count, err = s.length(least, "the number of elements of "+kv.Key); err != nil {
		return err
	}
	begin := s.off
	if kv.Elem == String {
		what := "the length of a string of " + kv.Key
		for i := range kv.Count {
			n, err := s.length(1, what)
			if err != nil {
				return err
			}
			if i < maxFirst {
				b, err := s.need(min(n, maxFirstText+1), kv.Key)
				if err != nil {
					return err
				}
				kv.First = append(kv.First, string(b))
			}
			if err := s.skip(n, kv.Key); err != nil {
				return err
			}
		}
	} else {
		b, err := s.need(min(kv.Count, maxFirst)*least, kv.Key)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[least:] {
			kv.First = append(kv.First, number(kv.Elem, b, s.order))
		}
		if kv.Elem == Bool {
			if err := booleans(s, kv); err != nil {
				return err
			}
		}
		if err := s.skip(kv.Count*least-(s.off-begin), kv.Key); err != nil {
			return err
		}
	}
	kv.Data, err = layout.New(layout.Extent{Source: s.src, Off: begin, Len: s.off - begin})
	if err == nil && s.order == binary.BigEndian {
		kv.Data, err = swapArray(kv.Elem, kv.Count, kv.Data)
	}
	return err
}

// booleans checks an array of them.
func booleans(s *scanner, kv *KV) error {
	for left := kv.Count; left > 0; {
		b, err := s.take(min(left, window), kv.Key)
		if err != nil {
			return err
		}
		for i, x := range b {
			if x > 1 {
				return fault.At(fault.Malformed, s.off-int64(len(b)-i), "%s has a boolean of value %d", kv.Key, x)
			}
		}
		left -= int64(len(b))
	}
	return nil
}

// readEntries reads the entries of n tensors. Their offsets, which count from the beginning of the data, are checked
// by place.
func (h *Header) readEntries(s *scanner, n int64) error {
	seen := map[string]bool{}
	for range n {
		e := Entry{at: s.off}
		var err error
		if e.Name, err = s.text(maxName, "a tensor's name"); err != nil {
			return err
		}
		switch {
		case !utf8.ValidString(e.Name):
			return fault.At(fault.Malformed, e.at, "the tensor name %q is not UTF-8", e.Name)
		case strings.IndexByte(e.Name, 0) >= 0:
			return fault.At(fault.Malformed, e.at, "the tensor name %q holds a NUL", e.Name)
		case seen[e.Name]:
			return fault.At(fault.Duplicate, e.at, "two tensors are called %q", e.Name)
		}
		seen[e.Name] = true
		if err := e.readShape(s); err != nil {
			return err
		}
		at := s.off
		kind, err := s.uint32("the type of " + e.Name)
		if err != nil {
			return err
		}
		e.Type = ggml.Type(kind)
		if !e.Type.Known() {
			return fault.At(fault.Unsupported, at, "tensor %q is of type %d, which ggml does not have", e.Name, int32(kind))
		}
		if err := e.measure(); err != nil {
			return err
		}
		off, err := s.uint64("the offset of " + e.Name)
		if err != nil {
			return err
		}
		if off > math.MaxInt64 {
			return fault.At(fault.Extent, s.off-8, "tensor %q lies at offset %d", e.Name, off)
		}
		e.Off = int64(off)
		h.Entries = append(h.Entries, e)
	}
	return nil
}

// readShape reads the dimensions, which stand fastest first.
func (e *Entry) readShape(s *scanner) error {
	at := s.off
	rank, err := s.uint32("the dimensions of " + e.Name)
	if err != nil {
		return err
	}
	if rank > maxDims {
		return fault.At(fault.Limit, at, "tensor %q has %d dimensions, and at most %d are read", e.Name, rank, maxDims)
	}
	e.Shape = make([]int64, rank)
	for i := range e.Shape {
		n, err := s.uint64("a dimension of " + e.Name)
		if err != nil {
			return err
		}
		if n > math.MaxInt64 {
			return fault.At(fault.Malformed, s.off-8, "tensor %q has a dimension of %d", e.Name, int64(n))
		}
		e.Shape[int(rank)-1-i] = int64(n)
	}
	return nil
}

// measure computes the size of the data.
func (e *Entry) measure() error {
	size, err := Size(e.Type, e.Shape)
	if err != nil {
		return fault.At(fault.KindOf(err), e.at, "tensor %q: %s", e.Name, fault.Reason(err))
	}
	e.Size = size
	return nil
}

// Size is the bytes of a tensor's data, its shape outermost first. Rows that are no whole number of blocks are
// Mismatch, a size beyond 63 bits is Overflow, also where another dimension is 0.
func Size(t ggml.Type, shape []int64) (int64, error) {
	row := int64(1)
	if len(shape) > 0 {
		row = shape[len(shape)-1]
	}
	if _, err := t.Bytes(row); err != nil {
		return 0, err
	}
	n, err := model.Elements(shape)
	if err != nil {
		return 0, err
	}
	return t.Bytes(n)
}

// place checks that the data lies as it must, in the order of the entries and without holes, and makes the offsets
// those in the file. The last tensor's padding may be missing; what follows it is nobody's.
func (h *Header) place(size int64) error {
	var next int64
	for i := range h.Entries {
		e := &h.Entries[i]
		if e.Off != next {
			return fault.At(fault.Extent, e.at, "tensor %q lies at offset %d of the data instead of %d", e.Name, e.Off, next)
		}
		end, carry := bits.Add64(uint64(h.Start), uint64(e.Off), 0)
		end, carry = bits.Add64(end, uint64(e.Size), carry)
		if carry > 0 || end > math.MaxInt64-uint64(h.Alignment) {
			return fault.At(fault.Overflow, e.at, "tensor %q of %d bytes ends past what fits 63 bits", e.Name, e.Size)
		}
		if int64(end) > size {
			return fault.At(fault.Truncated, h.Start+e.Off, "tensor %q of %d bytes ends at %d, and the file at %d", e.Name, e.Size, end, size)
		}
		e.Off += h.Start
		next = pad(int64(end)-h.Start, h.Alignment)
	}
	return nil
}

// pad is n, up to the next multiple of a power of two.
func pad(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }
