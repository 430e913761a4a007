package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func loadF32() func(src Mem) (lo, hi VecVirtual) {
	return func(src Mem) (lo, hi VecVirtual) {
		lo, hi = YMM(), YMM()
		VMOVUPS(src, lo)
		VMOVUPS(src.Offset(32), hi)
		return lo, hi
	}
}

func loadF16() func(src Mem) (lo, hi VecVirtual) {
	return func(src Mem) (lo, hi VecVirtual) {
		lo, hi = YMM(), YMM()
		VCVTPH2PS(src, lo)
		VCVTPH2PS(src.Offset(16), hi)
		return lo, hi
	}
}

// loadBF16 puts each element into the upper half of its lane.
func loadBF16() func(src Mem) (lo, hi VecVirtual) {
	return func(src Mem) (lo, hi VecVirtual) {
		lo, hi = YMM(), YMM()
		VPMOVZXWD(src, lo)
		VPMOVZXWD(src.Offset(16), hi)
		VPSLLD(Imm(16), lo, lo)
		VPSLLD(Imm(16), hi, hi)
		return lo, hi
	}
}

// loadF64Nearest reads the last quarter before the third: at no cost, and from memory faster by 5 % on Zen 4.
func loadF64Nearest() func(src Mem) (lo, hi VecVirtual) {
	return func(src Mem) (lo, hi VecVirtual) {
		a, b, c, d := XMM(), XMM(), XMM(), XMM()
		VCVTPD2PSY(src, a)
		VCVTPD2PSY(src.Offset(32), b)
		VCVTPD2PSY(src.Offset(96), d)
		lo = both(a, b)
		VCVTPD2PSY(src.Offset(64), c)
		return lo, both(c, d)
	}
}

// loadF64Sticky leaves to each float64 the 24 bits of significand that a float32 has, and sets the last of them unless
// the bits below were all 0. What is subnormal as a float32 is still rounded by the conversion, but as a float16 it
// is 0 either way.
func loadF64Sticky() func(src Mem) (lo, hi VecVirtual) {
	const mask = 1<<29 - 1
	below, above := all(64, mask), all(64, ^uint64(mask))
	four := func(src Mem) VecVirtual {
		x, t, n := YMM(), YMM(), XMM()
		VMOVUPD(src, x)
		VPAND(below, x, t)
		VPADDQ(below, t, t) // carries into bit 29 unless they were all 0
		VPOR(t, x, x)
		VPAND(above, x, x)
		VCVTPD2PSY(x, n)
		return n
	}
	eight := func(src Mem) VecVirtual { return both(four(src), four(src.Offset(32))) }
	return func(src Mem) (lo, hi VecVirtual) { return eight(src), eight(src.Offset(64)) }
}

// loadF64Odd rounds to odd, as the function odd does, which says why.
func loadF64Odd() func(src Mem) (lo, hi VecVirtual) {
	unequal := Imm(12) // NEQ_OQ: neither is a NaN, and they differ
	four := func(src Mem) (near, inexact, away VecVirtual) {
		x, back := YMM(), YMM()
		near, inexact, away = XMM(), YMM(), YMM()
		VMOVUPD(src, x)
		VCVTPD2PSY(x, near)
		VCVTPS2PD(near, back)
		VCMPPD(unequal, back, x, inexact)
		VPCMPGTQ(x, back, away) // of one sign, so that the bits compare as the magnitudes do
		return near, inexact, away
	}
	// narrow takes the lower half of each 64-bit lane.
	narrow := func(a, b VecVirtual) VecVirtual {
		VSHUFPS(Imm(0b10_00_10_00), b, a, a) // a0 a1 b0 b1 a2 a3 b2 b3
		VPERMQ(Imm(0b11_01_10_00), a, a)
		return a
	}
	eight := func(src Mem) VecVirtual {
		near0, inexact0, away0 := four(src)
		near1, inexact1, away1 := four(src.Offset(32))
		near, inexact, away := both(near0, near1), narrow(inexact0, inexact1), narrow(away0, away1)
		VPAND(inexact, away, away) // not of a NaN
		VPADDD(away, near, near)   // less 1 where it was: the next one towards zero
		VPSRLD(Imm(31), inexact, inexact)
		VPOR(inexact, near, near)
		return near
	}
	return func(src Mem) (lo, hi VecVirtual) { return eight(src), eight(src.Offset(64)) }
}

// loadE4M3 moves each element into a float16, where it counts 2^-8 of what it is worth.
func loadE4M3() func(src Mem) (lo, hi VecVirtual) {
	bits, magnitude, exponent, worth := all(16, 0xbf80), all(16, 0x3f80), all(16, 0x7c00), all(32, 0x43800000)
	return func(src Mem) (lo, hi VecVirtual) {
		h, t := YMM(), YMM()
		VPMOVSXBW(src, h)
		VPSLLW(Imm(7), h, h)
		VPAND(bits, h, h)
		VPAND(magnitude, h, t)
		VPCMPEQW(magnitude, t, t) // a NaN
		VPAND(exponent, t, t)
		VPOR(t, h, h)
		lo, hi = widen(h)
		VMULPS(worth, lo, lo)
		VMULPS(worth, hi, hi)
		return lo, hi
	}
}

func loadE5M2() func(src Mem) (lo, hi VecVirtual) {
	return func(src Mem) (lo, hi VecVirtual) {
		h := YMM()
		VPMOVZXBW(src, h)
		VPSLLW(Imm(8), h, h)
		return widen(h)
	}
}

// widen is sixteen float16 as float32.
func widen(h VecVirtual) (lo, hi VecVirtual) {
	x := XMM()
	lo, hi = YMM(), YMM()
	VEXTRACTI128(Imm(1), h, x)
	VCVTPH2PS(h.AsX(), lo)
	VCVTPH2PS(x, hi)
	return lo, hi
}
