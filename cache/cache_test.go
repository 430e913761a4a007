package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// TestSequentialRead reads in pieces of several sizes to the end: right bytes, the source read once, and then a sealed
// file that a later cache finds.
func TestSequentialRead(t *testing.T) {
	for _, piece := range []int64{1 << 20, 128 << 10, 100_001} {
		dir := t.TempDir()
		f, want, s := sized(t, 1, 9<<20+77*1024)
		c := open(t, Options{Dir: dir})
		e := c.Get(f, "m/v1/f")
		if got := e.State(); got != Virtual {
			t.Fatalf("before the first read: %v", got)
		}
		if _, ok := e.Complete(); ok {
			t.Fatal("complete before the first read")
		}
		checkAll(t, e, want, piece)
		until(t, "ready", ready(e))
		if got := s.read.Load(); got > s.Size()*21/20 {
			t.Errorf("reads of %d: %d bytes of a source of %d were read", piece, got, s.Size())
		}
		checkAll(t, e, want, piece)
		if done, size := e.Progress(); done != size || size != f.Size() {
			t.Errorf("progress %d of %d", done, size)
		}
		e.Release()
		c.Close()

		read := s.read.Load()
		c = open(t, Options{Dir: dir})
		if got := c.State(f.ID(), f); got != Ready {
			t.Fatalf("after a restart: %v", got)
		}
		e = c.Get(f, "m/v1/f")
		checkAll(t, e, want, piece)
		if got := s.read.Load(); got != read {
			t.Errorf("%d bytes of the source were read after a restart", got-read)
		}
		file, ok := e.Complete()
		if !ok {
			t.Fatal("a sealed file is not complete")
		}
		got := make([]byte, len(want))
		if n, err := file.ReadAt(got, 0); n != len(want) || err != nil && err != io.EOF || !bytes.Equal(got, want) {
			t.Fatalf("the descriptor gives %d bytes, %v", n, err)
		}
		if info, err := file.Stat(); err != nil || info.Size() != f.Size() {
			t.Fatalf("the sealed file: %v, %v", info.Size(), err)
		}
		e.Release()
	}
}

// TestReadAt asks for every kind of range.
func TestReadAt(t *testing.T) {
	f, want, _ := sized(t, 2, 5<<20+4096)
	small, wantSmall, _ := sized(t, 3, 100<<10)
	c := open(t, Options{Disk: newMemDisk()})
	for _, one := range []struct {
		f    *layout.File
		want []byte
	}{{f, want}, {small, wantSmall}} {
		e := c.Get(one.f, "x")
		size := one.f.Size()
		for range 2 { // computed, and kept
			for _, off := range []int64{0, 1, 1023, 1024, 1025, 65535, 65536, size / 2, size - 65537, size - 1, size, size + 1, size + 1<<40} {
				for _, n := range []int64{0, 1, 4096, 65536, 1<<20 + 1} {
					check(t, e, one.want, off, n)
				}
			}
			checkAll(t, e, one.want, 1<<20)
		}
		if n, err := e.ReadAt(context.Background(), make([]byte, 1), -1); n != 0 || fault.KindOf(err) != fault.Usage {
			t.Errorf("a negative offset: %d, %v", n, err)
		}
		if n, err := e.ReadAt(context.Background(), nil, size+5); n != 0 || err != nil {
			t.Errorf("no bytes past the end: %d, %v", n, err)
		}
		e.Release()
	}
}

// TestRandomReads reads at random from several goroutines while everything is filled, in whatever way.
func TestRandomReads(t *testing.T) {
	for seed := range uint64(4) {
		f, want, s := sized(t, seed, 6<<20+int(seed)*1024)
		c := open(t, Options{Disk: newMemDisk(), Workers: int(seed%3) + 1})
		e := c.Get(f, "x")
		together(8, func(i int) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 60 {
				check(t, e, want, r.Int64N(f.Size()), 1+r.Int64N(200_000))
			}
		})
		if got := s.read.Load(); got > s.Size()*6/5 {
			t.Errorf("%d bytes of a source of %d were read", got, s.Size())
		}
		until(t, "ready", ready(e))
		checkAll(t, e, want, 1<<20)
		e.Release()
	}
}

