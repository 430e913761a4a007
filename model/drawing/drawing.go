// Package drawing draws graphs: as text for Graphviz (https://graphviz.org/doc/info/lang.html), and as an SVG image
// (https://www.w3.org/TR/SVG11/) that needs no other program.
//
// A drawing shows nodes by their operator with the tensors they hold, values as lines with type and shape, subgraphs
// and functions as frames. It reads no tensor and is the same each time.
//
// Its size is bounded, whatever the graph: up to mostNodes nodes are drawn. In a larger graph a block of nodes that
// repeats is drawn once, with a note of how often it stands there; what is too much even so is left out, and said.
//
// Names are untrusted. They are shown without characters that control a terminal, cut where they are long, and
// escaped for the format they stand in.
package drawing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/model"
)

const (
	mostNodes   = 400  // nodes drawn; also from where on blocks that repeat are looked for
	mostParts   = 32   // graphs drawn, functions among them
	mostPorts   = 40   // inputs of one graph that are drawn, and outputs
	mostSources = 48   // lines into one node
	mostLines   = 3000 // lines in all
	mostBoxes   = 2000 // boxes in all, inputs and outputs among them
	mostFrames  = 100  // subgraphs
	mostTensors = 4    // tensors that are named within one node
	mostName    = 36   // characters of a name that are shown
	mostTip     = 300  // bytes of what a pointer on a node shows
)

// Part is one of the graphs of a drawing.
type Part struct {
	Name       string // "" for the only one
	Graph      *model.Graph
	Parameters int64 // of the model: elements of all its tensors
}

// Drawing is what is drawn, without its place.
type Drawing struct {
	plates []*plate
	lines  []line
	drawn  map[line]bool
	left   bool // some lines were left out
	nodes  int  // how many more may be drawn
	frames int  // subgraphs that are drawn
	next   int  // number of the next box
}

// plate is a frame with boxes in it: a graph, a subgraph, a function, or a block that repeats.
type plate struct {
	title string
	boxes []*box
	in    *box // the box whose subgraph it is; nil for a graph
}

// box is something that lines lead to.
type box struct {
	number int
	class  class
	text   []string // the first line says what it is
	tip    string
	inner  []*plate
	of     *plate
}

// line is a value on its way from the box that gives it to one that takes it.
type line struct {
	from, to *box
	value    string
	kind     string // type and shape; "" where nobody knows
}

// class is how a box looks.
type class uint8

const (
	plain   class = iota
	matrix        // multiplications with weights
	wave          // activations
	norm          // normalizations
	pool          // pooling and reductions
	shape         // what moves elements and changes none
	number        // element by element
	flow          // what holds subgraphs
	narrow        // quantization, casts
	foreign       // operators of a domain that is not ONNX's
	port          // inputs and outputs
	outer         // a value of the graph around
	block         // a block that repeats
	note          // what is left out
	classes       // how many there are
)

// colours are the fill of each class.
var colours = [classes]string{
	plain: "#ffffff", matrix: "#dbe7f6", wave: "#f6dfd9", norm: "#dcefdd", pool: "#d5ece9", shape: "#efe8d8", number: "#f4f4f4", flow: "#e8dff2",
	narrow: "#fbeecb", foreign: "#f3dcec", port: "#e9edf1", outer: "#ffffff", block: "#fafcff", note: "#fff7c7",
}

