package tree

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Why says of a path below the root what it is made from, or why there is nothing and what would help. It fails only
// where the store can't be asked.
func (t *Tree) Why(ctx context.Context, p string) (Answer, error) {
	n, deepest, err := t.resolve(ctx, p)
	if ctx.Err() != nil {
		return Answer{}, ctx.Err()
	}
	if err == nil {
		return t.present(ctx, n)
	}
	if deepest == nil { // not even the root
		return Answer{}, err
	}
	a := Answer{Path: strings.Join(names(p), "/"), Reason: fault.Reason(err), Remedy: fault.Remedy(err)}
	name := missingName(deepest, a.Path)
	switch deepest.in.place {
	case space:
		if a.Remedy == "" && fault.KindOf(err) == fault.Absent {
			if d, err := t.o.Store.Dir(ctx, deepest.Path); err == nil {
				a.Reason = "the store has no model or namespace " + join(deepest.Path, name)
				all := d.Names
				for _, alias := range d.Aliases {
					all = append(all[:len(all):len(all)], alias.Name)
				}
				switch close := near(name, all); {
				case close != "":
					a.Remedy = "did you mean " + join(deepest.Path, close) + "?"
				case len(d.Names) == 0:
					a.Remedy = "put model files into the store"
				case len(d.Names) <= 8:
					a.Remedy = "it has " + strings.Join(d.Names, ", ")
				}
			}
		}
	case inside:
		c, err := t.contents(ctx, deepest.in.v)
		if err != nil {
			return Answer{}, err
		}
		if it, err := c.at(ctx, deepest.in.below); err == nil && it.folder != nil {
			c.missing(ctx, it, name, &a)
			if _, ok := it.folder.(top); ok {
				rest, _ := strings.CutPrefix(a.Path, join(deepest.Path, name)+"/")
				c.missingPrecision(name, rest, &a)
			}
		}
	case nowhere:
		a.Reason = deepest.Path + " is a file: nothing lies below it"
	}
	return a, nil
}

// missingName is the element of a path that was not found in dir. Where the path led through links it is the last.
func missingName(dir *Node, p string) string {
	if rest, ok := strings.CutPrefix(p, dir.Path); ok {
		if list := names(rest); len(list) > 0 {
			return list[0]
		}
	}
	list := names(p)
	depth := len(names(dir.Path))
	if depth < len(list) {
		return list[depth]
	}
	return base(p)
}

// missingPrecision says why a precision of a format that the version has not at all is missing, where that has a reason
// of its own. below is the path below the format.
func (c *contents) missingPrecision(format, below string, a *Answer) {
	name, _, _ := strings.Cut(below, "/")
	for _, f := range c.formats {
		if f.view.Name != format || name == "" {
			continue
		}
		canonical, ok := precisionName(name, slices.Concat(f.names, f.view.Asked))
		if !ok {
			return
		}
		if absent := f.plan(canonical).absent; len(absent) > 0 {
			a.Reason, a.Remedy = fault.Reason(absent[0].cause), absent[0].cause.Remedy
		}
		if !slices.Contains(f.names, canonical) {
			f.forget(canonical)
		}
	}
}

// missing says why a name is missing in a folder of the version, where more can be said than that it is.
func (c *contents) missing(ctx context.Context, it item, name string, a *Answer) {
	f, ok := it.folder.(planned)
	if !ok {
		return
	}
	p := join(f.below, name)
	for _, gone := range f.plan.absent { // a model of its own that failed
		if gone.of != nil && (gone.of.name == p || gone.of.name == strings.TrimSuffix(p, path.Ext(p)) || strings.HasPrefix(gone.of.name, p+"/")) {
			a.Reason, a.Remedy = fault.Reason(gone.cause), gone.cause.Remedy
			return
		}
	}
	tensors := false
	for i := range f.plan.files {
		m := &f.plan.files[i]
		tensors = tensors || m.out.Tensor != nil
		if i > 0 && f.plan.files[i-1].from == m.from {
			continue
		}
		for _, l := range append(f.f.left(m.from), m.from.model.Left...) {
			if file := model.FileName(l.Name, ""); name == file || name == file+path.Ext(name) {
				a.Reason, a.Remedy = fmt.Sprintf("tensor %q is left out: %s", l.Name, l.Reason), ""
				return
			}
		}
	}
	all := it.names(ctx)
	a.Reason = fmt.Sprintf("%s has no file %s", f.root(), p)
	if tensors {
		a.Reason = fmt.Sprintf("the model has no tensor whose file is %s", name)
	}
	switch close := near(name, all); {
	case close != "":
		a.Remedy = "did you mean " + close + "?"
	case len(all) <= 8:
		a.Remedy = "it has " + strings.Join(all, ", ")
	}
}

