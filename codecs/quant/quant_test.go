package quant

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var _ layout.Op = (*cast)(nil)

// everywhere runs test for every line of the table, with the kernels of every tier that this processor has.
func everywhere(t *testing.T, test func(t *testing.T, e Encoding)) {
	for tier := range min(Best(), AVX2) + 1 {
		for _, e := range table(tier) {
			t.Run(fmt.Sprintf("%s/%s", tier, e.Op), func(t *testing.T) { test(t, e) })
		}
	}
}

// What a run promises to test may not be skipped silently: ISOMERFS_TEST_REQUIRE_CPU names the tier that must have
// been selected.
func TestRequireTier(t *testing.T) {
	if want := os.Getenv("ISOMERFS_TEST_REQUIRE_CPU"); want != "" && Active().String() != want {
		t.Fatalf("the kernels in use are %s, and %s were promised (the processor has %s, ISOMERFS_CPU is %q)",
			Active(), want, Best(), os.Getenv("ISOMERFS_CPU"))
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name       string
		best, want Tier
	}{
		{"", AVX512, AVX512}, {"", AVX2, AVX2}, {"", Generic, Generic},
		{"generic", AVX2, Generic}, {"avx2", AVX512, AVX2}, {"avx2", AVX2, AVX2}, {"generic", Generic, Generic},
		{"avx512", AVX2, AVX2}, {"avx2", Generic, Generic}, // not had
		{"AVX2", AVX2, AVX2}, {"avx10", AVX2, AVX2}, // no such tier
	} {
		if got := choose(c.name, c.best); got != c.want {
			t.Errorf("%q on a processor with %s: %s, want %s", c.name, c.best, got, c.want)
		}
	}
}

