package quant

import (
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Tensor is t with its elements as another type. Nothing is computed until the bytes are read. A type that t cannot
// be turned into is Unsupported.
//
// Where t is a strided walk over stored bytes, such as a transpose, the elements are cast before the walk: then the
// walk's own order of reading, and its grain, are those of the result.
func Tensor(t model.Tensor, to model.DType) (model.Tensor, error) {
	if t.DType == to {
		return t, nil
	}
	op, ok := Cast(t.DType, to)
	if !ok && to == model.F32 {
		op, ok = Widen(t.DType)
	}
	if !ok {
		return t, fault.New(fault.Unsupported, "tensor %q is %s, which is not turned into %s", t.Name, t.DType, to)
	}
	data, err := apply(op, t.Name, t.Data)
	if err != nil {
		return t, err
	}
	t.DType, t.Data = to, data
	return t, nil
}

// apply is f through an op of one input.
func apply(op layout.Op, label string, f *layout.File) (*layout.File, error) {
	out, in := op.Block()
	if spans := f.Spans(); len(spans) == 1 {
		if b, ok := spans[0].(layout.Box); ok && b.Elem == in[0] && multiples(in[0], b.Off, b.In.Size()) && multiples(in[0], b.Strides...) {
			inner, err := apply(op, label, b.In)
			if err != nil {
				return nil, err
			}
			walk := layout.Box{In: inner, Shape: b.Shape, Strides: make([]int64, len(b.Strides)), Off: b.Off / in[0] * out, Elem: out}
			for i, s := range b.Strides {
				walk.Strides[i] = s / in[0] * out
			}
			return layout.New(walk)
		}
	}
	return layout.New(layout.Coded{Op: op, Label: label, In: []*layout.File{f}})
}

func multiples(of int64, list ...int64) bool {
	for _, n := range list {
		if n%of != 0 {
			return false
		}
	}
	return true
}
