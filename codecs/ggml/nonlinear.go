package ggml

import "math"

// The types whose sixteen levels are not evenly spaced.
//
//	IQ4_NL  32 elements, d float16, d·v[q]                            q in 4 bits, packed as in Q4_0
//	IQ4_XS  8 groups of 32, d·(s-32)·v[q], s in 6 bits                q as in IQ4_NL
//	MXFP4   32 elements, 2^(e-127)·float4(q), OCP MX 1.0              q as in Q4_0
//	NVFP4   4 groups of 16, float8_e4m3(s)·float4(q)                  q as in Q4_0, 16 elements at a time

// valuesIQ4 are the levels of IQ4_NL and IQ4_XS.
var valuesIQ4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// valuesF4 are the values of float4 (e2m1), doubled.
var valuesF4 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// nearestIQ4 is the level nearest to v, the upper of two that are as near.
func nearestIQ4(v float32) uint8 {
	if v <= float32(valuesIQ4[0]) {
		return 0
	}
	if v >= float32(valuesIQ4[15]) {
		return 15
	}
	lo, hi := 0, 15
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; v < float32(valuesIQ4[mid]) {
			hi = mid
		} else {
			lo = mid
		}
	}
	if v-float32(valuesIQ4[hi-1]) < float32(valuesIQ4[hi])-v {
		return uint8(hi - 1)
	}
	return uint8(hi)
}

// numeratorsOfIQ4 are those of the inverse scales that searchIQ4 tries after the first, the denominator of which is the
// element of largest magnitude.
func numeratorsOfIQ4() []float32 {
	var list []float32
	for try := -7; try <= 7; try++ {
		list = append(list, float32(try)+float32(valuesIQ4[0]))
	}
	return list
}

// searchIQ4 finds a scale d such that d·v[level] is near x, by least squares of weight w. It tries the scales that put
// the element of largest magnitude at the lowest level, and at up to 7 below and above it. The scale of
// zeros is 0.
func searchIQ4(x, w []float32) float32 {
	value, magnitude := largest(x)
	if magnitude < least {
		return 0
	}
	lowest := float32(valuesIQ4[0])
	fit := func(inverse float32) (sumQX, sumQ2 float32) {
		for i, v := range x {
			f := float32(valuesIQ4[nearestIQ4(float32(inverse*v))])
			wf := float32(w[i] * f)
			sumQX += float32(wf * v)
			sumQ2 += float32(wf * f)
		}
		return sumQX, sumQ2
	}
	sumQX, sumQ2 := fit(1 / (-value / lowest))
	var scale float32
	if sumQ2 > 0 {
		scale = sumQX / sumQ2
	}
	best := float32(scale * sumQX)
	for _, numerator := range numeratorsOfIQ4() {
		sumQX, sumQ2 = fit(numerator / value)
		if sumQ2 > 0 && float32(sumQX*sumQX) > float32(best*sumQ2) {
			scale = sumQX / sumQ2
			best = float32(scale * sumQX)
		}
	}
	return scale
}

// inverseOf is 1/d, 0 for 0.
func inverseOf(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}

// squares are the weights of a group where there are no importances.
func squares(weight, x []float32) {
	for i := range weight {
		weight[i] = float32(x[i] * x[i])
	}
}

// sigmaIQ4 is twice the mean of the squares.
func sigmaIQ4(x []float32) float32 {
	return float32(sumSquares(0, x) * (2 / float32(len(x))))
}

func quantizeIQ4_NL(dst []byte, x []float32) {
	var weight [32]float32
	for ; len(x) > 0; dst, x = dst[18:], x[32:] {
		squares(weight[:], x)
		storeIQ4_NL(dst, x, searchIQ4(x[:32], weight[:]), packIQ4)
	}
}

func quantizeWeightedIQ4_NL(dst []byte, x, w []float32) {
	var weight [32]float32
	for ; len(x) > 0; dst, x, w = dst[18:], x[32:], w[32:] {
		weigh(weight[:], x, w, sigmaIQ4(x[:32]))
		storeIQ4_NL(dst, x, searchIQ4(x[:32], weight[:]), packIQ4)
	}
}

// storeIQ4_NL stores a block with the scale that was found.
func storeIQ4_NL(block []byte, x []float32, scale float32, pack func(dst []byte, x []float32, inverse float32)) {
	le.PutUint16(block, half(scale))
	pack(block[2:18], x, inverseOf(scale))
}

// packIQ4 stores the levels nearest to 32 elements times inverse.
func packIQ4(dst []byte, x []float32, inverse float32) {
	for i := range 16 {
		dst[i] = nearestIQ4(float32(inverse*x[i])) | nearestIQ4(float32(inverse*x[i+16]))<<4
	}
}

func quantizeIQ4_XS(dst []byte, x []float32) {
	var weight [super]float32
	for ; len(x) > 0; dst, x = dst[136:], x[super:] {
		squares(weight[:], x)
		quantizeSuperIQ4_XS(dst, x, &weight)
	}
}

