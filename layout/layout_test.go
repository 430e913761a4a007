package layout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

var ctx = context.Background()

// seeds is n, a tenth of it in short runs: under the race detector everything takes ten times as long.
func seeds(n uint64) uint64 {
	if testing.Short() {
		return n / 10
	}
	return n
}

// TestRandomFiles: whatever a file is made of, its size is the count of its bytes, and reads in any order, of any
// length, by ReadAt and by Fill, equal the slow and obvious evaluation.
func TestRandomFiles(t *testing.T) {
	for seed := range seeds(3000) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		f := r.file(3)
		want := naive(f)
		if f.Size() != int64(len(want)) {
			t.Fatalf("seed %d: size %d, bytes %d\n%s", seed, f.Size(), len(want), f)
		}
		ws := &kept{budget: 1 << 20}
		for range 20 {
			off := r.Int64N(f.Size() + 3)
			p := make([]byte, r.IntN(len(want)+5))
			n, err := f.ReadAt(ctx, ws, p, off)
			end := min(off+int64(len(p)), f.Size())
			if len(p) == 0 {
				continue
			}
			if short := off+int64(len(p)) > f.Size(); short != (err == io.EOF) || err != nil && err != io.EOF {
				t.Fatalf("seed %d: %d bytes at %d of %d: %v", seed, len(p), off, f.Size(), err)
			}
			if off < end && !bytes.Equal(p[:n], want[off:end]) {
				t.Fatalf("seed %d: %d bytes at %d differ\n%s", seed, len(p), off, f)
			}
		}
		got := make(writer, len(want))
		lo := r.Int64N(f.Size() + 1)
		for _, part := range [][2]int64{{lo, f.Size()}, {0, lo}} {
			if err := f.Fill(ctx, ws, got, part[0], part[1]); err != nil {
				t.Fatalf("seed %d: fill: %v", seed, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: fill differs\n%s", seed, f)
		}
	}
}

// TestGrain: a grain lies around its offset, and is the grain of every offset within it.
func TestGrain(t *testing.T) {
	for seed := range seeds(1000) {
		r := random{rand.New(rand.NewPCG(seed, 2))}
		f := r.file(3)
		for range 20 {
			off := r.Int64N(f.Size() + 1)
			lo, hi := f.Grain(off)
			if lo > off || hi < off || lo < 0 || hi > f.Size() || (lo == hi) != (lo == off && hi == off) {
				t.Fatalf("seed %d: grain of %d in %d is [%d, %d)\n%s", seed, off, f.Size(), lo, hi, f)
			}
		}
	}
}

// TestSlices: a slice has the bytes it names, however often it is sliced.
func TestSlices(t *testing.T) {
	for seed := range seeds(1000) {
		r := random{rand.New(rand.NewPCG(seed, 3))}
		f := r.file(2)
		want := naive(f)
		for range 4 {
			off := r.Int64N(f.Size() + 1)
			n := r.Int64N(f.Size() - off + 1)
			s, err := f.Slice(off, n)
			if err != nil {
				t.Fatal(err)
			}
			want = want[off : off+n]
			got := make([]byte, n)
			if _, err := s.ReadAt(ctx, &kept{budget: 1 << 20}, got, 0); err != nil && err != io.EOF {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: slice [%d, %d) differs\n%s\n%s", seed, off, off+n, f, s)
			}
			f = s
		}
	}
	if _, err := Bytes([]byte("abc")).Slice(2, 2); !errors.Is(err, fault.Extent) {
		t.Errorf("a slice past the end: %v", err)
	}
}

// TestID: the same bytes from the same places have one ID however they were put together; anything that could change
// the bytes changes it; what could not, a label or a path, does not.
func TestID(t *testing.T) {
	src, other := newMemory("a", []byte("0123456789abcdef")), newMemory("b", []byte("0123456789abcdeg"))
	op := blocks{2, []int64{1}}
	extent := func(s Source, off, n int64) Span { return Extent{s, off, n} }
	coded := func(off, n int64) Span {
		return Coded{Op: op, Label: fmt.Sprint(off), In: []*File{must(extent(src, off, n))}}
	}
	renamed := newMemory("a", src.data)
	renamed.name = "moved"
	same := [][][]Span{
		{{Literal("abc"), Literal("def")}, {Literal("abcdef")}, {Literal("abcdef"), Zeros(0), Literal("")}},
		{{Zeros(3), Zeros(4)}, {Zeros(7)}},
		{{extent(src, 2, 8)}, {extent(src, 2, 3), extent(src, 5, 5)}, {extent(renamed, 2, 8)},
			{Box{must(extent(src, 0, 16)), []int64{8}, []int64{1}, 2, 1}}, {Box{must(extent(src, 1, 12)), []int64{2, 4}, []int64{4, 1}, 1, 1}},
			{Box{must(extent(src, 0, 16)), []int64{4, 1}, []int64{2, 99}, 2, 2}}},
		{{coded(1, 9)}, {coded(1, 4), coded(5, 5)}},
		{{Box{must(extent(src, 0, 16)), []int64{2, 2, 3}, []int64{1, 8, 2}, 0, 1}}, {Box{must(extent(src, 0, 16)), []int64{2, 1, 2, 3}, []int64{1, 7, 8, 2}, 0, 1}}},
	}
	ids := map[ID]int{}
	for i, group := range same {
		var first ID
		for j, spans := range group {
			f := must(spans...)
			if j == 0 {
				first = f.ID()
			}
			if f.ID() != first {
				t.Errorf("group %d: file %d has another ID than file 0", i, j)
			}
		}
		if k, ok := ids[first]; ok {
			t.Errorf("groups %d and %d have the same ID", i, k)
		}
		ids[first] = i
	}
	different := []Span{
		Literal("abcdeg"), Literal("abcde"), Zeros(6), extent(src, 2, 7), extent(src, 3, 8), extent(other, 2, 8), coded(1, 8), coded(2, 9),
		Coded{Op: blocks{3, []int64{1}}, In: []*File{must(extent(src, 1, 9))}},
		Coded{Op: blocks{2, []int64{1, 1}}, In: []*File{must(extent(src, 1, 9)), must(extent(src, 1, 9))}},
		Box{must(extent(src, 0, 16)), []int64{2, 3, 2}, []int64{1, 2, 8}, 0, 1},
		Materialized{Name: "x/1", Length: 4, Run: func(context.Context, Workspace, io.WriterAt) error { return nil }},
		Materialized{Name: "x/2", Length: 4, Run: func(context.Context, Workspace, io.WriterAt) error { return nil }},
		Materialized{Name: "x/1", Length: 5, Run: func(context.Context, Workspace, io.WriterAt) error { return nil }},
		Fold{CRC32, must(extent(src, 2, 8))}, Fold{CRC32, must(extent(src, 2, 7))}, Fold{digest{1, 1}, must(extent(src, 2, 8))},
	}
	for i, s := range different {
		id := must(s).ID()
		if k, ok := ids[id]; ok {
			t.Errorf("file %d has the ID of %d", i, k)
		}
		ids[id] = 100 + i
	}
	if must(extent(src, 2, 8)).Recipe() != must(extent(other, 2, 8)).Recipe() {
		t.Error("the recipe depends on the source's identity")
	}
	if must(extent(src, 2, 8)).Recipe() == must(extent(src, 2, 7)).Recipe() {
		t.Error("the recipe does not depend on the length")
	}
}

// TestIDOfRandomFiles: files of different bytes never share an ID, and cutting a file in two and joining it again
// keeps its bytes.
func TestIDOfRandomFiles(t *testing.T) {
	seen := map[ID]string{}
	for seed := range seeds(2000) {
		r := random{rand.New(rand.NewPCG(seed, 4))}
		f := r.file(2)
		text := string(naive(f))
		if before, ok := seen[f.ID()]; ok && before != text {
			t.Fatalf("seed %d: two files of different bytes share an ID\n%s", seed, f)
		}
		seen[f.ID()] = text
		at := r.Int64N(f.Size() + 1)
		a, _ := f.Slice(0, at)
		b, _ := f.Slice(at, f.Size()-at)
		joined, err := Concat(a, b)
		if err != nil || !bytes.Equal(naive(joined), naive(f)) {
			t.Fatalf("seed %d: cut at %d and joined: %v", seed, at, err)
		}
	}
}

// TestString is what `isomerfs layout` prints.
func TestString(t *testing.T) {
	src := newMemory("model.safetensors", make([]byte, 1000))
	w, v := must(Extent{src, 100, 400}), must(Extent{src, 500, 64})
	f := must(
		Literal("header.."), Coded{Op: blocks{2, []int64{4}}, Label: "layer.weight", In: []*File{w}}, Zeros(56), Extent{src, 600, 64},
		Box{v, []int64{4, 4}, []int64{4, 16}, 0, 4},
		Coded{Op: blocks{2, []int64{4, 4}}, Label: "two inputs", In: []*File{must(Box{v, []int64{4, 4}, []int64{4, 16}, 0, 4}), v}},
		Materialized{"inflate/1", 30, []*File{w}, func(context.Context, Workspace, io.WriterAt) error { return nil }},
		Fold{CRC32, w},
		Coded{Op: blocks{2, []int64{4}}, Label: "scaled", In: []*File{must(Fold{CRC32, w})}},
	)
	want := `           0            8 literal
           8          200 coded blocks(2←[4])/1 model.safetensors@100 "layer.weight"
         208           56 zeros
         264           64 extent model.safetensors@600
         328           64 box shape [4 4] strides [4 16] of 4 bytes model.safetensors@500
         392           32 coded blocks(2←[4 4])/1 model.safetensors@500 "two inputs"
         424           30 materialized inflate/1 model.safetensors@100
         454            4 fold crc32/1 model.safetensors@100 whole
         458            2 coded blocks(2←[4])/1 model.safetensors@100 "scaled" whole
`
	if got := f.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRefused: geometry that reaches outside its input never becomes a file.
func TestRefused(t *testing.T) {
	src := newMemory("s", make([]byte, 100))
	in := Stored(src)
	for name, c := range map[string]struct {
		span Span
		kind fault.Kind
	}{
		"extent past the end":         {Extent{src, 90, 11}, fault.Truncated},
		"extent before the start":     {Extent{src, -1, 5}, fault.Truncated},
		"extent of negative length":   {Extent{src, 5, -1}, fault.Truncated},
		"extent that wraps":           {Extent{src, math.MaxInt64, 5}, fault.Truncated},
		"negative zeros":              {Zeros(-1), fault.Extent},
		"box past the end":            {Box{in, []int64{10}, []int64{10}, 1, 10}, fault.Truncated},
		"box with a negative stride":  {Box{in, []int64{2}, []int64{-1}, 5, 1}, fault.Extent},
		"box with too few strides":    {Box{in, []int64{2, 3}, []int64{1}, 0, 1}, fault.Extent},
		"box of a negative dimension": {Box{in, []int64{-2}, []int64{1}, 0, 1}, fault.Overflow},
		"box of no element":           {Box{in, []int64{2}, []int64{1}, 0, 0}, fault.Extent},
		"box whose size wraps":        {Box{in, []int64{1 << 32, 1 << 32}, []int64{0, 0}, 0, 1}, fault.Overflow},
		"box whose reach wraps":       {Box{in, []int64{1 << 40}, []int64{1 << 40}, 0, 1}, fault.Overflow},
		"coded with missing inputs":   {Coded{Op: blocks{1, []int64{1, 1}}, Label: "w", In: []*File{in}}, fault.Extent},
		"coded with a broken block":   {Coded{Op: blocks{1, []int64{3}}, Label: "w", In: []*File{in}}, fault.Mismatch},
		"materialized without a name": {Materialized{Length: 3}, fault.Extent},
		"fold over nothing":           {Fold{Reducer: CRC32}, fault.Extent},
		"fold of no value":            {Fold{digest{1, -3}, in}, fault.Extent},
	} {
		if _, err := New(c.span); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	huge := &memory{name: "huge", size: math.MaxInt64}
	if _, err := New(Extent{huge, 0, huge.size}, Zeros(1)); !errors.Is(err, fault.Overflow) {
		t.Errorf("a file beyond 63 bits: %v", err)
	}
}

// shrunk is a source that ends before the size it was planned with.
type shrunk struct{ *memory }

func (s shrunk) Size() int64 { return s.size + 10 }

func TestSourceThatEndsEarly(t *testing.T) {
	f := Stored(shrunk{newMemory("s", make([]byte, 10))})
	if _, err := f.ReadAt(ctx, nil, make([]byte, 15), 0); !errors.Is(err, fault.Changed) {
		t.Errorf("got %v, want changed", err)
	}
}

func TestCancelled(t *testing.T) {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	f := Stored(newMemory("s", make([]byte, 10)))
	if _, err := f.ReadAt(gone, nil, make([]byte, 5), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
}

// TestMaterializedOnce: what comes only as a whole is made once for all reads.
func TestMaterializedOnce(t *testing.T) {
	f := must(Materialized{Name: "count/1", Length: 256, Run: func(_ context.Context, _ Workspace, w io.WriterAt) error {
		for i := range int64(256) {
			if _, err := w.WriteAt([]byte{byte(i)}, i); err != nil {
				return err
			}
		}
		return nil
	}})
	ws := &kept{budget: 1 << 20}
	for off := range int64(250) {
		p := make([]byte, 3)
		if _, err := f.ReadAt(ctx, ws, p, off); err != nil || p[2] != byte(off+2) {
			t.Fatalf("at %d: % x, %v", off, p, err)
		}
	}
	if ws.runs != 1 {
		t.Errorf("made %d times", ws.runs)
	}
	if _, err := f.ReadAt(ctx, nil, make([]byte, 3), 0); !errors.Is(err, fault.Unsupported) {
		t.Errorf("without a workspace: %v", err)
	}
}

// sequential reads f from end to end as the cache does, whole grains in pieces of at least chunk bytes, checks them
// against at, and returns the largest piece.
func sequential(t *testing.T, f *File, chunk int64, check func(p []byte, off int64) error) (largest int64) {
	t.Helper()
	ws := &kept{budget: 64 << 20}
	var p []byte
	for off := int64(0); off < f.Size(); {
		end := min(off+chunk, f.Size())
		if _, hi := f.Grain(end - 1); hi > end {
			end = hi
		}
		n := end - off
		largest = max(largest, n)
		if int64(cap(p)) < n {
			p = make([]byte, n)
		}
		if _, err := f.ReadAt(ctx, ws, p[:n], off); err != nil {
			t.Fatal(err)
		}
		if err := check(p[:n], off); err != nil {
			t.Fatal(err)
		}
		off = end
	}
	return largest
}

// TestTransposeReadsOnce: a transpose of a large matrix is one span; a sequential read of it, plain, cast, and cast
// after a cast, reads its source at most twice, in pieces of a bounded buffer and in calls of a sensible length.
func TestTransposeReadsOnce(t *testing.T) {
	rows, cols := int64(8192), int64(4096) // 128 MiB of float32
	if testing.Short() {
		rows, cols = 2048, 2048
	}
	src := &memory{name: "w", size: rows * cols * 4, id: sha256.Sum256([]byte("w"))}
	transpose := must(Box{Stored(src), []int64{cols, rows}, []int64{4, cols * 4}, 0, 4})
	halved := must(Coded{Op: blocks{2, []int64{4}}, Label: "w", In: []*File{transpose}})
	inside := must(Box{must(Coded{Op: blocks{2, []int64{4}}, Label: "w", In: []*File{Stored(src)}}), []int64{cols, rows}, []int64{2, cols * 2}, 0, 2})
	for name, c := range map[string]struct {
		file *File
		byte func(i int64, k int64) byte // byte k of the element at i of the source
		elem int64
	}{
		"transposed":          {transpose, func(i, k int64) byte { return pattern(i*4 + k) }, 4},
		"transposed and cast": {halved, func(i, k int64) byte { return pattern(i*4+k) + byte(k) }, 2},
		"cast and transposed": {inside, func(i, k int64) byte { return pattern(i*4+k) + byte(k) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if n := len(c.file.Spans()); n != 1 {
				t.Errorf("%d spans", n)
			}
			src.bytes.Store(0)
			src.calls.Store(0)
			largest := sequential(t, c.file, 1<<20, func(p []byte, off int64) error {
				for i := int64(0); i < int64(len(p)); i += 4093 {
					e, k := (off+i)/c.elem, (off+i)%c.elem
					if want := c.byte(e%rows*cols+e/rows, k); p[i] != want {
						return fmt.Errorf("byte %d is %#x, want %#x", off+i, p[i], want)
					}
				}
				return nil
			})
			if got := float64(src.bytes.Load()) / float64(src.size); got > 2 {
				t.Errorf("the source was read %.2f times", got)
			}
			if largest > 34<<20 {
				t.Errorf("a piece of %d MiB", largest>>20)
			}
			if mean := src.bytes.Load() / src.calls.Load(); mean < 1024 {
				t.Errorf("reads of %d bytes", mean)
			}
		})
	}
}

// TestPermutedHeads: rotary halves of attention heads interleaved, as checkpoints of Llama are for GGUF, at the size of
// a 70B model: one span, read once, with no more than a row in memory beyond the piece asked for.
func TestPermutedHeads(t *testing.T) {
	const heads, half, dim = 64, 64, 8192 // 64 heads of 128 rows of 8192 float16
	const row = dim * 2
	src := &memory{name: "wq", size: heads * 2 * half * row, id: sha256.Sum256([]byte("wq"))}
	f := must(Box{Stored(src), []int64{heads, half, 2, dim}, []int64{2 * half * row, row, half * row, 2}, 0, 2})
	if n := len(f.Spans()); n != 1 {
		t.Errorf("%d spans", n)
	}
	largest := sequential(t, f, 1<<20, func(p []byte, off int64) error {
		for i := int64(0); i < int64(len(p)); i += 1021 {
			at := off + i
			r := at / row
			head, j, k := r/(2*half), r%(2*half)/2, r%2
			if want := pattern((head*2*half+k*half+j)*row + at%row); p[i] != want {
				return fmt.Errorf("byte %d is %#x, want %#x", at, p[i], want)
			}
		}
		return nil
	})
	if read := src.bytes.Load(); read > src.size+src.size/50 || largest > 2<<20 {
		t.Errorf("read %d of %d bytes, in pieces of %d", read, src.size, largest)
	}
}

// TestRepeatedScale: a row repeated for every row of a matrix is read once for each piece of the output.
func TestRepeatedScale(t *testing.T) {
	src := newMemory("s", random{rand.New(rand.NewPCG(1, 1))}.bytes(4096))
	f := must(Box{Stored(src), []int64{512, 1024}, []int64{0, 4}, 0, 4})
	p := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, nil, p, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p, bytes.Repeat(src.data, 512)) {
		t.Error("other bytes")
	}
	if src.bytes.Load() != 4096 {
		t.Errorf("read %d bytes of a source of 4096", src.bytes.Load())
	}
}

// TestManySmallSpans: thousands of casts of neighbouring tensors are evaluated as one.
func TestManySmallSpans(t *testing.T) {
	src := newMemory("m", random{rand.New(rand.NewPCG(1, 1))}.bytes(4500*64))
	spans := []Span{Literal("header")}
	for i := range int64(4500) {
		spans = append(spans, Coded{Op: blocks{2, []int64{4}}, Label: fmt.Sprint("w", i), In: []*File{must(Extent{src, i * 64, 64})}})
	}
	f := must(spans...)
	p := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, nil, p, 0); err != nil || !bytes.Equal(p, naive(f)) {
		t.Fatal("other bytes", err)
	}
	if calls := src.calls.Load(); calls > 4 {
		t.Errorf("%d reads", calls)
	}
	if n := strings.Count(f.String(), "\n"); n != 4501 {
		t.Errorf("%d lines are shown", n)
	}
}

func TestIdentical(t *testing.T) {
	src := newMemory("s", make([]byte, 100))
	if must(Extent{src, 0, 60}, Extent{src, 60, 40}).Identical() != Source(src) {
		t.Error("a whole source in two pieces is not seen as the source")
	}
	for _, f := range []*File{must(Extent{src, 0, 99}), must(Extent{src, 0, 100}, Zeros(1)), Bytes([]byte("x")), must()} {
		if f.Identical() != nil {
			t.Errorf("seen as the source:\n%s", f)
		}
	}
	if got := must(Extent{src, 0, 1}, Box{Stored(src), []int64{5}, []int64{2}, 0, 1}).Sources(); len(got) != 1 || got[0] != Source(src) {
		t.Errorf("sources %v", got)
	}
}

// TestEveryThird: single elements a few bytes apart are picked from whole reads, not read one by one.
func TestEveryThird(t *testing.T) {
	src := newMemory("s", random{rand.New(rand.NewPCG(1, 1))}.bytes(3<<20))
	f := must(Box{Stored(src), []int64{1 << 18}, []int64{12}, 0, 4})
	p := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, nil, p, 0); err != nil || !bytes.Equal(p, naive(f)) {
		t.Fatal("other bytes", err)
	}
	if calls := src.calls.Load(); calls > 4 {
		t.Errorf("%d reads", calls)
	}
}
