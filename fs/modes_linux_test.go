package fs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

func (s *stage) opens(m mode) uint64 { return s.Stats().Opens[m.String()] }

// A view is read in direct mode while it is computed, and by the kernel alone once it is complete.
func TestPromotion(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.mount()
	path := s.path(viewPath)
	s.c.want("ok", "open", "old", path)
	s.c.want(piece(1, 100, 70_000), "pread", "old", 100, 70_000)
	s.c.want("ok", "map", "oldmap", "old", viewSize)
	s.c.want("ok "+sum(patternOf(1, 8192, 4096)), "touch", "oldmap", 8192, 4096)
	before := s.c.do("stat", path)
	v.complete()
	s.c.want("ok", "open", "new", path) // at once, whether the kernel was told or not
	reads := v.reads.Load()
	s.c.want(piece(1, 0, mib), "pread", "new", 0, mib)
	s.c.want("ok", "map", "newmap", "new", viewSize)
	s.c.want("ok "+sum(patternOf(1, 2*mib, 4096)), "touch", "newmap", 2*mib, 4096)
	if n := v.reads.Load() - reads; n != 0 {
		t.Errorf("the daemon was asked %d times for a complete file", n)
	}
	s.c.want(before, "stat", path)
	s.c.want(piece(1, 5000, mib), "pread", "old", 5000, mib)
	s.c.want("ok "+sum(patternOf(1, 3*mib, 1000)), "touch", "oldmap", 3*mib, 1000)
	s.c.want("ok", "reopen", "again", "old") // /proc/self/fd/N has no path to walk
	s.c.want(piece(1, 4096, 4096), "pread", "again", 4096, 4096)
	if d, p := s.opens(direct), s.opens(passthrough); d != 2 || p != 1 {
		t.Errorf("%d direct and %d passthrough opens", d, p)
	}
	for _, h := range []string{"old", "new", "again"} {
		s.c.want("ok", "close", h)
	}
	s.c.want("ok "+sum(patternOf(1, mib, 4096)), "touch", "oldmap", mib, 4096)
	s.c.want("ok "+sum(patternOf(1, mib, 4096)), "touch", "newmap", mib, 4096)
	s.c.want("ok", "unmap", "oldmap")
	s.c.want("ok", "unmap", "newmap")
	s.c.want(piece(1, 0, viewSize), "read-all", path)
}

// With no handle open the inode itself changes its mode: no ESTALE, no other inode, and a path that can't be walked
// anew, as that of a file bound elsewhere, is passed through too.
func TestPromotionOfTheClosed(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.mount()
	bound := filepath.Join(s.dir, "bound")
	if err := os.WriteFile(bound, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	binder := newClient(t) // a child binds, for mount(2) looks into the mount
	binder.want("ok", "bind", s.path(viewPath), bound)
	t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) })
	v.complete()
	reads := v.reads.Load()
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	s.c.want(piece(1, 0, viewSize), "read-all", bound)
	if n := v.reads.Load() - reads; n != 0 {
		t.Errorf("the daemon was asked %d times for a complete file", n)
	}
	if n := s.Stats().Retired; n != 0 {
		t.Errorf("%d inodes were retired", n)
	}
	unix.Unmount(bound, unix.MNT_DETACH)
}

// A file that is bound elsewhere and read there while it becomes complete: its opens have no path to walk, and go on
// in the old mode until the last is closed.
func TestPromotionOfTheBound(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.mount()
	bound := filepath.Join(s.dir, "bound")
	if err := os.WriteFile(bound, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.c.want("ok", "bind", s.path(viewPath), bound)
	t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) })
	s.c.want("ok", "open", "old", bound)
	v.complete()
	for range 5 {
		s.c.want(piece(1, 0, viewSize), "read-all", bound)
	}
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	s.c.want("ok", "close", "old")
	eventually(t, "passthrough where the file is bound", func() bool {
		p := s.opens(passthrough)
		s.c.want(piece(1, 0, viewSize), "read-all", bound)
		return s.opens(passthrough) == p+1
	})
	unix.Unmount(bound, unix.MNT_DETACH)
}

