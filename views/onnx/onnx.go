// Package onnx is the view of a model's graph as ONNX, in one precision of its float32: as it is stored, or narrowed to
// float16 or bfloat16 as ONNX Runtime's converter narrows it (see model/graph). Inputs and outputs keep their names,
// types and shapes.
//
// A graph with nothing to change is the stored file, and so are the files beside it that hold its tensors, under the
// names that it knows them by. One that is stored in float16 or bfloat16 is the view of that name and has no other.
package onnx

import (
	codec "github.com/isomerfs/isomerfs/codecs/onnx"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/model/graph"
)

// Precisions are the folders of the view in order of listing.
var Precisions = []string{"fp32", "fp16", "bf16"}

// Plan is the files of a precision: model.onnx, and what holds tensors that are not in it. It is Unsupported for a
// model without a graph, and for a graph that can't have the precision; the reason names the node where one is why.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	if m.Graph == nil {
		return nil, fault.New(fault.Unsupported, "%s holds weights and no graph, and an ONNX model is a graph", m.Format).
			Remedied("export the model to ONNX where its code is")
	}
	stored := storedAs(m.Graph)
	var pass string
	switch precision {
	case "fp32":
	case "fp16":
		pass = "float16"
	case "bf16":
		pass = "bfloat16"
	default:
		return nil, fault.New(fault.Absent, "onnx has no precision %q", precision)
	}
	switch {
	case stored.pure && stored.precision != precision:
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "the graph is stored in %s, and its operators with it", stored.precision).
			Remedied("onnx/%s is the stored file", stored.precision))
	case pass == "" && stored.precision != "fp32" && !stored.pure:
		return nil, fault.In(m.File, fault.New(fault.Unsupported, "most of the weights are stored in %s, so the graph is none of float32", stored.precision).
			Remedied("onnx/%s is made of it", stored.precision))
	case pass == "" || stored.pure:
		return encode(m, m.Graph)
	}
	g, err := graph.Run(m.Graph, ops(), pass)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return encode(m, g)
}

// encode is the files of a graph: those it was read from where it was not changed.
func encode(m *model.Model, g *model.Graph) ([]model.Output, error) {
	outputs, err := codec.Encode(g)
	if err != nil {
		return nil, fault.In(m.File, err)
	}
	return outputs, nil
}

// ops are the computations of half precision: ONNX Runtime's limits for float16, a plain rounding for bfloat16.
func ops() graph.Ops {
	bf16, _ := quant.Cast(model.F32, model.BF16)
	return graph.Ops{F16: quant.ClampF16, BF16: bf16}
}

// form is the precision that a graph is stored in.
type form struct {
	precision string
	pure      bool // all its float tensors are of that type, which is narrower than float32
}

// storedAs is the form of a graph by what its tensors are, those within nodes and functions too: what most of the
// elements in 16 bits or float32 are of, and float32 where there are none.
func storedAs(g *model.Graph) form {
	counts := map[model.DType]int64{}
	add := func(c *model.Constant) {
		if c == nil {
			return
		}
		if n, err := model.Elements(c.Shape); err == nil && c.DType.Float() {
			counts[c.DType] += n + 1 // an empty tensor counts too
		}
	}
	nodes := func(_ *model.Body, n *model.Node) {
		for _, a := range n.Attributes {
			for _, c := range a.Constants() {
				add(c)
			}
			for _, b := range a.Bodies() {
				initializers(b, add)
			}
		}
	}
	initializers(g.Main, add)
	g.Main.Walk(nodes)
	for _, f := range g.Functions {
		(&model.Body{Nodes: f.Nodes}).Walk(nodes)
	}
	f16, bf16, rest := counts[model.F16], counts[model.BF16], counts[model.F32]+counts[model.F64]
	switch {
	case f16 > rest && f16 >= bf16:
		return form{"fp16", rest == 0 && bf16 == 0}
	case bf16 > rest:
		return form{"bf16", rest == 0 && f16 == 0}
	}
	return form{"fp32", false}
}

func initializers(b *model.Body, add func(*model.Constant)) {
	for _, c := range b.Initializers {
		add(c)
	}
	for _, s := range b.Sparse {
		add(s.Values)
	}
}
