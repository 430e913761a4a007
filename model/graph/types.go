package graph

import (
	"strings"

	"github.com/isomerfs/isomerfs/model"
)

// scope is what is known of the values of a block.
type scope struct {
	outer *scope
	block *model.Body
	types map[string]kind // of the values that the block defines
	sized map[string]bool // of these, the ones that come from shapes alone
	small map[string]bool // and the constants of a few elements
}

func newScope(outer *scope, b *model.Body) *scope {
	return &scope{outer: outer, block: b, types: map[string]kind{}, sized: map[string]bool{}, small: map[string]bool{}}
}

// typer finds the kinds of values, from what tensors say of themselves, what inputs and values are declared as, and
// the operators' table.
type typer struct {
	functions map[functionKey]*model.Function
	scopes    map[*model.Body]*scope
	depth     int  // of functions within functions
	left      *int // how many nodes may be looked at before no further round and no function is
}

// deepest is how many functions may use one another before their types are left unknown.
const deepest = 16

// infer is the kinds of the values of a graph whose nodes are in order.
func infer(g *model.Graph) *typer {
	left := 1 << 20
	g.Main.Walk(func(*model.Body, *model.Node) { left += 8 })
	t := &typer{functions: map[functionKey]*model.Function{}, scopes: map[*model.Body]*scope{}, left: &left}
	for _, f := range g.Functions {
		t.functions[keyOf(f.Domain, f.Name, f.Overload)] = f
	}
	t.block(g.Main, nil, nil, g.Opset)
	return t
}

// at is the scope that a name means something in: that of a block, or the nearest around it; nil where there is none.
func (s *scope) at(name string) *scope {
	for ; s != nil; s = s.outer {
		if _, ok := s.types[name]; ok {
			return s
		}
	}
	return nil
}

func (s *scope) kind(name string) kind {
	if d := s.at(name); d != nil {
		return d.types[name]
	}
	return unknown
}

// block types a block whose inputs are of the given kinds, where they are known, and gives those of its outputs.
func (t *typer) block(b *model.Body, outer *scope, inputs []kind, opset func(string) int64) []kind {
	s := newScope(outer, b)
	t.scopes[b] = s
	declared := map[string]kind{}
	for _, list := range [][]*model.Value{b.Values, b.Outputs} {
		for _, v := range list {
			if k := kindOf(v.Type); k != unknown {
				declared[v.Name] = k
			}
		}
	}
	for i, v := range b.Inputs {
		k := kindOf(v.Type)
		if k == unknown && i < len(inputs) {
			k = inputs[i]
		}
		s.types[v.Name] = k
	}
	for _, c := range b.Initializers {
		s.types[c.Name] = kindOfElements(c.DType)
		s.small[c.Name] = small(c)
	}
	for _, c := range b.Sparse {
		if c.Values != nil {
			s.types[c.Values.Name] = kindOfElements(c.Values.DType)
		}
	}
	t.nodes(b.Nodes, s, declared, opset)
	outs := make([]kind, len(b.Outputs))
	for i, v := range b.Outputs {
		if outs[i] = s.kind(v.Name); outs[i] == unknown {
			outs[i] = declared[v.Name]
		}
	}
	return outs
}

// nodes types the outputs of nodes. Where an operator is not known and an output not declared, what the operators that
// use it say of it goes back to it: a second round knows more.
func (t *typer) nodes(nodes []*model.Node, s *scope, declared map[string]kind, opset func(string) int64) {
	const rounds = 3
	for range rounds {
		open, learnt := false, false
		*t.left -= len(nodes)
		for _, n := range nodes {
			outs := t.node(n, s, opset)
			for i, name := range n.Outputs {
				if name == "" {
					continue
				}
				k := unknown
				if i < len(outs) {
					k = outs[i]
				}
				if k == unknown {
					k = s.types[name]
				}
				if k == unknown {
					k = declared[name]
				}
				s.types[name] = k
				open = open || k == unknown
			}
			if o := operatorOf(n, opset(n.Domain)); o != nil && s.unify(n, o) {
				learnt = true
			}
		}
		if !open || !learnt || *t.left < 0 {
			return
		}
	}
}

// unify gives the kind of a variable to the inputs of a node that are bound to it and not known, and reports whether
// there were any.
func (s *scope) unify(n *model.Node, o *operator) bool {
	bound, learnt := s.bind(n, o), false
	for i, name := range n.Inputs {
		p, at, ok := parameterAt(o.inputs, i)
		if name == "" || !ok {
			continue
		}
		k := p.fixed
		if p.variable != 0 {
			k = bound[at]
		}
		if d := s.at(name); d != nil && k != unknown && d.types[name] == unknown {
			d.types[name] = k
			learnt = true
		}
	}
	return learnt
}

