package fs

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// forest is what of *tree.Tree a mount shows.
type forest interface {
	Root(ctx context.Context) (*tree.Node, error)
	Lookup(ctx context.Context, folder *tree.Node, name string) (*tree.Node, error)
	List(ctx context.Context, folder *tree.Node) ([]tree.Entry, error)
	Watch(ctx context.Context, changed func(path string)) error
}

// keeper is what of *cache.Cache a mount uses.
type keeper interface {
	get(f *layout.File, path string) entry
	State(id layout.ID, f *layout.File) cache.State
	Digest(id layout.ID) (string, bool)
	Usage() cache.Usage
	Hush()
}

// entry is what of *cache.Entry a handle uses.
type entry interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Prepare(ctx context.Context) error
	Warm(ctx context.Context) error
	Complete() (*os.File, bool)
	State() cache.State
	Progress() (done, size int64)
	Err() error
	OnChange(func())
	Release()
}

// kept makes a keeper of a *cache.Cache.
type kept struct{ *cache.Cache }

func (k kept) get(f *layout.File, path string) entry { return k.Cache.Get(f, path) }

// volume answers the kernel. Its methods run in a goroutine each.
type volume struct {
	tree  forest
	cache keeper
	dir   string        // the folder whose file system statfs describes
	wait  bool          // an open returns when the view is sealed
	maps  bool          // files in direct mode can be mapped
	limit time.Duration // in which each request must be answered; 0: none
	log   *slog.Logger

	inodes *inodes
	kernel *fuse.Server // set once, before the first request

	handles handles
	walkers walkers
	notify  *notifier
	backing *backings
	count   counts
}

var _ fuse.RawFileSystem = (*volume)(nil)

func (v *volume) String() string           { return "isomerfs" }
func (v *volume) SetDebug(bool)            {}
func (v *volume) Init(kernel *fuse.Server) { v.kernel = kernel }

// OnUnmount runs when the last request is answered.
func (v *volume) OnUnmount() {}

// asked is the context of a request.
func (v *volume) asked(cancel <-chan struct{}, h *fuse.InHeader) *request {
	r := &request{cancel: cancel, pid: h.Pid}
	if v.limit > 0 {
		r.until = time.Now().Add(v.limit * 9 / 10)
	}
	return r
}

// answer counts a request and its outcome.
func (v *volume) answer(op op, errno syscall.Errno) fuse.Status {
	v.count.ops[op].Add(1)
	if errno != 0 && int(errno) < len(v.count.errors) {
		v.count.errors[errno].Add(1)
	}
	return fuse.Status(errno)
}

// Lookup finds one name in a folder.
func (v *volume) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	up := v.inodes.get(h.NodeId)
	if up == nil {
		return v.answer(opLookup, syscall.ESTALE)
	}
	if len(name) > unix.NAME_MAX {
		return v.answer(opLookup, syscall.ENAMETOOLONG)
	}
	folder := up.node.Load()
	v.cache.Hush()
	ctx := v.asked(cancel, h)
	up.asking.Add(1)
	t, err := v.tree.Lookup(ctx, folder, name)
	up.asking.Add(-1)
	ctx.end()
	if err != nil {
		errno := openErrno(ctx, err)
		if errno == syscall.ENOENT && folder.Fixed && fault.KindOf(err) == fault.Absent {
			out.SetEntryTimeout(long) // node 0: nothing is there, and stays so
			v.answer(opLookup, errno)
			return fuse.OK
		}
		v.refused("lookup", join(folder.Path, name), errno, err)
		return v.answer(opLookup, errno)
	}
	n := v.inodes.enter(up, name, t)
	out.NodeId = n.id
	out.Generation = 1
	attributes(t, v.size(t, n), &out.Attr)
	out.SetEntryTimeout(lasting(t))
	out.SetAttrTimeout(attributesLast(t))
	return v.answer(opLookup, 0)
}

// lasting is how long the kernel may take a name for what it was.
func lasting(t *tree.Node) time.Duration {
	if t.Fixed {
		return long
	}
	return short
}

// attributesLast is the same for attributes: of a file whose size is known only when it is open, not at all.
func attributesLast(t *tree.Node) time.Duration {
	if t.File != nil && (t.File.Live || !t.File.Exact && t.File.Document == nil) {
		return 0
	}
	return lasting(t)
}

func join(folder, name string) string {
	if folder == "" {
		return name
	}
	return folder + "/" + name
}

// Forget takes back references of the kernel.
func (v *volume) Forget(id, lookups uint64) {
	v.count.ops[opForget].Add(1)
	v.inodes.forget(id, lookups)
}

