package onnx

import (
	"math"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// decoder makes a graph of a text.
type decoder struct {
	t *text
	*external
}

func (d *decoder) graph() (*model.Graph, error) {
	t := d.t
	g := &model.Graph{Wire: &wire{t: t, end: t.size}}
	version := false
	var err error
	t.fields(0, t.size, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			g.IRVersion, version = int64(f.value), true
		case 2:
			g.Producer = t.str(f)
		case 3:
			g.ProducerVersion = t.str(f)
		case 4:
			g.Domain = t.str(f)
		case 5:
			g.Version = int64(f.value)
		case 6:
			g.Doc = t.str(f)
		case 7:
			g.Main, err = d.body(f)
		case 8:
			g.Opsets = append(g.Opsets, t.opset(f))
		case 14:
			g.Metadata = append(g.Metadata, t.entry(f))
		case 20:
			var x *model.Training
			x, err = d.training(f)
			g.Training = append(g.Training, x)
		case 25:
			var x *model.Function
			x, err = d.function(f)
			g.Functions = append(g.Functions, x)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !version:
		return nil, fault.New(fault.Malformed, "the model has no ir_version")
	case g.Main == nil:
		return nil, fault.New(fault.Malformed, "the model has no graph")
	}
	return g, nil
}

func (d *decoder) body(at field) (*model.Body, error) {
	t := d.t
	b := &model.Body{Wire: t.wire(at)}
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			var n *model.Node
			n, err = d.node(f)
			b.Nodes = append(b.Nodes, n)
		case 2:
			b.Name = t.str(f)
		case 5:
			var c *model.Constant
			c, err = d.tensor(f)
			b.Initializers = append(b.Initializers, c)
		case 10:
			b.Doc = t.str(f)
		case 11:
			b.Inputs = append(b.Inputs, t.valueOf(f))
		case 12:
			b.Outputs = append(b.Outputs, t.valueOf(f))
		case 13:
			b.Values = append(b.Values, t.valueOf(f))
		case 14:
			b.Annotations = append(b.Annotations, t.annotation(f))
		case 15:
			var s *model.Sparse
			s, err = d.sparse(f)
			b.Sparse = append(b.Sparse, s)
		case 16:
			b.Metadata = append(b.Metadata, t.entry(f))
		}
	})
	return b, err
}

func (d *decoder) node(at field) (*model.Node, error) {
	t := d.t
	n := &model.Node{Wire: t.wire(at)}
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			n.Inputs = append(n.Inputs, t.str(f))
		case 2:
			n.Outputs = append(n.Outputs, t.str(f))
		case 3:
			n.Name = t.str(f)
		case 4:
			n.Op = t.str(f)
		case 5:
			var a *model.Attribute
			a, err = d.attribute(f)
			n.Attributes = append(n.Attributes, a)
		case 6:
			n.Doc = t.str(f)
		case 7:
			n.Domain = t.str(f)
		case 8:
			n.Overload = t.str(f)
		case 9:
			n.Metadata = append(n.Metadata, t.entry(f))
		}
	})
	return n, err
}

// values are what an attribute's fields hold, whatever its type says.
type values struct {
	f        float32
	i        int64
	s        string
	t        *model.Constant
	g        *model.Body
	sparse   *model.Sparse
	tp       *model.Type
	floats   []float32
	ints     []int64
	strings  []string
	tensors  []*model.Constant
	graphs   []*model.Body
	sparses  []*model.Sparse
	types    []*model.Type
	has      uint64 // the numbers of the fields that are there
	declared int64  // the type; 0 where none is given
}

// kindOf is the kind of an attribute that does not say it, as those of the first IR versions don't: that of the one
// field it has.
var kindOf = map[uint64]model.Kind{
	1 << 2: model.FloatKind, 1 << 3: model.IntKind, 1 << 4: model.StringKind, 1 << 5: model.TensorKind, 1 << 6: model.GraphKind,
	1 << 22: model.SparseKind, 1 << 14: model.TypeKind, 1 << 7: model.FloatsKind, 1 << 8: model.IntsKind, 1 << 9: model.StringsKind,
	1 << 10: model.TensorsKind, 1 << 11: model.GraphsKind, 1 << 23: model.SparsesKind, 1 << 15: model.TypesKind,
}

