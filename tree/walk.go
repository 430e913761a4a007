package tree

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// maxLinks is how many links one path may lead through.
const maxLinks = 40

// Root is the root of the mount.
func (t *Tree) Root(ctx context.Context) (*Node, error) {
	d, err := t.o.Store.Dir(ctx, "")
	if err != nil {
		return nil, err
	}
	return t.space(d, readAll), nil
}

// Lookup is what a name leads to in a folder, listed or not: real names first, then aliases, which are Links to the
// canonical name. A version is looked at in the store anew; all that is below it is as it was when it was entered.
// A fault.Absent says why there is nothing.
func (t *Tree) Lookup(ctx context.Context, dir *Node, name string) (*Node, error) {
	p := join(dir.Path, name)
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return nil, absent(p, "%q is no name", name)
	}
	switch dir.in.place {
	case space:
		return t.lookupSpace(ctx, dir, name)
	case aModel:
		return t.lookupModel(ctx, dir, name)
	case control:
		if n := t.live(dir, name); n != nil {
			return n, nil
		}
		return nil, absent(p, "isomerfs has no document of this name about itself")
	case inside:
		return t.lookupInside(ctx, dir, name)
	}
	return nil, absent(p, "%s is no folder", dir.Path)
}

func (t *Tree) lookupSpace(ctx context.Context, dir *Node, name string) (*Node, error) {
	p := join(dir.Path, name)
	if dir.Path == "" {
		if n := t.rootItem(dir, name); n != nil {
			return n, nil
		}
	}
	d, err := t.o.Store.Dir(ctx, p)
	if err == nil {
		return t.space(d, pass(dir.in.read, d.Info.Mode)), nil
	}
	if fault.KindOf(err) != fault.Absent {
		return nil, err
	}
	here, err := t.o.Store.Dir(ctx, dir.Path)
	if err != nil {
		return nil, err
	}
	for _, a := range here.Aliases {
		if a.Name == name {
			return t.link(dir, name, a.Target), nil
		}
	}
	return nil, absent(p, "the store has no model or namespace of this name")
}

func (t *Tree) lookupModel(ctx context.Context, dir *Node, name string) (*Node, error) {
	p := join(dir.Path, name)
	v, unsaid := t.enter(ctx, dir.Path, name, dir.in.read) // first, for it looks at this version alone
	if unsaid == nil {
		return t.inside(v, "", Folder, folderAll, nil, v.newest, 0), nil
	}
	if fault.KindOf(unsaid) != fault.Absent {
		return nil, unsaid
	}
	d, err := t.o.Store.Dir(ctx, dir.Path)
	if err != nil {
		return nil, err
	}
	for _, a := range d.Aliases {
		if a.Name == name {
			return t.link(dir, name, a.Target), nil
		}
	}
	if name == latest && len(d.Versions) > 0 {
		target, err := t.latest(ctx, d, dir.in.read)
		if err != nil {
			return nil, err
		}
		return t.link(dir, name, target), nil
	}
	if target, ok := versionName(name, d.Versions); ok {
		return t.link(dir, name, target), nil
	}
	if fault.Remedy(unsaid) != "" { // it is still being written
		return nil, fault.In(p, unsaid)
	}
	if len(d.Versions) == 0 {
		return nil, absent(p, "%s has no version yet", dir.Path)
	}
	return nil, absent(p, "%s has no version %s", dir.Path, name).Remedied("it has %s", someNames(d.Versions))
}

func (t *Tree) lookupInside(ctx context.Context, dir *Node, name string) (*Node, error) {
	v := dir.in.v
	p := join(dir.Path, name)
	c, err := t.contents(ctx, v)
	if err != nil {
		return nil, err
	}
	at, err := c.at(ctx, dir.in.below)
	if err != nil {
		return nil, fault.In(p, err)
	}
	if at.folder == nil {
		return nil, absent(p, "%s is no folder", dir.Path)
	}
	it, err := at.folder.find(ctx, name)
	if err != nil {
		return nil, fault.In(p, err)
	}
	return t.itemNode(ctx, c, dir, name, it)
}

func (t *Tree) itemNode(ctx context.Context, c *contents, dir *Node, name string, it item) (*Node, error) {
	below := join(dir.in.below, name)
	switch {
	case it.folder != nil:
		return t.inside(c.v, below, Folder, folderAll, nil, c.v.newest, 0), nil
	case it.stored != nil:
		return t.storedNode(c.v, below, it.stored), nil
	case it.made != nil:
		return t.madeNode(c, below, it.made), nil
	case it.document != nil:
		return t.documentNode(ctx, c, it.document)
	}
	return t.link(dir, name, it.link), nil
}

