package model

import (
	"errors"
	"math"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

func TestDTypes(t *testing.T) {
	for name, bits := range map[string]int64{ // bits of an element, as the safetensors specification gives them
		"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
		"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64, "C128": 128,
	} {
		d := ParseDType(name)
		b := d.Block()
		if d.String() != name || b.Bytes*8 != bits*b.Elems {
			t.Errorf("%s: %v with block %v", name, d, b)
		}
	}
	for _, name := range []string{"", "f32", "F32 ", "STRING", "F16_", "DType(0)"} {
		if d := ParseDType(name); d != Invalid {
			t.Errorf("%q is %v", name, d)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		n     int64
		kind  error
	}{
		{nil, 1, nil}, {[]int64{3, 5}, 15, nil}, {[]int64{0, 5}, 0, nil}, {[]int64{1 << 62}, 1 << 62, nil}, {[]int64{math.MaxInt64, 1}, math.MaxInt64, nil},
		{[]int64{-1}, 0, fault.Malformed}, {[]int64{0, -1}, 0, fault.Malformed}, {[]int64{1 << 32, 1 << 32}, 0, fault.Overflow},
		{[]int64{1 << 40, 1 << 40, 0}, 0, fault.Overflow}, {[]int64{0, 1 << 40, 1 << 40}, 0, fault.Overflow}, {[]int64{1 << 32, 1 << 31}, 0, fault.Overflow},
	} {
		n, err := Elements(c.shape)
		if n != c.n || (c.kind == nil) != (err == nil) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%v: %d, %v", c.shape, n, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		d    DType
		n    int64
		want int64
		kind error
	}{
		{F32, 3, 12, nil}, {F4, 4, 2, nil}, {F4, 3, 0, fault.Mismatch}, {F6E2M3, 4, 3, nil}, {F6E2M3, 2, 0, fault.Mismatch}, {C128, 2, 32, nil},
		{F64, math.MaxInt64 / 4, 0, fault.Overflow}, {String, 1, 0, fault.Unsupported}, {Bool, 0, 0, nil},
	} {
		n, err := c.d.Bytes(c.n)
		if n != c.want || (c.kind == nil) != (err == nil) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%d of %v: %d, %v", c.n, c.d, n, err)
		}
	}
}
