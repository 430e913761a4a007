package fs

import (
	"context"
	"errors"
	"syscall"

	"github.com/isomerfs/isomerfs/fault"
)

// kinds is the one place where a kind of fault becomes an errno. What a program prints of it should read well: the
// words of EBADMSG are "Bad message", of EKEYREJECTED "Key was rejected by service". ENOSYS is not among them: the
// kernel takes one as the answer for every file of the mount and asks no more.
var kinds = map[fault.Kind]syscall.Errno{
	fault.Unknown:     syscall.EIO,
	fault.Truncated:   syscall.EBADMSG,
	fault.Malformed:   syscall.EBADMSG,
	fault.Mismatch:    syscall.EBADMSG,
	fault.Extent:      syscall.EBADMSG,
	fault.Overflow:    syscall.EBADMSG,
	fault.Duplicate:   syscall.EBADMSG,
	fault.Checksum:    syscall.EBADMSG,
	fault.Missing:     syscall.EBADMSG, // of a part that the file refers to; a file that has gone is ENOENT at open
	fault.Limit:       syscall.EFBIG,
	fault.Unsupported: syscall.EOPNOTSUPP,
	fault.Unsafe:      syscall.EACCES,
	fault.Absent:      syscall.ENOENT,
	fault.Usage:       syscall.EINVAL,
	fault.Changed:     syscall.ESTALE,
	fault.Rejected:    syscall.EKEYREJECTED,
	fault.Space:       syscall.ENOSPC,
	fault.Tool:        syscall.EOPNOTSUPP,
	fault.Device:      syscall.ENODEV,
	fault.Timeout:     syscall.ETIMEDOUT,
	fault.Denied:      syscall.EACCES,
	fault.IO:          syscall.EIO,
}

// errnoOf is what a program gets for err, 0 for none. ctx is the request's: only what interrupted it is EINTR, and
// not what was cancelled elsewhere.
func errnoOf(ctx context.Context, err error) syscall.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return syscall.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	}
	if n, ok := kinds[fault.KindOf(err)]; ok {
		return n
	}
	return syscall.EIO
}

// openErrno is errnoOf for an open, where a stored file that has gone makes the whole file absent.
func openErrno(ctx context.Context, err error) syscall.Errno {
	if fault.KindOf(err) == fault.Missing {
		return syscall.ENOENT
	}
	return errnoOf(ctx, err)
}
