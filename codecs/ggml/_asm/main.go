// Command asm writes the kernels of package ggml for amd64.
//
// The searches of the K-quants are long chains of float32 sums, each rounded, which no one may reorder: a group of 16 or
// 32 elements cannot be spread over the lanes of a vector. But sixteen groups can: each lane does for its own group what
// the reference does, operation for operation (lanes.go). What has no such chain works on eight or sixteen neighbours.
//
// Kernels for AVX2 and AVX-512 come of the same descriptions: sixteen lanes are two registers of the one, or one of the
// other.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	finite()
	transpose()
	for _, i := range []isa{avx2, avx512} {
		weights(i)
		affine(i, false)
		affine(i, true)
		scale(i)
		descend(i)
		iq4(i)
	}
	relevel()
	unpack()
	nearestLevels()
	levels32()
	ternary32()
	mxfp4()
	largest32()
	linear()
	widen()
	Generate()
}

// function begins a kernel, what it does in its doc comment.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name + " " + doc)
}

// argument is a parameter of the kernel in a register.
func argument(name string) GPVirtual {
	r := GP64()
	Load(Param(name), r)
	return r
}

// each runs body for p, p+step ... up to end, of which there is at least one.
func each(label string, p, end Register, step int, body func()) {
	Label(label)
	body()
	ADDQ(U32(step), p)
	CMPQ(p, end)
	JB(LabelRef(label))
}

// all32 is 32 bits in all lanes of a register.
func all32(bits uint32) VecVirtual {
	y := YMM()
	VBROADCASTSS(word(bits), y)
	return y
}

// word is 32 bits in memory.
func word(bits uint32) Mem {
	return data(fmt.Sprintf("word_%08x", bits), func() { DATA(0, U32(bits)) })
}

// data is read-only memory, filled when it is first asked for.
func data(name string, fill func()) Mem {
	m, ok := known[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		fill()
		known[name] = m
	}
	return m
}

var known = map[string]Mem{}

// The bits of float32 that kernels use.
const (
	one       = 0x3f800000
	magic     = 0x4b400000 // 12582912: added, it leaves the nearest integer in the lowest bits
	signBit   = 0x80000000
	magnitude = 0x7fffffff
	exponent  = 0x7f800000
)
