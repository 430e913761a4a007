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
	files, left, err := plan(m)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	switch {
	case len(files) > 0:
		return files, nil
	case len(left) > 0:
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "tensor %q: %s", left[0].Name, left[0].Reason).
			Remedied("tensors/ holds the stored bytes"))
	}
	return nil, fault.In(m.File, fault.New(fault.Unsupported, "the model has no tensors"))
}

// Left are the tensors that NumPy cannot hold.
func Left(m *model.Model) []model.Left {
	_, left, _ := plan(m)
	return left
}

func plan(m *model.Model) (files []model.Output, left []model.Left, err error) {
	tensors := model.Unwrapped(m.Tensors)
	for i := range tensors {
		t := &tensors[i]
		held, err := hold(*t)
		if err != nil {
			left = append(left, model.Left{Name: t.Name, Reason: fault.Reason(err)})
			continue
		}
		f, err := file(m, held)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, model.Output{Path: model.FileName(t.Name, suffix), File: f, Tensor: &held})
	}
	return files, left, nil
}

// hold is a tensor of a type that NumPy has.
func hold(t model.Tensor) (model.Tensor, error) {
	if _, ok := codec.Descr(t.DType); ok {
		return t, nil
	}
	wide, err := quant.Tensor(t, model.F32)
	if err != nil {
		return t, fault.New(fault.Unsupported, "NumPy has no type for %s, and float32 cannot stand for it", t.DType)
	}
	return wide, nil
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
