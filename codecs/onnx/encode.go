package onnx

import (
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	modelName = "model.onnx"
	dataName  = modelName + ".data"

	// maxMessage is the largest message in bytes that protobuf's readers take.
	maxMessage = math.MaxInt32

	// leastOutside is the size in bytes from which on a tensor is put into the other file where there is one. Readers
	// look at the values of small ones (shapes, axes) while they load a model.
	leastOutside = 1024

	// align is what the offset of a tensor in the other file is a multiple of, so that it can be mapped.
	align = 4096
)

// Encode is the files of a graph: model.onnx, and model.onnx.data where the graph was read from a model with data
// beside it, or would be a message of 2 GB or more.
//
// A graph that was not changed is the stored file, with the files beside it under their names. Of one that was changed
// the rest is as it was stored, field for field. No tensor's element is read.
//
// It fails as Mismatch where a tensor's data are not of the size that its shape and type ask for, as Unsupported for
// strings that were not read from a file, and as Limit where the structure alone is 2 GB.
func Encode(g *model.Graph) ([]model.Output, error) {
	return encode(g, maxMessage)
}

func encode(g *model.Graph, most int64) ([]model.Output, error) {
	e := &encoder{}
	whole := e.graph(g)
	if e.err != nil {
		return nil, e.err
	}
	w := wireOf(g.Wire)
	if w != nil && whole.is(w.t, 0, w.t.size) && w.t.size <= most {
		if outputs, ok := e.asStored(w.t.src); ok {
			return outputs, nil
		}
	}
	if !e.had && whole.size <= most {
		f, err := whole.layout()
		if err != nil {
			return nil, err
		}
		return []model.Output{{Path: modelName, File: f}}, nil
	}
	e = &encoder{outside: true}
	whole = e.graph(g)
	if e.err != nil {
		return nil, e.err
	}
	if whole.size > most {
		return nil, fault.New(fault.Limit, "the graph without its large initializers would be %d bytes, and readers take %d", whole.size, most).
			Remedied("tensors in attributes cannot be put into another file: make them initializers")
	}
	f, err := whole.layout()
	if err != nil {
		return nil, err
	}
	outputs := []model.Output{{Path: modelName, File: f}}
	if len(e.data) > 0 {
		data, err := layout.New(e.data...)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, model.Output{Path: dataName, File: data})
	}
	return outputs, nil
}

// encoder writes one graph.
type encoder struct {
	outside bool // tensors go into another file, if they are large
	data    []layout.Span
	end     int64 // of data

	had   bool // the graph was read with data in other files
	files []model.Output
	named map[string]bool
	odd   bool // a location is not what its file can be called beside the model
	err   error
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// asStored is the stored file and those beside it, where they can bear their names.
func (e *encoder) asStored(src layout.Source) ([]model.Output, bool) {
	if e.odd {
		return nil, false
	}
	return append([]model.Output{{Path: modelName, File: layout.Stored(src)}}, e.files...), true
}

// beside notes the file that a tensor was read from.
func (e *encoder) beside(w *tensorWire) {
	e.had = true
	name := path.Clean(w.location)
	if e.named[name] {
		return
	}
	if e.named == nil {
		e.named = map[string]bool{}
	}
	e.named[name] = true
	if name != strings.TrimPrefix(w.location, "./") || name == modelName || strings.HasPrefix(name, modelName+"/") {
		e.odd = true
	}
	e.files = append(e.files, model.Output{Path: name, File: layout.Stored(w.source)})
}

func (e *encoder) graph(g *model.Graph) pieces {
	var w *wire
	if stored := wireOf(g.Wire); stored != nil {
		w = &wire{t: stored.t, end: stored.t.size}
	}
	mains := []*model.Body{g.Main}
	if g.Main == nil {
		mains = nil
	}
	return merge(w, []group{
		number(1, g.IRVersion), text1(2, g.Producer), text1(3, g.ProducerVersion), text1(4, g.Domain), number(5, g.Version), text1(6, g.Doc),
		e.bodies(7, mains), opsets(8, g.Opsets), entries(14, g.Metadata), e.trainings(20, g.Training), e.functions(25, g.Functions),
	})
}

func (e *encoder) bodies(num protowire.Number, list []*model.Body) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		b := list[k]
		w := wireOf(b.Wire)
		child(out, num, w, merge(w, []group{
			e.nodes(1, b.Nodes), text1(2, b.Name), e.tensors(5, true, b.Initializers), text1(10, b.Doc), values1(11, b.Inputs), values1(12, b.Outputs),
			values1(13, b.Values), annotations(14, b.Annotations), e.sparses(15, b.Sparse), entries(16, b.Metadata),
		}))
	}}
}

