package drawing

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var update = flag.Bool("update", false, "write the drawings into testdata")

func typed(name string, d model.DType, shape ...int64) *model.Value {
	t := &model.Type{Form: model.TensorForm, DType: d, Ranked: true}
	for _, n := range shape {
		t.Shape = append(t.Shape, model.Dim{Fixed: n >= 0, Size: max(n, 0)})
	}
	return &model.Value{Name: name, Type: t}
}

func tensor(name string, d model.DType, shape ...int64) *model.Constant {
	return &model.Constant{Tensor: model.Tensor{Name: name, DType: d, Shape: shape, Data: layout.Bytes(nil)}}
}

// node is written as "c d = OP a b".
func node(text string, attributes ...*model.Attribute) *model.Node {
	outs, rest, _ := strings.Cut(text, " = ")
	f := strings.Fields(rest)
	n := &model.Node{Op: f[0], Inputs: f[1:], Outputs: strings.Fields(outs), Attributes: attributes}
	if domain, op, ok := strings.Cut(f[0], ":"); ok {
		n.Domain, n.Op = domain, op
	}
	return n
}

func attribute(name string, kind model.Kind, v any) *model.Attribute {
	return &model.Attribute{Name: name, Kind: kind, Value: v}
}

func graphOf(main *model.Body) *model.Graph {
	return &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}, Main: main}
}

type values = []*model.Value
type nodes = []*model.Node
type tensors = []*model.Constant

// layers is a network of n blocks that are alike, all of which take a mask.
func layers(n int) *model.Graph {
	b := &model.Body{Name: "layers", Inputs: values{typed("x", model.F32, -1, 64), typed("mask", model.F32, -1, -1)}, Outputs: values{typed("y", model.F32, -1, 64)}}
	at := "h"
	b.Nodes = append(b.Nodes, node("h = LayerNormalization x g"))
	b.Initializers = append(b.Initializers, tensor("g", model.F32, 64))
	for i := range n {
		p := fmt.Sprintf("b%d.", i)
		for _, w := range []string{"q", "k", "v", "o"} {
			b.Initializers = append(b.Initializers, tensor(p+w, model.F32, 64, 64))
		}
		b.Nodes = append(b.Nodes,
			node(p+"qh = MatMul "+at+" "+p+"q"), node(p+"kh = MatMul "+at+" "+p+"k"), node(p+"vh = MatMul "+at+" "+p+"v"),
			node(p+"kt = Transpose "+p+"kh", attribute("perm", model.IntsKind, []int64{0, 2, 1})), node(p+"s = MatMul "+p+"qh "+p+"kt"), node(p+"m = Add "+p+"s mask"),
			node(p+"p = Softmax "+p+"m"), node(p+"a = MatMul "+p+"p "+p+"vh"), node(p+"oh = MatMul "+p+"a "+p+"o"), node(p+"r = Add "+at+" "+p+"oh"))
		for _, n := range b.Nodes[len(b.Nodes)-10:] {
			n.Name = "/" + strings.TrimSuffix(n.Outputs[0], ".") + "/" + n.Op
		}
		at = p + "r"
	}
	b.Nodes = append(b.Nodes, node("y = Relu "+at))
	return graphOf(b)
}

