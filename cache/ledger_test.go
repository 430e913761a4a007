package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// shelf is some views of one size.
type shelf struct {
	files []*layout.File
	want  [][]byte
	from  []*source
}

func newShelf(t *testing.T, n, size int) *shelf {
	s := &shelf{}
	for i := range n {
		f, want, from := sized(t, uint64(i), size)
		s.files, s.want, s.from = append(s.files, f), append(s.want, want), append(s.from, from)
	}
	return s
}

// read reads a view to its end.
func (s *shelf) read(t *testing.T, c *Cache, i int) {
	t.Helper()
	e := c.Get(s.files[i], "x")
	defer e.Release()
	checkAll(t, e, s.want[i], 1<<20)
}

// seal reads a view until it is sealed.
func (s *shelf) seal(t *testing.T, c *Cache, i int) {
	t.Helper()
	s.read(t, c, i)
	until(t, "ready", func() bool { return c.State(s.files[i].ID(), s.files[i]) == Ready })
}

func (s *shelf) ready(c *Cache) (list []bool) {
	for _, f := range s.files {
		list = append(list, c.State(f.ID(), f) == Ready)
	}
	return list
}

func (s *shelf) expect(t *testing.T, c *Cache, want ...bool) {
	t.Helper()
	got := s.ready(c)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("ready are %v and should be %v", got, want)
		}
	}
}

// TestEviction removes the longest unused file, also after a restart, and none that is in use.
func TestEviction(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 5, 3<<20)
	now := time.Now()
	c := open(t, Options{Disk: d, Limit: 10 << 20})
	for i := range 3 {
		s.seal(t, c, i)
	}
	s.expect(t, c, true, true, true)
	s.seal(t, c, 0) // used again
	s.seal(t, c, 3)
	s.expect(t, c, true, false, true, true)
	if got := c.Usage(); got.Used != 9<<20 || got.Files != 3 || got.Limit != 10<<20 {
		t.Errorf("usage %+v", got)
	}
	held := c.Get(s.files[2], "x")
	check(t, held, s.want[2], 0, 100)
	s.seal(t, c, 1)
	s.expect(t, c, false, true, true, true)
	held.Release()
	if got := c.Stats(); got.Evictions != 2 || got.Sealed != 5 {
		t.Errorf("%+v", got)
	}
	c.Close()

	for i, at := range map[int]time.Duration{1: time.Hour, 2: 3 * time.Hour, 3: 2 * time.Hour} { // last used so long ago
		if err := d.Touch(metaName(s.files[i].ID()), now.Add(-at)); err != nil {
			t.Fatal(err)
		}
	}
	c = open(t, Options{Disk: d, Limit: 10 << 20})
	s.seal(t, c, 0)
	s.expect(t, c, true, true, false, true)
	s.seal(t, c, 2)
	s.expect(t, c, true, true, true, false)
	c.Close()
	c = open(t, Options{Disk: d, Limit: 10 << 20})
	s.read(t, c, 1) // so the disk knows of the use
	c.Close()
	if info, err := d.Stat(metaName(s.files[1].ID())); err != nil || now.Sub(info.Used) > time.Minute {
		t.Errorf("last used %v ago, %v", now.Sub(info.Used), err)
	}
}

// TestEvictionSparesOthers leaves what another daemon uses.
func TestEvictionSparesOthers(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 3, 3<<20)
	a, b := open(t, Options{Disk: d, Limit: 7 << 20}), open(t, Options{Disk: d, Limit: 7 << 20})
	s.seal(t, a, 0)
	s.seal(t, a, 1)
	held := b.Get(s.files[0], "x")
	check(t, held, s.want[0], 0, 100)
	s.seal(t, a, 2)
	s.expect(t, a, true, false, true)
	checkAll(t, held, s.want[0], 1<<20)
	held.Release()
	s.seal(t, a, 1)
	s.expect(t, b, false, true, true)
}

