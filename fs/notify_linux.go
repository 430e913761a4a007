package fs

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// notifier tells the kernel that a name may mean something else by now, so that the next use of it looks it up.
//
// The kernel takes the folder's lock for it. A lookup or listing holds that lock while it waits for the daemon; were
// the daemon killed in between, both would wait for ever, and not even SIGKILL would end them. So a folder in which a
// request is being answered is left for later.
type notifier struct {
	inodes *inodes
	send   func(folder uint64, name string) syscall.Errno

	sent, dropped atomic.Uint64

	mu      sync.Mutex // guards queue and ended
	queue   []*inode
	ended   bool
	arrived chan struct{} // of room for one
	stop    chan struct{}
	done    chan struct{}
}

const (
	// mostNotified bounds the queue: what finds it full is left to the kernel's own timeouts, and to ESTALE.
	mostNotified = 1 << 14
	// notifyPause lies between two looks at a folder that is busy, and notifyTries looks are taken.
	notifyPause = 10 * time.Millisecond
	notifyTries = 500
)

func newNotifier(s *inodes, send func(uint64, string) syscall.Errno) *notifier {
	n := &notifier{inodes: s, send: send, arrived: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go n.run()
	return n
}

// add queues inodes. It never waits.
func (n *notifier) add(some ...*inode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	room := mostNotified - len(n.queue)
	if n.ended {
		room = 0
	}
	if len(some) > room {
		n.dropped.Add(uint64(len(some) - room))
		some = some[:room]
	}
	n.queue = append(n.queue, some...)
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

// close ends the notifying and waits for the one under way, but no longer than a moment: it may wait for the kernel.
func (n *notifier) close() {
	n.mu.Lock()
	if !n.ended {
		n.ended = true
		close(n.stop)
	}
	n.mu.Unlock()
	select {
	case <-n.done:
	case <-time.After(time.Second):
	}
}

func (n *notifier) run() {
	defer close(n.done)
	tries := map[*inode]int{} // of those whose folder was busy
	for {
		select {
		case <-n.stop:
			return
		case <-n.arrived:
		case <-after(len(tries) > 0, notifyPause):
		}
		n.mu.Lock()
		some := n.queue
		n.queue = nil
		n.mu.Unlock()
		for _, one := range some {
			if _, ok := tries[one]; !ok {
				tries[one] = 0
			}
		}
		for one, count := range tries {
			select {
			case <-n.stop:
				return
			default:
			}
			switch {
			case n.try(one):
				delete(tries, one)
			case count == notifyTries:
				n.dropped.Add(1)
				delete(tries, one)
			default:
				tries[one]++
			}
		}
	}
}

// after is a channel that is ready in a while, or one that never is.
func after(some bool, d time.Duration) <-chan time.Time {
	if !some {
		return nil
	}
	return time.After(d)
}

// try notifies one entry and reports whether that is settled.
func (n *notifier) try(one *inode) bool {
	folder, name := n.inodes.place(one)
	if folder != nil {
		if folder.asking.Load() > 0 {
			return false
		}
		switch errno := n.send(folder.id, name); errno {
		case 0:
			n.sent.Add(1)
		case syscall.ENOENT: // the kernel has no such name
		default:
			n.dropped.Add(1)
		}
	}
	return true
}
