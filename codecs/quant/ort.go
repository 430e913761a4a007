package quant

import "github.com/isomerfs/isomerfs/layout"

// ClampF16 turns float32 into float16 as ONNX Runtime's converter does (onnxruntime.transformers.float16, version 1.32,
// with its own limits): a finite value beyond 65504 becomes 65504 with its sign, a value that is not zero and smaller
// than 5.96e-08 becomes 2^-24, the least float16, with its sign. Zeros, infinities and NaNs stay, and all else is
// rounded as a cast from F32 to F16 rounds it.
//
// It is no line of [Encodings], for it is no cast: a weight too small or too large for float16 stays one that counts,
// and is off by more than half a unit.
var ClampF16 layout.Op = clampF16{newCast(active, "f32→f16/1", 4, 2, f32ToF16)}

// clampF16 is a cast, and then the repair of what the cast carried out of float16. A rounded value tells what needs
// repair: only a zero or an infinity can come from an input outside the limits.
type clampF16 struct{ *cast }

// String implements [layout.Op].
func (clampF16) String() string { return "f32→f16 clamped/1" }

// clampCall is how many elements are cast before they are looked over: both passes then find them in the first cache.
const clampCall = 4096

// Apply implements [layout.Op].
func (c clampF16) Apply(dst []byte, src [][]byte) error {
	for len(dst) > 2*clampCall && len(src) == 1 && len(src[0]) > 4*clampCall {
		if err := c.cast.Apply(dst[:2*clampCall], [][]byte{src[0][:4*clampCall]}); err != nil {
			return err
		}
		clampHalves(dst[:2*clampCall], src[0])
		dst, src = dst[2*clampCall:], [][]byte{src[0][4*clampCall:]}
	}
	if err := c.cast.Apply(dst, src); err != nil {
		return err
	}
	clampHalves(dst, src[0])
	return nil
}

// clampHalves repairs dst, the float16 that src was rounded to. It looks at four at a time: lanes that are zero are
// found by the borrow that a subtraction leaves in their highest bit.
func clampHalves(dst, src []byte) {
	const low, high = 0x0001000100010001, 0x8000800080008000
	i := 0
	for ; i+4 <= len(dst)/2; i += 4 {
		mag := le.Uint64(dst[2*i:2*i+8]) &^ high
		inf := mag ^ 0x7c00*low
		if ((mag-low)&^mag|(inf-low)&^inf)&high == 0 {
			continue
		}
		for j := i; j < i+4; j++ {
			clampHalf(dst[2*j:2*j+2], src[4*j:4*j+4])
		}
	}
	for ; i < len(dst)/2; i++ {
		clampHalf(dst[2*i:2*i+2], src[4*i:4*i+4])
	}
}

// clampHalf repairs one.
func clampHalf(dst, src []byte) {
	h, mag := le.Uint16(dst), le.Uint32(src)&0x7fffffff
	switch {
	case h&0x7fff == 0 && mag != 0:
		le.PutUint16(dst, h|1)
	case h&0x7fff == 0x7c00 && mag < 0x7f800000:
		le.PutUint16(dst, h-1)
	}
}
