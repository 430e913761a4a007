package quant

import "golang.org/x/sys/cpu"

//go:generate go -C _asm run . -pkg quant -out ../kernels_amd64.s -stubs ../kernels_amd64.go

// Best is the highest Tier that this processor has.
func Best() Tier {
	switch x := cpu.X86; {
	case !x.HasAVX2 || !x.HasF16C:
		return Generic
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL:
		return AVX2
	}
	return AVX512
}

func kernels(t Tier) map[string]vector {
	if t < AVX2 {
		return nil
	}
	return map[string]vector{
		"f64→f32/1":      {f64ToF32AVX2, 16},
		"f64→f16/1":      {f64ToF16AVX2, 16},
		"f64→bf16/1":     {f64ToBF16AVX2, 16},
		"f32→f16/1":      {f32ToF16AVX2, 16},
		"f32→bf16/1":     {f32ToBF16AVX2, 16},
		"f16→f32/1":      {f16ToF32AVX2, 16},
		"f16→bf16/1":     {f16ToBF16AVX2, 16},
		"bf16→f32/1":     {bf16ToF32AVX2, 16},
		"bf16→f16/1":     {bf16ToF16AVX2, 16},
		"f8_e4m3→f32/1":  {e4m3ToF32AVX2, 16},
		"f8_e4m3→f16/1":  {e4m3ToF16AVX2, 16},
		"f8_e4m3→bf16/1": {e4m3ToBF16AVX2, 16},
		"f8_e5m2→f32/1":  {e5m2ToF32AVX2, 16},
		"f8_e5m2→f16/1":  {e5m2ToF16AVX2, 16},
		"f8_e5m2→bf16/1": {e5m2ToBF16AVX2, 16},
	}
}
