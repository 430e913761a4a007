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

const (
	group  = 16 // elements of one load and store
	groups = 2  // of one round of the loop: while one waits for its results, the other works
)

type load struct {
	from  string
	bytes int // of an element
	emit  func(src Mem) (lo, hi VecVirtual)
}

type store struct {
	to    string
	bytes int
	emit  func(dst Mem, lo, hi VecVirtual)
}

func main() {
	f32, f16, bf16 := store{"F32", 4, storeF32}, store{"F16", 2, storeF16}, store{"BF16", 2, storeBF16}

	kernel(load{"F64", 8, loadF64Nearest}, f32)
	kernel(load{"F64", 8, loadF64Sticky}, f16)
	kernel(load{"F64", 8, loadF64Odd}, bf16)
	kernel(load{"F32", 4, loadF32}, f16)
	kernel(load{"F32", 4, loadF32}, bf16)
	kernel(load{"F16", 2, loadF16}, f32)
	kernel(load{"F16", 2, loadF16}, bf16)
	kernel(load{"BF16", 2, loadBF16}, f32)
	kernel(load{"BF16", 2, loadBF16}, f16)
	for _, f8 := range []load{{"E4M3", 1, loadE4M3}, {"E5M2", 1, loadE5M2}} {
		kernel(f8, f32)
		kernel(f8, f16)
		kernel(f8, store{"BF16", 2, storeBF16Exact})
	}
	Generate()
}

// kernel writes the function that casts n elements, a multiple of group*groups and not 0.
func kernel(from load, to store) {
	name := strings.ToLower(from.from) + "To" + to.to
	TEXT(name+"AVX2", NOSPLIT, "func(dst, src *byte, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%sAVX2 is %s for n elements, a multiple of %d.", name, name, group*groups))

	dst, src, n := GP64(), GP64(), GP64()
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("n"), n)
	Label("loop")
	for g := range groups {
		lo, hi := from.emit(Mem{Base: src, Disp: g * group * from.bytes})
		to.emit(Mem{Base: dst, Disp: g * group * to.bytes}, lo, hi)
	}
	ADDQ(U32(group*groups*from.bytes), src)
	ADDQ(U32(group*groups*to.bytes), dst)
	SUBQ(U32(group*groups), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// all is a vector with the value in every one of its lanes of so many bits.
func all(bits int, value uint64) Mem {
	name := fmt.Sprintf("all%d_%0*x", bits, bits/4, value)
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for off := 0; off < 32; off += bits / 8 {
		switch bits {
		case 16:
			DATA(off, U16(value))
		case 32:
			DATA(off, U32(value))
		case 64:
			DATA(off, U64(value))
		}
	}
	constants[name] = m
	return m
}

var constants = map[string]Mem{}

// both is the vector whose lower half is lo and whose upper half is hi.
func both(lo, hi VecVirtual) VecVirtual {
	y := YMM()
	VINSERTF128(Imm(1), hi.AsX(), lo.AsY(), y)
	return y
}