// TestNoRoom serves right bytes without keeping them, and keeps them when there is room again.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		d.total = 20 << 20
		s := newShelf(t, 3, 6<<20)
		c := open(t, Options{Disk: d})
		s.seal(t, c, 0)
		d.mu.Lock()
		d.lost = 11 << 20 // 3 MiB are left, 1 of which stays free
		d.mu.Unlock()
		held := c.Get(s.files[0], "x")
		check(t, held, s.want[0], 0, 100)

		e := c.Get(s.files[1], "y")
		for range 2 {
			checkAll(t, e, s.want[1], 1<<20)
			checkAll(t, e, s.want[1], 64<<10)
		}
		if got := e.State(); got == Ready || got == Filling {
			t.Errorf("without room: %v", got)
		}
		if got := s.from[1].read.Load(); got > 6*s.from[1].Size() {
			t.Errorf("the source of %d bytes was read %d bytes to read the file four times", s.from[1].Size(), got)
		}
		if err := e.Warm(context.Background()); fault.KindOf(err) != fault.Space || fault.Remedy(err) == "" {
			t.Errorf("Warm without room: %v", err)
		}
		if err := e.Prepare(context.Background()); err != nil {
			t.Errorf("Prepare without room: %v", err)
		}
		s.expect(t, c, true, false, false)

		held.Release() // now there is room, when the first goes
		time.Sleep(10 * time.Minute)
		checkAll(t, e, s.want[1], 1<<20)
		synctest.Wait()
		s.expect(t, c, false, true, false)
		e.Release()
		d.mu.Lock()
		d.lost = 0
		d.mu.Unlock()
		s.read(t, c, 2)
		synctest.Wait()
		s.expect(t, c, false, true, true)
		c.Close()
	})
}

// TestNothingIsEvictedInVain keeps all when even all would not be enough.
func TestNothingIsEvictedInVain(t *testing.T) {
	d := newMemDisk()
	d.total = 20 << 20
	s := newShelf(t, 2, 3<<20)
	large, want, _ := sized(t, 9, 40<<20)
	c := open(t, Options{Disk: d})
	s.seal(t, c, 0)
	s.seal(t, c, 1)
	e := c.Get(large, "x")
	checkAll(t, e, want, 1<<20)
	e.Release()
	s.expect(t, c, true, true)
}

// TestFileAboveTheLimit is legal, alone.
func TestFileAboveTheLimit(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 3, 3<<20)
	large, want, _ := sized(t, 9, 12<<20)
	c := open(t, Options{Disk: d, Limit: 8 << 20})
	s.seal(t, c, 0)
	held := c.Get(s.files[1], "x")
	checkAll(t, held, s.want[1], 1<<20)
	until(t, "ready", ready(held))
	e := c.Get(large, "y")
	checkAll(t, e, want, 1<<20)
	until(t, "ready", ready(e))
	s.expect(t, c, false, true)
	held.Release()
	other := c.Get(large, "y")
	e.Release()
	s.read(t, c, 2) // no room beside it while it is in use
	time.Sleep(10 * time.Millisecond)
	s.expect(t, c, false, true, false)
	other.Release()
}

// TestPeek reads a little in the middle of many large files: nothing is evicted for it.
func TestPeek(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 2, 3<<20)
	c := open(t, Options{Disk: d, Limit: 30 << 20})
	s.seal(t, c, 0)
	s.seal(t, c, 1)
	for i := range 8 {
		f, want, _ := sized(t, uint64(i), 40<<20)
		e := c.Get(f, "x")
		check(t, e, want, 20<<20, 4096)
		e.Release()
	}
	for i := range 8 { // parts that nobody reads go for one another
		f, want, _ := sized(t, uint64(i), 20<<20)
		e := c.Get(f, "x")
		check(t, e, want, 15<<20, 4096)
		e.Release()
	}
	s.expect(t, c, true, true)
	if got := c.Usage(); got.Used > 30<<20 {
		t.Errorf("usage %+v", got)
	}
}

