package ggml

import (
	"math"
	"slices"
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
	widenK := map[Type]func(dst *float32, block *byte, d, m *float32){
		Q2_K: widenQ2_KAVX2, Q3_K: widenQ3_KAVX2, Q4_K: widenQ4_KAVX2, Q5_K: widenQ5_KAVX2, Q6_K: widenQ6_KAVX2,
	}
	v := &lanesAVX2
	if t >= quant.AVX512 {
		v = &lanesAVX512
	}
	k.plain[IQ4_NL] = func(dst []byte, x []float32) { v.quantizeIQ4_NL(dst, x, nil) }
	k.weighted[IQ4_NL] = v.quantizeIQ4_NL
	k.plain[IQ4_XS] = func(dst []byte, x []float32) { v.quantizeIQ4_XS(dst, x, nil) }
	k.weighted[IQ4_XS] = v.quantizeIQ4_XS
	k.plain[MXFP4], k.plain[TQ1_0], k.plain[TQ2_0] = quantizeMXFP4Vector, quantizeTQ1_0Vector, quantizeTQ2_0Vector
	for typ := range k.weightedRow {
		k.weightedRow[typ] = func(dst []byte, x, w []float32, sigma2 float32) { v.quantizeRow(typ, dst, x, w, sigma2) }
	}
	for _, q := range kquants {
		k.plain[q.typ] = func(dst []byte, x []float32) { v.quantize(q, dst, x) }
		k.weighted[q.typ] = func(dst []byte, x, w []float32) { v.quantizeWeighted(q, dst, x, w) }
		run := widenK[q.typ]
		k.widen[q.typ] = func(dst []float32, src []byte) { widenVector(q, dst, src, run) }
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
func widenVector(k *kquant, dst []float32, src []byte, run func(dst *float32, block *byte, d, m *float32)) {
	var d, m [16]float32
	size := int(k.typ.Block().Bytes)
	for ; len(dst) > 0; dst, src = dst[super:], src[size:] {
		block := src[:size]
		k.meaning(&d, &m, block)
		run(&dst[:super][0], &block[0], &d[0], &m[0])
	}
}

// lanes are sixteen groups side by side: row i has element i of each. Kernels know where its fields lie.
type lanes struct {
	x, w, t                      [32][16]float32 // elements, weights, and what a kernel keeps
	scale, offset, weight, sigma [16]float32
	inverse, from                [16]float32 // of the levels that were found: x + from, times inverse
	spare                        [10][16]float32
}

var lanesPool = sync.Pool{New: func() any { return new([2]lanes) }}

type affineKernel func(a, b *float32, n int, steps float32, numerators *float32, tries int) (failed uint32)

// laneKernels are those of a tier that work on lanes.
type laneKernels struct {
	weighMean, weighMagnitude, weighSquare, weighImportance func(l *float32, n int)
	searchAffine, searchLinear                              affineKernel
	searchScale                                             func(l *float32, n int, steps float32, numerators *float32, tries int)
	descend                                                 func(a, b *float32, n int)
	searchIQ4                                               func(l *float32, n int, numerators *float32, tries int)
	width                                                   int // groups of a searchScale and a searchIQ4
}

var (
	lanesAVX2 = laneKernels{
		weighMeanAVX2, weighMagnitudeAVX2, weighSquareAVX2, weighImportanceAVX2, searchAffineAVX2, searchLinearAVX2, searchScaleAVX2, descendAVX2, searchIQ4AVX2, 8,
	}
	lanesAVX512 = laneKernels{
		weighMeanAVX512, weighMagnitudeAVX512, weighSquareAVX512, weighImportanceAVX512, searchAffineAVX512, searchLinearAVX512, searchScaleAVX512, descendAVX512, searchIQ4AVX512, 16,
	}
)

// search searches the groups of a K-quant in lanes, without importances. It reports false where it cannot.
func (v *laneKernels) search(typ Type, l *[2]lanes) bool {
	switch typ {
	case Q2_K:
		eachLanes(l, 16, v.weighMagnitude)
		return v.affine(v.searchLinear, l, 16, 3, numeratorsQ2K)
	case Q3_K:
		v.descend(&l[0].x[0][0], &l[1].x[0][0], 16)
	case Q4_K:
		eachLanes(l, 32, v.weighMean)
		return v.affine(v.searchAffine, l, 32, 15, numeratorsQ4K)
	case Q5_K:
		eachLanes(l, 32, v.weighMean)
		return v.affine(v.searchAffine, l, 32, 31, numeratorsQ5K)
	case Q6_K:
		eachLanes(l, 16, v.weighSquare)
		v.scale(l, 16, 32, numerators32)
	}
	return true
}

// searchWeighted is search by the importances in w. sigma is set.
func (v *laneKernels) searchWeighted(typ Type, l *[2]lanes) bool {
	switch typ {
	case Q2_K:
		eachLanes(l, 16, v.weighImportance)
		return v.affine(v.searchAffine, l, 16, 3, numeratorsWeighted3)
	case Q3_K:
		eachLanes(l, 16, v.weighImportance)
		v.scale(l, 16, 4, numerators4)
	case Q4_K:
		eachLanes(l, 32, v.weighImportance)
		return v.affine(v.searchAffine, l, 32, 15, numeratorsWeighted15)
	case Q5_K:
		eachLanes(l, 32, v.weighImportance)
		return v.affine(v.searchAffine, l, 32, 31, numeratorsWeighted31)
	case Q6_K:
		v.scale(l, 16, 32, numerators32)
	}
	return true
}

func eachLanes(l *[2]lanes, n int, weigh func(l *float32, n int)) {
	weigh(&l[0].x[0][0], n)
	weigh(&l[1].x[0][0], n)
}

// affine is searchAffine over all lanes.
func (v *laneKernels) affine(search affineKernel, l *[2]lanes, n int, steps float32, numerators []float32) bool {
	return search(&l[0].x[0][0], &l[1].x[0][0], n, steps, &numerators[0], len(numerators)) == 0
}

// scale is searchScale over all lanes, of groups of n.
func (v *laneKernels) scale(l *[2]lanes, n int, steps float32, numerators []float32) {
	for k := range l {
		for at := 0; at < 16; at += v.width {
			v.searchScale(&l[k].x[0][at], n, steps, &numerators[0], len(numerators))
		}
	}
}

// The numerators of inverse scales: over a range, or over the element of largest magnitude.
var (
	numeratorsQ2K        = gridQ2K.numerators(3)
	numeratorsQ4K        = gridQ4K.numerators(15)
	numeratorsQ5K        = gridQ5K.numerators(31)
	numeratorsWeighted3  = weightedGrid.numerators(3)
	numeratorsWeighted15 = weightedGrid.numerators(15)
	numeratorsWeighted31 = weightedGrid.numerators(31)
	numeratorsIQ4        = numeratorsOfIQ4()
	numerators4          = numeratorsOf(4)
	numerators8          = numeratorsOf(8)
	numerators16         = numeratorsOf(16)
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
	v.each(k, dst, x, nil, v.search)
}

func (v *laneKernels) quantizeWeighted(k *kquant, dst []byte, x, w []float32) {
	v.each(k, dst, x, w, v.searchWeighted)
}

// each quantizes the super-blocks of x, as many at a time as have thirty-two groups. What cannot be searched in lanes is
// the reference's.
func (v *laneKernels) each(k *kquant, dst []byte, x, w []float32, search func(typ Type, l *[2]lanes) bool) {
	l := lanesPool.Get().(*[2]lanes)
	defer lanesPool.Put(l)
	var g groups
	per, size := super/k.group, int(k.typ.Block().Bytes)
	for len(x) > 0 {
		n := min(32/per, len(x)/super)
		lay(l, x[:n*super], k.group, func(l *lanes) *[32][16]float32 { return &l.x })
		if w != nil {
			lay(l, w[:n*super], k.group, func(l *lanes) *[32][16]float32 { return &l.w })
			for b := range n {
				sigma := sigmaOf(k.typ, x[b*super:(b+1)*super])
				for j := b * per; j < (b+1)*per; j++ {
					l[j/16].sigma[j%16] = sigma
				}
			}
		}
		found := search(k.typ, l)
		for b := range n {
			var part []float32
			if w != nil {
				part = w[b*super : (b+1)*super]
			}
			k.finish(dst[b*size:(b+1)*size], x[b*super:(b+1)*super], part, &g, &l[b*per/16], b*per%16, found)
		}
		x, dst = x[n*super:], dst[n*size:]
		if w != nil {
			w = w[n*super:]
		}
	}
}

// lay lays groups side by side. Where there are fewer than thirty-two, other lanes have the first, and no one looks.
func lay(l *[2]lanes, x []float32, group int, field func(l *lanes) *[32][16]float32) {
	for k := range l {
		sixteen := x[min(k*16*group, len(x)):]
		if len(sixteen) < 16*group {
			full := make([]float32, 0, 16*group)
			full = append(full, sixteen...)
			for len(full) < 16*group {
				full = append(full, x[:group]...)
			}
			sixteen = full
		}
		layAVX2(&field(&l[k])[0][0], &sixteen[:16*group][0], group)
	}
}

// finish stores a super-block whose groups begin at a lane.
func (k *kquant) finish(block []byte, x, w []float32, g *groups, l *lanes, lane int, found bool) {
	search, units := k.search, k.units
	if w != nil {
		search, units = k.searchWeighted, k.unitsWeighted
	}
	if found {
		n := super / k.group
		copy(g.scale[:n], l.scale[lane:lane+n])
		copy(g.offset[:n], l.offset[lane:lane+n])
		copy(g.weight[:n], l.weight[lane:lane+n])
	} else {
		search(g, x, w)
	}
	if !units(block, g) {
		return
	}
	k.meaning(&g.d, &g.m, block)
	if slices.Contains(g.d[:], 0) { // the levels of the search are wanted
		search(g, x, w)
		k.level(g, block, x)
	} else {
		relevelAVX2(&g.level[0], &x[0], &g.d[0], &g.m[0], uint32(0x400000+k.lo), uint32(k.hi-k.lo))
	}
	k.pack(block, &g.level)
}

// searchIQ4All searches up to thirty-two groups of 32 elements, by importance where there is one, with a sigma for each
// group.
func (v *laneKernels) searchIQ4All(l *[2]lanes, x, w []float32, sigma func(group int) float32) {
	lay(l, x, 32, func(l *lanes) *[32][16]float32 { return &l.x })
	if w == nil {
		eachLanes(l, 32, v.weighSquare)
	} else {
		lay(l, w, 32, func(l *lanes) *[32][16]float32 { return &l.w })
		for j := range len(x) / 32 {
			l[j/16].sigma[j%16] = sigma(j)
		}
		eachLanes(l, 32, v.weighImportance)
	}
	for k := range l {
		for at := 0; at < 16; at += v.width {
			v.searchIQ4(&l[k].x[0][at], 32, &numeratorsIQ4[0], len(numeratorsIQ4))
		}
	}
}

// packIQ4Vector is packIQ4.
func packIQ4Vector(dst []byte, x []float32, inverse float32) {
	if inverse-inverse != 0 { // what it makes of zeros is no number
		packIQ4(dst, x, inverse)
		return
	}
	packIQ4AVX2(&dst[:16][0], &x[:32][0], inverse)
}

func (v *laneKernels) quantizeIQ4_NL(dst []byte, x, w []float32) {
	l := lanesPool.Get().(*[2]lanes)
	defer lanesPool.Put(l)
	for len(x) > 0 {
		n := min(32, len(x)/32)
		v.searchIQ4All(l, x[:32*n], w, func(j int) float32 { return sigmaIQ4(x[32*j : 32*j+32]) })
		for j := range n {
			storeIQ4_NL(dst[18*j:18*j+18], x[32*j:32*j+32], l[j/16].scale[j%16], packIQ4Vector)
		}
		x, dst = x[32*n:], dst[18*n:]
		if w != nil {
			w = w[32*n:]
		}
	}
}

func (v *laneKernels) quantizeIQ4_XS(dst []byte, x, w []float32) {
	l := lanesPool.Get().(*[2]lanes)
	defer lanesPool.Put(l)
	for len(x) > 0 {
		n := min(4, len(x)/super)
		var sigma [4]float32
		if w != nil {
			for b := range n {
				sigma[b] = sigmaIQ4(x[super*b : super*(b+1)])
			}
		}
		v.searchIQ4All(l, x[:super*n], w, func(j int) float32 { return sigma[j/8] })
		for b := range n {
			scale := (*[8]float32)(l[b/2].scale[b%2*8:])
			storeIQ4_XS(dst[136*b:136*(b+1)], x[super*b:super*(b+1)], scale, packIQ4Vector)
		}
		x, dst = x[super*n:], dst[136*n:]
		if w != nil {
			w = w[super*n:]
		}
	}
}

// quantizeRow is the weighted form of Q4_0, Q4_1, Q5_0 or Q5_1, which keeps the levels of the search.
func (v *laneKernels) quantizeRow(typ Type, dst []byte, x, w []float32, sigma2 float32) {
	l := lanesPool.Get().(*[2]lanes)
	defer lanesPool.Put(l)
	size := int(typ.Block().Bytes)
	for len(x) > 0 {
		n := min(32, len(x)/32)
		lay(l, x[:32*n], 32, func(l *lanes) *[32][16]float32 { return &l.x })
		lay(l, w[:32*n], 32, func(l *lanes) *[32][16]float32 { return &l.w })
		for k := range l {
			for j := range l[k].sigma {
				l[k].sigma[j] = sigma2
			}
		}
		eachLanes(l, 32, v.weighImportance)
		if !v.searchRow(typ, l) {
			reference.weightedRow[typ](dst[:size*n], x[:32*n], w[:32*n], sigma2)
		} else {
			for j := range n {
				l[j/16].storeRow(typ, dst[size*j:size*(j+1)], x[32*j:32*j+32], j%16)
			}
		}
		dst, x, w = dst[size*n:], x[32*n:], w[32*n:]
	}
}

func (v *laneKernels) searchRow(typ Type, l *[2]lanes) bool {
	switch typ {
	case Q4_0:
		v.scale(l, 32, 8, numerators8)
	case Q5_0:
		v.scale(l, 32, 16, numerators16)
	case Q4_1:
		return v.affine(v.searchAffine, l, 32, 15, numeratorsWeighted15)
	case Q5_1:
		return v.affine(v.searchAffine, l, 32, 31, numeratorsWeighted31)
	}
	return true
}

// storeRow stores the block that was searched in a lane.
func (l *lanes) storeRow(typ Type, block []byte, x []float32, lane int) {
	var q [32]uint8
	le.PutUint16(block, half(l.scale[lane]))
	level := func(from float32, lowest int32, top uint32) {
		levelAVX2(&q[0], &x[:32][0], l.inverse[lane], from, uint32(0x400000+lowest), top)
	}
	switch typ {
	case Q4_0, Q5_0:
		steps := int32(8)
		if typ == Q5_0 {
			steps = 16
		}
		if l.inverse[lane] != 0 { // the levels of zeros are 0
			level(0, -steps, uint32(2*steps-1))
		}
		if typ == Q4_0 {
			put4(block[2:18], &q)
		} else {
			put5(block[2:22], &q)
		}
	case Q4_1:
		le.PutUint16(block[2:], half(-l.offset[lane]))
		level(l.from[lane], 0, 15)
		put4(block[4:20], &q)
	case Q5_1:
		le.PutUint16(block[2:], half(-l.offset[lane]))
		level(l.from[lane], 0, 31)
		put5(block[4:24], &q)
	}
}

// quantizeMXFP4Vector is quantizeMXFP4. Blocks of values so small that a power of two within float32 does not undo their
// scale are the reference's.
func quantizeMXFP4Vector(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[17:], x[32:] {
		magnitude := magnitudeAVX2(&x[:32][0], 32)
		e := exponentsMXFP4.of(magnitude)
		switch {
		case magnitude == 0:
			clear(dst[:17])
		case magnitude < 0x1p-120 || e < 4:
			quantizeMXFP4(dst, x[:32])
		default:
			dst[0] = e
			packF4AVX2(&dst[1:17][0], &x[0], math.Float32frombits(uint32(255-e)<<23)) // 2^(128-e)
		}
	}
}

// exponentTable is exponentMXFP4 by table, for normal values: where, in the octave of an exponent, the next begins.
type exponentTable [256]uint32

var exponentsMXFP4 = func() *exponentTable {
	t := new(exponentTable)
	for e := uint32(1); e < 255; e++ {
		above := exponentMXFP4(math.Float32frombits(e<<23)) + 1
		lo, hi := e<<23, (e+1)<<23 // the first that has above lies behind lo, and is hi at the latest
		for hi-lo > 1 {
			if mid := lo + (hi-lo)/2; exponentMXFP4(math.Float32frombits(mid)) == above {
				hi = mid
			} else {
				lo = mid
			}
		}
		t[e] = hi
	}
	return t
}()

func (t *exponentTable) of(v float32) uint8 {
	b := math.Float32bits(v)
	e := uint8(b>>23) - 2
	if b >= t[b>>23] {
		e++
	}
	return e
}

// ternaryVector is ternary.
func ternaryVector(q *[super]uint8, block []byte, x []float32) {
	id := putScale(block, magnitudeAVX2(&x[:super][0], super))
	if id-id != 0 { // what it makes of zeros is no number
		ternary(q, block, x)
		return
	}
	ternaryAVX2(&q[0], &x[0], id)
}

func quantizeTQ1_0Vector(dst []byte, x []float32) {
	var q [super]uint8
	for ; len(x) > 0; dst, x = dst[54:], x[super:] {
		ternaryVector(&q, dst[52:54], x)
		packTQ1_0(dst[:52], &q)
	}
}

func quantizeTQ2_0Vector(dst []byte, x []float32) {
	var q [super]uint8
	for ; len(x) > 0; dst, x = dst[66:], x[super:] {
		ternaryVector(&q, dst[64:66], x)
		pack2(dst[:64], &q)
	}
}
