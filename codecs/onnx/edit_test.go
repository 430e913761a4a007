package onnx

import (
	stdbytes "bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// TestEdits: what was not changed stays as it was stored, field for field: unknown ones too.
func TestEdits(t *testing.T) {
	stored, _ := fixture(t, "everything.onnx")
	want := content(t, layout.Stored(stored.Source))
	for name, edit := range map[string]func(g *model.Graph) (was, is string){
		"a node's operator": func(g *model.Graph) (string, string) {
			g.Main.Nodes[2].Op = "Sub"
			return "Add\x32\x06a note", "Sub\x32\x06a note"
		},
		"an input's dimension": func(g *model.Graph) (string, string) {
			g.Main.Inputs[1].Type.Shape[0].Param = "BATCH"
			return "batch", "BATCH"
		},
		"a function's attribute": func(g *model.Graph) (string, string) {
			g.Functions[0].Attributes[0] = "GAIN"
			return "2\x04gain", "2\x04GAIN"
		},
		"a node of a subgraph": func(g *model.Graph) (string, string) {
			for _, b := range g.Main.Nodes[0].Bodies() {
				if b.Name == "then" {
					b.Nodes[0].Op = "Mul"
				}
			}
			return "then.y\"\x03Add", "then.y\"\x03Mul"
		},
		"metadata": func(g *model.Graph) (string, string) {
			g.Metadata[0].Value = "someone"[:6]
			return "nobody", "someon"
		},
		"a tensor's elements": func(g *model.Graph) (string, string) {
			c := g.Main.Initializer("w")
			was := content(t, c.Data)
			is := slices.Clone(was)
			is[3] ^= 0x80
			c.Data = layout.Bytes(is)
			return "J\x10" + string(was), "J\x10" + string(is)
		},
	} {
		g := stored.Graph.Clone()
		was, is := edit(g)
		if stdbytes.Count(want, []byte(was)) != 1 {
			t.Fatalf("%s: %q stands %d times in the file", name, was, stdbytes.Count(want, []byte(was)))
		}
		outputs, err := Encode(g)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := content(t, outputs[0].File); !stdbytes.Equal(got, stdbytes.Replace(want, []byte(was), []byte(is), 1)) {
			t.Errorf("%s changes more than itself", name)
		}
		if again, _ := Encode(stored.Graph); again[0].File.Identical() == nil {
			t.Fatalf("%s: the edit of a clone changed the graph", name)
		}
	}
}

// TestLists: nodes and others that are put in, taken out and moved.
func TestLists(t *testing.T) {
	stored, _ := fixture(t, "everything.onnx")
	g := stored.Graph.Clone()
	b := g.Main
	b.Nodes = slices.Insert(b.Nodes, 2, &model.Node{Op: "Identity", Inputs: []string{"scaled"}, Outputs: []string{"new"}})
	b.Nodes[3].Inputs[0] = "new"
	b.Nodes[0].Metadata = nil
	b.Nodes[4].Attributes = slices.Delete(b.Nodes[4].Attributes, 0, 2)
	b.Values = append(b.Values, &model.Value{Name: "new", Type: &model.Type{Form: model.TensorForm, DType: model.F16}})
	b.Values[0], b.Values[1] = b.Values[1], b.Values[0]
	b.Inputs[0], b.Inputs[2] = b.Inputs[2], b.Inputs[0]
	b.Initializers = slices.Insert(b.Initializers, 0, &model.Constant{Tensor: model.Tensor{Name: "half", DType: model.F16, Shape: []int64{2}, Data: layout.Bytes([]byte{0, 60, 0, 64})}})
	b.Nodes[2].Attributes = []*model.Attribute{{Name: "t", Kind: model.TensorKind, Value: b.Initializers[0].Clone()}, {Name: "g", Kind: model.GraphKind, Value: &model.Body{Name: "inner"}}, {Name: "i", Kind: model.IntKind, Value: int64(0)}}
	outputs, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, folder{}, modelName)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "everything.onnx", g, back.Graph, true)
}

// TestExternal: data beside a model that is changed are in one file, each where it can be mapped.
func TestExternal(t *testing.T) {
	stored, _ := fixture(t, "external.onnx")
	if !slices.Equal(stored.Files, []string{"external.onnx", "external.bin"}) || stored.Source != nil {
		t.Errorf("files %v", stored.Files)
	}
	g := stored.Graph.Clone()
	g.Producer = "someone else"
	outputs, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(outputs) != 2 || outputs[1].Path != "model.onnx.data" || outputs[1].File.Size() != 2400 {
		t.Fatalf("%v", outputs)
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, together(outputs), modelName)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "external.onnx", g, back.Graph, true)
	for _, c := range back.Graph.Main.Initializers {
		w := c.Wire.(*tensorWire)
		if outside := c.Data.Size() >= leastOutside; outside != (w.location == dataName) {
			t.Errorf("%s of %d bytes is at %q", c.Name, c.Data.Size(), w.location)
		}
	}
}

