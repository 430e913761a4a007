// Package safetensors is the view of a model's weights as safetensors, in one precision: what every float tensor of at
// least 16 bits becomes. All others stay as they are.
//
// A model that is stored as one safetensors file and has nothing to change is that file. A model in several files
// keeps them, under their names, with an index; those that have nothing to change are the stored ones.
package safetensors

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/packed"
	"github.com/isomerfs/isomerfs/codecs/quant"
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
	tensors, err := weights(m, target)
	if err != nil {
		return nil, err
	}
	if m.Shards != nil && !merged {
		return shards(m, tensors)
	}
	if m.Source != nil && same(m, tensors, m.Tensors) {
		return []model.Output{{Path: oneName, File: layout.Stored(m.Source)}}, nil
	}
	f, err := file(m.Metadata, tensors)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return []model.Output{{Path: oneName, File: f}}, nil
}

// weights are the tensors of the view.
func weights(m *model.Model, target model.DType) ([]model.Tensor, error) {
	meant, err := packed.Weights(m)
	if err != nil {
		return nil, err
	}
	tensors := make([]model.Tensor, 0, len(meant))
	for _, t := range meant {
		if t.DType == model.String {
			continue
		}
		if t.DType.Float() {
			if t, err = quant.Tensor(t, target); err != nil {
				return nil, fault.In(m.File, err)
			}
		}
		if err := codec.Holds(t.Name, t.DType); err != nil {
			return nil, fault.In(m.File, err)
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// same reports whether tensors are the stored ones, in a file of this container.
func same(m *model.Model, tensors, stored []model.Tensor) bool {
	return m.Format == codec.Format && slices.EqualFunc(tensors, stored, func(a, b model.Tensor) bool {
		return a.Name == b.Name && a.DType == b.DType && a.Data == b.Data
	})
}

// shards are the files of a model in several, and their index. A shard of which nothing is left is left out.
func shards(m *model.Model, tensors []model.Tensor) ([]model.Output, error) {
	byShard, stored := split(tensors, len(m.Shards)), split(m.Tensors, len(m.Shards))
	var files []model.Output
	index := map[string]string{}
	var total int64
	unchanged := true
	for i := range m.Shards {
		if len(byShard[i]) == 0 && len(stored[i]) > 0 {
			unchanged = false
			continue
		}
		out := model.Output{Path: shardName(m, i)}
		if src := m.SourceOf(m.Shards[i]); src != nil && same(m, byShard[i], stored[i]) {
			out.File = layout.Stored(src)
		} else {
			unchanged = false
			metadata := m.Metadata
			if i < len(m.ShardMetadata) {
				metadata = m.ShardMetadata[i]
			}
			f, err := file(metadata, byShard[i])
			if err != nil {
				return nil, fault.In(m.Shards[i], err)
			}
			out.File = f
		}
		files = append(files, out)
		for _, t := range byShard[i] {
			index[t.Name] = out.Path
			total += t.Data.Size()
		}
	}
	at := model.Output{Path: indexName}
	if m.Format == codec.Format {
		at.Path = path.Base(m.File)
	}
	if src := m.SourceOf(m.File); src != nil && unchanged && m.Format == codec.Format {
		at.File = layout.Stored(src)
	} else {
		text, err := json.MarshalIndent(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": index}, "", "  ")
		if err != nil {
			return nil, fault.In(m.File, fault.New(fault.Unsupported, "no index can be written: %w", err))
		}
		at.File = layout.Bytes(append(text, '\n'))
	}
	return append(files, at), nil
}

func split(tensors []model.Tensor, count int) [][]model.Tensor {
	parts := make([][]model.Tensor, count)
	for _, t := range tensors {
		parts[t.Shard] = append(parts[t.Shard], t)
	}
	return parts
}

// shardName is the path of a shard beside its index: the stored one of a model in this container, else the usual one.
func shardName(m *model.Model, i int) string {
	if m.Format != codec.Format {
		return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(m.Shards))
	}
	if dir := path.Dir(m.File); dir != "." {
		return strings.TrimPrefix(m.Shards[i], dir+"/")
	}
	return m.Shards[i]
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
