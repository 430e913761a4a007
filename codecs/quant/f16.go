package quant

import "math"

// float16 (IEEE 754 binary16): sign, 5 bits of exponent (bias 15), 10 of fraction.

// widenF16 is a float16 as the same float32, bits to bits.
func widenF16(h uint16) uint32 {
	if normal(h) {
		return widenNormalF16(h)
	}
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	if mag >= 0x1f<<23 { // an infinity, or a NaN
		if mag > 0x1f<<23 {
			mag |= 1 << 22
		}
		return sign | mag | 0xff<<23
	}
	// A subnormal is its fraction times 2^-24: the fraction of a float32 of exponent -14, less the leading one.
	const leading = (127 - 14) << 23
	return sign | math.Float32bits(math.Float32frombits(mag|leading)-math.Float32frombits(leading))
}

// normal reports whether a float16 is neither 0 nor subnormal, nor an infinity or a NaN: whether widenNormalF16 does
// for it what widenF16 does. As with normalF16, the loops below ask first.
func normal(h uint16) bool { return h&0x7fff-0x400 < 0x7c00-0x400 }

// widenNormalF16 extends the sign over the bits that the wider exponent takes, clears them, and moves the exponent.
func widenNormalF16(h uint16) uint32 { return uint32(int32(int16(h)))<<13&0x8fffffff + (127-15)<<23 }

// f16ToF64 is dst[i] = float64(src[i]).
func f16ToF64(dst, src []byte) {
	for i := range min(len(dst)/8, len(src)/2) {
		le.PutUint64(dst[8*i:8*i+8], widenF32(widenF16(le.Uint16(src[2*i:2*i+2]))))
	}
}

// f16ToF32 is dst[i] = float32(src[i]).
func f16ToF32(dst, src []byte) {
	for i := range min(len(dst)/4, len(src)/2) {
		h := le.Uint16(src[2*i : 2*i+2])
		b := widenNormalF16(h)
		if !normal(h) {
			b = widenF16(h)
		}
		le.PutUint32(dst[4*i:4*i+4], b)
	}
}

// f16ToBF16 is dst[i] = bfloat16(src[i]).
func f16ToBF16(dst, src []byte) {
	for i := range min(len(dst)/2, len(src)/2) {
		h := le.Uint16(src[2*i : 2*i+2])
		b := widenNormalF16(h)
		if !normal(h) {
			b = widenF16(h)
		}
		le.PutUint16(dst[2*i:2*i+2], narrowBF16(b))
	}
}
