// Package fs shows a tree as a read-only FUSE mount: inodes, handles, and kinds of fault turned into errno.
//
// It is the only package that imports go-fuse. It speaks the protocol's own level (fuse.RawFileSystem) and not the
// inode tree on top of it, because what matters here is which opens share one kernel inode, and when.
//
// # Modes
//
// Each open file of the kernel is in one of three modes:
//
//	passthrough   the kernel reads the stored file, or the cache's complete file, by itself; the daemon sees no read
//	direct        the daemon answers each read (FOPEN_DIRECT_IO): bytes that are still computed, snapshots
//	cached        the daemon answers reads of the kernel's page cache: what lies in memory, and everything that is
//	              complete where no passthrough is to be had
//
// A mode belongs to the kernel's inode, not to the open: a passthrough open fails with EIO while another mode is open
// on its inode, and the reverse (kernel, fs/fuse/iomode.c). So an inode takes its mode at the first of overlapping
// opens and is bound to it until the last of them is released; only then does the next open choose again.
//
// When a view becomes complete while handles read it in direct mode, the inode is retired: it serves those handles,
// and mappings of them, to their end, and the next lookup of its path makes another inode of the same number. Two
// things bring that lookup about: the directory entry is notified, and an open that still arrives at the retired
// inode is answered ESTALE, upon which the kernel walks the path again (LOOKUP_REVAL) and opens the new inode; the
// program sees neither. Whoever holds the old inode itself and not a path to it (/proc/self/fd/N, a bind mount of the
// file) comes back to it, and is served in the old mode.
//
// # Deadlocks
//
// NotifyEntry waits in the kernel for the directory's lock, which a lookup or listing in flight holds until the
// daemon answers it. So notifications are sent by one goroutine that holds no lock, never from a handler, and not
// into a directory in which a request is being answered; they are hints, and nothing waits for one. Contents are never
// notified: that waits for pages that a reader waits for. The daemon never touches its own mount.
package fs

import (
	"errors"
	"log/slog"
	"time"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/tree"
)

// Options say what is mounted where.
type Options struct {
	Tree  *tree.Tree
	Cache *cache.Cache

	Mountpoint string // an existing folder
	Source     string // what the mount table shows as the source, byte for byte
	StoreDir   string // the folder that the tree's stored files lie in; "" where there is none
	CacheDir   string // the cache's folder; "" asks Cache

	Passthrough string // auto, or off; "" is auto
	AllowOther  bool   // users other than the one who mounts may use it
	Wait        bool   // first_open=wait: an open returns when the view is sealed

	Log *slog.Logger // nil: none
}

// Passthrough says which files the kernel reads by itself.
type Passthrough struct {
	Cache  bool   // complete views
	Store  bool   // stored files and views that are one
	Reason string // why not both; "" when both
}

// Stats are counts since the mount.
type Stats struct {
	Ops           map[string]uint64 // requests by name: lookup, open, read ...
	Opens         map[string]uint64 // opens by mode: passthrough, direct, cached
	Errors        map[string]uint64 // refused requests by errno, ENOENT, ENODATA and EINTR among them
	BytesRead     uint64            // by the daemon: what passthrough reads is not seen
	Retired       uint64            // inodes that a complete view moved away from
	Notifications uint64            // directory entries notified
	Dropped       uint64            // notifications given up
	Inodes        int               // that the kernel holds now
	Handles       int               // open now, folders among them
}

// ErrBusy is in the chain of Unmount's error when files of the mount are in use.
var ErrBusy = errors.New("the mount is in use")

const (
	// long is how long the kernel may remember what stays as it is.
	long = time.Hour
	// short is how long it may remember names that can come to mean something else: versions, aliases, models.
	short = time.Second
)
