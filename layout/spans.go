package layout

import (
	"context"
	"io"
	"math"

	"github.com/isomerfs/isomerfs/fault"
)

// Literal is bytes made by the planner.
type Literal []byte

// Zeros is that many zero bytes.
type Zeros int64

// Extent is Len bytes of a stored file from Off.
type Extent struct {
	Source   Source
	Off, Len int64
}

// Materialized is bytes of known size that come only as a whole: inflated, decoded from varints, measured. They are
// made once into the Workspace and read from there.
type Materialized struct {
	Name   string // what Run does, its parameters and its version: part of the ID
	Length int64  // of the result in bytes
	In     []*File
	// Run writes Length bytes to w, in any order. It may be called again after a failure, and must read nothing but In.
	Run func(ctx context.Context, ws Workspace, w io.WriterAt) error
}

func (s Literal) Size() int64      { return int64(len(s)) }
func (s Zeros) Size() int64        { return max(0, int64(s)) }
func (s Extent) Size() int64       { return max(0, s.Len) }
func (s Materialized) Size() int64 { return max(0, s.Length) }

func (s Literal) check() error { return nil }

func (s Zeros) check() error {
	if s < 0 {
		return fault.New(fault.Extent, "%d zero bytes", int64(s))
	}
	return nil
}

func (s Extent) check() error {
	if s.Off < 0 || s.Len < 0 || s.Off > s.Source.Size()-s.Len {
		return fault.At(fault.Truncated, s.Off, "%d bytes from here end past the %d of the file", s.Len, s.Source.Size())
	}
	return nil
}

func (s Materialized) check() error {
	if s.Length < 0 || s.Name == "" || s.Run == nil {
		return fault.New(fault.Extent, "a materialized span of %d bytes needs a name and a way to make it", s.Length)
	}
	return nil
}

func (s Literal) read(_ context.Context, _ eval, p []byte, off int64) error {
	copy(p, s[off:])
	return nil
}

func (s Zeros) read(_ context.Context, _ eval, p []byte, _ int64) error {
	clear(p)
	return nil
}

func (s Extent) read(ctx context.Context, _ eval, p []byte, off int64) error {
	return readSource(ctx, s.Source, p, s.Off+off)
}

func (s Materialized) read(ctx context.Context, ev eval, p []byte, off int64) error {
	if ev.ws == nil {
		return fault.New(fault.Unsupported, "%s needs a workspace", s.Name)
	}
	made, err := ev.ws.Keep(ctx, must(s).ID(), s.Length, func(ctx context.Context, w io.WriterAt) error {
		return s.Run(ctx, ev.ws, w)
	})
	if err != nil {
		return err
	}
	return readSource(ctx, made, p, off)
}

