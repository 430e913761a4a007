package layout

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"

	"github.com/isomerfs/isomerfs/fault"
)

// memory is a Source of bytes in memory that counts what is read of it.
type memory struct {
	name  string
	data  []byte
	size  int64 // when data is nil: that many bytes, each a function of its offset
	id    ID
	bytes atomic.Int64
	calls atomic.Int64
}

func newMemory(name string, data []byte) *memory {
	return &memory{name: name, data: data, size: int64(len(data)), id: sha256.Sum256(append([]byte(name), data...))}
}

// pattern is the byte at off of a source without data.
func pattern(off int64) byte { return byte(off ^ off>>8 ^ off>>16 ^ off>>29) }

func (m *memory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	m.calls.Add(1)
	n := int(max(0, min(int64(len(p)), m.size-off)))
	m.bytes.Add(int64(n))
	if m.data != nil {
		copy(p[:n], m.data[off:])
	} else {
		for i := range p[:n] {
			p[i] = pattern(off + int64(i))
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (m *memory) Size() int64    { return m.size }
func (m *memory) ID() ID         { return m.id }
func (m *memory) String() string { return m.name }

// blocks is an Op with any number of inputs and any block sizes: byte i of an output block is the sum of byte i (round
// and round) of each input's block, and of i. The last block may be short where a single byte makes one.
type blocks struct {
	out int64
	in  []int64
}

func (o blocks) String() string          { return fmt.Sprintf("blocks(%d←%v)/1", o.out, o.in) }
func (o blocks) Block() (int64, []int64) { return o.out, o.in }

func (o blocks) Size(in ...int64) (int64, error) {
	n := in[0] / o.in[0]
	for i, size := range in {
		if size%o.in[i] != 0 || size/o.in[i] != n {
			return 0, fault.New(fault.Mismatch, "inputs of %v bytes are not as many blocks of %v", in, o.in)
		}
	}
	return n * o.out, nil
}

func (o blocks) Apply(dst []byte, src [][]byte) error {
	for b := int64(0); b*o.out < int64(len(dst)); b++ {
		for i := range min(o.out, int64(len(dst))-b*o.out) {
			sum := byte(i)
			for k, s := range src {
				sum += s[b*o.in[k]+i%o.in[k]]
			}
			dst[b*o.out+i] = sum
		}
	}
	return nil
}

// naive is the bytes of a file, the slow and obvious way.
func naive(f *File) []byte {
	var all []byte
	for _, s := range f.spans {
		all = append(all, naiveSpan(s)...)
	}
	return all
}

func naiveSpan(s Span) []byte {
	switch s := s.(type) {
	case Literal:
		return s
	case Zeros:
		return make([]byte, s)
	case Extent:
		return s.Source.(*memory).data[s.Off : s.Off+s.Len]
	case Coded:
		var src [][]byte
		for _, in := range s.In {
			src = append(src, naive(in))
		}
		dst := make([]byte, s.Size())
		if err := s.Op.Apply(dst, src); err != nil {
			panic(err)
		}
		return dst
	case Fold:
		return s.Reducer.Reduce(naive(s.In))
	case Materialized:
		w := make(writer, s.Length)
		if err := s.Run(context.Background(), nil, w); err != nil {
			panic(err)
		}
		return w
	case Box:
		in := naive(s.In)
		var out []byte
		index := make([]int64, len(s.Shape))
		for range s.Size() / s.Elem {
			at := s.Off
			for d, i := range index {
				at += i * s.Strides[d]
			}
			out = append(out, in[at:at+s.Elem]...)
			for d := len(index) - 1; d >= 0; d-- {
				if index[d]++; index[d] < s.Shape[d] {
					break
				}
				index[d] = 0
			}
		}
		return out
	}
	panic("a span of no known kind")
}

// writer is a WriterAt over a slice.
type writer []byte

func (w writer) WriteAt(p []byte, off int64) (int, error) { return copy(w[off:], p), nil }

// kept is a Workspace in memory.
type kept struct {
	budget int64
	made   map[ID]*memory
	runs   int
}

func (k *kept) Budget() int64 { return k.budget }

func (k *kept) Keep(ctx context.Context, id ID, size int64, build func(context.Context, io.WriterAt) error) (Source, error) {
	if m := k.made[id]; m != nil {
		return m, nil
	}
	k.runs++
	w := make(writer, size)
	if err := build(ctx, w); err != nil {
		return nil, err
	}
	if k.made == nil {
		k.made = map[ID]*memory{}
	}
	k.made[id] = newMemory("kept "+id.String(), w)
	return k.made[id], nil
}

// random makes files of all kinds of spans, nested.
type random struct{ *rand.Rand }

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r random) file(depth int) *File {
	for {
		var spans []Span
		for range 1 + r.IntN(4) {
			spans = append(spans, r.span(depth))
		}
		if f, err := New(spans...); err == nil {
			return f
		}
	}
}

func (r random) span(depth int) Span {
	kind := r.IntN(7)
	if depth == 0 {
		kind = r.IntN(3)
	}
	switch kind {
	case 0:
		return Literal(r.bytes(r.IntN(40)))
	case 1:
		return Zeros(r.IntN(30))
	case 2:
		src := newMemory("s", r.bytes(1+r.IntN(3000)))
		off := r.Int64N(src.size)
		return Extent{src, off, r.Int64N(src.size - off + 1)}
	case 3:
		return r.box(r.file(depth - 1))
	case 4:
		return r.coded(depth)
	case 5:
		return Fold{r.reducer(), r.file(depth - 1)}
	default:
		in := r.file(depth - 1)
		return Materialized{Name: "reverse/1", Length: in.Size(), In: []*File{in}, Run: func(ctx context.Context, ws Workspace, w io.WriterAt) error {
			b := make([]byte, in.Size())
			if len(b) == 0 {
				return nil
			}
			if ws == nil {
				copy(b, naive(in))
			} else if _, err := in.ReadAt(ctx, ws, b, 0); err != nil {
				return err
			}
			for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
				b[i], b[j] = b[j], b[i]
			}
			_, err := w.WriteAt(b, 0)
			return err
		}}
	}
}

func (r random) reducer() Reducer {
	if r.IntN(2) == 0 {
		return CRC32
	}
	return digest{1 + r.Int64N(5), 1 + r.Int64N(3)}
}

// digest is a Reducer for which all depends on order and on whole blocks: a polynomial over the blocks' sums, modulo a
// prime.
type digest struct{ block, size int64 }

const prime = 16777213

func (d digest) String() string { return fmt.Sprintf("digest(%d,%d)/1", d.block, d.size) }
func (d digest) Size() int64    { return d.size + 3 }
func (d digest) Block() int64   { return d.block }

func (d digest) value(sum uint64) []byte {
	return append(make([]byte, d.size), byte(sum), byte(sum>>8), byte(sum>>16))
}

func (d digest) sum(v []byte) uint64 {
	v = v[d.size:]
	return uint64(v[0]) | uint64(v[1])<<8 | uint64(v[2])<<16
}

func (d digest) Reduce(p []byte) []byte {
	var sum uint64
	for len(p) > 0 {
		n := min(d.block, int64(len(p)))
		block := uint64(1)
		for i, b := range p[:n] {
			block += uint64(i+1) * uint64(b)
		}
		sum, p = (sum*257+block)%prime, p[n:]
	}
	return d.value(sum)
}

func (d digest) Merge(a, b []byte, n int64) []byte {
	sum := d.sum(a)
	for range (n + d.block - 1) / d.block {
		sum = sum * 257 % prime
	}
	return d.value((sum + d.sum(b)) % prime)
}

// box is a walk that stays inside in.
func (r random) box(in *File) Span {
	for range 100 {
		b := Box{In: in, Elem: []int64{1, 2, 3, 4, 8}[r.IntN(5)], Off: r.Int64N(in.Size() + 1)}
		for range r.IntN(5) {
			b.Shape = append(b.Shape, 1+r.Int64N(12))
			b.Strides = append(b.Strides, []int64{0, b.Elem, b.Elem * (1 + r.Int64N(40)), 1 + r.Int64N(100)}[r.IntN(4)])
		}
		if b.check() == nil {
			return b
		}
	}
	return Zeros(3)
}

func (r random) coded(depth int) Span {
	op := blocks{out: 1 + r.Int64N(9)}
	n := r.Int64N(60)
	var in []*File
	for range 1 + r.IntN(3) {
		b := 1 + r.Int64N(9)
		f := r.file(depth - 1)
		for f.Size() < n*b {
			f, _ = Concat(f, f, Bytes(r.bytes(7)))
		}
		f, _ = f.Slice(r.Int64N(f.Size()-n*b+1), n*b)
		op.in, in = append(op.in, b), append(in, f)
	}
	return Coded{Op: op, Label: "w", In: in}
}