var graphs = map[string]func() []Part{
	"mlp": func() []Part {
		return []Part{{"", graphOf(&model.Body{
			Name: "digits", Inputs: values{typed("x", model.F32, -1, 64)}, Outputs: values{typed("y", model.F32, -1, 10)}, Values: values{typed("h", model.F32, -1, 32)},
			Initializers: tensors{tensor("w1", model.F32, 64, 32), tensor("b1", model.F32, 32), tensor("w2", model.F32, 32, 10)},
			Nodes:        nodes{node("h = Gemm x w1 b1", attribute("transB", model.IntKind, int64(0))), node("r = Relu h"), node("y = MatMul r w2")},
		}), 2400}}
	},
	"residual": func() []Part {
		return []Part{{"", graphOf(&model.Body{
			Inputs: values{typed("x", model.F32, 1, 8, 4, 4), typed("n", model.I64)}, Outputs: values{typed("y", model.F32, 1, 8, 4, 4), typed("i", model.I64, 8)},
			Initializers: tensors{tensor("w", model.F32, 8, 8, 1, 1)},
			Nodes: nodes{node("c = Conv x w", attribute("pads", model.IntsKind, []int64{1, 1, 1, 1, 2, 2, 2, 2})), node("k = Constant", attribute("value", model.TensorKind, tensor("", model.F32, 8))), node("s = Add c k"), node("r = Relu s"),
				node("a = Add r x"), node("y i = TopK a n")},
		}), 64}}
	},
	"if": func() []Part {
		branch := func(tag string) *model.Body {
			return &model.Body{Outputs: values{typed(tag+".y", model.F32, 8)}, Initializers: tensors{tensor(tag+".w", model.F32, 8, 8)},
				Nodes: nodes{node(tag + ".m = MatMul h " + tag + ".w"), node(tag + ".y = Max " + tag + ".m shared")}}
		}
		return []Part{{"", graphOf(&model.Body{
			Inputs: values{typed("x", model.F32, 8), typed("c", model.Bool)}, Outputs: values{typed("y", model.F32, 8)}, Initializers: tensors{tensor("shared", model.F32, 8)},
			Nodes: nodes{node("h = Tanh x"), node("y = If c", attribute("then_branch", model.GraphKind, branch("then")), attribute("else_branch", model.GraphKind, branch("else")))},
		}), 136}}
	},
	"parts": func() []Part {
		g := graphOf(&model.Body{
			Inputs: values{typed("x", model.F32, 3, 4)}, Outputs: values{typed("y", model.F32, 3, 4), typed("w", model.F32, 4)}, Initializers: tensors{tensor("w", model.F32, 4)},
			Nodes: nodes{node("s = local:Scale x"), node("y = vendor.example:Warp s w")},
		})
		g.Functions = []*model.Function{{Name: "Scale", Domain: "local", Inputs: []string{"a"}, Outputs: []string{"b"}, Nodes: nodes{node("c = Constant", attribute("value_float", model.FloatKind, float32(0.5))), node("b = Mul a c")}}}
		return []Part{{"encoder", g, 4}, {"decoder", graphOf(&model.Body{Inputs: values{{Name: "z"}}, Outputs: values{{Name: "o"}}, Nodes: nodes{node("o = Identity z")}}), 0}}
	},
	"blocks": func() []Part { return []Part{{"", layers(60), 60 * 4 * 64 * 64}} },
	"names": func() []Part {
		return []Part{{`"/>\`, graphOf(&model.Body{
			Inputs: values{{Name: `<script>alert("&amp;")</script>`}}, Outputs: values{{Name: "y\\n\x00\x1b[31m\u202e]]>"}},
			Nodes: nodes{{Name: strings.Repeat("ü大\"\\", 5000), Op: `Op"];}`, Domain: "x\xff", Inputs: []string{`<script>alert("&amp;")</script>`}, Outputs: []string{"y\\n\x00\x1b[31m\u202e]]>"}}},
		}), 0}}
	},
}

// TestGolden draws small graphs. -update writes what they give.
func TestGolden(t *testing.T) {
	for name, parts := range graphs {
		d := New(parts())
		for ext, got := range map[string][]byte{".dot": d.Dot(), ".svg": d.SVG()} {
			file := filepath.Join("testdata", name+ext)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s", file, got)
			}
			if again := New(parts()); ext == ".svg" && !bytes.Equal(again.SVG(), got) {
				t.Errorf("%s: drawn again it is another", file)
			}
		}
		sound(t, name, d)
	}
}

// sound checks both forms of a drawing, and its geometry.
func sound(t *testing.T, name string, d *Drawing) {
	t.Helper()
	svg, dot := d.SVG(), d.Dot()
	wellFormed(t, name, svg)
	g, err := parseDot(string(dot))
	if err != nil {
		t.Fatalf("%s: %v in\n%.2000s", name, err, dot)
	}
	count := 0
	var boxes func(p *plate)
	boxes = func(p *plate) {
		for _, b := range p.boxes {
			if b.class != block {
				count++
			}
			for _, in := range b.inner {
				boxes(in)
			}
		}
	}
	for _, p := range d.plates {
		boxes(p)
	}
	if g.nodes != count || g.edges != len(d.lines) {
		t.Errorf("%s: the text has %d nodes and %d lines, the drawing %d and %d", name, g.nodes, g.edges, count, len(d.lines))
	}
	for _, e := range g.ends {
		if !g.known[e] {
			t.Errorf("%s: a line to %s, which is nowhere", name, e)
		}
	}
	edges := d.edges()
	for _, p := range d.plates {
		geometry(t, name, place(p, edges))
	}
}