func TestCast(t *testing.T) {
	floats := []model.DType{model.F64, model.F32, model.F16, model.BF16}
	want := map[[2]model.DType]bool{}
	for _, to := range floats {
		for _, from := range floats {
			want[[2]model.DType{from, to}] = from != to
		}
		want[[2]model.DType{model.F8E4M3, to}] = to != model.F64
		want[[2]model.DType{model.F8E5M2, to}] = to != model.F64
	}
	names := map[string]bool{}
	for from := model.Invalid; from <= model.String+1; from++ {
		for to := model.Invalid; to <= model.String+1; to++ {
			op, ok := Cast(from, to)
			if ok != want[[2]model.DType{from, to}] {
				t.Errorf("%s to %s: %v", from, to, ok)
			}
			if !ok {
				continue
			}
			out, in := op.Block()
			if out != to.Block().Bytes || len(in) != 1 || in[0] != from.Block().Bytes {
				t.Errorf("%s: a block of %d from %d", op, out, in)
			}
			if names[op.String()] {
				t.Errorf("%s: two of this name", op)
			}
			names[op.String()] = true
		}
	}
	if op, _ := Cast(model.F32, model.F16); op.String() != "f32→f16/1" {
		t.Errorf("f32 to f16 is called %q, which is part of every ID", op)
	}
	if len(names) != len(Encodings) {
		t.Errorf("%d casts, and a table of %d encodings", len(names), len(Encodings))
	}
	for tier := range min(Best(), AVX2) + 1 {
		for name, k := range kernels(tier) {
			if !names[name] || k.run == nil || k.step <= 0 || k.step&(k.step-1) != 0 {
				t.Errorf("%s has a kernel for %q with step %d, which nothing can use", tier, name, k.step)
			}
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		from, to model.DType
		in, want int64
		kind     fault.Kind
	}{
		{model.F32, model.F16, 0, 0, 0},
		{model.F32, model.F16, 4, 2, 0},
		{model.F32, model.F16, math.MaxInt64 - 3, math.MaxInt64/2 - 1, 0},
		{model.F8E4M3, model.F32, 7, 28, 0},
		{model.F8E4M3, model.F32, math.MaxInt64 / 4, math.MaxInt64 - 3, 0},
		{model.F8E4M3, model.F32, math.MaxInt64/4 + 1, 0, fault.Overflow},
		{model.BF16, model.F64, math.MaxInt64 - 1, 0, fault.Overflow},
		{model.F32, model.F16, 7, 0, fault.Mismatch},
		{model.F64, model.F32, 4, 0, fault.Mismatch},
		{model.F32, model.F16, -4, 0, fault.Mismatch},
	} {
		op, _ := Cast(c.from, c.to)
		got, err := op.Size(c.in)
		if got != c.want || fault.KindOf(err) != c.kind {
			t.Errorf("%s of %d bytes: %d, %v; want %d, %v", op, c.in, got, err, c.want, c.kind)
		}
	}
	op, _ := Cast(model.F32, model.F16)
	if _, err := op.Size(); !errors.Is(err, fault.Mismatch) {
		t.Errorf("no input: %v", err)
	}
	if _, err := op.Size(4, 4); !errors.Is(err, fault.Mismatch) {
		t.Errorf("two inputs: %v", err)
	}
}

func TestApplyRefuses(t *testing.T) {
	everywhere(t, func(t *testing.T, e Encoding) {
		out, in := int(e.To.Block().Bytes), int(e.From.Block().Bytes)
		for name, c := range map[string]struct {
			dst int
			src [][]byte
		}{
			"no input":            {out, nil},
			"two inputs":          {out, [][]byte{make([]byte, in), make([]byte, in)}},
			"half an element out": {9*out - 1, [][]byte{make([]byte, 9*in)}},
			"one element short":   {40 * out, [][]byte{make([]byte, 40*in-1)}},
		} {
			if name == "half an element out" && out == 1 {
				continue
			}
			if err := e.Op.Apply(make([]byte, c.dst), c.src); !errors.Is(err, fault.Mismatch) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Every length about the steps of the kernels, at every misalignment: the reference's bytes, and none beside them.
// The input is longer than what is wanted of it.
func TestLengthsAndAlignments(t *testing.T) {
	const most, margin = 300, 64
	r := rand.New(rand.NewPCG(1, 1))
	random := make([]byte, 8*(most+8))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	mark := bytes.Repeat([]byte{0xa5}, margin+8*most+margin)
	everywhere(t, func(t *testing.T, e Encoding) {
		c := e.Op.(*cast)
		want, buf := make([]byte, most*c.to), bytes.Clone(mark)
		for from := range 8 {
			src := random[from:]
			c.pure(want, src)
			for to := range 8 {
				for n := range most + 1 {
					dst := buf[margin+to:][:n*c.to]
					if err := c.Apply(dst, [][]byte{src[:n*c.from+n%3]}); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(dst, want[:len(dst)]) {
						t.Fatalf("%d elements, input at %d, output at %d: not what the reference gives", n, from, to)
					}
					before, after := buf[to:margin+to], buf[margin+to+len(dst):][:margin-8]
					if !bytes.Equal(before, mark[:len(before)]) || !bytes.Equal(after, mark[:len(after)]) {
						t.Fatalf("%d elements, input at %d, output at %d: bytes beside the output changed", n, from, to)
					}
					copy(dst, mark)
				}
			}
		}
	})
}

// More than one call of a kernel, and a rest; whole and in pieces.
func TestPiecesEqualTheWhole(t *testing.T) {
	const n = 2*maxCall + 12345 // bytes
	r := rand.New(rand.NewPCG(2, 2))
	src := make([]byte, n)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	want, whole, pieces := make([]byte, 4*n), make([]byte, 4*n), make([]byte, 4*n)
	everywhere(t, func(t *testing.T, e Encoding) {
		c := e.Op.(*cast)
		in := src[:n/c.from*c.from]
		size, err := c.Size(int64(len(in)))
		if err != nil {
			t.Fatal(err)
		}
		want, whole, pieces := want[:size], whole[:size], pieces[:size]
		c.pure(want, in)
		if err := c.Apply(whole, [][]byte{in}); err != nil {
			t.Fatal(err)
		}
		for done, all := 0, len(in)/c.from; done < all; {
			k := min(all-done, r.IntN(1<<r.IntN(20)))
			if err := c.Apply(pieces[done*c.to:(done+k)*c.to], [][]byte{in[done*c.from : (done+k)*c.from]}); err != nil {
				t.Fatal(err)
			}
			done += k
		}
		if !bytes.Equal(whole, want) {
			t.Error("the whole is not what the reference gives")
		}
		if !bytes.Equal(pieces, want) {
			t.Error("the pieces are not what the reference gives")
		}
	})
}

func TestApplyAllocatesNothing(t *testing.T) {
	dst, src := make([]byte, 8<<10), [][]byte{make([]byte, 8<<10)}
	for _, e := range Encodings {
		n := 1000 * e.To.Block().Bytes
		if got := testing.AllocsPerRun(10, func() {
			if err := e.Op.Apply(dst[:n], src); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", e.Op, got)
		}
	}
}