// bind is what the inputs of a node make of the operator's variables, and where they leave one open, what its outputs
// are known to be.
func (s *scope) bind(n *model.Node, o *operator) map[slot]kind {
	bound := map[slot]kind{}
	for i, name := range n.Inputs {
		if p, at, ok := parameterAt(o.inputs, i); ok && p.variable != 0 && name != "" && bound[at] == unknown {
			bound[at] = s.kind(name)
		}
	}
	for i, name := range n.Outputs {
		if p, at, ok := parameterAt(o.outputs, i); ok && p.variable != 0 && name != "" && bound[at] == unknown && !p.free {
			bound[at] = s.types[name]
		}
	}
	return bound
}

// node is the kinds of a node's outputs; unknown where it can't be said.
func (t *typer) node(n *model.Node, s *scope, opset func(string) int64) []kind {
	s.size(n)
	in := func(i int) kind { return s.kind(n.Input(i)) }
	all := func(k kind) []kind {
		outs := make([]kind, len(n.Outputs))
		for i := range outs {
			outs[i] = k
		}
		return outs
	}
	if f := t.functionOf(n); f != nil {
		return t.function(f, n, s)
	}
	if model.Standard(n.Domain) {
		switch n.Op {
		case "If":
			var outs []kind
			for _, b := range n.Bodies() {
				for i, k := range t.block(b, s, nil, opset) {
					if i >= len(outs) {
						outs = append(outs, k)
					} else if outs[i] == unknown {
						outs[i] = k
					}
				}
			}
			return outs
		case "Loop":
			inputs := []kind{other, other}
			for i := 2; i < len(n.Inputs); i++ {
				inputs = append(inputs, in(i))
			}
			for _, b := range n.Bodies() {
				if outs := t.block(b, s, inputs, opset); len(outs) > 1 {
					return outs[1:]
				}
			}
			return nil
		case "Scan":
			skip := 0
			if opset("") < 9 {
				skip = 1 // the lengths of sequences come first
			}
			var inputs []kind
			for i := skip; i < len(n.Inputs); i++ {
				inputs = append(inputs, in(i))
			}
			for _, b := range n.Bodies() {
				return t.block(b, s, inputs, opset)
			}
			return nil
		case "SequenceMap":
			inputs := []kind{elementOf(in(0))}
			for i := 1; i < len(n.Inputs); i++ {
				inputs = append(inputs, elementOf(in(i)))
			}
			bodies := n.Bodies()
			if len(bodies) == 0 {
				return nil
			}
			outs := t.block(bodies[0], s, inputs, opset)
			for i := range outs {
				outs[i] = of("s", outs[i])
			}
			return outs
		case "SequenceConstruct", "SplitToSequence":
			return all(of("s", in(0)))
		case "SequenceAt", "ConcatFromSequence":
			return all(elementOf(in(0)))
		case "SequenceEmpty":
			return all(of("s", kindOfNumber(n.Int("dtype", onnxFloat))))
		case "Optional":
			if a := n.Attribute("type"); a != nil {
				if v, ok := a.Value.(*model.Type); ok {
					return all(of("o", kindOf(v)))
				}
			}
			return all(of("o", in(0)))
		case "OptionalGetElement":
			return all(kind(strings.TrimPrefix(string(in(0)), "o")))
		case "Constant":
			return all(constantKind(n))
		case "ConstantOfShape":
			if a := n.Attribute("value"); a != nil {
				if v := a.Constants(); len(v) == 1 {
					return all(kindOfElements(v[0].DType))
				}
				return all(unknown)
			}
			return all(float)
		case "DequantizeLinear":
			if k := kindOfNumber(n.Int("output_dtype", 0)); k != unknown {
				return all(k)
			}
			if k := in(1); k != unknown {
				return all(k)
			}
		case "BitCast":
			return all(kindOfNumber(n.Int("to", 0)))
		}
		if g, ok := generators[n.Op]; ok {
			if k := g.kind(n); k != unknown {
				return all(k)
			}
			if len(n.Inputs) > 0 && g.follows {
				return all(in(0))
			}
			return all(kindOfNumber(g.otherwise))
		}
	} else {
		for _, b := range n.Bodies() {
			t.block(b, s, nil, opset)
		}
	}
	o := operatorOf(n, opset(n.Domain))
	if o == nil {
		return nil
	}
	bound := s.bind(n, o)
	outs := make([]kind, len(n.Outputs))
	for i := range outs {
		p, at, ok := parameterAt(o.outputs, i)
		switch {
		case !ok:
		case p.variable == 0:
			outs[i] = p.fixed
		case bound[at] != unknown:
			outs[i] = bound[at]
		default:
			outs[i] = o.only(p.variable)
		}
	}
	return outs
}

// elementOf is the kind of a sequence's elements; that of a tensor is its own.
func elementOf(k kind) kind { return kind(strings.TrimPrefix(string(k), "s")) }

// generator is an operator whose attribute says what type it gives.
type generator struct {
	attribute string
	otherwise int64 // the type where the attribute is absent, in ONNX's numbers
	follows   bool  // it is the input's then
}

