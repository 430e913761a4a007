package ggml

import "math/bits"

// The types whose elements come as points of a grid. They are read and never made: their makers search the grids for
// minutes, and give little without importances.
//
//	IQ1_S    groups of 8, d·(2s+1)·(point ± 1/8), s of each 32
//	IQ1_M    groups of 8, d·(2s+1)·(point ± 1/8), s of each 16; d is spread over the scales
//	IQ2_XXS  groups of 8, d·(s+1/2)/4·±point, s of each 32; of the eight signs the last makes their number even
//	IQ2_XS   groups of 8, d·(s+1/2)/4·±point, s of each 16; signs as in IQ2_XXS
//	IQ2_S    groups of 8, d·(s+1/2)/4·±point, s of each 16; all signs are stored
//	IQ3_XXS  groups of 4, d·(s+1/2)/2·±point, s of each 32; signs as in IQ2_XXS
//	IQ3_S    groups of 4, d·(2s+1)·±point, s of each 32; all signs are stored

var (
	valuesIQ2    = [4]float32{8, 25, 43}
	valuesIQ3XXS = [8]float32{4, 12, 20, 28, 36, 44, 52, 62}
	valuesIQ3S   = [8]float32{1, 3, 5, 7, 9, 11, 13, 15}
)

// even are eight signs of which seven are stored.
func even(seven uint32) uint8 { return uint8(seven&127 | uint32(bits.OnesCount32(seven&127)&1)<<7) }

// put2 stores the point of a grid of eight, each with a sign: 1 is minus.
func put2(dst []float32, scale float32, point uint16, signs uint8) {
	for i := range 8 {
		v := float32(scale * valuesIQ2[point>>(2*i)&3])
		if signs>>i&1 != 0 {
			v = -v
		}
		dst[i] = v
	}
}

// put3 stores the point of a grid of four, each with a sign.
func put3(dst []float32, scale float32, values *[8]float32, point uint16, signs uint8) {
	for i := range 4 {
		v := float32(scale * values[point>>(3*i)&7])
		if signs>>i&1 != 0 {
			v = -v
		}
		dst[i] = v
	}
}

// put1 stores the point of a grid of eight that is shifted.
func put1(dst []float32, scale float32, point uint16, shift float32) {
	for i := range 8 {
		dst[i] = scale * (float32(int(point>>(2*i)&3)-1) + shift)
	}
}

// halves is d·(s+1/2)·unit.
func halves(d float32, s uint32, unit float32) float32 {
	return float32(float32(d*(0.5+float32(s))) * unit)
}

// shiftIQ1 is an eighth, down or up.
func shiftIQ1(down bool) float32 {
	if down {
		return -0.125
	}
	return 0.125
}

func widenIQ2_XXS(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[66:] {
		d := single(le.Uint16(src))
		for j := range 8 {
			points, rest := src[2+8*j:6+8*j], le.Uint32(src[6+8*j:])
			scale := halves(d, rest>>28, 0.25)
			for l, p := range points {
				put2(dst[32*j+8*l:], scale, gridIQ2XXS[p], even(rest>>(7*l)))
			}
		}
	}
}

func widenIQ2_XS(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[74:] {
		d := single(le.Uint16(src))
		for j := range 32 {
			p := le.Uint16(src[2+2*j:])
			scale := halves(d, uint32(src[66+j/4]>>(j/2%2*4)&15), 0.25)
			put2(dst[8*j:], scale, gridIQ2XS[p&511], even(uint32(p>>9)))
		}
	}
}

func widenIQ2_S(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[82:] {
		d := single(le.Uint16(src))
		for j := range 32 {
			p := uint16(src[2+j]) | uint16(src[66+j/4]>>(j%4*2)&3)<<8
			scale := halves(d, uint32(src[74+j/4]>>(j/2%2*4)&15), 0.25)
			put2(dst[8*j:], scale, gridIQ2S[p], src[34+j])
		}
	}
}

func widenIQ3_XXS(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[98:] {
		d := single(le.Uint16(src))
		for j := range 8 {
			rest := le.Uint32(src[66+4*j:])
			scale := halves(d, rest>>28, 0.5)
			for l := range 4 {
				signs, points := even(rest>>(7*l)), src[2+8*j+2*l:]
				put3(dst[32*j+8*l:], scale, &valuesIQ3XXS, gridIQ3XXS[points[0]], signs)
				put3(dst[32*j+8*l+4:], scale, &valuesIQ3XXS, gridIQ3XXS[points[1]], signs>>4)
			}
		}
	}
}

func widenIQ3_S(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[110:] {
		d := single(le.Uint16(src))
		for j := range 64 {
			p := uint16(src[2+j]) | uint16(src[66+j/8]>>(j%8)&1)<<8
			scale := float32(d * float32(1+2*(src[106+j/16]>>(j/8%2*4)&15)))
			put3(dst[4*j:], scale, &valuesIQ3S, gridIQ3S[p], src[74+j/2]>>(j%2*4))
		}
	}
}

func widenIQ1_S(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[50:] {
		d := single(le.Uint16(src))
		for j := range 8 {
			high := le.Uint16(src[34+2*j:])
			scale := float32(d * float32(2*(high>>12&7)+1))
			for l := range 4 {
				p := uint16(src[2+4*j+l]) | high>>(3*l)&7<<8
				put1(dst[32*j+8*l:], scale, gridIQ1[p], shiftIQ1(high&0x8000 != 0))
			}
		}
	}
}

func widenIQ1_M(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[56:] {
		var scales [4]uint16
		var dBits uint16
		for i := range scales {
			scales[i] = le.Uint16(src[48+2*i:])
			dBits |= scales[i] >> 12 << (4 * i)
		}
		d := single(dBits)
		for j := range 32 {
			high := src[32+j/2] >> (j % 2 * 4)
			p := uint16(src[j]) | uint16(high&7)<<8
			s := scales[j/8] >> (j / 2 % 4 * 3) & 7
			put1(dst[8*j:], float32(d*float32(2*s+1)), gridIQ1[p], shiftIQ1(high&8 != 0))
		}
	}
}
