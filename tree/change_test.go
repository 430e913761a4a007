package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/store"
)

func chmod(t *testing.T, p string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

// TestGenerations: a version whose files change is another one; what does not change stays.
func TestGenerations(t *testing.T) {
	ctx := context.Background()
	tr, root := makeTree(t, map[string]string{"m/v1/model.safetensors": "w F32 4", "m/v2/model.safetensors": "w F32 4"})
	const view = "m/v1/safetensors/fp16/model.safetensors"
	old, oldVersion := resolve(t, tr, view), resolve(t, tr, "m/v1")
	if old.Gen != 1 || oldVersion.Gen != 1 || oldVersion.Fixed {
		t.Fatalf("generations %d and %d", old.Gen, oldVersion.Gen)
	}
	put(t, root, "m/v1/model.safetensors", "w F32 5")
	now := resolve(t, tr, view)
	switch {
	case now.Gen != 2 || resolve(t, tr, "m/v1").Gen != 2 || resolve(t, tr, "m/v1/README.md").Gen != 2:
		t.Errorf("after a change the generation is %d", now.Gen)
	case now.Attr.Ino != old.Attr.Ino:
		t.Error("the number of a path changes with its generation")
	case now.Attr.Size == old.Attr.Size || now.File.Layout.ID() == old.File.Layout.ID():
		t.Error("the view is the old one")
	}
	if err := old.File.Check(ctx); !errors.Is(err, fault.Changed) {
		t.Errorf("the old node's check: %v", err)
	}
	if list, err := tr.List(ctx, oldVersion); err != nil || len(list) < 6 {
		t.Errorf("the old folder lists %v, %v", list, err)
	}
	if n := resolve(t, tr, "m/v2/safetensors/fp16/model.safetensors"); n.Gen != 1 {
		t.Errorf("another version's generation is %d", n.Gen)
	}
	if n := resolve(t, tr, view); n.Gen != 2 {
		t.Errorf("without a change the generation is %d", n.Gen)
	}
	if err := os.RemoveAll(filepath.Join(root, "m/v1")); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Resolve(ctx, view); !errors.Is(err, fault.Absent) {
		t.Errorf("of a removed version: %v", err)
	}
	put(t, root, "m/v1/model.safetensors", "w F32 6")
	if n := resolve(t, tr, view); n.Gen != 3 {
		t.Errorf("a version that came back has generation %d: a number is never given twice", n.Gen)
	}
}

// counting is a tree whose codecs count what they read.
func counting(t *testing.T, files map[string]string, change ...func(*Options)) (*Tree, *atomic.Int64) {
	t.Helper()
	tr, _ := makeTree(t, files, change...)
	var reads atomic.Int64
	formats := append([]codecs.Format{}, tr.formats...)
	for i := range formats {
		read := formats[i].Read
		formats[i].Read = func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
			reads.Add(1)
			return read(ctx, files, name)
		}
	}
	tr.formats = formats
	return tr, &reads
}

