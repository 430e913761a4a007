package tree

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Shown is what a model, a view or a stored model file is.
type Shown struct {
	Path, Format string
	Tensors      []TensorInfo
	Inputs       []Port // of the graph, where there is one
	Outputs      []Port
	Metadata     map[string]string
}

// TensorInfo is a tensor as a header tells of it.
type TensorInfo struct {
	Model  string // the path and stem of its model, where a version has several; else ""
	Name   string
	DType  string // as it is stored
	Shape  []int64
	NBytes int64
	Tensor model.Tensor // as it is read: its type, and its bytes when somebody asks for them
}

// Port is an input or output of a graph. A dimension is an int64, the string that names it, or nil where nobody knows.
type Port struct {
	Name, DType string
	Shape       []any
}

// Model is what `show` prints: of a model its latest version, of a version its models, of a stored file what it holds,
// of a view what a reader of it will find, from its header alone. Where nothing can be read the error says why.
func (t *Tree) Model(ctx context.Context, n *Node) (*Shown, error) {
	v := n.in.v
	switch {
	case n.in.place == aModel:
		latest, err := t.latestOf(ctx, n)
		if err != nil {
			return nil, err
		}
		return t.Model(ctx, latest)
	case v == nil && n.in.place != nowhere:
		e := fault.New(fault.Usage, "it is a folder of models; show one of them")
		return nil, fault.In(n.Path, e)
	case v == nil:
		return nil, fault.In(n.Path, fault.New(fault.Usage, "it is no model"))
	}
	s := &Shown{Path: n.Path, Metadata: map[string]string{}}
	if n.File != nil && n.File.Document == nil && strings.HasPrefix(n.in.below, "source/") { // no need to judge what lies beside it
		m, order, err := t.readModel(ctx, v, strings.TrimPrefix(n.in.below, "source/"))
		if err != nil {
			return nil, v.told(strings.TrimPrefix(n.in.below, "source/"), err)
		}
		s.Format = t.formats[order].Name
		s.add("", m)
		return s, nil
	}
	c, err := t.contents(ctx, v)
	if err != nil {
		return nil, err
	}
	it, err := c.at(ctx, n.in.below)
	if err != nil {
		return nil, fault.In(n.Path, err)
	}
	switch f := it.folder.(type) {
	case top, source:
		return s, c.show(s)
	case precisions:
		names := f.f.available()
		if len(names) == 0 {
			return nil, absentFor(n.Path, f.f.cause(""))
		}
		f.f.show(ctx, s, f.f.plan(names[0]).files)
		return s, nil
	case planned:
		var files []made
		for _, m := range f.plan.files {
			if f.below == "" || strings.HasPrefix(m.path, f.below+"/") {
				files = append(files, m)
			}
		}
		f.f.show(ctx, s, files)
		return s, nil
	}
	if it.made != nil {
		it.view.show(ctx, s, []made{*it.made})
		return s, nil
	}
	return nil, fault.In(n.Path, fault.New(fault.Usage, "it is a document, and no model"))
}

