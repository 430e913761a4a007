package cache

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestCommands lists, verifies, removes and prunes, beside a running daemon and without one.
func TestCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	if items, err := List(dir); err != nil || len(items) != 0 {
		t.Fatalf("a directory that is not there: %v, %v", items, err)
	}
	if err := Remove(dir, "x"); fault.KindOf(err) != fault.Absent {
		t.Errorf("remove where nothing is: %v", err)
	}
	if freed, err := Prune(dir, nil); err != nil || freed != 0 {
		t.Errorf("prune where nothing is: %d, %v", freed, err)
	}
	s := newShelf(t, 4, 2<<20+12345*1024)
	c := open(t, Options{Dir: dir})
	for i, path := range []string{"d/v1/f", "a/v1/f", "c/v1/f", "b/v1/f"} {
		e := c.Get(s.files[i], path)
		if err := e.Warm(context.Background()); err != nil {
			t.Fatal(err)
		}
		e.Release()
	}
	for _, running := range []bool{true, false} {
		if !running {
			c.Close()
		}
		items, err := List(dir)
		if err != nil || len(items) != 4 {
			t.Fatalf("%v, %v", items, err)
		}
		for i, path := range []string{"a/v1/f", "b/v1/f", "c/v1/f", "d/v1/f"} {
			item := items[i]
			if item.Path != path || item.Size != s.files[0].Size() || item.Name != item.ID.String() || item.Used.IsZero() || item.Sealed.IsZero() {
				t.Errorf("item %d: %+v", i, item)
			}
		}
	}
	data := func(i int) string {
		return filepath.Join(dir, format, filepath.FromSlash(objectName(s.files[i].ID())))
	}
	verified := func() map[string]error {
		bad := map[string]error{}
		if err := Verify(context.Background(), dir, func(i Item, err error) {
			if err != nil {
				bad[i.Name] = err
			}
		}); err != nil {
			t.Fatal(err)
		}
		return bad
	}
	if bad := verified(); len(bad) != 0 {
		t.Errorf("a sound cache: %v", bad)
	}
	for what, damage := range map[string]struct {
		do   func(path string)
		kind fault.Kind
		off  int64
	}{
		"a flipped byte":         {func(p string) { flip(t, p, 1<<20+77) }, fault.Checksum, 1 << 20},
		"the first byte":         {func(p string) { flip(t, p, 0) }, fault.Checksum, 0},
		"the last byte":          {func(p string) { flip(t, p, s.files[2].Size()-1) }, fault.Checksum, s.files[2].Size() / block * block},
		"a lost end":             {func(p string) { must(t, os.Truncate(p, s.files[2].Size()-4096)) }, fault.Truncated, s.files[2].Size() - 4096},
		"a flipped checksum":     {func(p string) { flip(t, p+metaSuffix, 150) }, fault.Checksum, 106},
		"a record that is gone":  {func(p string) { must(t, os.Remove(p+metaSuffix)) }, fault.Missing, -1},
		"a record of other rule": {func(p string) { must(t, os.WriteFile(p+metaSuffix, []byte("{}"), 0o600)) }, fault.Malformed, -1},
	} {
		keep, err := os.ReadFile(data(2))
		must(t, err)
		record, err := os.ReadFile(data(2) + metaSuffix)
		must(t, err)
		damage.do(data(2))
		bad := verified()
		found := bad[s.files[2].ID().String()]
		if len(bad) != 1 || fault.KindOf(found) != damage.kind {
			t.Errorf("%s: %v", what, bad)
		} else if e, ok := found.(*fault.Error); !ok || e.Off != damage.off {
			t.Errorf("%s: %#v", what, found)
		}
		must(t, os.WriteFile(data(2), keep, 0o600))
		must(t, os.WriteFile(data(2)+metaSuffix, record, 0o600))
	}

	c = open(t, Options{Dir: dir})
	held := c.Get(s.files[0], "d/v1/f")
	check(t, held, s.want[0], 0, 100)
	must(t, os.WriteFile(data(3)+".00000000.part", make([]byte, 5000), 0o600))
	freed, err := Prune(dir, func(i Item) bool { return i.Path == "a/v1/f" })
	if err != nil || freed < 2*s.files[0].Size()+5000 {
		t.Errorf("prune: %d, %v", freed, err)
	}
	s.expect(t, c, true, true, false, false) // the first is in use
	if err := Remove(dir, s.files[0].ID().String()); err != nil {
		t.Error(err)
	}
	checkAll(t, held, s.want[0], 1<<20)
	held.Release()
	s.expect(t, c, false, true, false, false)
	if err := Remove(dir, s.files[1].ID().String()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{s.files[1].ID().String(), "", "x", "../../../etc/passwd", strings.ToUpper(s.files[1].ID().String())} {
		if err := Remove(dir, name); fault.KindOf(err) != fault.Absent || fault.Remedy(err) == "" {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if items, err := List(dir); err != nil || len(items) != 0 {
		t.Errorf("at the end: %v, %v", items, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.seal(t, c, 0)
	if err := Verify(ctx, dir, func(Item, error) {}); err != context.Canceled {
		t.Errorf("a cancelled verify: %v", err)
	}
}

// TestRefusedDirectory is an error with the directory's name.
func TestRefusedDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		c, err := Open(Options{Dir: dir})
		if err == nil {
			c.Close()
			t.Errorf("%s is taken for a cache", dir)
			continue
		}
		if !strings.Contains(err.Error(), dir) || fault.Remedy(err) == "" {
			t.Errorf("%s: %v (%s)", dir, err, fault.Remedy(err))
		}
	}
}

// TestOtherFormats are pruned where the cache is ours, and other folders of such names are left alone.
func TestOtherFormats(t *testing.T) {
	for _, how := range []string{"open", "prune"} {
		for _, ours := range []bool{true, false} {
			dir := t.TempDir()
			old := filepath.Join(dir, "v0", objects, "ab", "abcdef")
			strange := []string{filepath.Join(dir, "v2", "weights"), filepath.Join(dir, "v3x", objects), filepath.Join(dir, "notes")}
			for _, path := range append(strange, old) {
				must(t, os.MkdirAll(filepath.Dir(path), 0o700))
				must(t, os.WriteFile(path, make([]byte, 10_000), 0o600))
			}
			if ours {
				c := open(t, Options{Disk: nil, Dir: t.TempDir()})
				tag, err := os.ReadFile(filepath.Join(c.dir, tagName))
				must(t, err)
				if !strings.HasPrefix(string(tag), "Signature: 8a477f597d28d172789f06886806bc55") {
					t.Errorf("the tag is %q", tag)
				}
				must(t, os.WriteFile(filepath.Join(dir, tagName), tag, 0o600))
			}
			if how == "open" {
				c := open(t, Options{Dir: dir})
				c.Close()
			} else if freed, err := Prune(dir, nil); err != nil || (freed > 0) != ours {
				t.Errorf("prune: %d, %v", freed, err)
			}
			if _, err := os.Stat(old); (err != nil) != ours && how == "prune" {
				t.Errorf("%s: another format is left: %v", how, err == nil)
			}
			for _, path := range strange {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s: %v", how, err)
				}
			}
		}
	}
}
