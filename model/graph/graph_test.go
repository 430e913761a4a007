package graph

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

var ops = func() Ops {
	bf16, _ := quant.Cast(model.F32, model.BF16)
	return Ops{F16: quant.ClampF16, BF16: bf16}
}()

func typed(name string, d model.DType, dims ...int64) *model.Value {
	t := &model.Type{Form: model.TensorForm, DType: d, Ranked: true}
	for _, n := range dims {
		t.Shape = append(t.Shape, model.Dim{Fixed: true, Size: n})
	}
	return &model.Value{Name: name, Type: t}
}

func tensor(name string, d model.DType, dims ...int64) *model.Constant {
	n, _ := model.Elements(dims)
	size, _ := d.Bytes(n)
	return &model.Constant{Tensor: model.Tensor{Name: name, DType: d, Shape: dims, Data: layout.Bytes(make([]byte, size))}}
}

// node is OP(a b) -> c d of the text "c d = OP a b"; _ is a name left out.
func node(text string, attributes ...*model.Attribute) *model.Node {
	outs, rest, _ := strings.Cut(text, " = ")
	f := strings.Fields(rest)
	n := &model.Node{Op: f[0], Inputs: f[1:], Outputs: strings.Fields(outs), Attributes: attributes}
	if domain, op, ok := strings.Cut(f[0], ":"); ok {
		n.Domain, n.Op = domain, op
	}
	for _, list := range [][]string{n.Inputs, n.Outputs} {
		for i := range list {
			if list[i] == "_" {
				list[i] = ""
			}
		}
	}
	return n
}

func number(name string, v int64) *model.Attribute {
	return &model.Attribute{Name: name, Kind: model.IntKind, Value: v}
}

func body(name string, b *model.Body) *model.Attribute {
	return &model.Attribute{Name: name, Kind: model.GraphKind, Value: b}
}

func constantOf(c *model.Constant) *model.Attribute {
	return &model.Attribute{Name: "value", Kind: model.TensorKind, Value: c}
}

func graphOf(opset int64, main *model.Body) *model.Graph {
	return &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: opset}}, Main: main}
}

type values = []*model.Value
type nodes = []*model.Node
type tensors = []*model.Constant

