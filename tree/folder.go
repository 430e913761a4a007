package tree

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/store"
)

// folder is a folder of a version.
type folder interface {
	// list is the names in order, and what each is.
	list(ctx context.Context) ([]listed, error)
	// find is what a name leads to, listed or not. A fault of kind Absent says why there is nothing.
	find(ctx context.Context, name string) (item, error)
}

type listed struct {
	name string
	kind Kind
}

// item is what stands at a name of a folder: one of its fields is set.
type item struct {
	folder   folder
	link     string // the name of a sibling
	stored   *store.File
	made     *made
	view     *format // of made
	document *document
}

// tier is a folder whose names are known.
type tier struct {
	names []string
	items map[string]item
}

func newTier() *tier { return &tier{items: map[string]item{}} }

// add puts a file at a path of names, making the folders on the way. It reports false, and changes nothing, where a
// name is taken.
func (t *tier) add(p string, it item) bool {
	first, rest, deeper := strings.Cut(p, "/")
	have, taken := t.items[first]
	if !deeper {
		if taken || first == "" {
			return false
		}
		t.names = append(t.names, first)
		t.items[first] = it
		return true
	}
	if !taken {
		sub := newTier()
		if !sub.add(rest, it) {
			return false
		}
		t.names = append(t.names, first)
		t.items[first] = item{folder: sub}
		return true
	}
	sub, ok := have.folder.(*tier)
	return ok && sub.add(rest, it)
}

func (t *tier) list(context.Context) ([]listed, error) {
	list := make([]listed, len(t.names))
	for i, name := range t.names {
		list[i] = listed{name, Regular}
		if t.items[name].folder != nil {
			list[i].kind = Folder
		}
	}
	return list, nil
}

func (t *tier) find(_ context.Context, name string) (item, error) {
	if it, ok := t.items[name]; ok {
		return it, nil
	}
	return item{}, fault.New(fault.Absent, "there is no %s here", name)
}

// top is a version's own folder: documents, source/, and the formats.
type top struct{ c *contents }

func (f top) list(context.Context) ([]listed, error) {
	var list []listed
	for i := range documents {
		if when := documents[i].when; when == nil || when(f.c) == nil {
			list = append(list, listed{documents[i].name, Regular})
		}
	}
	list = append(list, listed{"source", Folder})
	for _, x := range f.c.formats {
		if x.any() {
			list = append(list, listed{x.view.Name, Folder})
		}
	}
	return list, nil
}

func (f top) find(_ context.Context, name string) (item, error) {
	for i := range documents {
		if d := &documents[i]; d.name == name {
			if d.when != nil {
				if cause := d.when(f.c); cause != nil {
					return item{}, absentFor("", cause)
				}
			}
			return item{document: d}, nil
		}
	}
	if name == "source" {
		return item{folder: f.c.source()}, nil
	}
	lower := strings.ToLower(name)
	for _, x := range f.c.formats {
		switch {
		case x.view.Name == name && x.any():
			return item{folder: x.folder()}, nil
		case x.view.Name == name:
			return item{}, absentFor("", x.cause(""))
		case x.view.Name == lower && x.any():
			return item{link: lower}, nil
		}
	}
	return item{}, fault.New(fault.Absent, "isomerfs makes no %s", name).Remedied("it makes %s", strings.Join(f.c.formatNames(), ", "))
}

// formatNames lists the formats of the table of views.
func (c *contents) formatNames() []string {
	var names []string
	for _, f := range c.formats {
		names = append(names, f.view.Name)
	}
	return names
}

// source is the folder of the stored files.
func (c *contents) source() folder {
	root := newTier()
	for i := range c.v.Files {
		if c.v.Files[i].Err == nil {
			root.add(c.v.Files[i].Name, item{stored: &c.v.Files[i]})
		}
	}
	return source{root, c.v, ""}
}

// source is a folder of stored files. What leads out of the store is not listed, and refused by its reason.
type source struct {
	*tier
	v     *version
	below string
}

func (f source) find(ctx context.Context, name string) (item, error) {
	p := join(f.below, name)
	if i, ok := f.v.byName[p]; ok && f.v.Files[i].Err != nil {
		return item{}, f.v.told(p, f.v.Files[i].Err)
	}
	it, err := f.tier.find(ctx, name)
	if sub, ok := it.folder.(*tier); ok {
		it.folder = source{sub, f.v, p}
	}
	return it, err
}

// folder is the FORMAT folder: of precisions, or of files where it has none.
func (f *format) folder() folder {
	if f.view.Precisions == nil {
		p := f.plan("")
		return planned{f: f, plan: p, tier: p.root}
	}
	return precisions{f}
}

// precisions is a FORMAT folder.
type precisions struct{ f *format }

func (p precisions) list(context.Context) ([]listed, error) {
	var list []listed
	for _, name := range p.f.available() {
		list = append(list, listed{name, Folder})
	}
	return list, nil
}

func (p precisions) find(_ context.Context, name string) (item, error) {
	canonical, ok := precisionName(name, slices.Concat(p.f.names, p.f.view.Asked))
	if !ok {
		return item{}, fault.New(fault.Absent, "%s has no precision %s", p.f.view.Name, name).Remedied("it has %s", strings.Join(p.f.names, ", "))
	}
	plan := p.f.plan(canonical)
	if len(plan.files) == 0 {
		cause := plan.absent[0].cause
		if !slices.Contains(p.f.names, canonical) {
			p.f.forget(canonical)
		}
		return item{}, absentFor("", cause)
	}
	if canonical != name {
		return item{link: canonical}, nil
	}
	return item{folder: planned{f: p.f, precision: name, plan: plan, tier: plan.root}}, nil
}

// planned is a folder of a view's files.
type planned struct {
	f         *format
	precision string
	plan      *plan
	below     string // the path below FORMAT/PRECISION
	*tier
}

// root is FORMAT/PRECISION.
func (p planned) root() string { return join(p.f.view.Name, p.precision) }

func (p planned) find(ctx context.Context, name string) (item, error) {
	it, err := p.tier.find(ctx, name)
	if sub, ok := it.folder.(*tier); ok {
		p.below, p.tier = join(p.below, name), sub
		it.folder = p
	}
	it.view = p.f
	return it, err
}

// at is what stands at a path below the version's folder; links are not followed.
func (c *contents) at(ctx context.Context, below string) (item, error) {
	it := item{folder: top{c}}
	if below == "" {
		return it, nil
	}
	for name := range strings.SplitSeq(path.Clean(below), "/") {
		if it.folder == nil {
			return item{}, fault.New(fault.Absent, "%s lies in no folder", name)
		}
		next, err := it.folder.find(ctx, name)
		if err != nil {
			return item{}, err
		}
		it = next
	}
	return it, nil
}