func (d *decoder) attribute(at field) (*model.Attribute, error) {
	t := d.t
	a := &model.Attribute{Wire: t.wire(at)}
	var v values
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			a.Name = t.str(f)
			return
		case 13:
			a.Doc = t.str(f)
			return
		case 20:
			v.declared = int64(int32(f.value))
			return
		case 21:
			a.Ref = t.str(f)
			return
		case 2:
			v.f = math.Float32frombits(uint32(f.value))
		case 3:
			v.i = int64(f.value)
		case 4:
			v.s = t.str(f)
		case 5:
			v.t, err = d.tensor(f)
		case 6:
			v.g, err = d.body(f)
		case 7:
			v.floats = t.floats(v.floats, f)
		case 8:
			v.ints = t.ints(v.ints, f)
		case 9:
			v.strings = append(v.strings, t.str(f))
		case 10:
			var c *model.Constant
			c, err = d.tensor(f)
			v.tensors = append(v.tensors, c)
		case 11:
			var b *model.Body
			b, err = d.body(f)
			v.graphs = append(v.graphs, b)
		case 14:
			v.tp = t.typeOf(f)
		case 15:
			v.types = append(v.types, t.typeOf(f))
		case 22:
			v.sparse, err = d.sparse(f)
		case 23:
			var s *model.Sparse
			s, err = d.sparse(f)
			v.sparses = append(v.sparses, s)
		default:
			return
		}
		v.has |= 1 << f.num
	})
	if err != nil {
		return nil, err
	}
	a.Kind = model.Kind(v.declared)
	if v.declared < 0 || v.declared > int64(model.TypesKind) {
		return nil, fault.At(fault.Unsupported, at.head, "attribute %q has type %d, which no version of ONNX has", a.Name, v.declared)
	}
	if a.Kind == model.UndefinedKind {
		if a.Ref == "" {
			a.Kind = kindOf[v.has]
		}
		if a.Kind == model.UndefinedKind && a.Ref == "" {
			return nil, fault.At(fault.Malformed, at.head, "attribute %q has no type, and no one value that would tell it", a.Name)
		}
	}
	if a.Ref != "" {
		if v.has != 0 {
			return nil, fault.At(fault.Malformed, at.head, "attribute %q has a value and refers to %q for it", a.Name, a.Ref)
		}
		return a, nil
	}
	own := uint64(0) // the field that the type calls for
	for has, kind := range kindOf {
		if kind == a.Kind {
			own = has
		}
	}
	if v.has&^own != 0 {
		return nil, fault.At(fault.Malformed, at.head, "attribute %q has a value of another type than its own, %d", a.Name, a.Kind)
	}
	switch a.Kind {
	case model.FloatKind:
		a.Value = v.f
	case model.IntKind:
		a.Value = v.i
	case model.StringKind:
		a.Value = v.s
	case model.FloatsKind:
		a.Value = v.floats
	case model.IntsKind:
		a.Value = v.ints
	case model.StringsKind:
		a.Value = v.strings
	case model.TensorsKind:
		a.Value = v.tensors
	case model.GraphsKind:
		a.Value = v.graphs
	case model.SparsesKind:
		a.Value = v.sparses
	case model.TypesKind:
		a.Value = v.types
	default:
		if v.has == 0 {
			return nil, fault.At(fault.Malformed, at.head, "attribute %q has no value", a.Name)
		}
		switch a.Kind {
		case model.TensorKind:
			a.Value = v.t
		case model.GraphKind:
			a.Value = v.g
		case model.SparseKind:
			a.Value = v.sparse
		case model.TypeKind:
			a.Value = v.tp
		}
	}
	return a, nil
}

func (d *decoder) sparse(at field) (*model.Sparse, error) {
	t := d.t
	s := &model.Sparse{Wire: t.wire(at)}
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			s.Values, err = d.tensor(f)
		case 2:
			s.Indices, err = d.tensor(f)
		case 3:
			s.Shape = t.ints(s.Shape, f)
		}
	})
	if err == nil && s.Values == nil {
		err = fault.At(fault.Malformed, at.head, "a sparse tensor without values")
	}
	return s, err
}