// readSource fills p. A source that ends early is not the one that was planned.
func readSource(ctx context.Context, s Source, p []byte, off int64) error {
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.ReadAt(ctx, p, off)
		if n == len(p) {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if n <= 0 {
			return fault.In(s.String(), fault.At(fault.Changed, off, "the file ended where it had %d bytes when it was planned", s.Size()))
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (s Literal) grain(off int64) (int64, int64)      { return off, off }
func (s Zeros) grain(off int64) (int64, int64)        { return off, off }
func (s Extent) grain(off int64) (int64, int64)       { return off, off }
func (s Materialized) grain(off int64) (int64, int64) { return off, off }

// Box is a strided walk over a File: element (i0, i1, ...) of Shape, the last index running fastest, is the Elem bytes
// of In at Off + i0*Strides[0] + i1*Strides[1] + ... A stride of 0 repeats. Strides and Off count bytes.
type Box struct {
	In      *File
	Shape   []int64
	Strides []int64
	Off     int64
	Elem    int64
}

// Size is Elem times the product of Shape, 0 where that does not fit 63 bits.
func (s Box) Size() int64 {
	n, ok := s.size()
	if !ok {
		return 0
	}
	return n
}

func (s Box) size() (int64, bool) {
	n := s.Elem
	for _, d := range s.Shape {
		if d <= 0 {
			return 0, d == 0
		}
		if n > math.MaxInt64/d {
			return 0, false
		}
		n *= d
	}
	return n, n >= 0
}

func (s Box) check() error {
	if s.In == nil || s.Elem <= 0 || s.Off < 0 || len(s.Shape) != len(s.Strides) {
		return fault.New(fault.Extent, "a box of %d dimensions with %d strides, elements of %d bytes at %d", len(s.Shape), len(s.Strides), s.Elem, s.Off)
	}
	n, ok := s.size()
	if !ok {
		return fault.New(fault.Overflow, "a box of shape %v has more bytes than fit 63 bits", s.Shape)
	}
	if n == 0 {
		return nil
	}
	end := s.Off + s.Elem // just past the last byte that is touched
	if end < 0 {
		return fault.New(fault.Overflow, "a box at offset %d", s.Off)
	}
	for i, d := range s.Shape {
		stride := s.Strides[i]
		if stride < 0 {
			return fault.New(fault.Extent, "a box with stride %d", stride)
		}
		if d > 1 && stride > 0 && (d-1) > (math.MaxInt64-end)/stride {
			return fault.New(fault.Overflow, "a box of shape %v and strides %v reaches past 63 bits", s.Shape, s.Strides)
		}
		end += (d - 1) * stride
	}
	if end > s.In.Size() {
		return fault.At(fault.Truncated, s.Off, "a box of shape %v ends at byte %d of %d", s.Shape, end, s.In.Size())
	}
	return nil
}

// Op is a computation that turns whole blocks of its inputs into whole blocks of its output, each independent of the
// others. Implementations are stateless.
type Op interface {
	// String is the name with its parameters and a version, such as "f32→f16/1": part of every ID. A change of the
	// bytes that Apply gives is a change of the version.
	String() string

	// Block is the number of bytes of output that come from so many bytes of each input.
	Block() (out int64, in []int64)

	// Size is the number of bytes that inputs of these sizes give, or why they can't be inputs.
	Size(in ...int64) (int64, error)

	// Apply computes dst from src: any whole number of blocks, the last of which may be short at the end of a span.
	// It must not keep the slices. len(dst) says how much is wanted.
	Apply(dst []byte, src [][]byte) error
}

// Coded is the result of a computation over other files. Block b of the output comes from block b of each input.
type Coded struct {
	Op    Op
	Label string // whose bytes they are (a tensor's name), for errors and listings; never part of the ID
	In    []*File

	parts *labels // of a run of several with other labels
}

func (s Coded) sizes() []int64 {
	sizes := make([]int64, len(s.In))
	for i, in := range s.In {
		sizes[i] = in.Size()
	}
	return sizes
}

// Size is what the computation makes of its inputs.
func (s Coded) Size() int64 {
	n, err := s.Op.Size(s.sizes()...)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (s Coded) check() error {
	out, in := s.Op.Block()
	if out <= 0 || len(in) != len(s.In) {
		return fault.New(fault.Extent, "%s takes %d inputs and has %d", s.Op, len(in), len(s.In))
	}
	for _, b := range in {
		if b <= 0 {
			return fault.New(fault.Extent, "%s has an input block of %d bytes", s.Op, b)
		}
	}
	n, err := s.Op.Size(s.sizes()...)
	if err != nil {
		return labelled(s.Label, err)
	}
	if n < 0 {
		return fault.New(fault.Overflow, "%s gives more bytes than fit 63 bits", s.Op)
	}
	return nil
}

func (s Coded) grain(off int64) (lo, hi int64) {
	out, in := s.Op.Block()
	lo = off / out * out
	hi = lo + out
	for i, f := range s.In { // the input's grain, in blocks of the output
		glo, ghi := f.Grain(off / out * in[i])
		if ghi-glo > in[i] {
			lo = min(lo, (glo+in[i]-1)/in[i]*out)
			hi = max(hi, ghi/in[i]*out)
		}
	}
	size := s.Size()
	hi = min(hi, size)
	if out <= smallBlock && hi-lo <= out {
		return off, off
	}
	return min(lo, off), max(hi, off)
}

// smallBlock is the size of a block below which computing one twice is nothing.
const smallBlock = 4096

func (s Coded) read(ctx context.Context, ev eval, p []byte, off int64) error {
	out, in := s.Op.Block()
	size := s.Size()
	limit := int64(tile) // of the inputs' bytes held at a time, or one block
	for i, f := range s.In {
		if lo, hi := f.Grain(off / out * in[i]); hi-lo > limit {
			limit = max(limit, min(hi-lo, ev.budget()/2))
		}
	}
	per := out
	for _, b := range in {
		per = max(per, b)
	}
	step := max(1, limit/per)
	src := make([][]byte, len(in))
	bufs := make([]*buffer, len(in))
	defer func() {
		for _, b := range bufs {
			if b != nil {
				b.put()
			}
		}
	}()
	end := off + int64(len(p))
	for b := off / out; b*out < end; b += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		lo, hi := b*out, min((b+step)*out, size)
		if hi > end { // no more blocks than the range needs
			hi = min((end+out-1)/out*out, size)
		}
		blocks := (hi - lo + out - 1) / out
		for i, f := range s.In {
			at := b * in[i]
			n := min(blocks*in[i], f.Size()-at)
			if bufs[i] == nil || int64(cap(bufs[i].b)) < n {
				if bufs[i] != nil {
					bufs[i].put()
				}
				bufs[i] = getBuffer(n)
			}
			src[i] = bufs[i].b[:n]
			if err := f.read(ctx, ev, src[i], at); err != nil {
				return err
			}
		}
		if lo >= off && hi <= end {
			if err := s.apply(p[lo-off:hi-off], src, lo); err != nil {
				return err
			}
			continue
		}
		whole := getBuffer(hi - lo) // a range that begins or ends within a block
		err := s.apply(whole.b, src, lo)
		if err == nil {
			from, to := max(lo, off), min(hi, end)
			copy(p[from-off:to-off], whole.b[from-lo:])
		}
		whole.put()
		if err != nil {
			return err
		}
	}
	return nil
}
