package ggml

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// seed makes other values, to look further than a run of all tests does.
var seed = flag.Uint64("seed", 0, "added to the seeds of what is compared with llama.cpp")

// tiers are the kernels of every tier that this processor has, the reference first.
func tiers() map[quant.Tier]*kernels {
	list := map[quant.Tier]*kernels{}
	for t := range quant.Best() + 1 {
		list[t] = kernelsOf(t)
	}
	return list
}

// run applies an op to whole inputs.
func run(t *testing.T, op layout.Op, in ...[]byte) ([]byte, error) {
	t.Helper()
	sizes := make([]int64, len(in))
	for i := range in {
		sizes[i] = int64(len(in[i]))
	}
	n, err := op.Size(sizes...)
	if err != nil {
		t.Fatal(err)
	}
	dst := bytes.Repeat([]byte{0xa5}, int(n))
	return dst, op.Apply(dst, in)
}

// firstBlock is the first block in which two differ.
func firstBlock(t Type, a, b []byte, size int) string {
	for i := 0; i < len(a); i += size {
		if !bytes.Equal(a[i:i+size], b[i:i+size]) {
			return fmt.Sprintf("block %d\n%.300x\n%.300x", i/size, a[i:i+size], b[i:i+size])
		}
	}
	return "none"
}

// TestTypesAreLlamaCpp: the table is that of ggml.h.
func TestTypesAreLlamaCpp(t *testing.T) {
	p := startPeer(t)
	for n := range Type(100) {
		_, is := p.ask('t', n, 0, 0, false, 32)
		name := string(bytes.TrimRight(is[:16], "\x00"))
		b := model.Block{Elems: int64(le.Uint64(is[16:])), Bytes: int64(le.Uint64(is[24:]))}
		if b.Bytes == 0 { // a number that was given up
			b, name = model.Block{}, ""
		}
		if n.Known() != (name != "") || n.Block() != b || n.Known() && !strings.EqualFold(n.String(), name) {
			t.Errorf("%d is %s, %v; to llama.cpp %s, %v", n, n, n.Block(), name, b)
		}
	}
}

// TestQuantizeIsLlamaCpp: blocks are those that llama-quantize writes, and where it writes none there are none.
func TestQuantizeIsLlamaCpp(t *testing.T) {
	p := startPeer(t)
	const row = 1024
	for typ := range active.plain {
		for i, s := range spreads {
			r := rand.New(rand.NewPCG(uint64(i), uint64(typ)+*seed))
			x := make([]float32, 4*row)
			s.fill(r, x)
			kept, want := p.quantize(typ, row, x, nil)
			for tier, k := range tiers() {
				what := fmt.Sprintf("%s, %s, %s", typ, s.name, tier)
				op, _ := k.quantize(typ, model.F32)
				got, err := run(t, op, bytesOf(x))
				compare(t, what, typ, kept, want, got, err)
				if !kept { // for one of its blocks, perhaps
					k.plain[typ](got, x)
					compareBlocks(t, what, typ, want, got, x)
				}
			}
		}
	}
}

// TestWeightedIsLlamaCpp: so are those made with an imatrix.
func TestWeightedIsLlamaCpp(t *testing.T) {
	p := startPeer(t)
	const row = 512
	for _, typ := range Types() {
		if _, ok := QuantizeWeighted(typ, model.F32, row); !ok {
			continue
		}
		for i, s := range spreads {
			for j, im := range importances {
				r := rand.New(rand.NewPCG(uint64(i*100+j), uint64(typ)+*seed))
				x, w := make([]float32, 2*row), make([]float32, row)
				s.fill(r, x)
				im.fill(r, w)
				kept, want := p.quantize(typ, row, x, w)
				for tier, k := range tiers() {
					op, _ := k.quantizeWeighted(typ, model.F32, row)
					got, err := run(t, op, bytesOf(x), bytes.Repeat(bytesOf(w), 2))
					what := fmt.Sprintf("%s, %s, importances %s, %s", typ, s.name, im.name, tier)
					compare(t, what, typ, kept, want, got, err)
					if run := k.weighted[typ]; !kept && run != nil {
						run(got, x, append(w, w...))
						compareBlocks(t, what, typ, want, got, x)
					}
				}
			}
		}
	}
}

// compare holds what was made to what llama.cpp made.
func compare(t *testing.T, what string, typ Type, kept bool, want, got []byte, err error) {
	t.Helper()
	switch {
	case !kept && !errors.Is(err, fault.Malformed):
		t.Errorf("%s: llama.cpp refuses it, and here the error is %v", what, err)
	case kept && err != nil:
		t.Errorf("%s: %v", what, err)
	case kept && !bytes.Equal(got, want):
		t.Errorf("%s: %s", what, firstBlock(typ, got, want, int(typ.Block().Bytes)))
	}
}

// compareBlocks holds those blocks to each other that llama.cpp would keep.
func compareBlocks(t *testing.T, what string, typ Type, want, got []byte, x []float32) {
	t.Helper()
	b := typ.Block()
	for i := range int64(len(want)) / b.Bytes {
		one, other, from := want[i*b.Bytes:(i+1)*b.Bytes], got[i*b.Bytes:(i+1)*b.Bytes], x[i*b.Elems:(i+1)*b.Elems]
		if (op{to: typ}).checkScales(one, from) == nil && !bytes.Equal(one, other) {
			t.Errorf("%s: block %d\n%x\n%x", what, i, other, one)
			return
		}
	}
}

// TestDequantizeIsLlamaCpp: any bytes mean what llama.cpp reads in them.
func TestDequantizeIsLlamaCpp(t *testing.T) {
	p := startPeer(t)
	for typ := range active.widen {
		if typ == Q8_1 { // which llama.cpp does not read
			continue
		}
		r := rand.New(rand.NewPCG(7, uint64(typ)+*seed))
		blocks := make([]byte, 4096*typ.Block().Bytes)
		for i := range blocks {
			blocks[i] = byte(r.Uint32())
		}
		want := p.dequantize(typ, blocks)
		for tier, k := range tiers() {
			op, _ := k.dequantize(typ)
			got, err := run(t, op, blocks)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %s: %s", typ, tier, firstBlock(typ, got, want, int(typ.Block().Elems)*4))
			}
		}
	}
}
