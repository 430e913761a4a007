package ggml

// The types of few levels and one scale.
//
//	TQ1_0  256 elements, d·(q-1), q of 0 1 2 as digits to the base 3, five to a byte
//	TQ2_0  256 elements, d·(q-1), q of 0 1 2 in 2 bits, packed as in Q2_K
//	Q1_0   128 elements, d or -d
//	Q2_0   64 elements, d·(q-1), q in 2 bits

// ternary are the levels of x, 0 1 2, in units of the largest magnitude, which is stored at block.
func ternary(q *[super]uint8, block []byte, x []float32) {
	_, magnitude := largest(x[:super])
	id := putScale(block, magnitude)
	for i, v := range x[:super] {
		q[i] = 1
		if r := round(float32(v * id)); r > -0x1p63 && r < 0x1p63 {
			q[i] = uint8(int64(r) + 1)
		}
	}
}

func quantizeTQ1_0(dst []byte, x []float32) {
	var q [super]uint8
	for ; len(x) > 0; dst, x = dst[54:], x[super:] {
		ternary(&q, dst[52:54], x)
		packTQ1_0(dst[:52], &q)
	}
}

// packTQ1_0 stores levels: elements m, m+n, m+2n ... are the digits of a byte, with n of 32 for the first 160 elements,
// 16 for the next 80, and 4 for the last 16.
func packTQ1_0(dst []byte, q *[super]uint8) {
	for i := range 32 {
		dst[i] = fraction(q[i], q[i+32], q[i+64], q[i+96], q[i+128])
	}
	for i := range 16 {
		dst[32+i] = fraction(q[160+i], q[176+i], q[192+i], q[208+i], q[224+i])
	}
	for i := range 4 {
		dst[48+i] = fraction(q[240+i], q[244+i], q[248+i], q[252+i], 0)
	}
}

// fraction is 0.abcde to the base 3 in units of 1/256, rounded up: the digits come back as the upper bytes of products
// with 3.
func fraction(a, b, c, d, e uint8) byte {
	return fractions[(((a*3+b)*3+c)*3+d)*3+e]
}

var fractions = func() (f [256]byte) {
	for n := range f {
		f[n] = byte((n*256 + 242) / 243)
	}
	return f
}()

// digit is digit n of a fraction.
func digit(f byte, n int) int32 {
	power := [5]byte{1, 3, 9, 27, 81}
	return int32(uint16(f*power[n]) * 3 >> 8)
}

func quantizeTQ2_0(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[66:], x[super:] {
		var q [super]uint8
		ternary(&q, dst[64:66], x)
		pack2(dst[:64], &q)
	}
}

func widenTQ1_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[54:] {
		d := single(le.Uint16(src[52:]))
		at := 0
		for _, part := range []struct {
			bytes  []byte
			digits int
		}{{src[:32], 5}, {src[32:48], 5}, {src[48:52], 4}} {
			for n := range part.digits {
				for _, f := range part.bytes {
					dst[at] = float32(digit(f, n)-1) * d
					at++
				}
			}
		}
	}
}

func widenTQ2_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[66:] {
		d := single(le.Uint16(src[64:]))
		var q [super]uint8
		unpack2(&q, src[:64])
		for i, l := range q {
			dst[i] = float32(int32(l)-1) * d
		}
	}
}

func widenQ1_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[128:], src[18:] {
		d := single(le.Uint16(src))
		for i := range 128 {
			dst[i] = -d
			if src[2+i/8]>>(i%8)&1 != 0 {
				dst[i] = d
			}
		}
	}
}

func widenQ2_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[64:], src[18:] {
		d := single(le.Uint16(src))
		for i := range 64 {
			dst[i] = float32(int32(src[2+i/4]>>(i%4*2)&3)-1) * d
		}
	}
}
