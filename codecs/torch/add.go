package torch

import (
	"math"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// adder adds the elements of src to those of dst, as PyTorch adds tensors of the type: a half-precision sum is one of
// float32, rounded; integers wrap; bools are or-ed.
type adder func(dst, src []byte)

var adders = map[model.DType]adder{
	model.F32: addF32, model.C64: addF32, model.F64: addF64, model.C128: addF64,
	model.F16: addHalf(model.F16), model.BF16: addHalf(model.BF16),
	model.I8: addInt(1), model.U8: addInt(1), model.I16: addInt(2), model.U16: addInt(2),
	model.I32: addInt(4), model.U32: addInt(4), model.I64: addInt(8), model.U64: addInt(8),
	model.Bool: func(dst, src []byte) {
		for i := range dst {
			dst[i] |= src[i]
		}
	},
}

func addF32(dst, src []byte) {
	for i := 0; i+4 <= len(dst); i += 4 {
		sum := math.Float32frombits(le.Uint32(dst[i:])) + math.Float32frombits(le.Uint32(src[i:]))
		le.PutUint32(dst[i:], math.Float32bits(sum))
	}
}

func addF64(dst, src []byte) {
	for i := 0; i+8 <= len(dst); i += 8 {
		sum := math.Float64frombits(le.Uint64(dst[i:])) + math.Float64frombits(le.Uint64(src[i:]))
		le.PutUint64(dst[i:], math.Float64bits(sum))
	}
}

// addInt adds little-endian integers of width bytes.
func addInt(width int) adder {
	return func(dst, src []byte) {
		for at := 0; at+width <= len(dst); at += width {
			carry := uint16(0)
			for i := at; i < at+width; i++ {
				carry += uint16(dst[i]) + uint16(src[i])
				dst[i] = byte(carry)
				carry >>= 8
			}
		}
	}
}

// addHalf adds float16 or bfloat16.
func addHalf(d model.DType) adder {
	widen, _ := quant.Cast(d, model.F32)
	narrow, _ := quant.Cast(model.F32, d)
	return func(dst, src []byte) {
		for i := 0; i+2 <= len(dst); i += 2 {
			if dst[i] == 0 && dst[i+1] == 0 { // nothing was added here yet
				if dst[i], dst[i+1] = src[i], src[i+1]; dst[i] == 0 && dst[i+1] == 0x80 {
					dst[i+1] = 0 // 0 + -0 is 0
				}
				continue
			}
			var a, b [4]byte
			convert(widen, a[:], dst[i:i+2])
			convert(widen, b[:], src[i:i+2])
			addF32(a[:], b[:])
			convert(narrow, dst[i:i+2], a[:])
		}
	}
}

// convert is a cast of one element, which cannot fail.
func convert(op layout.Op, dst, src []byte) { _ = op.Apply(dst, [][]byte{src}) }