// wellFormed reads an image with a strict parser and looks for what it must not have.
func wellFormed(t *testing.T, name string, svg []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(svg))
	allowed := []string{"svg", "defs", "marker", "path", "style", "rect", "g", "text", "title"}
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			if !slices.Contains(allowed, e.Name.Local) {
				t.Errorf("%s: element %s", name, e.Name.Local)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("%s: attribute %s", name, a.Name.Local)
				}
			}
		}
	}
}

// geometry: boxes of a layer stand side by side, everything lies within its frame, and lines lead down.
func geometry(t *testing.T, name string, s *sheet) {
	t.Helper()
	for _, layer := range s.layers {
		end := 0
		for _, i := range layer {
			x := s.things[i]
			if x.x-x.room/2 < end {
				t.Errorf("%s: two boxes of a layer overlap at %d", name, end)
			}
			end = x.x + x.room/2
			if x.y < 0 || x.y+x.h > s.h || end > s.w || x.w > x.room {
				t.Errorf("%s: a box at %d,%d of %dx%d in a frame of %dx%d", name, x.x, x.y, x.w, x.h, s.w, s.h)
			}
		}
	}
	for i := 1; i < len(s.layers); i++ {
		if s.top[i-1]+s.high[i-1] >= s.top[i] {
			t.Errorf("%s: layers %d and %d overlap", name, i-1, i)
		}
	}
	for _, x := range s.strands {
		from, to := s.things[x.from], s.things[x.to]
		if to.layer != from.layer+1 {
			t.Errorf("%s: a strand from layer %d to %d", name, from.layer, to.layer)
		}
		if from.box != nil && (x.fromX < from.x-from.w/2 || x.fromX > from.x+from.w/2) || x.toX < to.x-max(to.w, to.room)/2 || x.toX > to.x+max(to.w, to.room)/2 {
			t.Errorf("%s: a line leaves or ends beside its box", name)
		}
	}
	for _, x := range s.things {
		for _, in := range x.inner {
			if in.x < 0 || in.x+in.w > x.w || in.y+in.h > x.h {
				t.Errorf("%s: a frame of %dx%d at %d,%d within a box of %dx%d", name, in.w, in.h, in.x, in.y, x.w, x.h)
			}
			geometry(t, name, in)
		}
	}
}

// TestRandom draws graphs of any shape: each node is drawn, and each value that one gives another.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := graphOf(random(r, 3, []string{}))
		d := New([]Part{{"", g, 1}})
		name := fmt.Sprintf("seed %d", seed)
		sound(t, name, d)
		nodes := 0
		g.Main.Walk(func(b *model.Body, n *model.Node) {
			_, held := constant(n)
			if !held || slices.ContainsFunc(b.Outputs, func(v *model.Value) bool { return v.Name == n.Outputs[0] }) {
				nodes++
			}
		})
		if drawn := mostNodes - d.nodes; drawn != nodes && (nodes <= mostNodes || drawn > mostNodes) {
			t.Errorf("%s: %d nodes of %d are drawn", name, drawn, nodes)
		}
	}
}

