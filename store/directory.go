package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Options are how a directory store is read. The zero value is what a mount wants.
type Options struct {
	// Follow are folders outside the store that symbolic links in it may lead to.
	Follow []string

	// Settle is how long a version's files must not have changed before it is listed, unless they were seen to be
	// closed or renamed into place. 0 is 5 s; a negative duration takes files as they are.
	Settle time.Duration

	// Rescan is how often Watch looks for the changes that the system does not tell of. 0 is 30 s.
	Rescan time.Duration

	// Log takes the store's complaints: that it can watch no more folders. nil is slog.Default().
	Log *slog.Logger
}

// maxDepth is the number of names in the longest path of a model.
const maxDepth = 4

// directory is a store that is a folder of this host.
type directory struct {
	given  string   // as the user gave it
	real   string   // without links
	follow []string // likewise
	top    place    // the root, a namespace
	fixed  *place   // where the root is itself a model: that model, at a path below a root that is not there

	settle, rescan time.Duration
	log            *slog.Logger
	now            func() time.Time

	reads, looks chan struct{} // a slot for each call under way that may hang
	listings     listings
	writes       writes
	watch        *watching

	mu          sync.Mutex
	filesystems map[uint64]string // by device; guarded by mu
}

// Open makes a store of a folder. It is a namespace of models, unless
//
//   - every folder in it is a version by its name (resnet50/v1, resnet50/v2): then it is the model,
//   - or it is a model's own folder (a model file beside config.json, as a Hugging Face repository lies on disk): then
//     it is the model's only version,
//   - or it is a repository or a snapshot of a Hugging Face hub cache.
//
// Such a model bears the folder's name, or org/name in a hub cache.
func Open(path string, o Options) (Store, error) {
	s, err := newDirectory(path, o)
	if err != nil {
		return nil, err
	}
	l, err := s.listings.of(s.real)
	if err != nil {
		return nil, systemFault(path, err, fault.Absent)
	}
	s.top = place{kind: namespace, dir: s.real}
	if p, ok := s.asModel(l); ok {
		s.fixed = &p
	}
	return s, nil
}

func newDirectory(path string, o Options) (*directory, error) {
	s := &directory{
		given: path, settle: o.Settle, rescan: o.Rescan, log: o.Log, now: time.Now,
		reads: make(chan struct{}, readsAtOnce), looks: make(chan struct{}, looksAtOnce),
		filesystems: map[uint64]string{},
	}
	if s.settle == 0 {
		s.settle = 5 * time.Second
	}
	if s.rescan <= 0 {
		s.rescan = 30 * time.Second
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.watch = &watching{store: s}
	var err error
	if s.real, err = realFolder(path); err != nil {
		return nil, err
	}
	for _, tree := range o.Follow {
		real, err := realFolder(tree)
		if err != nil {
			return nil, err
		}
		s.follow = append(s.follow, real)
	}
	return s, nil
}

// realFolder is the path of a folder without links, from the root of the file system.
func realFolder(path string) (string, error) {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return "", systemFault(path, err, fault.Absent)
	}
	st, err := stat(real)
	if err != nil {
		return "", systemFault(path, err, fault.Absent)
	}
	if !st.mode.IsDir() {
		e := fault.New(fault.Usage, "is no folder")
		e.Path = path
		return "", e
	}
	return real, nil
}

func (s *directory) String() string { return s.given }

// Dir implements Store. A namespace's listing is one readdir; a model's is a readdir of its folder and of each of its
// versions, with a stat for each of their files, which tells whether they are settled.
func (s *directory) Dir(ctx context.Context, path string) (*Dir, error) {
	return looked(ctx, s, func(ctx context.Context) (*Dir, error) { return s.dir(ctx, path, true) })
}

// Version implements Store. A version that is still being written is Absent, with a reason that says so.
func (s *directory) Version(ctx context.Context, model, version string) (*Version, error) {
	return looked(ctx, s, func(ctx context.Context) (*Version, error) { return s.version(ctx, model, version, true) })
}