// TestDiskFillsMeanwhile loses the space in the middle of a fill.
func TestDiskFillsMeanwhile(t *testing.T) {
	d := newMemDisk()
	f, want, _ := sized(t, 1, 36<<20)
	c := open(t, Options{Disk: d})
	e := c.Get(f, "x")
	defer e.Release()
	var writes atomic.Int64
	d.fault = func(_ int, op, _ string) error {
		if op == "write" && writes.Add(1) > 5 {
			return syscall.ENOSPC
		}
		return nil
	}
	checkAll(t, e, want, 1<<20)
	if got := e.State(); got == Ready {
		t.Errorf("without space: %v", got)
	}
	until(t, "its part is gone", func() bool { return len(d.list()) == 0 })
	checkAll(t, e, want, 100_000)
	writes.Store(-1 << 40)
	until(t, "kept when there is space again", func() bool {
		checkAll(t, e, want, 1<<20)
		return e.State() == Ready
	})
}

// TestLimit watches the disk while several readers press files through a small cache.
func TestLimit(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 8, 3<<20)
	const limit = 10 << 20
	c := open(t, Options{Disk: d, Limit: limit})
	held := c.Get(s.files[0], "x")
	checkAll(t, held, s.want[0], 1<<20)
	stop := make(chan bool)
	var watch sync.WaitGroup
	var most int64
	watch.Go(func() {
		for {
			d.mu.Lock()
			most = max(most, d.taken())
			d.mu.Unlock()
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	together(4, func(i int) {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for range 10 {
			s.read(t, c, r.IntN(len(s.files)))
		}
	})
	next := 0
	until(t, "something is evicted", func() bool {
		next++
		s.read(t, c, next%len(s.files))
		return c.Stats().Evictions > 0
	})
	checkAll(t, held, s.want[0], 1<<20)
	held.Release()
	close(stop)
	watch.Wait()
	if most > limit+1<<20 {
		t.Errorf("%d bytes were on the disk at once", most)
	}
}

// TestBrokenDisk reads on where the disk fails from some time on, and keeps files again when it is mended.
func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, 3, 5<<20)
		d := newMemDisk()
		c := open(t, Options{Disk: d})
		s.read(t, c, 0)
		synctest.Wait()
		s.expect(t, c, true)
		for _, ops := range []map[string]bool{{"read": true}, {"write": true}, {"create": true}, {"sync": true}, {"commit": true}, {"read": true, "write": true, "sync": true, "open": true}} {
			d.mu.Lock()
			d.fault = func(_ int, op, _ string) error {
				if ops[op] {
					return syscall.EIO
				}
				return nil
			}
			d.mu.Unlock()
			for i := range s.files {
				s.read(t, c, i)
			}
			d.mu.Lock()
			d.fault = nil
			d.mu.Unlock()
		}
		time.Sleep(time.Hour)
		for i := range s.files {
			s.read(t, c, i)
			synctest.Wait()
		}
		s.expect(t, c, true, true, true)
		c.Close()
	})
}

// TestRemovedDirectory is rm -rf under a running cache.
func TestRemovedDirectory(t *testing.T) {
	d := newMemDisk()
	s := newShelf(t, 3, 5<<20)
	c := open(t, Options{Disk: d})
	s.seal(t, c, 0)
	held := c.Get(s.files[0], "x")
	check(t, held, s.want[0], 0, 100)
	filling := c.Get(s.files[1], "y")
	check(t, filling, s.want[1], 3<<20, 100)
	d.removeAll()
	checkAll(t, held, s.want[0], 1<<20)
	checkAll(t, filling, s.want[1], 1<<20)
	held.Release()
	filling.Release()
	until(t, "all are kept again", func() bool {
		for i := range s.files {
			s.read(t, c, i)
		}
		return s.ready(c)[0] && s.ready(c)[1] && s.ready(c)[2]
	})
}
