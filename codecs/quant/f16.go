package quant

import "math"

// float16 (IEEE 754 binary16): sign, 5 bits of exponent (bias 15), 10 of fraction.

// widenF16 is a float16 as the same float32, bits to bits.
func widenF16(h uint16) uint32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	switch {
	case mag >= 0x1f<<23:
		if mag > 0x1f<<23 {
			mag |= 1 << 22
		}
		return sign | mag | 0xff<<23
	case mag >= 1<<23:
		return sign | mag + (127-15)<<23
	}
	// A subnormal is its fraction times 2^-24: the fraction of a float32 of exponent -14, less the leading one.
	const least = (127 - 14) << 23
	return sign | math.Float32bits(math.Float32frombits(mag|least)-math.Float32frombits(least))
}

// f16ToF64 is dst[i] = float64(src[i]).
func f16ToF64(dst, src []byte) {
	for ; len(dst) >= 8 && len(src) >= 2; dst, src = dst[8:], src[2:] {
		le.PutUint64(dst, widenF32(widenF16(le.Uint16(src))))
	}
}

// f16ToF32 is dst[i] = float32(src[i]).
func f16ToF32(dst, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 2; dst, src = dst[4:], src[2:] {
		le.PutUint32(dst, widenF16(le.Uint16(src)))
	}
}

// f16ToBF16 is dst[i] = bfloat16(src[i]).
func f16ToBF16(dst, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 2; dst, src = dst[2:], src[2:] {
		le.PutUint16(dst, narrowBF16(widenF16(le.Uint16(src))))
	}
}
