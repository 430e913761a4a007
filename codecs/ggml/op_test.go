package ggml

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var update = flag.Bool("update", false, "write testdata/digests.txt with what llama.cpp makes")

// digestInput are n elements that need no arithmetic but exact one: groups of 32 of many sizes, near a bell curve.
func digestInput(n int, seed uint64) []float32 {
	r := rand.NewPCG(seed, seed)
	x := make([]float32, n)
	scale := 0
	for i := range x {
		if i%32 == 0 {
			scale = int(r.Uint64()%12) - 6
		}
		sum := int32(-510)
		for u := r.Uint64() & math.MaxUint32; u > 0; u >>= 8 {
			sum += int32(u & 255)
		}
		x[i] = float32(math.Ldexp(float64(sum)+float64(int32(r.Uint64()))/(1<<32), scale-12))
	}
	return x
}

// TestDigests: blocks are those of llama.cpp where there is none, too.
func TestDigests(t *testing.T) {
	const row, rows = 2048, 8
	x, w := digestInput(row*rows, 1), digestInput(row, 2)
	for i, v := range w {
		w[i] = v * v
	}
	type line struct {
		name string
		op   func(k *kernels) (layout.Op, bool)
		in   [][]byte
		peer func(p *peer) []byte
	}
	var lines []line
	for _, typ := range Types() {
		if _, ok := active.plain[typ]; ok {
			lines = append(lines, line{"quantize/" + typ.String(), func(k *kernels) (layout.Op, bool) { return k.quantize(typ, model.F32) },
				[][]byte{bytesOf(x)}, func(p *peer) []byte { _, b := p.quantize(typ, row, x, nil); return b }})
		}
		if _, ok := active.quantizeWeighted(typ, model.F32, row); ok {
			lines = append(lines, line{"weighted/" + typ.String(), func(k *kernels) (layout.Op, bool) { return k.quantizeWeighted(typ, model.F32, row) },
				[][]byte{bytesOf(x), bytes.Repeat(bytesOf(w), rows)}, func(p *peer) []byte { _, b := p.quantize(typ, row, x, w); return b }})
		}
		if _, ok := active.widen[typ]; ok && typ != Q8_1 {
			blocks := make([]byte, 600*typ.Block().Bytes)
			r := rand.NewPCG(3, uint64(typ))
			for i := range blocks {
				blocks[i] = byte(r.Uint64()) &^ 0x40 // no scale is infinite, whose products have signs that processors differ in
			}
			lines = append(lines, line{"dequantize/" + typ.String(), func(k *kernels) (layout.Op, bool) { return k.dequantize(typ) },
				[][]byte{blocks}, func(p *peer) []byte { return p.dequantize(typ, blocks) }})
		}
	}
	if *update {
		p := startPeer(t)
		var out strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&out, "%s %x\n", l.name, sha256.Sum256(l.peer(p)))
		}
		if err := os.WriteFile("testdata/digests.txt", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/digests.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, digest, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = digest
	}
	if len(want) != len(lines) {
		t.Errorf("%d digests for %d ops", len(want), len(lines))
	}
	for tier, k := range tiers() {
		for _, l := range lines {
			op, _ := l.op(k)
			got, err := run(t, op, l.in...)
			if err != nil {
				t.Errorf("%s, %s: %v", tier, l.name, err)
			} else if digest := fmt.Sprintf("%x", sha256.Sum256(got)); digest != want[l.name] {
				t.Errorf("%s, %s: the blocks' digest is %s, llama.cpp's %s", tier, l.name, digest, want[l.name])
			}
		}
	}
}

// TestSources: float16 and bfloat16 give the blocks that their values give as float32.
func TestSources(t *testing.T) {
	const row = 512
	w := bytes.Repeat(bytesOf(digestInput(row, 5)), 6)
	for i := range len(w) / 4 {
		w[4*i+3] &^= 0x80
	}
	for _, from := range []model.DType{model.F16, model.BF16} {
		narrow, _ := quant.Cast(model.F32, from)
		widen, _ := quant.Cast(from, model.F32)
		half, _ := run(t, narrow, bytesOf(digestInput(6*row, 4)))
		full, _ := run(t, widen, half)
		for _, typ := range Types() {
			op, ok := Quantize(typ, from)
			if !ok || typ.DType() != model.Invalid {
				continue
			}
			plain, _ := Quantize(typ, model.F32)
			same(t, typ, from, op, plain, [][]byte{half}, [][]byte{full})
			if op, ok := QuantizeWeighted(typ, from, row); ok {
				plain, _ := QuantizeWeighted(typ, model.F32, row)
				same(t, typ, from, op, plain, [][]byte{half, w}, [][]byte{full, w})
			}
		}
	}
}

func same(t *testing.T, typ Type, from model.DType, a, b layout.Op, inA, inB [][]byte) {
	t.Helper()
	x, err := run(t, a, inA...)
	if err != nil {
		t.Fatal(err)
	}
	y, err := run(t, b, inB...)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s from %s: %s", typ, from, firstBlock(typ, x, y, int(typ.Block().Bytes)))
	}
}

