package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unordered is the predicate UNORD_Q of VCMPPS: either is a NaN.
var unordered = Imm(3)

// nearestEven is the rounding of VCVTPS2PH, whatever the control register says.
var nearestEven = Imm(0)

func storeF32(dst Mem, lo, hi VecVirtual) {
	VMOVUPS(lo, dst)
	VMOVUPS(hi, dst.Offset(32))
}

func storeF16(dst Mem, lo, hi VecVirtual) {
	VCVTPS2PH(nearestEven, lo, dst)
	VCVTPS2PH(nearestEven, hi, dst.Offset(16))
}

// storeBF16 rounds as narrowBF16 does. VCVTNE2PS2BF16 is no alternative where there is AVX-512: it takes subnormals
// for 0.
func storeBF16(dst Mem, lo, hi VecVirtual) {
	eight := func(b VecVirtual) VecVirtual {
		nan, quiet, last := YMM(), YMM(), YMM()
		VCMPPS(unordered, b, b, nan)
		VPOR(all(32, 0x400000), b, quiet)
		VPSRLD(Imm(16), b, last)
		VPAND(all(32, 1), last, last)
		VPADDD(all(32, 0x7fff), b, b)
		VPADDD(last, b, b)
		VBLENDVPS(nan, quiet, b, b)
		return b
	}
	storeBF16Exact(dst, eight(lo), eight(hi))
}

// storeBF16Exact stores the upper halves of the lanes.
func storeBF16Exact(dst Mem, lo, hi VecVirtual) {
	y := YMM()
	VPSRLD(Imm(16), lo, lo)
	VPSRLD(Imm(16), hi, hi)
	VPACKUSDW(hi, lo, y)
	VPERMQ(Imm(0b11_01_10_00), y, y) // it packs each half by itself
	VMOVDQU(y, dst)
}
