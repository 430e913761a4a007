// Package npy is the view of a model as NumPy arrays: a file for each tensor. What NumPy has no type for and float32
// holds, bfloat16 and float8, becomes float32; what it cannot hold at all is left out.
package npy

import (
	codec "github.com/isomerfs/isomerfs/codecs/npy"
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
		if _, ok := codec.Held(t.DType); !ok {
			continue
		}
		f, wide, err := file(m, *t)
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
func Left(m *model.Model) []model.Left { return codec.Left(model.Unwrapped(m.Tensors)) }

// file is one array. An array that is stored as one, in C order and little-endian, is the stored file.
func file(m *model.Model, t model.Tensor) (*layout.File, model.Tensor, error) {
	if m.Format == codec.Format && m.Source != nil && codec.Plain(t) {
		return layout.Stored(m.Source), t, nil
	}
	return codec.Array(t)
}
