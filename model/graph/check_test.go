package graph

import (
	"errors"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// applied is a node; in and out are names separated by spaces, _ for one that is left out.
func applied(op, in, out string, attributes ...*model.Attribute) *model.Node {
	names := func(s string) []string {
		list := strings.Fields(s)
		for i := range list {
			if list[i] == "_" {
				list[i] = ""
			}
		}
		return list
	}
	return &model.Node{Name: "n." + out, Op: op, Inputs: names(in), Outputs: names(out), Attributes: attributes}
}

func declared(names ...string) []*model.Value {
	var list []*model.Value
	for _, name := range names {
		list = append(list, &model.Value{Name: name, Type: &model.Type{Form: model.TensorForm, DType: model.F32}})
	}
	return list
}

func held(name string, d model.DType, shape ...int64) *model.Constant {
	f, _ := layout.New(layout.Zeros(4))
	return &model.Constant{Tensor: model.Tensor{Name: name, DType: d, Shape: shape, Data: f}}
}

// sound is a graph that nothing is wrong with: an If whose branches use what is around it, a function, a sparse tensor.
func sound() *model.Graph {
	branch := func(tag string) *model.Attribute {
		return &model.Attribute{Name: tag, Kind: model.GraphKind, Value: &model.Body{
			Name: tag, Outputs: declared(tag + ".y"), Nodes: []*model.Node{applied("Add", "a w", tag+".y")},
		}}
	}
	return &model.Graph{
		IRVersion: 8, Opsets: []model.Opset{{Version: 17}, {Domain: "local", Version: 1}},
		Main: &model.Body{
			Inputs: declared("x", "w"), Outputs: declared("y", "s"), Initializers: []*model.Constant{held("w", model.F32, 1), held("c", model.Bool)},
			Sparse: []*model.Sparse{{Values: held("s", model.F32, 2), Indices: held("", model.I64, 2, 1), Shape: []int64{5}}},
			Nodes:  []*model.Node{applied("Relu", "x _", "a _"), applied("If", "c", "b", branch("then"), branch("else")), {Op: "Twice", Domain: "local", Inputs: []string{"b"}, Outputs: []string{"y"}}},
		},
		Functions: []*model.Function{
			{Domain: "local", Name: "Twice", Inputs: []string{"i"}, Outputs: []string{"o"}, Opsets: []model.Opset{{Version: 17}}, Nodes: []*model.Node{applied("Add", "i i", "o", &model.Attribute{Name: "k", Kind: model.IntKind, Ref: "k"})}},
			{Domain: "local", Name: "Other", Opsets: []model.Opset{{Domain: "local", Version: 1}}, Nodes: []*model.Node{{Op: "Twice", Domain: "local", Inputs: []string{""}, Outputs: []string{"o"}}}},
		},
	}
}

func TestCheck(t *testing.T) {
	inner := func(g *model.Graph) *model.Body { return g.Main.Nodes[1].Bodies()[0] }
	for name, c := range map[string]struct {
		kind fault.Kind // Unknown: nothing is wrong
		says string
		edit func(g *model.Graph)
	}{
		"nothing":            {0, "", func(g *model.Graph) {}},
		"nodes out of order": {0, "", func(g *model.Graph) { n := g.Main.Nodes; n[0], n[2] = n[2], n[0] }},
		"a foreign operator": {0, "", func(g *model.Graph) { g.Main.Nodes[0].Domain = "vendor.example" }},
		"ai.onnx":            {0, "", func(g *model.Graph) { g.Main.Nodes[0].Domain = "ai.onnx" }},
		"an old graph": {0, "", func(g *model.Graph) {
			g.IRVersion, g.Opsets, g.Main.Initializers[1].Name = 2, nil, "c"
			g.Main.Inputs = declared("x", "w", "c")
			g.Main.Inputs[2].Type = nil
		}},
		"a name used in two bodies": {0, "", func(g *model.Graph) {
			inner(g).Nodes[0].Outputs[0], inner(g).Outputs[0].Name = "z", "z"
			g.Main.Nodes[1].Bodies()[1].Nodes[0].Outputs[0] = "z"
			g.Main.Nodes[1].Bodies()[1].Outputs[0].Name = "z"
		}},
		"no ir_version":                {fault.Malformed, "ir_version", func(g *model.Graph) { g.IRVersion = 0 }},
		"no operator set":              {fault.Malformed, "imports no", func(g *model.Graph) { g.Opsets = nil }},
		"not ONNX's operator set":      {fault.Malformed, `"n.a _"`, func(g *model.Graph) { g.Opsets = g.Opsets[1:] }},
		"two versions of a set":        {fault.Duplicate, "17 and 18", func(g *model.Graph) { g.Opsets = append(g.Opsets, model.Opset{Domain: "ai.onnx", Version: 18}) }},
		"version 0 of a set":           {fault.Malformed, "version 0", func(g *model.Graph) { g.Opsets[0].Version = 0 }},
		"no graph":                     {fault.Malformed, "no graph", func(g *model.Graph) { g.Main = nil }},
		"an empty graph":               {fault.Malformed, "empty", func(g *model.Graph) { g.Main = &model.Body{} }},
		"an input without a name":      {fault.Malformed, "input", func(g *model.Graph) { g.Main.Inputs[0].Name = "" }},
		"two inputs of one name":       {fault.Duplicate, `"w"`, func(g *model.Graph) { g.Main.Inputs[0].Name = "w" }},
		"initializers of one name":     {fault.Duplicate, `"w"`, func(g *model.Graph) { g.Main.Initializers[1].Name = "w" }},
		"one of no name":               {fault.Malformed, "initializer", func(g *model.Graph) { g.Main.Initializers[1].Name = "" }},
		"a sparse one of that name":    {fault.Duplicate, `"w"`, func(g *model.Graph) { g.Main.Sparse[0].Values.Name = "w" }},
		"a default of another type":    {fault.Mismatch, `"w"`, func(g *model.Graph) { g.Main.Initializers[0].DType = model.F16 }},
		"no input before version 4":    {fault.Malformed, `"c"`, func(g *model.Graph) { g.IRVersion = 3 }},
		"a node without operator":      {fault.Malformed, "operator", func(g *model.Graph) { g.Main.Nodes[0].Op = "" }},
		"a dangling input":             {fault.Malformed, `"gone"`, func(g *model.Graph) { g.Main.Nodes[0].Inputs[0] = "gone" }},
		"one in a subgraph":            {fault.Malformed, `node "n.b" (If), then: node "n.then.y" (Add)`, func(g *model.Graph) { inner(g).Nodes[0].Inputs[0] = "gone" }},
		"a name of a subgraph":         {fault.Malformed, `"then.y"`, func(g *model.Graph) { g.Main.Nodes[2].Inputs[0] = "then.y" }},
		"a dangling output":            {fault.Malformed, `"gone"`, func(g *model.Graph) { g.Main.Outputs[0].Name = "gone" }},
		"an output given twice":        {fault.Duplicate, `"a"`, func(g *model.Graph) { g.Main.Nodes[2].Outputs[0] = "a" }},
		"an output named as input":     {fault.Duplicate, `"x"`, func(g *model.Graph) { g.Main.Nodes[2].Outputs[0] = "x" }},
		"one of the graph twice":       {fault.Duplicate, `"y"`, func(g *model.Graph) { g.Main.Outputs[1].Name = "y" }},
		"a node that waits for itself": {fault.Malformed, "", func(g *model.Graph) { g.Main.Nodes[0].Inputs[0] = "a" }},
		"a cycle":                      {fault.Malformed, "", func(g *model.Graph) { g.Main.Nodes[0].Inputs[0] = "y" }},
		"a cycle by a subgraph":        {fault.Malformed, "", func(g *model.Graph) { inner(g).Nodes[0].Inputs[0] = "y" }},
		"an attribute of no name":      {fault.Malformed, "attribute", func(g *model.Graph) { g.Main.Nodes[1].Attributes[0].Name = "" }},
		"an attribute twice":           {fault.Duplicate, `"else"`, func(g *model.Graph) { g.Main.Nodes[1].Attributes[0].Name = "else" }},
		"a reference in no function":   {fault.Malformed, "refers", func(g *model.Graph) { g.Main.Nodes[0].Attributes = g.Functions[0].Nodes[0].Attributes }},
		"a function twice":             {fault.Duplicate, `"local.Twice"`, func(g *model.Graph) { g.Functions[1].Name = "Twice" }},
		"a function of no name":        {fault.Malformed, "no name", func(g *model.Graph) { g.Functions[1].Name = "" }},
		"a function's dangling one":    {fault.Malformed, `function "local.Twice"`, func(g *model.Graph) { g.Functions[0].Nodes[0].Inputs[0] = "x" }},
		"a function's output":          {fault.Malformed, `output "z"`, func(g *model.Graph) { g.Functions[0].Outputs[0] = "z" }},
		"a function without a set":     {fault.Malformed, "imported", func(g *model.Graph) { g.Functions[0].Opsets = nil }},
		"a function in itself":         {fault.Malformed, "calls itself", func(g *model.Graph) { g.Functions[1].Nodes[0].Op = "Other" }},
		"functions in each other":      {fault.Malformed, "calls itself", func(g *model.Graph) { g.Functions[0].Nodes[0].Op, g.Functions[0].Nodes[0].Domain = "Other", "local" }},
		"sparse values of rank 2":      {fault.Mismatch, `"s"`, func(g *model.Graph) { g.Main.Sparse[0].Values.Shape = []int64{1, 2} }},
		"too few indices":              {fault.Mismatch, `"s"`, func(g *model.Graph) { g.Main.Sparse[0].Indices.Shape = []int64{1} }},
		"indices of another type":      {fault.Mismatch, `"s"`, func(g *model.Graph) { g.Main.Sparse[0].Indices.DType = model.I32 }},
		"more values than elements":    {fault.Mismatch, `"s"`, func(g *model.Graph) { g.Main.Sparse[0].Shape = []int64{1} }},
		"no indices":                   {fault.Malformed, `"s"`, func(g *model.Graph) { g.Main.Sparse[0].Indices = nil }},
	} {
		g := sound()
		c.edit(g)
		made, err := Run(g, ops, "check")
		if err == nil && made != g {
			t.Errorf("%s: the check gives another graph", name)
		}
		switch {
		case c.kind == 0 && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.kind != 0 && !errors.Is(err, c.kind):
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		case err != nil && !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %v does not say %s", name, err, c.says)
		}
	}
}
