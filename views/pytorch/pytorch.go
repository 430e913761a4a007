// Package pytorch is the view of a model's weights as PyTorch has them: the state_dict of a module, in one precision, in
// files that torch.load opens with weights_only and with mmap. What every float tensor of at least 16 bits becomes is
// the precision; all others stay as they are. Tensors that share their bytes share a storage.
//
// A checkpoint that holds nothing but such a state_dict and has nothing to change is the stored file. A model in
// several files keeps them, with an index; those that have nothing to change are the stored ones.
package pytorch

import (
	"fmt"
	"maps"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/packed"
	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// The modifiers: mergedSuffix joins the shards of a model in one file, averagedSuffix is the average that a training kept
// of the weights, fullSuffix all that a training checkpoint holds.
const (
	mergedSuffix   = "-merged"
	averagedSuffix = "-ema"
	fullSuffix     = "-full"
)

// Precisions are the folders of the view in order of listing, and Merged those that a model in several files has
// besides. Asked are those that are there when they are asked for.
var (
	Precisions = []string{"fp32", "fp16", "bf16"}
	Merged     = []string{"fp32" + mergedSuffix, "fp16" + mergedSuffix, "bf16" + mergedSuffix}
	Asked      = []string{
		"fp32" + fullSuffix, "fp16" + fullSuffix, "bf16" + fullSuffix,
		"fp32" + averagedSuffix, "fp16" + averagedSuffix, "bf16" + averagedSuffix,
	}
)

var targets = map[string]model.DType{"fp32": model.F32, "fp16": model.F16, "bf16": model.BF16}

// The names that Hugging Face's libraries look for.
const (
	oneName   = "model.pt"
	shardStem = "pytorch_model"
	shardExt  = ".bin"
	indexName = shardStem + shardExt + ".index.json"
)

// More are the precisions that a model has beside Precisions.
func More(m *model.Model) []string {
	if m.Shards == nil {
		return nil
	}
	return Merged
}

// Plan is the files of a precision. It fails as Unsupported for a model with a tensor that PyTorch has no type for, or
// with quantized weights that are not decoded here, and as Absent for a precision that the model does not have.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	name, merged := strings.CutSuffix(precision, mergedSuffix)
	name, whole := strings.CutSuffix(name, fullSuffix)
	name, averaged := strings.CutSuffix(name, averagedSuffix)
	target, ok := targets[name]
	if !ok {
		return nil, fault.New(fault.Absent, "pytorch has no precision %q", precision)
	}
	if merged && m.Shards == nil {
		return nil, fault.New(fault.Absent, "the model is stored in one file, so there are no shards to join").
			Remedied("pytorch/%s is that file's view", name)
	}
	if whole && (merged || averaged) {
		return nil, fault.New(fault.Absent, "pytorch has no precision %q", precision).Remedied("pytorch/%s%s is all of a checkpoint", name, fullSuffix)
	}
	if whole {
		return full(m, name, target)
	}
	if averaged {
		if len(m.Averaged) == 0 {
			return nil, fault.New(fault.Absent, "the model is stored without an average of its weights").Remedied("pytorch/%s is of the weights", name)
		}
		m = &model.Model{Format: m.Format, File: m.File, Tensors: m.Averaged, Metadata: m.Metadata}
	}
	tensors, err := packed.Precision(m, target, func(t *model.Tensor) error { return torch.Holds(t.Name, t.DType, t.Shape) })
	if err != nil {
		return nil, err
	}
	if m.Shards != nil && !merged {
		checkpoints := torch.ShardsOf(m)
		return m.Sharded(model.Container{
			Format: torch.Format, Index: indexName, File: file,
			Shard:  func(i int) string { return fmt.Sprintf("%s-%05d-of-%05d%s", shardStem, i+1, len(m.Shards), shardExt) },
			Stored: func(i int) bool { return checkpoints != nil && checkpoints[i].Flat },
		}, tensors)
	}
	if c := torch.Of(m); c != nil && c.Flat && m.Source != nil && model.Same(tensors, m.Tensors) {
		return []model.Output{{Path: oneName, File: layout.Stored(m.Source)}}, nil
	}
	f, err := file(m.Metadata, tensors)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return []model.Output{{Path: oneName, File: f}}, nil
}

// full is the view of a training checkpoint that a training resumes from: see torch.Checkpoint.Full. Neither Flat nor
// without anything beside the weights is one.
func full(m *model.Model, name string, target model.DType) ([]model.Output, error) {
	c := torch.Of(m)
	if c == nil {
		return nil, fault.New(fault.Absent, "the model is stored as weights alone, without the state of a training")
	}
	if c.Root == nil || !training(c) {
		return nil, fault.New(fault.Absent, "the checkpoint holds the weights and nothing beside them").
			Remedied("pytorch/%s is all of it", name)
	}
	f, _, err := c.Full(target, m.Metadata)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	if f == nil {
		f = layout.Stored(m.Source)
	}
	return []model.Output{{Path: oneName, File: f}}, nil
}

func training(c *torch.Checkpoint) bool {
	t := c.Training()
	return len(t.Optimizers) > 0 || len(t.Rest) > 0
}

// Left are the tensors that PyTorch cannot hold, and what the precisions with -full leave out because torch.load would
// need code to make it.
func Left(m *model.Model) []model.Left {
	var left []model.Left
	for _, t := range m.Tensors {
		if t.DType == model.String {
			left = append(left, model.Left{Name: t.Name, Reason: "PyTorch has no tensors of strings"})
		}
	}
	c := torch.Of(m)
	if c == nil || c.Root == nil || !training(c) {
		return left
	}
	_, gone, err := c.Full(model.F32, nil)
	if err != nil {
		return left
	}
	for _, l := range gone {
		left = append(left, model.Left{Name: l.Name, Reason: "left out of the precisions with " + fullSuffix + ": " + l.Reason})
	}
	return left
}

// file is a state_dict of these tensors.
func file(metadata map[string]string, tensors []model.Tensor) (*layout.File, error) {
	var w torch.Writer
	entries := make([]pickle.Entry, len(tensors))
	for i, t := range tensors {
		v, err := w.Tensor(t)
		if err != nil {
			return nil, err
		}
		entries[i] = pickle.Entry{Key: t.Name, Value: v}
	}
	metadata = maps.Clone(metadata)
	delete(metadata, "format") // of what a safetensors file was made for
	return w.File(torch.StateDict(entries), pickle.EncodeOptions{}, metadata)
}
