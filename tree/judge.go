package tree

import (
	"context"
	"errors"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// contents is what a version holds: its models, read from the headers of its files, and what was made of them so far.
type contents struct {
	t          *Tree
	v          *version
	components []*component
	beside     []*variant // arrays that go with a model of another format
	cards      []*card
	strays     []string // files that look like shards of a model whose index does not name them
	passing    bool     // something failed for the moment: ask again
	failed     error    // why nothing is known of the version at all; nil

	formats []*format // one for each line of the table of views

	recorded memo[digests]
	facts    memo[[]fact]

	mu    sync.Mutex
	sizes map[string]*memo[sized] // by document; guarded by mu
}

// maxModels bounds how many files of one version are opened when it is entered. A folder of more arrays than this is a
// data set.
const maxModels = 4096

// judgement is judge, whatever happens.
func (t *Tree) judgement(ctx context.Context, v *version) (c *contents) {
	err := t.guard(v.path, func() error {
		c = t.judge(ctx, v)
		return nil
	})
	if err != nil {
		c = t.unread(v)
		c.failed, c.passing = err, true
		c.plans()
	}
	return c
}

func (t *Tree) unread(v *version) *contents {
	return &contents{t: t, v: v, sizes: map[string]*memo[sized]{}}
}

// plans makes the formats of what was read.
func (c *contents) plans() {
	for i := range c.t.views {
		c.formats = append(c.formats, newFormat(c, &c.t.views[i]))
	}
}

// judge reads the models of a version. What is wrong with a file is kept with it; the others stay.
func (t *Tree) judge(ctx context.Context, v *version) *contents {
	c := t.unread(v)
	c.readCards(ctx)
	variants := c.read(ctx)
	c.deal(variants)
	c.components, c.beside = components(variants)
	for _, x := range variants {
		c.passing = c.passing || passing(x.fault)
	}
	for _, x := range c.cards {
		c.passing = c.passing || passing(x.err)
	}
	c.plans()
	return c
}

// passing reports whether something failed for the moment alone.
func passing(err error) bool {
	if err == nil {
		return false
	}
	switch fault.KindOf(err) {
	case fault.IO, fault.Unknown, fault.Changed, fault.Timeout, fault.Denied:
		return true
	}
	return false
}

// read reads every model file once: indices first, because the shards they name are no models of their own.
func (c *contents) read(ctx context.Context) []*variant {
	names := c.candidates(ctx)
	used := map[string]bool{}
	var list []*variant
	add := func(x *variant) {
		list = append(list, x)
		used[x.file] = true
		if x.model != nil {
			for _, name := range x.model.Files {
				used[name] = true
			}
		}
	}
	shards := partsOf(names)
	for _, name := range names {
		if isIndex(name) {
			x := c.one(ctx, name, len(list))
			add(x)
			for _, p := range shards {
				if !strings.EqualFold(p.index(), name) {
					continue
				}
				for _, file := range p.files {
					if !used[file] && x.model != nil {
						c.strays = append(c.strays, file)
					}
					used[file] = true // of a broken index, too: a shard alone is half a model
				}
			}
		}
	}
	for _, p := range shards {
		if used[p.files[0]] || p.of == 1 && len(p.files) == 1 {
			continue
		}
		x := c.one(ctx, p.files[0], len(list))
		if x.model != nil && (len(p.files) != p.of || !slices.Equal(x.model.Files, p.files)) {
			x.model = nil
			x.fault = fault.New(fault.Missing, "%d of %d shards are here, and nothing says how they belong together: %s is missing", len(p.files), p.of, p.index()).
				Remedied("put %s beside them", p.index())
		}
		add(x)
		for _, file := range p.files {
			used[file] = true
		}
	}
	for _, name := range names {
		if !used[name] {
			add(c.one(ctx, name, len(list)))
		}
	}
	return list
}

// matching lists the formats that a file of this name may have, by their place in the table.
func (t *Tree) matching(name string) []int {
	var list []int
	for i := range t.formats {
		if t.formats[i].Match(name) {
			list = append(list, i)
		}
	}
	return list
}

// perhaps reports whether a file's first bytes may show it to be a model although its ending is others' too.
func (t *Tree) perhaps(name string) bool {
	return slices.ContainsFunc(t.formats, func(f codecs.Format) bool { return f.Perhaps != nil && f.Perhaps(name) })
}

// sniffing lists the formats that a file may have by its first bytes.
func (t *Tree) sniffing(ctx context.Context, files layout.Files, name string) ([]int, error) {
	head, err := codecs.Head(ctx, files, name)
	if err != nil {
		return nil, err
	}
	var list []int
	for i, f := range t.formats {
		if f.Sniff != nil && f.Sniff(head) {
			list = append(list, i)
		}
	}
	return list, nil
}

// maxSniffed bounds how many files are opened to learn whether they are models by another name.
const maxSniffed = 32

// candidates lists the files that may be models: by their names, or by their first bytes where no name says so.
func (c *contents) candidates(ctx context.Context) []string {
	var named, others []string
	sniffed := 0
	for _, f := range c.v.Files {
		switch {
		case f.Err != nil:
		case len(c.t.matching(f.Name)) > 0:
			named = append(named, f.Name)
		case sniffed < maxSniffed && c.t.perhaps(f.Name):
			sniffed++
			if orders, err := c.t.sniffing(ctx, c.v, f.Name); err == nil && len(orders) > 0 {
				named = append(named, f.Name)
			}
		default:
			others = append(others, f.Name)
		}
	}
	if len(named) > 0 {
		return named
	}
	for _, name := range others[:min(len(others), maxSniffed)] {
		if orders, err := c.t.sniffing(ctx, c.v, name); err == nil && len(orders) > 0 {
			named = append(named, name)
		}
	}
	return named
}

// one reads the model of one file. number is how many were read before.
func (c *contents) one(ctx context.Context, name string, number int) *variant {
	if number >= maxModels {
		order := max(0, slices.IndexFunc(c.t.formats, func(f codecs.Format) bool { return f.Match(name) }))
		x := newVariant(&c.t.formats[order], order, name)
		x.fault = fault.New(fault.Limit, "the version has more than %d model files; this one was not read", maxModels).Remedied("split the version")
		return x
	}
	m, order, err := c.t.readModel(ctx, c.v, name)
	x := newVariant(&c.t.formats[order], order, name)
	if m != nil {
		m.Name = path.Base(path.Dir(c.v.path))
	}
	x.model, x.fault = m, err
	if m != nil {
		if x.fault = c.t.o.Pickle.check(m); x.fault != nil {
			x.model, x.refused = nil, m
		}
	}
	return x
}

// readModel reads a stored file by the first format that takes it; the fault is that of the first whose name fits and
// that knows the file for one of its own.
func (t *Tree) readModel(ctx context.Context, files layout.Files, name string) (m *model.Model, order int, err error) {
	orders := t.matching(name)
	if len(orders) == 0 {
		if orders, err = t.sniffing(ctx, files, name); err != nil {
			return nil, 0, fault.In(name, err)
		}
	}
	if len(orders) == 0 {
		return nil, 0, fault.In(name, fault.New(fault.Unsupported, "this is no model file that isomerfs reads (%s)", t.formatNames()))
	}
	for i, o := range orders {
		m, failed := t.readAs(ctx, &t.formats[o], files, name)
		if failed == nil {
			return m, o, nil
		}
		// A format that says that the file is another's leaves the word to that.
		if i == 0 || errors.Is(err, fault.Unsupported) && !errors.Is(failed, fault.Unsupported) {
			order, err = o, failed
		}
	}
	return nil, order, err
}

func (t *Tree) readAs(ctx context.Context, f *codecs.Format, files layout.Files, name string) (m *model.Model, err error) {
	err = t.guard(name, func() error {
		m, err = f.Read(ctx, files, name)
		return err
	})
	if err != nil {
		return nil, fault.In(name, err)
	}
	return m, nil
}

// guard runs work on an untrusted file. A panic is ours, and the file's fault for whoever asks: it costs that file, not
// the mount.
func (t *Tree) guard(what string, work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			t.log.Error("internal error", "at", what, "panic", r, "stack", string(debug.Stack()))
			err = fault.In(what, fault.New(fault.Malformed, "internal error: %v", r))
		}
	}()
	return work()
}

