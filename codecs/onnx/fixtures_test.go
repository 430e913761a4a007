package onnx

import (
	stdbytes "bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// fixture reads a model of testdata, which fixtures.py made.
func fixture(t testing.TB, name string) (*model.Model, folder) {
	t.Helper()
	f := files(t, "testdata")
	m, err := Read(ctx, f, name)
	if err != nil {
		t.Fatal(err)
	}
	return m, f
}

func TestFixtures(t *testing.T) {
	for _, name := range []string{"raw.onnx", "typed.onnx", "everything.onnx", "old.onnx", "external.onnx"} {
		m, f := fixture(t, name)
		unchanged(t, name, m, f)
		reworded(t, name, m)
		anew(t, name, m)
	}
}

// TestTyped: a tensor in a typed field has the bytes of the same one in raw_data, of every type.
func TestTyped(t *testing.T) {
	raw, _ := fixture(t, "raw.onnx")
	typed, _ := fixture(t, "typed.onnx")
	count := 0
	for _, a := range raw.Graph.Main.Initializers {
		i := slices.IndexFunc(typed.Graph.Main.Initializers, func(b *model.Constant) bool { return b.Name == a.Name })
		if i < 0 {
			t.Errorf("typed.onnx has no %s", a.Name)
			continue
		}
		count++
		b := typed.Graph.Main.Initializers[i]
		x, y := content(t, a.Data), content(t, b.Data)
		if a.DType != b.DType || !stdbytes.Equal(x, y) {
			t.Errorf("%s: %v % x, typed %v % x", a.Name, a.DType, x, b.DType, y)
		}
		if _, ok := a.Data.Spans()[0].(layout.Extent); !ok {
			t.Errorf("%s: raw_data is no extent: %v", a.Name, a.Data)
		}
	}
	if count != len(dtypes)-2 { // but undefined and string
		t.Errorf("%d types of %d", count, len(dtypes)-2)
	}
	if n := len(raw.Left); n != 3 { // five elements of four bits, and of six, fill no whole number of bytes
		t.Errorf("%d left out: %v", n, raw.Left)
	}
}

// TestEverything: what stands in everything.onnx is where a reader of the graph looks for it.
func TestEverything(t *testing.T) {
	m, _ := fixture(t, "everything.onnx")
	g := m.Graph
	b := g.Main
	if g.IRVersion != 10 || g.Opset("ai.onnx") != 21 || g.Opset("vendor.example") != 3 || g.Opset("none") != 0 || g.Version != 7 || m.Metadata["author"] != "nobody" || m.Metadata["producer_name"] != "fixtures" {
		t.Errorf("%+v, %v", g, m.Metadata)
	}
	if x := b.Inputs[1].Type; x.Form != model.TensorForm || x.DType != model.F32 || !slices.Equal(x.Shape, []model.Dim{{Param: "batch"}, {Fixed: true, Size: 3}}) {
		t.Errorf("x is %+v", x)
	}
	choose := b.Nodes[0]
	if choose.Name != "choose" || !choose.Is("If") || len(choose.Bodies()) != 2 || choose.Bodies()[0].Name != "else" && choose.Bodies()[1].Name != "else" || choose.Metadata[0].Key != "node" {
		t.Errorf("%+v", choose)
	}
	odd := b.Nodes[3]
	if odd.Domain != "vendor.example" || odd.Input(1) != "" || odd.Output(1) != "" || odd.Input(9) != "" || odd.Is("Odd") || odd.Int("i", 5) != 0 || odd.Int("none", 5) != 5 || odd.Text("s", "x") != "" {
		t.Errorf("%+v", odd)
	}
	if got := odd.Ints("ints"); !slices.Equal(got, []int64{1, -1, 1 << 40}) {
		t.Errorf("ints %v", got)
	}
	if got := odd.Attribute("types").Value.([]*model.Type); got[0].Form != model.SequenceForm || got[0].Elem.DType != model.I64 || got[0].Elem.Ranked || got[1].Form != model.MapForm || got[1].Key != model.I64 || !got[1].Elem.Ranked {
		t.Errorf("types %+v", got)
	}
	f := g.Functions[0]
	if f.Domain != "local" || f.Name != "Scale" || f.Attributes[0] != "gain" || f.Nodes[2].Attributes[0].Ref != "gain" || f.Opset("") != 21 {
		t.Errorf("%+v", f)
	}
	if s := b.Sparse[0]; s.Values.Name != "sparse" || !slices.Equal(s.Shape, []int64{2, 3}) || !slices.Equal(s.Indices.Shape, []int64{2}) {
		t.Errorf("%+v", s)
	}
	if a := b.Annotations[0]; a.Tensor != "x" || a.Parameters[0] != (model.Entry{Key: "SCALE_TENSOR", Value: "w"}) {
		t.Errorf("%+v", a)
	}
	if x := g.Training[0]; x.Initialization != nil || x.Algorithm.Name != "step" || x.Update[0].Value != "w.new" {
		t.Errorf("%+v", x)
	}
	var names []string
	for _, x := range m.Tensors {
		names = append(names, x.Name+" "+x.DType.String())
	}
	if !slices.Equal(names, []string{"w F32", "words STRING", "large F32"}) || len(m.Left) != 1 || m.Left[0].Name != "sparse" {
		t.Errorf("tensors %v, left %v", names, m.Left)
	}

	x := model.NewIndex(b)
	if l := x.Of("picked"); l.Node != choose || len(l.Uses) != 1 || l.Uses[0].Node != b.Nodes[1] {
		t.Errorf("picked: %+v", l)
	}
	if l := x.Of("x"); l.Input == nil || len(l.Uses) != 2 || l.Uses[0].Body == b {
		t.Errorf("x is used in both branches: %+v", l)
	}
	if l := x.Of("w"); l.Input == nil || l.Initializer == nil {
		t.Errorf("w: %+v", l)
	}
	if l := x.Of("y"); !l.Result || l.Type != b.Outputs[0].Type {
		t.Errorf("y: %+v", l)
	}
	inner := x.Inner(choose.Bodies()[0])
	if inner == nil || inner.Of("x") != x.Of("x") || inner.Own("x") != nil {
		t.Error("a branch does not know the names around it")
	}
}

// TestOld: attributes of the first IR versions have no type, and the value tells it.
func TestOld(t *testing.T) {
	m, _ := fixture(t, "old.onnx")
	n := m.Graph.Main.Nodes[0]
	if a := n.Attribute("alpha"); a.Kind != model.FloatKind || a.Value != float32(0.5) || n.Int("transB", 0) != 1 {
		t.Errorf("%+v", n)
	}
}

// TestManyNumbers: numbers that are too many to come with the structure are decoded when they are read, and counted
// then.
func TestManyNumbers(t *testing.T) {
	const n = 100_000
	rng := rand.New(rand.NewPCG(3, 4))
	var numbers, want []byte
	for range n {
		v := rng.Uint64() >> rng.IntN(64)
		numbers = protowire.AppendVarint(numbers, v)
		want = binary.LittleEndian.AppendUint64(want, v)
	}
	file := func(count int64, numbers []byte) *model.Model {
		data := model1(msg(5, num(1, count), num(2, 13), msg(8, "w"), msg(11, string(numbers))))
		m, err := Read(ctx, folder{"m.onnx": {name: "m.onnx", data: []byte(data)}}, "m.onnx")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if got := content(t, file(n, numbers).Tensors[0].Data); !stdbytes.Equal(got, want) {
		t.Error("the elements are not the numbers")
	}
	for name, c := range map[string]struct {
		count   int64
		numbers []byte
		kind    fault.Kind
	}{
		"one too few":              {n + 1, numbers, fault.Mismatch},
		"one too many":             {n - 1, numbers, fault.Mismatch},
		"the last does not end":    {n + 1, append(slices.Clone(numbers), 0x80), fault.Malformed},
		"one of more than 64 bits": {n + 1, append(slices.Clone(numbers), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"...), fault.Malformed},
	} {
		f := file(c.count, c.numbers).Tensors[0].Data
		if _, err := f.ReadAt(ctx, &workspace{}, make([]byte, 8), 0); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
