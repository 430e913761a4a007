package cache

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTwoDaemons share a directory: what one seals the other has, what both fill is sealed once, and the parts of one
// that runs are nobody else's to remove.
func TestTwoDaemons(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, 6, 3<<20)
	a, b := open(t, Options{Dir: dir}), open(t, Options{Dir: dir})
	s.seal(t, a, 0)
	if b.State(s.files[0].ID(), s.files[0]) != Ready {
		t.Fatal("what one sealed the other does not know")
	}
	e := b.Get(s.files[0], "x")
	checkAll(t, e, s.want[0], 1<<20)
	if _, ok := e.Complete(); !ok {
		t.Error("what one sealed is not complete for the other")
	}
	e.Release()
	if got := s.from[0].read.Load(); got > s.from[0].Size()*21/20 {
		t.Errorf("the source of %d bytes was read %d bytes", s.from[0].Size(), got)
	}

	together(8, func(i int) {
		c := a
		if i%2 == 0 {
			c = b
		}
		for j := 1; j < 5; j++ {
			s.read(t, c, j)
		}
	})
	for _, c := range []*Cache{a, b} {
		for j := 1; j < 5; j++ {
			until(t, "ready on both sides", func() bool { return c.State(s.files[j].ID(), s.files[j]) == Ready })
			s.read(t, c, j)
		}
	}

	x, y := a.Get(s.files[5], "x"), b.Get(s.files[5], "x")
	check(t, x, s.want[5], 2<<20, 100)
	check(t, y, s.want[5], 2<<20, 100)
	parts := func() int {
		names, _ := filepath.Glob(filepath.Join(dir, format, objects, "*", "*"+partSuffix))
		return len(names)
	}
	until(t, "two parts", func() bool { return parts() == 2 })
	third := open(t, Options{Dir: dir})
	until(t, "two parts beside a third daemon", func() bool { return parts() == 2 }) // one that was not locked yet is made again
	if x.State() != Filling || y.State() != Filling {
		t.Errorf("the others' parts: %v, %v", x.State(), y.State())
	}
	s.read(t, third, 5)
	until(t, "ready", func() bool { return third.State(s.files[5].ID(), s.files[5]) == Ready })
	if err := x.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	if x.State() != Ready {
		t.Errorf("sealed by a third, and opened anew: %v", x.State())
	}
	until(t, "who polls learns of it", ready(y))
	checkAll(t, x, s.want[5], 1<<20)
	checkAll(t, y, s.want[5], 1<<20)
	if parts() != 0 {
		t.Errorf("%d parts are left", parts())
	}
	x.Release()
	y.Release()
	if err := Verify(context.Background(), dir, func(i Item, err error) {
		if err != nil {
			t.Errorf("%s: %v", i.Name, err)
		}
	}); err != nil {
		t.Error(err)
	}
}

// TestRivals seal one file at the same moment.
func TestRivals(t *testing.T) {
	d := newMemDisk()
	for seed := range uint64(30) {
		f, want, _ := sized(t, seed, 1<<20+5000)
		a, b := open(t, Options{Disk: d}), open(t, Options{Disk: d})
		together(2, func(i int) {
			c := [...]*Cache{a, b}[i]
			e := c.Get(f, "x")
			if err := e.Prepare(context.Background()); err != nil {
				t.Error(err)
			}
			checkAll(t, e, want, 1<<20)
			until(t, "ready", ready(e))
			checkAll(t, e, want, 1<<20)
			e.Release()
		})
		a.Close()
		b.Close()
		for _, name := range d.list() {
			if strings.HasSuffix(name, partSuffix) {
				t.Fatalf("%s is left", name)
			}
		}
		if d.opened() != 0 {
			t.Fatalf("%d files are open", d.opened())
		}
	}
}

// TestLeftovers are removed at the next start: parts that nobody holds, records without a file and the reverse.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, 3, 2<<20)
	c := open(t, Options{Dir: dir})
	s.seal(t, c, 0)
	s.seal(t, c, 1)
	s.seal(t, c, 2)
	c.Close()
	path := func(i int) string { return filepath.Join(dir, format, filepath.FromSlash(objectName(s.files[i].ID()))) }
	for name, what := range map[string]string{
		path(0) + ".0badcafe.part":                         "half",
		path(0) + ".0badcafe.part.part":                    "half",
		filepath.Join(filepath.Dir(path(0)), "README.txt"): "mine",
	} {
		if err := os.WriteFile(name, []byte(what), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path(1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path(2) + metaSuffix); err != nil {
		t.Fatal(err)
	}
	c = open(t, Options{Dir: dir})
	s.expect(t, c, true, false, false)
	names, _ := filepath.Glob(filepath.Join(dir, format, objects, "*", "*"))
	if len(names) != 3 {
		t.Errorf("left: %q", names)
	}
	for i := range s.files {
		s.seal(t, c, i)
	}
}

// TestDamaged takes nothing that is damaged for a whole file.
func TestDamaged(t *testing.T) {
	s := newShelf(t, 1, 2<<20)
	for what, damage := range map[string]func(t *testing.T, data, meta string){
		"a lost end":          func(t *testing.T, data, meta string) { must(t, os.Truncate(data, 2<<20-4096)) },
		"no bytes":            func(t *testing.T, data, meta string) { must(t, os.Truncate(data, 0)) },
		"too many bytes":      func(t *testing.T, data, meta string) { must(t, os.Truncate(data, 2<<20+1)) },
		"an empty record":     func(t *testing.T, data, meta string) { must(t, os.Truncate(meta, 0)) },
		"a cut record":        func(t *testing.T, data, meta string) { must(t, os.Truncate(meta, 60)) },
		"another's record":    func(t *testing.T, data, meta string) { flip(t, meta, 10) },
		"a record of another": func(t *testing.T, data, meta string) { flip(t, meta, 41) },
	} {
		dir := t.TempDir()
		c := open(t, Options{Dir: dir})
		s.seal(t, c, 0)
		c.Close()
		data := filepath.Join(dir, format, filepath.FromSlash(objectName(s.files[0].ID())))
		damage(t, data, data+metaSuffix)
		c = open(t, Options{Dir: dir})
		e := c.Get(s.files[0], "x")
		if err := e.Prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		checkAll(t, e, s.want[0], 1<<20)
		until(t, "sealed again after "+what, ready(e))
		e.Release()
		bad := 0
		if err := Verify(context.Background(), dir, func(_ Item, err error) {
			if err != nil {
				bad++
			}
		}); err != nil || bad > 0 {
			t.Errorf("%s: verify: %d bad, %v", what, bad, err)
		}
		c.Close()
	}
}

// TestCutUnderReader loses the end of a sealed file that is open.
func TestCutUnderReader(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t, 1, 4<<20)
	c := open(t, Options{Dir: dir})
	s.seal(t, c, 0)
	e := c.Get(s.files[0], "x")
	check(t, e, s.want[0], 0, 100)
	must(t, os.Truncate(filepath.Join(dir, format, filepath.FromSlash(objectName(s.files[0].ID()))), 1<<20))
	checkAll(t, e, s.want[0], 1<<20)
	until(t, "sealed again", ready(e))
	e.Release()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of a file and leaves its times.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	must(t, f.Close())
	must(t, os.Chtimes(path, time.Time{}, info.ModTime()))
}