var graphs = map[string]func() *model.Graph{
	"mlp": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 2, 4), typed("n", model.I64, 2)}, Outputs: values{typed("y", model.F32, 2, 3)}, Values: values{typed("m", model.F32, 2, 3)},
			Initializers: tensors{tensor("w", model.F32, 4, 3), tensor("b", model.F32, 3), tensor("k", model.I64, 2), tensor("d", model.F64, 2)},
			Nodes:        nodes{node("m = MatMul x w"), node("y = Add m b")},
		})
	},
	// what stays in float32, between nodes that do not; a tensor that both sorts take
	"blocked": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 4, 16)}, Outputs: values{typed("y", model.F32, 4, 3), typed("i", model.I64, 4, 3)},
			Initializers: tensors{tensor("w", model.F32, 16, 16), tensor("k", model.I64, 1), tensor("cap", model.F32, 1), tensor("both", model.F32, 3)},
			Nodes: nodes{node("m = MatMul x w"), node("t i = TopK m k"), node("low = Min t cap"), node("c = Max low both"),
				node("y = Mul c both")},
		})
	},
	"unsorted": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 2)}, Outputs: values{typed("y", model.F32, 2)},
			Nodes: nodes{node("y = Relu b"), node("b = Sigmoid a"), node("a = Tanh x")},
		})
	},
	// an output that is used, one that is an input, one that is a tensor; an input with a default
	"borders": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs:       values{typed("n", model.I64, 2), typed("x", model.F32, 2), typed("b", model.F32, 2)},
			Outputs:      values{typed("y", model.F32, 2), typed("z", model.F32, 2), typed("x", model.F32, 2), typed("w", model.F32, 2), typed("t", model.F32, 2)},
			Initializers: tensors{tensor("w", model.F32, 2), tensor("b", model.F32, 2)},
			Nodes:        nodes{node("y = Add x w"), node("z = Mul y b"), node("t = CumSum y n"), node("graph_output_cast_0 = Shape y")},
		})
	},
	// a tensor of an IR 3 graph is listed as an input, and no input
	"ir3": func() *model.Graph {
		g := graphOf(9, &model.Body{
			Inputs: values{typed("x", model.F32, 2, 5), typed("w", model.F32, 4, 5), typed("b", model.F32, 4)}, Outputs: values{typed("y", model.F32, 2, 4)},
			Initializers: tensors{tensor("w", model.F32, 4, 5), tensor("b", model.F32, 4)},
			Nodes:        nodes{node("g = Gemm x w b"), node("y = Max g b")},
		})
		g.IRVersion = 3
		return g
	},
	"if": func() *model.Graph {
		branch := func(tag string) *model.Body {
			return &model.Body{Outputs: values{typed(tag+".y", model.F32, 8)}, Initializers: tensors{tensor(tag+".w", model.F32, 8, 8)}, Values: values{typed(tag+".m", model.F32, 8)},
				Nodes: nodes{node(tag + ".m = MatMul x " + tag + ".w"), node(tag + ".y = Max " + tag + ".m shared")}}
		}
		return graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 8), typed("c", model.Bool)}, Outputs: values{typed("y", model.F32, 8)},
			Initializers: tensors{tensor("shared", model.F32, 8)},
			Nodes:        nodes{node("y = If c", body("then_branch", branch("then")), body("else_branch", branch("else")))},
		})
	},
	"loop": func() *model.Graph {
		inner := &model.Body{
			Inputs: values{typed("i", model.I64), typed("c", model.Bool), typed("s", model.F32, 6)}, Outputs: values{typed("c1", model.Bool), typed("s1", model.F32, 6), typed("scan", model.F32, 6)},
			Initializers: tensors{tensor("w", model.F32, 6, 6)},
			Nodes:        nodes{node("m = MatMul s w"), node("s1 = Tanh m"), node("c1 = Identity c"), node("scan = CumSum s1 i")},
		}
		return graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 6)}, Outputs: values{typed("y", model.F32, 6), typed("scans", model.F32, 4, 6)},
			Initializers: tensors{tensor("trips", model.I64)},
			Nodes:        nodes{node("y scans = Loop trips _ x", body("body", inner))},
		})
	},
	"scan": func() *model.Graph {
		inner := &model.Body{
			Inputs: values{typed("s", model.F32, 6), typed("e", model.F32, 6)}, Outputs: values{typed("s1", model.F32, 6), typed("o", model.F32, 6)},
			Nodes: nodes{node("s1 = Add s e"), node("o = Mul s1 outer")},
		}
		return graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 6), typed("es", model.F32, 3, 6)}, Outputs: values{typed("y", model.F32, 6), typed("os", model.F32, 3, 6)},
			Initializers: tensors{tensor("outer", model.F32, 6)},
			Nodes:        nodes{node("y os = Scan x es", number("num_scan_inputs", 1), body("body", inner))},
		})
	},
	// what says a type in an attribute; what nobody needs narrow stays
	"attributes": func() *model.Graph {
		return graphOf(17, &model.Body{
			Inputs: values{typed("ids", model.I32, 3, 6)}, Outputs: values{typed("y", model.F32, 3, 5), typed("r", model.F32, 3), typed("o", model.F32, 2)},
			Initializers: tensors{tensor("shape", model.I64, 1)},
			Nodes: nodes{node("f = Cast ids", number("to", 1)), node("t = Constant", constantOf(tensor("t", model.F32, 6, 5))), node("m = MatMul f t"), node("s = Shape m"),
				node("fill = ConstantOfShape s"), node("a = Add m fill"), node("n = RandomNormal"), node("b = Mul a n"),
				node("one = Constant", &model.Attribute{Name: "value_float", Kind: model.FloatKind, Value: float32(1)}), node("y = Add b one"),
				node("z = Constant", constantOf(tensor("z", model.F32))), node("lim = Cast ids", number("to", 1)), node("r = Range z lim z"), node("o = Constant", constantOf(tensor("o", model.F32, 2)))},
		})
	},
	"resize": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 1, 3, 8, 8)}, Outputs: values{typed("y", model.F32, 1, 3, 12, 12)},
			Initializers: tensors{tensor("roi", model.F32, 0), tensor("scales", model.F32, 4)},
			Nodes:        nodes{node("y = Resize x roi scales")},
		})
	},
	// Clip takes bfloat16, and what it is made of does not before opset 16
	"clip": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 4)}, Outputs: values{typed("y", model.F32, 4)},
			Initializers: tensors{tensor("w", model.F32, 4), tensor("low", model.F32)},
			Nodes:        nodes{node("m = Mul x w"), node("y = Clip m low _")},
		})
	},
	"sequence": func() *model.Graph {
		return graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 4), {Name: "q", Type: &model.Type{Form: model.SequenceForm, Elem: typed("", model.F32).Type}}}, Outputs: values{typed("y", model.F32, 4)},
			Initializers: tensors{tensor("w", model.F32, 4), tensor("i", model.I64)},
			Nodes:        nodes{node("m = Mul x w"), node("q1 = SequenceInsert q m"), node("e = SequenceAt q1 i"), node("y = Mul e w")},
		})
	},
	"function": func() *model.Graph {
		g := graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 3, 4)}, Outputs: values{typed("y", model.F32, 3, 2)}, Initializers: tensors{tensor("w", model.F32, 4, 2)},
			Nodes: nodes{node("m = MatMul x w"), node("s = local:Scale m"), node("y = Relu s")},
		})
		g.Opsets = append(g.Opsets, model.Opset{Domain: "local", Version: 1})
		g.Functions = []*model.Function{{Name: "Scale", Domain: "local", Inputs: []string{"a"}, Outputs: []string{"b"}, Opsets: []model.Opset{{Version: 17}},
			Nodes: nodes{node("c = Constant", constantOf(tensor("", model.F32, 2))), node("b = Mul a c")}}}
		return g
	},
	"foreign": func() *model.Graph {
		g := graphOf(17, &model.Body{
			Inputs: values{typed("x", model.F32, 4)}, Outputs: values{typed("y", model.F32, 4)}, Initializers: tensors{tensor("w", model.F32, 4), tensor("t", model.F32, 4)},
			Nodes: nodes{node("m = Mul x w"), node("f = vendor.example:Warp m t"), node("g = Relu f"), node("y = Mul g w")},
		})
		g.Opsets = append(g.Opsets, model.Opset{Domain: "vendor.example", Version: 1})
		return g
	},
	// a layer normalisation in parts: the variance, its epsilon and its root stay, and so do numbers made of shapes
	"variance": func() *model.Graph {
		return graphOf(13, &model.Body{
			Inputs: values{typed("x", model.F32, 2, 8)}, Outputs: values{typed("y", model.F32, 2, 8)},
			Initializers: tensors{tensor("two", model.F32), tensor("eps", model.F32), tensor("g", model.F32, 8), tensor("axis", model.I64)},
			Nodes: nodes{node("mean = ReduceMean x"), node("d = Sub x mean"), node("p = Pow d two"), node("v = ReduceMean p"), node("ve = Add v eps"), node("sd = Sqrt ve"), node("n = Div d sd"), node("ng = Mul n g"),
				node("s = Shape x"), node("k = Gather s axis"), node("kf = Cast k", number("to", 1)), node("kr = Sqrt kf"), node("y = Div ng kr")},
		})
	},
}

