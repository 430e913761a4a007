package packed

import (
	"context"
	"io"
	"math"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// rule says which tensors are one weight: their names are a base with one of several endings.
type rule struct {
	codes  string   // ending of the codes, in whose place the weight stands
	sign   string   // ending of a part that no other tensor has: the codes themselves, or what tells that they are codes
	weight string   // ending of the weight
	needed []string // endings of the further parts
	others []string // endings of parts that may be missing
}

// group is the tensors that are one weight.
type group struct {
	name  string // of the weight
	parts map[string]*model.Tensor
}

// weight is what the codes and the other parts of a group mean: a float32 tensor.
type weight struct {
	shape []int64
	data  *layout.File
}

// assembled replaces each group of tensors by the weight they mean. Other tensors stay.
func assembled(tensors []model.Tensor, r rule, decode func(group) (weight, error)) ([]model.Tensor, error) {
	have := make(map[string]*model.Tensor, len(tensors))
	for i := range tensors {
		have[tensors[i].Name] = &tensors[i]
	}
	used := map[string]bool{}
	made := map[string]model.Tensor{} // by the name of the codes
	for i := range tensors {
		base, ok := strings.CutSuffix(tensors[i].Name, r.codes)
		if !ok || have[base+r.sign] == nil {
			continue
		}
		g := group{base + r.weight, map[string]*model.Tensor{}}
		if t := have[g.name]; t != nil && r.weight != r.codes {
			return nil, fault.New(fault.Duplicate, "%q is stored both plain and as %q", g.name, tensors[i].Name)
		}
		for _, ending := range append([]string{r.codes, r.sign}, r.needed...) {
			if have[base+ending] == nil {
				return nil, fault.New(fault.Mismatch, "%q is there without %q", tensors[i].Name, base+ending)
			}
			g.parts[ending] = have[base+ending]
		}
		for _, ending := range r.others {
			if t := have[base+ending]; t != nil {
				g.parts[ending] = t
			}
		}
		w, err := decode(g)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "tensor %q: %s", g.name, fault.Reason(err))
		}
		n, err := model.Elements(w.shape)
		if err != nil {
			return nil, err
		}
		if n > math.MaxInt64/4 || w.data.Size() != 4*n {
			return nil, fault.New(fault.Mismatch, "tensor %q of shape %v has %d bytes of float32", g.name, w.shape, w.data.Size())
		}
		for _, t := range g.parts {
			used[t.Name] = true
		}
		made[tensors[i].Name] = model.Tensor{Name: g.name, DType: model.F32, Shape: w.shape, Shard: tensors[i].Shard, Data: w.data}
	}
	var weights []model.Tensor
	for _, t := range tensors {
		if w, ok := made[t.Name]; ok {
			weights = append(weights, w)
		} else if !used[t.Name] {
			weights = append(weights, t)
		}
	}
	return weights, nil
}

// matrix is a part that must be a matrix of a type; its rows and columns.
func (g group) matrix(ending string, dtypes ...model.DType) (t *model.Tensor, rows, columns int64, err error) {
	t = g.parts[ending]
	ok := len(dtypes) == 0 && t.DType.Float()
	for _, dtype := range dtypes {
		ok = ok || t.DType == dtype
	}
	if !ok || len(t.Shape) != 2 {
		return nil, 0, 0, fault.New(fault.Mismatch, "%s is %s of shape %v", t.Name, t.DType, t.Shape)
	}
	return t, t.Shape[0], t.Shape[1], nil
}

// floats32 is a part in float32.
func floats32(t *model.Tensor) (*layout.File, error) {
	wide, err := quant.Tensor(*t, model.F32)
	return wide.Data, err
}

// maxSmall bounds the tensors that are read for a plan: descriptions, and shapes.
const maxSmall = 64 << 10

// small is the bytes of a tensor that describes others.
func small(t *model.Tensor) ([]byte, error) {
	if t.Data.Size() > maxSmall {
		return nil, fault.New(fault.Limit, "%s has %d bytes, and the most that is read of it is %d", t.Name, t.Data.Size(), maxSmall)
	}
	p := make([]byte, t.Data.Size())
	if n, err := t.Data.ReadAt(context.Background(), nil, p, 0); err != nil && (err != io.EOF || n < len(p)) {
		return nil, err
	}
	return p, nil
}

// number is a setting that is a whole number.
func number(settings map[string]any, keys ...string) (n int64, ok bool) {
	for _, key := range keys {
		if f, is := settings[key].(float64); is && f == math.Trunc(f) && math.Abs(f) < 1<<31 {
			return int64(f), true
		}
	}
	return 0, false
}

// moved is a box over elements of so many bytes; strides count elements.
func moved(in *layout.File, elem int64, shape, strides []int64) (*layout.File, error) {
	b := layout.Box{In: in, Shape: shape, Elem: elem}
	for _, s := range strides {
		b.Strides = append(b.Strides, s*elem)
	}
	return layout.New(b)
}

// repeated is a file so many times over.
func repeated(in *layout.File, times int64) (*layout.File, error) {
	return layout.New(layout.Box{In: in, Shape: []int64{times}, Strides: []int64{0}, Elem: in.Size()})
}

// coded is what a computation makes of files.
func coded(op layout.Op, label string, in ...*layout.File) (*layout.File, error) {
	return layout.New(layout.Coded{Op: op, Label: label, In: in})
}
