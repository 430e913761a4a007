package graph

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// settle makes a value what its uses need: narrows it, or adds the Cast that gives the other type.
func (h *half) settle(v *value) error {
	switch v.home {
	case constant:
		return h.settleConstant(v)
	case source:
		v.home = wide
		filled := v.node.Is("ConstantOfShape") && v.result >= 0 // holds a tensor, as a Constant does
		if len(v.wide) == 0 && (filled || v.result < 0 && len(v.half) > 0) {
			v.home = narrow
			if err := h.narrowSource(v.node); err != nil {
				return err
			}
		}
	}
	if v.home == narrow {
		if v.result >= 0 {
			return h.settleResult(v)
		}
		for _, d := range v.declared {
			h.retype(d)
		}
		if len(v.wide) > 0 {
			point(v.wide, h.cast(v, v.name, h.fresh(v.name+"_cast_to_fp32"), onnxFloat))
		}
		return nil
	}
	if len(v.half) > 0 {
		base := v.name + h.suffix
		if v.input >= 0 {
			base = "graph_input_cast_" + strconv.Itoa(v.input)
		}
		point(v.half, h.cast(v, v.name, h.fresh(base), h.number))
	}
	return nil
}

// settleResult gives an output of the model that is computed narrow: under another name, with a Cast to its own.
func (h *half) settleResult(v *value) error {
	inner := h.fresh("graph_output_cast_" + strconv.Itoa(v.result))
	v.node.Outputs[v.at] = inner
	point(v.half, inner)
	point(v.either, inner)
	h.cast(v, inner, v.name, onnxFloat)
	return nil
}

// point makes uses say another name.
func point(uses []*string, name string) {
	for _, u := range uses {
		*u = name
	}
}

// cast adds a Cast behind what gives v, and is the name of its output.
func (h *half) cast(v *value, from, to string, number int64) string {
	n := h.newCast(from, to, number)
	switch {
	case v.result >= 0 && to == v.name:
		n.Name = h.fresh("graph_output_cast" + strconv.Itoa(v.result))
	case v.input >= 0:
		n.Name = h.fresh("graph_input_cast" + strconv.Itoa(v.input))
	default:
		n.Name = h.fresh(to + "_node")
	}
	h.add(v, n)
	return to
}

// newCast is a Cast without a name.
func (h *half) newCast(from, to string, number int64) *model.Node {
	attribute := &model.Attribute{Name: "to", Kind: model.IntKind, Value: number}
	if h.g.Opset("") < 6 { // there a type is a name
		attribute.Kind, attribute.Value = model.StringKind, map[int64]string{onnxFloat: "FLOAT", onnxFloat16: "FLOAT16"}[number]
	}
	return &model.Node{Op: "Cast", Inputs: []string{from}, Outputs: []string{to}, Attributes: []*model.Attribute{attribute}}
}

// add puts a node behind what gives v.
func (h *half) add(v *value, n *model.Node) {
	if v.node != nil {
		h.after[v.node] = append(h.after[v.node], n)
	} else {
		h.first[v.scope] = append(h.first[v.scope], n)
	}
}

// settleConstant narrows a tensor where an operator takes it so, and keeps it in float32 besides where one needs that.
// Of two the narrow one keeps the name, unless the name is an output of the model.
func (h *half) settleConstant(v *value) error {
	output := v.node != nil && v.result >= 0 // a Constant that is an output is stored narrow, as any other
	if len(v.half) == 0 && !output {
		return nil
	}
	var c *model.Constant
	if c = v.constant; c == nil {
		c = stored(v.node)
	}
	small, err := h.narrow(c)
	if err != nil {
		return err
	}
	if output {
		h.store(v, small)
		return h.settleResult(v)
	}
	if len(v.wide) == 0 && v.result < 0 {
		h.store(v, small)
		for _, d := range v.declared {
			h.retype(d)
		}
		if v.listed != nil {
			h.retype(v.listed)
		}
		return nil
	}
	if v.result >= 0 {
		name := h.fresh(v.name + h.suffix)
		point(v.half, name)
		h.beside(v, small, name)
		return nil
	}
	full := *c
	full.Wire = c.Wire
	h.store(v, small)
	for _, d := range v.declared {
		h.retype(d)
	}
	if v.listed != nil {
		h.retype(v.listed)
	}
	name := h.fresh(v.name + "_cast_to_fp32")
	point(v.wide, name)
	h.beside(v, &full, name)
	return nil
}