// TestGolden runs passes alone on small graphs. -update writes what they give.
func TestGolden(t *testing.T) {
	for name, build := range graphs {
		g := build()
		before := Print(g)
		var b strings.Builder
		b.WriteString("-- before --\n" + before)
		for _, p := range Passes {
			if p.Name == "check" || p.Name == "sort" && name != "unsorted" { // they give the graph that they are given
				continue
			}
			made, err := Run(g, ops, p.Name)
			b.WriteString("-- " + p.Name + " --\n")
			if err != nil {
				b.WriteString("refused: " + fault.Reason(err) + "\n")
			} else {
				b.WriteString(Print(made))
				once(t, name, made)
			}
			if Print(g) != before {
				t.Errorf("%s: %s changed the graph that it was given", name, p.Name)
			}
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s", file, b.String())
		}
	}
}

// once checks that every name is defined once and before it is used, and that types agree: a second run of the pass
// over a narrowed graph finds an operator between two types only where a Cast is.
func once(t *testing.T, name string, g *model.Graph) {
	t.Helper()
	var walk func(b *model.Body, known map[string]bool)
	walk = func(b *model.Body, known map[string]bool) {
		here := map[string]bool{}
		for k := range known {
			here[k] = true
		}
		define := func(n string) {
			if here[n] {
				t.Errorf("%s: %s is defined twice", name, n)
			}
			here[n] = true
		}
		for _, v := range b.Inputs {
			define(v.Name)
		}
		for _, c := range b.Initializers {
			if !here[c.Name] {
				define(c.Name)
			}
		}
		for _, n := range b.Nodes {
			for _, in := range n.Inputs {
				if in != "" && !here[in] {
					t.Errorf("%s: %s uses %s before it is there", name, nodeName(n), in)
				}
			}
			for _, inner := range n.Bodies() {
				walk(inner, here)
			}
			for _, out := range n.Outputs {
				if out != "" {
					define(out)
				}
			}
		}
		for _, v := range b.Outputs {
			if !here[v.Name] {
				t.Errorf("%s: the output %s is not there", name, v.Name)
			}
		}
	}
	walk(g.Main, map[string]bool{})
	types := infer(g)
	g.Main.Walk(func(b *model.Body, n *model.Node) {
		o := operatorOf(n, g.Opset(n.Domain))
		if o == nil || n.Is("If", "Loop", "Scan") {
			return
		}
		bound := map[slot]kind{}
		for i, in := range n.Inputs {
			p, at, ok := parameterAt(o.inputs, i)
			k := types.scopes[b].kind(in)
			if !ok || in == "" || k == unknown {
				continue
			}
			if p.variable == 0 {
				if k != p.fixed {
					t.Errorf("%s: input %d of %s is %q, and must be %q", name, i, nodeName(n), k, p.fixed)
				}
				continue
			}
			if bound[at] != unknown && bound[at] != k || !o.admits(p.variable, k) && k != other {
				t.Errorf("%s: input %d of %s is %q beside %q", name, i, nodeName(n), k, bound[at])
			}
			bound[at] = k
		}
	})
	for _, v := range append(g.Main.Inputs, g.Main.Outputs...) {
		if got := types.scopes[g.Main].kind(v.Name); got != unknown && got != kindOf(v.Type) {
			t.Errorf("%s: %s is %q and declared %q", name, v.Name, got, kindOf(v.Type))
		}
	}
}