// An eviction leaves what is open as it is; the next open computes again.
func TestEviction(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	v.complete()
	s.mount()
	path := s.path(viewPath)
	s.c.want("ok", "open", "a", path)
	v.evict()
	s.c.want(piece(1, 0, mib), "pread", "a", 0, mib)
	s.c.want("ok", "open", "b", path) // shares the file that is open
	s.c.want(piece(1, mib, mib), "pread", "b", mib, mib)
	if v.reads.Load() != 0 {
		t.Error("the daemon was asked")
	}
	s.c.want("ok", "close", "a")
	s.c.want("ok", "close", "b")
	eventually(t, "both are released", func() bool { return s.Stats().Handles == 0 })
	s.c.want("ok", "open", "c", path)
	s.c.want(piece(1, mib, mib), "pread", "c", mib, mib)
	if s.opens(direct) != 1 || v.reads.Load() == 0 {
		t.Errorf("%d direct opens, %d reads", s.opens(direct), v.reads.Load())
	}
	s.c.want("ok", "close", "c")
}

// Many threads of two processes open, read and map a view while it is completed, twenty times; and one view that is
// completed and evicted again and again.
func TestPromotionStorm(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	const rounds, d = 20, 150 * time.Millisecond
	var views []*computed
	for i := range rounds + 1 {
		views = append(views, s.view(fmt.Sprintf("%s/tensors/%d", version, i), uint64(i), viewSize))
	}
	s.mount()
	other := newClient(t)
	opens := 0
	storm := func(i int, d time.Duration, threads int, meanwhile func()) {
		results := []<-chan string{
			s.c.start("storm", s.path(fmt.Sprintf("%s/tensors/%d", version, i)), i, viewSize, d.Milliseconds(), threads),
			other.start("storm", s.path(fmt.Sprintf("m/latest/tensors/%d", i)), i, viewSize, d.Milliseconds(), threads),
		}
		meanwhile()
		for _, r := range results {
			got, n := outcome(r, d+patienceOfTests), 0
			if _, err := fmt.Sscanf(got, "ok %d", &n); err != nil {
				t.Errorf("storm: %s", got)
			}
			opens += n
		}
	}
	for i := range rounds {
		storm(i, d, 4, func() {
			time.Sleep(d / 2)
			views[i].complete()
		})
	}
	one := s.Stats()
	if one.Retired < rounds/2 || one.Opens["direct"] < rounds || one.Opens["passthrough"] < rounds {
		t.Errorf("the storm tried too little: %+v", one)
	}
	storm(rounds, time.Second, 1, func() {
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			time.Sleep(3 * time.Millisecond)
			views[rounds].complete()
			time.Sleep(3 * time.Millisecond)
			views[rounds].evict()
		}
	})
	st := s.Stats()
	t.Logf("%d opens, %v; %d inodes retired, %d notified, errors %v", opens, st.Opens, st.Retired, st.Notifications, st.Errors)
	if st.Opens["direct"] == one.Opens["direct"] || st.Opens["passthrough"] == one.Opens["passthrough"] {
		t.Errorf("the storm tried too little: %v, then %v", one.Opens, st.Opens)
	}
	other.kill()
}

// Every lookup of what is being retired is answered while the notifier is at work.
func TestNotifyStorm(t *testing.T) {
	s := newStage(t)
	const count = 50
	s.forest.folder(version+"/tensors", false)
	for i := range count {
		path := fmt.Sprintf("%s/tensors/%d", version, i)
		v := s.view(path, uint64(i), 5000)
		v.state = cache.Memory
		s.forest.nodes[path].Fixed = false
	}
	s.mount()
	<-s.forest.watched
	const d = time.Second
	var results []<-chan string
	for i := range 4 {
		results = append(results, s.c.start("storm", s.path(fmt.Sprintf("%s/tensors/%d", version, i)), i, 5000, d.Milliseconds(), 2))
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.forest.say(version + "/tensors")
		s.c.do("list", s.path(version+"/tensors"))
	}
	for _, r := range results {
		if got := outcome(r, d+patienceOfTests); got[:2] != "ok" {
			t.Errorf("storm: %s", got)
		}
	}
	if st := s.Stats(); st.Notifications < 50 {
		t.Errorf("%d notifications", st.Notifications)
	} else {
		t.Logf("%d notified, %d lookups", st.Notifications, st.Ops["lookup"])
	}
}