// store makes c the tensor of v.
func (h *half) store(v *value, c *model.Constant) {
	if v.constant != nil {
		*v.constant = *c
		return
	}
	v.node.Attributes = []*model.Attribute{{Name: "value", Kind: model.TensorKind, Value: c}}
}

// beside adds c as a tensor of its own: an initializer, or where v is none or an initializer would have to be an input,
// a Constant.
func (h *half) beside(v *value, c *model.Constant, name string) {
	if v.constant != nil && v.listed == nil {
		c.Name = name
		b := v.scope.block
		b.Initializers = append(b.Initializers, c)
		return
	}
	if v.listed != nil {
		c.Name = ""
	}
	h.add(v, &model.Node{Name: h.fresh(name + "_node"), Op: "Constant", Outputs: []string{name}, Attributes: []*model.Attribute{{Name: "value", Kind: model.TensorKind, Value: c}}})
}

// stored is the float32 tensor of a Constant, made of a number or numbers where those are what it says; nil where it
// says anything else.
func stored(n *model.Node) *model.Constant {
	for _, a := range n.Attributes {
		switch v := a.Value.(type) {
		case *model.Constant:
			if a.Name == "value" && v.DType == model.F32 {
				return v
			}
		case float32:
			if a.Name == "value_float" {
				return numbers(nil, v)
			}
		case []float32:
			if a.Name == "value_floats" {
				return numbers([]int64{int64(len(v))}, v...)
			}
		}
	}
	return nil
}

// numbers is a float32 tensor of these elements.
func numbers(shape []int64, list ...float32) *model.Constant {
	data := make([]byte, 0, 4*len(list))
	for _, x := range list {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return &model.Constant{Tensor: model.Tensor{DType: model.F32, Shape: shape, Data: layout.Bytes(data)}}
}

// narrow is a float32 tensor in the narrow type. Nothing is read.
func (h *half) narrow(c *model.Constant) (*model.Constant, error) {
	f, err := layout.New(layout.Coded{Op: h.op, Label: c.Name, In: []*layout.File{c.Data}})
	if err != nil {
		return nil, err
	}
	small := *c
	small.DType, small.Data = h.dtype, f
	return &small, nil
}

// narrowSource makes the attribute of a node say the narrow type.
func (h *half) narrowSource(n *model.Node) error {
	if n.Is("ConstantOfShape") {
		if a := n.Attribute("value"); a != nil {
			c, err := h.narrow(a.Constants()[0])
			if err != nil {
				return err
			}
			a.Value = c
			return nil
		}
		zero := numbers([]int64{1}, 0)
		zero.DType, zero.Data = h.dtype, layout.Bytes([]byte{0, 0})
		n.Attributes = append(n.Attributes, &model.Attribute{Name: "value", Kind: model.TensorKind, Value: zero})
		return nil
	}
	name := generators[n.Op].attribute
	a := n.Attribute(name)
	if a == nil {
		n.Attributes = append(n.Attributes, &model.Attribute{Name: name, Kind: model.IntKind, Value: h.number})
		return nil
	}
	if a.Kind == model.StringKind {
		a.Value = "FLOAT16"
	} else {
		a.Value = h.number
	}
	return nil
}

// woven is the nodes of a block with those that were added.
func (h *half) woven(s *scope) []*model.Node {
	list := make([]*model.Node, 0, len(s.block.Nodes)+len(h.first[s]))
	list = append(list, h.first[s]...)
	var add func(nodes []*model.Node)
	add = func(nodes []*model.Node) {
		for _, n := range nodes {
			list = append(list, h.before[n]...)
			list = append(list, n)
			add(h.after[n])
		}
	}
	add(s.block.Nodes)
	return list
}