// random is a body whose nodes take what is before them or around them.
func random(r *rand.Rand, depth int, around []string) *model.Body {
	b := &model.Body{}
	tag := fmt.Sprint(r.Uint64())
	known := slices.Clone(around)
	for i := range 1 + r.IntN(3) {
		name := fmt.Sprintf("%s.in%d", tag, i)
		b.Inputs, known = append(b.Inputs, typed(name, model.F32, 3)), append(known, name)
	}
	for i := range r.IntN(3) {
		name := fmt.Sprintf("%s.w%d", tag, i)
		b.Initializers, known = append(b.Initializers, tensor(name, model.F16, 4)), append(known, name)
	}
	for i := range 1 + r.IntN(12) {
		n := &model.Node{Op: []string{"Add", "Conv", "Foo", "Constant"}[r.IntN(4)]}
		if n.Op != "Constant" {
			for range 1 + r.IntN(4) {
				n.Inputs = append(n.Inputs, known[r.IntN(len(known))])
			}
		} else {
			n.Attributes = append(n.Attributes, attribute("value_int", model.IntKind, int64(3)))
		}
		for j := range 1 + r.IntN(2) {
			n.Outputs = append(n.Outputs, fmt.Sprintf("%s.%d.%d", tag, i, j))
		}
		if depth > 0 && r.IntN(6) == 0 {
			n.Op = "If"
			n.Attributes = []*model.Attribute{attribute("then_branch", model.GraphKind, random(r, depth-1, known)), attribute("else_branch", model.GraphKind, random(r, depth-1, known))}
		}
		known = append(known, n.Outputs...)
		b.Nodes = append(b.Nodes, n)
	}
	for range 1 + r.IntN(2) {
		b.Outputs = append(b.Outputs, &model.Value{Name: known[len(known)-1-r.IntN(2)]})
	}
	if r.IntN(3) == 0 { // in no order
		r.Shuffle(len(b.Nodes), func(i, j int) { b.Nodes[i], b.Nodes[j] = b.Nodes[j], b.Nodes[i] })
	}
	return b
}

// TestFold: blocks that are alike are drawn once, and only where they are.
func TestFold(t *testing.T) {
	folds := func(g *model.Graph) string {
		s := &scope{from: map[string]source{}}
		for _, c := range g.Main.Initializers {
			s.from[c.Name] = source{tensor: tensorText(c)}
		}
		var list []string
		for _, f := range repeats(g.Main.Nodes, s.tensors(g.Main.Nodes)) {
			list = append(list, fmt.Sprintf("%d:%dx%d", f.first, f.times, f.period))
		}
		return strings.Join(list, " ")
	}
	if got := folds(layers(60)); got != "1:60x10" {
		t.Errorf("60 layers: %s", got)
	}
	g := layers(60)
	g.Main.Nodes[1+10*20].Op = "Other"
	if got := folds(g); got != "1:20x10 202:39x10" {
		t.Errorf("with another node in one of them: %s", got)
	}
	g = layers(60)
	g.Main.Nodes[1+10*30+8].Inputs[0] = "b30.s" // the same operators, wired otherwise
	if got := folds(g); got != "1:30x10 311:29x10" {
		t.Errorf("with other wiring in one of them: %s", got)
	}
	g = layers(60)
	g.Main.Initializers[1+4*10].Shape = []int64{64, 32}
	if got := folds(g); got != "1:10x10 102:49x10" {
		t.Errorf("with another shape in one of them: %s", got)
	}
	g = layers(60)
	g.Main.Nodes[0], g.Main.Nodes[300] = g.Main.Nodes[300], g.Main.Nodes[0]
	if got := folds(g); got != "" {
		t.Errorf("out of order: %s", got)
	}

	d := New(graphs["blocks"]())
	if n := mostNodes - d.nodes; n != 12 {
		t.Errorf("%d nodes are drawn of 602 in 60 layers", n)
	}
	if dot := string(d.Dot()); !strings.Contains(dot, "60 times") || strings.Contains(dot, "not drawn") {
		t.Error("it does not say that there are 60")
	}
}

