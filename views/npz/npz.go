// Package npz is the view of a model as one archive of NumPy arrays, such as numpy.savez writes, with true CRC-32s. What
// NumPy has no type for and float32 holds, bfloat16 and float8, becomes float32; what it cannot hold at all is left out.
//
// Members are called as their tensors, with .npy behind, so that numpy.load knows them by their names; those whose names
// no archive can hold (absolute, leading out of it, with a backslash or a NUL) as their files in npy/ are.
package npz

import (
	"strings"

	codec "github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	oneName = "weights.npz"
	suffix  = ".npy"
)

// Plan is the one file. An archive that is stored as one, of nothing but arrays in C order and little-endian, none of
// them deflated and all with their CRC-32s, is the stored file.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	if precision != "" {
		return nil, fault.New(fault.Absent, "npz has no precisions: its arrays have the stored types")
	}
	if stored(m) {
		return []model.Output{{Path: oneName, File: layout.Stored(m.Source)}}, nil
	}
	var entries []zip.Entry
	var tensors []model.Tensor
	for _, t := range model.Unwrapped(m.Tensors) {
		if _, ok := codec.Held(t.DType); !ok {
			continue
		}
		data, _, err := codec.Array(t)
		if err != nil {
			return nil, fault.In(m.File, fault.New(fault.KindOf(err), "tensor %q: %s", t.Name, fault.Reason(err)))
		}
		entries, tensors = append(entries, zip.Entry{Data: data}), append(tensors, t)
	}
	if left := Left(m); len(entries) == 0 && len(left) > 0 {
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "tensor %q: %s", left[0].Name, left[0].Reason).
			Remedied("tensors/ holds the stored bytes"))
	}
	if len(entries) == 0 {
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "the model has no tensors"))
	}
	if err := name(entries, tensors); err != nil {
		return nil, fault.In(m.File, err)
	}
	f, err := zip.Write(zip.NumPy, entries...)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return []model.Output{{Path: oneName, File: f}}, nil
}

// Left are the tensors that NumPy cannot hold.
func Left(m *model.Model) []model.Left { return codec.Left(model.Unwrapped(m.Tensors)) }

// stored reports whether the model's file is its view.
func stored(m *model.Model) bool {
	if m.Format != codec.ArchiveFormat || m.Source == nil || len(m.Left) > 0 || len(m.Tensors) == 0 || m.Verify == nil {
		return false
	}
	for i, t := range model.Unwrapped(m.Tensors) {
		if t.Name != m.Tensors[i].Name || !codec.Plain(t) {
			return false
		}
	}
	return true
}

// name gives the entries their names: all escaped where a tensor bears the escaped name of another.
func name(entries []zip.Entry, tensors []model.Tensor) error {
	names := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		names[t.Name] = true
	}
	clash := false
	for i, t := range tensors {
		if names[t.Name+suffix] { // numpy.load(...)["a.npy"] is the member a.npy, of "a", before it is a.npy.npy
			return fault.New(fault.Unsupported, "NumPy cannot tell the tensors %q and %q of one archive from each other", t.Name, t.Name+suffix).
				Remedied("npy/ has a file for each")
		}
		entries[i].Name = t.Name + suffix
		if zip.Holds(entries[i].Name) != nil {
			file := model.FileName(t.Name, suffix)
			entries[i].Name = file
			clash = clash || names[file] || names[strings.TrimSuffix(file, suffix)]
		}
	}
	for i, t := range tensors {
		if clash {
			entries[i].Name = model.FileName(t.Name, suffix)
		}
	}
	return nil
}