// operators say to what class an operator of ONNX's own belongs.
var operators = [classes][]string{
	matrix: {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "Einsum", "Attention", "LSTM", "GRU", "RNN", "DeformConv"},
	wave:   {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Tanh", "Softmax", "LogSoftmax", "Softplus", "Softsign", "Clip", "ThresholdedRelu", "Hardmax"},
	norm:   {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization", "MeanVarianceNormalization", "LRN", "Dropout"},
	pool: {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "LpPool", "MaxRoiPool", "RoiAlign", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin", "TopK"},
	shape: {"Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "Scatter", "ScatterElements", "ScatterND", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Pad",
		"Shape", "Size", "ConstantOfShape", "Identity", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "Range", "Compress", "OneHot", "Constant", "Where", "Trilu"},
	number: {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Exp", "Log", "Neg", "Abs", "Min", "Max", "Mean", "Sum", "Erf", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "Xor",
		"Floor", "Ceil", "Round", "Sign", "Reciprocal", "Mod", "Sin", "Cos", "CumSum"},
	flow:   {"If", "Loop", "Scan", "SequenceMap"},
	narrow: {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "BitCast"},
}

var classOf = func() map[string]class {
	of := map[string]class{}
	for c, list := range operators {
		for _, op := range list {
			of[op] = class(c)
		}
	}
	return of
}()

// New is the drawing of the graphs of one model, one below another. Each is a graph that was checked.
func New(parts []Part) *Drawing {
	d := &Drawing{nodes: mostNodes, drawn: map[line]bool{}}
	for i, p := range parts {
		if len(d.plates) == mostParts {
			d.plates = append(d.plates, &plate{title: fmt.Sprintf("and %d more models, which are not drawn", len(parts)-i)})
			break
		}
		b := p.Graph.Main
		title := clean(p.Name, mostName)
		if title == "" {
			title = clean(b.Name, mostName)
		}
		if title != "" {
			title += ": "
		}
		title += fmt.Sprintf("%s, %s, %s, %s, %s", plural(len(b.Nodes), "node"), plural(len(given(b)), "input"), plural(len(b.Outputs), "output"),
			plural(len(b.Initializers)+len(b.Sparse), "initializer"), plural(int(p.Parameters), "parameter"))
		d.plates = append(d.plates, d.body(b, nil, nil, title))
		for j, f := range p.Graph.Functions {
			if len(d.plates) >= mostParts {
				d.plates = append(d.plates, &plate{title: fmt.Sprintf("and %d more functions, which are not drawn", len(p.Graph.Functions)-j)})
				break
			}
			d.plates = append(d.plates, d.function(f))
		}
	}
	return d
}

// given are the inputs of a body that have no tensor as their default.
func given(b *model.Body) []*model.Value {
	held := map[string]bool{}
	for _, c := range b.Initializers {
		held[c.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(b.Inputs), func(v *model.Value) bool { return held[v.Name] })
}

// source is what gives a value: a box, or a tensor that stands within the node that takes it.
type source struct {
	box    *box
	tensor string // its type and shape
}

// scope is the values that a body knows.
type scope struct {
	d      *Drawing
	plate  *plate
	from   map[string]source
	kinds  map[string]string // types by name
	around *scope
	seen   map[string]*box // values of the bodies around that are shown in this plate
	cut    *box            // what stands for nodes that are left out
}

func (d *Drawing) box(p *plate, c class, tip string, text ...string) *box {
	b := &box{number: d.next, class: c, text: text, tip: clean(tip, mostTip), of: p}
	d.next++
	p.boxes = append(p.boxes, b)
	return b
}

// connect draws a line, once.
func (d *Drawing) connect(from, to *box, value, kind string) {
	l := line{from, to, clean(value, mostTip), clean(kind, mostName)}
	switch {
	case from == nil, to == nil, from == to, d.drawn[l]:
	case len(d.lines) == mostLines:
		d.left = true
	default:
		d.lines = append(d.lines, l)
		d.drawn[l] = true
	}
}

func (d *Drawing) function(f *model.Function) *plate {
	b := &model.Body{Nodes: f.Nodes, Values: f.Values}
	for _, name := range f.Inputs {
		b.Inputs = append(b.Inputs, &model.Value{Name: name})
	}
	for _, name := range f.Outputs {
		b.Outputs = append(b.Outputs, &model.Value{Name: name})
	}
	name := f.Name
	if f.Domain != "" {
		name = f.Domain + "." + name
	}
	return d.body(b, nil, nil, fmt.Sprintf("function %s: %s", clean(name, mostName), plural(len(f.Nodes), "node")))
}

// body draws a body, within in where that is a node's subgraph.
func (d *Drawing) body(b *model.Body, around *scope, in *box, title string) *plate {
	p := &plate{title: title, in: in}
	s := &scope{d: d, plate: p, from: map[string]source{}, kinds: map[string]string{}, around: around, seen: map[string]*box{}}
	for _, list := range [][]*model.Value{b.Inputs, b.Values, b.Outputs} {
		for _, v := range list {
			if v.Type != nil {
				s.kinds[v.Name] = v.Type.String()
			}
		}
	}
	for _, c := range b.Initializers {
		s.from[c.Name] = source{tensor: tensorText(c)}
	}
	for _, x := range b.Sparse {
		if x.Values != nil {
			s.from[x.Values.Name] = source{tensor: fmt.Sprintf("sparse %s%s", x.Values.DType, shapeText(x.Shape))}
		}
	}
	inputs := given(b)
	for i, v := range inputs {
		if i == mostPorts || d.next >= mostBoxes {
			rest := d.box(p, note, "", fmt.Sprintf("%d more inputs", len(inputs)-i))
			for _, v := range inputs[i:] {
				s.from[v.Name] = source{box: rest}
			}
			break
		}
		s.from[v.Name] = source{box: d.box(p, port, v.Name, "input", clean(v.Name, mostName))}
	}
	s.nodes(b)
	for i, v := range b.Outputs {
		if i == mostPorts || d.next >= mostBoxes {
			d.box(p, note, "", fmt.Sprintf("%d more outputs", len(b.Outputs)-i))
			break
		}
		text := []string{"output", clean(v.Name, mostName)}
		from := s.of(v.Name)
		if from.tensor != "" {
			text = append(text, from.tensor)
		}
		s.connect(from.box, d.box(p, port, v.Name, text...), v.Name)
	}
	return p
}

// nodes draws the nodes of a body.
func (s *scope) nodes(b *model.Body) {
	d := s.d
	results := map[string]bool{}
	for _, v := range b.Outputs {
		results[v.Name] = true
	}
	var nodes []*model.Node
	for _, n := range b.Nodes {
		if text, ok := constant(n); ok && !results[n.Output(0)] { // it is drawn where it is taken
			s.from[n.Output(0)] = source{tensor: text}
			continue
		}
		nodes = append(nodes, n)
	}
	var folds []fold
	if len(nodes) > d.nodes {
		folds = repeats(nodes, s.tensors(nodes))
	}
	// boxes first, so that a line finds both its ends whatever the order of the nodes
	boxes := make([]*box, len(nodes)) // of each node the box that stands for it; nil where none does
	drawn := []int{}                  // nodes that have a box of their own
	skipped := 0
	place := func(i int, p *plate) {
		if d.nodes == 0 {
			skipped++
			return
		}
		d.nodes--
		boxes[i] = d.node(nodes[i], p)
		drawn = append(drawn, i)
	}
	at := make([]*fold, len(nodes))
	for k := 0; k < len(folds); k++ {
		f := &folds[k]
		for i := f.first; i < f.end(); i++ {
			at[i] = f
		}
	}
	for i := 0; i < len(nodes); {
		f := at[i]
		if f == nil {
			place(i, s.plate)
			i++
			continue
		}
		if d.nodes < f.period { // not even one
			skipped += f.end() - i
			i = f.end()
			continue
		}
		around := d.box(s.plate, block, "", fmt.Sprintf("%d times", f.times))
		inner := &plate{title: fmt.Sprintf("the first of %d: %s", f.times, plural(f.period, "node")), in: around}
		around.inner = []*plate{inner}
		f.inner, f.taken = inner, map[int]*box{}
		for j := range f.period {
			place(i+j, inner)
		}
		for j := i + f.period; j < f.end(); j++ {
			boxes[j] = boxes[f.like(j)]
		}
		i = f.end()
	}
	for i, n := range nodes {
		for _, name := range n.Outputs {
			if name != "" && boxes[i] != nil {
				s.from[name] = source{box: boxes[i]}
			}
		}
	}
	if skipped > 0 {
		s.cut = d.box(s.plate, note, "", fmt.Sprintf("%d more nodes,", skipped), "which are not drawn")
		for i, n := range nodes {
			for _, name := range n.Outputs {
				if name != "" && boxes[i] == nil {
					s.from[name] = source{box: s.cut}
				}
			}
		}
	}
	maker := map[string]int{}
	if len(folds) > 0 {
		for i, n := range nodes {
			for _, name := range n.Outputs {
				maker[name] = i
			}
		}
	}
	for i, n := range nodes {
		switch {
		case at[i] == nil && boxes[i] != nil:
			s.takes(n, boxes[i], true, nil)
		case boxes[i] != nil: // of a block: what comes from outside it enters the first of its kind
			f := at[i]
			first := i < f.first+f.period
			s.takes(n, boxes[i], first, func(input int, name string, from source) *box {
				if j, ok := maker[name]; ok && f.first <= j && j < f.end() {
					if first && j < f.first+f.period {
						return from.box
					}
					return nil // from one of the blocks to the next
				}
				if from.box == nil {
					return nil
				}
				slot := (f.like(i)-f.first)<<20 | input&0xfffff
				in := f.taken[slot]
				if in == nil {
					for _, known := range f.inner.boxes {
						if known.class == outer && known.tip == clean(name, mostTip) {
							in = known
						}
					}
					if in == nil {
						in = d.box(f.inner, outer, name, clean(name, mostName))
					}
					f.taken[slot] = in
					s.connect(in, boxes[i], name)
				}
				s.connect(from.box, in, name)
				return nil
			})
		case s.cut != nil:
			for _, name := range n.Inputs {
				if from := s.from[name]; from.box != nil && from.box != s.cut && len(d.lines) < mostLines/2 {
					s.connect(from.box, s.cut, name)
				}
			}
		}
	}
	for _, i := range drawn {
		for _, a := range nodes[i].Attributes {
			for j, inner := range a.Bodies() {
				if d.frames == mostFrames {
					boxes[i].text = append(boxes[i].text, fmt.Sprintf("and %s, not drawn", plural(len(a.Bodies())-j, "subgraph")))
					break
				}
				d.frames++
				boxes[i].inner = append(boxes[i].inner, d.body(inner, s, boxes[i], fmt.Sprintf("%s: %s", clean(a.Name, mostName), plural(len(inner.Nodes), "node"))))
			}
		}
	}
}

// takes draws the lines into a node and, with named, names the tensors it holds. enter says from which box a value is
// drawn that the node takes; nil: from the one that gives it.
func (s *scope) takes(n *model.Node, to *box, named bool, enter func(input int, name string, from source) *box) {
	tensors, sources := 0, map[string]bool{}
	for i, name := range n.Inputs {
		if name == "" || sources[name] {
			continue
		}
		sources[name] = true
		from := s.of(name)
		if from.tensor != "" {
			if tensors++; named && tensors <= mostTensors {
				to.text = append(to.text, clean(from.tensor, mostName))
			}
			continue
		}
		if len(sources)-tensors > mostSources {
			continue
		}
		box := from.box
		if enter != nil {
			box = enter(i, name, from)
		}
		s.connect(box, to, name)
	}
	if more := tensors - mostTensors; named && more > 0 {
		to.text = append(to.text, fmt.Sprintf("and %d more tensors", more))
	}
}

func (s *scope) connect(from, to *box, name string) {
	kind := ""
	for at := s; at != nil && kind == ""; at = at.around {
		kind = at.kinds[name]
	}
	s.d.connect(from, to, name, kind)
}

// of is what gives a value. One of a body around is shown in this plate as a box of its own.
func (s *scope) of(name string) source {
	if from, ok := s.from[name]; ok {
		return from
	}
	if s.seen[name] != nil {
		return source{box: s.seen[name]}
	}
	for at := s.around; at != nil; at = at.around {
		from, ok := at.from[name]
		if !ok {
			continue
		}
		if from.box == nil {
			return from
		}
		if len(s.seen) == mostPorts || s.d.next >= mostBoxes {
			s.d.left = true
			return source{}
		}
		b := s.d.box(s.plate, outer, name, clean(name, mostName))
		s.seen[name] = b
		s.connect(from.box, b, name)
		return source{box: b}
	}
	return source{}
}

// tensors are what each node takes that is a tensor: its type and shape, by input.
func (s *scope) tensors(nodes []*model.Node) [][]string {
	list := make([][]string, len(nodes))
	for i, n := range nodes {
		list[i] = make([]string, len(n.Inputs))
		for j, name := range n.Inputs {
			list[i][j] = s.from[name].tensor
		}
	}
	return list
}

// node is the box of a node.
func (d *Drawing) node(n *model.Node, p *plate) *box {
	c, op := plain, n.Op
	if model.Standard(n.Domain) {
		c = classOf[n.Op]
	} else {
		c, op = foreign, n.Domain+"."+n.Op
	}
	if len(n.Bodies()) > 0 {
		c = flow
	}
	text := []string{clean(op, mostName)}
	if n.Name != "" {
		text = append(text, tail(n.Name, mostName))
	}
	tip := n.Name
	for _, a := range n.Attributes {
		if len(tip) > mostTip {
			break
		}
		if v := valueText(a); v != "" {
			tip += " " + a.Name + "=" + v
		}
	}
	return d.box(p, c, strings.TrimSpace(tip), text...)
}

// constant is a node that gives a tensor and takes nothing: the tensor's type and shape.
func constant(n *model.Node) (string, bool) {
	if !n.Is("Constant") || len(n.Inputs) > 0 || len(n.Outputs) != 1 || n.Output(0) == "" {
		return "", false
	}
	for _, a := range n.Attributes {
		switch v := a.Value.(type) {
		case *model.Constant:
			return tensorText(v), true
		case *model.Sparse:
			return "sparse " + shapeText(v.Shape), true
		case int64, float32:
			return fmt.Sprint(v), true
		case []int64:
			return list(v), true
		case []float32:
			return list(v), true
		case string, []string:
			return "a string", true
		}
	}
	return "", false
}

// valueText is an attribute's value on a few characters; "" where it is not of a kind that says something here.
func valueText(a *model.Attribute) string {
	switch v := a.Value.(type) {
	case int64, float32:
		return fmt.Sprint(v)
	case string:
		return clean(v, mostName)
	case []int64:
		return list(v)
	case []float32:
		return list(v)
	case *model.Constant:
		return tensorText(v)
	case *model.Type:
		return v.String()
	}
	return ""
}

// list is the first numbers of some.
func list[T any](v []T) string {
	const most = 6
	text := strings.ReplaceAll(fmt.Sprint(v[:min(len(v), most)]), " ", ",")
	if len(v) > most {
		text = strings.TrimSuffix(text, "]") + ",…]"
	}
	return text
}

func tensorText(c *model.Constant) string {
	if c == nil {
		return "nothing"
	}
	return c.DType.String() + shapeText(c.Shape)
}

func shapeText(shape []int64) string {
	dims := make([]string, 0, 8)
	for i, n := range shape {
		if i == 8 {
			dims = append(dims, "…")
			break
		}
		dims = append(dims, strconv.FormatInt(n, 10))
	}
	return "[" + strings.Join(dims, ",") + "]"
}

// plural is a number of things, with its thousands apart.
func plural(n int, thing string) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n != 1 {
		thing += "s"
	}
	return digits + " " + thing
}

// clean is untrusted text on one line of at most so many characters, without what moves a cursor or turns the
// direction of reading.
func clean(s string, most int) string {
	if len(s) > 4*most { // of any character at most four bytes
		s = s[:4*most]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ', 0x7f <= r && r < 0xa0, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, r == 0xfffe, r == 0xffff:
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return s
}

// tail is the same, of the end of a name: paths differ there.
func tail(s string, most int) string {
	if len(s) > 4*most {
		s = s[len(s)-4*most:]
	}
	s = clean(s, 4*most)
	if r := []rune(s); len(r) > most {
		s = "…" + string(r[len(r)-most+1:])
	}
	return s
}