// current is the inode's node, shown anew by the tree where it may have changed. An inode whose path means something
// else by now keeps what it was.
func (v *volume) current(ctx context.Context, n *inode) *tree.Node {
	t := n.node.Load()
	if t.Fixed || t.Kind != tree.Folder {
		return t
	}
	var now *tree.Node
	var err error
	if n.id == fuse.FUSE_ROOT_ID {
		now, err = v.tree.Root(ctx)
	} else {
		up, name := v.inodes.place(n)
		if up == nil {
			return t
		}
		now, err = v.tree.Lookup(ctx, up.node.Load(), name)
	}
	if err != nil || n.id != fuse.FUSE_ROOT_ID && identify(now) != n.key {
		return t
	}
	n.node.Store(now)
	return now
}

// size is what stat says of an inode. The kernel does not say which handle fstat is asked of, so the newest snapshot
// stands for all.
func (v *volume) size(t *tree.Node, n *inode) int64 {
	if t.File != nil && t.File.Document != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.handles > 0 {
			return n.snapshot
		}
	}
	return sizeOf(t)
}

// GetAttr is stat of what the kernel no longer remembers.
func (v *volume) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := v.inodes.get(in.NodeId)
	if n == nil {
		return v.answer(opGetattr, syscall.ESTALE)
	}
	ctx := v.asked(cancel, &in.InHeader)
	t := v.current(ctx, n)
	ctx.end()
	attributes(t, v.size(t, n), &out.Attr)
	out.SetTimeout(attributesLast(t))
	return v.answer(opGetattr, 0)
}

// Statx is GetAttr for those who ask for the birth time too, which no file has.
func (v *volume) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	n := v.inodes.get(in.NodeId)
	if n == nil {
		return v.answer(opGetattr, syscall.ESTALE)
	}
	ctx := v.asked(cancel, &in.InHeader)
	t := v.current(ctx, n)
	ctx.end()
	var a fuse.Attr
	attributes(t, v.size(t, n), &a)
	s := &out.Statx
	s.Mask = unix.STATX_BASIC_STATS
	s.Blksize, s.Nlink, s.Uid, s.Gid, s.Mode = a.Blksize, a.Nlink, a.Uid, a.Gid, uint16(a.Mode)
	s.Ino, s.Size, s.Blocks = a.Ino, a.Size, a.Blocks
	s.Atime = fuse.SxTime{Sec: a.Atime, Nsec: a.Atimensec}
	s.Mtime = fuse.SxTime{Sec: a.Mtime, Nsec: a.Mtimensec}
	s.Ctime = fuse.SxTime{Sec: a.Ctime, Nsec: a.Ctimensec}
	out.SetTimeout(attributesLast(t))
	return v.answer(opGetattr, 0)
}

// Readlink is where a link leads.
func (v *volume) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n := v.inodes.get(h.NodeId)
	if n == nil {
		return nil, v.answer(opReadlink, syscall.ESTALE)
	}
	t := n.node.Load()
	if t.Kind != tree.Link {
		return nil, v.answer(opReadlink, syscall.EINVAL)
	}
	return []byte(t.Target), v.answer(opReadlink, 0)
}

// Access is not asked under default_permissions.
func (v *volume) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

// StatFs describes the file system that the cache lies on, full: nothing can be written here. Some programs do not
// believe in a file system of 0 blocks.
func (v *volume) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Blocks: 1, Files: 1, Bsize: 4096, Frsize: 4096, NameLen: unix.NAME_MAX}
	var disk unix.Statfs_t
	if unix.Statfs(v.dir, &disk) == nil && disk.Blocks > 0 && disk.Bsize > 0 {
		out.Blocks = disk.Blocks
		out.Bsize, out.Frsize = uint32(disk.Bsize), uint32(disk.Bsize)
		if disk.Frsize > 0 {
			out.Frsize = uint32(disk.Frsize)
		}
	}
	out.Files = max(1, uint64(v.inodes.count()))
	return v.answer(opStatfs, 0)
}

// refused logs why a request failed, once a minute for each path; what happens in the course of things is not logged.
func (v *volume) refused(what, path string, errno syscall.Errno, err error) {
	switch errno {
	case syscall.ENOENT, syscall.EINTR, syscall.ESTALE:
		v.log.Debug("refused", "op", what, "path", path, "errno", unix.ErrnoName(errno), "reason", fault.Reason(err))
		return
	}
	if v.count.quiet(path, time.Now()) {
		return
	}
	v.log.Warn("refused", "op", what, "path", path, "errno", unix.ErrnoName(errno), "reason", fault.Reason(err))
}

// handles are the open files and folders.
type handles struct {
	mu   sync.Mutex
	next uint64
	all  map[uint64]*handle
}

func (s *handles) add(h *handle) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[uint64]*handle{}
	}
	s.next++
	s.all[s.next] = h
	return s.next
}

func (s *handles) get(fh uint64) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[fh]
}

func (s *handles) remove(fh uint64) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.all[fh]
	delete(s.all, fh)
	return h
}

// removeAll empties the table, when the kernel has gone without releasing what was open.
func (s *handles) removeAll() []*handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []*handle
	for _, h := range s.all {
		left = append(left, h)
	}
	s.all = nil
	return left
}

func (s *handles) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}
