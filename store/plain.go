package store

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// Plain is a store of the one model that a path is or belongs to, for commands that are given a path rather than a
// store. Files are taken as they are.
//
// A folder is a version by its name (resnet50/v3), a snapshot or a repository of a hub cache, a model with versions,
// of which version is then the newest, or a model's own folder. A file belongs to the folder it lies in, and is seen
// with all that is in it; if that is no model's folder for sure (by its name, or by a config.json or the like), with
// the files beside it alone. fault.Absent for a folder that is none of these, as a store of several models.
func Plain(path string) (s Store, model, version string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", "", systemFault(path, err, fault.Absent)
	}
	st, err := stat(abs)
	if err != nil {
		return nil, "", "", systemFault(path, err, fault.Absent)
	}
	folder := abs
	switch {
	case st.mode.IsRegular():
		folder = filepath.Dir(abs)
	case !st.mode.IsDir():
		e := fault.New(fault.Unsupported, "is neither a file nor a folder")
		e.Path = path
		return nil, "", "", e
	}
	d, err := newDirectory(folder, Options{Settle: -1})
	if err != nil {
		return nil, "", "", err
	}
	d.given = path
	if real, err := filepath.EvalSymlinks(abs); err == nil && st.mode.IsRegular() {
		d.follow = append(d.follow, real) // the file itself may be a link: it was named
	}
	p, err := d.asPlain(st.mode)
	if err != nil {
		return nil, "", "", fault.In(path, err)
	}
	d.top, d.fixed = place{kind: namespace, dir: d.real}, &p
	m, err := d.versionsOf(p)
	if err != nil {
		return nil, "", "", fault.In(path, err)
	}
	if len(m.candidates) == 0 {
		return nil, "", "", fault.In(path, fault.New(fault.Absent, "has no version"))
	}
	return d, p.path, m.candidates[len(m.candidates)-1].name, nil
}

// asPlain judges the folder that a command was given (mode says that it was), or that holds the file it was given.
func (s *directory) asPlain(mode fs.FileMode) (place, error) {
	entries, err := readFolder(s.real)
	if err != nil {
		return place{}, systemFault("", err, fault.Absent)
	}
	if repo := repositoryOfSnapshot(s.real); repo != "" {
		return s.snapshotPlace(repo), nil
	}
	name := lastName(s.real)
	if IsVersion(name) {
		return place{path: lastName(filepath.Dir(s.real)), kind: single, dir: s.real, version: name}, nil
	}
	p := s.classify(s.real, name, entries)
	if org, model, ok := repository(name); ok && p.kind == hub {
		p.path = strings.TrimPrefix(org+"/"+model, "/")
	}
	if !mode.IsDir() { // the file is a part of the folder, whatever else is in it
		c := look(entries)
		sure := c.marked || c.indexed || c.complete
		return place{path: name, kind: single, dir: s.real, version: firstVersion, beside: !sure}, nil
	}
	if p.kind == namespace {
		return place{}, fault.New(fault.Absent, "is no model: no model file lies directly in it, and no folder in it is named as a version is").
			Remedied("name a folder or file in it")
	}
	return p, nil
}
