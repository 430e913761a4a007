package graph

import (
	"strconv"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// stay lists the operators that compute in float32 in a narrowed graph, with a Cast before and behind them where their
// neighbours do not: the block list of ONNX Runtime's converter, onnxruntime.transformers.float16.
var stay = set("ArrayFeatureExtractor", "Binarizer", "CastMap", "CategoryMapper", "DictVectorizer", "FeatureVectorizer", "Imputer", "LabelEncoder",
	"LinearClassifier", "LinearRegressor", "Normalizer", "OneHotEncoder", "RandomUniformLike", "SVMClassifier", "SVMRegressor", "Scaler",
	"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble", "ZipMap", "NonMaxSuppression", "TopK", "RoiAlign", "Range", "CumSum", "Min", "Max", "Upsample")

// guarded lists the operators whose results or sums leave the range of float16 in models that are right in float32:
// squares, powers and sums of many. They stay in float32 too.
var guarded = set("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization", "Pow", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "Exp")

// followers lists the operators that stay in float32 where all they get are results of guarded operators, or numbers
// that come from shapes, and constants: the variance that an epsilon is added to, the count that a sum is divided by.
var followers = set("Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Neg", "Floor", "Ceil", "Round", "Abs", "Mod", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Gather", "Slice", "ReduceProd")

// wrapped lists the operators that the specification gives bfloat16 before the operators that ONNX Runtime expands them
// to take it, with the opset from which those do. Their tensors are narrowed, and they compute in float32.
var wrapped = map[string]int64{
	"Clip": 16, "SoftmaxCrossEntropyLoss": 22, "MeanVarianceNormalization": 15,
	"Bernoulli": 22, "BlackmanWindow": 22, "HammingWindow": 22, "HannWindow": 22,
}

// single lists, of operators of com.microsoft, the inputs that stay in float32 while the others are narrowed.
var single = map[string][]int{"GroupNorm": {1, 2}, "SkipGroupNorm": {1, 2}}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// Half narrows a graph from float32 to float16 or bfloat16, as ONNX Runtime's converter does with keep_io_types: the
// inputs and outputs of the model keep their names, types and shapes, with a Cast behind or before them. Only float32
// is narrowed; op turns its elements into those of to.
//
// Each operator with a float32 type that can be narrowed computes in the narrow type, but for those that stay (see
// stay and guarded), those that are not known, functions of the model, and what handles sequences and optionals. A
// Cast stands only where a value is needed in the type that it is not computed in. A tensor is narrowed where an
// operator takes it so, and kept in float32 besides where another needs it; one that only operators in float32 take is
// left alone. Inputs that no version of an operator takes narrow (the scales of Resize) get float32.
//
// A graph without float32 is fault.Unsupported, and so is one with an operator that takes float16 but not bfloat16, in
// the version it has, where to is bfloat16.
func Half(g *model.Graph, to model.DType, op layout.Op) (*model.Graph, error) {
	g, err := Sort(g)
	if err != nil {
		return nil, err
	}
	h := &half{g: g, dtype: to, op: op, kind: "h", number: onnxFloat16, name: "float16", suffix: "_cast_to_fp16",
		names: map[string]bool{}, values: map[*scope]map[string]*value{}, before: map[*model.Node][]*model.Node{}, after: map[*model.Node][]*model.Node{}, first: map[*scope][]*model.Node{}, tender: map[*value]bool{}}
	if to == model.BF16 {
		h.kind, h.number, h.name, h.suffix = "b", onnxBFloat16, "bfloat16", "_cast_to_bf16"
		if v := g.Opset(""); v < 13 {
			return nil, fault.New(fault.Unsupported, "no operator of opset %d takes bfloat16", v).Remedied("opset 13 is the first that has it")
		}
	}
	h.types = infer(g)
	h.collect(g.Main)
	if err := h.block(g.Main, nil, nil); err != nil {
		return nil, err
	}
	if len(h.order) == 0 {
		return nil, fault.New(fault.Unsupported, "the graph computes nothing in float32, so there is nothing to narrow")
	}
	for _, v := range h.order {
		if err := h.settle(v); err != nil {
			return nil, err
		}
	}
	for s := range h.values {
		s.block.Nodes = h.woven(s)
	}
	return g, nil
}

// half is the state of the pass.
type half struct {
	g      *model.Graph
	dtype  model.DType
	op     layout.Op
	kind   kind
	number int64 // of dtype in ONNX's numbers
	name   string
	suffix string

	types  *typer
	names  map[string]bool // all that are in use: of values and of nodes
	values map[*scope]map[string]*value
	order  []*value
	tender map[*value]bool // results of guarded operators and of their followers

	first  map[*scope][]*model.Node      // nodes to add at the beginning of a block
	after  map[*model.Node][]*model.Node // behind a node
	before map[*model.Node][]*model.Node // and in front of one
}

// home is the type that a value is computed in.
type home uint8

const (
	wide     home = iota // float32
	narrow               // the target
	constant             // a tensor: either, or both
	source               // the output of a node whose attribute says the type: either
)

// value is one of kind float, before it is narrowed.
type value struct {
	name     string
	scope    *scope
	home     home
	constant *model.Constant // of an initializer
	node     *model.Node     // that gives it
	at       int             // which of its outputs
	input    int             // the place among the model's inputs, or -1
	result   int             // and among its outputs
	listed   *model.Value    // an input that only lists an initializer: IR 3
	declared []*model.Value

	wide, half, either []*string // where it is used, by the type that is needed there
}

// collect notes every name that is in use.
func (h *half) collect(b *model.Body) {
	for _, list := range [][]*model.Value{b.Inputs, b.Outputs, b.Values} {
		for _, v := range list {
			h.names[v.Name] = true
		}
	}
	for _, c := range b.Initializers {
		h.names[c.Name] = true
	}
	for _, n := range b.Nodes {
		h.names[n.Name] = true
		for _, out := range n.Outputs {
			h.names[out] = true
		}
		for _, inner := range n.Bodies() {
			h.collect(inner)
		}
	}
}

// fresh is a name that is not in use: base, or base with a number.
func (h *half) fresh(base string) string {
	name := base
	for i := 1; h.names[name]; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	h.names[name] = true
	return name
}

// define adds a value that the scope defines.
func (h *half) define(s *scope, name string, at home) *value {
	v := &value{name: name, scope: s, home: at, input: -1, result: -1}
	h.values[s][name] = v
	h.order = append(h.order, v)
	return v
}

// find is the float32 value that a name means in a scope; nil where it is none.
func (h *half) find(s *scope, name string) *value {
	if d := s.at(name); d != nil {
		return h.values[d][name]
	}
	return nil
}

// block decides the types of everything in a block. narrowed says which of its inputs and outputs the node around it
// narrows; the main graph has no such node.
func (h *half) block(b *model.Body, inputs, outputs []bool) error {
	s := h.types.scopes[b]
	h.values[s] = map[string]*value{}
	main := b == h.g.Main
	for i, in := range b.Inputs {
		if s.types[in.Name] != float {
			continue
		}
		v := h.define(s, in.Name, wide)
		if main {
			v.input = i
		} else if i < len(inputs) && inputs[i] {
			v.home = narrow
			h.retype(in)
		}
	}
	for _, c := range b.Initializers {
		if c.DType != model.F32 {
			continue
		}
		v := h.values[s][c.Name]
		if v == nil {
			v = h.define(s, c.Name, constant)
			v.constant = c
		} else if main && h.g.IRVersion < 4 { // there every initializer must be listed as an input, and is none
			v.home, v.constant, v.listed, v.input = constant, c, b.Inputs[v.input], -1
		}
	}
	for _, c := range b.Sparse {
		if c.Values != nil && c.Values.DType == model.F32 {
			h.define(s, c.Values.Name, wide)
		}
	}
	for _, n := range b.Nodes {
		if err := h.decide(s, n); err != nil {
			return err
		}
	}
	for i, out := range b.Outputs {
		v := h.find(s, out.Name)
		switch {
		case v == nil:
		case main:
			if v.result < 0 {
				v.result = i
			}
		case i < len(outputs) && outputs[i]:
			v.half = append(v.half, &out.Name)
			h.retype(out)
		default:
			v.wide = append(v.wide, &out.Name)
		}
	}
	for _, d := range b.Values {
		if v := h.values[s][d.Name]; v != nil {
			v.declared = append(v.declared, d)
		}
	}
	return nil
}

// retype makes the declared type of a value the narrow one.
func (h *half) retype(v *model.Value) {
	if v.Type != nil && v.Type.DType == model.F32 {
		v.Type.DType = h.dtype
	}
}

// give defines output i of a node, where that is float32.
func (h *half) give(s *scope, n *model.Node, i int, at home) *value {
	name := n.Output(i)
	if name == "" || s.types[name] != float {
		return nil
	}
	v := h.define(s, name, at)
	v.node, v.at = n, i
	return v
}

// take notes the need for input i of a node.
func (h *half) take(s *scope, n *model.Node, i int, need func(v *value) *[]*string) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return
	}
	if v := h.find(s, n.Inputs[i]); v != nil {
		list := need(v)
		*list = append(*list, &n.Inputs[i])
	}
}

