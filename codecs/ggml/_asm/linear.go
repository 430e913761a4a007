package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// block32 writes a kernel that goes from blocks of 32 elements of so many bytes to the same number of blocks of others.
// The body is given the places of a block and of what it becomes.
func block32(name, doc string, in, out int, prepare func() func(dst, src Register)) {
	function(name+"AVX2", "func(dst, src *byte, n int)", doc+" for n blocks, of which there is at least one.")
	dst, src, n := argument("dst"), argument("src"), argument("n")
	body := prepare()
	Label("block")
	body(dst, src)
	ADDQ(Imm(uint64(in)), src)
	ADDQ(Imm(uint64(out)), dst)
	DECQ(n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// linear writes the quantizers with one scale to 32 elements.
func linear() {
	const elements = 128

	block32("quantizeQ8_0", "is quantizeQ8_0", elements, 34, func() func(dst, src Register) {
		abs, sign, half, order, infinity := all32(magnitude), all32(signBit), all32(0x3effffff), inOrder(), all32(exponent)
		return func(dst, src Register) {
			x := load32(src)
			largest := spreadLane(VMAXPS, magnitudes(x, abs))
			d, id := XMM(), YMM()
			VDIVSS(word(0x42fe0000), largest.AsX(), d) // 127
			putHalf(d, Mem{Base: dst})
			inverse(d, id, infinity)
			for k := range x {
				t := YMM()
				VMULPS(id, x[k], x[k])
				VANDPS(sign, x[k], t)
				VORPS(half, t, t) // the float32 below 0.5: then halves round away from zero, and nothing below does
				VADDPS(t, x[k], x[k])
				VCVTTPS2DQ(x[k], x[k])
			}
			VMOVDQU(pack(x, true, order), Mem{Base: dst, Disp: 2})
		}
	})

	for _, t := range []struct {
		bits, size     int
		inverse, shift uint32 // of the largest level, and the shift that makes levels positive
		top            uint32
	}{{4, 18, 0xbe000000, 0x41080000, 15}, {5, 22, 0xbd800000, 0x41840000, 31}} {
		name := fmt.Sprintf("quantizeQ%d_0", t.bits)
		block32(name, "is "+name, elements, t.size, func() func(dst, src Register) {
			abs, sign, order, infinity, shift, top, low := all32(magnitude), all32(signBit), inOrder(), all32(exponent), all32(t.shift), all32(t.top), all32(0x0f0f0f0f)
			return func(dst, src Register) {
				x := load32(src)
				d := largestOf(x, src, sign)
				id, zero := YMM(), XMM()
				VXORPS(zero, zero, zero)
				VMULSS(word(t.inverse), d, d)
				putHalf(d, Mem{Base: dst})
				// All levels are 0 where the inverse is infinite, but for a scale of 0: then they stand for 0.
				tiny := YMM()
				VDIVSS(d, divisor(), id.AsX())
				VANDPS(abs.AsX(), id.AsX(), tiny.AsX())
				VCMPPS(Imm(0), infinity.AsX(), tiny.AsX(), tiny.AsX())
				VANDNPS(id.AsX(), tiny.AsX(), id.AsX())
				VCMPPS(Imm(4), zero, d, d)
				VANDPS(d, tiny.AsX(), tiny.AsX())
				VBROADCASTSS(id.AsX(), id)
				VBROADCASTSS(tiny.AsX(), tiny)
				for k := range x {
					VMULPS(id, x[k], x[k])
					VADDPS(shift, x[k], x[k])
					VCVTTPS2DQ(x[k], x[k])
					VPMINSD(top, x[k], x[k])
					VPANDN(x[k], tiny, x[k])
				}
				putLevels(pack(x, false, order), low, dst, 2, t.bits)
			}
		})
	}

	for _, t := range []struct {
		bits, size int
		steps      uint32
		top        uint32
	}{{4, 20, 0x41700000, 15}, {5, 24, 0x41f80000, 31}} {
		name := fmt.Sprintf("quantizeQ%d_1", t.bits)
		block32(name, "is "+name, elements, t.size, func() func(dst, src Register) {
			order, infinity, half, top, low := inOrder(), all32(exponent), all32(0x3f000000), all32(t.top), all32(0x0f0f0f0f)
			return func(dst, src Register) {
				x := load32(src)
				hi, lo := spreadLane(VMAXPS, x), spreadLane(VMINPS, x)
				d, id, m := XMM(), YMM(), XMM()
				VMOVSS(Mem{Base: src, Index: first(x, lo), Scale: 4}, m) // with the sign of the first zero
				VSUBSS(lo.AsX(), hi.AsX(), d)
				VDIVSS(word(t.steps), d, d)
				putHalf(d, Mem{Base: dst})
				putHalf(m, Mem{Base: dst, Disp: 2})
				inverse(d, id, infinity)
				for k := range x {
					VSUBPS(lo, x[k], x[k])
					VMULPS(id, x[k], x[k])
					VADDPS(half, x[k], x[k])
					VCVTTPS2DQ(x[k], x[k])
					VPMINSD(top, x[k], x[k])
				}
				putLevels(pack(x, false, order), low, dst, 4, t.bits)
			}
		})
	}
}

func load32(src Register) (x [4]VecVirtual) {
	for k := range x {
		x[k] = YMM()
		VMOVUPS(Mem{Base: src, Disp: 32 * k}, x[k])
	}
	return x
}

func magnitudes(x [4]VecVirtual, abs VecVirtual) (a [4]VecVirtual) {
	for k := range x {
		a[k] = YMM()
		VANDPS(abs, x[k], a[k])
	}
	return a
}

// spreadLane is the extreme of 32 values in every lane.
func spreadLane(f func(...Op), x [4]VecVirtual) VecVirtual {
	a, b := YMM(), YMM()
	f(x[1], x[0], a)
	f(x[3], x[2], b)
	f(b, a, a)
	VPERM2F128(Imm(1), a, a, b)
	f(b, a, a)
	VPERMILPS(Imm(0x4e), a, b)
	f(b, a, a)
	VPERMILPS(Imm(0xb1), a, b)
	f(b, a, a)
	return a
}

// largestOf is the first of 32 values with the largest magnitude, 0 where that is 0.
func largestOf(x [4]VecVirtual, src Register, sign VecVirtual) VecVirtual {
	hi, lo, t := YMM(), YMM(), YMM()
	VMAXPS(x[1], x[0], hi)
	VMAXPS(x[3], x[2], t)
	VMAXPS(t, hi, hi)
	VMINPS(x[1], x[0], lo)
	VMINPS(x[3], x[2], t)
	VMINPS(t, lo, lo)
	VXORPS(sign, lo, lo)
	a, b := YMM(), YMM() // the greatest in the lower half, the least with its sign turned in the upper one
	VPERM2F128(Imm(0x20), lo, hi, a)
	VPERM2F128(Imm(0x31), lo, hi, b)
	VMAXPS(b, a, a)
	VPERMILPS(Imm(0x4e), a, b)
	VMAXPS(b, a, a)
	VPERMILPS(Imm(0xb1), a, b)
	VMAXPS(b, a, a)
	other, d, less := XMM(), XMM(), XMM()
	VEXTRACTF128(Imm(1), a, other)
	VXORPS(sign.AsX(), other, d)
	VCMPPS(Imm(0x11), a.AsX(), other, less)
	VBLENDVPS(less, a.AsX(), d, d)
	VUCOMISS(a.AsX(), other)
	JNE(LabelRef("settled"))
	{ // both signs: whichever comes first, or a positive zero
		abs := all32(magnitude)
		VBROADCASTSS(other, hi)
		VXORPS(d, d, d)
		VUCOMISS(d, other)
		JE(LabelRef("settled"))
		VMOVSS(Mem{Base: src, Index: first(magnitudes(x, abs), hi), Scale: 4}, d)
	}
	Label("settled")
	return d
}

// first is the index of the first of x that equals v, which one does.
func first(x [4]VecVirtual, v VecVirtual) GPVirtual {
	all := GP64()
	for k := range x {
		m, bits := YMM(), GP64()
		VCMPPS(Imm(0), v, x[k], m)
		VMOVMSKPS(m, bits.As32())
		if k == 0 {
			MOVQ(bits, all)
		} else {
			SHLQ(Imm(uint64(8*k)), bits)
			ORQ(bits, all)
		}
	}
	BSFQ(all, all)
	return all
}

// putHalf stores a float32 as float16.
func putHalf(v VecVirtual, to Mem) {
	h := XMM()
	VCVTPS2PH(Imm(0), v, h)
	VPEXTRW(Imm(0), h, to)
}

// divisor is 1.
func divisor() VecVirtual {
	x := XMM()
	VMOVSS(word(one), x)
	return x
}

// inverse is 1/d in all lanes, 0 where that is infinite.
func inverse(d, id, infinity VecVirtual) {
	m := XMM()
	VDIVSS(d, divisor(), id.AsX())
	VCMPPS(Imm(0), infinity.AsX(), id.AsX(), m)
	VANDNPS(id.AsX(), m, id.AsX())
	VBROADCASTSS(id.AsX(), id)
}

// putLevels stores 32 bytes of 4 or 5 bits each, the fifth first.
func putLevels(q, low VecVirtual, dst Register, at, bits int) {
	if bits == 5 {
		high, word := YMM(), GP32()
		VPSLLW(Imm(3), q, high)
		VPMOVMSKB(high, word)
		MOVL(word, Mem{Base: dst, Disp: at})
		at += 4
		VPAND(low, q, q)
	}
	upper := XMM()
	VEXTRACTI128(Imm(1), q, upper)
	VPSLLW(Imm(4), upper, upper)
	VPOR(upper, q.AsX(), q.AsX())
	VMOVDQU(q.AsX(), Mem{Base: dst, Disp: at})
}

// widen writes the dequantizers with one scale to 32 elements.
func widen() {
	const elements = 128

	block32("widenQ8_0", "is widenQ8_0", 34, elements, func() func(dst, src Register) {
		return func(dst, src Register) {
			d := single(Mem{Base: src})
			for k := range 4 {
				v := YMM()
				VPMOVSXBD(Mem{Base: src, Disp: 2 + 8*k}, v)
				VCVTDQ2PS(v, v)
				VMULPS(d, v, v)
				VMOVUPS(v, Mem{Base: dst, Disp: 32 * k})
			}
		}
	})
	for _, t := range []struct{ bits, offset, size int }{{4, 0, 18}, {4, 1, 20}, {5, 0, 22}, {5, 1, 24}} {
		name := fmt.Sprintf("widenQ%d_%d", t.bits, t.offset)
		block32(name, "is "+name, t.size, elements, func() func(dst, src Register) {
			low, shift := all32(0x0f0f0f0f), all32(uint32(0x01010101<<(t.bits-1)))
			var spread, bit, high VecVirtual
			if t.bits == 5 {
				spread, bit, high = bitsOf(), YMM(), all32(0x10101010)
				VPBROADCASTQ(data("bit", func() { DATA(0, U64(0x8040201008040201)) }), bit)
			}
			return func(dst, src Register) {
				d, at := single(Mem{Base: src}), 2
				var m VecVirtual
				if t.offset == 1 {
					m, at = single(Mem{Base: src, Disp: 2}), 4
				}
				q := YMM()
				upper := XMM()
				if t.bits == 5 {
					at += 4
				}
				VBROADCASTI128(Mem{Base: src, Disp: at}, q)
				VPSRLW(Imm(4), q.AsX(), upper)
				VINSERTI128(Imm(1), upper, q, q)
				VPAND(low, q, q)
				if t.bits == 5 {
					h := YMM()
					VPBROADCASTD(Mem{Base: src, Disp: at - 4}, h)
					VPSHUFB(spread, h, h)
					VPAND(bit, h, h)
					VPCMPEQB(bit, h, h)
					VPAND(high, h, h)
					VPOR(h, q, q)
				}
				if t.offset == 0 {
					VPSUBB(shift, q, q)
				}
				put32(q, d, m, dst)
			}
		})
	}

	function("widen4AVX2", "func(dst *float32, src *byte, d float32, values *int8)", "is widen4 for 32 elements.")
	dst, src, values := argument("dst"), argument("src"), argument("values")
	d, table, q, upper := YMM(), YMM(), YMM(), XMM()
	VBROADCASTSS(NewParamAddr("d", 16), d)
	VBROADCASTI128(Mem{Base: values}, table)
	VBROADCASTI128(Mem{Base: src}, q)
	VPSRLW(Imm(4), q.AsX(), upper)
	VINSERTI128(Imm(1), upper, q, q)
	VPAND(all32(0x0f0f0f0f), q, q)
	VPSHUFB(q, table, q)
	put32(q, d, nil, dst)
	VZEROUPPER()
	RET()
}

// put32 stores 32 signed bytes times d, plus m where there is one.
func put32(q, d, m VecVirtual, dst Register) {
	upper := XMM()
	VEXTRACTI128(Imm(1), q, upper)
	for k, x := range []VecVirtual{q.AsX().(VecVirtual), q.AsX().(VecVirtual), upper, upper} {
		v, from := YMM(), x
		if k%2 == 1 {
			from = XMM()
			VPSRLDQ(Imm(8), x, from)
		}
		VPMOVSXBD(from, v)
		VCVTDQ2PS(v, v)
		VMULPS(d, v, v)
		if m != nil {
			VADDPS(m, v, v)
		}
		VMOVUPS(v, Mem{Base: dst, Disp: 32 * k})
	}
}

// single is a float16 in memory as float32 in all lanes.
func single(m Mem) VecVirtual {
	h, v := XMM(), YMM()
	VPBROADCASTW(m, h)
	VCVTPH2PS(h, v)
	return v
}

// bitsOf is the shuffle that puts byte k of a word into the places 8k to 8k+7.
func bitsOf() VecVirtual {
	y := YMM()
	VMOVDQU(data("spread", func() {
		for k := range 4 {
			DATA(8*k, U64(0x0101010101010101*uint64(k)))
		}
	}), y)
	return y
}

// levels32 writes the kernel that takes the levels of 32 elements as a search left them.
func levels32() {
	function("levelAVX2", "func(level *byte, x *float32, inverse, from float32, bias, top uint32)",
		"takes the levels nearest to 32 elements, plus from, times inverse; bias is 2^22 plus the lowest level and top what is between it and the highest.")
	level, x := argument("level"), argument("x")
	inverse, from, bias, top, zero := YMM(), YMM(), YMM(), YMM(), YMM()
	VBROADCASTSS(NewParamAddr("inverse", 16), inverse)
	VBROADCASTSS(NewParamAddr("from", 20), from)
	VBROADCASTSS(NewParamAddr("bias", 24), bias)
	VBROADCASTSS(NewParamAddr("top", 28), top)
	VPXOR(zero, zero, zero)
	order, add, low := inOrder(), all32(magic), all32(0x7fffff)
	var v [4]VecVirtual
	for k := range v {
		v[k] = YMM()
		VADDPS(Mem{Base: x, Disp: 32 * k}, from, v[k])
		VMULPS(inverse, v[k], v[k])
		VADDPS(add, v[k], v[k])
		VPAND(low, v[k], v[k])
		VPSUBD(bias, v[k], v[k])
		VPMAXSD(zero, v[k], v[k])
		VPMINSD(top, v[k], v[k])
	}
	VMOVDQU(pack(v, false, order), Mem{Base: level})
	VZEROUPPER()
	RET()
}

// ternary32 writes the kernel that takes the levels of a super-block of three.
func ternary32() {
	function("ternaryAVX2", "func(level *byte, x *float32, inverse float32)",
		"rounds 256 elements times inverse, which are between -1 and 1 then, to the nearest integer, halves away from zero, and adds 1.")
	level, x := argument("level"), argument("x")
	inverse := YMM()
	VBROADCASTSS(NewParamAddr("inverse", 16), inverse)
	sign, half, order, one := all32(signBit), all32(0x3effffff), inOrder(), all32(0x01010101)
	end := GP64()
	LEAQ(Mem{Base: x, Disp: 1024}, end)
	each("elements", x, end, 128, func() {
		v := load32(x)
		for k := range v {
			t := YMM()
			VMULPS(inverse, v[k], v[k])
			VANDPS(sign, v[k], t)
			VORPS(half, t, t)
			VADDPS(t, v[k], v[k])
			VCVTTPS2DQ(v[k], v[k])
		}
		q := pack(v, true, order)
		VPADDB(one, q, q)
		VMOVDQU(q, Mem{Base: level})
		ADDQ(Imm(32), level)
	})
	VZEROUPPER()
	RET()
}

// mxfp4 writes the kernel that takes the levels of a block of MXFP4.
func mxfp4() {
	function("packF4AVX2", "func(dst *byte, x *float32, inverse float32)",
		"stores the float4 nearest to 32 elements times inverse, doubled, the smaller of two that are as near, in 4 bits each.")
	dst, x := argument("dst"), argument("x")
	inverse := YMM()
	VBROADCASTSS(NewParamAddr("inverse", 16), inverse)
	abs, order, low, eight := all32(magnitude), inOrder(), all32(0x0f0f0f0f), all32(0x08080808)
	v := load32(x)
	var q, sign [4]VecVirtual
	for k := range v {
		q[k], sign[k] = YMM(), YMM()
		VMULPS(inverse, v[k], v[k])
		VPSRAD(Imm(31), v[k], sign[k])
		VANDPS(abs, v[k], v[k])
	}
	for n, h := range []uint32{0x3f000000, 0x3fc00000, 0x40200000, 0x40600000, 0x40a00000, 0x40e00000, 0x41200000} { // 0.5 1.5 2.5 3.5 5 7 10
		between := all32(h)
		for k := range v {
			m := YMM()
			VCMPPS(Imm(less), v[k], between, m)
			if n == 0 {
				VPXOR(q[k], q[k], q[k])
			}
			VPSUBD(m, q[k], q[k])
		}
	}
	levels, signs, zero := pack(q, false, order), pack(sign, true, order), YMM()
	VPXOR(zero, zero, zero)
	VPAND(eight, signs, signs)
	VPCMPEQB(levels, zero, zero)
	VPANDN(signs, zero, signs)
	VPOR(signs, levels, levels)
	putLevels(levels, low, dst, 0, 4)
	VZEROUPPER()
	RET()
}

// largest32 writes the kernel that is the magnitude of largest.
func largest32() {
	function("magnitudeAVX2", "func(x *float32, n int) float32", "is the largest magnitude of n elements, n a multiple of 32 and not 0.")
	x, n := argument("x"), argument("n")
	end := GP64()
	LEAQ(Mem{Base: x, Index: n, Scale: 4}, end)
	abs := all32(magnitude)
	var most [4]VecVirtual
	for k := range most {
		most[k] = YMM()
		VXORPS(most[k], most[k], most[k])
	}
	each("elements", x, end, 128, func() {
		for k := range most {
			v := YMM()
			VANDPS(Mem{Base: x, Disp: 32 * k}, abs, v)
			VMAXPS(v, most[k], most[k])
		}
	})
	Store(spreadLane(VMAXPS, most).AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
