package tree

import (
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// What is remembered of versions is bounded by its bytes. These are the sizes of its parts on a machine of 64 bits,
// with what Go's allocator and a codec's notes (Wire) add to them.
const (
	contentsCost  = 4096 // of a version without anything
	storedCost    = 256  // of a stored file
	tensorCost    = 400  // with a layout of one span
	madeCost      = 512  // of a file of a view
	spanCost      = 320
	bodyCost      = 320
	nodeCost      = 256
	attributeCost = 160
	valueCost     = 144
	typeCost      = 144
	dimCost       = 48
	nameCost      = 16 // of a string without its bytes
)

// cost is the memory that the contents take, about: tensors, and the nodes and values of a graph, are what there may
// be many of.
func (c *contents) cost() int64 {
	n := int64(contentsCost + storedCost*len(c.v.Files))
	for _, m := range c.components {
		for _, x := range m.variants {
			if x.model != nil {
				n += modelCost(x.model)
			}
		}
	}
	for _, x := range c.cards {
		n += storedCost + int64(2*len(x.text)) // and what it says
	}
	for _, x := range c.beside {
		if x.model != nil {
			n += modelCost(x.model)
		}
	}
	return n
}

func modelCost(m *model.Model) int64 {
	var n int64
	for _, t := range m.Tensors {
		n += tensorCost + int64(len(t.Name)) + 8*int64(len(t.Shape))
		if m.Graph == nil { // else they are the graph's
			n += literals(t.Data)
		}
	}
	for _, l := range m.Left {
		n += int64(2*nameCost + len(l.Name) + len(l.Reason))
	}
	for key, value := range m.Metadata {
		n += int64(4*nameCost + len(key) + len(value))
	}
	for _, shard := range m.ShardMetadata {
		for key, value := range shard {
			n += int64(4*nameCost + len(key) + len(value))
		}
	}
	if m.Graph != nil {
		n += graphCost(m.Graph)
	}
	return n
}

// graphCost is the memory of a graph: its structure, its names, and what attributes hold.
func graphCost(g *model.Graph) int64 {
	n := int64(bodyCost+len(g.Doc)) + entriesCost(g.Metadata)
	if g.Main != nil {
		n += bodyBytes(g.Main)
	}
	for _, f := range g.Functions {
		n += int64(bodyCost+len(f.Name)+len(f.Domain)+len(f.Doc)) + namesCost(f.Inputs) + namesCost(f.Outputs) + namesCost(f.Attributes) + entriesCost(f.Metadata)
		n += nodesCost(f.Nodes) + valuesCost(f.Values) + attributesCost(f.Defaults)
	}
	for _, t := range g.Training {
		n += entriesCost(t.Initial) + entriesCost(t.Update)
		for _, b := range []*model.Body{t.Initialization, t.Algorithm} {
			if b != nil {
				n += bodyBytes(b)
			}
		}
	}
	return n
}

func bodyBytes(b *model.Body) int64 {
	n := int64(bodyCost+len(b.Name)+len(b.Doc)) + valuesCost(b.Inputs) + valuesCost(b.Outputs) + valuesCost(b.Values) + nodesCost(b.Nodes) + entriesCost(b.Metadata)
	for _, c := range b.Initializers {
		n += constantCost(c)
	}
	for _, s := range b.Sparse {
		n += sparseCost(s)
	}
	for _, a := range b.Annotations {
		n += nameCost + int64(len(a.Tensor)) + entriesCost(a.Parameters)
	}
	return n
}

func nodesCost(list []*model.Node) int64 {
	n := int64(nodeCost * len(list))
	for _, x := range list {
		n += int64(len(x.Name)+len(x.Op)+len(x.Domain)+len(x.Doc)) + namesCost(x.Inputs) + namesCost(x.Outputs) + attributesCost(x.Attributes) + entriesCost(x.Metadata)
	}
	return n
}

func attributesCost(list []*model.Attribute) int64 {
	n := int64(attributeCost * len(list))
	for _, a := range list {
		n += int64(len(a.Name) + len(a.Ref) + len(a.Doc))
		switch v := a.Value.(type) {
		case string:
			n += int64(len(v))
		case []string:
			n += namesCost(v)
		case []int64:
			n += 8 * int64(len(v))
		case []float32:
			n += 4 * int64(len(v))
		case *model.Sparse:
			n += sparseCost(v)
		case []*model.Sparse:
			for _, s := range v {
				n += sparseCost(s)
			}
		case *model.Type:
			n += typeBytes(v)
		case []*model.Type:
			for _, t := range v {
				n += typeBytes(t)
			}
		}
		for _, c := range a.Constants() {
			n += constantCost(c)
		}
		for _, b := range a.Bodies() {
			n += bodyBytes(b)
		}
	}
	return n
}

func valuesCost(list []*model.Value) int64 {
	n := int64(valueCost * len(list))
	for _, v := range list {
		n += int64(len(v.Name)+len(v.Doc)) + typeBytes(v.Type) + entriesCost(v.Metadata)
	}
	return n
}

func typeBytes(t *model.Type) int64 {
	var n int64
	for ; t != nil; t = t.Elem {
		n += typeCost + dimCost*int64(len(t.Shape))
		for _, d := range t.Shape {
			n += int64(len(d.Param) + len(d.Denotation))
		}
	}
	return n
}

func constantCost(c *model.Constant) int64 {
	if c == nil {
		return 0
	}
	return tensorCost + int64(len(c.Name)+len(c.Doc)) + 8*int64(len(c.Shape)) + entriesCost(c.Metadata) + literals(c.Data)
}

func sparseCost(s *model.Sparse) int64 {
	return constantCost(s.Values) + constantCost(s.Indices) + 8*int64(len(s.Shape))
}

func namesCost(list []string) int64 {
	n := int64(nameCost * len(list))
	for _, s := range list {
		n += int64(len(s))
	}
	return n
}

func entriesCost(list []model.Entry) int64 {
	n := int64(2 * nameCost * len(list))
	for _, e := range list {
		n += int64(len(e.Key) + len(e.Value))
	}
	return n
}

// literals is the bytes of a file that are held in memory.
func literals(f *layout.File) int64 {
	var n int64
	if f != nil {
		for _, s := range f.Spans() {
			if l, ok := s.(layout.Literal); ok {
				n += l.Size()
			}
		}
	}
	return n
}

// cost is the memory that a plan takes, about: a span or two for each tensor, and headers.
func (p *plan) cost() int64 {
	n := int64(madeCost)
	for _, x := range p.files {
		n += madeCost + spanCost*int64(len(x.out.File.Spans())) + literals(x.out.File)
	}
	return n
}
