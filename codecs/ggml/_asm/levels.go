package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// finite writes the kernel that is finite for a multiple of 8 values.
func finite() {
	function("finiteAVX2", "func(x *float32, n int) bool", "reports whether n values are finite, n a multiple of 32 and not 0.")
	x, n := argument("x"), argument("n")
	end := GP64()
	LEAQ(Mem{Base: x, Index: n, Scale: 4}, end)
	mask := all32(exponent)
	any := YMM()
	VXORPS(any, any, any)
	each("values", x, end, 128, func() {
		for k := range 4 {
			v := YMM()
			VPAND(Mem{Base: x, Disp: 32 * k}, mask, v)
			VPCMPEQD(mask, v, v)
			VPOR(v, any, any)
		}
	})
	bad := GP32()
	VPMOVMSKB(any, bad)
	VZEROUPPER()
	result(bad)
}

// transpose writes the kernel that lays sixteen groups side by side.
func transpose() {
	function("layAVX2", "func(dst, src *float32, n int)", "makes element i of each of sixteen groups of n elements, 16 or 32, row i of dst.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	SHLQ(Imm(2), n) // bytes of a group
	triple, end, low, high, to := GP64(), GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: n, Index: n, Scale: 2}, triple)
	for half := range 2 {
		MOVQ(src, low)
		LEAQ(Mem{Base: src, Index: n, Scale: 4}, high)
		LEAQ(Mem{Base: src, Index: n, Scale: 1}, end)
		LEAQ(Mem{Base: dst, Disp: 32 * half}, to)
		label := []string{"first", "second"}[half]
		each(label, low, end, 32, func() {
			for part := range 2 { // four of eight elements
				var r [4]VecVirtual
				for k := range r {
					r[k] = YMM()
					from := func(base Register) Mem {
						switch m := (Mem{Base: base, Disp: 16 * part}); k {
						case 0:
							return m
						case 3:
							return m.Idx(triple, 1)
						default:
							return m.Idx(n, uint8(k))
						}
					}
					VBROADCASTF128(from(low), r[k])
					VINSERTF128(Imm(1), from(high), r[k], r[k])
				}
				a, b, c, d := YMM(), YMM(), YMM(), YMM()
				VUNPCKLPS(r[1], r[0], a)
				VUNPCKHPS(r[1], r[0], b)
				VUNPCKLPS(r[3], r[2], c)
				VUNPCKHPS(r[3], r[2], d)
				for k, s := range []struct {
					imm  uint64
					x, y VecVirtual
				}{{0x44, a, c}, {0xee, a, c}, {0x44, b, d}, {0xee, b, d}} {
					o := YMM()
					VSHUFPS(Imm(s.imm), s.y, s.x, o)
					VMOVUPS(o, Mem{Base: to, Disp: rowBytes * (4*part + k)})
				}
			}
			ADDQ(Imm(32), high)
			ADDQ(U32(8*rowBytes), to)
		})
		LEAQ(Mem{Base: src, Index: n, Scale: 8}, src)
	}
	VZEROUPPER()
	RET()
}

// inOrder is the permutation that puts what two packings of four registers left in order.
func inOrder() VecVirtual {
	y := YMM()
	VMOVDQU(data("order", func() {
		for k, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*k, U32(v))
		}
	}), y)
	return y
}

// pack is the 32 bytes of 32 integers of 32 bits, which saturate.
func pack(v [4]VecVirtual, signed bool, order VecVirtual) VecVirtual {
	a, b := YMM(), YMM()
	VPACKSSDW(v[1], v[0], a)
	VPACKSSDW(v[3], v[2], b)
	if signed {
		VPACKSSWB(b, a, a)
	} else {
		VPACKUSWB(b, a, a)
	}
	VPERMD(a, order, a)
	return a
}

// relevel writes the kernel that takes the levels of a super-block.
func relevel() {
	function("relevelAVX2", "func(level *byte, x, d, m *float32, bias, top uint32)",
		"is relevel for a super-block, with a scale, not 0, and an offset for every 16 elements; bias is 2^22 plus the lowest level and top what is between it and the highest.")
	level, x, d, m := argument("level"), argument("x"), argument("d"), argument("m")
	bias, top, zero := YMM(), YMM(), YMM()
	VBROADCASTSS(NewParamAddr("bias", 32), bias)
	VBROADCASTSS(NewParamAddr("top", 36), top)
	VPXOR(zero, zero, zero)
	order := inOrder()
	add, low := all32(magic), all32(0x7fffff)
	end := GP64()
	LEAQ(Mem{Base: x, Disp: 1024}, end)
	each("elements", x, end, 128, func() {
		var v [4]VecVirtual
		for k := range v {
			v[k] = YMM()
			scale, offset := YMM(), YMM()
			VBROADCASTSS(Mem{Base: d, Disp: k / 2 * 4}, scale)
			VBROADCASTSS(Mem{Base: m, Disp: k / 2 * 4}, offset)
			VADDPS(Mem{Base: x, Disp: 32 * k}, offset, v[k])
			VDIVPS(scale, v[k], v[k])
			VADDPS(add, v[k], v[k])
			VPAND(low, v[k], v[k])
			VPSUBD(bias, v[k], v[k])
			VPMAXSD(zero, v[k], v[k])
			VPMINSD(top, v[k], v[k])
		}
		VMOVDQU(pack(v, false, order), Mem{Base: level})
		ADDQ(Imm(32), level)
		ADDQ(Imm(8), d)
		ADDQ(Imm(8), m)
	})
	VZEROUPPER()
	RET()
}

