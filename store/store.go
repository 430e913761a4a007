// Package store says where models come from: files, identities and versions, and nothing of what is in them.
//
// A store is seen as a tree of namespaces, models and versions whatever lies behind it:
//
//	org/            namespace
//	org/name/       model: its versions and aliases
//	org/name/v1     version: an immutable set of files
//
// Names are those users see; a hub cache's models--org--name is org/name here.
package store

import (
	"context"
	"io/fs"
	"sort"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Store is a kind of place that models lie in. Its methods may be called from many goroutines. Errors are
// *fault.Error: Absent for what is not there, Unsafe for what leaves the store.
type Store interface {
	// String is the location as the user gave it.
	String() string

	// Dir is what stands at a path of names joined by slashes; "" is the root. It reads directory entries alone: no
	// file is opened, and below the root of a store of 10,000 models nothing but the root's own entries is touched.
	Dir(ctx context.Context, path string) (*Dir, error)

	// Version is one version of a model, as it lies there now: names, attributes and identities of its files. No file
	// is opened. Aliases are not resolved here.
	Version(ctx context.Context, model, version string) (*Version, error)

	// Watch calls changed with the paths of directories (as Dir takes them) whose entries, or whose versions' files,
	// may have changed: within two seconds of the change where the system tells, else after the next rescan. It
	// returns when ctx ends. changed may be called with paths that nobody has asked for.
	Watch(ctx context.Context, changed func(paths []string)) error
}

// Dir is a namespace or a model.
type Dir struct {
	Path string
	Info Info
	Real string // its directory on this host, for people; "" where there is none

	Model bool // a model, else a namespace

	// Of a namespace: the names of the models and namespaces in it, sorted; Dir of each tells which it is.
	Names []string

	// Of a model: its settled versions in order, the newest last: by semantic version, number, date, then natural
	// order, pre-releases before their release. A version that is still being written is not among them.
	Versions []string

	// Of a model: versions that are still being written. Version says of each what it waits for.
	Unsettled []string

	// Aliases are symlinks to a sibling: of a model to its versions, of a namespace to its models. Those that lead to
	// nothing that is listed are left out. In a hub cache they are the refs.
	Aliases []Alias
}

// Alias is a name that leads to another.
type Alias struct {
	Name   string
	Target string // a sibling's name
}

// Info is what stat says.
type Info struct {
	Mode     fs.FileMode // permission bits
	UID, GID uint32
	ModTime  time.Time
	Size     int64
}

// Version is a set of files that make up one version of a model.
type Version struct {
	Model, Name string
	Info        Info   // of its folder, or of the file for a loose one
	Real        string // its folder on this host, for people
	Files       []File // sorted by name

	// ID changes when any file does: its name, size, times, inode.
	ID layout.ID
}

// List are the names of the files, those that can't be opened too.
func (v *Version) List() []string {
	names := make([]string, len(v.Files))
	for i := range v.Files {
		names[i] = v.Files[i].Name
	}
	return names
}

// File is the file of that name, nil if there is none.
func (v *Version) File(name string) *File {
	i := sort.Search(len(v.Files), func(i int) bool { return v.Files[i].Name >= name })
	if i == len(v.Files) || v.Files[i].Name != name {
		return nil
	}
	return &v.Files[i]
}

// Open is the source of a file: its Err if it has one, fault.Missing if there is no such file. Nothing is opened.
func (v *Version) Open(name string) (layout.Source, error) {
	f := v.File(name)
	if f == nil {
		return nil, fault.In(name, fault.New(fault.Missing, "%s/%s has no such file", v.Model, v.Name))
	}
	if f.Err != nil {
		return nil, f.Err
	}
	return f.Source, nil
}

// File is a stored file.
type File struct {
	Name   string // slash-separated, below the version's folder
	Info   Info
	Source layout.Source // implements layout.Opener for files of this host
	SHA256 string        // hexadecimal, where the store knows it without reading (a content-addressed name); else ""
	Err    error         // why the file can't be opened, with Source nil: it leads out of the store
}