// List is the names of a folder in order: what can be had here, now, and nothing else.
func (t *Tree) List(ctx context.Context, dir *Node) ([]Entry, error) {
	var list []Entry
	add := func(name string, kind Kind) {
		list = append(list, Entry{name, kind, inode(join(dir.Path, name))})
	}
	switch dir.in.place {
	case space:
		d, err := t.o.Store.Dir(ctx, dir.Path)
		if err != nil {
			return nil, err
		}
		if dir.Path == "" {
			for _, name := range rootNames {
				add(name, Regular)
			}
		}
		for _, a := range d.Aliases {
			if dir.Path != "" || !reserved(a.Name) {
				add(a.Name, Link)
			}
		}
		for _, name := range d.Names {
			if dir.Path != "" || !reserved(name) {
				add(name, Folder)
			}
		}
	case aModel:
		d, err := t.o.Store.Dir(ctx, dir.Path)
		if err != nil {
			return nil, err
		}
		given := false
		for _, a := range d.Aliases {
			add(a.Name, Link)
			given = given || a.Name == latest
		}
		if !given && len(d.Versions) > 0 && !slices.Contains(d.Versions, latest) {
			add(latest, Link)
		}
		for _, name := range d.Versions {
			add(name, Folder)
		}
	case control:
		for _, name := range t.liveNames() {
			add(name, Regular)
		}
	case inside:
		c, err := t.contents(ctx, dir.in.v)
		if err != nil {
			return nil, err
		}
		at, err := c.at(ctx, dir.in.below)
		if err != nil {
			return nil, fault.In(dir.Path, err)
		}
		if at.folder == nil {
			return nil, absent(dir.Path, "it is no folder")
		}
		names, err := at.folder.list(ctx)
		if err != nil {
			return nil, fault.In(dir.Path, err)
		}
		for _, l := range names {
			add(l.name, l.kind)
		}
	default:
		return nil, absent(dir.Path, "it is no folder")
	}
	return list, nil
}

// Resolve is what a path below the root leads to, through aliases too.
func (t *Tree) Resolve(ctx context.Context, p string) (*Node, error) {
	n, _, err := t.resolve(ctx, p)
	return n, err
}

// resolve is Resolve; where there is nothing it also returns the deepest node that is there.
func (t *Tree) resolve(ctx context.Context, p string) (n, deepest *Node, err error) {
	n, err = t.Root(ctx)
	if err != nil {
		return nil, nil, err
	}
	rest := names(p)
	above := []*Node{n} // the folders from the root to n
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			if len(above) > 1 {
				above = above[:len(above)-1]
			}
			continue
		}
		dir := above[len(above)-1]
		n, err := t.Lookup(ctx, dir, name)
		if err != nil {
			return nil, dir, err
		}
		if n.Kind == Link {
			if links++; links > maxLinks {
				return nil, dir, absent(n.Path, "it leads through more than %d links", maxLinks)
			}
			rest = append(names(n.Target), rest...)
			continue
		}
		above = append(above, n)
	}
	n = above[len(above)-1]
	return n, n, nil
}

// names are the elements of a path, without the empty ones and those that stay in place.
func names(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}

// Walk visits n and every listed node below it: a folder before what it holds, in order of listing. Links are visited
// and not followed. The first error of visit ends the walk. What can no longer be found when its turn comes is passed
// over; what can't be looked into is too, and its error, the first of them, is returned at the end.
func (t *Tree) Walk(ctx context.Context, n *Node, visit func(*Node) error) error {
	w := walk{t: t, visit: visit}
	if err := w.node(ctx, n); err != nil {
		return err
	}
	return w.failed
}

type walk struct {
	t      *Tree
	visit  func(*Node) error
	failed error
}

// node visits n and what is below it. It fails where the walk ends.
func (w *walk) node(ctx context.Context, n *Node) error {
	if err := w.visit(n); err != nil || n.Kind != Folder {
		return err
	}
	list, err := w.t.List(ctx, n)
	if err != nil {
		return w.passOver(ctx, err)
	}
	for _, e := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		child, err := w.t.Lookup(ctx, n, e.Name)
		if err != nil {
			err = w.passOver(ctx, err)
		} else {
			err = w.node(ctx, child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// passOver remembers the first error of a node that can't be looked into.
func (w *walk) passOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if fault.KindOf(err) != fault.Absent && w.failed == nil {
		w.failed = err
	}
	return nil
}

// Version is the folder of the version that a node lies in; nil for what lies above one.
func (t *Tree) Version(n *Node) *Node {
	if n.in.v == nil {
		return nil
	}
	return t.inside(n.in.v, "", Folder, folderAll, nil, n.in.v.newest, 0)
}

// someNames is a list of names for people, the last ones where they are many.
func someNames(list []string) string {
	const some = 8
	if len(list) > some {
		return "…, " + strings.Join(list[len(list)-some:], ", ")
	}
	return strings.Join(list, ", ")
}

// base is the last element of a path, "" of the root.
func base(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(p)
}
