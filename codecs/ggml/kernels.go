package ggml

import (
	"maps"

	"github.com/isomerfs/isomerfs/codecs/quant"
)

// The computations on whole blocks: dst has room for those of x, w has the importance of each element of x, and sigma2
// is the mean of the squares of the whole row. A widenKernel fills dst with the elements of the blocks of src.
type (
	plainKernel       func(dst []byte, x []float32)
	weightedKernel    func(dst []byte, x, w []float32)
	weightedRowKernel func(dst []byte, x, w []float32, sigma2 float32)
	widenKernel       func(dst []float32, src []byte)
)

// kernels is a computation for each type that has one.
type kernels struct {
	finite      func(x []float32) bool
	plain       map[Type]plainKernel
	weighted    map[Type]weightedKernel
	weightedRow map[Type]weightedRowKernel
	widen       map[Type]widenKernel
}

// reference is in pure Go: the measure of all others. The K-quants come from a table of their own.
var reference = kernels{
	finite: finite,
	plain: map[Type]plainKernel{
		Q4_0: quantizeQ4_0, Q4_1: quantizeQ4_1, Q5_0: quantizeQ5_0, Q5_1: quantizeQ5_1, Q8_0: quantizeQ8_0,
		IQ4_NL: quantizeIQ4_NL, IQ4_XS: quantizeIQ4_XS, MXFP4: quantizeMXFP4, TQ1_0: quantizeTQ1_0, TQ2_0: quantizeTQ2_0,
	},
	weighted: map[Type]weightedKernel{
		IQ4_NL: quantizeWeightedIQ4_NL, IQ4_XS: quantizeWeightedIQ4_XS,
	},
	weightedRow: map[Type]weightedRowKernel{
		Q4_0: quantizeWeightedQ4_0, Q4_1: quantizeWeightedQ4_1, Q5_0: quantizeWeightedQ5_0, Q5_1: quantizeWeightedQ5_1,
	},
	widen: map[Type]widenKernel{
		Q4_0: widenQ4_0, Q4_1: widenQ4_1, Q5_0: widenQ5_0, Q5_1: widenQ5_1, Q8_0: widenQ8_0, Q8_1: widenQ8_1,
		Q8_K:  widenQ8_K,
		IQ1_S: widenIQ1_S, IQ1_M: widenIQ1_M, IQ2_XXS: widenIQ2_XXS, IQ2_XS: widenIQ2_XS, IQ2_S: widenIQ2_S, IQ3_XXS: widenIQ3_XXS, IQ3_S: widenIQ3_S,
		IQ4_NL: widenIQ4_NL, IQ4_XS: widenIQ4_XS, MXFP4: widenMXFP4, NVFP4: widenNVFP4,
		TQ1_0: widenTQ1_0, TQ2_0: widenTQ2_0, Q1_0: widenQ1_0, Q2_0: widenQ2_0,
	},
}

// active are the kernels in use.
var active = kernelsOf(quant.Active())

// kernelsOf are the kernels of a tier: the reference, and in its place what the architecture has.
func kernelsOf(t quant.Tier) *kernels {
	r := &reference
	k := &kernels{r.finite, maps.Clone(r.plain), maps.Clone(r.weighted), maps.Clone(r.weightedRow), maps.Clone(r.widen)}
	for _, q := range kquants {
		k.plain[q.typ], k.weighted[q.typ], k.widen[q.typ] = q.quantize, q.quantizeWeighted, q.widen
	}
	k.improve(t)
	return k
}

// An architecture file provides:
//
//	func (k *kernels) improve(t quant.Tier)   // put what the tier has in the place of the reference
