package quant

// bfloat16: the upper half of a float32.

// bf16ToF64 is dst[i] = float64(src[i]).
func bf16ToF64(dst, src []byte) {
	for ; len(dst) >= 8 && len(src) >= 2; dst, src = dst[8:], src[2:] {
		le.PutUint64(dst, widenF32(uint32(le.Uint16(src))<<16))
	}
}

// bf16ToF32 is dst[i] = float32(src[i]).
func bf16ToF32(dst, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 2; dst, src = dst[4:], src[2:] {
		le.PutUint32(dst, uint32(le.Uint16(src))<<16)
	}
}

// bf16ToF16 is dst[i] = float16(src[i]).
func bf16ToF16(dst, src []byte) {
	for ; len(dst) >= 2 && len(src) >= 2; dst, src = dst[2:], src[2:] {
		le.PutUint16(dst, narrowF16(uint32(le.Uint16(src))<<16))
	}
}
