package checkpoint

import (
	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// tensor is a tensor on its way from the checkpoint into the file: its elements as stored, or as they were moved.
type tensor struct {
	name  string // llama.cpp's
	dtype model.DType
	shape []int64 // outermost first
	data  *layout.File
	block ggml.Type // of a tensor whose blocks go into the file as they are; F32, the zero type, of any other
}

// step is one thing that is done to a tensor's elements.
type step func(c *converter, t tensor) (tensor, error)

// size is the bytes of an element. Types of less than a byte are not moved.
func (t *tensor) size() (int64, error) {
	b := t.dtype.Block()
	if b.Elems != 1 {
		return 0, fault.New(fault.Unsupported, "%s elements are not moved", t.dtype)
	}
	return b.Bytes, nil
}

// walk replaces the elements by those of a strided walk, strides and offset in elements, the last dimension a run of
// elements that stay together.
func (t tensor) walk(shape, strides []int64, off, run int64, result []int64) (tensor, error) {
	size, err := t.size()
	if err != nil {
		return t, err
	}
	box := layout.Box{In: t.data, Shape: shape, Off: off * size, Elem: run * size}
	for _, s := range strides {
		box.Strides = append(box.Strides, s*size)
	}
	if t.data, err = layout.New(box); err != nil {
		return t, err
	}
	t.shape = result
	return t, nil
}

// product is the number of elements of some dimensions, which are those of a tensor that exists.
func product(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}

// wrongShape says that a tensor has not the shape that the configuration says.
func (t *tensor) wrongShape(want string, args ...any) error {
	return fault.New(fault.Mismatch, "it is of shape %v, and the configuration says "+want, append([]any{t.shape}, args...)...)
}

// permuted brings the rows of each head from the order of two halves into that of pairs, as llama.cpp rotates them. The
// number of heads is the first of the keys that the configuration has.
func permuted(keys ...string) step {
	return func(c *converter, t tensor) (tensor, error) {
		heads, err := c.whole(keys...)
		if err != nil {
			return t, err
		}
		if len(t.shape) == 0 || heads < 1 || t.shape[0]%(2*heads) != 0 {
			return t, t.wrongShape("%d heads of an even size", heads)
		}
		rest := product(t.shape[1:])
		half := t.shape[0] / heads / 2
		if rest == 0 || half == 0 {
			return t, nil
		}
		return t.walk([]int64{heads, half, 2}, []int64{2 * half * rest, rest, half * rest}, 0, rest, t.shape)
	}
}

// transposed exchanges the last two dimensions.
func transposed(_ *converter, t tensor) (tensor, error) {
	n := len(t.shape)
	if n < 2 {
		return t, t.wrongShape("at least two dimensions")
	}
	rows, columns := t.shape[n-2], t.shape[n-1]
	lead := product(t.shape[:n-2])
	result := append(append([]int64{}, t.shape[:n-2]...), columns, rows)
	return t.walk([]int64{lead, columns, rows}, []int64{rows * columns, 1, columns}, 0, 1, result)
}

// rows takes count slices of dimension dim from one on, step apart; dim counts from the end where it is negative.
func (t tensor) rows(dim int, from, count, step int64) (tensor, error) {
	if dim < 0 {
		dim += len(t.shape)
	}
	if dim < 0 || dim >= len(t.shape) || from < 0 || count < 0 || count > 0 && from+(count-1)*step >= t.shape[dim] {
		return t, t.wrongShape("%d slices from %d on of dimension %d", count, from, dim)
	}
	tail := product(t.shape[dim+1:])
	result := append([]int64{}, t.shape...)
	result[dim] = count
	return t.walk([]int64{product(t.shape[:dim]), count}, []int64{t.shape[dim] * tail, step * tail}, from*tail, tail, result)
}

// half is the first or the second half of a dimension.
func half(dim, which int) step {
	return func(_ *converter, t tensor) (tensor, error) {
		at := dim
		if at < 0 {
			at += len(t.shape)
		}
		if at < 0 || at >= len(t.shape) || t.shape[at]%2 != 0 {
			return t, t.wrongShape("two halves of dimension %d", dim)
		}
		n := t.shape[at] / 2
		return t.rows(at, int64(which)*n, n, 1)
	}
}

// alternate is every second slice of a dimension, from the first or the second on.
func alternate(dim, which int) step {
	return func(_ *converter, t tensor) (tensor, error) {
		at := dim
		if at < 0 {
			at += len(t.shape)
		}
		if at < 0 || at >= len(t.shape) || t.shape[at]%2 != 0 {
			return t, t.wrongShape("pairs along dimension %d", dim)
		}
		return t.rows(at, int64(which), t.shape[at]/2, 2)
	}
}

// stack is tensors of one shape as one more dimension.
func stack(parts []tensor) (tensor, error) {
	t := parts[0]
	files := make([]*layout.File, len(parts))
	for i := range parts {
		if parts[i].dtype != t.dtype || !same(parts[i].shape, t.shape) {
			return t, fault.New(fault.Mismatch, "%s %v and %s %v are parts of one tensor", t.dtype, t.shape, parts[i].dtype, parts[i].shape)
		}
		files[i] = parts[i].data
	}
	t.shape = append([]int64{int64(len(parts))}, t.shape...)
	var err error
	t.data, err = layout.Concat(files...)
	return t, err
}

func same(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// plusOne adds 1 to each element, in float16 where they are stored so, else in float32.
func plusOne(_ *converter, t tensor) (tensor, error) {
	wide, err := quant.Tensor(model.Tensor{Name: t.name, DType: t.dtype, Shape: t.shape, Data: t.data}, model.F32)
	if err != nil {
		return t, err
	}
	if wide.Data, err = layout.New(layout.Coded{Op: addOne{}, Label: t.name, In: []*layout.File{wide.Data}}); err != nil {
		return t, err
	}
	if t.dtype == model.F16 {
		wide, err = quant.Tensor(wide, model.F16)
	}
	t.dtype, t.data = wide.DType, wide.Data
	return t, err
}
