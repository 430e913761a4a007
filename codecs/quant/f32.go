package quant

import (
	"encoding/binary"
	"math"
)

// float32: sign, 8 bits of exponent (bias 127), 23 of fraction.

var le = binary.LittleEndian

// narrowF16 is the float16 nearest to a float32, bits to bits.
func narrowF16(b uint32) uint16 {
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag >= pastF16: // 65520 up to there carry into the infinity below
		if mag > 0x7f800000 {
			return sign | 0x7e00 | uint16(mag>>13)&0x1ff
		}
		return sign | 0x7c00
	case mag >= leastF16:
		return narrowNormalF16(b)
	}
	// The unit in the last place of 0.5 is 2^-24, the least subnormal float16: the addition rounds to a multiple of it.
	return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-math.Float32bits(0.5))
}

// Magnitudes of float32, as bits.
const (
	leastF16 = (127 - 14) << 23 // 2^-14, the least normal float16
	pastF16  = (127 + 16) << 23 // 2^16, past the largest
)

// normalF16 reports whether narrowNormalF16 does for b what narrowF16 does. The loops below ask before they call: most
// weights are of this kind, and a call for each would take half the time.
func normalF16(b uint32) bool { return b&0x7fffffff-leastF16 < pastF16-leastF16 }

// narrowNormalF16 moves the exponent, and adds just under half of the unit in the last place, or half where that is
// odd: what is carried out of the fraction belongs to the exponent.
func narrowNormalF16(b uint32) uint16 {
	return uint16(b>>16)&0x8000 | uint16((b&0x7fffffff-(127-15)<<23+0xfff+b>>13&1)>>13)
}

// narrowBF16 is the bfloat16 nearest to a float32, bits to bits.
func narrowBF16(b uint32) uint16 {
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// widenF32 is a float32 as the same float64, bits to bits. See narrowF32 for the NaNs.
func widenF32(b uint32) uint64 {
	x := math.Float32frombits(b)
	if x != x {
		return uint64(b>>31)<<63 | 0x7ff8<<48 | uint64(b&0x3fffff)<<29
	}
	return math.Float64bits(float64(x))
}

// f32ToF64 is dst[i] = float64(src[i]).
func f32ToF64(dst, src []byte) {
	for i := range min(len(dst)/8, len(src)/4) {
		le.PutUint64(dst[8*i:8*i+8], widenF32(le.Uint32(src[4*i:4*i+4])))
	}
}

// f32ToF16 is dst[i] = float16(src[i]).
func f32ToF16(dst, src []byte) {
	for i := range min(len(dst)/2, len(src)/4) {
		b := le.Uint32(src[4*i : 4*i+4])
		h := narrowNormalF16(b)
		if !normalF16(b) {
			h = narrowF16(b)
		}
		le.PutUint16(dst[2*i:2*i+2], h)
	}
}

// f32ToBF16 is dst[i] = bfloat16(src[i]).
func f32ToBF16(dst, src []byte) {
	for i := range min(len(dst)/2, len(src)/4) {
		le.PutUint16(dst[2*i:2*i+2], narrowBF16(le.Uint32(src[4*i:4*i+4])))
	}
}
