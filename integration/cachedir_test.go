//go:build linux

package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small mounts a tmpfs for a test.
func small(t *testing.T, options string) string {
	t.Helper()
	dir := folder(t, "tmpfs")
	flags := uintptr(0)
	if rest, readonly := strings.CutPrefix(options, "ro,"); readonly {
		flags, options = syscall.MS_RDONLY, rest
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullCacheDisk: where the disk of the cache has no room, a view is served uncached, right to its last byte, and is
// never called ready; the other files stay readable.
func TestFullCacheDisk(t *testing.T) {
	needMount(t, "root")
	s := gallery(t)
	dir := small(t, "size=48m")
	m := newMount(t, s.store)
	m.cache = dir
	m.mount()
	m.make(view(1), s.want[view(1)])
	for _, how := range []string{"read", "map", "random"} {
		m.read(view(0), s.want[view(0)], how).wants(t, right, 2*time.Minute)
	}
	if state := m.xattr(view(0), "state"); state == "ready" {
		t.Error("a view that is larger than the disk of the cache is called ready")
	}
	m.read(source(0), s.want[source(0)], "read").wants(t, right, moment)
	m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
	m.read(view(2), s.want[view(2)], "read").wants(t, right, moment)
	if d := isomerfs("warm", m.at(view(0))); d.code != 1 || d.err == "" || strings.Contains(d.out, "m0") {
		t.Errorf("warm of what cannot be kept: %v, stdout %q", d, d.out)
	}
	m.close()

	// Somebody else takes the room in the middle of a fill, and gives it back.
	m = newMount(t, s.store)
	m.cache = small(t, "size=64m")
	m.mount()
	r := m.read(view(3), s.want[view(3)], "read", "pause=2000")
	ballast := filepath.Join(m.cache, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	f.Close()
	r.wants(t, right, time.Minute)
	os.Remove(ballast)
	m.read(view(3), s.want[view(3)], "read").wants(t, right, moment)
}

// TestReadOnlyCacheIsRefused: a cache directory that cannot be written is refused at mount, by its name.
func TestReadOnlyCacheIsRefused(t *testing.T) {
	needMount(t, "root")
	s := common(t)
	m := newMount(t, s.store)
	m.cache = small(t, "ro,size=1m")
	d := m.try()
	if d.code != 1 || !strings.Contains(d.err, m.cache) || strings.Count(strings.TrimSpace(d.err), "\n") > 2 || isMounted(m.point, "self") {
		t.Errorf("%v; mounted: %v", d, isMounted(m.point, "self"))
	}
}

// TestRemovedCache: rm -rf of the cache directory under a ready file and under a fill. Nobody gets a wrong byte, the
// stored files stay readable, and a new mount is whole again.
func TestRemovedCache(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	ready := []*reader{m.read(view(1), s.want[view(1)], "read", "hold", "half"), m.read(view(1), s.want[view(1)], "map", "hold", "half")}
	for _, r := range ready {
		if !r.held(moment) {
			t.Fatal("no reader gets so far")
		}
	}
	filling := m.read(view(0), s.want[view(0)], "read", "pause=1000")
	time.Sleep(100 * time.Millisecond)
	if err := os.RemoveAll(m.cache); err != nil {
		t.Log(err) // a fill may have put a file there meanwhile
	}
	for _, r := range ready {
		r.proceed().wants(t, right, moment)
	}
	filling.wants(t, rightOrErrno, moment)
	for _, i := range []int{1, 2, 0} {
		m.read(view(i), s.want[view(i)], "read").wants(t, rightOrErrno, moment)
	}
	m.read(source(3), s.want[source(3)], "read").wants(t, right, moment)
	m.lists("m3/v1/safetensors/fp16")
	if d := m.umount(); !d.ok() {
		t.Fatal(d)
	}
	m.mount()
	m.make(view(1), s.want[view(1)])
}

// TestSharedCache: two daemons on one cache directory, the same and different views at once, and one of them killed.
func TestSharedCache(t *testing.T) {
	needMount(t)
	s := gallery(t)
	a := mounted(t, s.store)
	b := newMount(t, s.store)
	b.cache = a.cache
	b.mount()
	var readers []*reader
	for _, i := range []int{0, 1} {
		readers = append(readers, a.read(view(i), s.want[view(i)], "read"), b.read(view(i), s.want[view(i)], "map"), b.read(view(i), s.want[view(i)], "random"))
	}
	readers = append(readers, a.read(view(2), s.want[view(2)], "read"), b.read(view(3), s.want[view(3)], "read"))
	for _, r := range readers {
		r.wants(t, right, time.Minute)
	}
	for _, m := range []*mount{a, b} {
		m.read(view(2), s.want[view(2)], "read").wants(t, right, moment)
		m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
		m.untilReady(view(1))
	}
	a.close()
	b.close()

	a = mounted(t, s.store)
	b = newMount(t, s.store)
	b.cache = a.cache
	b.mount()
	doomed, other := a.read(view(0), s.want[view(0)], "read", "pause=3000"), b.read(view(0), s.want[view(0)], "read", "pause=1000")
	time.Sleep(150 * time.Millisecond)
	a.kill()
	doomed.wants(t, rightOrErrno, moment)
	other.wants(t, right, moment)
	a.mount()
	a.read(view(0), s.want[view(0)], "read").wants(t, right, moment)
	b.read(view(0), s.want[view(0)], "random").wants(t, right, moment)
}

// TestRottenCache: a sealed file that was damaged on the disk is found by cache verify, and one that lost its end is
// never served.
func TestRottenCache(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	m.close()
	sealed := largestBelow(t, m.cache)
	info, err := os.Stat(sealed)
	if err == nil {
		os.Chmod(sealed, 0o600)
		err = os.Truncate(sealed, info.Size()-4096)
	}
	if err == nil {
		err = os.Chtimes(sealed, info.ModTime(), info.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(binaryPath(), "cache", "verify")
	cmd.Env = append(cmd.Env, "ISOMERFS_CACHE_DIR="+m.cache)
	if d := finish(cmd, time.Minute); d.code != 1 || d.out+d.err == "" {
		t.Errorf("cache verify finds nothing wrong with a file that lost its end: %v", d)
	}
	again := newMount(t, s.store)
	again.cache = m.cache
	again.mount()
	again.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
	again.untilReady(view(1))
}

// TestEviction: a cache smaller than its views takes no more than its size and one file on the disk; bytes are right
// always, and a file in use is read to its end.
func TestEviction(t *testing.T) {
	needMount(t)
	s := gallery(t)
	const limit = 100 << 20
	m := mounted(t, s.store, "cache_size=100MiB")
	stop, most := make(chan struct{}), make(chan int64, 1)
	go func() {
		largest := int64(0)
		for {
			select {
			case <-stop:
				most <- largest
				return
			case <-time.After(20 * time.Millisecond):
				largest = max(largest, allocated(m.cache))
			}
		}
	}()
	m.make(view(1), s.want[view(1)])
	held := []*reader{m.read(view(1), s.want[view(1)], "read", "hold", "half"), m.read(view(1), s.want[view(1)], "map", "hold", "half")}
	for _, r := range held {
		if !r.held(moment) {
			t.Fatal("no reader gets so far")
		}
	}
	for range 2 {
		for i := 1; i <= 5; i++ {
			m.read(view(i), s.want[view(i)], "read").wants(t, right, moment)
		}
	}
	pair := []*reader{m.read(view(4), s.want[view(4)], "read"), m.read(view(5), s.want[view(5)], "random"), m.read(view(2), s.want[view(2)], "map")}
	for _, r := range append(pair, held[0].proceed(), held[1].proceed()) {
		r.wants(t, right, moment)
	}
	close(stop)
	if got := <-most; got > limit+36<<20+4<<20 || got < 30<<20 {
		t.Errorf("the cache had up to %d MiB on the disk; it may have 100, and one file of 36", got>>20)
	}
	// A file larger than the cache is legal.
	m.read(view(0), s.want[view(0)], "read").wants(t, right, moment)
}

// allocated is what the files below a folder take on the disk.
func allocated(dir string) (total int64) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var s syscall.Stat_t
		if err == nil && syscall.Lstat(path, &s) == nil {
			total += s.Blocks * 512
		}
		return nil
	})
	return total
}

// TestWithoutPassthrough: passthrough=off serves the same bytes, and says that it is off.
func TestWithoutPassthrough(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store, "passthrough=off")
	if p := m.status().Passthrough; p == nil || *p.Cache || *p.Store || p.Reason == nil || *p.Reason == "" {
		t.Errorf("status says %+v", p)
	}
	for i, hows := range [][]string{{"read", "map"}, {"map", "random", "read", "direct"}, {"random", "private", "read", "map"}, {"direct", "map"}} {
		for _, how := range hows {
			m.read(view(i), s.want[view(i)], how).wants(t, right, moment)
		}
	}
	m.read(source(4), s.want[source(4)], "read").wants(t, right, moment)
	m.read(source(4), s.want[source(4)], "map").wants(t, right, moment)
	m.untilReady(view(1))
	for _, how := range []string{"map", "random", "read", "private"} {
		m.read(view(1), s.want[view(1)], how).wants(t, right, moment)
	}
	if bad := ask[string](t, time.Minute, "crowd", many{m.at(view(1)), s.want[view(1)], 100}); bad != "" {
		t.Errorf("one of 100: %s", bad)
	}
	held := m.read(view(1), s.want[view(1)], "read", "hold", "half")
	if !held.held(moment) {
		t.Fatal("no reader gets so far")
	}
	m.kill()
	held.proceed().wants(t, rightOrErrno, moment)
	m.mount()
	m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
}

// TestFirstOpenWait: with first_open=wait an open returns when the file is whole, and its first mapping is native.
func TestFirstOpenWait(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store, "first_open=wait")
	r := m.read(view(1), s.want[view(1)], "map", "hold")
	if !r.held(moment) {
		t.Fatal("no reader gets so far")
	}
	if state := m.xattr(view(1), "state"); state != "ready" {
		t.Errorf("a file is %s after its first open", state)
	}
	r.proceed().wants(t, right, moment)
}
