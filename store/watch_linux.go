package store

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var errWatches = errors.New("too many inotify watches")

// inotify is Linux's notifier. fsnotify is not used, for it does not tell when a file is closed after writing
// (IN_CLOSE_WRITE), which is what a store has to know.
type inotify struct {
	fd   int
	file *os.File
	out  chan []event
	quit chan struct{}

	mu     sync.Mutex // guards what follows; held while a watch is added, so that no event comes before its folder is known
	dirs   map[int32]string
	ids    map[string]int32
	closed bool // and fd another file's, perhaps
}

const watchMask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK

func newNotifier() (notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	n := &inotify{
		fd: fd, file: os.NewFile(uintptr(fd), "inotify"), out: make(chan []event), quit: make(chan struct{}),
		dirs: map[int32]string{}, ids: map[string]int32{},
	}
	go n.read()
	return n, nil
}

func (n *inotify) events() <-chan []event { return n.out }

func (n *inotify) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	close(n.quit)
	n.file.Close()
}

func (n *inotify) add(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return os.ErrClosed
	}
	id, err := ignoringEINTR(func() (int, error) { return unix.InotifyAddWatch(n.fd, dir, watchMask) })
	if err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) {
			return errWatches
		}
		return err
	}
	if old, ok := n.dirs[int32(id)]; ok && old != dir { // the same folder under its former name
		delete(n.ids, old)
	}
	n.dirs[int32(id)], n.ids[dir] = dir, int32(id)
	return nil
}

func (n *inotify) remove(dir string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[dir]; ok && !n.closed {
		unix.InotifyRmWatch(n.fd, uint32(id)) // fails when the folder is gone, which is as good
		delete(n.ids, dir)
		delete(n.dirs, id)
	}
}

// read turns what the kernel says into events until the notifier is closed.
func (n *inotify) read() {
	defer close(n.out)
	buf := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buf)
		if err != nil {
			return
		}
		select {
		case n.out <- n.decode(buf[:size]):
		case <-n.quit:
			return
		}
	}
}

// decode reads records of struct inotify_event: wd, mask, cookie and len, of four bytes each, and len bytes of name,
// padded with zeros.
func (n *inotify) decode(b []byte) []event {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []event
	for len(b) >= unix.SizeofInotifyEvent {
		id := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > len(b) {
			break
		}
		name := strings.TrimRight(string(b[:size]), "\x00")
		b = b[size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			list = append(list, event{what: lost})
			continue
		}
		dir, ok := n.dirs[id]
		if !ok {
			continue
		}
		ev := event{dir: dir, name: name, folder: mask&unix.IN_ISDIR != 0}
		switch {
		case mask&(unix.IN_DELETE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
			ev.what, ev.name = removed, ""
			if mask&unix.IN_IGNORED != 0 {
				delete(n.dirs, id)
				if n.ids[dir] == id {
					delete(n.ids, dir)
				}
			}
		case mask&unix.IN_MOVE_SELF != 0:
			ev.what, ev.name = movedOut, ""
		case name == "": // the folder's own attributes, which its parent tells too
			continue
		case mask&unix.IN_CREATE != 0:
			ev.what = created
		case mask&unix.IN_MODIFY != 0:
			ev.what = modified
		case mask&unix.IN_CLOSE_WRITE != 0:
			ev.what = closed
		case mask&unix.IN_MOVED_TO != 0:
			ev.what = movedIn
		case mask&unix.IN_MOVED_FROM != 0:
			ev.what = movedOut
		case mask&unix.IN_DELETE != 0:
			ev.what = removed
		default:
			ev.what = touched
		}
		list = append(list, ev)
	}
	return list
}