func quantizeWeightedIQ4_XS(dst []byte, x, w []float32) {
	var weight [super]float32
	for ; len(x) > 0; dst, x, w = dst[136:], x[super:], w[super:] {
		weigh(weight[:], x, w, sigmaIQ4(x[:super]))
		quantizeSuperIQ4_XS(dst, x, &weight)
	}
}

func quantizeSuperIQ4_XS(block []byte, x []float32, weight *[super]float32) {
	var scale [8]float32
	for j := range scale {
		scale[j] = searchIQ4(x[32*j:32*j+32], weight[32*j:32*j+32])
	}
	storeIQ4_XS(block, x, &scale, packIQ4)
}

// storeIQ4_XS stores a super-block, the scale of the greatest magnitude at -32: d, the upper two bits of the scales in a
// word, their lower four, and the elements.
func storeIQ4_XS(block []byte, x []float32, scale *[8]float32, pack func(dst []byte, x []float32, inverse float32)) {
	value, _ := largest(scale[:])
	d := -value / 32
	inverse := putScale(block, d)
	var high uint16
	clear(block[4:8])
	for j, s := range scale {
		l := clamp(nearest(float32(inverse*s)), -32, 31)
		pack(block[8+16*j:24+16*j], x[32*j:32*j+32], inverseOf(float32(d*float32(l))))
		block[4+j/2] |= uint8(l+32) & 15 << (j % 2 * 4)
		high |= uint16(l+32) >> 4 << (2 * j)
	}
	le.PutUint16(block[2:], high)
}

// halfE8M0 is 2^(e-128): half of what the exponent means, since valuesF4 are doubled.
func halfE8M0(e uint8) float32 {
	if e < 2 {
		return math.Float32frombits(0x200000 << e)
	}
	return math.Float32frombits(uint32(e-1) << 23)
}

// exponentMXFP4 is the exponent of a block whose largest magnitude is m. The logarithm is rounded to float32 before its
// fraction goes: of a value just below a power of two it is that power's.
func exponentMXFP4(m float32) uint8 {
	if m == 0 {
		return 0
	}
	return uint8(truncate(float32(math.Floor(float64(float32(math.Log2(float64(m)))))) - 2 + 127))
}

// nearestF4 is the first of the levels that are nearest to v in units of d.
func nearestF4(v, d float32) uint8 {
	best, least := 0, abs(float32(float32(valuesF4[0])*d)-v)
	for i := 1; i < 16; i++ {
		if e := abs(float32(float32(valuesF4[i])*d) - v); e < least {
			best, least = i, e
		}
	}
	return uint8(best)
}

func quantizeMXFP4(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[17:], x[32:] {
		_, magnitude := largest(x[:32])
		dst[0] = exponentMXFP4(magnitude)
		d := halfE8M0(dst[0])
		for j := range 16 {
			dst[1+j] = nearestF4(x[j], d) | nearestF4(x[j+16], d)<<4
		}
	}
}

func widenIQ4_NL(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		widen4(dst[:32], src[2:18], single(le.Uint16(src)), &valuesIQ4)
	}
}

func widenIQ4_XS(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[136:] {
		for j := range 8 {
			widen4(dst[32*j:32*j+32], src[8+16*j:24+16*j], scaleIQ4XS(src, j), &valuesIQ4)
		}
	}
}

// scaleIQ4XS is the scale of group j of a super-block.
func scaleIQ4XS(block []byte, j int) float32 {
	s := int32(block[4+j/2]>>(j%2*4)&15) | int32(le.Uint16(block[2:])>>(2*j)&3)<<4
	return float32(single(le.Uint16(block)) * float32(s-32))
}

func widenMXFP4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[17:] {
		widen4(dst[:32], src[1:17], halfE8M0(src[0]), &valuesF4)
	}
}

func widenNVFP4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[64:], src[36:] {
		for j := range 4 {
			widen4(dst[16*j:16*j+16], src[4+8*j:12+8*j], halfUE4M3(src[j]), &valuesF4)
		}
	}
}

// widen4 are the values of elements of 4 bits: the low halves of the bytes, and then the high ones.
func widen4(dst []float32, src []byte, d float32, values *[16]int8) {
	for i, q := range src {
		dst[i] = d * float32(values[q&15])
		dst[i+len(src)] = d * float32(values[q>>4])
	}
}

// halfUE4M3 is half of a float8 (e4m3fn) whose sign counts for nothing; what would be a NaN is 0.
func halfUE4M3(s uint8) float32 {
	switch exponent, fraction := int(s>>3&15), float64(s&7); {
	case s == 0x7f:
		return 0
	case exponent == 0:
		return float32(math.Ldexp(fraction, -10)) // exact
	default:
		return float32(math.Ldexp(8+fraction, exponent-11)) // exact
	}
}
