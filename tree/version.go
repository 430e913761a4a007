package tree

import (
	"container/list"
	"context"
	"io/fs"
	"sync"
	"time"
	"weak"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
)

// version is one generation of one version: a set of stored files that stays as it is.
type version struct {
	*store.Version
	path   string // MODEL/VERSION
	gen    uint64
	newest time.Time   // of its files, whole seconds: the time of everything that is made of them
	read   fs.FileMode // the read bits that every stored file and every folder above them leave: the mode of documents
	above  fs.FileMode // the read bits that the folders above the files leave
	model  fs.FileMode // the read bits that the folders above the version leave

	withheld bool // it has no views, for it does not hold the alias that Options.Serve names

	byName map[string]int
	bySrc  map[layout.ID]int

	judging *flight   // guarded by Tree.mu
	expires time.Time // when what was learnt is asked again, because it failed for the moment; guarded by Tree.mu
}

// known is what is remembered of a version's path for as long as the tree lives.
type known struct {
	id       layout.ID
	read     fs.FileMode // that the folders above the version leave
	withheld bool
	gen      uint64
	ref      weak.Pointer[version] // the version while somebody uses it

	passing bool // the generation was seen while something failed for the moment
}

// flight is one judgement that several wait for.
type flight struct {
	done chan struct{}
	c    *contents
}

// patience is how long a failure of the moment (an I/O error, a change while reading) is taken as the answer.
const patience = time.Second

// enter is the version as it lies there now.
func (t *Tree) enter(ctx context.Context, model, name string, read fs.FileMode) (*version, error) {
	s, err := t.o.Store.Version(ctx, model, name)
	if err != nil {
		return nil, err
	}
	p := join(model, name)
	withheld, err := t.withholds(ctx, model, name)
	if err != nil {
		return nil, err
	}
	above := read
	if s.Info.Mode&0o111 != 0 { // a loose file has no folder of its own
		read = pass(read, s.Info.Mode)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[p]
	if k == nil {
		k = &known{}
		t.known[p] = k
	}
	if k.gen > 0 && k.id == s.ID && k.read == above && k.withheld == withheld {
		v := k.ref.Value()
		if v == nil && !k.passing {
			v = newVersion(s, p, k.gen, read, above)
			v.withheld = withheld
			k.ref = weak.Make(v)
			return v, nil
		}
		if v != nil && (v.expires.IsZero() || time.Now().Before(v.expires)) {
			return v, nil
		}
	}
	k.id, k.read, k.withheld, k.passing = s.ID, above, withheld, false
	k.gen++
	v := newVersion(s, p, k.gen, read, above)
	v.withheld = withheld
	k.ref = weak.Make(v)
	return v, nil
}

func newVersion(s *store.Version, p string, gen uint64, read, model fs.FileMode) *version {
	v := &version{
		Version: s, path: p, gen: gen, read: read, above: read, model: model,
		byName: make(map[string]int, len(s.Files)), bySrc: make(map[layout.ID]int, len(s.Files)),
	}
	for i, f := range s.Files {
		v.byName[f.Name] = i
		if f.Source != nil {
			v.bySrc[f.Source.ID()] = i
		}
		if f.Err != nil {
			continue
		}
		v.read &= f.Info.Mode
		if when := f.Info.ModTime.Truncate(time.Second); when.After(v.newest) {
			v.newest = when
		}
	}
	if v.newest.IsZero() {
		v.newest = s.Info.ModTime.Truncate(time.Second)
	}
	return v
}

// List implements layout.Files.
func (v *version) List() []string {
	names := make([]string, len(v.Files))
	for i, f := range v.Files {
		names[i] = f.Name
	}
	return names
}

// Open implements layout.Files.
func (v *version) Open(name string) (layout.Source, error) {
	i, ok := v.byName[name]
	if !ok {
		return nil, fault.In(name, fault.New(fault.Missing, "there is no such file beside it"))
	}
	if f := v.Files[i]; f.Err != nil {
		return nil, fault.In(name, f.Err)
	} else {
		return f.Source, nil
	}
}

// stored is the stored file that a source is, nil where it is none of this version.
func (v *version) stored(s layout.Source) *store.File {
	if i, ok := v.bySrc[s.ID()]; ok {
		return &v.Files[i]
	}
	return nil
}

// contents is what the version holds, judged now or remembered. The judgement outlives a caller that gives up.
func (t *Tree) contents(ctx context.Context, v *version) (*contents, error) {
	t.mu.Lock()
	if c := t.kept.get(v); c != nil {
		t.mu.Unlock()
		return c, nil
	}
	f := v.judging
	if f == nil {
		f = &flight{done: make(chan struct{})}
		v.judging = f
		go func() {
			f.c = t.judgement(context.WithoutCancel(ctx), v)
			t.mu.Lock()
			v.judging = nil
			if f.c.passing {
				v.expires = time.Now().Add(patience)
				if k := t.known[v.path]; k.gen == v.gen {
					k.passing = true
				}
			}
			t.kept.put(v, f.c, f.c.cost())
			t.mu.Unlock()
			close(f.done)
		}()
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// charge tells that what is remembered of a version has grown.
func (t *Tree) charge(v *version, bytes int64) {
	t.mu.Lock()
	t.kept.grow(v, bytes)
	t.mu.Unlock()
}

// kept is the versions whose contents are remembered: the latest used, about budget bytes of them, and never fewer
// than one, or a version larger than the budget would be judged at each step of a path.
type kept struct {
	budget, used int64
	order        list.List // of *remembered, the latest used in front
	at           map[*version]*list.Element
}

type remembered struct {
	v    *version
	c    *contents
	cost int64
}

func (k *kept) get(v *version) *contents {
	e, ok := k.at[v]
	if !ok {
		return nil
	}
	k.order.MoveToFront(e)
	return e.Value.(*remembered).c
}

func (k *kept) put(v *version, c *contents, cost int64) {
	if k.at == nil {
		k.at = map[*version]*list.Element{}
	}
	k.at[v] = k.order.PushFront(&remembered{v, c, cost})
	k.used += cost
	k.trim()
}

func (k *kept) grow(v *version, bytes int64) {
	if e, ok := k.at[v]; ok {
		e.Value.(*remembered).cost += bytes
		k.used += bytes
		k.trim()
	}
}

func (k *kept) trim() {
	for k.used > k.budget && k.order.Len() > 1 {
		e := k.order.Back()
		r := e.Value.(*remembered)
		k.order.Remove(e)
		delete(k.at, r.v)
		k.used -= r.cost
	}
}

// memo is a value that is made once, when it is first asked for.
type memo[T any] struct {
	once  sync.Once
	value T
}

func (m *memo[T]) get(make func() T) T {
	m.once.Do(func() { m.value = make() })
	return m.value
}
