package fs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
	"github.com/isomerfs/isomerfs/tree"
)

// writeModel makes a safetensors file of one float32 tensor of count elements.
func writeModel(t *testing.T, path string, seed uint64, count int) {
	t.Helper()
	head, err := json.Marshal(map[string]any{"w": map[string]any{"dtype": "F32", "shape": []int{count}, "data_offsets": []int{0, 4 * count}}})
	if err != nil {
		t.Fatal(err)
	}
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	data = append(append(data, head...), patternOf(seed, 0, int64(4*count))...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour) // files that have just changed are not listed yet
	os.Chtimes(path+".new", old, old.Add(time.Duration(seed)*time.Second))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// The real tree over a real store, with the real cache: every listed file has the bytes of its layout, before and after
// it is sealed, and a changed source is another version.
func TestReal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts of the tests need root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder, point := filepath.Join(dir, "store"), filepath.Join(dir, "mnt")
	os.Mkdir(point, 0o755)
	source := filepath.Join(folder, "m/v1/model.safetensors")
	writeModel(t, source, 1, mib)
	ctx := context.Background()
	var views *tree.Tree
	begin := func() (*Server, *cache.Cache) {
		t.Helper()
		s, err := store.Open(folder, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.Open(cache.Options{Dir: filepath.Join(dir, "cache")})
		if err != nil {
			t.Fatal(err)
		}
		views = tree.New(tree.Options{Store: s, Program: "isomerfs test", Digest: c.Digest,
			State: func(f *layout.File) string { return c.State(f.ID(), f).String() }})
		server, err := Mount(Options{Tree: views, Cache: c, Mountpoint: point, Source: folder, StoreDir: folder})
		if err != nil {
			t.Fatal(err)
		}
		return server, c
	}
	end := func(server *Server, c *cache.Cache) {
		t.Helper()
		if err := server.Unmount(ctx, false); err != nil {
			t.Errorf("unmount: %v", err)
			unix.Unmount(point, unix.MNT_DETACH)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	server, kept := begin()
	defer func() { end(server, kept) }()

	// want is what each file must be, from the tree itself and not through the mount.
	want := func() map[string]string {
		t.Helper()
		files := map[string]string{}
		v1, err := views.Resolve(ctx, "m/v1")
		if err != nil {
			t.Fatal(err)
		}
		if err := views.Walk(ctx, v1, func(n *tree.Node) error {
			if n.File == nil || n.File.Document != nil {
				return nil
			}
			p := make([]byte, n.Attr.Size)
			if f := n.File; f.Layout != nil {
				_, err = f.Layout.ReadAt(ctx, nil, p, 0)
			} else {
				_, err = f.Source.ReadAt(ctx, p, 0)
			}
			if err != nil && len(p) > 0 && err.Error() != "EOF" {
				return fmt.Errorf("%s: %w", n.Path, err)
			}
			files[n.Path] = fmt.Sprintf("ok %d %s", len(p), sum(p))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return files
	}
	c := newClient(t)
	first := want()
	if len(first) < 5 {
		t.Fatalf("the tree has %d files", len(first))
	}
	half := "m/v1/safetensors/fp16/model.safetensors"
	for range 2 {
		for path, result := range first {
			c.want(result, "read-all", filepath.Join(point, path))
		}
	}
	state := func(path string) string { return c.do("getxattr", filepath.Join(point, path), "user.isomerfs.state") }
	eventually(t, "the view is ready", func() bool { return state(half) == "ok ready" })
	for path := range first {
		if got := c.do("getxattr", filepath.Join(point, path), "user.isomerfs.size_exact"); !strings.HasPrefix(got, "ok") {
			t.Errorf("%s: size_exact %s", path, got)
		}
		eventually(t, path+" is at rest", func() bool {
			got := state(path)
			return got == "ok ready" || got == "ok memory" || got == "ok source"
		})
	}
	if p := server.Passthrough(); p.Cache && server.Stats().Opens["passthrough"] == 0 {
		t.Errorf("%+v, and %v", p, server.Stats().Opens)
	}

	// A changed source: the old handle goes on with old bytes or fails, the path leads to new ones.
	c.want("ok", "open", "old", filepath.Join(point, half))
	writeModel(t, source, 2, mib)
	eventually(t, "the path leads to the new version", func() bool {
		got := c.do("read-all", filepath.Join(point, half))
		return got != first[half] && strings.HasPrefix(got, "ok")
	})
	second := want()
	for path, result := range second {
		c.want(result, "read-all", filepath.Join(point, path))
	}
	if second[half] == first[half] {
		t.Error("the new version has the old bytes")
	}
	if got := c.do("pread", "old", 0, 64*mib); strings.HasPrefix(got, "ok") && got != first[half] {
		t.Errorf("the old handle: %s, first %s", got, first[half])
	}
	c.want("ok", "close", "old")

	// The next mount finds what was sealed.
	c.kill()
	end(server, kept)
	server, kept = begin()
	c = newClient(t)
	if got := state(half); got != "ok ready" && got != "ok virtual" && got != "ok filling" {
		t.Errorf("in the next mount: %s", got)
	}
	c.want(second[half], "read-all", filepath.Join(point, half))
	c.kill()
}