// present says what something that is there is made from.
func (t *Tree) present(ctx context.Context, n *Node) (Answer, error) {
	a := Answer{Path: n.Path, Available: true}
	if n.File != nil {
		if err := n.File.Check(ctx); err != nil {
			if ctx.Err() != nil {
				return Answer{}, ctx.Err()
			}
			a.Available, a.Reason, a.Remedy = false, fault.Reason(err), fault.Remedy(err)
			return a, nil
		}
	}
	switch n.in.place {
	case space:
		a.Reason = "a namespace of the store"
		if n.Path == "" {
			a.Reason = "the root: " + t.o.Store.String()
		}
		return a, nil
	case aModel:
		return t.presentModel(ctx, n, a)
	case control:
		a.Reason = "what isomerfs tells of itself"
		return a, nil
	}
	if n.in.v == nil {
		a.Reason = "written by isomerfs"
		return a, nil
	}
	c, err := t.contents(ctx, n.in.v)
	if err != nil {
		return Answer{}, err
	}
	it, err := c.at(ctx, n.in.below)
	if err != nil {
		return Answer{Path: n.Path, Reason: fault.Reason(err), Remedy: fault.Remedy(err)}, nil
	}
	switch f := it.folder.(type) {
	case top:
		a.Reason, a.Remedy = c.story()
		for _, x := range c.badCards() {
			e := c.v.told(x.file, x.err)
			a.Reason += "; a card is not used: " + e.Reason
			if a.Remedy == "" {
				a.Remedy = e.Remedy
			}
		}
		return a, nil
	case source:
		a.Reason = fmt.Sprintf("the stored files, untouched, from %s", n.in.v.Real)
		return a, nil
	case precisions:
		a.Reason = "it is made in " + strings.Join(f.f.available(), ", ")
		return a, nil
	case planned:
		a.Reason = madeFrom(&f.plan.files[0])
		if len(f.plan.absent) > 0 {
			a.Reason += "; without " + f.plan.absent[0].of.name + ": " + fault.Reason(f.plan.absent[0].cause)
		}
		return a, nil
	}
	switch {
	case it.stored != nil:
		a.Reason = fmt.Sprintf("a stored file of %s: %v", bytesText(it.stored.Source.Size()), it.stored.Source)
		for _, x := range c.badCards() {
			if x.file == it.stored.Name {
				a.Reason += "; as a card it is not used: " + fault.Reason(x.err)
				a.Remedy = fault.Remedy(x.err)
			}
		}
	case it.made != nil:
		a.Reason = madeFrom(it.made)
		if s := it.made.out.File.Identical(); s != nil {
			if stored := n.in.v.stored(s); stored != nil {
				a.Reason = "it is the stored file source/" + stored.Name + ", byte for byte"
			}
		}
	default:
		a.Reason = "written by isomerfs about the version"
	}
	return a, nil
}

// madeFrom says what a file of a view is made from, and why from that.
func madeFrom(m *made) string {
	return fmt.Sprintf("made from %s, %s", strings.Join(storedPaths(m.from.model), ", "), m.why)
}

// presentModel says which version is the latest, and what is wrong with those that are newer.
func (t *Tree) presentModel(ctx context.Context, n *Node, a Answer) (Answer, error) {
	d, err := t.o.Store.Dir(ctx, n.Path)
	if err != nil {
		return Answer{}, err
	}
	if len(d.Versions) == 0 {
		a.Reason = "a model that has no version yet"
		return a, nil
	}
	v, err := t.latestOf(ctx, n)
	if err != nil {
		return Answer{}, err
	}
	a.Reason = "a model; latest is " + v.Name
	for _, name := range newest(d.Versions) {
		if name == v.Name {
			break
		}
		newer, err := t.enter(ctx, n.Path, name, n.in.read)
		if err != nil {
			continue
		}
		c, err := t.contents(ctx, newer)
		if err != nil {
			return Answer{}, err
		}
		if !c.sound() {
			reason, remedy := c.story()
			a.Reason += "; not " + name + ": " + reason
			if a.Remedy == "" {
				a.Remedy = remedy
			}
		}
	}
	return a, nil
}

// story says in a line what the version holds, or what is wrong with it.
func (c *contents) story() (reason, remedy string) {
	for _, x := range c.broken() {
		e := c.why(x)
		return e.Reason, e.Remedy
	}
	models := c.models()
	if len(models) == 0 {
		e := c.nothing()
		return e.Reason, e.Remedy
	}
	var files []string
	for _, x := range models {
		files = append(files, "source/"+x.file)
	}
	return fmt.Sprintf("a version, stored as %s in %s", c.format(), strings.Join(files, ", ")), ""
}