func needWide(v *value) *[]*string   { return &v.wide }
func needHalf(v *value) *[]*string   { return &v.half }
func needEither(v *value) *[]*string { return &v.either }

// keep leaves a node in float32, with all that its subgraphs do.
func (h *half) keep(s *scope, n *model.Node) {
	reads(n, func(name *string) {
		if v := h.find(s, *name); v != nil {
			v.wide = append(v.wide, name)
		}
	})
	for i := range n.Outputs {
		h.give(s, n, i, wide)
	}
}

// decide decides the types that a node computes in.
func (h *half) decide(s *scope, n *model.Node) error {
	o := operatorOf(n, h.g.Opset(n.Domain))
	if o == nil || h.types.functionOf(n) != nil || stay[n.Op] || h.foreign(s, n, o) {
		h.keep(s, n)
		return nil
	}
	if model.Standard(n.Domain) {
		switch n.Op {
		case "If", "Loop", "Scan":
			return h.control(s, n, o)
		case "Constant":
			h.give(s, n, 0, wide)
			if v := h.values[s][n.Output(0)]; v != nil && stored(n) != nil {
				v.home = constant
			}
			return nil
		case "Shape", "Size":
			h.take(s, n, 0, needEither)
			return nil
		case "ConstantOfShape":
			h.generate(s, n, o)
			return nil
		}
		if _, ok := generators[n.Op]; ok {
			for i := range n.Inputs {
				h.take(s, n, i, needEither)
			}
			h.generate(s, n, o)
			return nil
		}
	}
	if h.range16(s, n) {
		h.keep(s, n)
		for i := range n.Outputs {
			if v := h.values[s][n.Output(i)]; v != nil {
				h.tender[v] = true
			}
		}
		return nil
	}
	if h.expanded(n) {
		h.wrap(s, n)
		return nil
	}
	narrowed := map[byte]bool{}
	for i, name := range n.Inputs {
		if name == "" || s.kind(name) != float {
			continue
		}
		p, _, ok := parameterAt(o.inputs, i)
		switch {
		case !ok || p.variable == 0 || n.Domain == "com.microsoft" && contains(single[n.Op], i):
			h.take(s, n, i, needWide)
		case o.admits(p.variable, h.kind):
			narrowed[p.variable] = true
			h.take(s, n, i, needHalf)
		case h.dtype == model.BF16 && o.admits(p.variable, "h"):
			return h.refuse(n)
		default:
			h.take(s, n, i, needWide)
		}
	}
	follows := false
	if n.Is("DequantizeLinear") && len(narrowed) > 0 { // its output is of the scale's type, or of one that an attribute says
		follows = true
		h.setNumber(n, "output_dtype", onnxFloat)
	}
	for i := range n.Outputs {
		at := wide
		if p, _, ok := parameterAt(o.outputs, i); ok && p.variable != 0 && (narrowed[p.variable] || follows) {
			at = narrow
		}
		h.give(s, n, i, at)
	}
	return nil
}

