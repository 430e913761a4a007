package store

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// fileMode is the type and permissions of a st_mode: of the types, those that a store tells apart.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	default:
		m |= fs.ModeIrregular
	}
	return m
}

// stat follows links, lstat does not. Their errors are the system's.
func stat(path string) (status, error)  { return statBy(unix.Stat, path) }
func lstat(path string) (status, error) { return statBy(unix.Lstat, path) }

func statBy(call func(string, *unix.Stat_t) error, path string) (status, error) {
	var st unix.Stat_t
	if _, err := ignoringEINTR(func() (int, error) { return 0, call(path, &st) }); err != nil {
		return status{}, err
	}
	return fromUnix(&st), nil
}

func fstat(fd int) (status, error) {
	var st unix.Stat_t
	if _, err := ignoringEINTR(func() (int, error) { return 0, unix.Fstat(fd, &st) }); err != nil {
		return status{}, err
	}
	return fromUnix(&st), nil
}

// ignoringEINTR repeats a call that a signal interrupted: Go's own signals do, on network file systems.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// systemFault classifies an error of the operating system about a path; otherwise is the kind of a name that is not
// there.
func systemFault(path string, err error, otherwise fault.Kind) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	kind := fault.IO
	remedy := ""
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		kind = otherwise
	case errors.Is(err, unix.ESTALE), errors.Is(err, unix.EWOULDBLOCK):
		kind = fault.Changed
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		kind, remedy = fault.Denied, "let the user that isomerfs runs as read it"
	case errors.Is(err, unix.ELOOP):
		kind = fault.Missing
	case errors.Is(err, unix.ETIMEDOUT):
		kind = fault.Timeout
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		remedy = "raise the limit of open files (ulimit -n)"
	}
	var inner *fs.PathError
	cause := err
	if errors.As(err, &inner) {
		cause = inner.Err
	}
	e := fault.New(kind, "%w", cause)
	e.Path, e.Remedy = path, remedy
	return e
}
