// Package npy is the view of a model as NumPy arrays: a file for each tensor. What NumPy has no type for and float32
// holds, bfloat16 and float8, becomes float32; what it cannot hold at all is left out.
package npy

import (
	codec "github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const suffix = ".npy"

// Plan is the files, in the source's order.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	if precision != "" {
		return nil, fault.New(fault.Absent, "npy has no precisions: its files have the stored types")
	}
	tensors := model.Unwrapped(m.Tensors)
	files := make([]model.Output, 0, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		dtype, ok := held(t.DType)
		if !ok {
			continue
		}
		wide, err := quant.Tensor(*t, dtype)
		if err != nil {
			return nil, fault.In(m.File, err)
		}
		f, err := file(m, wide)
		if err != nil {
			return nil, fault.In(m.File, fault.New(fault.KindOf(err), "tensor %q: %s", t.Name, fault.Reason(err)))
		}
		*t = wide
		files = append(files, model.Output{Path: model.FileName(t.Name, suffix), File: f, Tensor: t})
	}
	if len(files) > 0 {
		return files, nil
	}
	if left := Left(m); len(left) > 0 {
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "tensor %q: %s", left[0].Name, left[0].Reason).
			Remedied("tensors/ holds the stored bytes"))
	}
	return nil, fault.In(m.File, fault.New(fault.Unsupported, "the model has no tensors"))
}

// Left are the tensors that NumPy cannot hold.
func Left(m *model.Model) []model.Left {
	var left []model.Left
	for _, t := range model.Unwrapped(m.Tensors) {
		if _, ok := held(t.DType); !ok {
			left = append(left, model.Left{Name: t.Name, Reason: "NumPy has no type for " + t.DType.String() + ", and float32 cannot stand for it"})
		}
	}
	return left
}

// held is the type of a tensor's array: its own, or float32 for floats that NumPy lacks.
func held(d model.DType) (model.DType, bool) {
	if _, ok := codec.Descr(d); ok {
		return d, true
	}
	_, ok := quant.Widen(d)
	return model.F32, ok
}

// file is one array. An array that is stored as one, in C order and little-endian, is the stored file.
func file(m *model.Model, t model.Tensor) (*layout.File, error) {
	if m.Format == codec.Format && m.Source != nil {
		if spans := t.Data.Spans(); len(spans) == 0 {
			return layout.Stored(m.Source), nil
		} else if _, ok := spans[0].(layout.Extent); ok && len(spans) == 1 {
			return layout.Stored(m.Source), nil
		}
	}
	head, err := codec.Encode(&codec.Header{DType: t.DType, Shape: t.Shape})
	if err != nil {
		return nil, err
	}
	return layout.Concat(layout.Bytes(head), t.Data)
}
