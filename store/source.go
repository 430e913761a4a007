package store

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

const (
	// readsAtOnce bounds the threads that a dead disk can hold. Go aborts a process at 10,000.
	readsAtOnce = 256

	// readsOfOneFile bounds how many of them one file can hold, so that one which hangs leaves the others theirs.
	readsOfOneFile = 16

	// looksAtOnce bounds the same for stat and readdir.
	looksAtOnce = 64
)

// Checker is implemented by the Sources of stored files.
type Checker interface {
	// Check fails as fault.Changed when the name no longer leads to the file that was planned. It costs a stat.
	Check(ctx context.Context) error
}

var (
	_ layout.Source = (*source)(nil)
	_ layout.Opener = (*source)(nil)
	_ Checker       = (*source)(nil)
)

// source is a stored file, opened anew for each read: stores have more files than a process has descriptors.
type source struct {
	store *directory
	name  string // the path by which the version has it, perhaps through links
	real  string // the path without links
	seen  identity
	id    layout.ID
	slots chan struct{} // one for each read under way
}

func (s *source) Size() int64    { return s.seen.size }
func (s *source) ID() layout.ID  { return s.id }
func (s *source) String() string { return s.name }

func (s *source) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, fault.New(fault.Usage, "read at negative offset %d", off)
	case off >= s.seen.size && len(p) > 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	want := p
	if left := s.seen.size - off; int64(len(p)) > left {
		want = p[:left]
	}
	// The file's own slot first: readers that wait for a file which hangs hold none of the store's.
	for _, slots := range []chan struct{}{s.slots, s.store.reads} {
		if err := take(ctx, slots); err != nil {
			return 0, err
		}
		defer func() { <-slots }()
	}
	fd, err := s.open()
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := s.read(fd, want, off); err != nil {
		return 0, err
	}
	if err := s.same(fd); err != nil { // the bytes may be those of two files
		return 0, err
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// read fills p, or fails.
func (s *source) read(fd int, p []byte, off int64) error {
	for done := 0; done < len(p); {
		n, err := ignoringEINTR(func() (int, error) { return unix.Pread(fd, p[done:], off+int64(done)) })
		switch {
		case err != nil:
			return s.failed(off+int64(done), err)
		case n == 0:
			return s.changed("ends at byte %d, and had %d", off+int64(done), s.seen.size)
		}
		done += n
	}
	return nil
}

// Open opens the file for the kernel to read.
func (s *source) Open() (*os.File, error) {
	fd, err := s.open()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, s.failed(-1, err)
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

// open opens the file that was planned, and no other.
func (s *source) open() (int, error) {
	fd, err := open(s.real, 0)
	if err != nil {
		return -1, s.failed(-1, err)
	}
	if err := s.same(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s *source) same(fd int) error {
	now, err := fstat(fd)
	if err != nil {
		return s.failed(-1, err)
	}
	return s.compare(now)
}

func (s *source) Check(ctx context.Context) error {
	return s.store.look(ctx, func(context.Context) error {
		now, err := stat(s.name)
		if err != nil {
			return s.failed(-1, err)
		}
		return s.compare(now)
	})
}

// compare fails where now is not what was planned.
func (s *source) compare(now status) error {
	was := s.seen
	switch {
	case now.identity == was && now.mode.IsRegular():
		return nil
	case !now.mode.IsRegular():
		return s.changed("is no file any more")
	case now.dev != was.dev || now.ino != was.ino:
		return s.changed("was replaced by another file")
	case now.size != was.size:
		return s.changed("has %d bytes, and had %d", now.size, was.size)
	case now.mtime != was.mtime:
		return s.changed("was written to at %s", clock(now.mtime))
	}
	return s.changed("was changed (owner, mode, links or times) at %s", clock(now.ctime))
}

// clock is a time for people.
func clock(ns int64) string { return time.Unix(0, ns).Format("2006-01-02 15:04:05.000") }

func (s *source) changed(format string, args ...any) error {
	e := fault.New(fault.Changed, "the stored file "+format, args...).Remedied("open the path again: it is what the store has now")
	e.Path = s.name
	return e
}

// failed is an error of the system about the file: one that is gone has changed.
func (s *source) failed(off int64, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return s.changed("is gone from where it was")
	}
	err = systemFault(s.name, err, fault.Changed)
	var e *fault.Error
	if errors.As(err, &e) {
		e.Off = off
	}
	return err
}

// take takes a slot, or gives up with ctx.
func take(ctx context.Context, slots chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