// TestPlaces: a block is the same wherever it lies, at any alignment, however many there are.
func TestPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for tier, k := range tiers() {
		for _, typ := range Types() {
			if op, ok := k.quantize(typ, model.F32); ok && typ.DType() == model.Invalid {
				places(t, r, fmt.Sprintf("%s, %s", tier, op), op, bytesOf(digestInput(int(37*typ.Block().Elems), 6)))
			}
			if op, ok := k.dequantize(typ); ok {
				blocks := make([]byte, 37*typ.Block().Bytes)
				for i := range blocks {
					blocks[i] = byte(r.Uint32())
				}
				places(t, r, fmt.Sprintf("%s, %s", tier, op), op, blocks)
			}
		}
	}
}

func places(t *testing.T, r *rand.Rand, what string, op layout.Op, in []byte) {
	t.Helper()
	whole, err := run(t, op, in)
	if err != nil {
		t.Fatal(what, err)
	}
	out, sizes := op.Block()
	for range 30 {
		from := r.Int64N(37)
		n := r.Int64N(37-from) + 1
		shift := r.IntN(8)
		src := append(make([]byte, shift), in[from*sizes[0]:(from+n)*sizes[0]]...)[shift:]
		dst := bytes.Repeat([]byte{0xee}, int(n*out)+shift+9)
		if err := op.Apply(dst[shift:shift+int(n*out)], [][]byte{src}); err != nil {
			t.Fatal(what, err)
		}
		if !bytes.Equal(dst[shift:shift+int(n*out)], whole[from*out:(from+n)*out]) {
			t.Errorf("%s: %d blocks from %d, moved by %d, differ", what, n, from, shift)
		}
		if rest := bytes.Trim(append(dst[:shift:shift], dst[shift+int(n*out):]...), "\xee"); len(rest) > 0 {
			t.Errorf("%s: %d blocks from %d were written past their end", what, n, from)
		}
	}
}

// TestNotFinite: a value that is no number, or too large for the block's scale, is Malformed wherever it stands.
func TestNotFinite(t *testing.T) {
	const row = 1024
	r := rand.New(rand.NewPCG(1, 2))
	ones := make([]float32, row)
	for i := range ones {
		ones[i] = 1
	}
	for tier, k := range tiers() {
		for _, typ := range Types() {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0xff800001)} {
				x := digestInput(row, 8)
				at := r.IntN(row)
				x[at] = bad
				if op, ok := k.quantize(typ, model.F32); ok {
					if _, err := run(t, op, bytesOf(x)); !errors.Is(err, fault.Malformed) {
						t.Errorf("%s, %s: %v at %d: %v", tier, op, bad, at, err)
					}
				}
				if op, ok := k.quantizeWeighted(typ, model.F32, row); ok {
					if _, err := run(t, op, bytesOf(x), bytesOf(ones)); !errors.Is(err, fault.Malformed) {
						t.Errorf("%s, %s: %v at %d: %v", tier, op, bad, at, err)
					}
					x[at] = 0
					ones[at] = bad
					if _, err := run(t, op, bytesOf(x), bytesOf(ones)); !errors.Is(err, fault.Malformed) {
						t.Errorf("%s, %s: an importance of %v at %d: %v", tier, op, bad, at, err)
					}
					ones[at] = 1
				}
			}
			if op, ok := k.quantize(typ, model.F32); ok && scalesAt[typ] != nil {
				x := digestInput(row, 8)
				x[r.IntN(row)] = -1e12
				if _, err := run(t, op, bytesOf(x)); !errors.Is(err, fault.Malformed) || !strings.Contains(err.Error(), "1e+12") {
					t.Errorf("%s, %s: a value without a scale: %v", tier, op, err)
				}
			}
		}
	}
}