func TestRefused(t *testing.T) {
	cycle := graphOf(13, &model.Body{Inputs: values{typed("x", model.F32)}, Outputs: values{typed("a", model.F32)}, Nodes: nodes{node("a = Add x b"), node("b = Relu a")}})
	if _, err := Run(cycle, ops, "sort"); !errors.Is(err, fault.Malformed) || !strings.Contains(err.Error(), `Add of "a"`) {
		t.Errorf("a cycle: %v", err)
	}
	integers := graphOf(13, &model.Body{Inputs: values{typed("x", model.I64)}, Outputs: values{typed("a", model.I64)}, Nodes: nodes{node("a = Neg x")}})
	for _, name := range []string{"float16", "bfloat16"} {
		if _, err := Run(integers, ops, name); !errors.Is(err, fault.Unsupported) {
			t.Errorf("%s of integers: %v", name, err)
		}
	}
	if _, err := Run(integers, ops, "float8"); !errors.Is(err, fault.Absent) {
		t.Errorf("no pass: %v", err)
	}
}

// TestOperators checks rows of the table against the specification.
func TestOperators(t *testing.T) {
	for _, c := range []struct {
		op    string
		opset int64
		input int
		kind  kind
		want  bool
	}{
		{"Conv", 13, 0, "h", true}, {"Conv", 21, 0, "b", false}, {"Conv", 22, 0, "b", true}, {"MatMul", 12, 0, "b", false}, {"MatMul", 13, 1, "b", true},
		{"Concat", 13, 7, "b", true}, {"QuantizeLinear", 13, 0, "h", false}, {"QuantizeLinear", 19, 1, "h", true}, {"Resize", 13, 1, "b", false},
	} {
		o := operatorOf(&model.Node{Op: c.op}, c.opset)
		p, _, ok := parameterAt(o.inputs, c.input)
		if got := ok && o.admits(p.variable, c.kind); got != c.want {
			t.Errorf("%s %d input %d takes %q: %v", c.op, c.opset, c.input, c.kind, got)
		}
	}
	if p, _, _ := parameterAt(operatorOf(&model.Node{Op: "Resize"}, 13).inputs, 2); p.variable != 0 || p.fixed != float {
		t.Errorf("the scales of Resize: %+v", p)
	}
	if operatorOf(&model.Node{Op: "Conv", Domain: "vendor.example"}, 1) != nil {
		t.Error("an operator of an unknown domain is known")
	}
}
