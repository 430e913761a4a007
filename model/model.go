// Package model says what a model is, whatever file it came from: named tensors, and what the file knew of itself.
//
// A Tensor's bytes are a layout.File, so a model costs what its header costs: nothing here reads or holds weights.
package model

import (
	"context"

	"github.com/isomerfs/isomerfs/layout"
)

// Tensor is a named array: row-major, little-endian, without gaps.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64 // outermost first; empty for a scalar
	Data  *layout.File
	Shard int // index in Model.Shards of the file that holds it; 0 where there are none
}

// Stored is a type that is no DType, by its name, and the bytes that a tensor takes in it.
type Stored struct {
	Type  string
	Bytes int64
}

// Left is a tensor that its file holds but that no view can show.
type Left struct{ Name, Reason string }

// Model is what a codec reads.
type Model struct {
	Format  string          // the codec's name
	File    string          // the stored file it was read from, below the version's folder: the index of a sharded model
	Files   []string        // every stored file it consists of, File among them
	Sources []layout.Source // what is behind each of Files
	Shards  []string        // of a sharded model, its weight files in order, below the version's folder; else nil
	Tensors []Tensor        // in the source's order
	Left    []Left          // tensors without a spelling

	// Averaged are averages of the weights (EMA) that the file keeps beside them, under the names of the weights.
	Averaged []Tensor

	Graph *Graph // what it computes; nil where the file holds weights alone. Tensors are its initializers

	// Metadata is what the file says of itself, in its own keys; values are text. Never nil after a Read.
	Metadata map[string]string

	// ShardMetadata is what each of Shards says of itself; Metadata joins them, the first word on a key standing.
	ShardMetadata []map[string]string

	// Quantization is how config.json says that tensors stand for others; nil where it says nothing.
	Quantization *Quantization

	// Stored is, by name, how the file has the tensors whose DType is only what their elements mean: blocks of a
	// quantized type. The others lie as their DType says.
	Stored map[string]Stored

	// Beside is every stored file of the version that the model is of, and Name what the store calls the model: what a
	// view takes that needs more than weights, a configuration or a tokenizer. nil and "" where nobody said.
	Beside layout.Files
	Name   string

	// Verify reads all of the files that they state checksums of, and compares them; nil where they state none, or none
	// but those that what Data gives is compared with as it is read (see layout.Summed).
	Verify func(ctx context.Context) error

	// Imports is what Python would import to load the files, where they are programs (pickles); nil where they are not.
	// What a mount does about it is its policy's to say.
	Imports []Import

	// Card is what the card beside the model's files says; nil where there is none that can be read.
	Card *Card

	// Source is the stored file when the model is one file, so that a view that changes nothing can be that file.
	Source layout.Source

	// Memo keeps what views find out; nil: nothing is kept.
	Memo *Memo

	// Wire belongs to the codec that read the model: what it keeps of the file for a writer of the same format.
	Wire any
}

// Quantization is what the quantization_config of a config.json says.
type Quantization struct {
	File     string         // the stored file that says so
	Method   string         // quant_method; "" where it names none
	Settings map[string]any // all of it, as encoding/json decodes it
	Err      error          // why it can't be known what File says
}

// Output is one file that a view makes of a model.
type Output struct {
	Path   string // below FORMAT/PRECISION, or below FORMAT where there is no precision
	File   *layout.File
	Tensor *Tensor // the tensor that the file is, in tensors/ and npy/; else nil
}

// SourceOf is what is behind one of m.Files; nil for another file.
func (m *Model) SourceOf(file string) layout.Source {
	for i, name := range m.Files {
		if name == file && i < len(m.Sources) {
			return m.Sources[i]
		}
	}
	return nil
}

// Parameters counts the elements of all tensors, and of those that subgraphs of the Graph hold, which are not among
// Tensors. It is 0 where the sum does not fit 63 bits.
func (m *Model) Parameters() int64 {
	var sum int64
	add := func(shape []int64) bool {
		n, err := Elements(shape)
		if err != nil || sum+n < sum {
			return false
		}
		sum += n
		return true
	}
	for _, t := range m.Tensors {
		if !add(t.Shape) {
			return 0
		}
	}
	if m.Graph != nil {
		for _, c := range m.Graph.InnerInitializers() {
			if !add(c.Shape) {
				return 0
			}
		}
	}
	return sum
}
