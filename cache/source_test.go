package cache

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// TestCancelledReader leaves a read that waits; the computation goes on, for another.
func TestCancelledReader(t *testing.T) {
	f, want, s := sized(t, 8, 8<<20)
	c := open(t, Options{Disk: newMemDisk()})
	e := c.Get(f, "x")
	defer e.Release()
	wait := make(chan bool)
	s.wait.Store(&wait)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for range 2 {
		go func() {
			_, err := e.ReadAt(ctx, make([]byte, 4096), 3<<20)
			ended <- err
		}()
	}
	until(t, "a read of the source", func() bool { return s.calls.Load() > 0 })
	other := make(chan bool)
	go func() {
		check(t, e, want, 3<<20, 4096)
		close(other)
	}()
	cancel()
	for range 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled read: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a cancelled read waits on")
		}
	}
	close(wait)
	<-other
	if got := s.calls.Load(); got != 1 {
		t.Errorf("%d reads of the source", got)
	}
}

// TestSlowSource has 40 readers wait for one model, at many places, and read others meanwhile.
func TestSlowSource(t *testing.T) {
	c := open(t, Options{Disk: newMemDisk(), Workers: 2, Fills: 1})
	var stuck []*source
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 200)
	n := 0
	for i := range 3 { // more models than there are turns
		f, _, s := sized(t, uint64(i), 16<<20)
		wait := make(chan bool)
		s.wait.Store(&wait)
		stuck = append(stuck, s)
		e := c.Get(f, "slow")
		defer e.Release()
		for j := range 40 {
			n++
			go func() {
				_, err := e.ReadAt(ctx, make([]byte, 64<<10), int64(j)*300_000)
				left <- err
			}()
		}
		small, _, s := sized(t, uint64(i), 10<<10)
		s.wait.Store(&wait)
		held := c.Get(small, "slow too")
		defer held.Release()
		n++
		go func() {
			_, err := held.ReadAt(ctx, make([]byte, 10), 2000)
			left <- err
		}()
	}
	time.Sleep(50 * time.Millisecond)
	for i := range 3 {
		f, want, _ := sized(t, 100+uint64(i), 9<<20)
		e := c.Get(f, "quick")
		began := time.Now()
		checkAll(t, e, want, 1<<20)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("beside a slow source: %v", took)
		}
		until(t, "ready beside a slow source", ready(e))
		e.Release()
	}
	began := time.Now()
	cancel()
	for range n {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("a reader of a slow source: %v", err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("readers of a slow source were gone after %v", took)
	}
	for _, s := range stuck {
		if got := s.calls.Load(); got > 40 {
			t.Errorf("%d reads of a slow source at once", got)
		}
	}
}

// TestManySlowReads reads a file whose every read takes its time: readers at many places are served side by side.
func TestManySlowReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, want, s := sized(t, 13, 16<<20)
		s.delay.Store(int64(3 * time.Second))
		c := open(t, Options{Disk: newMemDisk(), Workers: 2})
		e := c.Get(f, "slow")
		began := time.Now()
		together(30, func(i int) { check(t, e, want, int64(i)*500_000, 1000) })
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("30 readers of a source of 3 s took %v", took)
		}
		e.Release()
		c.Close()
	})
}

// TestChangedSource fails the file whose source changed, and no other; a new open tries again.
func TestChangedSource(t *testing.T) {
	d := newMemDisk()
	c := open(t, Options{Disk: d})
	f, want, s := sized(t, 14, 20<<20)
	other, wantOther, _ := sized(t, 15, 5<<20)
	e, o := c.Get(f, "x"), c.Get(other, "y")
	defer e.Release()
	defer o.Release()
	for off := int64(0); off < 10<<20; off += 5 << 20 { // worth a part, not worth a fill
		check(t, e, want, off, 100_000)
	}
	until(t, "a part", func() bool { return e.State() == Filling })
	s.fail.Store(fault.New(fault.Changed, "the size was 1 and is 2"))
	for off := int64(12 << 20); off < 20<<20; off += 1 << 20 {
		if n, err := e.ReadAt(context.Background(), make([]byte, 1<<20), off); n != 0 || fault.KindOf(err) != fault.Changed {
			t.Fatalf("a changed source: %d, %v", n, err)
		}
	}
	if e.State() != Failed || fault.KindOf(e.Err()) != fault.Changed {
		t.Errorf("a changed source: %v, %v", e.State(), e.Err())
	}
	for _, name := range d.list() {
		if strings.HasPrefix(name, objectName(f.ID())) {
			t.Errorf("%s is left", name)
		}
	}
	calls := s.calls.Load()
	if _, err := e.ReadAt(context.Background(), make([]byte, 10), 12<<20); fault.KindOf(err) != fault.Changed {
		t.Errorf("read again: %v", err)
	}
	if s.calls.Load() != calls {
		t.Error("a source that changed is read again")
	}
	checkAll(t, o, wantOther, 1<<20)
	s.fail.Store(nil)
	if err := e.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkAll(t, e, want, 1<<20)
	until(t, "ready", ready(e))
	if e.Err() != nil {
		t.Errorf("after it came back: %v", e.Err())
	}
}

