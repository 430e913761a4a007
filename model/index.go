package model

// Index is where the values of a body are defined and used. It is of the moment: after an edit it is made anew.
type Index struct {
	Body  *Body
	Outer *Index // of the body around it; nil for the outermost

	values map[string]*Links
	inner  map[*Body]*Index
}

// Links is where one value is defined and used. Of Input, Initializer, Sparse and Node one is set, or Input and
// Initializer: an input with a default. All are nil for a name that is only declared, or used and never defined.
type Links struct {
	Input       *Value
	Initializer *Constant
	Sparse      *Sparse
	Node        *Node // the node whose output it is
	Output      int   // which of them

	Type *Type // as declared among inputs, outputs and values; nil where it is not

	Uses   []Use // of the body and of the bodies within it
	Result bool  // whether it is an output of the body it is defined in
}

// Defined reports whether the body defines the value.
func (l *Links) Defined() bool {
	return l.Input != nil || l.Initializer != nil || l.Sparse != nil || l.Node != nil
}

// Use is one use of a value: input Input of Node, or where Node is nil an output of Body, a body within the one that
// defines the value.
type Use struct {
	Body  *Body
	Node  *Node
	Input int
}

// NewIndex is the index of a body and of those within it.
func NewIndex(b *Body) *Index { return newIndex(b, nil) }

func newIndex(b *Body, outer *Index) *Index {
	x := &Index{Body: b, Outer: outer, values: make(map[string]*Links, len(b.Inputs)+len(b.Initializers)+len(b.Nodes)), inner: map[*Body]*Index{}}
	for _, c := range b.Initializers {
		x.at(c.Name).Initializer = c
	}
	for _, s := range b.Sparse {
		if s.Values != nil {
			x.at(s.Values.Name).Sparse = s
		}
	}
	for _, v := range b.Inputs {
		l := x.at(v.Name)
		l.Input, l.Type = v, v.Type
	}
	for _, n := range b.Nodes {
		for i, name := range n.Outputs {
			if name != "" {
				l := x.at(name)
				l.Node, l.Output = n, i
			}
		}
	}
	for _, list := range [][]*Value{b.Outputs, b.Values} {
		for _, v := range list {
			if l := x.values[v.Name]; l != nil && l.Type == nil {
				l.Type = v.Type
			}
		}
	}
	for _, n := range b.Nodes {
		for i, name := range n.Inputs {
			if name != "" {
				l := x.used(name)
				l.Uses = append(l.Uses, Use{b, n, i})
			}
		}
		for _, inner := range n.Bodies() {
			x.inner[inner] = newIndex(inner, x)
		}
	}
	for i, v := range b.Outputs {
		l := x.used(v.Name)
		if own := x.values[v.Name]; own == l && l.Defined() {
			l.Result = true
		} else {
			l.Uses = append(l.Uses, Use{Body: b, Input: i})
		}
	}
	return x
}

func (x *Index) at(name string) *Links {
	l := x.values[name]
	if l == nil {
		l = &Links{}
		x.values[name] = l
	}
	return l
}

// used is the value of a name where it is used: this body's, or the nearest around it that defines it.
func (x *Index) used(name string) *Links {
	if l := x.Of(name); l != nil {
		return l
	}
	return x.at(name)
}

// Of is the value that a name means in the body: its own, or that of the nearest body around it that defines it. It
// is nil for a name that nothing here defines or uses.
func (x *Index) Of(name string) *Links {
	for at := x; at != nil; at = at.Outer {
		if l := at.values[name]; l != nil && l.Defined() {
			return l
		}
	}
	return x.values[name]
}

// Own is the value that the body itself defines under a name; nil where it defines none.
func (x *Index) Own(name string) *Links {
	if l := x.values[name]; l != nil && l.Defined() {
		return l
	}
	return nil
}

// Inner is the index of a body within this one, at any depth; nil for any other.
func (x *Index) Inner(b *Body) *Index {
	if b == x.Body {
		return x
	}
	if in := x.inner[b]; in != nil {
		return in
	}
	for _, in := range x.inner {
		if found := in.Inner(b); found != nil {
			return found
		}
	}
	return nil
}
