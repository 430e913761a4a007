package cache

import (
	"testing"
)

func TestSequentialRead(t *testing.T) {
	for _, piece := range []int64{1 << 20, 128 << 10, 100_001} {
		f, want, s := sized(t, 1, 80<<20)
		c := open(t, Options{Dir: t.TempDir()})
		e := c.Get(f, "m/v1/f")
		if got := e.State(); got != Virtual {
			t.Fatalf("before the first read: %v", got)
		}
		checkAll(t, e, want, piece)
		until(t, "ready", ready(e))
		if got := s.read.Load(); got > s.Size()*11/10 {
			t.Errorf("reads of %d: %d bytes of a source of %d were read", piece, got, s.Size())
		}
		checkAll(t, e, want, piece)
		e.Release()
	}
}
