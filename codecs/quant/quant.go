// Package quant is the table of encodings: the computations that turn a tensor's elements of one type into elements
// of another.
//
// An encoding is a [layout.Op] over little-endian bytes of any alignment. Each has a pure-Go reference, compiled
// everywhere and the measure of all else, and on amd64 a kernel in assembly where that pays; which one runs never
// changes a byte.
//
// # What a cast computes
//
// A cast to a narrower type rounds the exact value once, to the nearest, ties to even (IEEE 754-2019, section 4.3.1),
// also from float64 to half precision, where a detour by float32 would round twice. What lies beyond the largest
// finite value becomes an infinity, subnormals are kept, and so is the sign of a zero. A cast to a wider type is exact.
//
// A NaN stays a NaN. Its sign is kept, its payload loses the bits that do not fit, and the quiet bit is set, as the
// conversions of x86 (F16C, SSE2) and Arm do; the one exception is BF16 to F32, which only appends zeros, as everywhere.
//
// # Adding an encoding
//
// An encoding is a file with its reference (and a kernel in _asm, if one is wanted) and a line in the table below.
package quant

import (
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Encoding is one line of the table: elements of From become elements of To by Op.
type Encoding struct {
	From, To model.DType
	Op       layout.Op
}

// Encodings is the table. It must not be changed.
var Encodings = table(active)

// table is the table with the kernels of a tier.
func table(t Tier) []Encoding {
	return []Encoding{
		{model.F64, model.F32, newCast(t, "f64→f32/1", 8, 4, f64ToF32)},
		{model.F64, model.F16, newCast(t, "f64→f16/1", 8, 2, f64ToF16)},
		{model.F64, model.BF16, newCast(t, "f64→bf16/1", 8, 2, f64ToBF16)},
		{model.F32, model.F64, newCast(t, "f32→f64/1", 4, 8, f32ToF64)},
		{model.F32, model.F16, newCast(t, "f32→f16/1", 4, 2, f32ToF16)},
		{model.F32, model.BF16, newCast(t, "f32→bf16/1", 4, 2, f32ToBF16)},
		{model.F16, model.F64, newCast(t, "f16→f64/1", 2, 8, f16ToF64)},
		{model.F16, model.F32, newCast(t, "f16→f32/1", 2, 4, f16ToF32)},
		{model.F16, model.BF16, newCast(t, "f16→bf16/1", 2, 2, f16ToBF16)},
		{model.BF16, model.F64, newCast(t, "bf16→f64/1", 2, 8, bf16ToF64)},
		{model.BF16, model.F32, newCast(t, "bf16→f32/1", 2, 4, bf16ToF32)},
		{model.BF16, model.F16, newCast(t, "bf16→f16/1", 2, 2, bf16ToF16)},
		{model.F8E4M3, model.F32, newCast(t, "f8_e4m3→f32/1", 1, 4, e4m3ToF32)},
		{model.F8E4M3, model.F16, newCast(t, "f8_e4m3→f16/1", 1, 2, e4m3ToF16)},
		{model.F8E4M3, model.BF16, newCast(t, "f8_e4m3→bf16/1", 1, 2, e4m3ToBF16)},
		{model.F8E5M2, model.F32, newCast(t, "f8_e5m2→f32/1", 1, 4, e5m2ToF32)},
		{model.F8E5M2, model.F16, newCast(t, "f8_e5m2→f16/1", 1, 2, e5m2ToF16)},
		{model.F8E5M2, model.BF16, newCast(t, "f8_e5m2→bf16/1", 1, 2, e5m2ToBF16)},
	}
}

// Cast is the encoding that turns elements of from into elements of to; false where the table has none, and where the
// two are the same and there is nothing to do.
func Cast(from, to model.DType) (layout.Op, bool) {
	for _, e := range Encodings {
		if e.From == from && e.To == to {
			return e.Op, true
		}
	}
	return nil, false
}
