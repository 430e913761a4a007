// Command asm writes the kernels of package quant for amd64.
//
// A kernel loads sixteen elements as two vectors of eight float32, lo and hi, and stores two such vectors as sixteen
// elements of another type. There is a load for each type that is cast from, a store for each that is cast to, and one
// loop around them.
package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// group is the number of elements of one load and store, and of one round of the loop.
//
// The loop is not unrolled, and its condition not folded into the subtraction. The processor overlaps the rounds by
// itself; what is left out would make the loads run so far ahead of the prefetcher that large inputs, which come from
// memory, are read a fifth slower (float64 to float32 on Zen 4).
const group = 16

// A load and a store each prepare the constants they need, in registers before the loop, and return what is done in it.
type (
	load  func() func(src Mem) (lo, hi VecVirtual)
	store func() func(dst Mem, lo, hi VecVirtual)
)

func main() {
	kernel("f64ToF32AVX2", 8, 4, loadF64Nearest, storeF32)
	kernel("f64ToF16AVX2", 8, 2, loadF64Sticky, storeF16)
	kernel("f64ToBF16AVX2", 8, 2, loadF64Odd, storeBF16)
	kernel("f32ToF16AVX2", 4, 2, loadF32, storeF16)
	kernel("f32ToBF16AVX2", 4, 2, loadF32, storeBF16)
	kernel("f16ToF32AVX2", 2, 4, loadF16, storeF32)
	kernel("f16ToBF16AVX2", 2, 2, loadF16, storeBF16)
	kernel("bf16ToF32AVX2", 2, 4, loadBF16, storeF32)
	kernel("bf16ToF16AVX2", 2, 2, loadBF16, storeF16)
	kernel("e4m3ToF32AVX2", 1, 4, loadE4M3, storeF32)
	kernel("e4m3ToF16AVX2", 1, 2, loadE4M3, storeF16)
	kernel("e4m3ToBF16AVX2", 1, 2, loadE4M3, storeUpper)
	kernel("e5m2ToF32AVX2", 1, 4, loadE5M2, storeF32)
	kernel("e5m2ToF16AVX2", 1, 2, loadE5M2, storeF16)
	kernel("e5m2ToBF16AVX2", 1, 2, loadE5M2, storeUpper)
	Generate()
}

// kernel writes the function that casts n elements of in bytes to n of out bytes, where n is a multiple of group and
// not 0.
func kernel(name string, in, out int, load load, store store) {
	TEXT(name, NOSPLIT, "func(dst, src *byte, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is %s for n elements, a multiple of %d and not 0.", name, strings.TrimSuffix(name, "AVX2"), group))

	dst, src, n := GP64(), GP64(), GP64()
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("n"), n)
	get, put := load(), store()
	Label("loop")
	lo, hi := get(Mem{Base: src})
	put(Mem{Base: dst}, lo, hi)
	SUBQ(U32(group), n)
	ADDQ(U32(group*in), src)
	ADDQ(U32(group*out), dst)
	CMPQ(n, U32(group))
	JGE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// all is a vector with the value in every one of its lanes of so many bits.
func all(bits int, value uint64) VecVirtual {
	name := fmt.Sprintf("lane%d_%0*x", bits, bits/4, value)
	m, ok := constants[name]
	y := YMM()
	switch bits {
	case 16:
		if !ok {
			m = GLOBL(name, RODATA|NOPTR)
			DATA(0, U16(value))
		}
		VPBROADCASTW(m, y)
	case 32:
		if !ok {
			m = GLOBL(name, RODATA|NOPTR)
			DATA(0, U32(value))
		}
		VPBROADCASTD(m, y)
	case 64:
		if !ok {
			m = GLOBL(name, RODATA|NOPTR)
			DATA(0, U64(value))
		}
		VPBROADCASTQ(m, y)
	}
	constants[name] = m
	return y
}

var constants = map[string]Mem{}

// both is the vector whose lower half is lo and whose upper half is hi.
func both(lo, hi VecVirtual) VecVirtual {
	y := YMM()
	VINSERTF128(Imm(1), hi.AsX(), lo.AsY(), y)
	return y
}
