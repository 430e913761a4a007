package model

import (
	"errors"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

type memoKey string

// TestMemo: once for each key, from within another's making too; a failure is kept where it would come again.
func TestMemo(t *testing.T) {
	made := 0
	make := func(value any, err error) func() (any, error) {
		return func() (any, error) { made++; return value, err }
	}
	m := &Memo{}
	for range 3 {
		v, err := m.Get(memoKey("a"), func() (any, error) {
			made++
			return m.Get(memoKey("b"), make(7, nil))
		})
		if v != 7 || err != nil || made != 2 {
			t.Fatalf("%v, %v, made %d times", v, err, made)
		}
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{fault.New(fault.Malformed, "bad"), 1}, {fault.New(fault.Unsupported, "no"), 1},
		{fault.New(fault.Changed, "other"), 2}, {fault.New(fault.IO, "disk"), 2}, {errors.New("cancelled"), 2},
	} {
		m, made = &Memo{}, 0
		for range 2 {
			if _, err := m.Get(memoKey("c"), make(nil, c.err)); err != c.err {
				t.Errorf("%v instead of %v", err, c.err)
			}
		}
		if made != c.want {
			t.Errorf("%v: made %d times, want %d", c.err, made, c.want)
		}
	}
	made = 0
	for range 2 {
		if v, _ := (*Memo)(nil).Get(memoKey("a"), make(1, nil)); v != 1 {
			t.Error(v)
		}
	}
	if made != 2 {
		t.Errorf("no memo made %d times", made)
	}
}