// expanded reports whether a node is one that can't compute in the narrow type for what it is expanded to.
func (h *half) expanded(n *model.Node) bool {
	return model.Standard(n.Domain) && h.dtype == model.BF16 && h.g.Opset("") < wrapped[n.Op]
}

// wrap has a node compute in float32 between neighbours in the narrow type.
func (h *half) wrap(s *scope, n *model.Node) {
	for i, name := range n.Inputs {
		v := h.find(s, name)
		if v == nil {
			continue
		}
		c := h.newCast(name, h.fresh(name+"_cast_to_fp32"), onnxFloat)
		v.half = append(v.half, &c.Inputs[0])
		n.Inputs[i] = c.Outputs[0]
		h.before[n] = append(h.before[n], c)
	}
	for i, name := range n.Outputs {
		if v := h.give(s, n, i, narrow); v != nil {
			n.Outputs[i] = h.fresh(name + h.suffix)
			v.node, v.at = h.newCast(n.Outputs[i], name, h.number), 0
			h.after[n] = append(h.after[n], v.node)
		}
	}
}

// refuse is why a graph can't be narrowed to bfloat16.
func (h *half) refuse(n *model.Node) error {
	domain := "ai.onnx"
	if !model.Standard(n.Domain) {
		domain = n.Domain
	}
	return fault.New(fault.Unsupported, "%s takes no bfloat16 in opset %d of %s", nodeName(n), h.g.Opset(n.Domain), domain)
}