// look runs what may hang on a dead disk so that the caller can leave.
func (s *directory) look(ctx context.Context, call func(context.Context) error) error {
	_, err := looked(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

func looked[T any](ctx context.Context, s *directory, call func(context.Context) (T, error)) (T, error) {
	var none T
	if err := take(ctx, s.looks); err != nil {
		return none, err
	}
	if ctx.Done() == nil {
		defer func() { <-s.looks }()
		return call(ctx)
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-s.looks }()
		value, err := call(ctx)
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// dir is Dir; asked says whether a caller did, so that the answer is to be kept right by Watch.
func (s *directory) dir(ctx context.Context, path string, asked bool) (*Dir, error) {
	p, err := s.locate(path)
	if err != nil {
		return nil, fault.In(path, err)
	}
	d := &Dir{Path: path, Real: p.dir, Model: p.kind != namespace}
	n := note{path: path, asked: asked}
	folder := p.dir
	if folder == "" {
		folder = p.cache
	}
	st, err := stat(folder)
	if err != nil {
		return nil, systemFault(path, err, fault.Absent)
	}
	d.Info = st.info()
	for _, f := range []string{p.dir, p.cache} {
		if f == "" {
			continue
		}
		n.folders = append(n.folders, watched{f, s.subjectOf(p, f)})
	}
	if asked {
		s.watch.armAll(n.folders)
		p.entries = nil // read before it was watched
	}
	if p.kind == namespace {
		err = s.fillNamespace(d, p)
	} else {
		err = s.fillModel(ctx, d, p, &n)
	}
	if err != nil {
		return nil, fault.In(path, err)
	}
	n.sum = d.sum()
	if asked {
		s.watch.note(n)
	}
	return d, nil
}

// subjectOf is what changes in a place's folder are reported as.
func (s *directory) subjectOf(p place, folder string) subject {
	switch {
	case p.kind == loose || folder == p.cache: // the names in it tell what they belong to
		parent, _, _ := cutLast(p.path)
		return subject{parent, false}
	case p.kind == namespace, p.kind == versioned:
		return subject{p.path, false}
	}
	return subject{p.path, true}
}

// sum tells whether two answers are the same.
func (d *Dir) sum() [32]byte {
	b := fmt.Appendf(nil, "%t %q %o %d %d", d.Model, d.Real, d.Info.Mode, d.Info.UID, d.Info.GID)
	for _, names := range [][]string{d.Names, d.Versions, d.Unsettled} {
		for _, name := range names {
			b = append(append(b, name...), 0)
		}
		b = append(b, '/') // in no name
	}
	for _, a := range d.Aliases {
		b = append(append(append(append(b, a.Name...), 0), a.Target...), 0)
	}
	return sha256.Sum256(b)
}

func (s *directory) fillNamespace(d *Dir, p place) error {
	if s.fixed != nil {
		rest := strings.TrimPrefix(strings.TrimPrefix(s.fixed.path, p.path), "/")
		first, _, _ := strings.Cut(rest, "/")
		d.Names = []string{first}
		return nil
	}
	var links []string
	if p.dir != "" && depth(p.path) < maxDepth {
		l, err := s.listings.of(p.dir)
		if err != nil {
			return systemFault("", err, fault.Absent)
		}
		d.Names = make([]string, 0, len(l.contents.folders)+len(l.stems)+len(l.hub))
		for _, name := range l.contents.folders {
			if !l.inHub(name) {
				d.Names = append(d.Names, name)
			}
		}
		for name := range l.stems {
			d.Names = append(d.Names, name)
		}
		for org := range l.hub {
			d.Names = append(d.Names, org)
		}
		links = l.links
	}
	if p.cache != "" {
		l, err := s.listings.of(p.cache)
		if err != nil {
			return systemFault("", err, fault.Absent)
		}
		for _, name := range l.hub[p.org] {
			if name != "" {
				d.Names = append(d.Names, name)
			}
		}
	}
	d.sortNames()
	elsewhere := s.namespaceLinks(d, p, links)
	d.Aliases = onlyLeading(d.Aliases, func(name string) bool { return d.has(name) || slices.Contains(elsewhere, name) })
	d.Names = append(d.Names, elsewhere...)
	d.sortNames()
	return nil
}

func (d *Dir) sortNames() {
	slices.Sort(d.Names)
	d.Names = slices.Compact(d.Names)
}

// has reports whether a name is among the sorted Names.
func (d *Dir) has(name string) bool {
	_, ok := slices.BinarySearch(d.Names, name)
	return ok
}

// namespaceLinks sorts the links of a namespace into aliases of siblings, which it adds to d's, and models that lie
// elsewhere in the store, which it returns. What leads out of the store, or nowhere, is neither.
func (s *directory) namespaceLinks(d *Dir, p place, links []string) (elsewhere []string) {
	for _, name := range links {
		target, ok := s.sibling(p.dir, name)
		if !ok {
			if real, st, err := s.follows(filepath.Join(p.dir, name), ""); err == nil && !within(p.dir, real) {
				switch {
				case st.mode.IsDir() && shownFolder(name):
					elsewhere = append(elsewhere, name)
				case st.mode.IsRegular() && stem(name) != "":
					elsewhere = append(elsewhere, stem(name))
				}
			}
			continue
		}
		if stem(name) != "" && stem(target) != "" && !d.has(target) { // one loose file to another
			name, target = stem(name), stem(target)
		}
		if shownFolder(name) && name != target {
			d.Aliases = append(d.Aliases, Alias{name, target})
		}
	}
	return elsewhere
}

// onlyLeading sorts aliases and leaves out those with the name of something real, and those that lead, perhaps by way
// of others, to nothing or in a circle.
func onlyLeading(aliases []Alias, real func(string) bool) []Alias {
	targets := map[string]string{}
	for _, a := range aliases {
		targets[a.Name] = a.Target
	}
	aliases = slices.DeleteFunc(aliases, func(a Alias) bool {
		if real(a.Name) {
			return true
		}
		at := a.Target
		for range aliases {
			next, ok := targets[at]
			if real(at) || !ok {
				break
			}
			at = next
		}
		return !real(at)
	})
	slices.SortFunc(aliases, func(a, b Alias) int { return strings.Compare(a.Name, b.Name) })
	return aliases
}

func (s *directory) fillModel(ctx context.Context, d *Dir, p place, n *note) error {
	m, err := s.versionsOf(p)
	if err != nil {
		return err
	}
	for _, f := range m.folders {
		n.folders = append(n.folders, watched{f, subject{p.path, true}})
	}
	n.depends = append(n.depends, m.depends...)
	for _, c := range m.candidates {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.err != nil {
			continue
		}
		if c.stem == "" {
			n.depends = append(n.depends, c.dir)
		}
		if n.asked {
			s.watch.armSpare(c.dir, s.subjectOfVersion(p, c))
		}
		v, err := s.survey(ctx, c, s.watch.known(versionPath(p.path, c.name)))
		n.again(v.again)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil && fault.KindOf(err) == fault.Absent: // removed a moment ago
		case err != nil:
			d.Versions = append(d.Versions, c.name) // it is there: entering it says what is wrong
		case v.wait > 0:
			d.Unsettled = append(d.Unsettled, c.name)
			n.unsettled = append(n.unsettled, v.watched(s.subjectOfVersion(p, c))...)
		case len(v.files) == 0:
			n.unsettled = append(n.unsettled, v.watched(s.subjectOfVersion(p, c))...)
		default:
			d.Versions = append(d.Versions, c.name)
		}
	}
	d.Aliases = onlyLeading(m.aliases, func(name string) bool { return slices.Contains(d.Versions, name) })
	return nil
}

func (s *directory) version(ctx context.Context, model, version string, asked bool) (*Version, error) {
	path := versionPath(model, version)
	p, err := s.locate(model)
	if err != nil {
		return nil, fault.In(model, err)
	}
	if p.kind == namespace {
		return nil, fault.In(model, fault.New(fault.Absent, "is no model but a folder of models"))
	}
	m, err := s.versionsOf(p)
	if err != nil {
		return nil, fault.In(model, err)
	}
	i := slices.IndexFunc(m.candidates, func(c candidate) bool { return c.name == version })
	if i < 0 {
		return nil, fault.In(path, fault.New(fault.Absent, "%s has no version %s", model, version))
	}
	c := m.candidates[i]
	if c.err != nil {
		return nil, fault.In(path, c.err)
	}
	if asked {
		c.watchAs = s.subjectOfVersion(p, c)
		s.watch.arm(p.dir, s.subjectOf(p, p.dir))
	}
	found, err := s.survey(ctx, c, s.watch.known(path))
	if err != nil {
		return nil, fault.In(path, err)
	}
	n := note{path: path, version: true, folders: found.watched(s.subjectOfVersion(p, c))}
	n.folders = append(n.folders, watched{p.dir, s.subjectOf(p, p.dir)})
	n.again(found.again)
	switch {
	case found.wait > 0:
		err = fault.In(path, fault.New(fault.Absent, "is still being written: %s has to stay as it is for %s more", found.writing, found.wait.Round(100*time.Millisecond)).
			Remedied("it shows once its files are closed, or have not changed for %s", s.settle))
	case len(found.files) == 0:
		err = fault.In(path, fault.New(fault.Absent, "its folder holds no files"))
	}
	if err != nil {
		if asked {
			s.watch.note(n)
		}
		return nil, err
	}
	v := &Version{Model: model, Name: version, Info: found.info, Real: c.dir}
	n.known = make(map[string]identity, len(found.files))
	h := sha256.New()
	for _, f := range found.files {
		stored := File{Name: f.name, Info: f.st.info(), Err: f.err}
		if f.err == nil {
			id := f.st.bytesID(s.filesystem(f.st.dev, filepath.Dir(f.real)))
			if digest, blob := s.blobName(f.real); blob != "" {
				id, stored.SHA256 = blobID(blob, f.st.size), digest
			}
			stored.Source = &source{store: s, name: f.path, real: f.real, seen: f.st.identity, id: id, slots: make(chan struct{}, readsOfOneFile)}
		}
		v.Files = append(v.Files, stored)
		n.known[f.name] = f.st.identity
		n.depends = append(n.depends, f.path)
		fmt.Fprintf(h, "%q %q\n", f.name, fault.KindOf(f.err))
		h.Write(f.st.appendTo([]byte(s.filesystem(f.st.dev, filepath.Dir(f.real)))))
	}
	h.Sum(v.ID[:0])
	n.sum = [32]byte(v.ID)
	if asked {
		s.watch.note(n)
	}
	return v, nil
}

// filesystem names the file system of a device, of which folder is a part.
func (s *directory) filesystem(dev uint64, folder string) string {
	s.mu.Lock()
	name, ok := s.filesystems[dev]
	s.mu.Unlock()
	if !ok {
		name = filesystemOf(folder, dev)
		s.mu.Lock()
		s.filesystems[dev] = name
		s.mu.Unlock()
	}
	return name
}

// subjectOfVersion is what changes in the folders of a version are reported as.
func (s *directory) subjectOfVersion(p place, c candidate) subject {
	if p.kind == loose {
		return s.subjectOf(p, p.dir)
	}
	return subject{versionPath(p.path, c.name), true}
}

// watched are the folders of a survey.
func (v *survey) watched(as subject) []watched {
	var list []watched
	for _, f := range v.folders {
		list = append(list, watched{f, as})
	}
	return list
}

func versionPath(model, version string) string { return model + "/" + version }

// depth is the number of names in a path.
func depth(path string) int {
	if path == "" {
		return 0
	}
	return strings.Count(path, "/") + 1
}

// cutLast takes the last name off a path.
func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// within reports whether path is folder or below it.
func within(path, folder string) bool {
	if folder == "/" {
		return true
	}
	return path == folder || strings.HasPrefix(path, folder+string(os.PathSeparator))
}

var _ Store = (*directory)(nil)

var _ layout.Files = (*Version)(nil)
