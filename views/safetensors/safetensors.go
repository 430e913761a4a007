// Package safetensors is the view of a model's weights as safetensors, in one precision: what every float tensor of at
// least 16 bits becomes. All others stay as they are.
//
// A model that is stored as one safetensors file and has nothing to change is that file. A model in several files
// keeps them, under their names, with an index; those that have nothing to change are the stored ones.
package safetensors

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/packed"
	codec "github.com/isomerfs/isomerfs/codecs/safetensors"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// The modifiers: mergedSuffix joins the shards of a model in one file, averagedSuffix shows the average of the weights
// (EMA) that a checkpoint keeps beside them, under the names of the weights.
const (
	mergedSuffix   = "-merged"
	averagedSuffix = "-ema"
)

// Precisions are the folders of the view in order of listing, and Merged those that a model in several files has
// besides. Asked are those that are there when they are asked for.
var (
	Precisions = []string{"fp32", "fp16", "bf16"}
	Merged     = []string{"fp32" + mergedSuffix, "fp16" + mergedSuffix, "bf16" + mergedSuffix}
	Asked      = []string{"fp32" + averagedSuffix, "fp16" + averagedSuffix, "bf16" + averagedSuffix}
)

var targets = map[string]model.DType{"fp32": model.F32, "fp16": model.F16, "bf16": model.BF16}

const (
	oneName   = "model.safetensors"
	indexName = "model.safetensors.index.json"
)

// More are the precisions that a model has beside Precisions.
func More(m *model.Model) []string {
	if m.Shards == nil {
		return nil
	}
	return Merged
}

// Plan is the files of a precision. It fails as Unsupported for a model with a tensor that the container cannot hold,
// or with quantized weights that are not decoded here, and as Absent for a precision that the model does not have.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	name, merged := strings.CutSuffix(precision, mergedSuffix)
	name, averaged := strings.CutSuffix(name, averagedSuffix)
	target, ok := targets[name]
	if !ok {
		return nil, fault.New(fault.Absent, "safetensors has no precision %q", precision)
	}
	if merged && m.Shards == nil {
		return nil, fault.New(fault.Absent, "the model is stored in one file, so there are no shards to join").
			Remedied("safetensors/%s is that file's view", name)
	}
	if averaged {
		if len(m.Averaged) == 0 {
			return nil, fault.New(fault.Absent, "the model is stored without an average of its weights").Remedied("safetensors/%s is of the weights", name)
		}
		m = &model.Model{Format: m.Format, File: m.File, Tensors: m.Averaged, Metadata: m.Metadata}
	}
	tensors, err := packed.Precision(m, target, func(t *model.Tensor) error { return codec.Holds(t.Name, t.DType) })
	if err != nil {
		return nil, err
	}
	if m.Shards != nil && !merged {
		return m.Sharded(model.Container{
			Format: codec.Format, Index: indexName, File: file,
			Shard:  func(i int) string { return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(m.Shards)) },
			Stored: func(int) bool { return true },
		}, tensors)
	}
	if m.Source != nil && m.Format == codec.Format && model.Same(tensors, m.Tensors) {
		return []model.Output{{Path: oneName, File: layout.Stored(m.Source)}}, nil
	}
	f, err := file(m.Metadata, tensors)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return []model.Output{{Path: oneName, File: f}}, nil
}

// file is a file of these tensors. The header lists them in their order, and so lies the data, unless that would put
// one off its natural alignment: then the widest types come first, as the reference writer has it.
func file(metadata map[string]string, tensors []model.Tensor) (*layout.File, error) {
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata["format"] = "pt" // loaders refuse a file that has metadata without it
	order := make([]int, len(tensors))
	var end int64
	aligned := true
	for i, t := range tensors {
		order[i] = i
		aligned = aligned && end%alignment(t.DType) == 0
		end += t.Data.Size()
		if end < 0 {
			return nil, fault.New(fault.Overflow, "the tensors are more bytes than fit 63 bits")
		}
	}
	if !aligned {
		slices.SortStableFunc(order, func(a, b int) int {
			return -cmp.Compare(alignment(tensors[a].DType), alignment(tensors[b].DType))
		})
	}
	entries := make([]codec.Entry, len(tensors))
	files := make([]*layout.File, 1, len(tensors)+1)
	var off int64
	for _, i := range order {
		t := &tensors[i]
		entries[i] = codec.Entry{Name: t.Name, DType: t.DType, Shape: t.Shape, Begin: off, End: off + t.Data.Size()}
		off += t.Data.Size()
		files = append(files, t.Data)
	}
	head, err := codec.Encode(metadata, entries)
	if err != nil {
		return nil, err
	}
	files[0] = layout.Bytes(head)
	return layout.Concat(files...)
}

// alignment is what the offset of a tensor should be a multiple of.
func alignment(d model.DType) int64 {
	if b := d.Block(); b.Elems == 1 && b.Bytes > 0 {
		return b.Bytes
	}
	return 1
}