var generators = map[string]generator{
	"Cast":            {attribute: "to"},
	"EyeLike":         {attribute: "dtype", follows: true},
	"RandomNormal":    {attribute: "dtype", otherwise: onnxFloat},
	"RandomUniform":   {attribute: "dtype", otherwise: onnxFloat},
	"Bernoulli":       {attribute: "dtype", follows: true},
	"BlackmanWindow":  {attribute: "output_datatype", otherwise: onnxFloat},
	"HammingWindow":   {attribute: "output_datatype", otherwise: onnxFloat},
	"HannWindow":      {attribute: "output_datatype", otherwise: onnxFloat},
	"MelWeightMatrix": {attribute: "output_datatype", otherwise: onnxFloat},

	"RandomNormalLike":  {attribute: "dtype", follows: true},
	"RandomUniformLike": {attribute: "dtype", follows: true},
}

// kind is what the attribute of a node says. Before opset 6 the type that Cast gives was a name.
func (g generator) kind(n *model.Node) kind {
	if a := n.Attribute(g.attribute); a != nil {
		switch v := a.Value.(type) {
		case int64:
			return kindOfNumber(v)
		case string:
			if k, ok := map[string]kind{"FLOAT": float, "FLOAT16": "h"}[v]; ok {
				return k
			}
			return other
		}
	}
	return unknown
}

// constantKind is the kind of what a Constant gives.
func constantKind(n *model.Node) kind {
	for _, a := range n.Attributes {
		switch a.Name {
		case "value", "sparse_value":
			if v, ok := a.Value.(*model.Constant); ok {
				return kindOfElements(v.DType)
			}
			if v, ok := a.Value.(*model.Sparse); ok && v.Values != nil {
				return kindOfElements(v.Values.DType)
			}
		case "value_float", "value_floats":
			return float
		case "value_int", "value_ints", "value_string", "value_strings":
			return other
		}
	}
	return unknown
}

// functionKey is how a call finds its function.
type functionKey struct{ domain, name, overload string }

func keyOf(domain, name, overload string) functionKey {
	if model.Standard(domain) {
		domain = ""
	}
	return functionKey{domain, name, overload}
}

// functionOf is the function of the graph that a node calls; nil where it calls none.
func (t *typer) functionOf(n *model.Node) *model.Function {
	return t.functions[keyOf(n.Domain, n.Op, n.Overload)]
}

// function is the kinds of the outputs of a call.
func (t *typer) function(f *model.Function, n *model.Node, s *scope) []kind {
	if t.depth >= deepest || *t.left < 0 {
		return nil
	}
	t.depth++
	defer func() { t.depth-- }()
	in := newScope(nil, nil)
	for i, name := range f.Inputs {
		in.types[name] = s.kind(n.Input(i))
	}
	declared := map[string]kind{}
	for _, v := range f.Values {
		declared[v.Name] = kindOf(v.Type)
	}
	inner := &typer{functions: t.functions, scopes: map[*model.Body]*scope{}, depth: t.depth, left: t.left}
	inner.nodes(f.Nodes, in, declared, f.Opset)
	outs := make([]kind, len(f.Outputs))
	for i, name := range f.Outputs {
		outs[i] = in.types[name]
	}
	return outs
}

// size notes which outputs of a node come from shapes alone: from Shape, Size, and operators over what does, with
// constants.
func (s *scope) size(n *model.Node) {
	if n.Is("Constant") {
		for _, a := range n.Attributes {
			switch v := a.Value.(type) {
			case *model.Constant:
				s.small[n.Output(0)] = small(v)
			case float32, int64:
				s.small[n.Output(0)] = true
			case []float32:
				s.small[n.Output(0)] = len(v) <= few
			case []int64:
				s.small[n.Output(0)] = len(v) <= few
			}
		}
		return
	}
	if n.Is("Shape", "Size") {
		s.sized[n.Output(0)] = true
		return
	}
	if !n.Is("Add", "Sub", "Mul", "Div", "Cast", "Gather", "Slice", "Squeeze", "Unsqueeze", "Concat", "Floor", "Ceil", "Round", "Sqrt", "Neg", "Identity", "Reshape", "Min", "Max", "Mod", "ReduceProd", "ReduceMax", "ReduceMin") {
		return
	}
	any := false
	for _, name := range n.Inputs {
		if name == "" {
			continue
		}
		d := s.at(name)
		switch {
		case d == nil:
			return
		case d.sized[name]:
			any = true
		case !d.small[name]:
			return
		}
	}
	if any {
		s.sized[n.Output(0)] = true
	}
}

// few is how many elements a constant may have that is a parameter and no weight.
const few = 8

// small reports whether a tensor has few elements.
func small(c *model.Constant) bool {
	n, err := model.Elements(c.Shape)
	return err == nil && n <= few
}
