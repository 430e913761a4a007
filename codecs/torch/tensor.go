package torch

import (
	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Tensor is a saved tensor.
type Tensor struct {
	DType model.DType
	Shape []int64
	Data  *layout.File // row-major, little-endian, without gaps: what model.Tensor has
	Left  string       // why it has no bytes that a view could show; "" where it has. Then Data is nil

	// Of a plain view of a storage; Storage is nil of any other: sparse, quantized, made from an array.
	Storage *Storage
	Offset  int64   // of its first element in Storage, in elements
	Strides []int64 // in elements
	Conj    bool    // marked as the conjugate of what is stored; Data has it done
	Neg     bool    // marked as the negative of what is stored; Data has it done

	RequiresGrad bool
	Parameter    bool // a torch.nn.Parameter

	elem   *element
	stored model.Stored // how the file has a quantized tensor; zero for any other
}

// left is a tensor that has no bytes.
func left(reason string) *Tensor { return &Tensor{Left: reason} }

// maker is one of the functions that pickles of tensors call.
type maker func(r *reading, o *pickle.Object, args []pickle.Value) (*Tensor, error)

// makers are PyTorch's functions that make tensors (torch/_utils.py, torch/_tensor.py), by module and name. It is a
// function because makers call each other.
func makerOf(g *pickle.Global) maker {
	switch g.Module {
	case "torch._utils":
		switch g.Name {
		case "_rebuild_tensor", "_rebuild_tensor_v2":
			return (*reading).viewV2
		case "_rebuild_tensor_v3":
			return (*reading).viewV3
		case "_rebuild_parameter", "_rebuild_parameter_with_state":
			return (*reading).parameter
		case "_rebuild_qtensor":
			return (*reading).quantized
		case "_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor":
			return (*reading).sparse
		case "_rebuild_nested_tensor":
			return (*reading).ragged
		case "_rebuild_meta_tensor_no_storage":
			return (*reading).meta
		case "_rebuild_device_tensor_from_numpy", "_rebuild_xla_tensor", "_rebuild_mlc_tensor", "_rebuild_ort_tensor":
			return (*reading).fromArray
		case "_rebuild_device_tensor_from_cpu_tensor":
			return (*reading).fromTensor
		}
	case "torch._tensor", "torch.tensor":
		switch g.Name {
		case "_rebuild_from_type", "_rebuild_from_type_v2":
			return (*reading).subclass
		}
	case "torch.nn.parameter", "torch.nn", "torch.autograd.variable", "torch.autograd":
		switch g.Name {
		case "Parameter", "Variable":
			return (*reading).variable
		}
	}
	if isArray(g) {
		return (*reading).array
	}
	return nil
}

// tensor is what an object makes; nil where that is no tensor. A call of one of PyTorch's own functions that PyTorch
// could not make is a fault of the file, and a tensor made of what is not known here is left.
func (r *reading) tensor(o *pickle.Object) (*Tensor, error) {
	if t, ok := r.tensors[o]; ok {
		return t, nil
	}
	g := classOf(o)
	if g == nil {
		return nil, nil
	}
	make := makerOf(g)
	if make == nil {
		return nil, nil
	}
	r.tensors[o] = left("it is made of itself") // until it is made
	t, err := make(r, o, o.Args.Items)
	if err != nil {
		return nil, err
	}
	if t == nil {
		delete(r.tensors, o)
		return nil, nil
	}
	r.tensors[o] = t
	return t, nil
}

// tensorOf is the tensor that a value is; nil where it is none.
func (r *reading) tensorOf(v pickle.Value) (*Tensor, error) {
	switch v := v.(type) {
	case *pickle.Object:
		return r.tensor(v)
	case *pickle.Persistent:
		return r.held[v], nil
	}
	return nil, nil
}

// storageOf is the storage that a value is; nil where it is none that is known here.
func (r *reading) storageOf(v pickle.Value) (*Storage, error) {
	switch v := v.(type) {
	case *pickle.Persistent:
		return r.persist[v], nil
	case *pickle.Object:
		in, err := r.within(v)
		if in == nil || err != nil {
			return nil, err
		}
		return in.storageOf(in.root)
	}
	return nil, nil
}

// args checks how many arguments a call has.
func (r *reading) args(o *pickle.Object, args []pickle.Value, least, most int) error {
	if len(args) >= least && len(args) <= most {
		return nil
	}
	return r.at(fault.Malformed, o.Off, "%s with %d arguments", classOf(o), len(args))
}

// viewV2 is _rebuild_tensor(storage, offset, size, stride) and
// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]).
func (r *reading) viewV2(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 4, 7); err != nil {
		return nil, err
	}
	return r.view(o, args, nil, item(args, 6))
}

