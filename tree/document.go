package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// document is a file that tree writes about a version. It is a snapshot taken at open and costs no tensor byte; its
// size is known before, and stays while the stored files stay.
type document struct {
	name string
	room int // bytes kept free for what may change while the stored files stay

	// when is why a version has none, nil where it has it. nil: every version has it.
	when func(c *contents) *fault.Error

	// make is its text. With measure it is the text without what room is kept for.
	make func(ctx context.Context, c *contents, measure bool) ([]byte, error)
}

// documents are those of a version, in the order of listing.
var documents = [...]document{
	{name: "README.md", make: readme},
	{name: "metadata.json", room: aliasRoom, make: metadata},
	{name: "provenance.json", make: provenance},
	{name: "SHA256SUMS", make: sums},
	{name: "summary.txt", make: summary},
	{name: "graph.svg", when: undrawn, make: drawnSVG},
	{name: "graph.dot", when: undrawn, make: drawnDot},
	{name: "requirements.txt", when: unneeded, make: requirements},
}

// sized is a size, or why there is none.
type sized struct {
	bytes int64
	err   error
}

// size is the size of a document.
func (c *contents) size(ctx context.Context, d *document) (int64, error) {
	c.mu.Lock()
	m := c.sizes[d.name]
	if m == nil {
		m = &memo[sized]{}
		c.sizes[d.name] = m
	}
	c.mu.Unlock()
	s := m.get(func() sized {
		b, err := c.write(context.WithoutCancel(ctx), d, true)
		return sized{int64(len(b) + d.room), err}
	})
	return s.bytes, s.err
}

func (c *contents) write(ctx context.Context, d *document, measure bool) (b []byte, err error) {
	err = c.t.guard(d.name, func() error {
		b, err = d.make(ctx, c, measure)
		return err
	})
	return b, err
}

// documentNode is the node of a document of a version.
func (t *Tree) documentNode(ctx context.Context, c *contents, d *document) (*Node, error) {
	size, err := c.size(ctx, d)
	if err != nil {
		return nil, fault.In(join(c.v.path, d.name), err)
	}
	v := c.v
	n := t.inside(v, d.name, Regular, v.read&readAll, nil, v.newest.Add(t.edition(d.name)), size)
	n.File = &File{
		Path: n.Path, Exact: true,
		XAttr: map[string]string{"size_exact": "yes"},
		Check: func(context.Context) error { return nil },
		Document: func(ctx context.Context) ([]byte, error) {
			c, err := t.contents(ctx, v)
			if err != nil {
				return nil, err
			}
			b, err := c.write(ctx, d, false)
			if err != nil {
				return nil, fault.In(n.Path, err)
			}
			return fit(n.Path, b, size)
		},
	}
	return n, nil
}

// fit pads a document to its size with spaces before the newline that ends it.
func fit(p string, b []byte, size int64) ([]byte, error) {
	short := size - int64(len(b))
	if short < 0 {
		return nil, fault.In(p, fault.New(fault.Changed, "it has %d bytes where it had %d: the stored files could not be read as before", len(b), size))
	}
	if short == 0 {
		return b, nil
	}
	end := bytes.TrimSuffix(b, []byte("\n"))
	b = append(end[:len(end):len(end)], bytes.Repeat([]byte(" "), int(short))...)
	return append(b, '\n'), nil
}

// edition is the fraction of a second that stands for the program that writes a document: another program may write
// other bytes.
func (t *Tree) edition(name string) time.Duration {
	return nanoseconds(layout.ID(sha256.Sum256([]byte(t.o.Program + "\x00" + name))))
}

// fixed is the node of a document whose text is always the same.
func (t *Tree) fixed(dir *Node, name string, text []byte) *Node {
	p := join(dir.Path, name)
	n := &Node{Name: name, Path: p, Kind: Regular, Fixed: true}
	n.Attr = t.attr(p, readAll, dir.Attr.UID, dir.Attr.GID, dir.Attr.ModTime.Truncate(time.Second).Add(t.edition(name)), int64(len(text)))
	n.File = &File{
		Path: p, Exact: true,
		XAttr:    map[string]string{"size_exact": "yes"},
		Check:    func(context.Context) error { return nil },
		Document: func(context.Context) ([]byte, error) { return bytes.Clone(text), nil },
	}
	return n
}

// all is every file that can be made of the version, by its path below the version's folder, in order of listing.
func (c *contents) all() iter.Seq2[string, *made] {
	return func(yield func(string, *made) bool) {
		for _, f := range c.formats {
			for _, precision := range f.names {
				p := f.plan(precision)
				for i := range p.files {
					if !yield(join(join(f.view.Name, precision), p.files[i].path), &p.files[i]) {
						return
					}
				}
			}
		}
	}
}

// models lists the models of the version that can be read: of each component the form it is known by.
func (c *contents) models() []*variant {
	var list []*variant
	for _, m := range c.components {
		if x := m.main(); x.model != nil {
			list = append(list, x)
		}
	}
	return list
}

// mode is the read bits that all the stored files leave which a file of a view is made of: those that its bytes come
// from, or, of a header alone, those of its model.
func (c *contents) mode(m *made, sources []layout.Source) fs.FileMode {
	mode := c.v.above & readAll
	if len(sources) == 0 {
		sources = m.from.model.Sources
	}
	for _, s := range sources {
		f := c.v.stored(s)
		if f == nil {
			return c.v.read & readAll
		}
		mode &= f.Info.Mode
	}
	return mode
}

// bytesText is a number of bytes as people read it, in powers of a thousand.
func bytesText(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	x, unit := float64(n), 0
	for x >= 999.5 && unit < 6 {
		x /= 1000
		unit++
	}
	if x < 9.95 {
		return fmt.Sprintf("%.1f %cB", x, " kMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %cB", x, " kMGTPE"[unit])
}

// countText is a number with its thousands apart.
func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
