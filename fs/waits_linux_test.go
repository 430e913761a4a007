package fs

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A reader that waits for bytes is interrupted alone, at once; the bytes, and the other readers, go on.
func TestInterruptedReads(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	gate := make(chan struct{})
	s.mount()
	victim := newClient(t)
	for _, c := range []*client{s.c, victim} {
		c.want("ok", "open", "h", s.path(viewPath))
	}
	v.set(func(c *computed) { c.gate = gate })
	other := s.c.start("pread", "h", 0, mib)
	victim.start("pread", "h", 0, mib)
	victim.start("pread", "h", mib, mib)
	eventually(t, "all wait", func() bool { return v.reads.Load() >= 3 })
	began := time.Now()
	victim.kill()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a blocked reader took %v to die", took)
	}
	if got := outcome(other, 50*time.Millisecond); got != "hung" {
		t.Errorf("the other reader got %s", got)
	}
	close(gate)
	if got := outcome(other, patienceOfTests); got != piece(1, 0, mib) {
		t.Errorf("the other reader: %s", got)
	}
	s.c.want("ok", "close", "h")
}

// What a signal does to a waiting reader.
func TestSignals(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.mount()
	for _, c := range []struct {
		signal syscall.Signal
		ends   bool
	}{
		{unix.SIGURG, false}, // Go's scheduler handles it, as profilers and collectors do theirs
		{unix.SIGCHLD, false},
		{unix.SIGTERM, true}, // the client handles it too; somebody wants the wait to end
		{unix.SIGINT, true},
	} {
		gate := make(chan struct{})
		v.set(func(c *computed) { c.gate = nil })
		s.c.want("ok", "open", "h", s.path(viewPath))
		v.set(func(c *computed) { c.gate = gate })
		before := v.reads.Load()
		wait := s.c.start("signalled-read", "h", int(c.signal))
		eventually(t, "it waits", func() bool { return v.reads.Load() > before })
		got := outcome(wait, 300*time.Millisecond)
		if c.ends && got != "EINTR" || !c.ends && got != "hung" {
			t.Errorf("%v: %s", c.signal, got)
		}
		close(gate)
		if got == "hung" {
			if got = outcome(wait, patienceOfTests); got != piece(1, 0, 4096) {
				t.Errorf("%v, later: %s", c.signal, got)
			}
		}
		s.c.want("ok", "close", "h")
	}
}

// A killed reader goes at once even if a harmless signal came first, of which alone the kernel tells.
func TestKilledAfterSignal(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	gate := make(chan struct{})
	s.mount()
	victim := newClient(t)
	victim.want("ok", "open", "h", s.path(viewPath))
	v.set(func(c *computed) { c.gate = gate })
	victim.start("signalled-read", "h", int(unix.SIGURG))
	eventually(t, "it waits", func() bool { return v.reads.Load() > 0 })
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	victim.kill()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to die", took)
	}
	close(gate)
}

// A thousand opens that wait hold up nobody else, and can be killed.
func TestBlockedOpens(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.stored(version+"/source/model.safetensors", 2, viewSize)
	gate := make(chan struct{})
	v.set(func(c *computed) {
		c.ready = func(ctx context.Context) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	s.mount()
	victim, crowd := newClient(t), newClient(t)
	const count = 1000
	waits := make([]<-chan string, count)
	for i := range waits {
		waits[i] = crowd.start("open", i, s.path(viewPath))
	}
	for i := range 10 {
		victim.start("open", i, s.path(viewPath))
	}
	eventually(t, "all wait", func() bool { return v.refs.Load() >= count+10 })
	began := time.Now()
	s.c.want(piece(2, 0, viewSize), "read-all", s.path(version+"/source/model.safetensors"))
	s.c.do("list", s.path(version))
	if took := time.Since(began); took > patienceOfTests/2 {
		t.Errorf("another file took %v", took)
	}
	began = time.Now()
	victim.kill()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a process with blocked opens took %v to die", took)
	}
	eventually(t, "the killed are gone", func() bool { return v.refs.Load() <= count })
	close(gate)
	for i, wait := range waits {
		if got := outcome(wait, patienceOfTests); got != "ok" {
			t.Fatalf("open %d: %s", i, got)
		}
	}
	crowd.kill()
}

// Readers of a file that waits do not hold up those of another (head-of-line blocking), mapped or not.
func TestSlowFile(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.view(version+"/tensors/a", 2, viewSize)
	gate := make(chan struct{})
	s.mount()
	for i := range 40 {
		s.c.want("ok", "open", i, s.path(viewPath))
	}
	mapper := newClient(t) // of its own: Go's scheduler does not see that a thread waits for a page
	mapper.want("ok", "open", "h", s.path(viewPath))
	mapper.want("ok", "map", "m", "h", viewSize)
	v.set(func(c *computed) { c.gate = gate })
	var waits []<-chan string
	waits = append(waits, mapper.start("touch", "m", 0, viewSize))
	eventually(t, "the mapping waits", func() bool { return v.reads.Load() > 0 })
	for i := range 40 {
		waits = append(waits, s.c.start("pread", i, i*4096, mib))
	}
	eventually(t, "all wait", func() bool { return v.reads.Load() >= 40 })
	began := time.Now()
	s.c.want(piece(2, 0, viewSize), "read-all", s.path(version+"/tensors/a"))
	late := s.c.start("open", "late", s.path(viewPath)) // does not wait for the page that the mapping waits for
	if got := outcome(late, time.Second); got != "ok" {
		t.Errorf("an open beside a waiting mapping: %s", got)
	}
	if took := time.Since(began); took > patienceOfTests/2 {
		t.Errorf("another file took %v", took)
	}
	close(gate)
	for _, wait := range waits {
		if got := outcome(wait, patienceOfTests); got[:2] != "ok" {
			t.Error(got)
		}
	}
	mapper.kill()
}

// Where the kernel aborts a mount that does not answer in time, what takes longer fails in time.
func TestRequestTimeout(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.mount()
	s.vol.limit = 500 * time.Millisecond
	s.c.want("ok", "open", "h", s.path(viewPath))
	gate := make(chan struct{})
	v.set(func(c *computed) { c.gate = gate })
	s.c.want("ETIMEDOUT", "pread", "h", 0, 4096)
	close(gate)
	s.c.want(piece(1, 0, 4096), "pread", "h", 0, 4096)
	if RequestTimeout() != 0 {
		t.Log("this kernel has such a limit:", RequestTimeout())
	}
}

// A pending signal that nobody sees any more, and a process that is not there.
func TestEnding(t *testing.T) {
	if ending(uint32(os.Getpid())) {
		t.Error("this process is not ending")
	}
	if !ending(0) || !ending(1<<22+1) {
		t.Error("who can't be seen counts as ending")
	}
	cancel := make(chan struct{})
	r := &request{cancel: cancel, pid: uint32(os.Getpid())}
	if r.Err() != nil {
		t.Error("not interrupted")
	}
	close(cancel)
	if r.Err() != nil {
		t.Error("an interrupt by nothing that is pending")
	}
	select {
	case <-r.Done():
		t.Error("done")
	case <-time.After(3 * again):
	}
	r.end()
	r = &request{cancel: cancel}
	<-r.Done()
	if fmt.Sprint(r.Err()) != "context canceled" {
		t.Error(r.Err())
	}
	r.end()
}
