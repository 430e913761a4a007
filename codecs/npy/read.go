package npy

import (
	"context"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Format is the codec's name.
const Format = "npy"

// tensorName is the name of the one array of a file. The format has no place for one, so people give it to the file:
// np.save("weight.npy", weight).
func tensorName(file string) string {
	base := path.Base(file)
	return strings.TrimSuffix(base, path.Ext(base))
}

// Match reports whether a file of this name is a NumPy array.
func Match(name string) bool { return strings.HasSuffix(strings.ToLower(path.Base(name)), ".npy") }

// Sniff reports whether a file that begins like this is a NumPy array.
func Sniff(head []byte) bool { return strings.HasPrefix(string(head), magic) }

// Read reads the array of a file as the one tensor of a model: little-endian and in C order, whatever the file's.
func Read(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := Decode(ctx, src)
	if err != nil {
		return nil, fault.In(name, err)
	}
	tensor := tensorName(name)
	data, err := h.data(layout.Stored(src), tensor)
	if err != nil {
		return nil, fault.In(name, err)
	}
	return &model.Model{
		Format: Format, File: name, Files: []string{name}, Sources: []layout.Source{src}, Source: src,
		Metadata: map[string]string{},
		Tensors:  []model.Tensor{{Name: tensor, DType: h.DType, Shape: h.Shape, Data: data}},
	}, nil
}

// data is the array of a file in C order, little-endian. label is for errors.
func (h *Header) data(file *layout.File, label string) (*layout.File, error) {
	n, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	f, err := file.Slice(h.Start, n)
	if err != nil {
		return nil, err
	}
	if h.Big {
		part := h.DType.Block().Bytes
		if h.DType == model.C64 || h.DType == model.C128 {
			part /= 2
		}
		if f, err = layout.New(layout.Coded{Op: quant.Swap(int(part)), Label: label, In: []*layout.File{f}}); err != nil {
			return nil, err
		}
	}
	long := 0 // dimensions of more than one index: of fewer than two there is only one order
	for _, d := range h.Shape {
		if d > 1 {
			long++
		}
	}
	if !h.Fortran || long < 2 || n == 0 {
		return f, nil
	}
	elem := h.DType.Block().Bytes
	strides := make([]int64, len(h.Shape))
	stride := elem
	for i, d := range h.Shape { // no product exceeds n
		strides[i] = stride
		stride *= d
	}
	return layout.New(layout.Box{In: f, Shape: h.Shape, Strides: strides, Elem: elem})
}
