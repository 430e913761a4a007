package quant

import "math"

// float64: sign, 11 bits of exponent (bias 1023), 52 of fraction.

// odd is a float64 as the float32 that is rounded to odd: towards zero, with the last bit set if that lost anything.
// Whatever has at least two bits less than a float32 and is rounded from it is then rounded once: what was lost lives
// on in a bit that is no tie and on the right side of one (Boldo and Melquiond, Emulation of FMA and correctly rounded
// sums: proved algorithms using rounding to odd, 2008).
func odd(b uint64) uint32 {
	n := narrowF32(b)
	x, back := math.Float64frombits(b), float64(math.Float32frombits(n))
	switch {
	case back == x || x != x:
		return n
	case math.Abs(back) > math.Abs(x):
		n-- // the next one towards zero; from an infinity, the largest finite
	}
	return n | 1
}

// narrowF32 is the float32 nearest to a float64, bits to bits. The conversion of a NaN is left to no processor: some
// have one NaN for all.
func narrowF32(b uint64) uint32 {
	x := math.Float64frombits(b)
	if x != x {
		return uint32(b>>32)&(1<<31) | 0x7fc00000 | uint32(b>>29)&0x3fffff
	}
	return math.Float32bits(float32(x))
}

// f64ToF32 is dst[i] = float32(src[i]).
func f64ToF32(dst, src []byte) {
	for i := range min(len(dst)/4, len(src)/8) {
		le.PutUint32(dst[4*i:4*i+4], narrowF32(le.Uint64(src[8*i:8*i+8])))
	}
}

// f64ToF16 is dst[i] = float16(src[i]), rounded once.
func f64ToF16(dst, src []byte) {
	for i := range min(len(dst)/2, len(src)/8) {
		b := odd(le.Uint64(src[8*i : 8*i+8]))
		h := narrowNormalF16(b)
		if !normalF16(b) {
			h = narrowF16(b)
		}
		le.PutUint16(dst[2*i:2*i+2], h)
	}
}

// f64ToBF16 is dst[i] = bfloat16(src[i]), rounded once.
func f64ToBF16(dst, src []byte) {
	for i := range min(len(dst)/2, len(src)/8) {
		le.PutUint16(dst[2*i:2*i+2], narrowBF16(odd(le.Uint64(src[8*i:8*i+8]))))
	}
}
