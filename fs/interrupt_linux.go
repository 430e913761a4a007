package fs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// request is the context of one request of the kernel: it ends when the caller no longer wants the answer.
//
// The kernel sends an interrupt for any signal that the calling thread handles, once for each request, and an answer
// of EINTR reaches the program even where the handler was installed with SA_RESTART. Profilers, garbage collectors and
// Go's scheduler send signals all the time, and few programs expect EINTR from a file. So an interrupt counts when
// the thread is about to die or was asked to end; after another one its pending signals are looked at again, since the
// kernel will not say so a second time.
//
// It ends as well a moment before the kernel would abort the whole mount for want of an answer (RequestTimeout).
type request struct {
	cancel <-chan struct{} // closed by the kernel's interrupt
	pid    uint32          // of the calling thread; 0 where this process can't see it
	until  time.Time       // zero: for ever

	mu   sync.Mutex
	done chan struct{} // nil until somebody waits; closed when the caller has given up
	over chan struct{} // ends the watching
	err  error         // context.Canceled or context.DeadlineExceeded
}

var _ context.Context = (*request)(nil)

// again is how long after a harmless signal the caller's pending signals are looked at anew.
const again = 100 * time.Millisecond

// Deadline is when the kernel loses patience.
func (r *request) Deadline() (time.Time, bool) { return r.until, !r.until.IsZero() }

// Value is nil.
func (*request) Value(any) any { return nil }

// Done starts watching at its first call, so that a request which is answered at once costs nothing.
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done, r.over = make(chan struct{}), make(chan struct{})
		go r.watch(r.done, r.over)
	}
	return r.done
}

// Err says why nobody waits for the answer any more.
func (r *request) Err() error {
	if r.until.IsZero() {
		select {
		case <-r.cancel:
		default:
			return nil
		}
	}
	r.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// end stops the watching, when the request is answered.
func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over != nil {
		close(r.over)
		r.over = nil
	}
}

func (r *request) watch(done, over chan struct{}) {
	var late <-chan time.Time
	if !r.until.IsZero() {
		timer := time.NewTimer(time.Until(r.until))
		defer timer.Stop()
		late = timer.C
	}
	err := context.Canceled
	select {
	case <-r.cancel:
	case <-late:
		err = context.DeadlineExceeded
	case <-over:
		return
	}
	for err == context.Canceled && !ending(r.pid) {
		select {
		case <-time.After(again):
		case <-late:
			err = context.DeadlineExceeded
		case <-over:
			return
		}
	}
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	close(done)
}

// The sets below have bit n-1 for signal n, as /proc has them.
const (
	// asked ends a wait whether the program handles it or not: somebody wants the program, or what it does, to end.
	asked = 1<<(syscall.SIGHUP-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGQUIT-1) | 1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGTERM-1)
	// harmless does nothing, or stops the program, where no handler is installed.
	harmless = 1<<(syscall.SIGCHLD-1) | 1<<(syscall.SIGCONT-1) | 1<<(syscall.SIGURG-1) | 1<<(syscall.SIGWINCH-1) |
		1<<(syscall.SIGSTOP-1) | 1<<(syscall.SIGTSTP-1) | 1<<(syscall.SIGTTIN-1) | 1<<(syscall.SIGTTOU-1)
)

// ending reports whether a thread has a pending signal that ends it or asks it to end. A thread that cannot be looked
// at counts as ending.
func ending(pid uint32) bool {
	if pid == 0 {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	set := func(field string) uint64 {
		_, rest, _ := bytes.Cut(text, []byte("\n"+field+":\t"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		n, _ := strconv.ParseUint(string(line), 16, 64)
		return n
	}
	pending := (set("SigPnd") | set("ShdPnd")) &^ set("SigBlk") &^ set("SigIgn")
	return pending&asked != 0 || pending&^set("SigCgt")&^harmless != 0
}
