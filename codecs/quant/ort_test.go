package quant

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// clampSlow is the rule of the converter, word by word.
func clampSlow(x float32) uint16 {
	switch {
	case x > 0 && x < 5.96e-08:
		x = 5.96e-08
	case x < 0 && x > -5.96e-08:
		x = -5.96e-08
	case x > 65504 && !math.IsInf(float64(x), 1):
		x = 65504
	case x < -65504 && !math.IsInf(float64(x), -1):
		x = -65504
	}
	return narrowF16(math.Float32bits(x))
}

func TestClampF16(t *testing.T) {
	for _, c := range []struct {
		in   float32
		want uint16
	}{
		{0, 0}, {float32(math.Copysign(0, -1)), 0x8000}, {1, 0x3c00},
		{1e-9, 1}, {-1e-9, 0x8001}, {math.SmallestNonzeroFloat32, 1}, {5.96e-08, 1}, {1.0 / (1 << 25), 1}, {3.0 / (1 << 25), 2},
		{65504, 0x7bff}, {65519.99, 0x7bff}, {65520, 0x7bff}, {-65520, 0xfbff}, {1e5, 0x7bff}, {math.MaxFloat32, 0x7bff}, {-math.MaxFloat32, 0xfbff},
		{float32(math.Inf(1)), 0x7c00}, {float32(math.Inf(-1)), 0xfc00}, {float32(math.NaN()), 0x7e00},
	} {
		for _, n := range []int{1, 3, 4, 9} { // with and without whole words of four
			src, dst := make([]byte, 4*n), make([]byte, 2*n)
			for i := range n {
				le.PutUint32(src[4*i:], math.Float32bits(c.in))
			}
			if err := ClampF16.Apply(dst, [][]byte{src}); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if got := le.Uint16(dst[2*i:]); got != c.want {
					t.Errorf("%d of %d: %g: %#04x, want %#04x", i, n, c.in, got, c.want)
				}
			}
		}
	}
}

// TestClampF16Random compares whole buffers, longer than a pass, with the rule; the digest is what the converter of
// ONNX Runtime 1.32 makes of the same bytes.
func TestClampF16Random(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 94))
	const n = 3*clampCall + 7
	src, dst := make([]byte, 4*n), make([]byte, 2*n)
	for i := range n {
		b := r.Uint32()
		if b&0x7f800000 == 0x7f800000 {
			b &^= 0x7fffff
		}
		if i%3 == 0 { // around the limits
			b = b&0x80000000 | (0x33000000 + b%0x02000000)
		} else if i%3 == 1 {
			b = b&0x80000000 | (0x477f0000 + b%0x20000)
		}
		le.PutUint32(src[4*i:], b)
	}
	if err := ClampF16.Apply(dst, [][]byte{src}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		x := math.Float32frombits(le.Uint32(src[4*i:]))
		if got, want := le.Uint16(dst[2*i:]), clampSlow(x); got != want {
			t.Fatalf("%d: %g: %#04x, want %#04x", i, x, got, want)
		}
	}
	const want = "a1dc10a5f1a4c3a97ce75a1b685945d21a76c71e6b99dbd8c8e4720c48d670f4"
	sum := sha256.Sum256(dst)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}
