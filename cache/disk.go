package cache

import (
	"io"
	"time"
)

// Disk is what the cache asks of a file system: a folder of its own. Names are slash-separated paths below it. Errors
// wrap those of io/fs: ErrNotExist, ErrExist. Any method may be called from any goroutine.
type Disk interface {
	// Create makes a new file of no bytes for reading and writing, with the folders above it, and locks it exclusively
	// before anyone else can. fs.ErrExist when there is one.
	Create(name string) (File, error)

	// Open opens a file for reading.
	Open(name string) (File, error)

	// Stat says what stands at a name.
	Stat(name string) (Info, error)

	// List says what stands in a folder, in no order; nothing for a folder that does not exist.
	List(dir string) ([]Info, error)

	// Commit gives a file another name in its folder, at once or not at all. fs.ErrExist when the name is taken.
	Commit(from, to string) error

	// Replace is Commit over whatever has the name.
	Replace(from, to string) error

	// Remove unlinks a file: whoever has it open reads on.
	Remove(name string) error

	// Sync makes the names in a folder, and of it, durable.
	Sync(dir string) error

	// Touch sets the time that Info.Used reports.
	Touch(name string, at time.Time) error

	// Space is the number of bytes that can still be written, and the size of the disk.
	Space() (free, total int64, err error)
}

// File is an open file of a Disk.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Truncate sets the size; what was never written reads as zeros and takes no space.
	Truncate(size int64) error

	// Sync makes the bytes durable. After an error nothing is known of those written before it, and no later Sync of
	// the same file will tell.
	Sync() error

	// Flush begins to write n bytes from off to the disk, so that a later Sync has less to do. It may do nothing.
	Flush(off, n int64) error

	// Lock changes the lock that this opening holds and never waits: false means that another opening, of this process
	// or of any other, holds one that is in the way; then this one may hold none. Locks end with the opening.
	Lock(Lock) (bool, error)

	// Stat says how the file is now, whatever its name.
	Stat() (Info, error)
}

// Lock is a hold on an open file that others see.
type Lock uint8

const (
	Unlocked  Lock = iota
	Shared         // in use: not to be evicted
	Exclusive      // being written, or being removed
)

// Info describes a file or folder.
type Info struct {
	Name  string // the last element
	Dir   bool
	Size  int64     // in bytes
	Space int64     // what it takes on the disk, in bytes
	Used  time.Time // when it was last written, or touched
	Links int       // 0: it has no name any more
}
