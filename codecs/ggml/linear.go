package ggml

import "math"

// The types with one scale to 32 elements: an element is d·q or d·q + m.
//
//	Q4_0  d float16, q-8 in 4 bits                      Q4_1  d, m float16, q in 4 bits
//	Q5_0  d float16, the fifth bits, q-16 in 4 bits     Q5_1  d, m float16, the fifth bits, q in 4 bits
//	Q8_0  d float16, q in 8 bits
//
// Byte j of the sixteen with 4 bits each has element j in its low half and element j+16 in its high half; the fifth bit
// of element j is bit j of a little-endian word.

func quantizeQ4_0(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[18:], x[32:] {
		value, _ := largest(x[:32])
		id := putScale(dst, value/-8)
		for j := range 16 {
			a := min(15, int8(truncate(float32(x[j]*id)+8.5)))
			b := min(15, int8(truncate(float32(x[j+16]*id)+8.5)))
			dst[2+j] = byte(a) | byte(b)<<4
		}
	}
}

func quantizeQ5_0(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[22:], x[32:] {
		value, _ := largest(x[:32])
		id := putScale(dst, value/-16)
		var q [32]uint8
		for j, v := range x[:32] {
			q[j] = uint8(min(31, int8(truncate(float32(v*id)+16.5))))
		}
		put5(dst[2:22], &q)
	}
}

func quantizeQ4_1(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[20:], x[32:] {
		lo, hi := limits(x[:32])
		id := putScale(dst, (hi-lo)/15)
		le.PutUint16(dst[2:], half(lo))
		for j := range 16 {
			a := min(15, int8(truncate(float32((x[j]-lo)*id)+0.5)))
			b := min(15, int8(truncate(float32((x[j+16]-lo)*id)+0.5)))
			dst[4+j] = byte(a) | byte(b)<<4
		}
	}
}

func quantizeQ5_1(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[24:], x[32:] {
		lo, hi := limits(x[:32])
		id := putScale(dst, (hi-lo)/31)
		le.PutUint16(dst[2:], half(lo))
		var q [32]uint8
		for j, v := range x[:32] {
			q[j] = uint8(truncate(float32((v-lo)*id) + 0.5))
		}
		put5(dst[4:24], &q)
	}
}

func quantizeQ8_0(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[34:], x[32:] {
		_, magnitude := largest(x[:32])
		id := putScale(dst, magnitude/127)
		for j, v := range x[:32] {
			dst[2+j] = byte(truncate(round(float32(v * id))))
		}
	}
}

// putScale stores d at the beginning of a block, and gives its inverse: that of the float32, 0 for 0.
func putScale(block []byte, d float32) (inverse float32) {
	le.PutUint16(block, half(d))
	if d == 0 {
		return 0
	}
	return 1 / d
}

