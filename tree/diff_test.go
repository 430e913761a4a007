package tree

import (
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// one is a shown tensor of these bytes.
func one(name string, d model.DType, shape []int64, b ...byte) TensorInfo {
	f := layout.Bytes(b)
	return TensorInfo{Name: name, DType: d.String(), Shape: shape, NBytes: f.Size(), Tensor: model.Tensor{Name: name, DType: d, Shape: shape, Data: f}}
}

func TestDiff(t *testing.T) {
	f32 := func(name string, b ...byte) TensorInfo { return one(name, model.F32, []int64{int64(len(b) / 4)}, b...) }
	for name, c := range map[string]struct {
		a, b Shown
		want Difference
	}{
		"nothing": {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 63)}}, Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 63)}}, Difference{Step: StepNone, Same: 1}},
		"metadata": {Shown{Metadata: map[string]string{"k": "x", "gone": "1"}}, Shown{Metadata: map[string]string{"k": "y", "new": "2"}},
			Difference{Step: StepPatch, Metadata: []Moved{{"gone", "1", ""}, {"k", "x", "y"}, {"new", "", "2"}}}},
		"values": {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 63, 0, 0, 0, 64)}}, Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 63, 0, 0, 64, 64)}},
			Difference{Step: StepMinor, Changed: []Changed{{"a", "F32", "F32", 2, 1, 1, 0.5}}}},
		"type alone": {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 63)}}, Shown{Tensors: []TensorInfo{one("a", model.BF16, []int64{1}, 128, 63)}},
			Difference{Step: StepMinor, Changed: []Changed{{"a", "F32", "BF16", 1, 0, 0, 0}}}},
		"minus nothing is nothing":   {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 0, 128)}}, Shown{Tensors: []TensorInfo{f32("a", 0, 0, 0, 0)}}, Difference{Step: StepNone, Same: 1}},
		"not a number on both sides": {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 192, 127)}}, Shown{Tensors: []TensorInfo{f32("a", 1, 0, 192, 127)}}, Difference{Step: StepNone, Same: 1}},
		"infinite": {Shown{Tensors: []TensorInfo{f32("a", 0, 0, 128, 127, 0, 0, 0, 0)}}, Shown{Tensors: []TensorInfo{f32("a", 0, 0, 0, 0, 0, 0, 0, 0)}},
			Difference{Step: StepMinor, Changed: []Changed{{"a", "F32", "F32", 2, 1, math.Inf(1), 0}}}},
		"integers": {Shown{Tensors: []TensorInfo{one("i", model.I8, []int64{2}, 255, 1)}}, Shown{Tensors: []TensorInfo{one("i", model.I8, []int64{2}, 1, 1)}},
			Difference{Step: StepMinor, Changed: []Changed{{"i", "I8", "I8", 2, 1, 2, 1}}}},
		"blocks": {Shown{Tensors: []TensorInfo{one("q", model.F4, []int64{2}, 255)}}, Shown{Tensors: []TensorInfo{one("q", model.F4, []int64{2}, 254)}},
			Difference{Step: StepMinor, Changed: []Changed{{"q", "F4", "F4", 2, 2, 0, 0}}}},
		"names": {Shown{Tensors: []TensorInfo{f32("a"), f32("b")}}, Shown{Tensors: []TensorInfo{f32("b"), f32("c")}},
			Difference{Step: StepMajor, Added: []string{"c"}, Removed: []string{"a"}, Same: 1}},
		"shapes": {Shown{Tensors: []TensorInfo{one("a", model.U8, []int64{2}, 1, 2)}}, Shown{Tensors: []TensorInfo{one("a", model.U8, []int64{1, 2}, 1, 2)}},
			Difference{Step: StepMajor, Reshaped: []Reshaped{{"a", []int64{2}, []int64{1, 2}}}}},
		"inputs": {Shown{Inputs: []Port{{"x", "F32", []any{"N", int64(3)}}}}, Shown{Inputs: []Port{{"x", "F32", []any{nil, int64(3)}}}},
			Difference{Step: StepMajor, Inputs: []Moved{{"x", "F32[N,3]", "F32[?,3]"}}}},
	} {
		got, err := Diff(context.Background(), nil, &c.a, &c.b, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *got, c.want)
		}
	}
}
