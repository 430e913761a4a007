package graph

import (
	"fmt"
	"strconv"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Check reports the first thing that keeps a graph from being one, with the node it is at. It asks for what ONNX's own
// checker and ONNX Runtime both ask for: names that are defined, and once; nodes that do not wait for each other;
// versions of the operator sets in use; functions that do not call themselves.
//
// Laxer than onnx.checker, and as ONNX Runtime is, it takes nodes in any order that can be sorted, graphs without a
// name, an output of a subgraph that is a value of the graph around it, and operators of a foreign set of which no
// version is imported. Which operators and attributes there are is not asked at all.
func Check(g *model.Graph) error {
	if g.IRVersion < 1 {
		return fault.New(fault.Malformed, "ir_version is %d", g.IRVersion)
	}
	if err := opsets(g.Opsets, "the model"); err != nil {
		return err
	}
	if g.IRVersion >= 3 && len(g.Opsets) == 0 {
		return fault.New(fault.Malformed, "the model imports no operator set, and from ir_version 3 on it must: this is %d", g.IRVersion)
	}
	if g.Main == nil {
		return fault.New(fault.Malformed, "the model has no graph")
	}
	if b := g.Main; len(b.Nodes) == 0 && len(b.Initializers) == 0 && len(b.Sparse) == 0 && len(b.Outputs) == 0 {
		return fault.New(fault.Malformed, "the graph is empty: it has no nodes, no outputs and no tensors")
	}
	c := checker{graph: g, opsets: g.Opsets, functions: map[call]*model.Function{}}
	for _, f := range g.Functions {
		key := call{f.Domain, f.Name, f.Overload}
		if f.Name == "" {
			return fault.New(fault.Malformed, "a function of domain %q has no name", f.Domain)
		}
		if c.functions[key] != nil {
			return fault.New(fault.Duplicate, "function %s is defined twice", key)
		}
		c.functions[key] = f
	}
	if err := c.body(g.Main, nil); err != nil {
		return err
	}
	for i, t := range g.Training {
		for _, b := range []*model.Body{t.Initialization, t.Algorithm} {
			if b != nil {
				if err := c.training(b); err != nil {
					return within(err, "training %d", i)
				}
			}
		}
	}
	for _, f := range g.Functions {
		if err := c.function(f); err != nil {
			return within(err, "function %s", call{f.Domain, f.Name, f.Overload})
		}
	}
	return c.calls()
}

// call is how a node names the function it applies.
type call struct{ domain, name, overload string }

func (c call) String() string {
	s := c.name
	if c.domain != "" {
		s = c.domain + "." + s
	}
	if c.overload != "" {
		s += ":" + c.overload
	}
	return strconv.Quote(s)
}

type checker struct {
	graph     *model.Graph
	opsets    []model.Opset // of the graph, or of the function that is looked at
	functions map[call]*model.Function
	inside    *model.Function // that function
}

// names are those of a body.
type names struct {
	defined  map[string]bool // by anything of the body
	ready    map[string]bool // before the node that is looked at
	outer    *names
	unsorted bool // something was used before it was ready
}

func newNames(outer *names) *names {
	return &names{defined: map[string]bool{}, ready: map[string]bool{}, outer: outer}
}

// has reports whether a name is defined where the scope is.
func (s *names) has(name string) bool {
	for ; s != nil; s = s.outer {
		switch {
		case s.ready[name]:
			return true
		case s.defined[name]:
			s.unsorted = true
			return true
		}
	}
	return false
}

func opsets(list []model.Opset, what string) error {
	seen := map[string]int64{}
	for _, o := range list {
		domain := o.Domain
		if model.Standard(domain) {
			domain = ""
		}
		if o.Version < 1 {
			return fault.New(fault.Malformed, "%s imports version %d of operator set %q", what, o.Version, o.Domain)
		}
		if v, ok := seen[domain]; ok && v != o.Version {
			return fault.New(fault.Duplicate, "%s imports versions %d and %d of operator set %q", what, v, o.Version, o.Domain)
		}
		seen[domain] = o.Version
	}
	return nil
}

func (c *checker) body(b *model.Body, outer *names) error {
	s := newNames(outer)
	inputs := map[string]*model.Value{}
	for _, v := range b.Inputs {
		if v.Name == "" {
			return fault.New(fault.Malformed, "an input of graph %q has no name", b.Name)
		}
		if inputs[v.Name] != nil {
			return fault.New(fault.Duplicate, "input %q of graph %q is there twice", v.Name, b.Name)
		}
		inputs[v.Name] = v
		s.defined[v.Name], s.ready[v.Name] = true, true
	}
	given := map[string]bool{}
	initial := func(name string, t *model.Constant) error {
		if name == "" {
			return fault.New(fault.Malformed, "an initializer of graph %q has no name", b.Name)
		}
		if given[name] {
			return fault.New(fault.Duplicate, "initializer %q is there twice", name)
		}
		given[name] = true
		v := inputs[name]
		if v != nil && v.Type != nil && t != nil && v.Type.Form == model.TensorForm && v.Type.DType != model.Invalid && t.DType != model.Invalid && v.Type.DType != t.DType {
			return fault.New(fault.Mismatch, "input %q is %s, and the initializer that is its default is %s", name, v.Type.DType, t.DType)
		}
		if v == nil && outer == nil && c.graph.IRVersion < 4 && c.inside == nil && t != nil {
			return fault.New(fault.Malformed, "initializer %q is no input, as it must be before ir_version 4: this is %d", name, c.graph.IRVersion)
		}
		s.defined[name], s.ready[name] = true, true
		return nil
	}
	for _, t := range b.Initializers {
		if err := initial(t.Name, t); err != nil {
			return err
		}
	}
	for _, x := range b.Sparse {
		if err := sparse(x); err != nil {
			return err
		}
		if err := initial(x.Values.Name, nil); err != nil {
			return err
		}
	}
	for i, n := range b.Nodes {
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			if s.defined[name] {
				return fault.New(fault.Duplicate, "%s gives %q, which the graph has from elsewhere already", said(n, i), name)
			}
			s.defined[name] = true
		}
	}
	if err := c.nodes(b.Nodes, s); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, v := range b.Outputs {
		if v.Name == "" && outer == nil {
			return fault.New(fault.Malformed, "an output of graph %q has no name", b.Name)
		}
		if seen[v.Name] && outer == nil {
			return fault.New(fault.Duplicate, "output %q of graph %q is there twice", v.Name, b.Name)
		}
		seen[v.Name] = true
		if v.Name != "" && !s.has(v.Name) {
			return fault.New(fault.Malformed, "output %q of graph %q is the output of no node", v.Name, b.Name)
		}
	}
	return nil
}

