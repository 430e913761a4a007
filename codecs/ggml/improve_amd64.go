package ggml

import (
	"sync"

	"github.com/isomerfs/isomerfs/codecs/quant"
)

//go:generate go -C _asm run . -pkg ggml -out ../kernels_amd64.s -stubs ../kernels_amd64.go

// improve puts kernels in the place of the reference.
func (k *kernels) improve(t quant.Tier) {
	if t < quant.AVX2 {
		return
	}
	k.finite = finiteVector
	for typ, run := range map[Type]func(dst, src *byte, n int){
		Q4_0: quantizeQ4_0AVX2, Q4_1: quantizeQ4_1AVX2, Q5_0: quantizeQ5_0AVX2, Q5_1: quantizeQ5_1AVX2, Q8_0: quantizeQ8_0AVX2,
	} {
		size := int(typ.Block().Bytes)
		k.plain[typ] = func(dst []byte, x []float32) { run(&dst[:len(x)/32*size][0], &bytesOf(x)[0], len(x)/32) }
	}
	for typ, run := range map[Type]func(dst, src *byte, n int){
		Q4_0: widenQ4_0AVX2, Q4_1: widenQ4_1AVX2, Q5_0: widenQ5_0AVX2, Q5_1: widenQ5_1AVX2, Q8_0: widenQ8_0AVX2,
	} {
		size := int(typ.Block().Bytes)
		k.widen[typ] = func(dst []float32, src []byte) { run(&bytesOf(dst)[0], &src[:len(dst)/32*size][0], len(dst)/32) }
	}
	k.widen[IQ4_NL], k.widen[IQ4_XS], k.widen[MXFP4] = widenIQ4_NLVector, widenIQ4_XSVector, widenMXFP4Vector
	v := &lanesAVX2
	if t >= quant.AVX512 {
		v = &lanesAVX512
	}
	for _, q := range kquants {
		k.plain[q.typ] = func(dst []byte, x []float32) { v.quantize(q, dst, x) }
		k.weighted[q.typ] = func(dst []byte, x, w []float32) { v.quantizeWeighted(q, dst, x, w) }
		k.widen[q.typ] = func(dst []float32, src []byte) { widenVector(q, dst, src) }
	}
}

func finiteVector(x []float32) bool {
	n := len(x) &^ 31
	return (n == 0 || finiteAVX2(&x[0], n)) && finite(x[n:])
}

func widenIQ4_NLVector(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		widen4AVX2(&dst[:32][0], &src[2:18][0], single(le.Uint16(src)), &valuesIQ4[0])
	}
}

func widenIQ4_XSVector(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[136:] {
		block := src[:136]
		for j := range 8 {
			widen4AVX2(&dst[32*j : 32*j+32][0], &block[8+16*j : 24+16*j][0], scaleIQ4XS(block, j), &valuesIQ4[0])
		}
	}
}

func widenMXFP4Vector(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[17:] {
		widen4AVX2(&dst[:32][0], &src[1:17][0], halfE8M0(src[0]), &valuesF4[0])
	}
}

// widenVector is kquant.widen.
func widenVector(k *kquant, dst []float32, src []byte) {
	var d, m [16]float32
	var level [super]uint8
	size := int(k.typ.Block().Bytes)
	for ; len(dst) > 0; dst, src = dst[super:], src[size:] {
		k.meaning(&d, &m, src[:size])
		k.unpack(&level, src[:size])
		unlevelAVX2(&dst[:super][0], &level[0], &d[0], &m[0])
	}
}

// lanes are sixteen groups side by side: row i has element i of each. Kernels know where its fields lie.
type lanes struct {
	x, w, t                      [32][16]float32 // elements, weights, and what a kernel keeps
	scale, offset, weight, sigma [16]float32
	spare                        [6][16]float32
}

var lanesPool = sync.Pool{New: func() any { return new(lanes) }}

// laneKernels are those of a tier that work on lanes, each over n rows.
type laneKernels struct {
	weighMean, weighMagnitude, weighSquare, weighImportance func(l *float32, n int)
	searchAffine, searchLinear                              func(l *float32, n int, steps float32, numerators *float32, tries int) bool
	searchScale                                             func(l *float32, n int, steps float32, numerators *float32, tries int)
	descend                                                 func(l *float32, n int)
}

var (
	lanesAVX2 = laneKernels{
		weighMeanAVX2, weighMagnitudeAVX2, weighSquareAVX2, weighImportanceAVX2, searchAffineAVX2, searchLinearAVX2, searchScaleAVX2, descendAVX2,
	}
	lanesAVX512 = laneKernels{
		weighMeanAVX512, weighMagnitudeAVX512, weighSquareAVX512, weighImportanceAVX512, searchAffineAVX512, searchLinearAVX512, searchScaleAVX512, descendAVX512,
	}
)

// search searches the groups of a K-quant in lanes, without importances. It reports false where it cannot.
func (v *laneKernels) search(typ Type, l *lanes) bool {
	first := &l.x[0][0]
	switch typ {
	case Q2_K:
		v.weighMagnitude(first, 16)
		return v.searchLinear(first, 16, 3, &numeratorsQ2K[0], len(numeratorsQ2K))
	case Q3_K:
		v.descend(first, 16)
	case Q4_K:
		v.weighMean(first, 32)
		return v.searchAffine(first, 32, 15, &numeratorsQ4K[0], len(numeratorsQ4K))
	case Q5_K:
		v.weighMean(first, 32)
		return v.searchAffine(first, 32, 31, &numeratorsQ5K[0], len(numeratorsQ5K))
	case Q6_K:
		v.weighSquare(first, 16)
		v.searchScale(first, 16, 32, &numerators32[0], len(numerators32))
	}
	return true
}

