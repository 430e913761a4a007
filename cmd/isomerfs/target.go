package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/store"
	"github.com/isomerfs/isomerfs/tree"
	"github.com/isomerfs/isomerfs/views"
)

// target is what a PATH on the command line means: a place in a tree.
type target struct {
	given   string // as it was given, for messages
	store   store.Store
	answers               // the tree, opened by this process
	path    string        // in the tree; "" is all of it
	stored  string        // where one plain file was named: its path in the tree; path is then its version's
	missing string        // where it could be no more than a model of a store, by name: the store's folder
	daemon  *daemonClient // where it is a path in a mount; nil when its daemon does not answer
}

// node is what stands at the target: of a plain file, the file.
func (t *target) node(ctx context.Context) (*tree.Node, error) { return t.tree.Resolve(ctx, t.named()) }

// named is the path in the tree of what was named.
func (t *target) named() string {
	if t.stored != "" {
		return t.stored
	}
	return t.path
}

// taken is how a folder is taken that holds model files, and could be a store of them or one model.
type taken uint8

const (
	asMounted  taken = iota // as a mount of it would show it: each loose file a model
	asOneModel              // all of it one model
)

// A locator finds out what paths mean. The rule, for a PATH that does not lie in a mount:
//
//  1. The path is cut where it stops existing: base exists, rest does not (it names views, or models by names that are
//     not those of folders).
//  2. A base that is a file is a plain model file, seen with the files beside it; rest, if any, lies below its version.
//  3. A base that is a folder is a version, if it is named like one; a store, if models lie in folders of it; else one
//     model, if it holds versions or model files; else a store. Commands that list what a mount shows (asMounted) take
//     loose model files without anything that makes them one model as a store.
//  4. With a rest, base is read as all that it could be, the likeliest first, and the first reading in which rest
//     exists is taken. If there is none, the same is asked of the folder above a base that bears the name of a view: a
//     version that has a stored folder onnx/ has views onnx/fp16/... all the same.
//  5. If it exists nowhere, the likeliest reading gives the reason.
type locator struct {
	settings *settings
	mounts   []mount
	stores   map[string]*opened // by folder: those that were opened as stores
}

// opened is a store that this process has opened, with its tree, and a place in it.
type opened struct {
	store store.Store
	tree  *tree.Tree
	at    string // in the tree
}

func (o *opened) target(given, path string) *target {
	return &target{given: given, store: o.store, answers: answers{o.tree}, path: path}
}

func newLocator() (*locator, error) {
	s, err := loadSettings(nil)
	if err != nil {
		return nil, err
	}
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	return &locator{settings: s, mounts: all, stores: map[string]*opened{}}, nil
}

// locate says what a path means.
func (l *locator) locate(ctx context.Context, given string, take taken) (*target, error) {
	if m, rest, ok := inMount(l.mounts, given); ok {
		return l.below(ctx, given, m, rest)
	}
	whole, err := filepath.Abs(given)
	if err != nil {
		return nil, placed(given, err)
	}
	base, file, rest, err := existing(whole)
	if err != nil {
		return nil, placed(given, err)
	}
	if file {
		return l.plainFile(ctx, given, base, rest)
	}
	var likeliest *opened
	var below string
	for dir, rest := base, rest; ; { // up from base
		if name, _, _ := strings.Cut(rest, "/"); dir == base || hasView(name) {
			readings, err := l.readings(ctx, dir, take)
			if err != nil {
				return nil, fault.In(given, err)
			}
			if likeliest == nil || likeliest.at == "" || dir != base && readings[0].at != "" {
				likeliest, below = readings[0], rest
			}
			for _, o := range readings {
				if rest == "" {
					break
				}
				if node, err := o.tree.Resolve(ctx, path.Join(o.at, rest)); err == nil {
					return o.target(given, node.Path), nil
				}
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
			}
		}
		parent := filepath.Dir(dir)
		if rest == "" || parent == dir || strings.Count(rest, "/") > deepestStored {
			break
		}
		rest, dir = path.Join(filepath.Base(dir), rest), parent
	}
	t := likeliest.target(given, path.Join(likeliest.at, below))
	if below != "" && likeliest.at == "" {
		t.missing = base
	}
	return t, nil
}

// hasView reports whether a folder of that name holds views.
func hasView(name string) bool {
	return slices.ContainsFunc(views.Table, func(v views.View) bool { return v.Name == name })
}

// deepestStored is how many elements of a view's path may exist as folders of the store before it is given up.
const deepestStored = 6