func (d *decoder) function(at field) (*model.Function, error) {
	t := d.t
	x := &model.Function{Wire: t.wire(at)}
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			x.Name = t.str(f)
		case 4:
			x.Inputs = append(x.Inputs, t.str(f))
		case 5:
			x.Outputs = append(x.Outputs, t.str(f))
		case 6:
			x.Attributes = append(x.Attributes, t.str(f))
		case 7:
			var n *model.Node
			n, err = d.node(f)
			x.Nodes = append(x.Nodes, n)
		case 8:
			x.Doc = t.str(f)
		case 9:
			x.Opsets = append(x.Opsets, t.opset(f))
		case 10:
			x.Domain = t.str(f)
		case 11:
			var a *model.Attribute
			a, err = d.attribute(f)
			x.Defaults = append(x.Defaults, a)
		case 12:
			x.Values = append(x.Values, t.valueOf(f))
		case 13:
			x.Overload = t.str(f)
		case 14:
			x.Metadata = append(x.Metadata, t.entry(f))
		}
	})
	return x, err
}

func (d *decoder) training(at field) (*model.Training, error) {
	t := d.t
	x := &model.Training{Wire: t.wire(at)}
	var err error
	t.fields(at.body, at.end, func(f field) {
		if err != nil {
			return
		}
		switch f.num {
		case 1:
			x.Initialization, err = d.body(f)
		case 2:
			x.Algorithm, err = d.body(f)
		case 3:
			x.Initial = append(x.Initial, t.entry(f))
		case 4:
			x.Update = append(x.Update, t.entry(f))
		}
	})
	return x, err
}

func (t *text) valueOf(at field) *model.Value {
	v := &model.Value{Wire: t.wire(at)}
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			v.Name = t.str(f)
		case 2:
			v.Type = t.typeOf(f)
		case 3:
			v.Doc = t.str(f)
		case 4:
			v.Metadata = append(v.Metadata, t.entry(f))
		}
	})
	return v
}

// forms are the forms of a type by the number of the field that holds them.
var forms = map[int32]model.Form{
	1: model.TensorForm, 4: model.SequenceForm, 5: model.MapForm, 7: model.OpaqueForm, 8: model.SparseForm, 9: model.OptionalForm,
}

func (t *text) typeOf(at field) *model.Type {
	x := &model.Type{}
	t.fields(at.body, at.end, func(f field) {
		if f.num == 6 {
			x.Denotation = t.str(f)
			return
		}
		form, ok := forms[int32(f.num)]
		if !ok {
			return
		}
		x.Form = form
		t.fields(f.body, f.end, func(g field) {
			switch {
			case form == model.OpaqueForm && g.num == 1:
				x.Domain = t.str(g)
			case form == model.OpaqueForm && g.num == 2:
				x.Name = t.str(g)
			case (form == model.TensorForm || form == model.SparseForm) && g.num == 1:
				x.DType = dtypeOf(g.value)
			case (form == model.TensorForm || form == model.SparseForm) && g.num == 2:
				x.Ranked = true
				t.fields(g.body, g.end, func(h field) {
					if h.num == 1 {
						x.Shape = append(x.Shape, t.dim(h))
					}
				})
			case form == model.MapForm && g.num == 1:
				x.Key = dtypeOf(g.value)
			case form == model.MapForm && g.num == 2, (form == model.SequenceForm || form == model.OptionalForm) && g.num == 1:
				x.Elem = t.typeOf(g)
			}
		})
	})
	return x
}

func (t *text) dim(at field) model.Dim {
	var d model.Dim
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			d.Fixed, d.Size = true, int64(f.value)
		case 2:
			d.Param = t.str(f)
		case 3:
			d.Denotation = t.str(f)
		}
	})
	return d
}

func (t *text) opset(at field) model.Opset {
	var o model.Opset
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			o.Domain = t.str(f)
		case 2:
			o.Version = int64(f.value)
		}
	})
	return o
}

func (t *text) entry(at field) model.Entry {
	var e model.Entry
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			e.Key = t.str(f)
		case 2:
			e.Value = t.str(f)
		}
	})
	return e
}

func (t *text) annotation(at field) model.Annotation {
	var a model.Annotation
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			a.Tensor = t.str(f)
		case 2:
			a.Parameters = append(a.Parameters, t.entry(f))
		}
	})
	return a
}
