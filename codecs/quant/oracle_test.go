package quant

import (
	"math/bits"

	"github.com/isomerfs/isomerfs/model"
)

// format is a binary floating-point format of the IEEE 754 kind.
type format struct {
	exponent, fraction int  // bits
	fn                 bool // no infinities; the only NaN is all ones
}

var formats = map[model.DType]format{
	model.F64: {11, 52, false}, model.F32: {8, 23, false}, model.F16: {5, 10, false}, model.BF16: {8, 7, false},
	model.F8E5M2: {5, 2, false}, model.F8E4M3: {4, 3, true},
}

func (f format) bytes() int { return (1 + f.exponent + f.fraction) / 8 }

// oracle casts one element the slow and obvious way: the value as a whole number times a power of two, the distance
// of the numbers that the target has around it, the remainder, and a comparison with the half.
func oracle(from, to model.DType, in uint64) uint64 {
	f, g := formats[from], formats[to]
	negative := in >> (f.exponent + f.fraction) & 1
	exponent := int(in >> f.fraction & (1<<f.exponent - 1))
	fraction := in & (1<<f.fraction - 1)
	top := 1<<f.exponent - 1
	out := negative << (g.exponent + g.fraction)
	infinity := uint64(1<<g.exponent-1) << g.fraction

	special := exponent == top
	if f.fn {
		special = special && fraction == 1<<f.fraction-1
	}
	if special && fraction == 0 {
		return out | infinity
	}
	if special { // the payload stays at the upper end of the fraction
		payload := fraction << (64 - f.fraction) >> (64 - g.fraction)
		if from != model.BF16 || to != model.F32 {
			payload |= 1 << (g.fraction - 1)
		}
		return out | infinity | payload
	}

	whole, scale := fraction, 2-1<<(f.exponent-1)-f.fraction // the value is whole * 2^scale
	if exponent > 0 {
		whole |= 1 << f.fraction
		scale += exponent - 1
	}
	if whole == 0 {
		return out
	}
	distance := 2 - 1<<(g.exponent-1) - g.fraction                 // of the subnormals of g, as a power of two
	distance = max(distance, scale+bits.Len64(whole)-1-g.fraction) // and further up
	numerator := uint64(0)                                         // the result is numerator * 2^distance
	if by := distance - scale; by <= 0 {
		numerator = whole << -by
	} else if by < 64 {
		numerator = whole >> by
		rest, half := whole&(1<<by-1), uint64(1)<<(by-1)
		if rest > half || rest == half && numerator&1 == 1 {
			numerator++
		}
	}
	if numerator == 1<<(g.fraction+1) {
		numerator, distance = numerator>>1, distance+1
	}
	if numerator < 1<<g.fraction {
		return out | numerator
	}
	exponent = distance - (2 - 1<<(g.exponent-1) - g.fraction) + 1
	if exponent >= 1<<g.exponent-1 {
		return out | infinity
	}
	return out | uint64(exponent)<<g.fraction | numerator&(1<<g.fraction-1)
}