// searchWeighted is search by the importances in w. sigma is set.
func (v *laneKernels) searchWeighted(typ Type, l *lanes) bool {
	first := &l.x[0][0]
	switch typ {
	case Q2_K:
		v.weighImportance(first, 16)
		return v.searchAffine(first, 16, 3, &numeratorsWeighted3[0], len(numeratorsWeighted3))
	case Q3_K:
		v.weighImportance(first, 16)
		v.searchScale(first, 16, 4, &numerators4[0], len(numerators4))
	case Q4_K:
		v.weighImportance(first, 32)
		return v.searchAffine(first, 32, 15, &numeratorsWeighted15[0], len(numeratorsWeighted15))
	case Q5_K:
		v.weighImportance(first, 32)
		return v.searchAffine(first, 32, 31, &numeratorsWeighted31[0], len(numeratorsWeighted31))
	case Q6_K:
		v.searchScale(first, 16, 32, &numerators32[0], len(numerators32))
	}
	return true
}

// The numerators of inverse scales: over a range, or over the element of largest magnitude.
var (
	numeratorsQ2K        = gridQ2K.numerators(3)
	numeratorsQ4K        = gridQ4K.numerators(15)
	numeratorsQ5K        = gridQ5K.numerators(31)
	numeratorsWeighted3  = weightedGrid.numerators(3)
	numeratorsWeighted15 = weightedGrid.numerators(15)
	numeratorsWeighted31 = weightedGrid.numerators(31)
	numerators4          = numeratorsOf(4)
	numerators32         = numeratorsOf(32)
)

// sigmaOf is what weighs squares in a super-block of a K-quant.
func sigmaOf(typ Type, x []float32) float32 {
	switch typ {
	case Q2_K:
		return sumSquares(0, x) / super
	case Q6_K:
		return 0 // which it does not look at
	}
	return float32(2*sumSquares(0, x)) / super
}

func (v *laneKernels) quantize(k *kquant, dst []byte, x []float32) {
	v.each(k, dst, x, nil, func(l *lanes) bool { return v.search(k.typ, l) })
}

func (v *laneKernels) quantizeWeighted(k *kquant, dst []byte, x, w []float32) {
	v.each(k, dst, x, w, func(l *lanes) bool { return v.searchWeighted(k.typ, l) })
}

// each quantizes the super-blocks of x, one or two at a time: those of sixteen groups. What cannot be searched in lanes
// is the reference's.
func (v *laneKernels) each(k *kquant, dst []byte, x, w []float32, search func(l *lanes) bool) {
	l := lanesPool.Get().(*lanes)
	defer lanesPool.Put(l)
	both, size := 16*k.group/super, int(k.typ.Block().Bytes)
	for len(x) > 0 {
		n := min(both, len(x)/super)
		lay(&l.x, x, n, k.group)
		if w != nil {
			lay(&l.w, w, n, k.group)
			for b := range n {
				sigma := sigmaOf(k.typ, x[b*super:(b+1)*super])
				for j := range super / k.group {
					l.sigma[b*super/k.group+j] = sigma
				}
			}
		}
		found := search(l)
		for b := range n {
			var part []float32
			if w != nil {
				part = w[b*super : (b+1)*super]
			}
			v.finish(k, dst[b*size:(b+1)*size], x[b*super:(b+1)*super], part, l, b*super/k.group, found)
		}
		x, dst = x[n*super:], dst[n*size:]
		if w != nil {
			w = w[n*super:]
		}
	}
}

// lay lays n super-blocks side by side; the second half of the lanes repeats a lone one of eight groups.
func lay(to *[32][16]float32, x []float32, n, group int) {
	if n*super == 16*group {
		layAVX2(&to[0][0], &x[:n*super][0], group)
		return
	}
	var twice [2 * super]float32
	copy(twice[:], x[:super])
	copy(twice[super:], x[:super])
	layAVX2(&to[0][0], &twice[0], group)
}

// finish stores a super-block whose groups begin at a lane.
func (v *laneKernels) finish(k *kquant, block []byte, x, w []float32, l *lanes, lane int, found bool) {
	var g groups
	search, units := k.search, k.units
	if w != nil {
		search, units = k.searchWeighted, k.unitsWeighted
	}
	if found {
		n := super / k.group
		copy(g.scale[:n], l.scale[lane:])
		copy(g.offset[:n], l.offset[lane:])
		copy(g.weight[:n], l.weight[lane:])
	} else {
		search(&g, x, w)
	}
	if !units(block, &g) {
		return
	}
	var d, m [16]float32
	k.meaning(&d, &m, block)
	for _, s := range d {
		if s == 0 { // the levels of the search are wanted
			search(&g, x, w)
			k.level(&g, block, x)
			k.pack(block, &g.level)
			return
		}
	}
	relevelAVX2(&g.level[0], &x[0], &d[0], &m[0], uint32(0x400000+k.lo), uint32(k.hi-k.lo))
	k.pack(block, &g.level)
}