// limits are the least and the greatest of x.
func limits(x []float32) (lo, hi float32) {
	lo, hi = x[0], x[0]
	for _, v := range x {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// put4 stores 32 elements of 4 bits.
func put4(dst []byte, q *[32]uint8) {
	for j := range 16 {
		dst[j] = q[j] | q[j+16]<<4
	}
}

// put5 stores 32 elements of 5 bits: the fifth bits, then the lower four.
func put5(dst []byte, q *[32]uint8) {
	var high uint32
	for j := range 16 {
		dst[4+j] = q[j]&15 | q[j+16]<<4
		high |= uint32(q[j]>>4&1)<<j | uint32(q[j+16]>>4&1)<<(j+16)
	}
	le.PutUint32(dst, high)
}

// The weighted forms search for the scale with the least weighted error; the weight of an element grows with its
// importance and with its size within the row.

func quantizeWeightedQ4_0(dst []byte, x, w []float32, sigma2 float32) {
	for ; len(x) > 0; dst, x, w = dst[18:], x[32:], w[32:] {
		var weight [32]float32
		var q [32]uint8
		weigh(weight[:], x, w, sigma2)
		le.PutUint16(dst, half(searchScale(q[:], 8, x[:32], weight[:])))
		put4(dst[2:18], &q)
	}
}

func quantizeWeightedQ5_0(dst []byte, x, w []float32, sigma2 float32) {
	for ; len(x) > 0; dst, x, w = dst[22:], x[32:], w[32:] {
		var weight [32]float32
		var q [32]uint8
		weigh(weight[:], x, w, sigma2)
		le.PutUint16(dst, half(searchScale(q[:], 16, x[:32], weight[:])))
		put5(dst[2:22], &q)
	}
}

func quantizeWeightedQ4_1(dst []byte, x, w []float32, sigma2 float32) {
	for ; len(x) > 0; dst, x, w = dst[20:], x[32:], w[32:] {
		var weight [32]float32
		var q [32]uint8
		weigh(weight[:], x, w, sigma2)
		d, m := searchAffine(q[:], 15, x[:32], weight[:], weightedGrid)
		le.PutUint16(dst, half(d))
		le.PutUint16(dst[2:], half(-m))
		put4(dst[4:20], &q)
	}
}

func quantizeWeightedQ5_1(dst []byte, x, w []float32, sigma2 float32) {
	for ; len(x) > 0; dst, x, w = dst[24:], x[32:], w[32:] {
		var weight [32]float32
		var q [32]uint8
		weigh(weight[:], x, w, sigma2)
		d, m := searchAffine(q[:], 31, x[:32], weight[:], weightedGrid)
		le.PutUint16(dst, half(d))
		le.PutUint16(dst[2:], half(-m))
		put5(dst[4:24], &q)
	}
}

// weigh computes the weights of the elements x with importances w.
func weigh(weight, x, w []float32, sigma2 float32) {
	for j := range weight {
		weight[j] = float32(w[j] * sqrt(sigma2+float32(x[j]*x[j])))
	}
}

func widenQ4_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d := single(le.Uint16(src))
		for j, q := range src[2:18] {
			dst[j] = float32(int(q&15)-8) * d
			dst[j+16] = float32(int(q>>4)-8) * d
		}
	}
}

func widenQ4_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[20:] {
		d, m := single(le.Uint16(src)), single(le.Uint16(src[2:]))
		for j, q := range src[4:20] {
			dst[j] = float32(float32(q&15)*d) + m
			dst[j+16] = float32(float32(q>>4)*d) + m
		}
	}
}

func widenQ5_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[22:] {
		d, high := single(le.Uint16(src)), le.Uint32(src[2:])
		for j, q := range src[6:22] {
			dst[j] = float32(int(q&15)|int(high>>j&1)<<4-16) * d
			dst[j+16] = float32(int(q>>4)|int(high>>(j+16)&1)<<4-16) * d
		}
	}
}

func widenQ5_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[24:] {
		d, m, high := single(le.Uint16(src)), single(le.Uint16(src[2:])), le.Uint32(src[4:])
		for j, q := range src[8:24] {
			dst[j] = float32(float32(uint32(q&15)|high>>j&1<<4)*d) + m
			dst[j+16] = float32(float32(uint32(q>>4)|high>>(j+16)&1<<4)*d) + m
		}
	}
}

func widenQ8_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[34:] {
		d := single(le.Uint16(src))
		for j, q := range src[2:34] {
			dst[j] = float32(int8(q)) * d
		}
	}
}

// widenQ8_1 reads Q8_0 with, behind the scale, a sum of the elements that only products of matrices look at.
func widenQ8_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[36:] {
		d := single(le.Uint16(src))
		for j, q := range src[4:36] {
			dst[j] = float32(int8(q)) * d
		}
	}
}

// widenQ8_K reads 256 elements d·q, d float32 and q in 8 bits, and behind them sums as in Q8_1.
func widenQ8_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[292:] {
		d := math.Float32frombits(le.Uint32(src))
		for i, q := range src[4:260] {
			dst[i] = d * float32(int8(q))
		}
	}
}
