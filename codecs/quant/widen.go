package quant

import (
	"math"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// The float8 that are only ever looked at: no view narrows to them or casts them to a half, so they have no line in
// the table.
//
// E4M3FNUZ and E5M2FNUZ (https://arxiv.org/abs/2206.02915) have the bits of E4M3 and E5M2, a bias larger by one (8
// and 16), no infinities, no negative zero, and one NaN, where that zero would be: 0x80. E8M0 is an exponent alone
// (bias 127), a power of two without a sign: a scale of the Open Compute Project's microscaling formats (OCP MX 1.0);
// 0xff is its NaN.
var (
	fnuzE4M3 = tableF32(func(x uint8) uint32 { return widenFNUZ(x, 3, 8) })
	fnuzE5M2 = tableF32(func(x uint8) uint32 { return widenFNUZ(x, 2, 16) })
	e8m0     = tableF32(widenE8M0)

	widenings = map[model.DType]layout.Op{
		model.F8E4M3FNUZ: &cast{name: "f8_e4m3fnuz→f32/1", from: 1, to: 4, pure: func(dst, src []byte) { look32(dst, src, &fnuzE4M3) }},
		model.F8E5M2FNUZ: &cast{name: "f8_e5m2fnuz→f32/1", from: 1, to: 4, pure: func(dst, src []byte) { look32(dst, src, &fnuzE5M2) }},
		model.F8E8M0:     &cast{name: "f8_e8m0→f32/1", from: 1, to: 4, pure: func(dst, src []byte) { look32(dst, src, &e8m0) }},
	}
)

const nanF32 = 0x7fc00000

// widenFNUZ is a float8 of so many bits of fraction, and this bias, as the same float32, bits to bits.
func widenFNUZ(x uint8, fraction, bias int) uint32 {
	if x == 0x80 {
		return nanF32
	}
	exponent, part := int(x&0x7f)>>fraction, float64(x&(1<<fraction-1))/float64(int(1)<<fraction)
	v := math.Ldexp(1+part, exponent-bias)
	if exponent == 0 {
		v = math.Ldexp(part, 1-bias)
	}
	if x&0x80 != 0 {
		v = -v
	}
	return math.Float32bits(float32(v)) // exact
}

// widenE8M0 is 2^(x-127).
func widenE8M0(x uint8) uint32 {
	if x == 0xff {
		return nanF32
	}
	return math.Float32bits(float32(math.Ldexp(1, int(x)-127))) // exact: 2^-127 is a subnormal
}

// Widen is the encoding that turns elements of a type into the float32 of the same values: float16, bfloat16, and
// every float8. It reports false for a type that float32 does not hold exactly, and for float32 itself.
func Widen(from model.DType) (layout.Op, bool) {
	if op, ok := widenings[from]; ok {
		return op, true
	}
	if from == model.F64 {
		return nil, false
	}
	return Cast(from, model.F32)
}