func (e *encoder) nodes(num protowire.Number, list []*model.Node) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		n := list[k]
		w := wireOf(n.Wire)
		child(out, num, w, merge(w, []group{
			texts(1, n.Inputs), texts(2, n.Outputs), text1(3, n.Name), text1(4, n.Op), e.attributes(5, n.Attributes), text1(6, n.Doc),
			text1(7, n.Domain), text1(8, n.Overload), entries(9, n.Metadata),
		}))
	}}
}

// attributeValues are the numbers of the fields that hold an attribute's value.
const attributeValues = 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<14 | 1<<15 | 1<<22 | 1<<23

func (e *encoder) attributes(num protowire.Number, list []*model.Attribute) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		a := list[k]
		w := wireOf(a.Wire)
		kind := number(20, int64(a.Kind))
		if w != nil { // the first IR versions do not say it, and the value does
			has, said := uint64(0), false
			w.t.fields(w.body, w.end, func(f field) {
				if f.num < 64 {
					has |= 1 << f.num & attributeValues
				}
				said = said || f.num == 20 && f.value != 0
			})
			if !said && kindOf[has] == a.Kind {
				kind = group{nums: 1 << 20, n: 1, zero: true, same: func(int, *text, field) bool { return true }}
			}
		}
		groups := []group{text1(1, a.Name)}
		if value, ok := e.value(a); ok {
			value.always = true
			groups = append(groups, value, group{nums: attributeValues &^ value.nums})
		} else {
			groups = append(groups, group{nums: attributeValues})
		}
		groups = append(groups, text1(13, a.Doc), kind, text1(21, a.Ref))
		child(out, num, w, merge(w, groups))
	}}
}

// value is the field of an attribute's value.
func (e *encoder) value(a *model.Attribute) (group, bool) {
	switch v := a.Value.(type) {
	case nil:
		if a.Ref == "" {
			e.fail(fault.New(fault.Malformed, "attribute %q has no value", a.Name))
		}
		return group{}, false
	case float32:
		return float(2, v), true
	case int64:
		return number(3, v), true
	case string:
		return text1(4, v), true
	case *model.Constant:
		return e.tensors(5, false, []*model.Constant{v}), true
	case *model.Body:
		return e.bodies(6, []*model.Body{v}), true
	case []float32:
		return floats(7, v), true
	case []int64:
		return numbers(8, v), true
	case []string:
		return texts(9, v), true
	case []*model.Constant:
		return e.tensors(10, false, v), true
	case []*model.Body:
		return e.bodies(11, v), true
	case *model.Type:
		return types(14, v), true
	case []*model.Type:
		return types(15, v...), true
	case *model.Sparse:
		return e.sparses(22, []*model.Sparse{v}), true
	case []*model.Sparse:
		return e.sparses(23, v), true
	}
	e.fail(fault.New(fault.Unsupported, "attribute %q has a value of type %T", a.Name, a.Value))
	return group{}, false
}

func (e *encoder) sparses(num protowire.Number, list []*model.Sparse) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		s := list[k]
		w := wireOf(s.Wire)
		one := func(c *model.Constant) []*model.Constant {
			if c == nil {
				return nil
			}
			return []*model.Constant{c}
		}
		child(out, num, w, merge(w, []group{e.tensors(1, false, one(s.Values)), e.tensors(2, false, one(s.Indices)), numbers(3, s.Shape)}))
	}}
}

// values1 are declared values.
func values1(num protowire.Number, list []*model.Value) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		v := list[k]
		w := wireOf(v.Wire)
		child(out, num, w, merge(w, []group{text1(1, v.Name), types(2, v.Type), text1(3, v.Doc), entries(4, v.Metadata)}))
	}}
}

