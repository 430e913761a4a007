// Package gguf is the view of a language model as GGUF, for llama.cpp and what is built on it: one file, in the types
// that llama-quantize makes, under its names.
//
// What a file of a type holds, down to which of its tensors get more bits, is what llama-quantize makes of the same
// model; its options are modifiers of the folder's name (Q4_K_M-pure) and keys of the card (model.Quantize). An
// importance matrix beside the model is used for every quantized type.
//
// A model that is stored in the very types of a view is the stored file.
package gguf

import (
	"context"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/views/gguf/checkpoint"
)

const fileName = "model.gguf"

// Precisions are the folders of the view that every model may have, in order of listing.
var Precisions = precisions(false)

// precisions are the names of the file types that need an importance matrix, or of the others.
func precisions(imatrix bool) []string {
	var names []string
	for _, f := range ftypes {
		if f.imatrix == imatrix {
			names = append(names, f.name)
		}
	}
	return names
}

// Asked are names of llama-quantize's that only some models have, or none.
var Asked = slices.Concat(precisions(true), weighed)

// More are the precisions that a model has besides: those that need an importance matrix, where there is one.
func More(m *model.Model) []string {
	if x, err := imatrixOf(m); err != nil || x == nil {
		return nil
	}
	return precisions(true)
}

// Plan is the file of a precision. It fails as Absent for a precision that there is not, as Unsupported for one that is
// not made of this model.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	f, k, err := parse(precision)
	if err != nil {
		return nil, err
	}
	if k, err = k.chosen(m.Card); err != nil {
		return nil, err
	}
	c, done, err := content(m, f, k)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	if done {
		return one(c, m.File)
	}
	x, err := imatrixOf(m)
	if err != nil {
		return nil, err
	}
	if f.imatrix && x == nil {
		return nil, fault.New(fault.Absent, "%s is nothing without an importance matrix, and there is no imatrix.gguf and no imatrix.dat beside the model", f.name).
			Remedied("make one with llama-imatrix, and put it there")
	}
	made, err := quantize(c, f, k, x)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	if c.Source != nil && x == nil && (sameTypes(c, made) || k.none() && bears(c, f)) {
		return []model.Output{{Path: fileName, File: layout.Stored(c.Source)}}, nil
	}
	return one(made, m.File)
}

// one is a content as the file of the view.
func one(c *gguf.Content, of string) ([]model.Output, error) {
	file, err := c.File()
	if err != nil {
		return nil, fault.In(of, err)
	}
	return []model.Output{{Path: fileName, File: file}}, nil
}

// parse is what the name of a folder asks for: a file type, and modifiers behind dashes.
func parse(precision string) (ftype, knobs, error) {
	words := strings.Split(precision, "-")
	f, ok := ftypeOf(words[0])
	switch {
	case slices.Contains(weighed, words[0]):
		return f, knobs{}, fault.New(fault.Unsupported, "%s is a type for an importance matrix (imatrix), and is not made", words[0]).
			Remedied("Q2_K and Q3_K_S are made; with an imatrix.gguf beside the model they use it, and there is Q2_K_S")
	case !ok:
		return f, knobs{}, fault.New(fault.Absent, "gguf has no precision %q", precision)
	}
	var k knobs
	for _, word := range words[1:] {
		if word != "pure" || k.pure {
			return f, k, fault.New(fault.Absent, "gguf has no modifier %q: there is pure", word)
		}
		k.pure = true
	}
	return f, k, nil
}

// read is the key of a checkpoint in a model's memo.
type read struct{}

// content is what the model is in llama.cpp's terms: a stored GGUF, or a checkpoint with weights in the type that holds
// them as they are stored. done says that it is the content of the file type that is asked for: a checkpoint becomes
// F32, F16 and BF16 at once.
func content(m *model.Model, f ftype, k knobs) (c *gguf.Content, done bool, err error) {
	if c, ok := m.Wire.(*gguf.Content); ok {
		return c, false, nil
	}
	if !slices.Contains(checkpoints, m.Format) {
		return nil, false, fault.New(fault.Unsupported, "%s is not turned into GGUF", m.Format)
	}
	found, err := m.Memo.Get(read{}, func() (any, error) { return checkpoint.Read(context.Background(), m) })
	if err != nil {
		return nil, false, err
	}
	of := found.(*checkpoint.Checkpoint)
	if done = !quantized(f.base) && k.none(); done {
		c, err = of.Content(f.base)
	} else {
		c, err = of.Content(of.Own())
	}
	return c, done, err
}

