package torch

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// sparse is _rebuild_sparse_tensor(layout, parts), whose parts are
//
//	torch.sparse_coo       (indices, values, size[, coalesced])
//	torch.sparse_csr, bsr  (row pointers, column indices, values, size)
//	torch.sparse_csc, bsc  (column pointers, row indices, values, size)
//
// It is shown dense, as its to_dense gives it.
func (r *reading) sparse(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 2, 2); err != nil {
		return nil, err
	}
	parts, ok := args[1].(*pickle.Tuple)
	if !ok {
		return nil, r.at(fault.Malformed, o.Off, "a sparse tensor whose parts are no tuple")
	}
	kind := layoutName(args[0])
	count := 2 // tensors, and then the size
	switch kind {
	case "sparse_coo":
	case "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc":
		count = 3
	default:
		return left("its layout is " + quoted(kind) + ", which is not known here"), nil
	}
	if len(parts.Items) <= count {
		return nil, r.at(fault.Malformed, o.Off, "a sparse tensor of %d parts", len(parts.Items))
	}
	var tensors []*Tensor
	for _, part := range parts.Items[:count] {
		t, err := r.tensorOf(part)
		if err != nil {
			return nil, err
		}
		if t == nil {
			return left("a part of it is " + named(part) + ", which is not known here"), nil
		}
		if t.Left != "" {
			return left(t.Left), nil
		}
		tensors = append(tensors, t)
	}
	shape, err := r.counts(parts.Items[count], o.Off, "the size of a sparse tensor")
	if err != nil {
		return nil, err
	}
	if len(shape) > maxRank {
		return nil, r.at(fault.Limit, o.Off, "a sparse tensor of %d dimensions, and the most is %d", len(shape), maxRank)
	}
	n, err := model.Elements(shape)
	if err != nil {
		return nil, r.at(fault.KindOf(err), o.Off, "a sparse tensor: %s", fault.Reason(err))
	}
	values := tensors[count-1]
	b := values.DType.Block()
	if b.Elems != 1 || b.Bytes == 0 || adders[values.DType] == nil {
		return left(fmt.Sprintf("it is a sparse tensor of %s, of which none can be added up", values.DType)), nil
	}
	size, ok := product(n, b.Bytes)
	if !ok {
		return nil, r.at(fault.Overflow, o.Off, "a sparse tensor of shape %v has more bytes than fit 63 bits", shape)
	}
	var held int64
	for _, t := range tensors {
		held += t.Data.Size()
	}
	if size > largeView && size/maxExpansion > held {
		return left(fmt.Sprintf("%d bytes of a sparse tensor are %d dense, more than %d times as many", held, size, maxExpansion)), nil
	}
	d := &dense{elem: b.Bytes, add: adders[values.DType], values: values.Data, size: size}
	if kind == "sparse_coo" {
		err = d.coordinates(tensors[0], values, shape)
	} else {
		err = d.compressed(kind, tensors[0], tensors[1], values, shape)
	}
	if err != nil {
		return nil, r.at(fault.KindOf(err), o.Off, "a sparse tensor: %s", fault.Reason(err))
	}
	in := make([]*layout.File, len(tensors))
	for i, t := range tensors {
		in[i] = t.Data
	}
	f, err := layout.New(layout.Materialized{
		Name: fmt.Sprintf("dense/1 %s %s %v of %v", kind, values.DType, shape, shapes(tensors)), Length: size, In: in, Run: d.run,
	})
	return &Tensor{DType: values.DType, Shape: shape, Data: f}, err
}

func shapes(tensors []*Tensor) (list []string) {
	for _, t := range tensors {
		list = append(list, fmt.Sprint(t.DType, t.Shape))
	}
	return list
}

// layoutName is the name of a layout without torch.: a global, or torch.serialization._get_layout('torch.sparse_coo').
func layoutName(v pickle.Value) string {
	switch v := v.(type) {
	case *pickle.Global:
		return v.Name
	case *pickle.Object:
		if g := classOf(v); g != nil && g.Name == "_get_layout" {
			name, _ := text(item(v.Args.Items, 0))
			return strings.TrimPrefix(name, "torch.")
		}
	}
	return named(v)
}

// dense makes a dense tensor of a sparse one: of zeros, to which each stored run of values is added at its place.
type dense struct {
	elem   int64 // bytes of an element
	size   int64 // bytes of the whole
	add    adder
	values *layout.File

	runs int64 // stored runs in the order in which they are added
	run_ int64 // elements of one
	// places gives the element at which each of the runs lo to hi is added.
	places func(ctx context.Context, ws layout.Workspace, lo, hi int64, to []int64) error
}

