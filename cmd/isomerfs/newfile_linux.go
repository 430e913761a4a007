package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// newFile makes the file that will be out. Where the file system can, it has no name until publish: then not even a
// kill -9 leaves anything.
func newFile(out string, perm fs.FileMode) (*freshFile, error) {
	dir := filepath.Dir(out)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err == nil {
		f := os.NewFile(uintptr(fd), out)
		if _, err := os.Lstat(fdName(f)); err == nil {
			return &freshFile{File: f}, nil
		}
		f.Close() // without /proc it could never get a name
	} else if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	return namedFile(out, perm)
}

func fdName(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// linkNameless gives a nameless file a name that is not taken.
func linkNameless(f *os.File, out string) error {
	return unix.Linkat(unix.AT_FDCWD, fdName(f), unix.AT_FDCWD, out, unix.AT_SYMLINK_FOLLOW)
}

// renameNew renames from to a name that is not taken.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that can't
		return renameChecked(from, to)
	}
	return err
}

// freeSpace is what an ordinary user may still write to the disk of dir.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Blocks == 0 {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true
}

func umask() fs.FileMode {
	old := unix.Umask(0o22)
	unix.Umask(old)
	return fs.FileMode(old)
}
