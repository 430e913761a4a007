// Package ggml is the table of ggml's tensor types: how their blocks are laid out, what values they hold, and how those
// of llama-quantize are made.
//
// A ggml type stores a tensor's elements in blocks: so many elements of one row in so many bytes. [Dequantize] turns
// blocks into float32, [Quantize] and [QuantizeWeighted] make blocks of float32, float16 or bfloat16. All are
// [layout.Op]s over little-endian bytes of any alignment.
//
// # What is computed
//
// Blocks are, byte for byte, those that llama.cpp's reference functions make on x86-64, and so those that llama-quantize
// writes. Every product and every sum is rounded to float32 in the order of the reference, nothing is fused, and what
// the C language leaves undefined (a float32 that no integer holds) is what that processor does. The arithmetic is that
// of the llama.cpp that integration/llamacpp.sh builds, and the tests compare with it.
//
// llama-quantize refuses a tensor in which a value is no number or infinite, and one whose values are so large that a
// block's scale is not finite in float16. So do the quantizers: they fail as [fault.Malformed].
//
// Each computation has a pure-Go reference, compiled everywhere; on amd64 the usual ones have kernels in assembly too.
// Which runs never changes a byte.
package ggml

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Type is the type of a tensor's elements by its number in GGUF files (enum ggml_type of ggml.h).
type Type uint32

// The types that exist. Numbers between them belonged to types that were given up.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9 // of intermediate results, never of files
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15 // of intermediate results, never of files
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

// types is the table, by number. A line without a name is a number that no type has.
var types = [...]struct {
	name  string
	block model.Block
	plain model.DType // where the elements are stored one by one
}{
	F32:     {"F32", model.Block{Elems: 1, Bytes: 4}, model.F32},
	F16:     {"F16", model.Block{Elems: 1, Bytes: 2}, model.F16},
	Q4_0:    {"Q4_0", model.Block{Elems: 32, Bytes: 18}, 0},
	Q4_1:    {"Q4_1", model.Block{Elems: 32, Bytes: 20}, 0},
	Q5_0:    {"Q5_0", model.Block{Elems: 32, Bytes: 22}, 0},
	Q5_1:    {"Q5_1", model.Block{Elems: 32, Bytes: 24}, 0},
	Q8_0:    {"Q8_0", model.Block{Elems: 32, Bytes: 34}, 0},
	Q8_1:    {"Q8_1", model.Block{Elems: 32, Bytes: 36}, 0},
	Q2_K:    {"Q2_K", model.Block{Elems: 256, Bytes: 84}, 0},
	Q3_K:    {"Q3_K", model.Block{Elems: 256, Bytes: 110}, 0},
	Q4_K:    {"Q4_K", model.Block{Elems: 256, Bytes: 144}, 0},
	Q5_K:    {"Q5_K", model.Block{Elems: 256, Bytes: 176}, 0},
	Q6_K:    {"Q6_K", model.Block{Elems: 256, Bytes: 210}, 0},
	Q8_K:    {"Q8_K", model.Block{Elems: 256, Bytes: 292}, 0},
	IQ2_XXS: {"IQ2_XXS", model.Block{Elems: 256, Bytes: 66}, 0},
	IQ2_XS:  {"IQ2_XS", model.Block{Elems: 256, Bytes: 74}, 0},
	IQ3_XXS: {"IQ3_XXS", model.Block{Elems: 256, Bytes: 98}, 0},
	IQ1_S:   {"IQ1_S", model.Block{Elems: 256, Bytes: 50}, 0},
	IQ4_NL:  {"IQ4_NL", model.Block{Elems: 32, Bytes: 18}, 0},
	IQ3_S:   {"IQ3_S", model.Block{Elems: 256, Bytes: 110}, 0},
	IQ2_S:   {"IQ2_S", model.Block{Elems: 256, Bytes: 82}, 0},
	IQ4_XS:  {"IQ4_XS", model.Block{Elems: 256, Bytes: 136}, 0},
	I8:      {"I8", model.Block{Elems: 1, Bytes: 1}, model.I8},
	I16:     {"I16", model.Block{Elems: 1, Bytes: 2}, model.I16},
	I32:     {"I32", model.Block{Elems: 1, Bytes: 4}, model.I32},
	I64:     {"I64", model.Block{Elems: 1, Bytes: 8}, model.I64},
	F64:     {"F64", model.Block{Elems: 1, Bytes: 8}, model.F64},
	IQ1_M:   {"IQ1_M", model.Block{Elems: 256, Bytes: 56}, 0},
	BF16:    {"BF16", model.Block{Elems: 1, Bytes: 2}, model.BF16},
	TQ1_0:   {"TQ1_0", model.Block{Elems: 256, Bytes: 54}, 0},
	TQ2_0:   {"TQ2_0", model.Block{Elems: 256, Bytes: 66}, 0},
	MXFP4:   {"MXFP4", model.Block{Elems: 32, Bytes: 17}, 0},
	NVFP4:   {"NVFP4", model.Block{Elems: 64, Bytes: 36}, 0},
	Q1_0:    {"Q1_0", model.Block{Elems: 128, Bytes: 18}, 0},
	Q2_0:    {"Q2_0", model.Block{Elems: 64, Bytes: 18}, 0},
}

// Types are the types that exist, by number.
func Types() []Type {
	var list []Type
	for t := range types {
		if types[t].name != "" {
			list = append(list, Type(t))
		}
	}
	return list
}

// ParseType is the type of a name as [Type.String] spells it; false when there is none.
func ParseType(name string) (Type, bool) {
	for t := range types {
		if types[t].name == name && name != "" {
			return Type(t), true
		}
	}
	return 0, false
}

// Plain is the type that stores elements of d one by one; false where ggml has none.
func Plain(d model.DType) (Type, bool) {
	for t := range types {
		if types[t].plain == d && d != model.Invalid {
			return Type(t), true
		}
	}
	return 0, false
}

// Known reports whether a type has this number.
func (t Type) Known() bool { return int64(t) < int64(len(types)) && types[t].name != "" }

// String is the name, in the capitals that GGUF's specification uses: F32, Q4_K, IQ4_XS.
func (t Type) String() string {
	if t.Known() {
		return types[t].name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

// Block is the type's block; {0, 0} for a number that no type has.
func (t Type) Block() model.Block {
	if t.Known() {
		return types[t].block
	}
	return model.Block{}
}

// DType is the type whose elements are stored one by one as this one's are; Invalid for a type of blocks.
func (t Type) DType() model.DType {
	if t.Known() {
		return types[t].plain
	}
	return model.Invalid
}

// Bytes is the size of count elements of a row. A count that is no whole number of blocks is a Mismatch, a number that
// no type has Unsupported.
func (t Type) Bytes(count int64) (int64, error) {
	b := t.Block()
	if b.Elems == 0 {
		return 0, fault.New(fault.Unsupported, "there is no %s", t)
	}
	if count < 0 || count%b.Elems != 0 {
		return 0, fault.New(fault.Mismatch, "%d elements of %s are no whole number of blocks of %d", count, t, b.Elems)
	}
	hi, lo := bits.Mul64(uint64(count/b.Elems), uint64(b.Bytes))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, fault.New(fault.Overflow, "%d elements of %s are more bytes than fit 63 bits", count, t)
	}
	return int64(lo), nil
}
