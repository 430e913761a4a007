package cache

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames and never replaces.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot
		return linkNew(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// startWriting queues dirty pages for the disk. It returns before they are there, but may wait for a place in the queue.
func startWriting(f *os.File, off, n int64) error {
	return unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// yield makes the calling thread give way to others, at the processors and at the disk. The thread must be locked to its
// goroutine and end with it.
//
// SCHED_IDLE would give way too far: while other programs are busy such a thread hardly runs, and the garbage collector
// waits for every thread that runs Go.
func yield() {
	const (
		whoProcess = 1 // IOPRIO_WHO_PROCESS: one thread
		classIdle  = 3 << 13
	)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, classIdle)
}
