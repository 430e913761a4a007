package store

import (
	"container/list"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// TestSettleByTimes judges files that nobody was seen to write: by their times and a clock.
func TestSettleByTimes(t *testing.T) {
	s, root := storeOf(t, map[string]string{"m/v1/a.onnx": "a", "m/v1/sub/b": "b"})
	now := time.Now()
	s.now = func() time.Time { return now }
	path := filepath.Join(root, "m/v1/a.onnx")
	listed := func() bool {
		t.Helper()
		d, err := s.Dir(context.Background(), "m")
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Version(context.Background(), "m", "v1")
		if (err == nil) != slices.Contains(d.Versions, "v1") || err != nil != slices.Contains(d.Unsettled, "v1") {
			t.Errorf("listed %q, unsettled %q, and entering it says %v", d.Versions, d.Unsettled, err)
		}
		if err != nil && (fault.KindOf(err) != fault.Absent || !strings.Contains(err.Error(), "still being written: a.onnx")) {
			t.Error(err)
		}
		return err == nil
	}
	at := func(when time.Time) {
		t.Helper()
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if !listed() {
		t.Error("a copy of this moment with old times is not listed")
	}
	s.watch.forgetAll()
	at(now.Add(-4 * time.Second))
	if listed() {
		t.Error("a file of 4 s ago is listed")
	}
	at(now.Add(-5 * time.Second))
	if !listed() {
		t.Error("a file of 5 s ago is not listed")
	}
	s.watch.forgetAll()
	at(now.Add(time.Hour)) // of another host's clock
	if listed() {
		t.Error("a file of the future is listed at first sight")
	}
	now = now.Add(4 * time.Second)
	if listed() {
		t.Error("a file of the future is listed after 4 s")
	}
	now = now.Add(time.Second)
	if !listed() {
		t.Error("a file of the future is not listed when it has not changed for 5 s")
	}
}

func (w *watching) forgetAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tracks = nil
	w.order.Init()
}

// TestSettleByEvents judges files by what was seen of them.
func TestSettleByEvents(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	fresh, aged := now.Add(-100*time.Millisecond), now.Add(-time.Hour)
	for _, test := range []struct {
		name         string
		events       []op
		ago          time.Duration // of the last
		mtime, ctime time.Time
		temporary    bool
		want         time.Duration
	}{
		{"closed just now", []op{created, modified, closed}, 100 * time.Millisecond, fresh, fresh, false, 900 * time.Millisecond},
		{"closed a second ago", []op{created, modified, closed}, time.Second, now.Add(-time.Second), now.Add(-time.Second), false, 0},
		{"closed, and written to again unseen", []op{closed}, time.Second, fresh, fresh, false, 4900 * time.Millisecond},
		{"written to after it was closed", []op{closed, modified}, 100 * time.Millisecond, fresh, fresh, false, 4900 * time.Millisecond},
		{"created and not written to, a link to an old file", []op{created}, 100 * time.Millisecond, aged, fresh, false, 0},
		{"created and empty", []op{created}, 100 * time.Millisecond, fresh, fresh, false, 4900 * time.Millisecond},
		{"not closed", []op{created, modified}, 100 * time.Millisecond, fresh, fresh, false, 4900 * time.Millisecond},
		{"not closed, with an old time", []op{created, modified}, 100 * time.Millisecond, aged, fresh, false, 4900 * time.Millisecond},
		{"not closed, and quiet since long", []op{created, modified}, time.Minute, aged, aged, false, 0},
		{"renamed into place with an old time", []op{movedIn}, 100 * time.Millisecond, aged, fresh, false, 900 * time.Millisecond},
		{"renamed into place a second ago", []op{movedIn}, time.Second, aged, fresh, false, 0},
		{"removed and back, unseen", []op{closed, removed}, time.Second, fresh, fresh, false, 4900 * time.Millisecond},
		{"temporary and closed", []op{created, closed}, time.Second, fresh, fresh, true, 4900 * time.Millisecond},
		{"temporary and old", []op{created, closed}, time.Second, aged, fresh, true, 0},
		{"attributes alone", []op{touched}, 0, aged, fresh, false, 0},
	} {
		s := &directory{settle: 5 * time.Second}
		for _, what := range test.events {
			s.writes.saw("/x", what, now.Add(-test.ago))
		}
		st := status{identity: identity{mtime: test.mtime.UnixNano(), ctime: test.ctime.UnixNano()}}
		if got := s.wait("/x", st, now, test.temporary); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWritesAreBounded(t *testing.T) {
	var ws writes
	now := time.Now()
	for i := range 3 * maxWrites {
		ws.saw(strings.Repeat("x", i%7)+string(rune('a'+i%26))+time.Duration(i).String(), modified, now.Add(time.Duration(i)*time.Millisecond))
	}
	if n := len(ws.files); n > maxWrites {
		t.Errorf("%d files are remembered", n)
	}
}

// observed is a store that is watched.
type observed struct {
	*directory
	t    *testing.T
	root string

	mu   sync.Mutex // guards seen
	seen []string   // paths reported
	more chan struct{}
}

// observe watches a store of files with settled times.
func observe(t *testing.T, o Options, files map[string]string) *observed {
	t.Helper()
	_, root := storeOf(t, files)
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	w := &observed{directory: s.(*directory), t: t, root: root, more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := s.Watch(ctx, w.changed); err != context.Canceled {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); ended.Wait() })
	for {
		w.watch.mu.Lock()
		started := w.watch.engine != nil
		w.watch.mu.Unlock()
		if started {
			return w
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *observed) changed(paths []string) {
	w.mu.Lock()
	w.seen = append(w.seen, paths...)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// until wants a condition to hold once path is reported, as one who remembers answers sees it: asked again only then.
func (w *observed) until(path, what string, within time.Duration, holds func() bool) {
	w.t.Helper()
	deadline := time.After(within)
	for {
		w.mu.Lock()
		i := slices.Index(w.seen, path)
		w.seen = w.seen[i+1:]
		w.mu.Unlock()
		if i >= 0 && holds() {
			return
		}
		if i >= 0 {
			continue
		}
		select {
		case <-w.more:
		case <-deadline:
			w.t.Errorf("not within %v: %s (asked now: %t)", within, what, holds())
			return
		}
	}
}

// forget drops what was reported so far.
func (w *observed) forget() {
	time.Sleep(3 * gathering)
	w.mu.Lock()
	w.seen = nil
	w.mu.Unlock()
}

func (w *observed) list(path string) *Dir {
	d, err := w.Dir(context.Background(), path)
	if err != nil {
		return &Dir{}
	}
	return d
}

func (w *observed) file(name string) string { return filepath.Join(w.root, name) }

// put makes a file at once: written elsewhere, given an old time, renamed into place.
func (w *observed) put(name, text string) {
	w.t.Helper()
	part := filepath.Join(filepath.Dir(filepath.Dir(w.file(name))), ".part.partial")
	for _, err := range []error{
		os.MkdirAll(filepath.Dir(w.file(name)), 0o755), os.WriteFile(part, []byte(text), 0o644), os.Chtimes(part, old, old), os.Rename(part, w.file(name)),
	} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

const prompt = 2 * time.Second // what the design promises

// TestWatch changes a store in every way and wants each change to be told.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := observe(t, Options{Rescan: time.Hour}, map[string]string{"m/v1/model.onnx": "1", "org/deep/v1/model.onnx": "1"})
	for _, path := range []string{"", "m", "org", "org/deep"} {
		w.list(path)
	}
	if _, err := w.Version(context.Background(), "m", "v1"); err != nil {
		t.Fatal(err)
	}
	w.forget()
	versions := func(path, want string) func() bool {
		return func() bool { return strings.Join(w.list(path).Versions, " ") == want }
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	w.put("m/v2/model.onnx", "2")
	w.until("m", "a version in one step", prompt, versions("m", "v1 v2"))
	w.put("n/v1/model.onnx", "1")
	w.until("", "a model", prompt, func() bool { return slices.Contains(w.list("").Names, "n") })
	w.until("n", "its version", prompt, versions("n", "v1"))
	w.put("org/other/v1/model.onnx", "1")
	w.until("org", "a model of an organisation", prompt, func() bool { return slices.Contains(w.list("org").Names, "other") })
	w.put("loose.safetensors", "1")
	w.until("", "a loose model", prompt, func() bool { return slices.Contains(w.list("").Names, "loose") })
	w.until("loose", "its version", prompt, versions("loose", "v1"))

	do(os.Symlink("v1", w.file("m/champion")))
	w.until("m", "an alias", prompt, func() bool { return slices.Contains(w.list("m").Aliases, Alias{"champion", "v1"}) })
	do(os.Symlink("v2", w.file("m/champion.new")))
	do(os.Rename(w.file("m/champion.new"), w.file("m/champion")))
	w.until("m", "an alias that moves", prompt, func() bool { return slices.Equal(w.list("m").Aliases, []Alias{{"champion", "v2"}}) })
	do(os.Remove(w.file("m/champion")))
	w.until("m", "an alias that goes", prompt, func() bool { return len(w.list("m").Aliases) == 0 })

	id := func() string {
		v, err := w.Version(context.Background(), "m", "v1")
		if err != nil {
			return "none"
		}
		return v.ID.String()
	}
	was := id()
	do(os.WriteFile(w.file("m/v1/model.onnx"), []byte("one"), 0o644))
	w.until("m/v1", "a file that is overwritten and closed", prompt, func() bool { return id() != was && id() != "none" })
	was = id()
	w.put("m/v1/model.onnx", "replaced")
	w.until("m/v1", "a file that is replaced", prompt, func() bool { return id() != was && id() != "none" })
	was = id()
	do(os.Chmod(w.file("m/v1/model.onnx"), 0o600))
	w.until("m/v1", "a mode", prompt, func() bool { return id() != was && id() != "none" })
	was = id()
	w.put("m/v1/sub/more.json", "{}")
	w.until("m/v1", "a file in a new folder", prompt, func() bool { return id() != was && id() != "none" })
	was = id()
	w.put("m/v1/sub/again.json", "{}")
	w.until("m/v1", "another one in it", prompt, func() bool { return id() != was && id() != "none" })

	do(os.RemoveAll(w.file("m/v1")))
	w.until("m", "a version that goes", prompt, versions("m", "v2"))
	do(os.Rename(w.file("m/v2"), w.file("m/v3")))
	w.until("m", "a version that is renamed", prompt, versions("m", "v3"))
	do(os.Rename(w.file("org"), w.file("company")))
	w.until("", "a namespace that is renamed", prompt, func() bool { return slices.Equal(w.list("").Names, []string{"company", "loose", "m", "n"}) })
	w.list("company")
	w.put("company/third/v1/model.onnx", "1")
	w.until("company", "a model in it", prompt, func() bool { return slices.Contains(w.list("company").Names, "third") })
	do(os.RemoveAll(w.file("n")))
	w.until("", "a model that goes", prompt, func() bool { return !slices.Contains(w.list("").Names, "n") })
	w.put("n/v1/model.onnx", "1")
	w.until("n", "a model that comes back", prompt, versions("n", "v1"))
}

// TestGrowing writes files slowly and in several pieces: their version is not listed before they are closed, and then
// soon; one without a closing that is seen is listed when it has been quiet.
func TestGrowing(t *testing.T) {
	t.Parallel()
	const settle = 1200 * time.Millisecond
	w := observe(t, Options{Rescan: time.Hour, Settle: settle}, map[string]string{"m/v1/model.onnx": "1"})
	w.list("")
	w.list("m")
	grow := func(name string, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(w.file(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(w.file(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := range len(text) {
			if _, err := f.WriteString(text[i : i+1]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			version, _, _ := strings.Cut(strings.TrimPrefix(name, "m/"), "/")
			if slices.Contains(w.list("m").Versions, version) {
				t.Errorf("%s is listed while it grows", name)
			}
		}
	}
	grow("m/v2/a.safetensors", "0123456789")
	grow("m/v2/sub/b.safetensors", "0123456789") // without a pause after the first
	w.until("m", "a version that was closed", 2*time.Second, func() bool { return slices.Contains(w.list("m").Versions, "v2") })

	// What is written to through a descriptor that stays open settles by its times.
	f, err := os.OpenFile(w.file("m/v2/a.safetensors"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("changed"); err != nil {
		t.Fatal(err)
	}
	wrote := time.Now()
	w.until("m", "a version that is written to goes", prompt, func() bool { return !slices.Contains(w.list("m").Versions, "v2") })
	w.until("m", "it comes back when it is quiet", 2*settle+time.Second, func() bool { return slices.Contains(w.list("m").Versions, "v2") })
	if quiet := time.Since(wrote); quiet < settle {
		t.Errorf("it was listed %v after it was written to", quiet)
	}
}

// TestServedVersionStays adds a file to a version that is in use: it stays as it was until the file is complete.
func TestServedVersionStays(t *testing.T) {
	t.Parallel()
	w := observe(t, Options{Rescan: time.Hour}, map[string]string{"m/v1/model.onnx": "1"})
	w.list("m")
	files := func() string {
		v, err := w.Version(context.Background(), "m", "v1")
		if err != nil {
			return err.Error()
		}
		return strings.Join(v.List(), " ")
	}
	if got := files(); got != "model.onnx" {
		t.Fatal(got)
	}
	f, err := os.Create(w.file("m/v1/notes.json"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if got := files(); got != "model.onnx" {
		t.Errorf("while a file is added: %s", got)
	}
	if got := w.list("m").Versions; !slices.Equal(got, []string{"v1"}) {
		t.Errorf("while a file is added: %q", got)
	}
	f.Close()
	w.until("m/v1", "the file is part of it", prompt, func() bool { return files() == "model.onnx notes.json" })

	// What is opened for writing and not written to is as it was.
	if f, err = os.OpenFile(w.file("m/v1/model.onnx"), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.until("m/v1", "a file that was opened and closed", prompt, func() bool { return files() == "model.onnx notes.json" })
}

// TestVersionMadeAnew removes a version and makes it again, slowly and with other files: it is a new one.
func TestVersionMadeAnew(t *testing.T) {
	t.Parallel()
	w := observe(t, Options{Rescan: time.Hour}, map[string]string{"m/v1/a.onnx": "1", "m/v2/model.onnx": "1"})
	w.list("m")
	if _, err := w.Version(context.Background(), "m", "v1"); err != nil {
		t.Fatal(err)
	}
	w.forget()
	if err := os.RemoveAll(w.file("m/v1")); err != nil {
		t.Fatal(err)
	}
	w.until("m", "the version goes", prompt, func() bool { return slices.Equal(w.list("m").Versions, []string{"v2"}) })
	w.put("m/v1/a.onnx", "2")
	f, err := os.Create(w.file("m/v1/b.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if got := w.list("m").Versions; slices.Contains(got, "v1") {
			t.Fatal("it is listed before it is whole")
		}
	}
	f.Close()
	w.until("m", "the version comes back", prompt, func() bool { return slices.Equal(w.list("m").Versions, []string{"v1", "v2"}) })
}

// TestDownload fills a hub cache as huggingface_hub does.
func TestDownload(t *testing.T) {
	t.Parallel()
	const commit, repo = "0123456789abcdef0123456789abcdef01234567", "models--org--name/"
	blob := func(c string) string { return repo + "blobs/" + strings.Repeat(c, 64) }
	w := observe(t, Options{Rescan: time.Hour}, map[string]string{"other/v1/model.onnx": "1"})
	w.list("")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"blobs", "refs", "snapshots/" + commit} {
		do(os.MkdirAll(w.file(repo+dir), 0o755))
	}
	do(os.WriteFile(w.file(repo+"refs/main"), []byte(commit), 0o644))
	w.until("", "the organisation", prompt, func() bool { return slices.Contains(w.list("").Names, "org") })
	for _, c := range []string{"a", "b"} {
		f, err := os.Create(w.file(blob(c) + ".incomplete"))
		do(err)
		for range 5 {
			_, err := f.WriteString("12345678")
			do(err)
			time.Sleep(100 * time.Millisecond)
			if d := w.list("org/name"); len(d.Versions) > 0 {
				t.Errorf("listed while %s is downloaded", c)
			}
		}
		do(f.Close())
		do(os.Rename(w.file(blob(c)+".incomplete"), w.file(blob(c))))
		do(os.Symlink("../../blobs/"+strings.Repeat(c, 64), w.file(repo+"snapshots/"+commit+"/"+c+".safetensors")))
	}
	w.until("org/name", "the version", prompt, func() bool {
		d := w.list("org/name")
		return slices.Equal(d.Versions, []string{commit[:12]}) && slices.Equal(d.Aliases, []Alias{{"main", commit[:12]}})
	})
}

// TestLostEvents has the kernel say that it lost events: all that was asked for is told.
func TestLostEvents(t *testing.T) {
	w := observe(t, Options{Rescan: time.Hour}, map[string]string{"m/v1/model.onnx": "1"})
	w.list("")
	w.list("m")
	w.forget()
	w.watch.engine.happened(event{what: lost})
	w.until("", "the root", prompt, func() bool { return true })
	w.until("m", "a model", prompt, func() bool { return true })
}

// fullNotifier has no watch to give.
type fullNotifier struct{ none chan []event }

func (fullNotifier) add(string) error         { return errWatches }
func (fullNotifier) remove(string)            {}
func (n fullNotifier) events() <-chan []event { return n.none }
func (fullNotifier) close()                   {}

// TestNoWatchesLeft runs out of watches: it is said once, and rescans see what happens.
func TestNoWatchesLeft(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	var mu sync.Mutex
	w := observe(t, Options{Rescan: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&locked{&mu, &log}, nil))}, map[string]string{"m/v1/model.onnx": "1"})
	w.watch.engine.deaf()
	w.watch.engine.mu.Lock()
	w.watch.engine.notifier, w.watch.engine.watches = fullNotifier{}, map[string]*list.Element{}
	w.watch.engine.mu.Unlock()
	for _, path := range []string{"", "m"} {
		w.list(path)
	}
	w.put("m/v2/model.onnx", "2")
	w.until("m", "a version", prompt, func() bool { return len(w.list("m").Versions) == 2 })
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "fs.inotify.max_user_watches"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
}

// locked is a writer for several goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// TestRescan has no events to go by.
func TestRescan(t *testing.T) {
	t.Parallel()
	const one, two = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"
	w := observe(t, Options{Rescan: 100 * time.Millisecond}, map[string]string{
		"m/v1/model.onnx":                                "1",
		"models--gpt2/refs/main":                         one,
		"models--gpt2/snapshots/" + one + "/config.json": "{}",
		"models--gpt2/snapshots/" + two + "/config.json": "{}",
	})
	w.list("")
	w.list("m")
	w.list("gpt2")
	if _, err := w.Version(context.Background(), "m", "v1"); err != nil {
		t.Fatal(err)
	}
	w.watch.mu.Lock()
	w.watch.engine.deaf()
	w.watch.mu.Unlock()
	w.forget()
	time.Sleep(5 * 100 * time.Millisecond) // rescans that find nothing, and remember how it is
	w.forget()
	w.put("m/v2/model.onnx", "2")
	w.until("m", "a version", prompt, func() bool { return len(w.list("m").Versions) == 2 })
	w.put("n/v1/model.onnx", "2")
	w.until("", "a model", prompt, func() bool { return len(w.list("").Names) == 3 })
	if err := os.WriteFile(w.file("models--gpt2/refs/main"), []byte(two), 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("gpt2", "a ref", prompt, func() bool { return slices.Equal(w.list("gpt2").Aliases, []Alias{{"main", two[:12]}}) })
	w.put("m/v1/model.onnx", "3")
	w.until("m/v1", "a file", prompt, func() bool {
		v, err := w.Version(context.Background(), "m", "v1")
		return err == nil && v.Files[0].Info.ModTime.Equal(old)
	})
	if err := os.RemoveAll(w.file("m")); err != nil {
		t.Fatal(err)
	}
	w.until("m", "a model that goes", prompt, func() bool { return len(w.list("").Names) == 2 })
}

// deaf makes the kernel's watches useless, as those of a network file system are.
func (e *engine) deaf() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.notifier != nil {
		for dir := range e.watches {
			e.notifier.remove(dir)
		}
		e.watches, e.notifier = nil, nil
		e.order.Init()
	}
}

// TestWatchersComeAndGo checks that changes between two watches are told to the second, and that none is called after
// its Watch has returned.
func TestWatchersComeAndGo(t *testing.T) {
	s, root := storeOf(t, map[string]string{"m/v1/model.onnx": "1"})
	if _, err := s.Dir(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		makeFile(t, root, "new"+string(rune('a'+i))+"/v1/model.onnx", "1")
		ctx, cancel := context.WithCancel(context.Background())
		told := make(chan []string, 100)
		returned := false
		var ended sync.WaitGroup
		ended.Go(func() {
			s.Watch(ctx, func(paths []string) {
				if returned {
					t.Error("called after Watch returned")
				}
				select {
				case told <- paths:
				default:
				}
			})
			returned = true
		})
		select {
		case paths := <-told:
			if !slices.Contains(paths, "") {
				t.Errorf("told of %q", paths)
			}
		case <-time.After(prompt):
			t.Error("a change before Watch was not told")
		}
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
				defer cancel()
				s.Watch(ctx, func([]string) {})
			})
		}
		if _, err := s.Dir(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		cancel()
		ended.Wait()
		others.Wait()
	}
}

// TestManyTracks asks for more than is kept right: what is forgotten is told.
func TestManyTracks(t *testing.T) {
	w := observe(t, Options{Rescan: time.Hour}, nil)
	w.watch.note(note{path: "first"})
	for i := range maxTracks {
		w.watch.note(note{path: time.Duration(i).String()})
	}
	w.until("first", "a path that was forgotten", prompt, func() bool { return true })
	if n := len(w.watch.tracks); n != maxTracks {
		t.Errorf("%d tracks", n)
	}
}
