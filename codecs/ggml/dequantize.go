package ggml

import (
	"math"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Dequantize is the op that turns blocks of t into the float32 that they mean. It reports false for the types whose
// elements are stored one by one; those are cast by package quant.
func Dequantize(t Type) (layout.Op, bool) { return active.dequantize(t) }

func (k *kernels) dequantize(t Type) (layout.Op, bool) {
	run, ok := k.widen[t]
	return &widening{t, run}, ok
}

// widening turns blocks into float32. It implements [layout.Op].
type widening struct {
	from Type
	run  widenKernel
}

func (w *widening) String() string { return strings.ToLower(w.from.String()) + "→f32/1" }

func (w *widening) Block() (out int64, in []int64) {
	b := w.from.Block()
	return b.Elems * 4, []int64{b.Bytes}
}

func (w *widening) Size(in ...int64) (int64, error) {
	if len(in) != 1 {
		return 0, fault.New(fault.Mismatch, "%s takes one input, not %d", w, len(in))
	}
	b := w.from.Block()
	if in[0] < 0 || in[0]%b.Bytes != 0 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes are no whole number of blocks of %d", w, in[0], b.Bytes)
	}
	if in[0]/b.Bytes > math.MaxInt64/(b.Elems*4) {
		return 0, fault.New(fault.Overflow, "%s: %d bytes give more than fit 63 bits", w, in[0])
	}
	return in[0] / b.Bytes * b.Elems * 4, nil
}

func (w *widening) Apply(dst []byte, src [][]byte) error {
	out, in := w.Block()
	count := len(dst) / int(out)
	if len(src) != 1 || len(dst)%int(out) != 0 || len(src[0])/int(in[0]) < count {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from these inputs", w, len(dst))
	}
	blocks := src[0]
	s := scratch()
	defer s.free()
	for count > 0 {
		k := min(count, chunk*4/int(out))
		to := dst[:k*int(out)]
		if x := singles(to); x != nil {
			w.run(x, blocks)
		} else {
			x := s.x[:len(to)/4]
			w.run(x, blocks)
			copy(to, bytesOf(x))
		}
		dst, blocks, count = dst[k*int(out):], blocks[k*int(in[0]):], count-k
	}
	return nil
}
