package model

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/isomerfs/isomerfs/fault"
)

// DType is the type of a tensor's elements. Names are those of safetensors, plus C128, STRING, and ONNX's
// I4, U4, I2 and U2.
type DType uint8

const (
	Invalid DType = iota
	Bool          // one byte, 0 or 1
	F4            // float4 e2m1, two elements to a byte, low nibble first
	F6E2M3        // float6, four elements to three bytes
	F6E3M2        // float6, four elements to three bytes
	U8
	I8
	F8E5M2
	F8E4M3     // the "fn" variant: no infinities, 448 the largest
	F8E8M0     // a power of two: a scale
	F8E4M3FNUZ // no infinities, no negative zero
	F8E5M2FNUZ // no infinities, no negative zero
	I16
	U16
	F16
	BF16
	I32
	U32
	F32
	C64 // two float32: real, imaginary
	F64
	I64
	U64
	C128   // two float64; safetensors has no spelling for it
	String // bytes of varying length; has no fixed size

	// Integers of ONNX that safetensors has no spelling for, several to a byte, the first in the low bits.
	I4
	U4
	I2
	U2

	numDTypes
)

// Block is the unit a type is stored in: so many elements in so many bytes. Sizes count blocks, never bytes per element.
type Block struct{ Elems, Bytes int64 }

var dtypes = [numDTypes]struct {
	name  string
	block Block
}{
	Bool: {"BOOL", Block{1, 1}}, F4: {"F4", Block{2, 1}}, F6E2M3: {"F6_E2M3", Block{4, 3}}, F6E3M2: {"F6_E3M2", Block{4, 3}},
	U8: {"U8", Block{1, 1}}, I8: {"I8", Block{1, 1}},
	F8E5M2: {"F8_E5M2", Block{1, 1}}, F8E4M3: {"F8_E4M3", Block{1, 1}}, F8E8M0: {"F8_E8M0", Block{1, 1}},
	F8E4M3FNUZ: {"F8_E4M3FNUZ", Block{1, 1}}, F8E5M2FNUZ: {"F8_E5M2FNUZ", Block{1, 1}},
	I16: {"I16", Block{1, 2}}, U16: {"U16", Block{1, 2}}, F16: {"F16", Block{1, 2}}, BF16: {"BF16", Block{1, 2}},
	I32: {"I32", Block{1, 4}}, U32: {"U32", Block{1, 4}}, F32: {"F32", Block{1, 4}}, C64: {"C64", Block{1, 8}},
	F64: {"F64", Block{1, 8}}, I64: {"I64", Block{1, 8}}, U64: {"U64", Block{1, 8}}, C128: {"C128", Block{1, 16}},
	String: {"STRING", Block{}},
	I4:     {"I4", Block{2, 1}}, U4: {"U4", Block{2, 1}}, I2: {"I2", Block{4, 1}}, U2: {"U2", Block{4, 1}},
}

// ParseDType is the type that safetensors spells name; Invalid when there is none.
func ParseDType(name string) DType {
	for d := Bool; d < String; d++ {
		if dtypes[d].name == name {
			return d
		}
	}
	return Invalid
}

// String is the name as safetensors spells it.
func (d DType) String() string {
	if d < numDTypes && d != Invalid {
		return dtypes[d].name
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Block is the type's block; {0, 0} for String and Invalid.
func (d DType) Block() Block {
	if d < numDTypes {
		return dtypes[d].block
	}
	return Block{}
}

// Float reports whether the weight views narrow or widen the type: F64, F32, F16 and BF16.
func (d DType) Float() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

// Elements is the product of shape's dimensions; [] is one element. A negative dimension is Malformed, a product
// beyond 63 bits Overflow, also where another dimension is 0.
func Elements(shape []int64) (int64, error) {
	product, zero := uint64(1), false
	for _, n := range shape {
		if n < 0 {
			return 0, fault.New(fault.Malformed, "shape %v has a negative dimension", shape)
		}
		if n == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(product, uint64(n))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fault.New(fault.Overflow, "shape %v has more elements than fit 63 bits", shape)
		}
		product = lo
	}
	if zero {
		return 0, nil
	}
	return int64(product), nil
}

// Bytes is the size of count elements. A count that is no whole number of blocks is Mismatch, unless the type's last
// block may be short (F4 and the six-bit types round up only in bits, so they must fill whole bytes).
func (d DType) Bytes(count int64) (int64, error) {
	b := d.Block()
	if b.Bytes == 0 {
		return 0, fault.New(fault.Unsupported, "%s elements have no fixed size", d)
	}
	hi, lo := bits.Mul64(uint64(count), uint64(b.Bytes))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, fault.New(fault.Overflow, "%d elements of %s are more bytes than fit 63 bits", count, d)
	}
	if lo%uint64(b.Elems) != 0 {
		return 0, fault.New(fault.Mismatch, "%d elements of %s are no whole number of bytes", count, d)
	}
	return int64(lo / uint64(b.Elems)), nil
}
