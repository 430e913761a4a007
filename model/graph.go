package model

import (
	"slices"
	"strconv"
	"strings"
)

// Graph is what a model computes: operators, the values between them, and the tensors they use. Its meaning is that of
// ONNX (https://github.com/onnx/onnx/blob/main/docs/IR.md), whatever file it came from; a reader of another format
// makes one of ONNX operators.
//
// Values are known by their names. Within a Body each name is defined once, as an input, an initializer, or the output
// of a node, and nodes are sorted: a node stands after those whose outputs it uses. A subgraph may use the names of the
// bodies around it. Index says where a value is defined and used.
//
// A Graph that was read is shared and not to be changed: change a Clone. Tensors are lazy files, and a clone shares
// them: no edit copies weights.
//
// The field Wire, where an element has one, belongs to the codec that read the element: the bytes as they were stored
// with whatever the codec does not understand. It goes with the element when it is copied; an element that is made
// anew has none. What is written is the fields as they are now, and of the stored bytes everything that they do not
// contradict, so that a graph that was not changed is written as it was read, byte for byte.
type Graph struct {
	IRVersion       int64 // of the ONNX IR
	Opsets          []Opset
	Producer        string
	ProducerVersion string
	Domain          string
	Version         int64 // of the model, its author's count
	Doc             string
	Metadata        []Entry
	Main            *Body // never nil in a graph that was read
	Functions       []*Function
	Training        []*Training
	Wire            any
}

// Opset is an operator set that is used, in one version. The domain "" is ONNX's own, which is also spelt "ai.onnx".
type Opset struct {
	Domain  string
	Version int64
}

// Entry is a key with its value. Entries keep their order, and a key may stand twice.
type Entry struct{ Key, Value string }

// Body is a sequence of nodes with inputs and outputs: the main graph, or a subgraph in an attribute of a node.
type Body struct {
	Name         string
	Doc          string
	Inputs       []*Value // an input that is also an initializer has that as its default
	Outputs      []*Value
	Values       []*Value // types of values that are neither
	Nodes        []*Node
	Initializers []*Constant
	Sparse       []*Sparse // each is a value under the name of its Values
	Annotations  []Annotation
	Metadata     []Entry
	Wire         any
}

// Value is a declared value: its name and what is known of its type.
type Value struct {
	Name     string
	Type     *Type // nil where nothing is known
	Doc      string
	Metadata []Entry
	Wire     any
}

// Form is what sort of value a Type is of.
type Form uint8

const (
	UnknownForm Form = iota
	TensorForm
	SparseForm
	SequenceForm // of Elem
	MapForm      // of Elem, by Key
	OptionalForm // an Elem, or nothing
	OpaqueForm   // known by Domain and Name only
)

// Type is the type of a value.
type Type struct {
	Form         Form
	DType        DType // of a tensor's elements; Invalid where it is not said
	Ranked       bool  // whether Shape is known; a scalar is Ranked with no dimensions
	Shape        []Dim
	Elem         *Type // nil where it is not said
	Key          DType
	Domain, Name string
	Denotation   string
}

// String is the type as people read it: F32[1,batch,?]; "?" where nothing is known.
func (t *Type) String() string {
	if t == nil {
		return "?"
	}
	switch t.Form {
	case TensorForm, SparseForm:
		text := "?"
		if t.DType != Invalid {
			text = t.DType.String()
		}
		if t.Form == SparseForm {
			text = "sparse " + text
		}
		if !t.Ranked {
			return text
		}
		dims := make([]string, len(t.Shape))
		for i, d := range t.Shape {
			switch {
			case d.Fixed:
				dims[i] = strconv.FormatInt(d.Size, 10)
			case d.Param != "":
				dims[i] = d.Param
			default:
				dims[i] = "?"
			}
		}
		return text + "[" + strings.Join(dims, ",") + "]"
	case SequenceForm:
		return "sequence of " + t.Elem.String()
	case OptionalForm:
		return "optional " + t.Elem.String()
	case MapForm:
		return "map from " + t.Key.String() + " to " + t.Elem.String()
	}
	return "?"
}

// Dim is one dimension of a shape: a number where Fixed, else a name where Param says one, else unknown.
type Dim struct {
	Fixed      bool
	Size       int64
	Param      string
	Denotation string
}

// Node is an application of an operator.
type Node struct {
	Name       string
	Op         string
	Domain     string // "" or "ai.onnx": ONNX's own
	Overload   string
	Inputs     []string // "" where an optional input is left out
	Outputs    []string // "" where an optional output is left out
	Attributes []*Attribute
	Doc        string
	Metadata   []Entry
	Wire       any
}

// Kind is the type of an attribute, in the numbers of ONNX.
type Kind uint8

const (
	UndefinedKind Kind = 0
	FloatKind     Kind = 1  // float32
	IntKind       Kind = 2  // int64
	StringKind    Kind = 3  // string, any bytes
	TensorKind    Kind = 4  // *Constant
	GraphKind     Kind = 5  // *Body
	FloatsKind    Kind = 6  // []float32
	IntsKind      Kind = 7  // []int64
	StringsKind   Kind = 8  // []string
	TensorsKind   Kind = 9  // []*Constant
	GraphsKind    Kind = 10 // []*Body
	SparseKind    Kind = 11 // *Sparse
	SparsesKind   Kind = 12 // []*Sparse
	TypeKind      Kind = 13 // *Type
	TypesKind     Kind = 14 // []*Type
)