// TestTransientFailure tries again after a while, and longer each time.
func TestTransientFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{Disk: newMemDisk()})
		for _, size := range []int{5 << 20, 50 << 10} {
			f, want, s := sized(t, 16, size)
			e := c.Get(f, "x")
			s.fail.Store(fault.New(fault.IO, "no answer"))
			read := func() error {
				_, err := e.ReadAt(context.Background(), make([]byte, 10), 2000)
				return err
			}
			if err := read(); fault.KindOf(err) != fault.IO || e.State() != Failed {
				t.Fatalf("%v, %v", err, e.State())
			}
			calls := s.calls.Load()
			if err := read(); fault.KindOf(err) != fault.IO || s.calls.Load() != calls {
				t.Fatalf("at once: %v, %d more reads", err, s.calls.Load()-calls)
			}
			time.Sleep(1100 * time.Millisecond)
			if err := read(); fault.KindOf(err) != fault.IO || s.calls.Load() == calls {
				t.Fatalf("a second later: %v, %d more reads", err, s.calls.Load()-calls)
			}
			calls = s.calls.Load()
			time.Sleep(1100 * time.Millisecond)
			if err := read(); err == nil || s.calls.Load() != calls {
				t.Fatal("the second pause is no longer than the first")
			}
			s.fail.Store(nil)
			time.Sleep(time.Second)
			if err := read(); err != nil {
				t.Fatal(err)
			}
			checkAll(t, e, want, 1<<20)
			if e.Err() != nil {
				t.Errorf("after it came back: %v", e.Err())
			}
			e.Release()
		}
		c.Close()
	})
}

// panics is an Op that breaks down.
type panics struct{ halve }

func (panics) String() string               { return "panics/1" }
func (panics) Apply([]byte, [][]byte) error { panic("index out of range") }

// TestPanic is an error of the one file.
func TestPanic(t *testing.T) {
	c := open(t, Options{Disk: newMemDisk()})
	for _, size := range []int{1000, 4 << 20} {
		whole, _ := layout.New(layout.Extent{Source: newSource(1, size), Len: int64(size)})
		f, err := layout.New(layout.Coded{Op: panics{}, In: []*layout.File{whole}})
		if err != nil {
			t.Fatal(err)
		}
		e := c.Get(f, "x")
		if _, err := e.ReadAt(context.Background(), make([]byte, 10), 0); err == nil || !strings.Contains(err.Error(), "index out of range") {
			t.Errorf("a computation that panics: %v", err)
		}
		e.Release()
	}
	f, want, _ := sized(t, 17, 2<<20)
	e := c.Get(f, "y")
	checkAll(t, e, want, 1<<20)
	e.Release()
}

// TestFills fills one file at a time when told to.
func TestFills(t *testing.T) {
	c := open(t, Options{Disk: newMemDisk(), Fills: 1, Workers: 2})
	var most, now atomic.Int64
	var entries []*Entry
	for i := range 4 {
		f, want, _ := sized(t, uint64(i), 24<<20)
		e := c.Get(f, "x")
		for off := int64(0); off < 1<<20+300_000; off += 65536 {
			check(t, e, want, off, 65536)
		}
		entries = append(entries, e)
	}
	for _, e := range entries {
		e.mu.Lock()
		if e.slot == hasSlot {
			now.Add(1)
		}
		most.Store(max(most.Load(), now.Load()))
		e.mu.Unlock()
	}
	if most.Load() > 1 {
		t.Errorf("%d files are filled at a time", most.Load())
	}
	for _, e := range entries {
		until(t, "ready", ready(e))
		e.Release()
	}
}
