package quant

import "testing"

// FuzzCast holds every encoding, on every tier, to the oracle; and what an exact cast widens, the cast back gives
// again, but for the quiet bit of a NaN.
func FuzzCast(f *testing.F) {
	f.Add([]byte{0x00, 0x10, 0x80, 0x3f, 0x01, 0x00, 0x80, 0x7f, 0xff, 0xff, 0x7f, 0x33, 0, 0, 0, 0x80})
	f.Add([]byte{1, 0, 0, 0, 0, 0x10, 0xf0, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xf0, 0x40}) // beside halves of float16
	f.Fuzz(func(t *testing.T, b []byte) {
		for tier := range min(Best(), AVX2) + 1 {
			for _, e := range table(tier) {
				c := e.Op.(*cast)
				src := b
				for len(src) > 0 && len(src) < 40*c.from { // enough for a kernel
					src = append(src[:len(src):len(src)], src...)
				}
				n := len(src) / c.from
				dst := make([]byte, n*c.to)
				if err := c.Apply(dst, [][]byte{src}); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					x, y := get(src, i, c.from), get(dst, i, c.to)
					if want := oracle(e.From, e.To, x); y != want {
						t.Errorf("%s, %s: %#x becomes %#x, want %#x", tier, c, x, y, want)
					}
					if c.to <= c.from || formats[e.From].fn {
						continue
					}
					quiet := uint64(1) << (formats[e.From].fraction - 1)
					if back := oracle(e.To, e.From, y); back != x && back != x|quiet {
						t.Errorf("%s, %s: %#x becomes %#x, and that %#x", tier, c, x, y, back)
					}
				}
			}
		}
	})
}