// foreign reports whether a node handles float32 in a way that can't be narrowed: in a sequence or an optional, or
// beside a value whose type is not known and may be the same.
func (h *half) foreign(s *scope, n *model.Node, o *operator) bool {
	for _, name := range n.Inputs {
		if name != "" && container(s.kind(name)) {
			return true
		}
	}
	for _, name := range n.Outputs {
		if name != "" && container(s.types[name]) {
			return true
		}
	}
	if n.Is("If", "Loop", "Scan") {
		return false
	}
	for i, name := range n.Inputs {
		if p, _, ok := parameterAt(o.inputs, i); ok && name != "" && p.variable != 0 && s.kind(name) == unknown && o.admits(p.variable, float) {
			return true
		}
	}
	return false
}

func container(k kind) bool { return len(k) > 1 && k[len(k)-1] == 'f' }

// range16 reports whether a node stays in float32 for its results' sake.
func (h *half) range16(s *scope, n *model.Node) bool {
	if guarded[n.Op] {
		return true
	}
	if !model.Standard(n.Domain) || !followers[n.Op] {
		return false
	}
	tender, sized, weight := false, false, false
	for _, name := range n.Inputs {
		d := s.at(name)
		switch {
		case name == "" || d == nil || d.types[name] == other:
		case d.small[name]:
			weight = weight || h.weight(d, name)
		case h.tender[h.values[d][name]]:
			tender = true
		case d.sized[name]:
			sized = true
		default:
			return false
		}
	}
	return tender || sized && !weight
}

// weight reports whether a tensor has a name that people know it by, and so is one of the model's weights.
func (h *half) weight(s *scope, name string) bool {
	v := h.values[s][name]
	if v == nil {
		return false
	}
	if v.node == nil {
		return true
	}
	c := stored(v.node)
	return c != nil && c.Name != ""
}

func contains(list []int, x int) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// generate gives the output of a node whose attribute says its type.
func (h *half) generate(s *scope, n *model.Node, o *operator) {
	v := h.give(s, n, 0, source)
	if v == nil {
		return
	}
	if p, _, ok := parameterAt(o.outputs, 0); !ok || p.variable == 0 || !o.admits(p.variable, h.kind) || h.expanded(n) {
		v.home = wide
	}
}

