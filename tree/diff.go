package tree

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Step is what a change of a model means for those who use it, in the words of semantic versioning.
type Step string

const (
	StepNone  Step = "none"  // nothing differs
	StepPatch Step = "patch" // what the files say of themselves
	StepMinor Step = "minor" // values or types of the same tensors: the same program gives other answers
	StepMajor Step = "major" // names or shapes of tensors, inputs or outputs: who uses it has to change
)

// Difference is what differs between two models.
type Difference struct {
	Step            Step
	Added, Removed  []string // names of tensors
	Reshaped        []Reshaped
	Changed         []Changed
	Inputs, Outputs []Moved
	Metadata        []Moved // keys
	Same            int     // tensors that are alike in everything
}

// Reshaped is a tensor of another shape.
type Reshaped struct {
	Name     string
	From, To []int64
}

// Changed is a tensor whose values or type differ.
type Changed struct {
	Name     string
	From, To string // types
	Elements int64
	Differ   int64   // elements of other values
	Max      float64 // the largest absolute difference; infinite where only one of two values is finite
	Mean     float64 // the mean absolute difference, over the elements where both values are finite
}

// Moved is an input, an output or a key of metadata that differs. "" stands for one that is not there.
type Moved struct{ Name, From, To string }

// Diff compares what two nodes show: models, versions, views or stored files, which may be of different trees. Tensors
// are paired by name, and those that are not the same bytes of the same file are read; seen, if not nil, is called with
// the bytes read so far, of both.
func Diff(ctx context.Context, ws layout.Workspace, a, b *Shown, seen func(int64)) (*Difference, error) {
	d := &Difference{}
	from, to := byName(a.Tensors), byName(b.Tensors)
	for i := range a.Tensors {
		if _, ok := to[key(&a.Tensors[i])]; !ok {
			d.Removed = append(d.Removed, key(&a.Tensors[i]))
		}
	}
	var read int64
	for i := range b.Tensors {
		t := &b.Tensors[i]
		was, ok := from[key(t)]
		switch {
		case !ok:
			d.Added = append(d.Added, key(t))
			continue
		case !slices.Equal(was.Shape, t.Shape):
			d.Reshaped = append(d.Reshaped, Reshaped{key(t), was.Shape, t.Shape})
			continue
		}
		c := Changed{Name: key(t), From: was.DType, To: t.DType}
		err := c.compare(ctx, ws, was.Tensor, t.Tensor, func(n int64) {
			if read += n; seen != nil {
				seen(read)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key(t), err)
		}
		if c.From == c.To && c.Differ == 0 {
			d.Same++
			continue
		}
		d.Changed = append(d.Changed, c)
	}
	d.Inputs, d.Outputs = moved(ports(a.Inputs), ports(b.Inputs)), moved(ports(a.Outputs), ports(b.Outputs))
	d.Metadata = moved(a.Metadata, b.Metadata)
	switch {
	case len(d.Added)+len(d.Removed)+len(d.Reshaped)+len(d.Inputs)+len(d.Outputs) > 0:
		d.Step = StepMajor
	case len(d.Changed) > 0:
		d.Step = StepMinor
	case len(d.Metadata) > 0:
		d.Step = StepPatch
	default:
		d.Step = StepNone
	}
	return d, nil
}

// key names a tensor among the models of a version.
func key(t *TensorInfo) string { return join(t.Model, t.Name) }

func byName(list []TensorInfo) map[string]*TensorInfo {
	at := make(map[string]*TensorInfo, len(list))
	for i := range list {
		at[key(&list[i])] = &list[i]
	}
	return at
}

// ports are inputs or outputs as text: type and shape by name.
func ports(list []Port) map[string]string {
	at := make(map[string]string, len(list))
	for _, p := range list {
		var dims []string
		for _, d := range p.Shape {
			if d == nil {
				d = "?"
			}
			dims = append(dims, fmt.Sprint(d))
		}
		at[p.Name] = p.DType + "[" + strings.Join(dims, ",") + "]"
	}
	return at
}

// moved lists the keys whose values differ, in order.
func moved(from, to map[string]string) []Moved {
	var list []Moved
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if now, ok := to[name]; !ok || now != from[name] {
			list = append(list, Moved{name, from[name], now})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if _, ok := from[name]; !ok {
			list = append(list, Moved{name, "", to[name]})
		}
	}
	return list
}

// compared is how many elements are compared at a time.
const compared = 1 << 18

// compare reads both tensors, of one shape, unless they are the same bytes.
func (c *Changed) compare(ctx context.Context, ws layout.Workspace, a, b model.Tensor, seen func(int64)) error {
	n, err := model.Elements(a.Shape)
	if err != nil {
		return err
	}
	c.Elements = n
	if a.DType == b.DType && (n == 0 || a.Data == nil && b.Data == nil || a.Data != nil && b.Data != nil && a.Data.ID() == b.Data.ID()) {
		return nil
	}
	x, okX := elementsOf(a)
	y, okY := elementsOf(b)
	if !okX || !okY {
		return c.compareBytes(ctx, ws, a, b, seen)
	}
	var sum float64
	var finite int64
	for at := int64(0); at < n; at += compared {
		count := min(compared, n-at)
		if err := x.read(ctx, ws, at, count); err != nil {
			return err
		}
		if err := y.read(ctx, ws, at, count); err != nil {
			return err
		}
		for i := range x.got[:count] {
			v, w := x.got[i], y.got[i]
			if v == w || v != v && w != w {
				finite++
				continue
			}
			c.Differ++
			by := math.Abs(v - w)
			if math.IsNaN(by) || math.IsInf(by, 0) {
				c.Max = math.Inf(1)
				continue
			}
			c.Max = max(c.Max, by)
			sum += by
			finite++
		}
		seen(count * (x.size + y.size))
	}
	if finite > 0 {
		c.Mean = sum / float64(finite)
	}
	return nil
}

// compareBytes is for types whose values are no numbers: what differs is counted in whole tensors.
func (c *Changed) compareBytes(ctx context.Context, ws layout.Workspace, a, b model.Tensor, seen func(int64)) error {
	if a.Data == nil || b.Data == nil || a.DType != b.DType || a.Data.Size() != b.Data.Size() {
		c.Differ = c.Elements
		return nil
	}
	x, y := make([]byte, compared), make([]byte, compared)
	for at := int64(0); at < a.Data.Size(); at += compared {
		n := min(compared, a.Data.Size()-at)
		if err := readWhole(ctx, ws, a.Data, x[:n], at); err != nil {
			return err
		}
		if err := readWhole(ctx, ws, b.Data, y[:n], at); err != nil {
			return err
		}
		if string(x[:n]) != string(y[:n]) {
			c.Differ = c.Elements
			return nil
		}
		seen(2 * n)
	}
	return nil
}

func readWhole(ctx context.Context, ws layout.Workspace, f *layout.File, p []byte, off int64) error {
	n, err := f.ReadAt(ctx, ws, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil {
		err = fault.New(fault.Truncated, "%d of %d bytes at %d", n, len(p), off)
	}
	return err
}

// elements are those of a tensor, as numbers.
type elements struct {
	data *layout.File
	size int64 // bytes of an element
	as   func(b []byte) float64
	raw  []byte
	got  []float64
}

func elementsOf(t model.Tensor) (*elements, bool) {
	v := &elements{data: t.Data}
	le := binary.LittleEndian
	dtype := t.DType
	switch dtype {
	case model.F16, model.BF16, model.F8E4M3, model.F8E5M2:
		op, ok := quant.Cast(dtype, model.F32)
		if !ok || t.Data == nil {
			return nil, false
		}
		wide, err := layout.New(layout.Coded{Op: op, Label: t.Name, In: []*layout.File{t.Data}})
		if err != nil {
			return nil, false
		}
		v.data, dtype = wide, model.F32
	}
	switch dtype {
	case model.F32:
		v.size, v.as = 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }
	case model.F64:
		v.size, v.as = 8, func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }
	case model.I64:
		v.size, v.as = 8, func(b []byte) float64 { return float64(int64(le.Uint64(b))) }
	case model.U64:
		v.size, v.as = 8, func(b []byte) float64 { return float64(le.Uint64(b)) }
	case model.I32:
		v.size, v.as = 4, func(b []byte) float64 { return float64(int32(le.Uint32(b))) }
	case model.U32:
		v.size, v.as = 4, func(b []byte) float64 { return float64(le.Uint32(b)) }
	case model.I16:
		v.size, v.as = 2, func(b []byte) float64 { return float64(int16(le.Uint16(b))) }
	case model.U16:
		v.size, v.as = 2, func(b []byte) float64 { return float64(le.Uint16(b)) }
	case model.I8:
		v.size, v.as = 1, func(b []byte) float64 { return float64(int8(b[0])) }
	case model.U8, model.Bool:
		v.size, v.as = 1, func(b []byte) float64 { return float64(b[0]) }
	default:
		return nil, false
	}
	return v, v.data != nil
}

// read makes got the count elements from at.
func (v *elements) read(ctx context.Context, ws layout.Workspace, at, count int64) error {
	if v.raw == nil {
		v.raw, v.got = make([]byte, compared*v.size), make([]float64, compared)
	}
	raw := v.raw[:count*v.size]
	if err := readWhole(ctx, ws, v.data, raw, at*v.size); err != nil {
		return err
	}
	for i := range v.got[:count] {
		v.got[i] = v.as(raw[int64(i)*v.size:])
	}
	return nil
}
