package tree

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/model"
)

// TestCost: what a version is said to take is what it takes, about, so that a bound on it is one on memory.
func TestCost(t *testing.T) {
	var graph, named, weights strings.Builder
	graph.WriteString("input v0 F32 2x4\noutput v20000 F32 2x4\n")
	for i := range 20_000 {
		fmt.Fprintf(&graph, "v%d = Relu v%d\n", i+1, i)
	}
	long := strings.Repeat("a/long/name/", 20)
	named.WriteString("input v0 F32 2x4\noutput v2000 F32 2x4\n")
	for i := range 2000 {
		fmt.Fprintf(&named, "%s%d F32 4\nv%d = Add v%d %s%d\n", long, i, i+1, i, long, i)
	}
	for i := range 20_000 {
		fmt.Fprintf(&weights, "w%d F32 2\n", i)
	}
	tr, _ := makeTree(t, map[string]string{"nodes/v1/model.onnx": graph.String(), "names/v1/model.onnx": named.String(), "weights/v1/model.safetensors": weights.String()})
	ctx := context.Background()
	for _, name := range []string{"nodes", "names", "weights"} {
		v := resolve(t, tr, name+"/v1").in.v
		before := heap()
		c := tr.judge(ctx, v)
		took := heap() - before
		said := c.cost()
		if len(c.models()) != 1 || said < took*3/5 || said > 2*took {
			t.Errorf("%s: %d bytes, said to be %d", name, took, said)
		}
		t.Logf("%s: %d bytes, said to be %d", name, took, said)
		before = heap()
		var sum int64
		for _, f := range c.formats {
			for _, precision := range f.names {
				if f.view.Name != "npy" && f.view.Name != "tensors" {
					sum += f.plan(precision).cost()
				}
			}
		}
		took = heap() - before
		if sum < took/3 || sum > 8*took+1<<20 {
			t.Errorf("plans of %s: %d bytes, said to be %d", name, took, sum)
		}
		t.Logf("plans of %s: %d bytes, said to be %d", name, took, sum)
		runtime.KeepAlive(c)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestGraphCost: each part of a graph counts, so that none of them is a way around the bound.
func TestGraphCost(t *testing.T) {
	const n = 1000
	long := strings.Repeat("x", n)
	list := make([]int64, n)
	inner := &model.Body{Nodes: []*model.Node{{Doc: long}}}
	for name, edit := range map[string]func(g *model.Graph){
		"a node's name": func(g *model.Graph) { g.Main.Nodes = []*model.Node{{Name: long}} },
		"many nodes":    func(g *model.Graph) { g.Main.Nodes = make20(func() *model.Node { return &model.Node{} }) },
		"many inputs":   func(g *model.Graph) { g.Main.Nodes = []*model.Node{{Inputs: make([]string, n)}} },
		"a text":        func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: long}) },
		"texts":         func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: []string{long}}) },
		"integers":      func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: list}) },
		"floats":        func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: make([]float32, n)}) },
		"a subgraph":    func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: inner}) },
		"subgraphs":     func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: []*model.Body{inner}}) },
		"a type": func(g *model.Graph) {
			g.Main.Nodes = with(&model.Attribute{Value: &model.Type{Shape: make([]model.Dim, n)}})
		},
		"a sparse tensor":      func(g *model.Graph) { g.Main.Nodes = with(&model.Attribute{Value: &model.Sparse{Shape: list}}) },
		"an initializer":       func(g *model.Graph) { g.Main.Initializers = []*model.Constant{{Doc: long}} },
		"a sparse initializer": func(g *model.Graph) { g.Main.Sparse = []*model.Sparse{{Shape: list}} },
		"a value":              func(g *model.Graph) { g.Main.Values = []*model.Value{{Name: long}} },
		"a dimension": func(g *model.Graph) {
			g.Main.Inputs = []*model.Value{{Type: &model.Type{Shape: []model.Dim{{Param: long}}}}}
		},
		"metadata":              func(g *model.Graph) { g.Metadata = []model.Entry{{Key: "k", Value: long}} },
		"a function":            func(g *model.Graph) { g.Functions = []*model.Function{{Nodes: []*model.Node{{Name: long}}}} },
		"a function's defaults": func(g *model.Graph) { g.Functions = []*model.Function{{Defaults: []*model.Attribute{{Value: long}}}} },
		"training":              func(g *model.Graph) { g.Training = []*model.Training{{Algorithm: inner}} },
		"an annotation":         func(g *model.Graph) { g.Main.Annotations = []model.Annotation{{Tensor: long}} },
	} {
		g := &model.Graph{Main: &model.Body{}}
		before := graphCost(g)
		edit(g)
		if grown := graphCost(g) - before; grown < n || grown > 100*n {
			t.Errorf("%s: %d bytes more", name, grown)
		}
	}
}

func with(a *model.Attribute) []*model.Node {
	return []*model.Node{{Attributes: []*model.Attribute{a}}}
}

func make20[T any](one func() T) []T {
	list := make([]T, 20)
	for i := range list {
		list[i] = one()
	}
	return list
}
