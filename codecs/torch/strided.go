package torch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	maxRank = 64 // as NumPy has it; PyTorch itself has no limit below that

	// A tensor that repeats its storage may be larger than it: a broadcast one. Above largeView bytes it may be
	// maxExpansion times as large, as Keras guards HDF5: a file of some bytes could otherwise be terabytes of tensor.
	largeView    = 4 << 30
	maxExpansion = 1000
)

// view is a view of a storage: two of the same are one tensor.
type view struct {
	storage *Storage
	elem    *element
	walk    string // offset, sizes, strides
	marks   string
}

// view makes a view of a storage: args are storage, offset, size, stride[, requires_grad]. elem is the type of its
// elements where the storage has none.
func (r *reading) view(o *pickle.Object, args []pickle.Value, elem *element, metadata pickle.Value) (*Tensor, error) {
	off, err := r.count(args[1], o.Off, "the offset of a tensor")
	if err != nil {
		return nil, err
	}
	shape, err := r.counts(args[2], o.Off, "the size of a tensor")
	if err != nil {
		return nil, err
	}
	strides, err := r.counts(args[3], o.Off, "the strides of a tensor")
	if err != nil {
		return nil, err
	}
	s, err := r.storageOf(args[0])
	if err != nil {
		return nil, err
	}
	if s == nil {
		return left("its storage is " + named(args[0]) + ", which is not known here"), nil
	}
	conj, neg, err := r.marks(o, metadata)
	if err != nil {
		return nil, err
	}
	grad, _ := item(args, 4).(bool)
	t, err := r.viewOf(s, elem, off, shape, strides, conj, neg, o.Off)
	if err != nil {
		return nil, err
	}
	if grad != t.RequiresGrad {
		same := *t
		same.RequiresGrad = grad
		return &same, nil
	}
	return t, nil
}

// marks are the conj and neg bits of a tensor's metadata.
func (r *reading) marks(o *pickle.Object, metadata pickle.Value) (conj, neg bool, err error) {
	if metadata == nil {
		return false, false, nil
	}
	entries, ok := pickle.Entries(metadata)
	if !ok {
		return false, false, r.at(fault.Malformed, o.Off, "the metadata of a tensor is no dict")
	}
	for _, e := range entries {
		set, isBool := e.Value.(bool)
		switch key, _ := text(e.Key); {
		case key == "conj" && isBool:
			conj = set
		case key == "neg" && isBool:
			neg = set
		}
	}
	return conj, neg, nil
}

// viewOf makes a view of a storage, and the same one again where it is asked for again.
func (r *reading) viewOf(s *Storage, elem *element, off int64, shape, strides []int64, conj, neg bool, at int64) (*Tensor, error) {
	if elem == nil {
		elem = s.elem
	}
	key := view{s, elem, fmt.Sprint(off, shape, strides), fmt.Sprint(conj, neg)}
	if t := r.views[key]; t != nil {
		return t, nil
	}
	t := &Tensor{Shape: shape, Storage: s, Offset: off, Strides: strides, Conj: conj, Neg: neg, elem: elem}
	if err := r.strided(t, at); err != nil {
		return nil, err
	}
	r.views[key] = t
	return t, nil
}

// strided gives a view its bytes. Its geometry is checked first, by the storage's own word of its size.
func (r *reading) strided(t *Tensor, at int64) error {
	s := t.Storage
	if len(t.Shape) != len(t.Strides) {
		return r.at(fault.Malformed, at, "a tensor of %d dimensions with %d strides", len(t.Shape), len(t.Strides))
	}
	if len(t.Shape) > maxRank {
		return r.at(fault.Limit, at, "a tensor of %d dimensions, and the most is %d", len(t.Shape), maxRank)
	}
	n, err := model.Elements(t.Shape)
	if err != nil {
		return r.at(fault.KindOf(err), at, "a tensor: %s", fault.Reason(err))
	}
	end := int64(0) // just past the last element that it touches
	if n > 0 {
		end = t.Offset + 1
		for i, d := range t.Shape {
			reach, ok := product(d-1, t.Strides[i])
			if end += reach; !ok || end < 0 {
				return r.at(fault.Overflow, at, "a tensor of shape %v and strides %v reaches past 63 bits", t.Shape, t.Strides)
			}
		}
	}
	if t.elem == nil {
		t.Left = s.left
		return nil
	}
	if _, ok := product(n, t.elem.bytes); !ok {
		return r.at(fault.Overflow, at, "a tensor of shape %v has more bytes than fit 63 bits", t.Shape)
	}
	have := s.Numel
	if s.elem != nil && s.elem != t.elem {
		have = s.Numel * s.elem.bytes / t.elem.bytes
	}
	if t.elem.packs() == 1 && end > have {
		return r.at(fault.Extent, at, "a tensor of shape %v and strides %v from element %d ends at element %d of the %d in storage %s", t.Shape, t.Strides, t.Offset, end, have, quoted(s.Key))
	}
	switch {
	case s.left != "":
		t.Left = s.left
	case t.elem.dtype == model.Invalid:
		t.Left = "its elements are of torch." + t.elem.name + ", for which no other format has a name"
	case s.swapped && t.elem.part > 1:
		t.Left = "its elements are in the byte order of another machine, and PyTorch itself does not turn them round"
	case s.Data == nil:
		t.Left = "its storage is on the meta device: it has no elements"
	case n*t.elem.bytes > largeView && n*t.elem.bytes/maxExpansion > (end-t.Offset)*t.elem.bytes:
		t.Left = fmt.Sprintf("%d bytes of a storage are repeated to %d, more than %d times as many", (end-t.Offset)*t.elem.bytes, n*t.elem.bytes, maxExpansion)
	}
	if t.Left != "" || t.elem.quantized() {
		return nil
	}
	t.DType = t.elem.dtype
	if t.Data, err = walked(s.Data, t.Shape, t.Strides, t.Offset, t.elem.bytes); err != nil {
		return err
	}
	if t.DType == model.F4 { // an element of PyTorch's is two
		if len(t.Shape) == 0 {
			t.Data, t.Left = nil, "it is a pair of 4-bit numbers without a dimension to stand in"
			return nil
		}
		t.Shape = slices.Clone(t.Shape)
		t.Shape[len(t.Shape)-1] *= 2
	}
	if t.Conj || t.Neg {
		op, err := marked(t.elem, t.Conj, t.Neg)
		if err != nil {
			return r.at(fault.Malformed, at, "%s", fault.Reason(err))
		}
		t.Data, err = layout.New(layout.Coded{Op: op, In: []*layout.File{t.Data}})
		return err
	}
	return nil
}

