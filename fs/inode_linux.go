package fs

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// mode says who answers the reads of an inode's open handles.
type mode uint8

const (
	closed      mode = iota // nobody: no handle is open, and the next open chooses
	passthrough             // the kernel
	direct                  // the daemon, each read
	cached                  // the daemon, through the kernel's page cache
	modes
)

var modeNames = [modes]string{"closed", "passthrough", "direct", "cached"}

func (m mode) String() string { return modeNames[m] }

// inode is what the kernel knows under one node ID. IDs are never used again, so the kernel never takes one inode for
// another.
type inode struct {
	id   uint64
	key  identity
	node atomic.Pointer[tree.Node] // as the tree last showed it

	// asking counts requests in flight during which the kernel holds the folder's lock: lookups and listings.
	asking atomic.Int32

	lookups uint64 // the kernel's references; guarded by inodes.mu
	up      uint64 // ID of the folder that it was last looked up in; guarded by inodes.mu
	name    string // its name there; guarded by inodes.mu

	retired atomic.Bool // the path is another inode's from now on

	mu       sync.Mutex // guards what follows: the open handles of a file
	mode     mode
	handles  int
	backing  int32    // what the kernel calls the file of passthrough; 0 for none
	file     *os.File // of a stored file under passthrough
	snapshot int64    // size of the document opened last
	err      error    // why the last open or read failed, for user.isomerfs.error
}

// identity is what makes two lookups find one inode: the path, and everything that the bytes behind it depend on.
type identity struct {
	path  string
	gen   uint64
	kind  tree.Kind
	bytes layout.ID
}

func identify(t *tree.Node) identity {
	id := identity{path: t.Path, gen: t.Gen, kind: t.Kind}
	if f := t.File; f != nil {
		switch {
		case f.Layout != nil:
			id.bytes = f.Layout.ID()
		case f.Source != nil:
			id.bytes = f.Source.ID()
		}
	}
	return id
}

// inodes are all that the kernel holds a reference to.
type inodes struct {
	mu   sync.Mutex
	next uint64
	all  map[uint64]*inode
	live map[identity]*inode // those that a lookup may find: all but the retired
}

func newInodes(root *tree.Node) *inodes {
	n := &inode{id: fuse.FUSE_ROOT_ID, key: identify(root), lookups: 1}
	n.node.Store(root)
	return &inodes{
		next: fuse.FUSE_ROOT_ID + 1,
		all:  map[uint64]*inode{n.id: n},
		live: map[identity]*inode{n.key: n},
	}
}

// get is the inode of an ID that the kernel sent. nil is a kernel that made one up.
func (s *inodes) get(id uint64) *inode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

// enter is the inode for what a lookup found, with one more reference of the kernel.
func (s *inodes) enter(up *inode, name string, t *tree.Node) *inode {
	key := identify(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.live[key]
	if n == nil {
		n = &inode{id: s.next, key: key}
		s.next++
		s.all[n.id] = n
		s.live[key] = n
	}
	n.node.Store(t)
	n.lookups++
	n.up, n.name = up.id, name
	return n
}

// place is where n was last looked up. The folder is nil when the kernel has forgotten it.
func (s *inodes) place(n *inode) (folder *inode, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[n.up], n.name
}

// forget takes references back. The inode of none is gone: the kernel has neither a name nor a handle for it.
func (s *inodes) forget(id, lookups uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.all[id]
	if n == nil || id == fuse.FUSE_ROOT_ID {
		return
	}
	if n.lookups -= min(lookups, n.lookups); n.lookups > 0 {
		return
	}
	delete(s.all, id)
	if s.live[n.key] == n {
		delete(s.live, n.key)
	}
}

// retire makes the next lookup of n's path find another inode. It reports whether n was not retired already.
func (s *inodes) retire(n *inode) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[n.key] == n {
		delete(s.live, n.key)
	}
	return !n.retired.Swap(true)
}

// below are the inodes at one of the paths, or in a folder at one of them, that the kernel may not keep: what
// stays as it is is left out.
func (s *inodes) below(paths map[string]struct{}) []*inode {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*inode
	for _, n := range s.all {
		if n.id == fuse.FUSE_ROOT_ID || n.node.Load().Fixed {
			continue
		}
		_, itself := paths[n.key.path]
		_, folder := paths[parent(n.key.path)]
		if itself || folder {
			found = append(found, n)
		}
	}
	return found
}

// parent is the folder of a path below the root; "" is the root.
func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}

func (s *inodes) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// attributes fills in what stat says. Link counts are 1 and blocks cover the size: find takes 2 for a folder without
// folders in it, and tar -S takes no blocks for a file of zeros.
func attributes(t *tree.Node, size int64, out *fuse.Attr) {
	a := &t.Attr
	*out = fuse.Attr{
		Ino:     a.Ino,
		Size:    uint64(size),
		Blocks:  uint64(size+511) / 512,
		Mode:    uint32(a.Mode.Perm()) | typeOf(t.Kind),
		Nlink:   1,
		Owner:   fuse.Owner{Uid: a.UID, Gid: a.GID},
		Blksize: 1 << 20,
	}
	out.Mtime, out.Mtimensec = uint64(a.ModTime.Unix()), uint32(a.ModTime.Nanosecond())
	out.Atime, out.Atimensec = out.Mtime, out.Mtimensec
	changed := a.Changed
	if changed.IsZero() {
		changed = a.ModTime
	}
	out.Ctime, out.Ctimensec = uint64(changed.Unix()), uint32(changed.Nanosecond())
}

// sizeOf is the size that stat shows before an open.
func sizeOf(t *tree.Node) int64 {
	if t.Kind == tree.Link {
		return int64(len(t.Target))
	}
	return max(0, t.Attr.Size)
}

func typeOf(k tree.Kind) uint32 {
	switch k {
	case tree.Folder:
		return syscall.S_IFDIR
	case tree.Link:
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}