// checkpoints are the formats that Hugging Face checkpoints are stored in.
var checkpoints = []string{"safetensors", "pytorch"}

// From are the stored formats that the view is made of.
var From = slices.Concat([]string{gguf.Format}, checkpoints)

// bears reports whether the stored file says that it is of this type of blocks: whoever made it knew.
func bears(stored *gguf.Content, f ftype) bool {
	n, ok := stored.Get("general.file_type").Uint()
	return ok && quantized(f.base) && n == uint64(f.number) && slices.ContainsFunc(stored.Tensors, func(t gguf.Tensor) bool { return quantized(t.Type) })
}

// sameTypes reports whether no tensor has another type than in the stored file.
func sameTypes(stored, made *gguf.Content) bool {
	types := make(map[string]ggml.Type, len(stored.Tensors))
	for i := range stored.Tensors {
		types[stored.Tensors[i].Name] = stored.Tensors[i].Type
	}
	return !slices.ContainsFunc(made.Tensors, func(t gguf.Tensor) bool { return types[t.Name] != t.Type })
}

// quantize is the content in the types of a mixture, in the order that llama-quantize writes.
func quantize(c *gguf.Content, f ftype, k knobs, x *imatrix) (*gguf.Content, error) {
	k.imatrix = x != nil
	made := c.Clone()
	made.Remove(gguf.SplitKeys...)
	made.Remove("general.alignment") // the data lies as by default
	made.Set(gguf.Key("general.quantization_version", uint32(2)), gguf.Key("general.file_type", f.number))
	if x != nil {
		made.Set(x.keys()...)
	}
	made.Tensors = sorted(c.Tensors)
	mix := newMixture(made.Tensors, hyperOf(c), f, k)
	for i := range made.Tensors {
		t := &made.Tensors[i]
		to, err := mix.of(t)
		if err != nil {
			return nil, err
		}
		needs := f.imatrix && to == ggml.Q2_K && roleOf(t.Name) != embedding && roleOf(t.Name) != output
		if err := convert(t, to, x, needs, quantized(f.base)); err != nil {
			return nil, fault.New(fault.KindOf(err), "tensor %q: %s", t.Name, fault.Reason(err)).Remedied("%s", fault.Remedy(err))
		}
	}
	return made, nil
}

// convert turns a tensor into another type. weighed says that it must not be without its importances, strict that a
// value that is not finite must not pass unseen.
func convert(t *gguf.Tensor, to ggml.Type, x *imatrix, weighed, strict bool) error {
	if op, ok := ggml.Checked(to); t.Type == to && ok && strict {
		var err error
		t.Data, err = layout.New(layout.Coded{Op: op, Label: t.Name, In: []*layout.File{t.Data}})
		return err
	}
	if t.Type == to {
		return nil
	}
	if _, err := gguf.Size(to, t.Shape); err != nil {
		return err
	}
	weights, err := x.of(t)
	if err != nil {
		return err
	}
	if weights == nil && weighed {
		return fault.New(fault.Unsupported, "%s has nothing of it, and it would be %s", x.file, to)
	}
	plain, err := t.Plain()
	if err != nil {
		return err
	}
	var op layout.Op
	in := []*layout.File{plain.Data}
	ok := false
	switch {
	case plain.DType != model.F32 && plain.DType != model.F16 && plain.DType != model.BF16:
		return fault.New(fault.Unsupported, "%s is not turned into %s, here as by llama-quantize", t.Type, to)
	case plain.DType == to.DType():
		t.Type, t.Data = to, plain.Data // of blocks, as they are meant
		return nil
	case to == ggml.F32:
		op, ok = quant.Cast(plain.DType, model.F32)
	case weights != nil:
		if op, ok = ggml.QuantizeWeighted(to, plain.DType, dim(t.Shape, 0)); ok {
			in = append(in, weights)
		}
	}
	if !ok {
		op, ok = ggml.Quantize(to, plain.DType)
	}
	if !ok {
		return fault.New(fault.Unsupported, "%s is not made", to)
	}
	data, err := layout.New(layout.Coded{Op: op, Label: t.Name, In: in})
	t.Type, t.Data = to, data
	return err
}