// viewV3 is _rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata]), of a storage
// without a type.
func (r *reading) viewV3(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 7, 8); err != nil {
		return nil, err
	}
	e := elementOf(args[6])
	if e == nil {
		return left("its elements are of " + named(args[6]) + ", which is not known here"), nil
	}
	return r.view(o, args, e, item(args, 7))
}

// parameter is _rebuild_parameter(data, requires_grad, hooks[, state]).
func (r *reading) parameter(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 3, 4); err != nil {
		return nil, err
	}
	return r.asParameter(args[0], args[1])
}

// asParameter is a tensor as a parameter.
func (r *reading) asParameter(data, requiresGrad pickle.Value) (*Tensor, error) {
	t, err := r.tensorOf(data)
	if t == nil || err != nil {
		return nil, err
	}
	p := *t
	p.Parameter = true
	p.RequiresGrad, _ = requiresGrad.(bool)
	return &p, nil
}

// variable is a Parameter or Variable as PyTorch before 0.4 pickled it: an object whose state is
// (data, grad, requires_grad, hooks, volatile), of a Parameter also (data, requires_grad, hooks, ...).
func (r *reading) variable(o *pickle.Object, _ []pickle.Value) (*Tensor, error) {
	state, ok := o.State.(*pickle.Tuple)
	if !ok {
		return nil, nil
	}
	grad := item(state.Items, 1)
	if len(state.Items) == 5 {
		grad = item(state.Items, 4)
		if _, ok := grad.(bool); !ok {
			grad = state.Items[2]
		}
	}
	t, err := r.asParameter(item(state.Items, 0), grad)
	if t != nil {
		t.Parameter = classOf(o).Name == "Parameter"
	}
	return t, err
}

// ragged is _rebuild_nested_tensor.
func (r *reading) ragged(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	return left("it is a nested tensor, whose rows are of different sizes"), nil
}

// meta is _rebuild_meta_tensor_no_storage.
func (r *reading) meta(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	return left("it is on the meta device: it has a shape and no elements"), nil
}

// subclass is _rebuild_from_type_v2(function, class, arguments, state): function makes a tensor, which becomes one of
// class. A class whose tensors have no elements but those of the tensors in their state is no tensor here: it shows
// as what it holds.
func (r *reading) subclass(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 4, 4); err != nil {
		return nil, err
	}
	make, ok := args[0].(*pickle.Global)
	inner, isTuple := args[2].(*pickle.Tuple)
	if !ok || !isTuple {
		return nil, r.at(fault.Malformed, o.Off, "%s that calls no function", classOf(o))
	}
	if make.Module == "torch._utils" && make.Name == "_rebuild_wrapper_subclass" {
		return nil, nil
	}
	f := makerOf(make)
	if f == nil {
		return nil, nil
	}
	t, err := f(r, &pickle.Object{Class: make, Args: inner, Off: o.Off}, inner.Items)
	if t == nil || err != nil {
		return nil, err
	}
	if class, ok := args[1].(*pickle.Global); ok && class.Name == "Parameter" {
		p := *t
		p.Parameter = true
		return &p, nil
	}
	return t, nil
}

// fromTensor is _rebuild_device_tensor_from_cpu_tensor(data, dtype, device, requires_grad).
func (r *reading) fromTensor(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 4, 4); err != nil {
		return nil, err
	}
	t, err := r.tensorOf(args[0])
	if t == nil || err != nil {
		return nil, err
	}
	return r.converted(t, args[1])
}

// fromArray is _rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad).
func (r *reading) fromArray(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 4, 4); err != nil {
		return nil, err
	}
	t, err := r.tensorOf(args[0])
	if t == nil || err != nil {
		return nil, err
	}
	return r.converted(t, args[1])
}
