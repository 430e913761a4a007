package model

import (
	"math"
	"testing"
)

// TestParameters: tensors of subgraphs count, at any depth, and a sum that does not fit is none.
func TestParameters(t *testing.T) {
	held := func(name string, shape ...int64) *Constant {
		return &Constant{Tensor: Tensor{Name: name, DType: F32, Shape: shape}}
	}
	within := func(op string, b *Body) *Node {
		return &Node{Op: op, Attributes: []*Attribute{{Name: "body", Kind: GraphKind, Value: b}}}
	}
	loop := &Body{Initializers: []*Constant{held("l", 5)}}
	branch := &Body{Initializers: []*Constant{held("t", 2, 3)}, Nodes: []*Node{within("Loop", loop)}}
	m := &Model{
		Tensors: []Tensor{{Name: "w", DType: F32, Shape: []int64{4, 3}}, {Name: "s", DType: I64}},
		Graph:   &Graph{Main: &Body{Initializers: []*Constant{held("w", 4, 3), held("s")}, Nodes: []*Node{within("If", branch)}}},
	}
	if n := m.Parameters(); n != 12+1+6+5 {
		t.Errorf("%d parameters", n)
	}
	if list := m.Graph.InnerInitializers(); len(list) != 2 || list[0].Name != "t" || list[1].Name != "l" {
		t.Errorf("%v", list)
	}
	loop.Initializers[0].Shape = []int64{math.MaxInt64 - 3}
	if n := m.Parameters(); n != 0 {
		t.Errorf("a sum that does not fit is %d", n)
	}
}

func TestTypeString(t *testing.T) {
	tensor := &Type{Form: TensorForm, DType: F32, Ranked: true, Shape: []Dim{{Fixed: true, Size: 1}, {Param: "batch"}, {}}}
	for want, x := range map[string]*Type{
		"?": nil, "F32[1,batch,?]": tensor, "I64": {Form: TensorForm, DType: I64}, "?[]": {Form: TensorForm, Ranked: true}, "sparse F16": {Form: SparseForm, DType: F16},
		"sequence of optional F32[1,batch,?]": {Form: SequenceForm, Elem: &Type{Form: OptionalForm, Elem: tensor}},
		"map from I64 to ?":                   {Form: MapForm, Key: I64},
	} {
		if got := x.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