// TestListingOpensNothing: names come from the store's folders; a version is judged when it is entered, once.
func TestListingOpensNothing(t *testing.T) {
	ctx := context.Background()
	tr, reads := counting(t, map[string]string{"a/v1/m.safetensors": small, "a/v2/m.safetensors": small, "org/b/v1/m.safetensors": small})
	for _, p := range []string{"", "a", "org", "org/b", "a/v1", "a/1"} {
		n := resolve(t, tr, p)
		if !strings.Contains(p, "/") {
			if _, err := tr.List(ctx, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := reads.Load(); n != 0 {
		t.Fatalf("%d files were read to list what is above the versions", n)
	}
	resolve(t, tr, "a/latest")
	if n := reads.Load(); n != 1 {
		t.Errorf("latest read %d files: the newest version decides", n)
	}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := tr.Resolve(ctx, "a/v1/safetensors/fp16/model.safetensors"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	everything(t, tr)
	everything(t, tr)
	if n := reads.Load(); n != 3 {
		t.Errorf("three versions were entered often, %d files were read", n)
	}
}

// TestMemory: what is remembered stays within the budget, and what was forgotten is the same when it is judged again.
func TestMemory(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d"} {
		files[name+"/v1/m.safetensors"] = small
	}
	tr, reads := counting(t, files, func(o *Options) { o.Memory = 1 })
	first := resolve(t, tr, "a/v1/README.md")
	for _, name := range []string{"b", "c", "d"} {
		resolve(t, tr, name+"/v1/tensors/layer.weight")
	}
	if tr.kept.order.Len() != 1 || len(tr.kept.at) != 1 || reads.Load() != 4 {
		t.Fatalf("%d versions are remembered, %d were read", tr.kept.order.Len(), reads.Load())
	}
	b, err := first.File.Document(context.Background())
	if err != nil || int64(len(b)) != first.Attr.Size {
		t.Errorf("a document of a version that was forgotten: %d bytes of %d, %v", len(b), first.Attr.Size, err)
	}
	if again := resolve(t, tr, "a/v1/README.md"); again.Gen != first.Gen || again.Attr != first.Attr {
		t.Errorf("%+v, then %+v", first, again)
	}
	var used int64
	for e := tr.kept.order.Front(); e != nil; e = e.Next() {
		used += e.Value.(*remembered).cost
	}
	if used != tr.kept.used || used <= 4096 {
		t.Errorf("%d bytes are counted, %d remembered", tr.kept.used, used)
	}
}

// TestPanic: a codec or a view that panics costs the file, not the mount.
func TestPanic(t *testing.T) {
	ctx := context.Background()
	var logged strings.Builder
	tr, _ := makeTree(t, map[string]string{"m/v1/a.safetensors": small, "m/v1/b.safetensors": small}, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&logged, nil)) })
	formats := append([]codecs.Format{}, tr.formats...)
	read := formats[0].Read
	formats[0].Read = func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		if strings.HasPrefix(name, "b") {
			var none []int
			_ = none[len(name)]
		}
		return read(ctx, files, name)
	}
	tr.formats = formats
	resolve(t, tr, "m/v1/safetensors/fp16/a.safetensors")
	a, err := tr.Why(ctx, "m/v1/safetensors/fp16/b.safetensors")
	if err != nil || a.Available || !strings.Contains(a.Reason, "source/b.safetensors: internal error") {
		t.Errorf("%+v %v", a, err)
	}
	if !strings.Contains(logged.String(), "internal error") || !strings.Contains(logged.String(), "stack=") {
		t.Errorf("the log has %q", logged.String())
	}
	tr, _ = makeTree(t, map[string]string{"m/v1/a.safetensors": small})
	table := append(tr.views[:0:0], tr.views...)
	table[0].Plan = func(*model.Model, string) ([]model.Output, error) { panic("plan") }
	tr.views = table
	if _, err := tr.Resolve(ctx, "m/v1/safetensors"); !errors.Is(err, fault.Absent) || !strings.Contains(err.Error(), "internal error: plan") {
		t.Error(err)
	}
	resolve(t, tr, "m/v1/npy/layer.weight.npy")
	text(t, tr, "m/v1/metadata.json")

	tr, _ = makeTree(t, map[string]string{"m/v1/a.safetensors": small})
	tr.formats = []codecs.Format{{Name: "none", Match: func(string) bool { panic("match") }}}
	if a, err := tr.Why(ctx, "m/v1/safetensors"); err != nil || a.Available || !strings.Contains(a.Reason, "internal error: match") {
		t.Errorf("%+v %v", a, err)
	}
	text(t, tr, "m/v1/README.md")
}

// TestUnsettled: a version that is still being written is not there, and why says so.
func TestUnsettled(t *testing.T) {
	root := t.TempDir()
	put(t, root, "m/v1/model.safetensors", "w F32 4")
	putBytes(t, filepath.Join(root, "m/v2/model.safetensors"), []byte("half"), 0o644, time.Now())
	s, err := store.Open(root, store.Options{Settle: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(root, "m/v1/model.safetensors"), settled, settled); err != nil {
		t.Fatal(err)
	}
	tr := New(Options{Store: s})
	a, err := tr.Why(context.Background(), "m/v2/safetensors/fp16/model.safetensors")
	if err != nil || a.Available || !strings.Contains(a.Reason, "still being written") || a.Remedy == "" {
		t.Errorf("%+v %v", a, err)
	}
}

// TestSniffing: a model file without a model's name is told by its first bytes, where nothing else is a model.
func TestSniffing(t *testing.T) {
	data := safetensorsFile(t, parse(t, small))
	tr, root := makeTree(t, map[string]string{"m/v1/notes.txt": "x", "n/v1/model.safetensors": small})
	for _, p := range []string{"m/v1/weights", "n/v1/weights"} {
		putBytes(t, filepath.Join(root, p), data, 0o644, settled)
	}
	if got := resolve(t, tr, "m/v1/safetensors/fp32/model.safetensors"); got.Attr.Size == 0 {
		t.Error("it is empty")
	}
	if s, err := tr.Model(context.Background(), resolve(t, tr, "n/v1/source/weights")); err != nil || s.Format != "safetensors" || len(s.Tensors) != 2 {
		t.Error(s, err)
	}
	if c, err := tr.contents(context.Background(), resolve(t, tr, "n/v1").in.v); err != nil || len(c.components) != 1 {
		t.Error("beside a model by its name the others are not looked into", err)
	}
	if got := findings(t, tr, "n/v1/source/weights"); got != "n/v1/source/weights structure ok\n" {
		t.Error(got)
	}
}

// TestManyModels: a folder of more model files than are read says so, and shows the others.
func TestManyModels(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{"m/v1/notes.txt": "x"})
	v := *resolve(t, tr, "m/v1").in.v
	files := v.Files[0]
	v.Version = &store.Version{Model: "m", Name: "v1", Info: v.Info}
	for i := range maxModels + 3 {
		files.Name = fmt.Sprintf("%05d.npy", i)
		v.Version.Files = append(v.Version.Files, files)
	}
	many := newVersion(v.Version, "m/v1", 1, readAll, readAll)
	var reads int
	tr.formats = []codecs.Format{{Name: "npy", Match: func(string) bool { return true }, Read: func(_ context.Context, files layout.Files, name string) (*model.Model, error) {
		reads++
		src, err := files.Open(name)
		return &model.Model{Format: "npy", File: name, Files: []string{name}, Source: src}, err
	}}}
	c, err := tr.contents(context.Background(), many)
	if err != nil || reads != maxModels || len(c.broken()) != 3 || !errors.Is(c.broken()[0].fault, fault.Limit) || !c.sound() {
		t.Errorf("%d were read, %d were not, %v", reads, len(c.broken()), err)
	}
}