// nodes looks at the nodes of a scope in order.
func (c *checker) nodes(nodes []*model.Node, s *names) error {
	for i, n := range nodes {
		if n.Op == "" {
			return fault.New(fault.Malformed, "%s has no operator", said(n, i))
		}
		for _, name := range n.Inputs {
			if name != "" && !s.has(name) {
				return fault.New(fault.Malformed, "%s takes %q, which is no input, no initializer and the output of no node", said(n, i), name)
			}
		}
		if c.missing(n) {
			return fault.New(fault.Malformed, "%s is of operator set %q, of which no version is imported", said(n, i), n.Domain)
		}
		given := map[string]bool{}
		for _, a := range n.Attributes {
			if a.Name == "" {
				return fault.New(fault.Malformed, "%s has an attribute without a name", said(n, i))
			}
			if given[a.Name] {
				return fault.New(fault.Duplicate, "%s has attribute %q twice", said(n, i), a.Name)
			}
			given[a.Name] = true
			if a.Ref != "" && c.inside == nil {
				return fault.New(fault.Malformed, "attribute %q of %s refers to a function's attribute, and it is in no function", a.Name, said(n, i))
			}
			for _, b := range a.Bodies() {
				if err := c.body(b, s); err != nil {
					return within(err, "%s, %s", said(n, i), a.Name)
				}
			}
			var list []*model.Sparse
			switch v := a.Value.(type) {
			case *model.Sparse:
				list = []*model.Sparse{v}
			case []*model.Sparse:
				list = v
			}
			for _, x := range list {
				if err := sparse(x); err != nil {
					return within(err, "%s, %s", said(n, i), a.Name)
				}
			}
		}
		for _, name := range n.Outputs {
			s.ready[name] = name != ""
		}
	}
	if !s.unsorted {
		return nil
	}
	_, err := sorted(nodes)
	return err
}

// missing reports whether a node is of ONNX's own operators and no version of them is imported. Before ir_version 3
// there were no imports; and of an operator set that is not ONNX's the runtime knows the version, once its library is
// loaded: real models leave it out.
func (c *checker) missing(n *model.Node) bool {
	if c.graph.IRVersion < 3 || !model.Standard(n.Domain) || c.functions[call{n.Domain, n.Op, n.Overload}] != nil {
		return false
	}
	for _, o := range c.opsets {
		if model.Standard(o.Domain) {
			return false
		}
	}
	return true
}

