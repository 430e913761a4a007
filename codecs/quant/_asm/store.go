package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func storeF32() func(dst Mem, lo, hi VecVirtual) {
	return func(dst Mem, lo, hi VecVirtual) {
		VMOVUPS(lo, dst)
		VMOVUPS(hi, dst.Offset(32))
	}
}

func storeF16() func(dst Mem, lo, hi VecVirtual) {
	nearestEven := Imm(0) // whatever the control register says
	return func(dst Mem, lo, hi VecVirtual) {
		l, h := XMM(), XMM()
		VCVTPS2PH(nearestEven, lo, l) // to a register and from there: straight to memory is slower by a third on Zen 4
		VCVTPS2PH(nearestEven, hi, h)
		VMOVDQU(l, dst)
		VMOVDQU(h, dst.Offset(16))
	}
}

// storeBF16 rounds as narrowBF16 does. VCVTNE2PS2BF16 is no alternative where there is AVX-512: it takes subnormals
// for 0.
func storeBF16() func(dst Mem, lo, hi VecVirtual) {
	unordered := Imm(3) // UNORD_Q: either is a NaN
	quiet, one, half := all(32, 0x400000), all(32, 1), all(32, 0x7fff)
	upper := storeUpper()
	eight := func(b VecVirtual) {
		nan, q, last := YMM(), YMM(), YMM()
		VCMPPS(unordered, b, b, nan)
		VPOR(quiet, b, q)
		VPSRLD(Imm(16), b, last)
		VPAND(one, last, last)
		VPADDD(half, b, b)
		VPADDD(last, b, b)
		VBLENDVPS(nan, q, b, b)
	}
	return func(dst Mem, lo, hi VecVirtual) {
		eight(lo)
		eight(hi)
		upper(dst, lo, hi)
	}
}

// storeUpper stores the upper halves of the lanes: bfloat16, where no more than that was there.
func storeUpper() func(dst Mem, lo, hi VecVirtual) {
	return func(dst Mem, lo, hi VecVirtual) {
		y := YMM()
		VPSRLD(Imm(16), lo, lo)
		VPSRLD(Imm(16), hi, hi)
		VPACKUSDW(hi, lo, y) // lo0-3 hi0-3 lo4-7 hi4-7
		VPERMQ(Imm(0b11_01_10_00), y, y)
		VMOVDQU(y, dst)
	}
}