// TestBounds: whatever is drawn stays small, and is drawn soon.
func TestBounds(t *testing.T) {
	chain := func(n int, op func(i int) string) *model.Graph {
		b := &model.Body{Inputs: values{typed("v0", model.F32, 1)}, Outputs: values{{Name: fmt.Sprint("v", n)}}}
		for i := range n {
			b.Nodes = append(b.Nodes, node(fmt.Sprintf("v%d = %s v%d", i+1, op(i), i)))
		}
		return graphOf(b)
	}
	r := rand.New(rand.NewPCG(1, 2))
	ops := []string{"Add", "Mul", "Relu", "Conv", "Exp"}
	wide := &model.Body{}
	all := &model.Node{Op: "Concat", Outputs: []string{"y"}}
	for i := range 20_000 {
		wide.Inputs = append(wide.Inputs, typed(fmt.Sprint("x", i), model.F32, 1))
		wide.Outputs = append(wide.Outputs, typed(fmt.Sprint("o", i), model.F32, 1))
		all.Inputs = append(all.Inputs, fmt.Sprint("x", i))
		wide.Nodes = append(wide.Nodes, node(fmt.Sprintf("o%d = Relu x%d", i, i)))
	}
	wide.Nodes = append(wide.Nodes, all)
	dense := &model.Body{Inputs: values{typed("v0", model.F32)}}
	names := []string{"v0"}
	for i := range 450 {
		n := &model.Node{Op: fmt.Sprint("Op", i), Inputs: slices.Clone(names), Outputs: []string{fmt.Sprintf("v%d", i+1), fmt.Sprintf("u%d", i+1)}}
		names = append(names, n.Outputs...)
		dense.Nodes = append(dense.Nodes, n)
	}
	holder := &model.Node{Op: "Many", Outputs: []string{"y"}}
	var bodies []*model.Body
	for range 20_000 {
		bodies = append(bodies, &model.Body{Inputs: wide.Inputs[:100], Outputs: wide.Inputs[:100]})
	}
	holder.Attributes = append(holder.Attributes, attribute("graphs", model.GraphsKind, bodies))
	deep := &model.Body{Outputs: values{{Name: "x"}}, Inputs: values{{Name: "x"}}}
	for range 40 {
		deep = &model.Body{Inputs: values{typed("x", model.F32)}, Nodes: nodes{node("y = Loop x", attribute("body", model.GraphKind, deep))}, Outputs: values{{Name: "y"}}}
	}
	var many []Part
	for range 500 {
		many = append(many, Part{"m", layers(2), 1})
	}
	for name, parts := range map[string][]Part{
		"a chain":       {{"", chain(40_000, func(int) string { return "Relu" }), 1}},
		"a random one":  {{"", chain(40_000, func(int) string { return ops[r.IntN(len(ops))] }), 1}},
		"a wide one":    {{"", graphOf(wide), 1}},
		"a dense one":   {{"", graphOf(dense), 1}},
		"many within":   {{"", graphOf(&model.Body{Nodes: nodes{holder}, Outputs: values{{Name: "y"}}}), 1}},
		"a deep one":    {{"", graphOf(deep), 1}},
		"many":          many,
		"many layers":   {{"", layers(3000), 1}},
		"nothing in it": {{"", graphOf(&model.Body{}), 0}},
	} {
		began := time.Now()
		d := New(parts)
		svg, dot := d.SVG(), d.Dot()
		took := time.Since(began)
		if len(svg) > 4<<20 || len(dot) > 2<<20 || took > 5*time.Second {
			t.Errorf("%s: %d and %d bytes in %v", name, len(svg), len(dot), took)
		}
		t.Logf("%s: %d and %d bytes in %v", name, len(svg), len(dot), took)
		sound(t, name, d)
	}
}

// TestNames: a name is what it is to whoever reads the drawing, and cannot end what it stands in.
func TestNames(t *testing.T) {
	d := New(graphs["names"]())
	g, err := parseDot(string(d.Dot()))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(g.strings, "\n")
	for _, want := range []string{`<script>alert(\"&amp;amp;\")</script>`, `Op\"];}`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
	svg := string(d.SVG())
	if strings.Contains(svg, "<script") || strings.Contains(svg, "\x1b") || strings.Contains(svg, "\u202e") || len(svg) > 8<<10 {
		t.Errorf("%.3000s", svg)
	}
	if strings.Contains(string(d.Dot()), "\x1b") {
		t.Error("a control character")
	}
}

// TestOperators: each operator is of one class.
func TestOperators(t *testing.T) {
	seen := map[string]bool{}
	for _, list := range operators {
		for _, op := range list {
			if seen[op] {
				t.Errorf("%s is of two classes", op)
			}
			seen[op] = true
		}
	}
	for c, colour := range colours {
		if colour == "" {
			t.Errorf("class %d has no colour", c)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{"a\nb\u2028c\x7f": "a b c ", "é大": "é大", "\xff": "\ufffd", "0123456789a": "012345678…", "012345678\xe5": "012345678\ufffd"} {
		if got := clean(in, 10); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	if got := tail("0123456789abc", 10); got != "…456789abc" {
		t.Errorf("%q", got)
	}
}