// index reads numbers lo to hi of a tensor of indices.
func index(ctx context.Context, ws layout.Workspace, t *Tensor, lo, hi int64) ([]int64, error) {
	width := t.DType.Block().Bytes
	raw := make([]byte, (hi-lo)*width)
	if _, err := t.Data.ReadAt(ctx, ws, raw, lo*width); err != nil && err != io.EOF {
		return nil, err
	}
	list := make([]int64, hi-lo)
	for i := range list {
		if width == 8 {
			list[i] = int64(le.Uint64(raw[8*i:]))
		} else {
			list[i] = int64(int32(le.Uint32(raw[4*i:])))
		}
	}
	return list, nil
}

// indexed refuses what can't be indices.
func indexed(t *Tensor) error {
	if t.DType != model.I64 && t.DType != model.I32 {
		return fault.New(fault.Malformed, "its indices are %s", t.DType)
	}
	return nil
}

// coordinates are those of COO: indices [sparse dimensions, n], values [n, dense dimensions...].
func (d *dense) coordinates(indices, values *Tensor, shape []int64) error {
	if err := indexed(indices); err != nil {
		return err
	}
	if len(indices.Shape) != 2 || len(values.Shape) == 0 || indices.Shape[1] != values.Shape[0] || indices.Shape[0] > int64(len(shape)) {
		return fault.New(fault.Malformed, "indices %v and values %v of a tensor %v", indices.Shape, values.Shape, shape)
	}
	walked, n := int(indices.Shape[0]), indices.Shape[1]
	if fmt.Sprint(shape[walked:]) != fmt.Sprint(values.Shape[1:]) {
		return fault.New(fault.Malformed, "values %v of a tensor %v with %d sparse dimensions", values.Shape, shape, walked)
	}
	d.runs, d.run_ = n, 1
	for _, dim := range shape[walked:] {
		d.run_ *= dim
	}
	d.places = func(ctx context.Context, ws layout.Workspace, lo, hi int64, to []int64) error {
		clear(to)
		for k := range walked {
			list, err := index(ctx, ws, indices, int64(k)*n+lo, int64(k)*n+hi)
			if err != nil {
				return err
			}
			for i, x := range list {
				if x < 0 || x >= shape[k] {
					return fault.New(fault.Malformed, "an index of a sparse tensor is %d, of a dimension of %d", x, shape[k])
				}
				to[i] = to[i]*shape[k] + x
			}
		}
		for i := range to {
			to[i] *= d.run_
		}
		return nil
	}
	return nil
}

// compressed are the four layouts that have pointers for one dimension and indices for the other:
// pointers [batch..., m+1], indices [batch..., n], values [batch..., n, (block rows, block columns,) dense...].
func (d *dense) compressed(kind string, pointers, indices, values *Tensor, shape []int64) error {
	if err := indexed(pointers); err != nil {
		return err
	}
	if err := indexed(indices); err != nil {
		return err
	}
	batch := len(indices.Shape) - 1
	blocks := strings.HasPrefix(kind, "sparse_b")
	wrong := func() error {
		return fault.New(fault.Malformed, "pointers %v, indices %v and values %v of a %s tensor %v", pointers.Shape, indices.Shape, values.Shape, kind, shape)
	}
	rest := batch + 1 // dimensions of values before those of a block
	if blocks {
		rest += 2
	}
	if batch < 0 || len(pointers.Shape) != batch+1 || len(values.Shape) < rest || len(shape) != batch+2+len(values.Shape)-rest {
		return wrong()
	}
	same := fmt.Sprint(shape[:batch])
	if fmt.Sprint(pointers.Shape[:batch]) != same || fmt.Sprint(indices.Shape[:batch]) != same || fmt.Sprint(values.Shape[:batch]) != same ||
		values.Shape[batch] != indices.Shape[batch] || fmt.Sprint(values.Shape[rest:]) != fmt.Sprint(shape[batch+2:]) {
		return wrong()
	}
	g := grid{rows: shape[batch], columns: shape[batch+1], high: 1, wide: 1, inner: 1, stored: indices.Shape[batch], byColumn: strings.HasSuffix(kind, "c")}
	if blocks {
		g.high, g.wide = values.Shape[batch+1], values.Shape[batch+2]
		if g.high == 0 || g.wide == 0 || g.rows%g.high != 0 || g.columns%g.wide != 0 {
			return wrong()
		}
	}
	for _, dim := range shape[batch+2:] {
		g.inner *= dim
	}
	batches := int64(1)
	for _, dim := range shape[:batch] {
		batches *= dim
	}
	g.lines = g.rows / g.high
	if g.byColumn {
		g.lines = g.columns / g.wide
	}
	if pointers.Shape[batch] != g.lines+1 {
		return wrong()
	}
	d.run_ = g.wide * g.inner
	d.runs = batches * g.stored * g.high
	d.places = func(ctx context.Context, ws layout.Workspace, lo, hi int64, to []int64) error {
		return g.places(ctx, ws, pointers, indices, lo, hi, to)
	}
	return nil
}