func (e *encoder) functions(num protowire.Number, list []*model.Function) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		f := list[k]
		w := wireOf(f.Wire)
		child(out, num, w, merge(w, []group{
			text1(1, f.Name), texts(4, f.Inputs), texts(5, f.Outputs), texts(6, f.Attributes), e.nodes(7, f.Nodes), text1(8, f.Doc), opsets(9, f.Opsets),
			text1(10, f.Domain), e.attributes(11, f.Defaults), values1(12, f.Values), text1(13, f.Overload), entries(14, f.Metadata),
		}))
	}}
}

func (e *encoder) trainings(num protowire.Number, list []*model.Training) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		t := list[k]
		w := wireOf(t.Wire)
		one := func(b *model.Body) []*model.Body {
			if b == nil {
				return nil
			}
			return []*model.Body{b}
		}
		child(out, num, w, merge(w, []group{e.bodies(1, one(t.Initialization)), e.bodies(2, one(t.Algorithm)), entries(3, t.Initial), entries(4, t.Update)}))
	}}
}

// tensors are tensors of which each is an initializer, or none: other files hold no others' data.
func (e *encoder) tensors(num protowire.Number, initializers bool, list []*model.Constant) group {
	return group{nums: 1 << num, n: len(list), put: func(k int, out *pieces) {
		c := list[k]
		data, err := e.elements(c, initializers)
		if err != nil {
			e.fail(err)
			return
		}
		w := wireOf(c.Wire)
		code := int64(codeOf(c.DType))
		if c.DType == model.Invalid { // of a later version of ONNX: its number is only in the stored bytes
			code = -1
		}
		dtype := number(2, code)
		if code < 0 {
			dtype.same = func(int, *text, field) bool { return true }
		}
		child(out, num, w, merge(w, []group{numbers(1, c.Shape), dtype, text1(8, c.Name), data, text1(12, c.Doc), entries(16, c.Metadata)}))
	}}
}

const (
	externalData = 1 << 13
	dataLocation = 1 << 14
)

// elements are the fields that hold a tensor's elements or say where they are.
func (e *encoder) elements(c *model.Constant, initializer bool) (group, error) {
	w, _ := c.Wire.(*tensorWire)
	if w != nil && w.location != "" {
		e.beside(w)
	}
	unchanged := w != nil && c.Data == w.data && c.DType == w.dtype
	g := group{nums: anyData | externalData | dataLocation, n: 1}
	if c.DType == model.String || c.DType == model.Invalid {
		if !unchanged {
			return g, fault.New(fault.Unsupported, "tensor %q of %s was not read from a file, and it can't be written", c.Name, c.DType)
		}
		g.n, g.all = 0, func(*text, []field) bool { return true }
		return g, nil
	}
	n, err := model.Elements(c.Shape)
	if err == nil {
		n, err = size(c.DType, n)
	}
	if err != nil {
		return g, fault.New(fault.KindOf(err), "tensor %q: %s", c.Name, fault.Reason(err))
	}
	if n != c.Data.Size() {
		return g, fault.New(fault.Mismatch, "tensor %q of %s and shape %v is %d bytes, and its data are %d", c.Name, c.DType, c.Shape, n, c.Data.Size())
	}
	was := w != nil && w.location != ""
	out := e.outside && n >= leastOutside && (initializer || was)
	keep := unchanged && !out && !(was && e.outside)
	if keep {
		g.zero = true // where nothing is stored there is nothing to hold
	}
	g.all = func(*text, []field) bool { return keep }
	g.put = func(_ int, p *pieces) {
		if out {
			e.putOutside(p, c.Data)
			return
		}
		p.begin(9, n)
		p.file(c.Data)
	}
	return g, nil
}

// putOutside puts a tensor's data into the other file.
func (e *encoder) putOutside(p *pieces, f *layout.File) {
	if pad := -e.end & (align - 1); pad > 0 {
		e.data = append(e.data, layout.Zeros(pad))
		e.end += pad
	}
	for _, x := range []model.Entry{{Key: "location", Value: dataName}, {Key: "offset", Value: strconv.FormatInt(e.end, 10)}, {Key: "length", Value: strconv.FormatInt(f.Size(), 10)}} {
		p.message(13, entry(x))
	}
	p.number(14, 1)
	e.data = append(e.data, f.Spans()...)
	e.end += f.Size()
}