// Models shows the latest version of every model below a namespace, or of the one that n is. visit is told of those
// that can't be read, too; its error ends the walk.
func (t *Tree) Models(ctx context.Context, n *Node, visit func(path string, s *Shown, err error) error) error {
	if n.in.place != space {
		s, err := t.Model(ctx, n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return visit(n.Path, s, err)
	}
	return t.children(ctx, n, func(p string, child *Node, err error) error {
		if err != nil {
			return visit(p, nil, err)
		}
		return t.Models(ctx, child, visit)
	})
}

// children visits the folders of a namespace or model that are no links, in order, or tells why one can't be looked
// into. One that went meanwhile is passed over.
func (t *Tree) children(ctx context.Context, n *Node, visit func(p string, child *Node, err error) error) error {
	list, err := t.List(ctx, n)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Kind != Folder {
			continue
		}
		child, err := t.Lookup(ctx, n, e.Name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && fault.KindOf(err) == fault.Absent {
			continue
		}
		if err := visit(join(n.Path, e.Name), child, err); err != nil {
			return err
		}
	}
	return nil
}

// latestOf is the folder of a model's latest version.
func (t *Tree) latestOf(ctx context.Context, n *Node) (*Node, error) { return t.from(ctx, n, latest) }

// from is what a path below a node leads to.
func (t *Tree) from(ctx context.Context, n *Node, p string) (*Node, error) {
	return t.Resolve(ctx, join(n.Path, p))
}

// show adds the models of the version.
func (c *contents) show(s *Shown) error {
	models := c.models()
	if len(models) == 0 {
		if broken := c.broken(); len(broken) > 0 {
			return c.why(broken[0])
		}
		return fault.In(c.v.path, c.nothing())
	}
	s.Format = c.format()
	for _, m := range c.components {
		if x := m.main(); x.model != nil {
			s.add(m.name, x.model)
			s.saved(c, m)
			if of := m.graph(); of != nil && of != x {
				s.graph(of.model)
			}
		}
	}
	return nil
}

func (s *Shown) add(name string, m *model.Model) {
	for _, t := range m.Tensors {
		s.tensor(name, m, &t)
	}
	s.metadata(m.Metadata)
	if m.Graph != nil && m.Graph.Main != nil {
		s.graph(m)
	}
}

// saved adds how much of what is stored the weight views leave to another.
func (s *Shown) saved(c *contents, m *component) {
	for _, f := range c.formats {
		if n := f.saves(m.main()); n > 0 {
			s.metadata(map[string]string{f.view.Name: fmt.Sprintf("%d bytes of state, which the weight views leave out", n)})
		}
	}
}

// graph adds what is known of a model's graph.
func (s *Shown) graph(m *model.Model) {
	s.Inputs = append(s.Inputs, inputsOf(m.Graph)...)
	s.Outputs = append(s.Outputs, portsOf(m.Graph.Main.Outputs)...)
	s.metadata(graphFacts(m.Graph, m.Parameters()))
}

// metadata adds what is not said yet.
func (s *Shown) metadata(facts map[string]string) {
	for key, value := range facts {
		if _, twice := s.Metadata[key]; !twice {
			s.Metadata[key] = value
		}
	}
}

// tensor adds a tensor as its model stores it.
func (s *Shown) tensor(name string, m *model.Model, t *model.Tensor) {
	dtype, size := storedType(m, t)
	s.Tensors = append(s.Tensors, TensorInfo{name, t.Name, dtype, slices.Concat([]int64{}, t.Shape), size, *t})
}

// show adds what is in files of a view: what each tensor's file is, or what the view's own header says. A view in a
// format that is not read here is told by the model it is made from.
func (f *format) show(ctx context.Context, s *Shown, files []made) {
	s.Format = f.view.Name
	var last *component
	for i := range files {
		m := &files[i]
		if t := m.out.Tensor; t != nil {
			s.tensor(m.of.name, &model.Model{}, t)
			continue
		}
		if m.of == last { // it was read with its component's first file
			continue
		}
		if tensorFiles(files) > 0 { // the list of the tensors that follow
			continue
		}
		last = m.of
		back, err := f.back(ctx, files, m.of)
		if err != nil {
			back = m.from.model
		}
		s.add(m.of.name, back)
	}
}

// back reads a component's files of a view back, as a user of the view will.
func (f *format) back(ctx context.Context, files []made, of *component) (*model.Model, error) {
	w := written{}
	first := ""
	for i := range files {
		if files[i].of != of {
			continue
		}
		p := files[i].path
		w[p] = files[i].out.File.Sketch() // checksums are none of what is shown
		if len(f.c.t.matching(p)) > 0 && (first == "" || isIndex(p) && !isIndex(first)) {
			first = p
		}
	}
	if first == "" {
		return nil, fault.New(fault.Unsupported, "nothing here reads %s", f.view.Name)
	}
	m, _, err := f.c.t.readModel(ctx, w, first)
	return m, err
}

// written is the files of a view as a codec opens them.
type written map[string]*layout.File

// List implements layout.Files.
func (w written) List() []string {
	names := make([]string, 0, len(w))
	for name := range w {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open implements layout.Files.
func (w written) Open(name string) (layout.Source, error) {
	f, ok := w[name]
	if !ok {
		return nil, fault.In(name, fault.New(fault.Missing, "there is no such file beside it"))
	}
	return computed{f, name}, nil
}

// computed is a file of a view as a source: what is read of it is computed.
type computed struct {
	*layout.File
	name string
}

func (c computed) String() string { return c.name }

func (c computed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(ctx, nil, p, off)
	if err == io.EOF && n == len(p) {
		err = nil
	}
	return n, err
}

// MadeOf reports whether a file of a view is of the model that a stored file of the same version is part of: what a
// conversion of that file alone gives.
func (t *Tree) MadeOf(ctx context.Context, n, stored *Node) (bool, error) {
	file, ok := strings.CutPrefix(stored.in.below, "source/")
	if !ok || n.in.v == nil || stored.in.v != n.in.v {
		return false, nil
	}
	c, err := t.contents(ctx, n.in.v)
	if err != nil {
		return false, err
	}
	it, err := c.at(ctx, n.in.below)
	if err != nil {
		return false, fault.In(n.Path, err)
	}
	return it.made != nil && it.made.of == c.holding(file), nil
}

// names lists the names of an item that is a folder.
func (it item) names(ctx context.Context) []string {
	if it.folder == nil {
		return nil
	}
	list, err := it.folder.list(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range list {
		names = append(names, l.name)
	}
	return names
}

// holding is the component that a stored file is part of; nil where it is part of none.
func (c *contents) holding(file string) *component {
	for _, m := range c.components {
		for _, x := range m.variants {
			if x.file == file || x.model != nil && slices.Contains(x.model.Files, file) {
				return m
			}
		}
	}
	return nil
}
