package tree

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/model/drawing"
)

// portsOf are values of a graph as ports.
func portsOf(values []*model.Value) []Port {
	ports := make([]Port, 0, len(values))
	for _, v := range values {
		p := Port{Name: v.Name, DType: "unknown"}
		if v.Type != nil {
			p.DType = typeName(v.Type)
			for _, d := range v.Type.Shape {
				switch {
				case d.Fixed:
					p.Shape = append(p.Shape, d.Size)
				case d.Param != "":
					p.Shape = append(p.Shape, d.Param)
				default:
					p.Shape = append(p.Shape, nil)
				}
			}
		}
		ports = append(ports, p)
	}
	return ports
}

// typeName is a type without its shape.
func typeName(t *model.Type) string {
	if t == nil {
		return "unknown"
	}
	switch t.Form {
	case model.TensorForm, model.SparseForm:
		if t.DType != model.Invalid {
			return t.DType.String()
		}
	case model.SequenceForm:
		return "sequence(" + typeName(t.Elem) + ")"
	case model.OptionalForm:
		return "optional(" + typeName(t.Elem) + ")"
	case model.MapForm:
		return "map(" + t.Key.String() + "," + typeName(t.Elem) + ")"
	case model.OpaqueForm:
		return strings.TrimPrefix(t.Domain+"."+t.Name, ".")
	}
	return "unknown"
}

// inputsOf are the values that a caller gives: an input that is also an initializer has a value already.
func inputsOf(g *model.Graph) []Port {
	given := map[string]bool{}
	for _, c := range g.Main.Initializers {
		given[c.Name] = true
	}
	var list []*model.Value
	for _, v := range g.Main.Inputs {
		if !given[v.Name] {
			list = append(list, v)
		}
	}
	return portsOf(list)
}

// graphFacts are what a graph says of itself in numbers, by name.
func graphFacts(g *model.Graph, parameters int64) map[string]string {
	facts := map[string]string{"parameters": fmt.Sprint(parameters)}
	if g.IRVersion > 0 {
		facts["ir_version"] = fmt.Sprint(g.IRVersion)
	}
	var opsets []string
	for _, o := range g.Opsets {
		opsets = append(opsets, fmt.Sprintf("%s %d", domainName(o.Domain), o.Version))
	}
	facts["opsets"] = strings.Join(opsets, ", ")
	counts := map[string]int{}
	count := func(n *model.Node) {
		op := n.Op
		if !model.Standard(n.Domain) {
			op = n.Domain + "." + op
		}
		counts[op]++
	}
	g.Main.Walk(func(_ *model.Body, n *model.Node) { count(n) })
	for _, f := range g.Functions {
		(&model.Body{Nodes: f.Nodes}).Walk(func(_ *model.Body, n *model.Node) { count(n) })
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	facts["operators"] = strings.Join(names, ", ")
	facts["initializers"] = fmt.Sprint(len(g.Main.Initializers) + len(g.Main.Sparse))
	if inner := g.InnerInitializers(); len(inner) > 0 {
		facts["initializers"] += fmt.Sprintf(", and %d in subgraphs", len(inner))
	}
	if n := len(g.Functions); n > 0 {
		facts["functions"] = fmt.Sprint(n)
	}
	return facts
}

// domainName is a domain as people read it.
func domainName(domain string) string {
	if model.Standard(domain) {
		return "ai.onnx"
	}
	return domain
}

// portText is a port on one line.
func portText(p Port) string {
	dims := make([]string, len(p.Shape))
	for i, d := range p.Shape {
		if dims[i] = "?"; d != nil {
			dims[i] = fmt.Sprint(d)
		}
	}
	return fmt.Sprintf("%s %s [%s]", lineText(p.Name), p.DType, lineText(strings.Join(dims, ", ")))
}

// graph is the form of a component whose graph is shown: that it is known by, or the first that has one; nil where none
// has.
func (c *component) graph() *variant {
	if x := c.main(); x.hasGraph() {
		return x
	}
	for _, x := range c.variants {
		if x.hasGraph() {
			return x
		}
	}
	return nil
}

// drawing draws the graphs of the version.
func (c *contents) drawing() *drawing.Drawing {
	var parts []drawing.Part
	for _, m := range c.components {
		if x := m.graph(); x != nil {
			parts = append(parts, drawing.Part{Name: m.name, Graph: x.model.Graph, Parameters: x.model.Parameters()})
		}
	}
	return drawing.New(parts)
}

func (v *variant) hasGraph() bool {
	return v.model != nil && v.model.Graph != nil && v.model.Graph.Main != nil
}

// undrawn is why a version has no drawing; nil where it has a graph.
func undrawn(c *contents) *fault.Error {
	if slices.ContainsFunc(c.components, func(m *component) bool { return m.graph() != nil }) {
		return nil
	}
	if len(c.models()) > 0 {
		return fault.New(fault.Unsupported, "what is stored holds weights and no graph, so there is nothing to draw").
			Remedied("export the model to ONNX where its code is")
	}
	if broken := c.broken(); len(broken) > 0 {
		return c.why(broken[0])
	}
	return c.nothing()
}

// drawnSVG is graph.svg, and drawnDot graph.dot.
func drawnSVG(_ context.Context, c *contents, _ bool) ([]byte, error) {
	return c.drawing().SVG(), nil
}

func drawnDot(_ context.Context, c *contents, _ bool) ([]byte, error) {
	return c.drawing().Dot(), nil
}