// No notification goes into a folder in which a lookup waits for the daemon.
func TestNotifyWaitsForLookups(t *testing.T) {
	s := newStage(t)
	slow := make(chan struct{})
	s.forest.slow["m/v2"] = slow
	s.forest.folder("m/v2", false)
	s.mount()
	<-s.forest.watched
	s.c.do("stat", s.path("m/v1"))
	waiting := s.c.start("stat", s.path("m/v2"))
	eventually(t, "the lookup waits", func() bool { return s.vol.inodes.get(2).asking.Load() == 1 })
	before := s.Stats().Notifications
	s.forest.say("m/v1")
	time.Sleep(100 * time.Millisecond)
	if n := s.Stats().Notifications - before; n != 0 {
		t.Errorf("%d notifications into a folder with a lookup in flight", n)
	}
	close(slow)
	if got := outcome(waiting, patienceOfTests); got[:2] != "ok" {
		t.Error(got)
	}
	eventually(t, "the notification", func() bool { return s.Stats().Notifications > before })
}

// Views of at most 32 MiB are filled at their first open, after which even the first mapping is native.
func TestPrepared(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	v.set(func(c *computed) {
		c.ready = func(context.Context) error {
			time.Sleep(20 * time.Millisecond)
			v.complete()
			return nil
		}
	})
	s.mount()
	if got := s.c.do("storm", s.path(viewPath), 1, viewSize, 500, 16); got[:2] != "ok" {
		t.Errorf("storm: %s", got)
	}
	if v.reads.Load() != 0 || s.opens(direct) != 0 {
		t.Errorf("the daemon was asked %d times; %d direct opens", v.reads.Load(), s.opens(direct))
	}
}

func TestFirstOpenWaits(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.options.Wait = true
	s.mount()
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	if v.reads.Load() != 0 {
		t.Error("the daemon was asked")
	}
}

// Everything works without passthrough, from the page cache.
func TestWithoutPassthrough(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.stored(version+"/source/model.safetensors", 2, viewSize)
	s.options.Passthrough = "off"
	s.mount()
	if p := s.Passthrough(); p.Cache || p.Store || p.Reason == "" {
		t.Errorf("%+v", p)
	}
	path := s.path(viewPath)
	s.c.want("ok", "open", "old", path)
	s.c.want("ok", "map", "oldmap", "old", viewSize)
	s.c.want("ok "+sum(patternOf(1, mib, mib)), "touch", "oldmap", mib, mib)
	v.complete()
	for range 3 {
		s.c.want(piece(1, 0, viewSize), "read-all", path)
	}
	s.c.want("ok "+sum(patternOf(1, 2*mib, mib)), "touch", "oldmap", 2*mib, mib)
	if s.opens(cached) != 3 || s.opens(direct) != 1 || s.opens(passthrough) != 0 {
		t.Errorf("%v", s.Stats().Opens)
	}
	reads := v.reads.Load()
	s.c.want(piece(1, 0, viewSize), "read-all", path)
	if n := v.reads.Load() - reads; n != 0 {
		t.Errorf("a file in the page cache was read from the daemon %d times", n)
	}
	s.c.want("ok", "close", "old")
	source := s.path(version + "/source/model.safetensors")
	s.c.want(piece(2, 0, viewSize), "read-all", source)
	s.c.want("ok", "open", "s", source)
	s.c.want("ok", "map", "smap", "s", viewSize)
	s.c.want("ok "+sum(patternOf(2, mib, mib)), "touch", "smap", mib, mib)
	results := []<-chan string{
		s.c.start("storm", path, 1, viewSize, 1000, 3),
		s.c.start("storm", source, 2, viewSize, 1000, 3),
	}
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		v.evict()
		time.Sleep(20 * time.Millisecond)
		v.complete()
	}
	for _, r := range results {
		if got := outcome(r, patienceOfTests); got[:2] != "ok" {
			t.Errorf("storm: %s", got)
		}
	}
}