// walked is the elements of raw at the places that offset, shape and strides name, one after another.
func walked(raw *layout.File, shape, strides []int64, off, elem int64) (*layout.File, error) {
	n, err := model.Elements(shape)
	if err != nil || n == 0 {
		f, _ := layout.New()
		return f, err
	}
	if contiguous(shape, strides) {
		return raw.Slice(off*elem, n*elem)
	}
	bytes := make([]int64, len(strides))
	for i, stride := range strides {
		if shape[i] > 1 { // else it is not walked, and may be any number
			bytes[i] = stride * elem
		}
	}
	return layout.New(layout.Box{In: raw, Shape: shape, Strides: bytes, Off: off * elem, Elem: elem})
}

// contiguous reports whether elements lie one after another.
func contiguous(shape, strides []int64) bool {
	want := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] == 1 {
			continue
		}
		if strides[i] != want {
			return false
		}
		want *= shape[i]
	}
	return true
}

// counts is a tuple of numbers that may not be negative: a size, strides.
func (r *reading) counts(v pickle.Value, off int64, what string) ([]int64, error) {
	var items []pickle.Value
	switch v := v.(type) {
	case *pickle.Tuple:
		items = v.Items
	case *pickle.List:
		items = v.Items
	case *pickle.Object: // torch.Size((2, 3))
		if g := classOf(v); g != nil && g.Is("torch", "Size") && len(v.Args.Items) == 1 {
			return r.counts(v.Args.Items[0], off, what)
		}
		return nil, r.at(fault.Malformed, off, "%s is no tuple", what)
	default:
		return nil, r.at(fault.Malformed, off, "%s is no tuple", what)
	}
	numbers := make([]int64, len(items))
	for i, item := range items {
		n, err := r.count(item, off, what)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	return numbers, nil
}

// converted is a tensor's values as another type.
func (r *reading) converted(t *Tensor, dtype pickle.Value) (*Tensor, error) {
	e := elementOf(dtype)
	switch {
	case t.Left != "":
		return t, nil
	case e == nil || e.dtype == model.Invalid || e.quantized():
		return left("its elements are of " + named(dtype) + ", for which no other format has a name"), nil
	case e.dtype == t.DType:
		return t, nil
	}
	op, ok := quant.Cast(t.DType, e.dtype)
	if !ok {
		return left(fmt.Sprintf("it is stored as %s and meant as %s", t.DType, e.dtype)), nil
	}
	data, err := layout.New(layout.Coded{Op: op, In: []*layout.File{t.Data}})
	if err != nil {
		return nil, err
	}
	return &Tensor{DType: e.dtype, Shape: t.Shape, Data: data, elem: e, RequiresGrad: t.RequiresGrad}, nil
}

// described is a value in a reason: a number or a word as it is, anything else by its kind.
func described(v pickle.Value) string {
	if text := fact(v); text != "" {
		return text
	}
	return named(v)
}

// named is what a value is called in a reason.
func named(v pickle.Value) string {
	switch v := v.(type) {
	case *pickle.Global:
		return v.String()
	case *pickle.Object:
		if g := classOf(v); g != nil {
			return "an object of " + g.String()
		}
		return "an object"
	}
	return strings.TrimPrefix(fmt.Sprintf("a %T", v), "a *pickle.")
}