// zeros is a graph of so many tensors of so many bytes each.
func zeros(count int, size int64) *model.Graph {
	data, _ := layout.New(layout.Zeros(size))
	b := &model.Body{Name: "large", Outputs: []*model.Value{{Name: "y"}}, Nodes: []*model.Node{{Op: "Sum", Outputs: []string{"y"}}}}
	for i := range count {
		name := "w" + strconv.Itoa(i)
		b.Nodes[0].Inputs = append(b.Nodes[0].Inputs, name)
		b.Initializers = append(b.Initializers, &model.Constant{Tensor: model.Tensor{Name: name, DType: model.F32, Shape: []int64{size / 4}, Data: data}})
	}
	return &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}, Main: b}
}

// TestLarge: a file beyond 2 GB is read at the cost of its structure, and written with its data beside it.
func TestLarge(t *testing.T) {
	const count, each = 40, 1 << 26
	inline, err := encode(zeros(count, each), math.MaxInt64)
	if err != nil || len(inline) != 1 || inline[0].File.Size() < count*each {
		t.Fatalf("%v, %v", inline, err)
	}
	src := &meter{File: inline[0].File}
	m, err := decode(ctx, src, folder{}, modelName)
	if err != nil {
		t.Fatal(err)
	}
	if src.read > count*page+page {
		t.Errorf("%d bytes were read of a file of %d tensors", src.read, count)
	}
	src.read = 0
	outputs, err := Encode(m.Graph)
	if err != nil {
		t.Fatal(err)
	}
	if src.read > 0 {
		t.Errorf("%d bytes were read to plan", src.read)
	}
	if len(outputs) != 2 || outputs[0].File.Size() > 100*count || outputs[1].File.Size() != count*each {
		t.Fatalf("%v", outputs)
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, together(outputs), modelName)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range back.Graph.Main.Initializers {
		e := c.Data.Spans()[0].(layout.Extent)
		if e.Off%align != 0 || e.Off != int64(i)*each || e.Len != each {
			t.Errorf("%s is at %d, of %d bytes", c.Name, e.Off, e.Len)
		}
	}
	if _, err := encode(m.Graph, 100); !errors.Is(err, fault.Limit) {
		t.Errorf("a structure larger than a message may be: %v", err)
	}
	small, err := Encode(zeros(count, 1<<20))
	if err != nil || len(small) != 1 {
		t.Errorf("%v, %v", small, err)
	}
}

// TestUnaligned: the data file pads what is no whole number of pages.
func TestUnaligned(t *testing.T) {
	g := zeros(3, 4100)
	outputs, err := encode(g, 4000)
	if err != nil || len(outputs) != 2 || outputs[1].File.Size() != 2*2*align+4100 {
		t.Fatalf("%v, %v", outputs, err)
	}
	back, err := decode(ctx, layoutSource{outputs[0].File}, together(outputs), modelName)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "unaligned", g, back.Graph, true)
}

func TestRefusedEdits(t *testing.T) {
	stored, _ := fixture(t, "everything.onnx")
	for name, c := range map[string]struct {
		kind fault.Kind
		edit func(b *model.Body)
	}{
		"data of another size":  {fault.Mismatch, func(b *model.Body) { b.Initializers[0].Data = layout.Bytes(make([]byte, 15)) }},
		"another type alone":    {fault.Mismatch, func(b *model.Body) { b.Initializers[0].DType = model.F16 }},
		"another shape alone":   {fault.Mismatch, func(b *model.Body) { b.Initializers[0].Shape = []int64{5} }},
		"strings that are new":  {fault.Unsupported, func(b *model.Body) { b.Initializers[1].Data = layout.Bytes(nil) }},
		"a value of no kind":    {fault.Unsupported, func(b *model.Body) { b.Nodes[3].Attributes[0].Value = 1 }},
		"an attribute of none":  {fault.Malformed, func(b *model.Body) { b.Nodes[3].Attributes[0].Value = nil }},
		"a shape of no product": {fault.Overflow, func(b *model.Body) { b.Initializers[0].Shape = []int64{1 << 62, 8} }},
	} {
		g := stored.Graph.Clone()
		c.edit(g.Main)
		if _, err := Encode(g); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