// A kernel that does not map files in direct mode has them in the page cache from the start.
func TestWithoutMappingOfDirect(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.options.Passthrough = "off"
	s.mount()
	s.vol.maps = false
	s.c.want("ok", "open", "h", s.path(viewPath))
	s.c.want("ok", "map", "m", "h", viewSize)
	s.c.want("ok "+sum(patternOf(1, mib, mib)), "touch", "m", mib, mib)
	v.complete()
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	if s.opens(cached) != 2 || s.Stats().Retired != 0 {
		t.Errorf("%+v", s.Stats())
	}
}

// A device whose files the kernel refuses is served without passthrough, and the others go on with it.
func TestRefusedDevice(t *testing.T) {
	needPassthrough(t)
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	v.complete()
	s.stored(version+"/source/a", 2, 9000)
	folder := s.dir + "/stacked"
	for _, name := range []string{"", "/lower", "/upper", "/work", "/all"} {
		if err := os.Mkdir(folder+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", folder)
	if err := unix.Mount("overlay", folder+"/all", "overlay", 0, options); err != nil {
		t.Skipf("no overlayfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(folder+"/all", unix.MNT_DETACH) })
	if err := ProbePassthrough(folder + "/all"); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("the probe of an overlay: %v", err)
	} else {
		t.Log(err)
	}
	stacked := write(t, folder+"/all/b", 3, 9000)
	s.forest.file(version+"/source/b", &tree.File{Source: stacked, Exact: true}, 9000)
	s.mount()
	if p := s.Passthrough(); !p.Cache || !p.Store {
		t.Fatalf("%+v", p)
	}
	s.c.want(piece(3, 0, 9000), "read-all", s.path(version+"/source/b"))
	s.c.want(piece(2, 0, 9000), "read-all", s.path(version+"/source/a"))
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	if s.opens(cached) != 1 || s.opens(passthrough) != 2 {
		t.Errorf("%v", s.Stats().Opens)
	}
	if p := s.Passthrough(); !p.Cache || !p.Store || p.Reason != "" {
		t.Errorf("%+v, for a device beside the store's", p)
	}
	if p := offer(Options{CacheDir: s.keeper.dir, StoreDir: folder + "/all"}); !p.Cache || p.Store || p.Reason == "" {
		t.Errorf("a store on an overlay: %+v", p)
	}
	if p := offer(Options{CacheDir: folder + "/all", StoreDir: s.options.StoreDir}); p.Cache || !p.Store || p.Reason == "" {
		t.Errorf("a cache on an overlay: %+v", p)
	}
}

func TestProbe(t *testing.T) {
	needPassthrough(t)
	dir := t.TempDir()
	if err := ProbePassthrough(dir + "/none"); fault.KindOf(err) != fault.Absent {
		t.Errorf("a folder that is not there: %v", err)
	}
	before := openFiles(t)
	for range 20 {
		if err := ProbePassthrough(dir); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the probes give their descriptors back", func() bool { return openFiles(t) <= before })
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("the probe leaves %v", entries)
	}
	if all := fuses(); len(all) != 0 {
		t.Errorf("the probe is in the mount table: %v", all)
	}
}

// Opens of stored files, views and documents leave nothing behind.
func TestNothingLeaks(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	v.complete()
	s.view(version+"/tensors/a", 2, 100_000)
	s.stored(version+"/source/model.safetensors", 3, viewSize)
	s.forest.file(version+"/README.md", &tree.File{Document: func(context.Context) ([]byte, error) { return make([]byte, 5000), nil }, Exact: true}, 5000)
	s.mount()
	churn := func(n int) int {
		for _, path := range []string{viewPath, version + "/tensors/a", version + "/source/model.safetensors", version + "/README.md"} {
			s.c.want("ok", "churn", s.path(path), n)
		}
		eventually(t, "all is released", func() bool { return s.Stats().Handles == 0 })
		return openFiles(t)
	}
	before := churn(50)
	if after := churn(500); after > before+4 {
		t.Errorf("%d descriptors, and after 2,000 opens %d", before, after)
	}
}

func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