// control narrows what goes through an If, a Loop or a Scan.
func (h *half) control(s *scope, n *model.Node, o *operator) error {
	blocks := n.Bodies()
	outs := make([]bool, len(n.Outputs))
	refused := false
	choose := func(kinds ...kind) bool {
		for _, k := range kinds {
			if k != float {
				return false
			}
		}
		last := o.outputs[len(o.outputs)-1].variable
		if !o.admits(last, h.kind) {
			refused = refused || h.dtype == model.BF16
			return false
		}
		return true
	}
	kindAt := func(b *model.Body, list []*model.Value, i int) kind {
		if i >= len(list) {
			return unknown
		}
		return h.types.scopes[b].kind(list[i].Name)
	}
	if n.Op == "If" {
		h.takeOther(s, n, 0)
		for i := range outs {
			kinds := []kind{s.types[n.Output(i)]}
			if n.Output(i) == "" {
				kinds = nil
			}
			for _, b := range blocks {
				kinds = append(kinds, kindAt(b, b.Outputs, i))
			}
			outs[i] = choose(kinds...)
		}
		if refused {
			return h.refuse(n)
		}
		for _, b := range blocks {
			if err := h.block(b, nil, outs); err != nil {
				return err
			}
		}
		h.giveAll(s, n, outs)
		return nil
	}
	if len(blocks) != 1 {
		return fault.New(fault.Malformed, "%s has %d bodies", nodeName(n), len(blocks))
	}
	body := blocks[0]
	// state values: input skip+i of the node is input from+i of the body, whose output back+i is output i of the node
	skip, from, back, states := 2, 2, 1, len(n.Inputs)-2
	if n.Op == "Scan" {
		skip, from, back = 0, 0, 0
		if h.g.Opset("") < 9 {
			skip = 1
		}
		states = len(n.Inputs) - skip - int(min(n.Int("num_scan_inputs", 0), int64(len(n.Inputs))))
	}
	states = max(0, states)
	ins, bodyOuts := make([]bool, len(body.Inputs)), make([]bool, len(body.Outputs))
	for i := 0; skip+i < len(n.Inputs); i++ {
		kinds := []kind{s.kind(n.Input(skip + i)), kindAt(body, body.Inputs, from+i)}
		if i < states {
			kinds = append(kinds, kindAt(body, body.Outputs, back+i))
		}
		if from+i >= len(ins) || !choose(kinds...) {
			h.take(s, n, skip+i, needWide)
			continue
		}
		ins[from+i] = true
		h.take(s, n, skip+i, needHalf)
		if i < states {
			bodyOuts[back+i] = true
			if i < len(outs) {
				outs[i] = true
			}
		}
	}
	for i := states; back+i < len(bodyOuts); i++ {
		if bodyOuts[back+i] = choose(kindAt(body, body.Outputs, back+i)); bodyOuts[back+i] && i < len(outs) {
			outs[i] = true
		}
	}
	if refused {
		return h.refuse(n)
	}
	if err := h.block(body, ins, bodyOuts); err != nil {
		return err
	}
	h.giveAll(s, n, outs)
	return nil
}

// takeOther notes the need for an input that is no float in a graph that is right.
func (h *half) takeOther(s *scope, n *model.Node, i int) { h.take(s, n, i, needWide) }

func (h *half) giveAll(s *scope, n *model.Node, narrowed []bool) {
	for i := range n.Outputs {
		at := wide
		if narrowed[i] {
			at = narrow
		}
		h.give(s, n, i, at)
	}
}

// setNumber changes an attribute that says an element type, from float32.
func (h *half) setNumber(n *model.Node, name string, from int64) {
	if a := n.Attribute(name); a != nil {
		if v, ok := a.Value.(int64); ok && v == from {
			a.Value = h.number
		}
	}
}
