package ggml

import "math"

// bits2 are the bits of element i of those that pack2 stored.
func bits2(q []byte, i int) uint8 { return q[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3 }

func widenQ2_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[84:] {
		d, dmin := single(le.Uint16(src[80:])), single(le.Uint16(src[82:]))
		for j, s := range src[:16] {
			scale, offset := float32(d*float32(s&15)), float32(dmin*float32(s>>4))
			for i := 16 * j; i < 16*j+16; i++ {
				dst[i] = float32(scale*float32(bits2(src[16:80], i))) - offset
			}
		}
	}
}

func widenQ3_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[110:] {
		d := single(le.Uint16(src[108:]))
		for j := range 16 {
			scale := float32(d * float32(scaleQ3K(src[96:108], j)))
			for i := 16 * j; i < 16*j+16; i++ {
				q := int32(bits2(src[32:96], i)) | int32(src[i%32]>>(i/32)&1)<<2
				dst[i] = scale * float32(q-4)
			}
		}
	}
}

func widenQ4_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[144:] {
		d, dmin := single(le.Uint16(src)), single(le.Uint16(src[2:]))
		for j := range 8 {
			s, m := get6(src[4:16], j)
			scale, offset := float32(d*float32(s)), float32(dmin*float32(m))
			for i, q := range src[16+j/2*32 : 48+j/2*32] {
				dst[32*j+i] = float32(scale*float32(q>>(j%2*4)&15)) - offset
			}
		}
	}
}

func widenQ5_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[176:] {
		d, dmin := single(le.Uint16(src)), single(le.Uint16(src[2:]))
		for j := range 8 {
			s, m := get6(src[4:16], j)
			scale, offset := float32(d*float32(s)), float32(dmin*float32(m))
			for i, q := range src[48+j/2*32 : 80+j/2*32] {
				q = q>>(j%2*4)&15 | src[16+i]>>j&1<<4
				dst[32*j+i] = float32(scale*float32(q)) - offset
			}
		}
	}
}

func widenQ6_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[210:] {
		d := single(le.Uint16(src[208:]))
		for j, s := range src[192:208] {
			scale := float32(d * float32(int8(s)))
			for i := 16 * j; i < 16*j+16; i++ {
				q := src[i/128*64+i%64]>>(i%128/64*4)&15 | bits2(src[128:192], i)<<4
				dst[i] = scale * float32(int32(q)-32)
			}
		}
	}
}

// widenQ8_K reads d float32 and then q in 8 bits; sums follow, that only products of matrices look at.
func widenQ8_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[super:], src[292:] {
		d := math.Float32frombits(le.Uint32(src))
		for i, q := range src[4:260] {
			dst[i] = d * float32(int8(q))
		}
	}
}
