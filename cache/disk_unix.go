//go:build unix

package cache

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func infoOf(info fs.FileInfo) Info {
	i := Info{Name: info.Name(), Dir: info.IsDir(), Size: info.Size(), Used: info.ModTime(), Links: 1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		i.Space = int64(st.Blocks) * 512
		i.Links = int(st.Nlink)
	}
	return i
}

func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

// flock holds for the open file description: a descriptor that the kernel was given keeps it after we are gone.
func flock(f *os.File, how Lock) (bool, error) {
	op := unix.LOCK_UN
	switch how {
	case Shared:
		op = unix.LOCK_SH | unix.LOCK_NB
	case Exclusive:
		op = unix.LOCK_EX | unix.LOCK_NB
	}
	for {
		err := unix.Flock(int(f.Fd()), op)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK):
			return true, nil // a file system without locks: one daemon alone should use it
		default:
			return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

func diskSpace(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	unit := int64(st.Bsize)
	return int64(st.Bavail) * unit, int64(st.Blocks) * unit, nil
}

func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// linkNew names a file anew by a second link, which never replaces.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
