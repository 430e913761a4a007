package quant

import (
	"bytes"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestSwap: what cannot be elements is refused, and swapping twice changes nothing.
func TestSwap(t *testing.T) {
	for _, s := range []swap{2, 4, 8} {
		if _, err := s.Size(int64(s) + 1); fault.KindOf(err) != fault.Mismatch {
			t.Errorf("%v: %v", s, err)
		}
		in := make([]byte, 5*s)
		for i := range in {
			in[i] = byte(i)
		}
		once, twice := make([]byte, len(in)), make([]byte, len(in))
		if err := s.Apply(once, [][]byte{in}); err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(twice, [][]byte{once}); err != nil || !bytes.Equal(in, twice) || bytes.Equal(in, once) {
			t.Errorf("%v: % x, % x (%v)", s, once, twice, err)
		}
		if err := s.Apply(make([]byte, len(in)+int(s)), [][]byte{in}); fault.KindOf(err) != fault.Mismatch {
			t.Errorf("%v of too little: %v", s, err)
		}
	}
}
