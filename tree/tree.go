// Package tree says what a path means: models, versions, aliases, documents, the source of each view, and why a view
// is absent. fs shows it; ls, show, why and convert ask it.
//
// A path is MODEL/VERSION/FORMAT/PRECISION/FILE, below the root of a mount:
//
//	README.md CACHEDIR.TAG .nomedia
//	.isomerfs/                     resolves and is not listed
//	org/                           a namespace
//	org/name/                      a model: versions and aliases alone
//	org/name/latest -> v3          links are relative and stay within the mount
//	org/name/v3/README.md          documents
//	org/name/v3/source/...         the stored files
//	org/name/v3/safetensors/fp16/model.safetensors
//
// Nothing is opened until a version is entered; entering one reads the headers of its files and remembers them while
// they stay as they are. A view is planned when somebody looks at it. A version that changes is another one: its nodes
// have the next generation.
//
// The words: a component is one model of a version, a variant is one stored form of it (a format, a precision), a
// plan is the files of one FORMAT/PRECISION, an absence is a view that can't be made and why.
package tree

import (
	"context"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
	"github.com/isomerfs/isomerfs/views"
)

// Kind is what a node is.
type Kind uint8

const (
	Folder Kind = iota
	Regular
	Link
)

// Node is what stands at a path. It is immutable.
type Node struct {
	Name   string // its last element
	Path   string // canonical, below the root; "" for the root
	Kind   Kind
	Target string // of a Link: relative to the folder it stands in
	Attr   Attr
	Gen    uint64 // the generation of the version it belongs to: a node of a changed version is another node
	Fixed  bool   // stays as it is as long as its generation: the kernel may remember it without asking
	File   *File  // of a Regular
	in     where  // how tree finds its way from here
}

// Attr is what stat says.
type Attr struct {
	Ino      uint64      // the same in every mount of the same store
	Mode     fs.FileMode // permission bits only
	UID, GID uint32
	ModTime  time.Time
	Changed  time.Time // ctime
	Size     int64
}

// Entry is one name of a folder's listing.
type Entry struct {
	Name string
	Kind Kind
	Ino  uint64
}

// File is what a regular file's bytes are: exactly one of Source, Layout and Document is set.
type File struct {
	Path  string // canonical, below the root
	Exact bool   // whether the size is known before the bytes are

	Source layout.Source // the bytes are those of a stored file (implements layout.Opener where the kernel can read it)
	Layout *layout.File  // the bytes are computed and kept by the cache under Layout.ID()

	// Document makes the bytes at open: a snapshot, of Attr.Size bytes unless Live.
	Document func(ctx context.Context) ([]byte, error)
	Live     bool // of a Document below .isomerfs: its size is known only when it is made

	// XAttr are the attributes user.isomerfs.KEY that do not change: recipe, source, dtype, shape, name, size_exact.
	XAttr map[string]string

	// Check fails when a stored file that the bytes come from is no longer as it was planned: fault.Changed, or
	// fault.Missing. It costs a stat for each.
	Check func(ctx context.Context) error
}

// Answer is what `why` says of a path.
type Answer struct {
	Path      string
	Available bool
	Reason    string // why it is absent or failed; of what is there, what it is made from
	Remedy    string // what would make it appear
}

// Options is what a Tree is made of.
type Options struct {
	Store   store.Store
	Program string // name and version, for the documents

	Pickle Policy // which models that are pickles are shown
	Serve  string // an alias of the store: versions that it does not lead to have no views. "": all have

	UID, GID *uint32 // owner of everything, instead of the sources'
	Umask    uint32  // permission bits that nothing has

	// State is the state of computed bytes as user.isomerfs.state spells it. nil: what it is while nothing was read.
	State func(*layout.File) string

	// Digest is the SHA-256 of computed bytes in hexadecimal, once it is known. nil: it never is.
	Digest func(layout.ID) (string, bool)

	// Live are the documents below .isomerfs, by name. They are made anew at each open.
	Live map[string]func() ([]byte, error)

	Log    *slog.Logger // nil: nothing is logged
	Memory int64        // bytes that remembered versions may take, about; 0: 16 MiB
}

// defaultMemory holds the headers of some hundred models of usual size, and is little beside what a fill needs.
const defaultMemory = 16 << 20

// Tree is a store as its users see it. Its methods may be called from many goroutines.
type Tree struct {
	o       Options
	log     *slog.Logger
	formats []codecs.Format
	views   []views.View
	began   time.Time // what is of no file has this time

	mu    sync.Mutex
	known map[string]*known // by the path of a version; guarded by mu
	kept  kept              // guarded by mu
}

// New is the tree of a store.
func New(o Options) *Tree {
	t := &Tree{o: o, log: o.Log, formats: codecs.Formats, views: views.Table, began: time.Now().Truncate(time.Second), known: map[string]*known{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	t.kept.budget = o.Memory
	return t
}
