package quant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

type storedBytes []byte

func (s storedBytes) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[off:]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s storedBytes) Size() int64    { return int64(len(s)) }
func (s storedBytes) ID() layout.ID  { return sha256.Sum256(s) }
func (s storedBytes) String() string { return "stored" }

// TestTensor: elements are cast where they lie, and a walk over them stays the last thing that is done.
func TestTensor(t *testing.T) {
	data := make(storedBytes, 4*6*5)
	for i := range 6 * 5 {
		le.PutUint32(data[4*i:], math.Float32bits(float32(i)/8))
	}
	plain := layout.Stored(data)
	transposed, err := layout.New(layout.Box{In: plain, Shape: []int64{5, 6}, Strides: []int64{4, 20}, Elem: 4})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := layout.New(layout.Box{In: plain, Shape: []int64{5}, Strides: []int64{6}, Off: 2, Elem: 4}) // between the elements
	if err != nil {
		t.Fatal(err)
	}
	op, _ := Cast(model.F32, model.F16)
	for name, f := range map[string]*layout.File{"plain": plain, "transposed": transposed, "odd": odd} {
		got, err := Tensor(model.Tensor{Name: "w", DType: model.F32, Data: f}, model.F16)
		if err != nil {
			t.Fatal(err)
		}
		want, have := make([]byte, f.Size()/2), make([]byte, got.Data.Size())
		wide := make([]byte, f.Size())
		if _, err := f.ReadAt(context.Background(), nil, wide, 0); err != nil {
			t.Fatal(err)
		}
		if err := op.Apply(want, [][]byte{wide}); err != nil {
			t.Fatal(err)
		}
		if _, err := got.Data.ReadAt(context.Background(), nil, have, 0); err != nil || got.DType != model.F16 || !bytes.Equal(have, want) {
			t.Errorf("%s: % x, want % x (%v)", name, have, want, err)
		}
		if _, walk := got.Data.Spans()[0].(layout.Box); walk != (name == "transposed") {
			t.Errorf("%s: %s", name, got.Data)
		}
	}
	same, err := Tensor(model.Tensor{DType: model.F32, Data: plain}, model.F32)
	if err != nil || same.Data != plain {
		t.Errorf("a tensor that is of the type already: %v", err)
	}
	for _, from := range []model.DType{model.I32, model.C64, model.String, model.F4} {
		if _, err := Tensor(model.Tensor{DType: from, Data: plain}, model.F32); fault.KindOf(err) != fault.Unsupported {
			t.Errorf("%s: %v", from, err)
		}
	}
}

// TestWiden: the values of the float8 without a line in the table, at every edge.
func TestWiden(t *testing.T) {
	for dtype, values := range map[model.DType]map[byte]float32{
		model.F8E4M3FNUZ: {0: 0, 1: 0x1p-10, 7: 7 * 0x1p-10, 8: 0x1p-7, 0x40: 1, 0x7f: 240, 0x81: -0x1p-10, 0xc1: -1.125, 0xff: -240},
		model.F8E5M2FNUZ: {0: 0, 1: 0x1p-17, 3: 3 * 0x1p-17, 4: 0x1p-15, 0x40: 1, 0x7f: 57344, 0x81: -0x1p-17, 0xc1: -1.25, 0xff: -57344},
		model.F8E8M0:     {0: 0x1p-127, 1: 0x1p-126, 127: 1, 128: 2, 254: 0x1p127},
	} {
		op, ok := Widen(dtype)
		if !ok {
			t.Fatalf("%s is not widened", dtype)
		}
		for code, want := range values {
			out := make([]byte, 4)
			if err := op.Apply(out, [][]byte{{code}}); err != nil || math.Float32frombits(le.Uint32(out)) != want {
				t.Errorf("%s %#02x: %v, want %v (%v)", dtype, code, math.Float32frombits(le.Uint32(out)), want, err)
			}
		}
		nan := map[model.DType]byte{model.F8E8M0: 0xff}[dtype]
		if nan == 0 {
			nan = 0x80
		}
		for code := range 256 {
			out := make([]byte, 4)
			if err := op.Apply(out, [][]byte{{byte(code)}}); err != nil {
				t.Fatal(err)
			}
			if v := float64(math.Float32frombits(le.Uint32(out))); math.IsInf(v, 0) || math.IsNaN(v) != (byte(code) == nan) {
				t.Errorf("%s %#02x: %v", dtype, code, v)
			}
		}
	}
	for _, from := range []model.DType{model.F64, model.F32, model.I8, model.F4, model.Bool} {
		if op, ok := Widen(from); ok {
			t.Errorf("%s: %v", from, op)
		}
	}
	if op, ok := Widen(model.BF16); !ok || op.String() != "bf16→f32/1" {
		t.Errorf("BF16: %v", op)
	}
}
