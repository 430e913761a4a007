package model

import "slices"

// Clone is a copy of the graph whose every part may be changed without changing this one. Tensors share their bytes.
func (g *Graph) Clone() *Graph {
	c := *g
	c.Opsets, c.Metadata = slices.Clone(g.Opsets), slices.Clone(g.Metadata)
	if g.Main != nil {
		c.Main = g.Main.Clone()
	}
	c.Functions = clones(g.Functions, (*Function).Clone)
	c.Training = clones(g.Training, (*Training).Clone)
	return &c
}

// Clone is a copy that shares nothing but bytes of tensors.
func (b *Body) Clone() *Body {
	c := *b
	c.Inputs, c.Outputs, c.Values = clones(b.Inputs, (*Value).Clone), clones(b.Outputs, (*Value).Clone), clones(b.Values, (*Value).Clone)
	c.Nodes = clones(b.Nodes, (*Node).Clone)
	c.Initializers, c.Sparse = clones(b.Initializers, (*Constant).Clone), clones(b.Sparse, (*Sparse).Clone)
	c.Annotations = slices.Clone(b.Annotations)
	for i := range c.Annotations {
		c.Annotations[i].Parameters = slices.Clone(c.Annotations[i].Parameters)
	}
	c.Metadata = slices.Clone(b.Metadata)
	return &c
}

// Clone is a copy that shares nothing.
func (v *Value) Clone() *Value {
	c := *v
	c.Type, c.Metadata = v.Type.Clone(), slices.Clone(v.Metadata)
	return &c
}

// Clone is a copy that shares nothing; nil of nil.
func (t *Type) Clone() *Type {
	if t == nil {
		return nil
	}
	c := *t
	c.Shape, c.Elem = slices.Clone(t.Shape), t.Elem.Clone()
	return &c
}

// Equal reports whether two types say the same; nil equals nil alone.
func (t *Type) Equal(u *Type) bool {
	if t == nil || u == nil {
		return t == u
	}
	return t.Form == u.Form && t.DType == u.DType && t.Ranked == u.Ranked && slices.Equal(t.Shape, u.Shape) &&
		t.Elem.Equal(u.Elem) && t.Key == u.Key && t.Domain == u.Domain && t.Name == u.Name && t.Denotation == u.Denotation
}

// Clone is a copy that shares nothing but bytes of tensors.
func (n *Node) Clone() *Node {
	c := *n
	c.Inputs, c.Outputs, c.Metadata = slices.Clone(n.Inputs), slices.Clone(n.Outputs), slices.Clone(n.Metadata)
	c.Attributes = clones(n.Attributes, (*Attribute).Clone)
	return &c
}

// Clone is a copy that shares nothing but bytes of tensors.
func (a *Attribute) Clone() *Attribute {
	c := *a
	switch v := a.Value.(type) {
	case *Constant:
		c.Value = v.Clone()
	case *Body:
		c.Value = v.Clone()
	case *Sparse:
		c.Value = v.Clone()
	case *Type:
		c.Value = v.Clone()
	case []float32:
		c.Value = slices.Clone(v)
	case []int64:
		c.Value = slices.Clone(v)
	case []string:
		c.Value = slices.Clone(v)
	case []*Constant:
		c.Value = clones(v, (*Constant).Clone)
	case []*Body:
		c.Value = clones(v, (*Body).Clone)
	case []*Sparse:
		c.Value = clones(v, (*Sparse).Clone)
	case []*Type:
		c.Value = clones(v, (*Type).Clone)
	}
	return &c
}

// Clone is a copy that shares nothing but bytes.
func (c *Constant) Clone() *Constant {
	d := *c
	d.Shape, d.Metadata = slices.Clone(c.Shape), slices.Clone(c.Metadata)
	return &d
}

// Clone is a copy that shares nothing but bytes.
func (s *Sparse) Clone() *Sparse {
	c := *s
	if s.Values != nil {
		c.Values = s.Values.Clone()
	}
	if s.Indices != nil {
		c.Indices = s.Indices.Clone()
	}
	c.Shape = slices.Clone(s.Shape)
	return &c
}

// Clone is a copy that shares nothing but bytes of tensors.
func (f *Function) Clone() *Function {
	c := *f
	c.Inputs, c.Outputs, c.Attributes = slices.Clone(f.Inputs), slices.Clone(f.Outputs), slices.Clone(f.Attributes)
	c.Defaults, c.Nodes, c.Values = clones(f.Defaults, (*Attribute).Clone), clones(f.Nodes, (*Node).Clone), clones(f.Values, (*Value).Clone)
	c.Opsets, c.Metadata = slices.Clone(f.Opsets), slices.Clone(f.Metadata)
	return &c
}

// Clone is a copy that shares nothing but bytes of tensors.
func (t *Training) Clone() *Training {
	c := *t
	if t.Initialization != nil {
		c.Initialization = t.Initialization.Clone()
	}
	if t.Algorithm != nil {
		c.Algorithm = t.Algorithm.Clone()
	}
	c.Initial, c.Update = slices.Clone(t.Initial), slices.Clone(t.Update)
	return &c
}

// clones is a list of copies; nil of nil.
func clones[T any](list []*T, clone func(*T) *T) []*T {
	if list == nil {
		return nil
	}
	c := make([]*T, len(list))
	for i, x := range list {
		c[i] = clone(x)
	}
	return c
}