// changing is a store that says what changed.
type changing struct{ store.Store }

func (changing) Watch(ctx context.Context, changed func([]string)) error {
	changed([]string{"m", "org/n"})
	<-ctx.Done()
	return ctx.Err()
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var got []string
	err := New(Options{Store: changing{}}).Watch(ctx, func(p string) {
		if got = append(got, p); len(got) == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || got[0] != "m" || got[1] != "org/n" {
		t.Error(got, err)
	}
}

// failing is a store of which one model can't be looked into.
type failing struct {
	store.Store
	path string
}

func (f failing) Dir(ctx context.Context, p string) (*store.Dir, error) {
	if p == f.path {
		return nil, fault.In(p, fault.New(fault.Denied, "permission denied"))
	}
	return f.Store.Dir(ctx, p)
}

// TestOneThatFails: what can't be looked into does not hide the others.
func TestOneThatFails(t *testing.T) {
	ctx := context.Background()
	tr, _ := makeTree(t, map[string]string{"a/v1/m.safetensors": small, "b/v1/m.safetensors": small, "c/v1/m.safetensors": small})
	tr.o.Store = failing{tr.o.Store, "b"}
	root := resolve(t, tr, "")
	var seen []string
	err := tr.Walk(ctx, root, func(n *Node) error {
		if n.Kind == Folder && !strings.Contains(n.Path, "/") {
			seen = append(seen, n.Path)
		}
		return nil
	})
	if !errors.Is(err, fault.Denied) || strings.Join(seen, " ") != " a c" {
		t.Error(seen, err)
	}
	seen = nil
	if err := tr.Models(ctx, root, func(p string, _ *Shown, err error) error {
		seen = append(seen, fmt.Sprint(p, " ", fault.KindOf(err)))
		return nil
	}); err != nil || strings.Join(seen, ", ") != "a unknown, b denied, c unknown" {
		t.Error(seen, err)
	}
	if got := findings(t, tr, ""); got != "a/v1/source/m.safetensors structure ok\nb structure bad\nc/v1/source/m.safetensors structure ok\n" {
		t.Error(got)
	}
	end := errors.New("enough")
	if err := tr.Walk(ctx, root, func(*Node) error { return end }); err != end {
		t.Error(err)
	}
}

// TestPassingFailure: a failure of the moment is not the answer for ever, and what was seen meanwhile is another
// generation.
func TestPassingFailure(t *testing.T) {
	ctx := context.Background()
	tr, _ := makeTree(t, map[string]string{"m/v1/a.safetensors": small})
	formats := append([]codecs.Format{}, tr.formats...)
	read := formats[0].Read
	var fails atomic.Bool
	fails.Store(true)
	formats[0].Read = func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		if fails.Load() {
			return nil, fault.New(fault.IO, "the disk is gone")
		}
		return read(ctx, files, name)
	}
	tr.formats = formats
	if _, err := tr.Resolve(ctx, "m/v1/safetensors"); !errors.Is(err, fault.Absent) {
		t.Fatal(err)
	}
	fails.Store(false)
	deadline := time.Now().Add(10 * patience)
	for {
		n, err := tr.Resolve(ctx, "m/v1/safetensors/fp16/model.safetensors")
		if err == nil {
			if n.Gen == 1 {
				t.Error("it is the generation that had no views")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(patience / 10)
	}
}

// TestImpatience: who gives up gets his context's error at once, and the judgement goes on for the others.
func TestImpatience(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{"m/v1/a.safetensors": small})
	formats := append([]codecs.Format{}, tr.formats...)
	read := formats[0].Read
	gate := make(chan struct{})
	formats[0].Read = func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		<-gate
		return read(ctx, files, name)
	}
	tr.formats = formats
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := tr.Resolve(ctx, "m/v1/safetensors")
		failed <- err
	}()
	good := make(chan error)
	go func() {
		_, err := tr.Resolve(context.Background(), "m/v1/safetensors")
		good <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(gate)
	if err := <-good; err != nil {
		t.Error(err)
	}
}
