package quant

import (
	"bytes"
	"flag"
	"math"
	"testing"

	"github.com/x448/float16"

	"github.com/isomerfs/isomerfs/model"
)

var full = flag.Bool("full", false, "try every float32, which takes a minute, instead of one in 1021")

// x448/float16 converts by bit operations of its own; its authors compared all 2^32 float32. The kernels against the
// reference on the same.
func TestEveryFloat32(t *testing.T) {
	const chunk = 1 << 16
	step := uint64(1021) // a prime, so that the lower bits take all values
	if *full {
		step = 1
	}
	var src, want, got [4 * chunk]byte
	for b := uint64(0); b < 1<<32; {
		n := 0
		for ; n < chunk && b < 1<<32; n, b = n+1, b+step {
			put(src[:], n, 4, b)
			if got, want := narrowF16(uint32(b)), float16.Fromfloat32(math.Float32frombits(uint32(b))).Bits(); got != want {
				t.Fatalf("f32 %#08x: f16 %#04x, want %#04x", b, got, want)
			}
		}
		for tier := Generic + 1; tier <= min(Best(), AVX2); tier++ {
			for _, e := range table(tier) {
				if e.From != model.F32 || e.To == model.F64 {
					continue
				}
				c := e.Op.(*cast)
				c.pure(want[:n*c.to], src[:])
				if err := c.Apply(got[:n*c.to], [][]byte{src[:]}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got[:n*c.to], want[:n*c.to]) {
					t.Fatalf("%s, %s: not what the reference gives for the %d values up to %#08x", tier, c, n, b)
				}
			}
		}
	}
}

func TestEveryFloat16(t *testing.T) {
	for h := range 1 << 16 {
		if got, want := widenF16(uint16(h)), math.Float32bits(float16.Frombits(uint16(h)).Float32()); got != want {
			t.Fatalf("f16 %#04x: f32 %#08x, want %#08x", h, got, want)
		}
	}
}
