package store

import (
	"path/filepath"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// kind is what a folder is to a store.
type kind uint8

const (
	namespace kind = iota // a folder of models
	versioned             // a model whose folders are its versions
	single                // a model with one version: the folder, with all below it
	loose                 // a model with one version: files of one stem in a namespace
	hub                   // a repository of a hub cache: snapshots are its versions, refs its aliases
)

// firstVersion is the version of what lies there without one.
const firstVersion = "v1"

// place is what stands at a path.
type place struct {
	path string
	kind kind
	dir  string // its folder; of loose files the one they lie in; "" for an organisation of a hub cache that has none

	stem    string // of loose files
	version string // of a single: its version's name
	beside  bool   // of a single: the files directly in the folder alone
	repo    string // of a single that is a snapshot: its repository's folder

	entries []entry // of a versioned one, where they have just been read

	cache string // of a namespace: the folder of a hub cache whose repositories of org are models here
	org   string
}

// locate finds what stands at a path.
func (s *directory) locate(path string) (place, error) {
	if s.fixed != nil && path != "" {
		switch {
		case path == s.fixed.path:
			return *s.fixed, nil
		case strings.HasPrefix(s.fixed.path, path+"/"):
			return place{path: path, kind: namespace, dir: s.real}, nil
		}
		return place{}, fault.New(fault.Absent, "the store is one model, %s", s.fixed.path)
	}
	at := s.top
	if path == "" {
		return at, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if at.kind != namespace {
			return place{}, fault.New(fault.Absent, "%s is a model", at.path)
		}
		var err error
		if at, err = s.child(at, name); err != nil {
			return place{}, err
		}
	}
	return at, nil
}

// child finds a name in a namespace. A folder comes before loose files, and both before a hub cache.
func (s *directory) child(at place, name string) (place, error) {
	absent := fault.New(fault.Absent, "there is no model and no folder of models of that name")
	if name == "" || strings.ContainsAny(name, "/\x00") || !shownFolder(name) || depth(at.path) >= maxDepth {
		return place{}, absent
	}
	path := name
	if at.path != "" {
		path = at.path + "/" + name
	}
	found := place{path: path, kind: namespace}
	if at.dir != "" {
		l, err := s.listings.of(at.dir)
		if err != nil {
			return place{}, systemFault("", err, fault.Absent)
		}
		if p, ok, err := s.folderChild(at, l, name, path); err != nil || ok && p.kind != namespace {
			return p, err
		} else if ok {
			found = p
		}
		if found.dir == "" && s.hasLoose(at, l, name) {
			return place{path: path, kind: loose, dir: at.dir, stem: name, version: firstVersion}, nil
		}
		if models, ok := l.hub[name]; ok {
			for _, model := range models {
				if model == "" && found.dir == "" { // a repository of no organisation
					return place{path: path, kind: hub, dir: filepath.Join(at.dir, repositoryFolder("", name))}, nil
				}
			}
			found.cache, found.org = at.dir, name
		}
	}
	if at.cache != "" && found.dir == "" {
		repo := filepath.Join(at.cache, repositoryFolder(at.org, name))
		if st, err := lstat(repo); err == nil && st.mode.IsDir() {
			return place{path: path, kind: hub, dir: repo}, nil
		}
	}
	if found.dir == "" && found.cache == "" {
		return place{}, absent
	}
	return found, nil
}

// folderChild is the folder of that name in a namespace, or the one that a link of that name leads to.
func (s *directory) folderChild(at place, l *listing, name, path string) (place, bool, error) {
	if l.inHub(name) {
		return place{}, false, nil
	}
	dir := filepath.Join(at.dir, name)
	st, err := lstat(dir)
	switch {
	case err != nil:
		return place{}, false, nil
	case st.mode.IsDir():
	case isLink(st):
		if target, ok := s.sibling(at.dir, name); ok && target != name {
			if t, err := stat(filepath.Join(at.dir, target)); err == nil && t.mode.IsDir() {
				return place{}, false, fault.New(fault.Absent, "is an alias of %s", target)
			}
		}
		real, st, err := s.follows(dir, "")
		if err != nil {
			return place{}, false, err
		}
		if !st.mode.IsDir() || within(at.dir, real) { // a link to a folder above goes in circles
			return place{}, false, nil
		}
		dir = real
	default:
		return place{}, false, nil
	}
	entries, err := readFolder(dir)
	if err != nil {
		return place{}, false, systemFault("", err, fault.Absent)
	}
	return s.classify(dir, path, entries), true, nil
}

// hasLoose reports whether there are loose files of a model.
func (s *directory) hasLoose(at place, l *listing, name string) bool {
	if l.stems[name] {
		return true
	}
	for _, link := range l.links {
		if stem(link) != name {
			continue
		}
		if target, ok := s.sibling(at.dir, link); ok && stem(target) != name {
			continue // an alias
		}
		if _, st, err := s.follows(filepath.Join(at.dir, link), ""); err == nil && st.mode.IsRegular() {
			return true
		}
	}
	return false
}

// classify judges a folder below a store's root by the names in it.
func (s *directory) classify(dir, path string, entries []entry) place {
	p := place{path: path, dir: dir}
	c := look(entries)
	switch {
	case isRepository(entries):
		p.kind = hub
	case len(c.versions()) > 0:
		p.kind, p.entries = versioned, entries
	case c.weights || c.complete || c.indexed:
		p.kind, p.version = single, firstVersion
	}
	return p
}

// asModel judges the root of a store, where loose files are models: it is a model itself where nothing else fits.
func (s *directory) asModel(l *listing) (place, bool) {
	if repo := repositoryOfSnapshot(s.real); repo != "" {
		return s.snapshotPlace(repo), true
	}
	name, c := lastName(s.real), l.contents
	switch {
	case isRepository(l.entries):
		if org, model, ok := repository(name); ok {
			name = strings.TrimPrefix(org+"/"+model, "/")
		}
		return place{path: name, kind: hub, dir: s.real}, true
	case c.onlyVersions():
		return place{path: name, kind: versioned, dir: s.real}, true
	case c.complete || c.marked && c.weights:
		return place{path: name, kind: single, dir: s.real, version: firstVersion}, true
	}
	return place{}, false
}

// candidate is a version by its name, settled or not.
type candidate struct {
	name    string
	dir     string
	stem    string          // the files of this stem alone
	beside  bool            // the files directly in dir alone
	except  map[string]bool // but not these folders: they are versions themselves
	repo    string          // the hub repository whose blobs its files are
	filling bool            // of a hub repository: the snapshot that a download under way belongs to
	watchAs subject         // what changes in its folders are reported as; none for the zero value
	err     error           // a link that leads out of the store
}

// model is what a model's folder says.
type model struct {
	candidates []candidate // in order, the newest last
	aliases    []Alias
	folders    []string // that this depends on, beside the model's own
	depends    []string // files likewise
}

// versionsOf lists a model's versions by their names.
func (s *directory) versionsOf(p place) (model, error) {
	switch p.kind {
	case hub:
		return s.snapshots(p)
	case versioned:
		return s.versionFolders(p)
	}
	return model{candidates: []candidate{{name: p.version, dir: p.dir, stem: p.stem, beside: p.beside, repo: p.repo}}}, nil
}

func (s *directory) versionFolders(p place) (model, error) {
	entries := p.entries
	if entries == nil {
		var err error
		if entries, err = readFolder(p.dir); err != nil {
			return model{}, systemFault("", err, fault.Absent)
		}
	}
	c := look(entries)
	var m model
	found := map[string]candidate{}
	versions := map[string]bool{}
	for _, name := range c.folders {
		dir := filepath.Join(p.dir, name)
		if IsVersion(name) || !c.weights && s.holdsWeights(dir) {
			found[name] = candidate{name: name, dir: dir}
			versions[name] = true
		}
	}
	for _, e := range entries {
		if e.kind != linkEntry || !shownFolder(e.name) {
			continue
		}
		if target, ok := s.sibling(p.dir, e.name); ok {
			m.aliases = append(m.aliases, Alias{e.name, target})
			continue
		}
		real, st, err := s.follows(filepath.Join(p.dir, e.name), "")
		switch {
		case err != nil:
			if IsVersion(e.name) {
				found[e.name] = candidate{name: e.name, err: err}
			}
		case st.mode.IsDir() && !within(p.dir, real) && (IsVersion(e.name) || !c.weights && s.holdsWeights(real)):
			found[e.name] = candidate{name: e.name, dir: real}
			m.folders = append(m.folders, filepath.Dir(real))
		}
	}
	if _, taken := found[firstVersion]; c.weights && !taken { // as a trainer leaves its result beside its checkpoints
		found[firstVersion] = candidate{name: firstVersion, dir: p.dir, except: versions}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	Sort(names)
	for _, name := range names {
		m.candidates = append(m.candidates, found[name])
	}
	return m, nil
}

// holdsWeights reports whether a folder that is no version by its name is one beside others that are.
func (s *directory) holdsWeights(dir string) bool {
	entries, err := readFolder(dir)
	if err != nil {
		return false
	}
	c := look(entries)
	return c.weights || c.complete || c.indexed
}