// TestHeader reads what a reader of headers does: little is computed, nothing is written.
func TestHeader(t *testing.T) {
	f, want, s := sized(t, 4, 64<<20)
	d := newMemDisk()
	c := open(t, Options{Disk: d})
	for range 300 {
		e := c.Get(f, "x")
		check(t, e, want, 0, 8)
		for off := int64(8); off < 40_000; off += 8192 {
			check(t, e, want, off, 8192)
		}
		if got := e.State(); got != Virtual {
			t.Fatalf("after its header was read: %v", got)
		}
		e.Release()
	}
	time.Sleep(20 * time.Millisecond)
	if got := s.read.Load(); got > 2<<20 {
		t.Errorf("%d bytes of the source were read for a header", got)
	}
	if names := d.list(); len(names) != 0 {
		t.Errorf("written for a header: %q", names)
	}
}

// TestRandomReaderComputesLittle looks at single pieces of a large file.
func TestRandomReaderComputesLittle(t *testing.T) {
	f, want, s := sized(t, 5, 64<<20)
	c := open(t, Options{Disk: newMemDisk()})
	e := c.Get(f, "x")
	for _, off := range []int64{50 << 20, 33<<20 + 5, 20 << 20, 60<<20 - 7, 5 << 20} {
		check(t, e, want, off, 4096)
	}
	if got := s.read.Load(); got > 5*2*(2*pieceAlign) {
		t.Errorf("%d bytes of the source were read for 5 pages", got)
	}
	e.Release()
}

// TestSingleFlight has many read one cold file at once.
func TestSingleFlight(t *testing.T) {
	f, want, s := sized(t, 6, 8<<20)
	c := open(t, Options{Disk: newMemDisk()})
	e := c.Get(f, "x")
	together(64, func(i int) {
		mine := c.Get(f, "x")
		defer mine.Release()
		if mine != e {
			t.Error("two entries of one file")
		}
		checkAll(t, mine, want, 1<<20)
	})
	if got := s.read.Load(); got > s.Size()*21/20 {
		t.Errorf("%d bytes of a source of %d were read for 64 readers", got, s.Size())
	}
	e.Release()
}

// TestFillOutlivesItsReader reads a 20th and leaves.
func TestFillOutlivesItsReader(t *testing.T) {
	f, want, _ := sized(t, 7, 40<<20)
	c := open(t, Options{Disk: newMemDisk()})
	e := c.Get(f, "x")
	for off := int64(0); off < 3<<20; off += 128 << 10 {
		check(t, e, want, off, 128<<10)
	}
	e.Release()
	until(t, "ready", func() bool { return c.State(f.ID(), f) == Ready })
	if fills := c.Fills(); len(fills) != 0 {
		t.Errorf("still filling: %v", fills)
	}
}

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

// TestPrepare fills what is small enough at open, and has it whole at once.
func TestPrepare(t *testing.T) {
	c := open(t, Options{Dir: t.TempDir()})
	f, want, _ := sized(t, 9, 3<<20)
	e := c.Get(f, "x")
	if err := e.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Complete(); !ok {
		t.Error("not complete after Prepare")
	}
	checkAll(t, e, want, 1<<20)
	until(t, "ready", ready(e))
	e.Release()

	large, _, s := sized(t, 10, wholeAtOpen+4096)
	e = c.Get(large, "y")
	if err := e.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := s.read.Load(); got != 0 {
		t.Errorf("Prepare of a large file read %d bytes", got)
	}
	if got := e.State(); got != Virtual {
		t.Errorf("after Prepare of a large file: %v", got)
	}
	e.Release()
}

