package npy

import (
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Held is the type of the array that a tensor of type d becomes: its own, or float32 for floats that NumPy lacks and
// that float32 holds. It reports false where neither can be.
func Held(d model.DType) (model.DType, bool) {
	if _, ok := Descr(d); ok {
		return d, true
	}
	_, ok := quant.Widen(d)
	return model.F32, ok
}

// Array is the file of one array that a tensor becomes, and the tensor as that has it. A type that is not Held is
// Unsupported.
func Array(t model.Tensor) (*layout.File, model.Tensor, error) {
	dtype, _ := Held(t.DType)
	wide, err := quant.Tensor(t, dtype)
	if err != nil {
		return nil, t, err
	}
	head, err := Encode(&Header{DType: wide.DType, Shape: wide.Shape})
	if err != nil {
		return nil, t, err
	}
	f, err := layout.Concat(layout.Bytes(head), wide.Data)
	return f, wide, err
}

// Left are the tensors that NumPy cannot hold.
func Left(tensors []model.Tensor) []model.Left {
	var left []model.Left
	for _, t := range tensors {
		if _, ok := Held(t.DType); !ok {
			left = append(left, model.Left{Name: t.Name, Reason: "NumPy has no type for " + t.DType.String() + ", and float32 cannot stand for it"})
		}
	}
	return left
}

// Plain reports whether a tensor that was read here lies in its file as it is: not swapped, not in Fortran order, not
// deflated.
func Plain(t model.Tensor) bool {
	spans := t.Data.Spans()
	if len(spans) == 0 {
		return true
	}
	_, extent := spans[0].(layout.Extent)
	return extent && len(spans) == 1
}
