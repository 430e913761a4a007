package cache

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
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

// TestLend gives the same bytes as ReadAt, without a copy where they were just computed.
func TestLend(t *testing.T) {
	f, want, _ := sized(t, 26, 6<<20)
	small, wantSmall, _ := sized(t, 27, 100<<10)
	c := open(t, Options{Disk: newMemDisk()})
	for _, one := range []struct {
		f    *layout.File
		want []byte
	}{{f, want}, {small, wantSmall}} {
		lent := 0
		for range 2 {
			e := c.Get(one.f, "x")
			size := one.f.Size()
			var releases []func()
			for _, n := range []int64{64 << 10, 1, 0, 500_000, 1 << 20} {
				for off := int64(0); off < size+n; off += max(n, 700_000) {
					p := bytes.Repeat([]byte{0xaa}, int(n))
					b, release, err := e.Lend(context.Background(), p, off)
					end := min(off+n, size)
					if err != nil && err != io.EOF || (err == io.EOF) != (n > 0 && end < off+n) || !bytes.Equal(b, one.want[min(off, size):max(end, min(off, size))]) {
						t.Fatalf("%d bytes at %d of %d: %d, %v", n, off, size, len(b), err)
					}
					if release != nil {
						lent++
						if n > 0 && &b[0] == &p[0] {
							t.Fatal("what was lent is the caller's own")
						}
						releases = append(releases, func() {
							if !bytes.Equal(b, one.want[off:end]) {
								t.Errorf("what was lent has changed at %d", off)
							}
							release()
						})
					}
				}
			}
			for _, release := range releases {
				release()
			}
			e.Release()
		}
		if large := one.f.Size() > smallMost; (lent > 0) != large {
			t.Errorf("lent %d times", lent)
		}
	}
	if n, err := c.Get(f, "x").ReadAt(context.Background(), make([]byte, 1), -1); n != 0 || fault.KindOf(err) != fault.Usage {
		t.Errorf("%d, %v", n, err)
	}
}
