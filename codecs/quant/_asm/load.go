package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unequal is the predicate NEQ_OQ of VCMPPD: neither is a NaN, and they differ.
var unequal = Imm(12)

func loadF32(src Mem) (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VMOVUPS(src, lo)
	VMOVUPS(src.Offset(32), hi)
	return lo, hi
}

func loadF16(src Mem) (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VCVTPH2PS(src, lo)
	VCVTPH2PS(src.Offset(16), hi)
	return lo, hi
}

// loadBF16 puts each element into the upper half of its lane.
func loadBF16(src Mem) (lo, hi VecVirtual) {
	lo, hi = YMM(), YMM()
	VPMOVZXWD(src, lo)
	VPMOVZXWD(src.Offset(16), hi)
	VPSLLD(Imm(16), lo, lo)
	VPSLLD(Imm(16), hi, hi)
	return lo, hi
}

func loadF64Nearest(src Mem) (lo, hi VecVirtual) {
	eight := func(src Mem) VecVirtual {
		a, b := XMM(), XMM()
		VCVTPD2PSY(src, a)
		VCVTPD2PSY(src.Offset(32), b)
		return both(a, b)
	}
	return eight(src), eight(src.Offset(64))
}

// loadF64Sticky leaves to each float64 the 24 bits of significand that a float32 has, and sets the last of them unless
// the bits below were all 0. What is subnormal as a float32 is still rounded by the conversion, but as a float16 it
// is 0 either way.
func loadF64Sticky(src Mem) (lo, hi VecVirtual) {
	const below = 1<<29 - 1
	four := func(src Mem) VecVirtual {
		x, t := YMM(), YMM()
		VMOVUPD(src, x)
		VPAND(all(64, below), x, t)
		VPADDQ(all(64, below), t, t) // carries into bit 29 unless they were all 0
		VPOR(t, x, x)
		VPAND(all(64, ^uint64(below)), x, x)
		n := XMM()
		VCVTPD2PSY(x, n)
		return n
	}
	eight := func(src Mem) VecVirtual { return both(four(src), four(src.Offset(32))) }
	return eight(src), eight(src.Offset(64))
}

// loadF64Odd rounds to odd, as the function odd does, which says why.
func loadF64Odd(src Mem) (lo, hi VecVirtual) {
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
	// even takes the lower half of each 64-bit lane. The four lanes come out as a0 b0 a1 b1.
	even := func(a, b VecVirtual) VecVirtual {
		VSHUFPS(Imm(0b10_00_10_00), b, a, a)
		VPERMQ(Imm(0b11_01_10_00), a, a)
		return a
	}
	eight := func(src Mem) VecVirtual {
		near0, inexact0, away0 := four(src)
		near1, inexact1, away1 := four(src.Offset(32))
		near, inexact, away := both(near0, near1), even(inexact0, inexact1), even(away0, away1)
		VPAND(inexact, away, away) // not of a NaN
		VPADDD(away, near, near)   // -1: the next one towards zero
		VPSRLD(Imm(31), inexact, inexact)
		VPOR(inexact, near, near)
		return near
	}
	return eight(src), eight(src.Offset(64))
}

// loadE4M3 moves each element into a float16, where it counts 2^-8 of what it is worth.
func loadE4M3(src Mem) (lo, hi VecVirtual) {
	h, t := YMM(), YMM()
	VPMOVSXBW(src, h)
	VPSLLW(Imm(7), h, h)
	VPAND(all(16, 0xbf80), h, h)
	VPAND(all(16, 0x3f80), h, t)
	VPCMPEQW(all(16, 0x3f80), t, t) // a NaN
	VPAND(all(16, 0x7c00), t, t)
	VPOR(t, h, h)
	lo, hi = widen(h)
	VMULPS(all(32, 0x43800000), lo, lo) // 2^8
	VMULPS(all(32, 0x43800000), hi, hi)
	return lo, hi
}

func loadE5M2(src Mem) (lo, hi VecVirtual) {
	h := YMM()
	VPMOVZXBW(src, h)
	VPSLLW(Imm(8), h, h)
	return widen(h)
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
