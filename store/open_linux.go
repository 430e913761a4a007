package store

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noOpenat2 is set where the kernel (before 5.6) or a sandbox does not know openat2.
var noOpenat2 atomic.Bool

// open opens a path that had no symbolic link in it when it was resolved, and fails with ELOOP where there is one
// now: whoever may write to the store cannot lead us out of it by exchanging a folder for a link.
func open(path string, flags int) (int, error) {
	flags |= openFlags
	if !noOpenat2.Load() {
		how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS}
		fd, err := ignoringEINTR(func() (int, error) { return unix.Openat2(unix.AT_FDCWD, path, &how) })
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return fd, err
		}
		if errors.Is(err, unix.ENOSYS) {
			noOpenat2.Store(true)
		}
	}
	return ignoringEINTR(func() (int, error) { return unix.Open(path, flags, 0) })
}