// training looks at a graph of training, which knows the names of the main graph.
func (c *checker) training(b *model.Body) error {
	s := newNames(nil)
	for _, v := range c.graph.Main.Inputs {
		s.ready[v.Name] = true
	}
	for _, t := range c.graph.Main.Initializers {
		s.ready[t.Name] = true
	}
	for _, n := range c.graph.Main.Nodes {
		for _, name := range n.Outputs {
			s.ready[name] = name != ""
		}
	}
	return c.body(b, s)
}

func (c *checker) function(f *model.Function) error {
	if err := opsets(f.Opsets, "it"); err != nil {
		return err
	}
	in := *c
	in.inside, in.opsets = f, f.Opsets
	s := newNames(nil)
	for _, name := range f.Inputs {
		if s.defined[name] {
			return fault.New(fault.Duplicate, "input %q is there twice", name)
		}
		s.defined[name], s.ready[name] = true, true
	}
	for i, n := range f.Nodes {
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			if s.defined[name] {
				return fault.New(fault.Duplicate, "%s gives %q, which the function has from elsewhere already", said(n, i), name)
			}
			s.defined[name] = true
		}
	}
	if err := in.nodes(f.Nodes, s); err != nil {
		return err
	}
	for _, name := range f.Outputs {
		if !s.has(name) {
			return fault.New(fault.Malformed, "output %q is the output of no node", name)
		}
	}
	return nil
}

// calls reports functions that call themselves, directly or by others.
func (c *checker) calls() error {
	const open, done = 1, 2
	state := map[*model.Function]int{}
	type frame struct {
		f     *model.Function
		calls []*model.Function // not looked at yet
	}
	called := func(f *model.Function) (list []*model.Function) {
		(&model.Body{Nodes: f.Nodes}).Walk(func(_ *model.Body, n *model.Node) {
			if to := c.functions[call{n.Domain, n.Op, n.Overload}]; to != nil {
				list = append(list, to)
			}
		})
		return list
	}
	for _, first := range c.graph.Functions {
		if state[first] == done {
			continue
		}
		state[first] = open
		stack := []frame{{first, called(first)}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.calls) == 0 {
				state[top.f] = done
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.calls[0]
			top.calls = top.calls[1:]
			switch state[next] {
			case open:
				return fault.New(fault.Malformed, "function %s calls itself", call{next.Domain, next.Name, next.Overload})
			case done:
			default:
				state[next] = open
				stack = append(stack, frame{next, called(next)})
			}
		}
	}
	return nil
}

// sparse reports shapes of a sparse tensor that do not fit.
func sparse(x *model.Sparse) error {
	if x.Values == nil {
		return fault.New(fault.Malformed, "a sparse tensor without values")
	}
	name := x.Values.Name
	elements, err := model.Elements(x.Shape)
	if err != nil {
		return fault.New(fault.KindOf(err), "sparse tensor %q: %s", name, fault.Reason(err))
	}
	if len(x.Values.Shape) != 1 {
		return fault.New(fault.Mismatch, "the values of sparse tensor %q have shape %v, and one dimension is right", name, x.Values.Shape)
	}
	count := x.Values.Shape[0]
	if count > elements {
		return fault.New(fault.Mismatch, "sparse tensor %q has %d values for %d elements", name, count, elements)
	}
	if x.Indices == nil {
		if count > 0 {
			return fault.New(fault.Malformed, "sparse tensor %q has %d values and no indices", name, count)
		}
		return nil
	}
	if x.Indices.DType != model.I64 {
		return fault.New(fault.Mismatch, "the indices of sparse tensor %q are %s, and int64 is right", name, x.Indices.DType)
	}
	shape := x.Indices.Shape
	if len(shape) == 0 || len(shape) > 2 || shape[0] != count || len(shape) == 2 && shape[1] != int64(len(x.Shape)) {
		return fault.New(fault.Mismatch, "the indices of sparse tensor %q have shape %v, and it has %d values of %d dimensions", name, shape, count, len(x.Shape))
	}
	return nil
}

// within is an error with the place that it is in before its reason.
func within(err error, format string, args ...any) error {
	return fault.New(fault.KindOf(err), "%s: %s", fmt.Sprintf(format, args...), fault.Reason(err))
}

// said is a node as errors name it.
func said(n *model.Node, i int) string {
	op := n.Op
	if !model.Standard(n.Domain) {
		op = n.Domain + "." + op
	}
	if n.Name != "" {
		return fmt.Sprintf("node %q (%s)", n.Name, op)
	}
	return fmt.Sprintf("node %d (%s)", i, op)
}