// readings are all that a folder could be, what it is by rule 3 first. There is one, or an error.
func (l *locator) readings(ctx context.Context, dir string, take taken) ([]*opened, error) {
	asStore, err := l.open(dir)
	if err != nil {
		return nil, err
	}
	plain, err := l.plain(dir)
	if err != nil { // it is no model
		return []*opened{asStore}, nil
	}
	model, version := path.Split(plain.at)
	asModel := &opened{plain.store, plain.tree, path.Clean(model)}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, placed(dir, err)
	}
	isVersion := false
	if v, err := plain.store.Version(ctx, asModel.at, version); err == nil {
		isVersion = v.Real == real
	}
	switch {
	case isVersion && store.IsVersion(filepath.Base(real)):
		return []*opened{plain, asModel, asStore}, nil
	case l.holdsModels(ctx, asStore, real), take == asMounted && !oneModel(ctx, asStore, asModel.at):
		return []*opened{asStore, plain, asModel}, nil
	case isVersion:
		return []*opened{plain, asModel, asStore}, nil
	}
	return []*opened{asModel, asStore, plain}, nil
}

// holdsModels reports whether models lie in folders of a store.
func (l *locator) holdsModels(ctx context.Context, o *opened, real string) bool {
	entries, err := os.ReadDir(real)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			continue
		}
		if d, err := o.store.Dir(ctx, e.Name()); err == nil && d.Model && d.Real != real {
			return true
		}
	}
	return false
}

// oneModel reports whether a store consists of one model only, of that path.
func oneModel(ctx context.Context, o *opened, model string) bool {
	d, err := o.store.Dir(ctx, "")
	first, _, _ := strings.Cut(model, "/")
	return err == nil && slices.Equal(d.Names, []string{first})
}

// open opens a folder as a store.
func (l *locator) open(dir string) (*opened, error) {
	if o, ok := l.stores[dir]; ok {
		return o, nil
	}
	s, err := store.Open(dir, store.Options{Follow: l.settings.follow, Settle: asTheyAre})
	if err != nil {
		return nil, err
	}
	l.stores[dir] = &opened{store: s, tree: l.newTree(s)}
	return l.stores[dir], nil
}

// asTheyAre is the Settle of a command: without a mount, files count as they lie there now.
const asTheyAre = -1

// plain opens a model file with its version, or a folder that is one model, or a version of one.
func (l *locator) plain(file string) (*opened, error) {
	s, model, version, err := store.Plain(file)
	if err != nil {
		return nil, err
	}
	return &opened{s, l.newTree(s), path.Join(model, version)}, nil
}

func (l *locator) newTree(s store.Store) *tree.Tree {
	return tree.New(tree.Options{
		Store: s, Program: builtVersion().program(), Pickle: l.settings.pickle, Serve: l.settings.served, UID: l.settings.uid, GID: l.settings.gid, Umask: l.settings.umask,
	})
}

// plainFile is the target of a model file, or of what can be made of it.
func (l *locator) plainFile(ctx context.Context, given, file, rest string) (*target, error) {
	o, err := l.plain(file)
	if err != nil {
		return nil, fault.In(given, err)
	}
	t := o.target(given, path.Join(o.at, rest))
	if rest == "" {
		t.stored = path.Join(o.at, "source", filepath.Base(file))
	}
	return t, nil
}

// below is the target of a path in a mount. Its daemon says where the store lies; when it does not answer, the mount
// table may.
func (l *locator) below(ctx context.Context, given string, m mount, rest string) (*target, error) {
	daemon, err := dial(ctx, m)
	var said serving
	if err == nil {
		said, err = daemon.status(ctx)
	}
	t := &target{given: given, path: m.tree(rest)}
	dir, follow := m.source, l.settings.follow
	switch {
	case err == nil:
		if me := os.Geteuid(); me == 0 || me == m.uid || said.Others { // else it would answer nothing more
			t.daemon = daemon
		}
		dir, follow = said.Store, said.Follow
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !filepath.IsAbs(dir):
		return nil, err
	}
	if t.store, err = store.Open(dir, store.Options{Follow: follow, Settle: asTheyAre}); err != nil {
		return nil, fault.In(given, err)
	}
	t.answers = answers{l.newTree(t.store)}
	return t, nil
}

// existing cuts a path where it stops existing. What comes after a file does not exist.
func existing(whole string) (base string, file bool, rest string, err error) {
	base = string(filepath.Separator)
	names := strings.Split(strings.Trim(filepath.ToSlash(whole), "/"), "/")
	for i, name := range names {
		if name == "" {
			continue
		}
		next := filepath.Join(base, name)
		info, err := os.Stat(next)
		switch {
		case err == nil:
			base, file = next, !info.IsDir()
		case errors.Is(err, fs.ErrNotExist), file:
			return base, file, path.Join(names[i:]...), nil
		default:
			return base, file, "", err
		}
	}
	return base, file, "", nil
}
