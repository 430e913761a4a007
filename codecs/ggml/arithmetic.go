package ggml

import (
	"math"
	"unsafe"
)

// Every product in this package stands in float32(...): the conversion is a rounding, so no compiler may fuse it with
// the sum it goes into.

// half is v as float16, rounded to nearest even, an infinity beyond the largest.
func half(v float32) uint16 {
	b := math.Float32bits(v)
	sign, b := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x47800000: // 2^16
		return sign | 0x7c00
	case b < 0x38800000: // 2^-14: subnormal; the unit of 0.5 in float32 is that of a subnormal float16
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-0x38000000)>>13)
}

// single is the float16 h as float32. A NaN becomes quiet.
func single(h uint16) float32 {
	sign, b := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	switch {
	case b > 0x7c00<<13:
		b = b + 0x70000000 | 0x400000
	case b == 0x7c00<<13:
		b += 0x70000000
	default:
		b = math.Float32bits(float32(math.Float32frombits(b) * 0x1p112))
	}
	return math.Float32frombits(sign | b)
}

// nearest is v rounded to the nearest integer, ties to even, for |v| up to 4194303. Beyond, and for what is no number,
// it is what the reference makes of it.
func nearest(v float32) int32 {
	return int32(math.Float32bits(v+12582912)&0x7fffff) - 0x400000
}

// truncate is v without its fraction; -2^31 for all that no int32 holds, as x86 has it.
func truncate(v float32) int32 {
	if v >= -0x1p31 && v < 0x1p31 {
		return int32(v)
	}
	return math.MinInt32
}

// round is v rounded to the nearest integer, ties away from zero.
func round(v float32) float32 {
	if !(abs(v) < 0x1p23) {
		return v
	}
	t := float32(int32(v))
	switch d := v - t; { // exact
	case d >= 0.5:
		return t + 1
	case d <= -0.5:
		return t - 1
	}
	return t
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

func sqrt(v float32) float32 { return float32(math.Sqrt(float64(v))) } // rounded once: float64 has more than twice the bits

func clamp(v, lo, hi int32) int32 { return max(lo, min(hi, v)) }

// sumSquares adds the squares of x to sum, one after another.
func sumSquares(sum float32, x []float32) float32 {
	for _, v := range x {
		sum += float32(v * v)
	}
	return sum
}

// largest is the value of x with the largest magnitude, the first of them, and the magnitude.
func largest(x []float32) (value, magnitude float32) {
	for _, v := range x {
		if a := abs(v); a > magnitude {
			value, magnitude = v, a
		}
	}
	return value, magnitude
}

// finite reports whether every value of x is.
func finite(x []float32) bool {
	for _, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return false
		}
	}
	return true
}

// bytesOf are the bytes of x, little-endian as the processors are that Go programs of this kind run on.
func bytesOf(x []float32) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
}

// singles are the float32 whose bytes are b, where b lies as they must; nil elsewhere.
func singles(b []byte) []float32 {
	if len(b) == 0 || uintptr(unsafe.Pointer(&b[0]))%4 != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}
