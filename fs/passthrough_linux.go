package fs

import (
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// backings lends files to the kernel, for passthrough.
//
// go-fuse's own tree of inodes does this too, but it counts handles of every mode as references to the file, so that
// one which was open before passthrough ends it for those after; and it gives passthrough up for the whole mount,
// without a word, when the kernel refuses one file. Here a refusal holds for the file system that the file lies on.
type backings struct {
	log    *slog.Logger
	kernel func(*fuse.BackingMap) (int32, syscall.Errno)
	drop   func(int32) syscall.Errno

	cacheOn, storeOn uint64 // the devices that the cache directory and the store lie on; 0: unknown

	mu      sync.Mutex // guards what follows
	offer   Passthrough
	refused map[uint64]bool // devices whose files the kernel does not take
}

// deviceOf is the device that a folder lies on, 0 where nobody knows.
func deviceOf(dir string) uint64 {
	var at unix.Stat_t
	if dir == "" || unix.Stat(dir, &at) != nil {
		return 0
	}
	return uint64(at.Dev)
}

// report is what is to be had, and why not more.
func (b *backings) report() Passthrough {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.offer
}

func (b *backings) cache() bool { return b.report().Cache }
func (b *backings) store() bool { return b.report().Store }

// register lends file to the kernel for the inode n, which has no open handle. n.mu is held.
func (b *backings) register(n *inode, file *os.File) bool {
	var at unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &at); err != nil {
		return false
	}
	device := uint64(at.Dev)
	b.mu.Lock()
	refused := b.refused[device]
	b.mu.Unlock()
	if refused {
		return false
	}
	id, errno := b.kernel(&fuse.BackingMap{Fd: int32(file.Fd())})
	switch errno {
	case 0:
		n.backing = id
		return true
	case syscall.ENOMEM, syscall.ENOSPC, syscall.EINTR, syscall.EAGAIN, syscall.EBADF, syscall.ENODEV, syscall.ENOTCONN:
		// It says nothing of the file system.
		b.log.Warn("passthrough failed", "path", n.key.path, "errno", unix.ErrnoName(errno))
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused == nil {
		b.refused = map[uint64]bool{}
	}
	if b.refused[device] {
		return false
	}
	b.refused[device] = true
	b.log.Warn("passthrough is off for one file system", "path", n.key.path, "reason", whyNot(errno))
	if device == b.cacheOn {
		b.offer.Cache, b.offer.Reason = false, whyNot(errno)
	}
	if device == b.storeOn {
		b.offer.Store, b.offer.Reason = false, whyNot(errno)
	}
	return false
}

// unregister takes the file back. Handles and mappings that the kernel still has keep it. n.mu is held.
func (b *backings) unregister(n *inode) {
	if n.backing == 0 {
		return
	}
	if errno := b.drop(n.backing); errno != 0 && errno != syscall.EBADF && errno != syscall.ENODEV {
		b.log.Warn("a file was not taken back from passthrough", "path", n.key.path, "errno", unix.ErrnoName(errno))
	}
	n.backing = 0
}
