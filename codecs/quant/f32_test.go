package quant

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/x448/float16"
)

// x448/float16 converts by bit operations of its own; its authors compared all 2^32 float32.
func TestFloat16AgainstX448(t *testing.T) {
	for h := range 1 << 16 {
		if got, want := widenF16(uint16(h)), math.Float32bits(float16.Frombits(uint16(h)).Float32()); got != want {
			t.Fatalf("f16 %#04x: f32 %#08x, want %#08x", h, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1 << 22 {
		b := r.Uint32()
		if got, want := narrowF16(b), float16.Fromfloat32(math.Float32frombits(b)).Bits(); got != want {
			t.Fatalf("f32 %#08x: f16 %#04x, want %#04x", b, got, want)
		}
	}
}
