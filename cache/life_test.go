package cache

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOnChange calls back without locks, at completion and at eviction.
func TestOnChange(t *testing.T) {
	dir := t.TempDir()
	c := open(t, Options{Dir: dir})
	f, want, _ := sized(t, 19, 4<<20)
	e := c.Get(f, "x")
	calls := make(chan bool, 10)
	e.OnChange(func() {
		_, ok := e.Complete() // would hang under a lock
		e.State()
		calls <- ok
	})
	checkAll(t, e, want, 1<<20)
	select {
	case ok := <-calls:
		if !ok {
			t.Error("called and not complete")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nobody calls")
	}
	until(t, "ready", ready(e))
	e.Release()
	until(t, "forgotten", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.watchers) == 0 })
}

// TestLeaks opens, reads and closes again and again: descriptors and goroutines stay as they were, and end at Close.
func TestLeaks(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc to count descriptors in")
	}
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before, routines := count(), runtime.NumGoroutine()
	c := open(t, Options{Dir: t.TempDir()})
	sealed, want, _ := sized(t, 20, 2<<20)
	large, wantLarge, _ := sized(t, 21, 40<<20)
	e := c.Get(sealed, "x")
	checkAll(t, e, want, 1<<20)
	until(t, "ready", ready(e))
	e.Release()
	once := func() {
		e := c.Get(sealed, "x")
		if err := e.Prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		e.Complete()
		check(t, e, want, 4096, 4096)
		e.Release()
		e = c.Get(large, "y")
		check(t, e, wantLarge, 0, 4096)
		e.Release()
	}
	for range 10 {
		once()
	}
	fds, gos := count(), runtime.NumGoroutine()
	together(4, func(int) {
		for range 500 {
			once()
		}
	})
	if now := count(); now > fds+4 {
		t.Errorf("%d descriptors and then %d", fds, now)
	}
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= gos+2 })
	for i := range 100 { // many files, each open for a moment
		f, want, _ := sized(t, uint64(i), 1<<20+4096)
		e := c.Get(f, "z")
		checkAll(t, e, want, 1<<20)
		until(t, "ready", ready(e))
		e.Release()
	}
	if now := count(); now > fds+restingMost+4 {
		t.Errorf("%d descriptors after 100 files", now)
	}
	c.Close()
	if now := count(); now > before {
		t.Errorf("%d descriptors before and %d after Close", before, now)
	}
	until(t, "goroutines end at Close", func() bool { return runtime.NumGoroutine() <= routines })
}

// TestResting gives descriptors back after a while, and takes files up again.
func TestResting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		c := open(t, Options{Disk: d})
		f, want, _ := sized(t, 22, 2<<20)
		idle, wantIdle, _ := sized(t, 23, 60<<20)
		e, i := c.Get(f, "x"), c.Get(idle, "y")
		checkAll(t, e, want, 1<<20)
		synctest.Wait()
		check(t, i, wantIdle, 2<<20, 4096) // a part that is not worth a fill
		synctest.Wait()
		e.Release()
		i.Release()
		if d.opened() != 2 {
			t.Errorf("%d files are open", d.opened())
		}
		time.Sleep(2 * time.Minute)
		if d.opened() != 1 {
			t.Errorf("%d files are open after two minutes", d.opened())
		}
		e = c.Get(f, "x")
		check(t, e, want, 5000, 5000)
		e.Release()
		time.Sleep(20 * time.Minute)
		if d.opened() != 0 || remembered(c) != 0 {
			t.Errorf("%d files are open after twenty minutes, %d entries", d.opened(), remembered(c))
		}
		for _, name := range d.list() {
			if strings.HasSuffix(name, partSuffix) {
				t.Errorf("%s is left", name)
			}
		}
		c.Close()
	})
}

// TestClose ends what goes on, also where a source does not answer.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	f, want, s := sized(t, 24, 60<<20)
	c := open(t, Options{Dir: dir})
	e := c.Get(f, "x")
	for off := int64(0); off < 5<<20; off += 1 << 20 {
		check(t, e, want, off, 1<<20)
	}
	began := time.Now()
	c.Close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := e.ReadAt(context.Background(), make([]byte, 10), 50<<20); err == nil {
		t.Error("a closed cache computes")
	}
	if err := e.Warm(context.Background()); err == nil {
		t.Error("a closed cache fills")
	}
	e.Release()
	c.Close()
	parts, _ := filepath.Glob(filepath.Join(dir, format, objects, "*", "*"))
	if len(parts) != 0 {
		t.Errorf("left after Close: %q", parts)
	}
	if s.read.Load() >= s.Size() {
		t.Error("the fill was over before Close")
	}
}

// TestDigest knows the SHA-256 some time after the seal, and after a restart.
func TestDigest(t *testing.T) {
	d := newMemDisk()
	f, want, _ := sized(t, 25, 3<<20)
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{Disk: d})
		e := c.Get(f, "x")
		if _, ok := c.Digest(f.ID()); ok {
			t.Error("a digest before there are bytes")
		}
		checkAll(t, e, want, 1<<20)
		synctest.Wait()
		if _, ok := c.Digest(f.ID()); ok {
			t.Error("a digest at once")
		}
		time.Sleep(time.Minute)
		if got, ok := c.Digest(f.ID()); !ok || got != hexSum(want) {
			t.Errorf("digest %s, %v", got, ok)
		}
		e.Release()
		c.Close()
		c = open(t, Options{Disk: d})
		if got, ok := c.Digest(f.ID()); !ok || got != hexSum(want) {
			t.Errorf("after a restart: digest %s, %v", got, ok)
		}
		c.Close()
	})
	if err := verify(context.Background(), d, func(_ Item, err error) {
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Error(err)
	}
}
