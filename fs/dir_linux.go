package fs

import (
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/isomerfs/isomerfs/tree"
)

// listing is an open folder: its entries as they were when it was opened or last rewound.
type listing struct {
	mu      sync.Mutex
	entries []tree.Entry
	listed  bool // whether entries are known
	read    bool // whether they were given out
}

// OpenDir opens a folder. The kernel keeps the listing of one that stays as it is, and reads it again faster than a
// disk's; so that one is made when the kernel asks for it.
func (v *volume) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := v.inodes.get(in.NodeId)
	if n == nil {
		return v.answer(opOpendir, syscall.ESTALE)
	}
	ctx := v.asked(cancel, &in.InHeader)
	defer ctx.end()
	h := &handle{inode: n, node: n.node.Load(), listing: &listing{}}
	if h.node.Fixed {
		out.OpenFlags = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	} else if errno := v.list(ctx, h); errno != 0 {
		return v.answer(opOpendir, errno)
	}
	out.Fh = v.handles.add(h)
	return v.answer(opOpendir, 0)
}

// list asks the tree for the entries of h. h.listing.mu is held, or nobody else has h.
func (v *volume) list(ctx context.Context, h *handle) syscall.Errno {
	h.inode.asking.Add(1)
	entries, err := v.tree.List(ctx, h.inode.node.Load())
	h.inode.asking.Add(-1)
	if err != nil {
		errno := openErrno(ctx, err)
		v.refused("list", h.node.Path, errno, err)
		return errno
	}
	h.listing.entries, h.listing.listed = entries, true
	return 0
}

// ReadDir gives out entries from an offset on: 0 and 1 are the folder and its parent, 2 the first entry.
func (v *volume) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h := v.handles.get(in.Fh)
	if h == nil || h.listing == nil {
		return v.answer(opReaddir, syscall.EBADF)
	}
	ctx := v.asked(cancel, &in.InHeader)
	defer ctx.end()
	return v.answer(opReaddir, v.readdir(ctx, h, in.Offset, out))
}

func (v *volume) readdir(ctx context.Context, h *handle, offset uint64, out *fuse.DirEntryList) syscall.Errno {
	l := h.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.listed || offset == 0 && l.read { // rewinddir asks for the folder as it is now
		if errno := v.list(ctx, h); errno != 0 {
			return errno
		}
	}
	l.read = true
	own := h.node.Attr.Ino
	for i := offset; i < uint64(len(l.entries))+2; i++ {
		var e fuse.DirEntry
		switch i {
		case 0:
			e = fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: own}
		case 1:
			e = fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: own}
			if up, _ := v.inodes.place(h.inode); up != nil {
				e.Ino = up.node.Load().Attr.Ino
			}
		default:
			one := &l.entries[i-2]
			e = fuse.DirEntry{Name: one.Name, Mode: typeOf(one.Kind), Ino: one.Ino}
		}
		if !out.AddDirEntry(e) {
			break
		}
	}
	return 0
}

// ReadDirPlus is switched off: with it a plain ls would look up every name, and a folder of 10,000 models would be
// entered model by model.
func (v *volume) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return v.answer(opReaddir, syscall.EOPNOTSUPP)
}

// ReleaseDir closes a folder.
func (v *volume) ReleaseDir(in *fuse.ReleaseIn) {
	v.count.ops[opReleasedir].Add(1)
	v.handles.remove(in.Fh)
}

// FsyncDir has nothing to do.
func (v *volume) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
