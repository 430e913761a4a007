package tree

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
)

// inside is a node of a version, at a path below its folder. Its owner is that of of, or of the version.
func (t *Tree) inside(v *version, below string, kind Kind, mode fs.FileMode, of *store.Info, when time.Time, size int64) *Node {
	info := &v.Info
	if of != nil {
		info = of
	}
	p := join(v.path, below)
	n := &Node{
		Name: base(p), Path: p, Kind: kind, Gen: v.gen, Fixed: below != "",
		Attr: t.attr(p, mode, info.UID, info.GID, when, size),
		in:   where{v: v, below: below},
	}
	if kind == Folder {
		n.in.place = inside
	}
	return n
}

// storedNode is a stored file: its bytes, its times, its owner, and of its mode the read bits.
func (t *Tree) storedNode(v *version, below string, f *store.File) *Node {
	n := t.inside(v, below, Regular, f.Info.Mode&v.above&readAll, &f.Info, f.Info.ModTime, f.Source.Size())
	n.File = &File{
		Path: n.Path, Exact: true, Source: f.Source,
		XAttr: map[string]string{"size_exact": "yes", "source": "source/" + f.Name},
		Check: checks([]layout.Source{f.Source}),
	}
	return n
}

// madeNode is a file of a view.
func (t *Tree) madeNode(c *contents, below string, m *made) *Node {
	v := c.v
	l := m.out.File
	sources := l.Sources()
	var owner *store.Info
	var from []string
	for _, s := range sources {
		if stored := v.stored(s); stored != nil {
			if owner == nil {
				owner = &stored.Info
			}
			from = append(from, "source/"+stored.Name)
		}
	}
	n := t.inside(v, below, Regular, c.mode(m, sources), owner, v.newest.Add(nanoseconds(l.Recipe())), l.Size())
	n.File = &File{
		Path: n.Path, Exact: true,
		XAttr: map[string]string{"size_exact": "yes", "recipe": l.Recipe().String(), "source": strings.Join(from, "\n")},
		Check: checks(sources),
	}
	if s := l.Identical(); s != nil {
		n.File.Source = s
	} else {
		n.File.Layout = l
	}
	if tensor := m.out.Tensor; tensor != nil {
		n.File.XAttr["name"] = tensor.Name
		n.File.XAttr["dtype"] = tensor.DType.String()
		n.File.XAttr["shape"] = string(jsonText(append([]int64{}, tensor.Shape...)))
	}
	return n
}

// checks is a File.Check of these sources.
func checks(sources []layout.Source) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, s := range sources {
			var err error
			if c, ok := s.(store.Checker); ok {
				err = c.Check(ctx)
			} else if s.Size() > 0 { // a read compares the identity
				_, err = s.ReadAt(ctx, make([]byte, 1), 0)
			}
			if err != nil {
				return fault.In(s.String(), err)
			}
		}
		return nil
	}
}

// State is what user.isomerfs.state says of a file: source, memory, virtual, or what the cache knows of it; "" of a
// folder, a link or a document.
func (t *Tree) State(n *Node) string {
	switch {
	case n.File == nil:
		return ""
	case n.File.Source != nil:
		return "source"
	case n.File.Layout == nil:
		return ""
	case t.o.State != nil:
		return t.o.State(n.File.Layout)
	case n.File.Layout.Literal(), n.File.Layout.Size() <= 1<<20:
		return "memory"
	}
	return "virtual"
}
