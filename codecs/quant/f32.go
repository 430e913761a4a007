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
	case mag >= 0x47800000: // 65536 and beyond; 65520 to 65536 carry into the infinity below
		if mag > 0x7f800000 {
			return sign | 0x7e00 | uint16(mag>>13)&0x1ff
		}
		return sign | 0x7c00
	case mag >= 0x38800000: // 2^-14, the least normal float16
		mag -= (127 - 15) << 23
		return sign | uint16((mag+0xfff+mag>>13&1)>>13)
	}
	// The unit in the last place of 0.5 is 2^-24, the least subnormal float16: the addition rounds to a multiple of it.
	return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-math.Float32bits(0.5))
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
	for ; len(dst) >= 8 && len(src) >= 4; dst, src = dst[8:], src[4:] {
		le.PutUint64(dst, widenF32(le.Uint32(src)))
	}
}

// f32ToF16 is dst[i] = float16(src[i]).
func f32ToF16(dst, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 4; dst, src = dst[2:], src[4:] {
		le.PutUint16(dst, narrowF16(le.Uint32(src)))
	}
}

// f32ToBF16 is dst[i] = bfloat16(src[i]).
func f32ToBF16(dst, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 4; dst, src = dst[2:], src[4:] {
		le.PutUint16(dst, narrowBF16(le.Uint32(src)))
	}
}
