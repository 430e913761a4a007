package quant

import "math"

// The two float8 of the Open Compute Project's 8-bit floating point specification (OFP8, revision 1.0, 2023).
//
// E5M2 has 5 bits of exponent (bias 15) and 2 of fraction: the upper half of a float16, infinities and NaNs included.
// E4M3 has 4 bits of exponent (bias 7) and 3 of fraction, no infinities, and NaNs in 0x7f and 0xff alone: the "fn"
// variant.
//
// Every value of either is one of float16, bfloat16 and float32: these casts are exact, and a table has all of them.

var (
	e4m3F32           = tableF32(widenE4M3)
	e5m2F32           = tableF32(func(x uint8) uint32 { return widenF16(uint16(x) << 8) })
	e4m3F16, e4m3BF16 = tableOf(&e4m3F32, narrowF16), tableOf(&e4m3F32, narrowBF16)
	e5m2F16, e5m2BF16 = tableOf(&e5m2F32, narrowF16), tableOf(&e5m2F32, narrowBF16)
)

func tableF32(widen func(uint8) uint32) (t [256]uint32) {
	for i := range t {
		t[i] = widen(uint8(i))
	}
	return t
}

func tableOf(f32 *[256]uint32, narrow func(uint32) uint16) (t [256]uint16) {
	for i := range t {
		t[i] = narrow(f32[i])
	}
	return t
}

// widenE4M3 is an E4M3 as the same float32, bits to bits.
func widenE4M3(x uint8) uint32 {
	sign, mag := uint32(x&0x80)<<24, uint32(x&0x7f)<<20
	switch {
	case x&0x7f == 0x7f:
		return sign | mag | 0xff<<23
	case mag >= 1<<23:
		return sign | mag + (127-7)<<23
	}
	const least = (127 - 6) << 23 // as in widenF16: a subnormal is its fraction times 2^-9
	return sign | math.Float32bits(math.Float32frombits(mag|least)-math.Float32frombits(least))
}

// e4m3ToF32 is dst[i] = float32(src[i]).
func e4m3ToF32(dst, src []byte) { look32(dst, src, &e4m3F32) }

// e4m3ToF16 is dst[i] = float16(src[i]).
func e4m3ToF16(dst, src []byte) { look16(dst, src, &e4m3F16) }

// e4m3ToBF16 is dst[i] = bfloat16(src[i]).
func e4m3ToBF16(dst, src []byte) { look16(dst, src, &e4m3BF16) }

// e5m2ToF32 is dst[i] = float32(src[i]).
func e5m2ToF32(dst, src []byte) { look32(dst, src, &e5m2F32) }

// e5m2ToF16 is dst[i] = float16(src[i]).
func e5m2ToF16(dst, src []byte) { look16(dst, src, &e5m2F16) }

// e5m2ToBF16 is dst[i] = bfloat16(src[i]).
func e5m2ToBF16(dst, src []byte) { look16(dst, src, &e5m2BF16) }

func look32(dst, src []byte, t *[256]uint32) {
	for i, x := range src[:min(len(dst)/4, len(src))] {
		le.PutUint32(dst[4*i:4*i+4], t[x])
	}
}

func look16(dst, src []byte, t *[256]uint16) {
	for i, x := range src[:min(len(dst)/2, len(src))] {
		le.PutUint16(dst[2*i:2*i+2], t[x])
	}
}