func (t *Tree) formatNames() string {
	var names []string
	for _, f := range t.formats {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// sound reports whether nothing is wrong with any model of the version: latest skips those that are not. What is legal
// and not read by us is no fault of the version.
func (c *contents) sound() bool {
	if c.failed != nil {
		return false
	}
	for _, b := range c.broken() {
		if kind := fault.KindOf(b.fault); kind.Broken() || kind == fault.Unsafe {
			return false
		}
	}
	return true
}

// broken lists the stored forms that can't be read.
func (c *contents) broken() []*variant {
	var list []*variant
	for _, m := range c.components {
		for _, x := range m.variants {
			if x.fault != nil {
				list = append(list, x)
			}
		}
	}
	return list
}

// why is what keeps a variant from being read, in words that name the file.
func (c *contents) why(x *variant) *fault.Error {
	return c.v.told(x.file, x.fault)
}

// told is a fault of a stored file as people read it: with the file's path in the mount, below the version's folder.
func (v *version) told(file string, err error) *fault.Error {
	var e *fault.Error
	if errors.As(err, &e) && e.Path != "" {
		name := strings.TrimPrefix(strings.TrimPrefix(e.Path, v.Real), "/")
		if _, ok := v.byName[name]; ok {
			file = name
		}
	}
	return &fault.Error{Kind: fault.KindOf(err), Path: join(v.path, "source/"+file), Off: -1, Reason: "source/" + file + ": " + fault.Reason(err), Remedy: fault.Remedy(err), Err: err}
}