// TestSizes: sizes are exact, and inputs that do not fit are told apart.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		op   layout.Op
		in   []int64
		want int64
		kind fault.Kind
	}{
		{must(Quantize(Q4_0, model.F32)), []int64{128}, 18, 0},
		{must(Quantize(Q4_0, model.F16)), []int64{128}, 36, 0},
		{must(Quantize(Q4_K, model.BF16)), []int64{0}, 0, 0},
		{must(Quantize(Q4_K, model.BF16)), []int64{1024}, 288, 0},
		{must(Quantize(Q4_K, model.BF16)), []int64{1025}, 0, fault.Mismatch},
		{must(Quantize(Q4_K, model.BF16)), []int64{512, 512}, 0, fault.Mismatch},
		{must(Quantize(Q4_K, model.BF16)), []int64{-512}, 0, fault.Mismatch},
		{must(Quantize(Q8_0, model.F16)), []int64{math.MaxInt64 &^ 63}, (math.MaxInt64 &^ 63) / 64 * 34, 0},
		{must(QuantizeWeighted(Q4_K, model.F32, 512)), []int64{1024, 1024}, 144, 0},
		{must(QuantizeWeighted(Q4_K, model.F16, 512)), []int64{1024, 1024}, 0, fault.Mismatch},
		{must(QuantizeWeighted(Q4_K, model.F16, 512)), []int64{1024}, 0, fault.Mismatch},
		{must(QuantizeWeighted(Q4_0, model.F16, 64)), []int64{128, 256}, 36, 0},
		{must(QuantizeWeighted(Q4_0, model.F16, 64)), []int64{64, 128}, 0, fault.Mismatch},
		{must(QuantizeWeighted(Q4_0, model.F16, 65)), []int64{130, 260}, 0, fault.Mismatch},
		{must(QuantizeWeighted(Q4_0, model.F16, MaxRow*2)), []int64{MaxRow * 4, MaxRow * 8}, 0, fault.Limit},
		{must(Dequantize(Q6_K)), []int64{420}, 2048, 0},
		{must(Dequantize(Q6_K)), []int64{211}, 0, fault.Mismatch},
		{must(Dequantize(TQ1_0)), []int64{math.MaxInt64 / 54 * 54}, 0, fault.Overflow},
		{must(Quantize(F16, model.F32)), []int64{40}, 20, 0},
	} {
		got, err := c.op.Size(c.in...)
		if got != c.want || fault.KindOf(err) != c.kind {
			t.Errorf("%s of %d: %d, %v, want %d, %s", c.op, c.in, got, err, c.want, c.kind)
		}
	}
}

func must(op layout.Op, ok bool) layout.Op {
	if !ok {
		panic("no such op")
	}
	return op
}

// TestTable: names and numbers lead to each other, and ops are there for what is said to have them.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	once := func(op layout.Op) {
		if names[op.String()] {
			t.Errorf("%s: two of this name", op)
		}
		names[op.String()] = true
	}
	for _, typ := range Types() {
		if got, ok := ParseType(typ.String()); !ok || got != typ {
			t.Errorf("%s is parsed as %s", typ, got)
		}
		if d := typ.DType(); d != model.Invalid {
			if got, ok := Plain(d); !ok || got != typ || d.Block() != typ.Block() {
				t.Errorf("%s stores %s, which is stored by %s", typ, d, got)
			}
		}
		op, ok := Dequantize(typ)
		if ok != (typ.DType() == model.Invalid) {
			t.Errorf("%s is dequantized: %v", typ, ok)
		}
		if ok {
			once(op)
		}
		for _, from := range []model.DType{model.F32, model.F16, model.BF16} {
			if op, ok := Quantize(typ, from); ok {
				once(op)
			}
			if op, ok := QuantizeWeighted(typ, from, 256); ok {
				once(op)
				if _, ok := Quantize(typ, from); !ok {
					t.Errorf("%s is made with importances alone", typ)
				}
			}
		}
	}
	for _, typ := range []Type{F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0} {
		if _, ok := Quantize(typ, model.F32); !ok {
			t.Errorf("%s is not made", typ)
		}
	}
	for _, bad := range []Type{4, 5, 31, 33, 36, 43, math.MaxUint32} {
		if _, err := bad.Bytes(32); bad.Known() || bad.Block() != (model.Block{}) || bad.DType() != model.Invalid || !errors.Is(err, fault.Unsupported) {
			t.Errorf("%s is known", bad)
		}
	}
	if _, ok := Quantize(IQ2_XS, model.F32); ok {
		t.Error("IQ2_XS is made")
	}
	if _, ok := Quantize(Q4_0, model.F64); ok {
		t.Error("Q4_0 is made of F64")
	}
	if _, ok := Quantize(F16, model.F16); ok {
		t.Error("F16 is made of F16")
	}
}

// TestHalf: float16 goes to float32 and back as package quant casts it.
func TestHalf(t *testing.T) {
	widen, _ := quant.Cast(model.F16, model.F32)
	narrow, _ := quant.Cast(model.F32, model.F16)
	halves := make([]byte, 2<<16)
	for i := range 1 << 16 {
		le.PutUint16(halves[2*i:], uint16(i))
	}
	singles, _ := run(t, widen, halves)
	for i := range 1 << 16 {
		if got, want := math.Float32bits(single(uint16(i))), le.Uint32(singles[4*i:]); got != want {
			t.Fatalf("%#04x is %#08x, want %#08x", i, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 1<<20)
	for i := range x {
		v := math.Float32frombits(r.Uint32())
		if i%2 == 0 { // halfway between neighbours, and beside
			b := le.Uint32(singles[4*r.IntN(1<<16):])
			v = math.Float32frombits(b + 0x1000 + uint32(r.IntN(3)) - 1)
		}
		if v != v {
			v = 0
		}
		x[i] = v
	}
	want, _ := run(t, narrow, bytesOf(x))
	for i, v := range x {
		if got := half(v); got != le.Uint16(want[2*i:]) {
			t.Fatalf("%v (%#08x) is %#04x, want %#04x", v, math.Float32bits(v), got, le.Uint16(want[2*i:]))
		}
	}
}
