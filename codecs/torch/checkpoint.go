// Package torch reads what PyTorch saves.
package torch

import (
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Checkpoint is what a PyTorch file holds: the whole saved object, of which the model's tensors are a part. It is the
// Wire of a model that this package read.
//
// Root is the decoded pickle as it is stored: nothing in it is replaced. An object of it that makes a tensor (a call
// of torch._utils._rebuild_tensor_v2 and its like) is the key of that tensor in Tensors, so that whoever walks Root
// asks Tensor at each node. Root may contain itself.
type Checkpoint struct {
	Root any // a pickle.Value

	// Flat says that Root is one dict of exactly the model's tensors under exactly their names, in their order, so
	// that where no tensor changes the stored file is the view.
	Flat bool

	// Weights is the path of keys below Root to the dict that the model's names begin in, such as [state_dict]; empty
	// where the whole of Root is searched for tensors.
	Weights []string

	// Averaged are the tensors of the averaged (EMA) weights beside the weights, under the names of the weights.
	Averaged []model.Tensor

	tensors map[any]*Tensor
}

// Of is the checkpoint of a model that this package read from one file; nil of any other.
func Of(m *model.Model) *Checkpoint {
	c, _ := m.Wire.(*Checkpoint)
	return c
}

// Tensor is the tensor that a node of Root makes; nil where it makes none. Two nodes may make the same tensor, or two
// tensors of one Storage.
func (c *Checkpoint) Tensor(node any) *Tensor { return c.tensors[node] }

// Storage is a run of elements that tensors are views of. Two tensors that share one have the same *Storage.
type Storage struct {
	Key      string       // of the archive's member data/KEY
	Class    string       // FloatStorage, UntypedStorage ...
	Location string       // cpu, cuda:0 ...
	DType    model.DType  // of the elements; U8 of an untyped one
	Numel    int64        // elements
	Data     *layout.File // little-endian, whatever the archive's byte order
}

// Tensor is a saved tensor.
type Tensor struct {
	DType   model.DType
	Shape   []int64
	Data    *layout.File // row-major, little-endian, without gaps: what model.Tensor has
	Storage *Storage     // nil of a tensor that is not a plain view: sparse, quantized, made from an array
	Offset  int64        // of its first element in Storage, in elements
	Strides []int64      // in elements
	Left    string       // why it has no bytes that a view could show; "" where it has. Then DType and Data are not set

	RequiresGrad, Parameter bool
	Conj, Neg               bool // marked as conjugate or negative of what is stored; Data has it done
}
