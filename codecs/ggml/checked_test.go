package ggml

import (
	"bytes"
	"errors"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

func TestChecked(t *testing.T) {
	for _, c := range []struct {
		t    Type
		good [][]byte
		bad  [][]byte
	}{
		{F32, [][]byte{{0, 0, 0x80, 0x3f}, {0xff, 0xff, 0x7f, 0x7f}, {1, 0, 0, 0x80}}, [][]byte{{0, 0, 0x80, 0x7f}, {0, 0, 0x80, 0xff}, {1, 0, 0xc0, 0x7f}}},
		{F16, [][]byte{{0, 0x3c}, {0xff, 0x7b}, {1, 0x80}}, [][]byte{{0, 0x7c}, {0, 0xfc}, {1, 0x7e}}},
		{BF16, [][]byte{{0x80, 0x3f}, {0x7f, 0x7f}, {1, 0x80}}, [][]byte{{0x80, 0x7f}, {0x80, 0xff}, {0xc1, 0x7f}}},
	} {
		op, ok := Checked(c.t)
		if !ok {
			t.Fatal(c.t)
		}
		good := bytes.Join(c.good, nil)
		dst := make([]byte, len(good))
		if err := op.Apply(dst, [][]byte{good}); err != nil || !bytes.Equal(dst, good) {
			t.Errorf("%s: %v, %v", c.t, dst, err)
		}
		for _, x := range c.bad {
			src := append(bytes.Clone(good), x...)
			if err := op.Apply(make([]byte, len(src)), [][]byte{src}); !errors.Is(err, fault.Malformed) {
				t.Errorf("%s of %v: %v", c.t, x, err)
			}
		}
		if _, err := op.Size(int64(len(good) + 1)); !errors.Is(err, fault.Mismatch) {
			t.Errorf("%s of an odd size: %v", c.t, err)
		}
	}
	for _, k := range []Type{Q8_0, F64, I32, 99} {
		if _, ok := Checked(k); ok {
			t.Errorf("%s is checked", k)
		}
	}
}
