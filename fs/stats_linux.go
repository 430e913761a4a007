package fs

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// op is a request of the kernel, as it is counted.
type op uint8

const (
	opLookup op = iota
	opForget
	opGetattr
	opReadlink
	opOpen
	opRead
	opRelease
	opOpendir
	opReaddir
	opReleasedir
	opGetxattr
	opListxattr
	opStatfs
	opWrite // every attempt to change something
	opOther
	ops
)

var opNames = [ops]string{
	"lookup", "forget", "getattr", "readlink", "open", "read", "release", "opendir", "readdir", "releasedir",
	"getxattr", "listxattr", "statfs", "write", "other",
}

// counts are what Stats reports.
type counts struct {
	ops     [ops]atomic.Uint64
	opens   [modes]atomic.Uint64
	errors  [256]atomic.Uint64
	bytes   atomic.Uint64
	retired atomic.Uint64

	mu     sync.Mutex
	logged map[string]time.Time // paths whose failure was logged within the last minute
}

// quiet reports whether a failure of path was logged within the minute before now, and else takes note that it is.
func (c *counts) quiet(path string, now time.Time) bool {
	const minute, most = time.Minute, 1024
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.logged[path]; ok && now.Sub(last) < minute {
		return true
	}
	if c.logged == nil || len(c.logged) >= most {
		c.logged = map[string]time.Time{}
	}
	c.logged[path] = now
	return false
}

func (v *volume) stats() Stats {
	s := Stats{
		Ops: map[string]uint64{}, Opens: map[string]uint64{}, Errors: map[string]uint64{},
		BytesRead:     v.count.bytes.Load(),
		Retired:       v.count.retired.Load(),
		Notifications: v.notify.sent.Load(),
		Dropped:       v.notify.dropped.Load(),
		Inodes:        v.inodes.count(),
		Handles:       v.handles.count(),
	}
	for i, name := range opNames {
		s.Ops[name] = v.count.ops[i].Load()
	}
	for m := passthrough; m < modes; m++ {
		s.Opens[m.String()] = v.count.opens[m].Load()
	}
	for n := range v.count.errors {
		if count := v.count.errors[n].Load(); count > 0 {
			s.Errors[unix.ErrnoName(syscall.Errno(n))] = count
		}
	}
	return s
}
