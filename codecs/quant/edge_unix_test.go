//go:build unix

package quant

import (
	"bytes"
	"syscall"
	"testing"
)

// Input and output that end at the end of what is mapped, and begin at its beginning: a kernel that touches a byte
// beside them does not survive.
func TestEdgesOfMemory(t *testing.T) {
	page := syscall.Getpagesize()
	alone := func() []byte { // one page between two that must not be touched
		b, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Munmap(b) })
		for _, side := range [][]byte{b[:page], b[2*page:]} {
			if err := syscall.Mprotect(side, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		return b[page : 2*page]
	}
	src, dst := alone(), alone()
	for i := range src {
		src[i] = byte(i * 37)
	}
	want := make([]byte, 100*8)
	everywhere(t, func(t *testing.T, e Encoding) {
		c := e.Op.(*cast)
		for n := range 100 {
			for _, in := range [][]byte{src[:n*c.from], src[page-n*c.from:]} {
				c.pure(want[:n*c.to], in)
				for _, out := range [][]byte{dst[:n*c.to], dst[page-n*c.to:]} {
					if err := c.Apply(out, [][]byte{in}); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(out, want[:n*c.to]) {
						t.Fatalf("%d elements: not what the reference gives", n)
					}
				}
			}
		}
	})
}
