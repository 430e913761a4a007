package gguf

import (
	"encoding/binary"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// File is the content as a file of version 3, laid out as llama.cpp does it: keys and tensors in their order, each
// tensor's data at the next multiple of 32 bytes, or of general.alignment where a key says so, and zeros between and
// after them. Dimensions of 1 at the outer end are not written, but where
// the content is Whole.
func (c *Content) File() (*layout.File, error) {
	w := &writer{}
	w.bytes([]byte(magic))
	w.uint32(3)
	w.uint64(uint64(len(c.Tensors)))
	w.uint64(uint64(len(c.KVs)))
	alignment := int64(defaultAlignment)
	seen := make(map[string]bool, max(len(c.KVs), len(c.Tensors)))
	for i := range c.KVs {
		kv := &c.KVs[i]
		if err := kv.check(); err != nil {
			return nil, err
		}
		if seen[kv.Key] {
			return nil, fault.New(fault.Duplicate, "the key %q is there twice", kv.Key)
		}
		seen[kv.Key] = true
		if n, ok := kv.Value.(uint32); kv.Key == keyAlignment {
			if !ok || n == 0 || n&(n-1) != 0 || n%8 != 0 {
				return nil, fault.New(fault.Malformed, "%s is %s, which is no power of two of at least 8", keyAlignment, kv.Shown())
			}
			alignment = int64(n)
		}
		w.kv(kv)
	}
	clear(seen)
	var off int64
	for i := range c.Tensors {
		t := &c.Tensors[i]
		if err := t.check(); err != nil {
			return nil, err
		}
		if seen[t.Name] {
			return nil, fault.New(fault.Duplicate, "two tensors are called %q", t.Name)
		}
		seen[t.Name] = true
		w.entry(t, off, c.Whole)
		if off = pad(off+t.Data.Size(), alignment); off < 0 {
			return nil, fault.New(fault.Overflow, "the tensors are more bytes than fit 63 bits")
		}
	}
	w.zeros(pad(w.size, alignment) - w.size)
	for i := range c.Tensors {
		t := &c.Tensors[i]
		w.file(t.Data)
		w.zeros(pad(t.Data.Size(), alignment) - t.Data.Size())
	}
	w.flush()
	return layout.New(w.spans...)
}

// check says why a tensor can't be written.
func (t *Tensor) check() error {
	if len(t.Name) > maxName {
		return fault.New(fault.Limit, "the tensor name %q is %d bytes long, and llama.cpp reads at most %d", t.Name, len(t.Name), maxName)
	}
	if len(t.Shape) > maxDims {
		return fault.New(fault.Limit, "tensor %q has %d dimensions, and GGUF at most %d", t.Name, len(t.Shape), maxDims)
	}
	size, err := Size(t.Type, t.Shape)
	if err != nil {
		return fault.New(fault.KindOf(err), "tensor %q: %s", t.Name, fault.Reason(err))
	}
	if t.Data == nil || t.Data.Size() != size {
		return fault.New(fault.Mismatch, "tensor %q has not the %d bytes of shape %v in %s", t.Name, size, t.Shape, t.Type)
	}
	return nil
}

// writer is a file in the making. Small pieces are joined in one literal.
type writer struct {
	spans   []layout.Span
	literal []byte
	size    int64
}

func (w *writer) bytes(b []byte) {
	w.literal = append(w.literal, b...)
	w.size += int64(len(b))
}

func (w *writer) uint32(n uint32) { w.bytes(binary.LittleEndian.AppendUint32(nil, n)) }
func (w *writer) uint64(n uint64) { w.bytes(binary.LittleEndian.AppendUint64(nil, n)) }

func (w *writer) text(s string) {
	w.uint64(uint64(len(s)))
	w.bytes([]byte(s))
}

func (w *writer) flush() {
	if len(w.literal) > 0 {
		w.spans = append(w.spans, layout.Literal(slices.Clip(w.literal)))
		w.literal = nil
	}
}

func (w *writer) zeros(n int64) {
	if n > 0 {
		w.flush()
		w.spans = append(w.spans, layout.Zeros(n))
		w.size += n
	}
}

func (w *writer) file(f *layout.File) {
	w.flush()
	w.spans = append(w.spans, f.Spans()...)
	w.size += f.Size()
}

// kv writes a key with its value.
func (w *writer) kv(kv *KV) {
	w.text(kv.Key)
	w.uint32(uint32(kv.Type))
	switch {
	case kv.Type == Array:
		w.uint32(uint32(kv.Elem))
		w.uint64(uint64(kv.Count))
		w.file(kv.Data)
	case kv.Value == nil: // a long string
		w.uint64(uint64(kv.Data.Size()))
		w.file(kv.Data)
	default:
		w.bytes(appendValue(nil, kv.Value))
	}
}

// entry writes a tensor's entry.
func (w *writer) entry(t *Tensor, off int64, whole bool) {
	shape := t.Shape
	for !whole && len(shape) > 1 && shape[0] == 1 {
		shape = shape[1:]
	}
	if len(shape) == 0 {
		shape = []int64{1}
	}
	w.text(t.Name)
	w.uint32(uint32(len(shape)))
	for _, n := range slices.Backward(shape) {
		w.uint64(uint64(n))
	}
	w.uint32(uint32(t.Type))
	w.uint64(uint64(off))
}