// grid is the geometry of a compressed matrix, in each of its batches.
type grid struct {
	rows, columns int64
	high, wide    int64 // of a block
	inner         int64 // elements at each place
	stored        int64 // blocks
	lines         int64 // that pointers point to: rows of blocks, or columns
	byColumn      bool
}

// places: run i is row i%high of block i/high.
func (g grid) places(ctx context.Context, ws layout.Workspace, pointers, indices *Tensor, lo, hi int64, to []int64) error {
	first, last := lo/g.high, (hi-1)/g.high
	list, err := index(ctx, ws, indices, first, last+1)
	if err != nil {
		return err
	}
	batch, line := int64(-1), int64(0)
	var ends []int64 // pointers of the batch
	for i := lo; i < hi; i++ {
		block := i / g.high
		if b := block / g.stored; b != batch {
			batch, line = b, 0
			if ends, err = index(ctx, ws, pointers, b*(g.lines+1), (b+1)*(g.lines+1)); err != nil {
				return err
			}
			if err := g.check(ends); err != nil {
				return err
			}
		}
		for line < g.lines && block%g.stored >= ends[line+1] {
			line++
		}
		other := list[block-first]
		row, column, most := line, other, g.columns/g.wide
		if g.byColumn {
			row, column, most = other, line, g.rows/g.high
		}
		if other < 0 || other >= most {
			return fault.New(fault.Malformed, "an index of a sparse tensor is %d, of a dimension of %d", other, most)
		}
		to[i-lo] = ((batch*g.rows+row*g.high+i%g.high)*g.columns + column*g.wide) * g.inner
	}
	return nil
}

// check refuses pointers that do not part the stored blocks among the lines.
func (g grid) check(ends []int64) error {
	for i := 1; i < len(ends); i++ {
		if ends[i] < ends[i-1] {
			return fault.New(fault.Malformed, "the pointers of a sparse tensor go from %d to %d", ends[i-1], ends[i])
		}
	}
	if ends[0] != 0 || ends[len(ends)-1] != g.stored {
		return fault.New(fault.Malformed, "the pointers of a sparse tensor of %d values go from %d to %d", g.stored, ends[0], ends[len(ends)-1])
	}
	return nil
}

// run writes the tensor in windows that fit the memory, each from all the runs that touch it.
func (d *dense) run(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
	return d.fill(ctx, ws, w, max(1<<20, ws.Budget()/2))
}

// fill writes it in windows of so many bytes.
func (d *dense) fill(ctx context.Context, ws layout.Workspace, w io.WriterAt, window int64) error {
	const step = 1 << 14 // runs at a time
	window = window / d.elem * d.elem
	buf := make([]byte, min(window, d.size))
	to := make([]int64, step)
	for from := int64(0); from < d.size; from += window {
		part := buf[:min(window, d.size-from)]
		clear(part)
		for lo := int64(0); lo < d.runs && d.run_ > 0; lo += step {
			if err := ctx.Err(); err != nil {
				return err
			}
			hi := min(lo+step, d.runs)
			if err := d.places(ctx, ws, lo, hi, to[:hi-lo]); err != nil {
				return err
			}
			if err := d.put(ctx, ws, part, from, lo, to[:hi-lo]); err != nil {
				return err
			}
		}
		if _, err := w.WriteAt(part, from); err != nil {
			return err
		}
	}
	return nil
}

// put adds the runs from lo to a window that begins at byte from.
func (d *dense) put(ctx context.Context, ws layout.Workspace, part []byte, from, lo int64, to []int64) error {
	bytes := d.run_ * d.elem
	end := from + int64(len(part))
	const most = 1 << 20 // bytes of values held at a time
	var have []byte
	var start int64 // of have in values
	for i := range to {
		at := to[i] * d.elem
		a, b := max(at, from), min(at+bytes, end)
		for a < b {
			n := min(b-a, most/d.elem*d.elem)
			src := (lo+int64(i))*bytes + a - at
			if src < start || src+n > start+int64(len(have)) {
				want := min(most/d.elem*d.elem, d.values.Size()-src)
				if int64(cap(have)) < want {
					have = make([]byte, want)
				}
				have, start = have[:want], src
				if _, err := d.values.ReadAt(ctx, ws, have, src); err != nil && err != io.EOF {
					return err
				}
			}
			d.add(part[a-from:a-from+n], have[src-start:][:n])
			a += n
		}
	}
	return nil
}