// unpacking is where a K-quant has the levels of 32 neighbours: the lowest bits of each of 32 bytes, after a shift, and
// perhaps more bits of others.
type unpacking struct {
	name       string
	at, shift  func(i int) int
	mask       uint32
	highAt     func(i int) int
	highShift  func(i int) int
	highMask   uint32
	up, bottom int // the place of the higher bits, and the level that is 0
}

// unpack writes the dequantizers of super-blocks, with the meaning of their scales and offsets.
func unpack() {
	zero := func(int) int { return 0 }
	for _, u := range []unpacking{
		{"Q2_K", func(i int) int { return 16 + i/4*32 }, func(i int) int { return i % 4 * 2 }, 3, nil, nil, 0, 0, 0},
		{"Q3_K", func(i int) int { return 32 + i/4*32 }, func(i int) int { return i % 4 * 2 }, 3, zero, func(i int) int { return i }, 1, 2, 4},
		{"Q4_K", func(i int) int { return 16 + i/2*32 }, func(i int) int { return i % 2 * 4 }, 15, nil, nil, 0, 0, 0},
		{"Q5_K", func(i int) int { return 48 + i/2*32 }, func(i int) int { return i % 2 * 4 }, 15, func(int) int { return 16 }, func(i int) int { return i }, 1, 4, 0},
		{"Q6_K", func(i int) int { return i/4*64 + i%2*32 }, func(i int) int { return i % 4 / 2 * 4 }, 15, func(i int) int { return 128 + i/4*32 }, func(i int) int { return i % 4 * 2 }, 3, 4, 32},
	} {
		function("widen"+u.name+"AVX2", "func(dst *float32, block *byte, d, m *float32)",
			"is widen for a super-block of "+u.name+", with a scale and an offset for every 16 elements.")
		dst, block, d, m := argument("dst"), argument("block"), argument("d"), argument("m")
		bytes := func(b uint32) uint32 { return b * 0x01010101 }
		mask, high := all32(bytes(u.mask)), VecVirtual(nil)
		if u.highAt != nil {
			high = all32(bytes(u.highMask << u.up))
		}
		var bottom VecVirtual
		if u.bottom != 0 {
			bottom = all32(bytes(uint32(u.bottom)))
		}
		for i := range 8 {
			q := YMM()
			VMOVDQU(Mem{Base: block, Disp: u.at(i)}, q)
			shiftBits(q, -u.shift(i))
			VPAND(mask, q, q)
			if u.highAt != nil {
				h := YMM()
				VMOVDQU(Mem{Base: block, Disp: u.highAt(i)}, h)
				shiftBits(h, u.up-u.highShift(i))
				VPAND(high, h, h)
				VPOR(h, q, q)
			}
			if bottom != nil {
				VPSUBB(bottom, q, q)
			}
			upper := XMM()
			VEXTRACTI128(Imm(1), q, upper)
			for k, half := range []VecVirtual{q.AsX().(VecVirtual), upper} {
				scale, offset := YMM(), YMM()
				VBROADCASTSS(Mem{Base: d, Disp: 4 * (2*i + k)}, scale)
				VBROADCASTSS(Mem{Base: m, Disp: 4 * (2*i + k)}, offset)
				for part := range 2 {
					v, from := YMM(), half
					if part == 1 {
						from = XMM()
						VPSRLDQ(Imm(8), half, from)
					}
					VPMOVSXBD(from, v)
					VCVTDQ2PS(v, v)
					VMULPS(scale, v, v)
					VSUBPS(offset, v, v)
					VMOVUPS(v, Mem{Base: dst, Disp: 4 * (32*i + 16*k + 8*part)})
				}
			}
		}
		VZEROUPPER()
		RET()
	}
}

// shiftBits shifts left, or right where n is negative; bits cross from byte to byte, and must be masked.
func shiftBits(v VecVirtual, n int) {
	switch {
	case n > 0:
		VPSLLW(Imm(uint64(n)), v, v)
	case n < 0:
		VPSRLW(Imm(uint64(-n)), v, v)
	}
}
