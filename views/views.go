// Package views is the table of what can be made of a model.
//
// To add a view, write a folder below this one that exports a Plan function, and add a line to Table. A view is taste:
// what it contains and how its files are called. How bytes are laid out is a codec's.
package views

import (
	"slices"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/views/gguf"
	"github.com/isomerfs/isomerfs/views/npy"
	"github.com/isomerfs/isomerfs/views/npz"
	"github.com/isomerfs/isomerfs/views/onnx"
	"github.com/isomerfs/isomerfs/views/optimizer"
	"github.com/isomerfs/isomerfs/views/pytorch"
	"github.com/isomerfs/isomerfs/views/safetensors"
	"github.com/isomerfs/isomerfs/views/tensors"
)

// View is one FORMAT folder of a version.
type View struct {
	Name       string   // the folder
	From       []string // the stored formats that it can be made of; nil: all
	Precisions []string // the folders below it in order of listing; nil for a folder without precisions

	// Further are precisions that only models in several files have, and More those that a model has; nil for none.
	// They are listed after Precisions, and where a model has none of them nobody misses them.
	Further []string
	More    func(m *model.Model) []string

	// Ready says that a stored file in this format which bears the name of a precision is that precision, also where the
	// view makes it: there are several ways to make one.
	Ready bool

	// Asked are further names that people may know, in order: never listed, but Plan says why they are not there, or
	// makes them.
	Asked []string

	// Plan is the files of one precision ("" for a folder without), or why there are none: a *fault.Error whose reason
	// and remedy people read. It costs no tensor byte.
	Plan func(m *model.Model, precision string) ([]Output, error)

	// Memory is the bytes that the usual reader needs in memory beside the file, for a context of so many tokens (0: the
	// usual), and for how many that is. nil for a view of which nobody knows.
	Memory func(m *model.Model, context int64) (size, tokens int64, err error)

	// Left are the tensors that the view leaves out while it shows the others. nil: none beside the model's own Left.
	Left func(m *model.Model) []model.Left

	// Readers are the Python packages that read the view of a model, each as a line of a requirements.txt says it: a
	// name and the least version, numpy>=1.20.
	Readers func(m *model.Model) []string

	// Saves is how many bytes of a stored model the weight views leave out because this view has them. nil: none.
	Saves func(m *model.Model) int64

	// Loses and Needs are what people should know before they choose the view: a clause each.
	Loses, Needs []string
}

// Output is one file of a view.
type Output = model.Output

// Table lists the views in the order of listing.
var Table = []View{
	{
		Name: "safetensors", Precisions: safetensors.Precisions, Further: safetensors.Merged, More: safetensors.More, Asked: safetensors.Asked, Plan: safetensors.Plan,
		Readers: packages("safetensors>=0.4.0", "torch>=2.1"), // float8 since then
		Loses:   []string{"fp16 and bf16 round what is stored wider", "fp16 makes infinities of what is beyond 65504"},
		Needs:   []string{"no tensor of complex128"},
	},
	{
		Name: "onnx", From: []string{"onnx"}, Precisions: onnx.Precisions, Plan: onnx.Plan, Readers: onnx.Readers,
		Loses: []string{"fp16 and bf16 round float32, fp16 within ONNX Runtime's limits of 5.96e-8 and 65504"},
		Needs: []string{"for bf16, operators that take bfloat16"},
	},
	{
		Name: "gguf", From: gguf.From, Precisions: gguf.Precisions, More: gguf.More, Asked: gguf.Asked, Ready: true, Plan: gguf.Plan, Memory: gguf.Memory, Readers: packages("gguf>=0.10.0"),
		Loses: []string{"types of blocks round to their grids", "of what is stored in blocks already, other blocks are made of rounded values"},
		Needs: []string{"of a checkpoint, an architecture and a tokenizer that llama.cpp has, with config.json and the tokenizer's files beside the weights", "for Q2_K_S an importance matrix beside the model"},
	},
	{
		Name: "pytorch", Precisions: pytorch.Precisions, Further: pytorch.Merged, More: pytorch.More, Asked: pytorch.Asked, Plan: pytorch.Plan, Left: pytorch.Left,
		Readers: packages("torch>=2.1"), // mmap, and float8
		Loses:   []string{"fp16 and bf16 round what is stored wider", "fp16 makes infinities of what is beyond 65504"},
		Needs:   []string{"no tensor of less than 8 bits, but for pairs of 4-bit floats", "a read of all tensors before the archive's directory, at its end, is known"},
	},
	{
		Name: "npz", Plan: npz.Plan, Left: npz.Left, Readers: packages("numpy>=1.20"),
		Loses: []string{"metadata", "types of less than 8 bits; bfloat16 and float8 become float32"},
		Needs: []string{"a read of all tensors before the archive's directory, at its end, is known"},
	},
	{
		Name: "npy", Plan: npy.Plan, Left: npy.Left, Readers: packages("numpy>=1.20"),
		Loses: []string{"metadata", "types of less than 8 bits; bfloat16 and float8 become float32"},
	},
	{
		Name: "tensors", Plan: tensors.Plan, Left: tensors.Left, Readers: packages("numpy>=1.20"),
		Loses: []string{"metadata"},
	},
	{
		Name: "optimizer", From: []string{"pytorch", "safetensors"}, Plan: optimizer.Plan, Saves: optimizer.Saves, Readers: packages("numpy>=1.20"),
		Needs: []string{"the state of an optimizer, in the checkpoint or beside it"},
	},
}

// packages are Readers that do not depend on the model.
func packages(list ...string) func(*model.Model) []string {
	return func(*model.Model) []string { return list }
}

// PrecisionsOf are the precisions of the view that a model has, in order of listing; [""] of a view without any.
func (v *View) PrecisionsOf(m *model.Model) []string {
	if v.Precisions == nil {
		return []string{""}
	}
	all := slices.Clone(v.Precisions)
	if v.More != nil {
		all = append(all, v.More(m)...)
	}
	return all
}

// Escape is the file name of a tensor's name with a suffix: see model.FileName.
func Escape(name, suffix string) string { return model.FileName(name, suffix) }

// Row is one cell of the matrix of formats: what a stored format can be seen as.
type Row struct {
	From       string   `json:"from"`       // a codec's name
	To         string   `json:"to"`         // a FORMAT folder
	Precisions []string `json:"precisions"` // empty for a folder without
	Loses      []string `json:"loses"`
	Needs      []string `json:"needs"`
}

// Matrix is every stored format with every view of it, in the order of the two tables. No list of it is nil.
func Matrix() []Row {
	rows := []Row{}
	for _, f := range codecs.Formats {
		for _, v := range Table {
			if v.From != nil && !slices.Contains(v.From, f.Name) {
				continue
			}
			precisions := join(v.Precisions)
			if f.Shards {
				precisions = join(v.Precisions, v.Further)
			}
			rows = append(rows, Row{From: f.Name, To: v.Name, Precisions: precisions, Loses: join(v.Loses), Needs: join(v.Needs)})
		}
	}
	return rows
}

// join is the strings of all lists, and never nil.
func join(lists ...[]string) []string {
	all := []string{}
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
