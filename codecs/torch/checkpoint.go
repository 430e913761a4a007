package torch

import (
	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/model"
)

// Checkpoint is what a PyTorch file holds: the whole saved object, of which the model's tensors are a part. It is the
// Wire of a model that this package read from one file.
type Checkpoint struct {
	// Container is how the file is laid out.
	Container Container

	// Root is the decoded pickle as it is stored: nothing in it is replaced, and Tensor says what its nodes are. It may
	// contain itself. nil of files whose object is no pickle's, an exported program, and where it is nothing but one dict
	// of the model's tensors.
	Root pickle.Value

	// Flat says that the saved object is one dict of exactly the model's tensors under exactly their names, and that torch.load
	// takes the file with weights_only=True, so that where no tensor changes the stored file is the view.
	Flat bool

	// Weights is the path of keys below Root to the dict that the model's names begin in, such as [state_dict]; empty
	// where that is Root itself.
	Weights []string

	// Tensors are those of the model, in their order: the model's i-th is Tensors[i]. Two that are one view of one
	// Storage have the same Data.
	Tensors []*Tensor

	r *reading
}

// Container is a layout of a PyTorch file.
type Container string

// The containers, and what an archive holds that is no plain pickle.
const (
	Zip      Container = "zip"      // since PyTorch 1.6
	Legacy   Container = "legacy"   // five pickles and the storages after them
	Tar      Container = "tar"      // before PyTorch 0.1.10
	Bare     Container = "pickle"   // a pickle by Python's own pickle module
	Script   Container = "script"   // a TorchScript archive
	Exported Container = "exported" // an archive of torch.export
)

// Of is the checkpoint of a model that this package read from one file; nil of any other.
func Of(m *model.Model) *Checkpoint {
	c, _ := m.Wire.(*Checkpoint)
	return c
}

// ShardsOf are the checkpoints of the shards of a model that was read from several files, in the order of its Shards; nil
// of any other.
func ShardsOf(m *model.Model) []*Checkpoint {
	wires, _ := m.Wire.([]any)
	var list []*Checkpoint
	for _, w := range wires {
		c, ok := w.(*Checkpoint)
		if !ok {
			return nil
		}
		list = append(list, c)
	}
	return list
}

// Tensor is the tensor that a node of Root makes; nil where it makes none. Two nodes may make the same tensor, or two
// tensors of one Storage.
func (c *Checkpoint) Tensor(node pickle.Value) *Tensor {
	if c.r == nil {
		return nil
	}
	t, _ := c.r.tensorOf(node) // made before: no error is left to come
	return t
}

// Storage is the storage that a node of Root names; nil where it names none.
func (c *Checkpoint) Storage(node pickle.Value) *Storage {
	if c.r == nil {
		return nil
	}
	s, _ := c.r.storageOf(node)
	return s
}