// TestWarm waits until all is sealed.
func TestWarm(t *testing.T) {
	c := open(t, Options{Dir: t.TempDir()})
	f, want, _ := sized(t, 11, 12<<20)
	e := c.Get(f, "x")
	if err := e.Warm(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := e.State(); got != Ready {
		t.Fatalf("after Warm: %v", got)
	}
	checkAll(t, e, want, 1<<20)
	e.Release()
	small, _, s := sized(t, 12, 10<<10)
	e = c.Get(small, "y")
	if err := e.Warm(context.Background()); err != nil || e.State() != Memory || s.read.Load() != s.Size() {
		t.Errorf("Warm of a small file: %v, %v, %d bytes", err, e.State(), s.read.Load())
	}
	e.Release()
}

// TestMemory keeps small files off the disk, computes each once, and forgets the longest unused ones.
func TestMemory(t *testing.T) {
	d := newMemDisk()
	c := open(t, Options{Disk: d, Memory: 1 << 20})
	var entries []*Entry
	var wants [][]byte
	var all []*source
	for i := range 8 {
		f, want, s := sized(t, uint64(i), 200<<10)
		e := c.Get(f, "x")
		together(10, func(int) { check(t, e, want, 100, 50_000) })
		if got := e.State(); got != Memory {
			t.Errorf("a small file is %v", got)
		}
		if _, ok := e.Complete(); ok {
			t.Error("a small file has a descriptor")
		}
		if s.read.Load() != s.Size() {
			t.Errorf("%d bytes of %d were read", s.read.Load(), s.Size())
		}
		entries, wants, all = append(entries, e), append(wants, want), append(all, s)
	}
	if got := c.memory.bytes; got > 1<<20 {
		t.Errorf("%d bytes are held", got)
	}
	check(t, entries[7], wants[7], 0, 100)
	check(t, entries[0], wants[0], 0, 100)
	if all[7].read.Load() != all[7].Size() || all[0].read.Load() != 2*all[0].Size() {
		t.Errorf("the latest was read %d times over, the first %d", all[7].read.Load()/all[7].Size(), all[0].read.Load()/all[0].Size())
	}
	large := layout.Bytes(bytes.Repeat([]byte("literal "), 1<<18))
	e := c.Get(large, "y")
	check(t, e, bytes.Repeat([]byte("literal "), 1<<18), 1<<20, 1<<20)
	if got := e.State(); got != Memory || c.memory.bytes > 1<<20 {
		t.Errorf("a literal is %v, %d bytes are held", got, c.memory.bytes)
	}
	e.Release()
	empty := layout.Bytes(nil)
	e = c.Get(empty, "z")
	check(t, e, nil, 0, 10)
	if err := e.Warm(context.Background()); err != nil {
		t.Error(err)
	}
	e.Release()
	if names := d.list(); len(names) != 0 {
		t.Errorf("on the disk: %q", names)
	}
	for _, e := range entries {
		e.Release()
	}
	if n := remembered(c); n != 0 {
		t.Errorf("%d entries are remembered", n)
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

// TestGrains computes a transposed tensor, of which each row costs as much as hundreds: every grain once.
func TestGrains(t *testing.T) {
	const rows, columns = 1024, 6144
	s := newSource(18, rows*columns*4)
	whole := layout.Stored(s)
	f, err := layout.New(layout.Literal("head"), layout.Box{In: whole, Shape: []int64{columns, rows}, Strides: []int64{4, columns * 4}, Elem: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("head")
	for c := range columns {
		for r := range rows {
			want = append(want, s.b[(r*columns+c)*4:][:4]...)
		}
	}
	for _, how := range []string{"in order", "at random"} {
		s.read.Store(0)
		c := open(t, Options{Disk: newMemDisk()})
		e := c.Get(f, "x")
		if how == "in order" {
			checkAll(t, e, want, 1<<20)
		} else {
			r := rand.New(rand.NewPCG(1, 1))
			for range 200 {
				check(t, e, want, r.Int64N(f.Size()), 5000)
			}
		}
		if got := s.read.Load(); got > s.Size()*5/4 {
			t.Errorf("%s: %d bytes of a source of %d were read", how, got, s.Size())
		}
		e.Release()
		c.Close()
	}
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