// Attribute is a named constant of a node.
type Attribute struct {
	Name  string
	Kind  Kind
	Value any    // of the Go type that stands beside the Kind; nil where Ref is set
	Ref   string // within a function: the function's attribute that gives the value
	Doc   string
	Wire  any
}

// Constant is a tensor that a graph holds: an initializer, or an attribute's value. Shape and Data are those of Tensor;
// types of fewer than 8 bits are packed with the first element in the low bits, and the last byte is padded. A tensor
// of String has an empty Data; its elements are known to the codec that read it.
type Constant struct {
	Tensor
	Doc      string
	Metadata []Entry
	Wire     any
}

// Sparse is a sparse tensor: the elements in Values, at the places in Indices, of shape Shape; all others are 0.
type Sparse struct {
	Values  *Constant // of rank 1; its name is that of the tensor
	Indices *Constant // I64: of rank 1, positions in C order; or of rank 2, a row of coordinates for each value
	Shape   []int64
	Wire    any
}

// Annotation says which tensors hold the quantization parameters of a tensor.
type Annotation struct {
	Tensor     string
	Parameters []Entry
}

// Function is an operator that the model itself defines, as nodes.
type Function struct {
	Name, Domain, Overload string
	Doc                    string
	Inputs, Outputs        []string
	Attributes             []string     // without a default
	Defaults               []*Attribute // with one
	Nodes                  []*Node
	Opsets                 []Opset
	Values                 []*Value
	Metadata               []Entry
	Wire                   any
}

// Training is how a model is trained: a graph that sets initializers, and one that is a training step.
type Training struct {
	Initialization, Algorithm *Body // nil where absent
	Initial, Update           []Entry
	Wire                      any
}

// Opset is the version of an operator set that the graph imports; 0 where it imports none. "" and "ai.onnx" are one.
func (g *Graph) Opset(domain string) int64 { return opset(g.Opsets, domain) }

// Opset is the same for what a function imports.
func (f *Function) Opset(domain string) int64 { return opset(f.Opsets, domain) }

func opset(list []Opset, domain string) int64 {
	for _, o := range list {
		if Standard(o.Domain) && Standard(domain) || o.Domain == domain {
			return o.Version
		}
	}
	return 0
}

// Standard reports whether a domain is ONNX's own.
func Standard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// Is reports whether the node is one of these operators of ONNX's own domain.
func (n *Node) Is(ops ...string) bool { return Standard(n.Domain) && slices.Contains(ops, n.Op) }

// Input is the i-th input; "" where there is none.
func (n *Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Output is the i-th output; "" where there is none.
func (n *Node) Output(i int) string {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return ""
}

// Attribute is the attribute of that name; nil where there is none.
func (n *Node) Attribute(name string) *Attribute {
	for _, a := range n.Attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Int is the value of an integer attribute; otherwise where there is none of that name and kind.
func (n *Node) Int(name string, otherwise int64) int64 {
	if a := n.Attribute(name); a != nil {
		if v, ok := a.Value.(int64); ok {
			return v
		}
	}
	return otherwise
}

// Ints is the value of a list of integers; nil where there is none of that name and kind.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attribute(name); a != nil {
		v, _ := a.Value.([]int64)
		return v
	}
	return nil
}

// Text is the value of a string attribute; otherwise where there is none of that name and kind.
func (n *Node) Text(name, otherwise string) string {
	if a := n.Attribute(name); a != nil {
		if v, ok := a.Value.(string); ok {
			return v
		}
	}
	return otherwise
}

// Bodies are the subgraphs in the attribute, in order.
func (a *Attribute) Bodies() []*Body {
	switch v := a.Value.(type) {
	case *Body:
		return []*Body{v}
	case []*Body:
		return v
	}
	return nil
}

// Constants are the dense tensors in the attribute, in order.
func (a *Attribute) Constants() []*Constant {
	switch v := a.Value.(type) {
	case *Constant:
		return []*Constant{v}
	case []*Constant:
		return v
	}
	return nil
}

// Bodies are the subgraphs of the node, in order of its attributes.
func (n *Node) Bodies() []*Body {
	var list []*Body
	for _, a := range n.Attributes {
		list = append(list, a.Bodies()...)
	}
	return list
}

// Walk visits every node of the body, and after each those of its subgraphs, with the body it stands in.
func (b *Body) Walk(visit func(in *Body, n *Node)) {
	for _, n := range b.Nodes {
		visit(b, n)
		for _, inner := range n.Bodies() {
			inner.Walk(visit)
		}
	}
}

// InnerInitializers are the initializers of the subgraphs of the main graph, the branches of an If and the bodies of a
// Loop or Scan, in the order of Walk.
func (g *Graph) InnerInitializers() []*Constant {
	var list []*Constant
	if g.Main != nil {
		g.Main.Walk(func(_ *Body, n *Node) {
			for _, inner := range n.Bodies() {
				list = append(list, inner.Initializers...)
			}
		})
	}
	return list
}

// Initializer is the initializer of that name; nil where there is none. It looks at all of them: Index is for many.
func (b *Body) Initializer(name string) *Constant {
	for _, c := range b.Initializers {
		if c.Name == name {
			return c
		}
	}
	return nil
}
