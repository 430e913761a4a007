//go:build linux

package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDaemonKilledWhileFilling: kill -9 in the middle of a fill. Readers get right bytes or an errno; a plain mount over
// the dead one works, and no remainder of the fill is ever served as the file.
func TestDaemonKilledWhileFilling(t *testing.T) {
	needMount(t)
	s := gallery(t)
	interrupted := 0
	for _, delay := range []time.Duration{30 * time.Millisecond, 120 * time.Millisecond, 400 * time.Millisecond} {
		m := mounted(t, s.store)
		var readers []*reader
		for _, how := range []string{"read", "map", "random"} {
			readers = append(readers, m.read(view(0), s.want[view(0)], how, "pause=4000"))
		}
		time.Sleep(delay)
		m.kill()
		for _, r := range readers {
			if !right(r.wants(t, rightOrErrno, moment)) {
				interrupted++
			}
		}
		m.mount()
		if state := m.xattr(view(0), "state"); state == "ready" {
			t.Logf("the fill was over %v after the start", delay)
		}
		for _, how := range []string{"random", "read", "private"} {
			m.read(view(0), s.want[view(0)], how).wants(t, right, moment)
		}
		m.close()
	}
	if interrupted == 0 {
		t.Error("no reader was interrupted: nothing was tried")
	}
}

// TestReadyFilesOutliveTheDaemon: handles and mappings of finished and of stored files go on after kill -9 and after a
// new mount over the dead one, and what was sealed is ready at once.
func TestReadyFilesOutliveTheDaemon(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	cache, store := m.passthrough()
	if why := noPassthrough(t); why != "" {
		t.Logf("passthrough is not to be had here: %s", why)
	} else if !cache || !store {
		t.Errorf("passthrough is to be had here, and status says %s", *m.status().Passthrough.Reason)
	}
	finished, kept := rightOrErrno, rightOrErrno
	if cache {
		finished = right
	}
	if store {
		kept = right
	}
	open := func(path string, how ...string) *reader {
		r := m.read(path, s.want[path], how[0], how[1:]...)
		if !r.held(moment) {
			t.Fatalf("%s does not get so far: %s", r.what, r.verdict(time.Second))
		}
		return r
	}
	early := []*reader{open(view(1), "read", "hold"), open(view(1), "map", "hold", "half")}
	late := []*reader{open(view(1), "read", "hold", "half"), open(view(1), "map", "hold"), open(view(1), "random", "hold", "half"), open(view(1), "private", "hold", "half")}
	stored := open(source(2), "read", "hold", "half")
	mapped := open(source(2), "map", "hold", "half")
	m.kill()
	for _, r := range early {
		r.proceed().wants(t, finished, moment)
	}
	m.mount()
	for _, r := range late {
		r.proceed().wants(t, finished, moment)
	}
	stored.proceed().wants(t, kept, moment)
	mapped.proceed().wants(t, kept, moment)
	if state := m.xattr(view(1), "state"); state != "ready" {
		t.Errorf("what was sealed is %s after kill -9", state)
	}
	m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
}

// noPassthrough says why the kernel could not read finished files by itself in the workshop, or nothing.
func noPassthrough(t *testing.T) string {
	t.Helper()
	var name unix.Utsname
	var disk unix.Statfs_t
	if err := errors.Join(unix.Uname(&name), unix.Statfs(workshop, &disk)); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	switch {
	case os.Geteuid() != 0:
		return "that takes root"
	case major < 6 || major == 6 && minor < 9:
		return "the kernel is older than 6.9"
	case disk.Type == unix.OVERLAYFS_SUPER_MAGIC:
		return "the workshop is on an overlay; ISOMERFS_TEST_SCRATCH may name a folder that is not"
	}
	return ""
}

// TestTerminated: SIGTERM and SIGINT unmount, with nobody there and under a reader, and leave no partial file.
func TestTerminated(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		syscall.Kill(m.pid, signal)
		if !gone(m.pid, 15*time.Second) || isMounted(m.point, "self") {
			t.Fatalf("%v: the daemon lives (%v), or its mount does (%v)", signal, running(m.pid), isMounted(m.point, "self"))
		}
		m.mount()
		if state := m.xattr(view(1), "state"); state != "ready" {
			t.Errorf("what was sealed is %s after %v", state, signal)
		}
	}
	r := m.read(view(0), s.want[view(0)], "read", "pause=8000")
	time.Sleep(150 * time.Millisecond)
	syscall.Kill(m.pid, syscall.SIGTERM)
	r.wants(t, rightOrErrno, moment)
	if !gone(m.pid, 20*time.Second) || isMounted(m.point, "self") {
		t.Fatal("SIGTERM under a reader: the daemon lives, or its mount does")
	}
	sealed := int64(0)
	for _, name := range tree(t, m.cache) {
		if info, err := os.Stat(m.cache + "/" + name); err == nil {
			sealed += info.Size()
		}
	}
	if whole := s.sizes(t)[view(1)]; sealed > whole+s.sizes(t)[view(0)]+1<<20 || sealed < whole {
		t.Errorf("the cache holds %d bytes; the sealed file has %d", sealed, whole)
	}
	m.mount()
	m.read(view(0), s.want[view(0)], "read").wants(t, right, moment)
}

// TestBusyMount: umount of a busy mount is refused by name; a lazy one works, what is open reads on, and the daemon goes
// with the last close.
func TestBusyMount(t *testing.T) {
	needMount(t, "root")
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	r := m.read(view(1), s.want[view(1)], "read", "hold", "half")
	filling := m.read(view(2), s.want[view(2)], "read", "hold", "half")
	if !r.held(moment) || !filling.held(moment) {
		t.Fatal("no reader gets so far")
	}
	if d := m.umount(); d.code != 1 || !strings.Contains(d.err, m.point) || !isMounted(m.point, "self") {
		t.Errorf("umount of a busy mount: %v; still mounted: %v", d, isMounted(m.point, "self"))
	}
	if d := command(moment, "umount", "-l", m.point); !d.ok() || isMounted(m.point, "self") {
		t.Fatal(d)
	}
	r.proceed().wants(t, right, moment)
	if !running(m.pid) {
		t.Error("the daemon goes while a file is open")
	}
	filling.proceed().wants(t, right, moment)
	if !gone(m.pid, 15*time.Second) {
		t.Error("the daemon does not go with the last close")
	}
}

// TestNothingLeaks: descriptors and threads of the daemon stay flat over 2,000 opens of a ready, a virtual and a stored
// file.
func TestNothingLeaks(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	churn := func(count int) {
		for _, path := range []string{view(1), view(2), source(3)} {
			if bad := ask[string](t, time.Minute, "churn", many{Path: m.at(path), Count: count}); bad != "" {
				t.Fatalf("%s: %s", path, bad)
			}
		}
		time.Sleep(time.Second) // the kernel releases handles in its own time
	}
	held := func() (descriptors int, threads int64) {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), memory(t, m.pid, "Threads")
	}
	churn(150)
	fds, threads := held()
	churn(700)
	if moreFDs, moreThreads := held(); moreFDs > fds+16 || moreThreads > threads+16 {
		t.Errorf("%d descriptors and %d threads become %d and %d", fds, threads, moreFDs, moreThreads)
	}
}

// TestForeground: in the foreground the daemon is the command itself, and ends with its mount.
func TestForeground(t *testing.T) {
	needMount(t)
	s := common(t)
	m := newMount(t, s.store)
	ended := make(chan done, 1)
	go func() {
		ended <- finish(program(binaryPath(), "mount", s.store, m.point, "--foreground", "-o", "cache_dir="+m.cache), 2*time.Minute)
	}()
	if bad := within(moment, func() string {
		if !isMounted(m.point, "self") {
			return "not mounted"
		}
		return ""
	}); bad != "" {
		t.Fatal(bad)
	}
	m.read(smallView, s.want[smallView], "read").wants(t, right, moment)
	if d := m.umount(); !d.ok() {
		t.Fatal(d)
	}
	select {
	case d := <-ended:
		if !d.ok() {
			t.Error(d)
		}
	case <-time.After(moment):
		t.Error("the command does not end with its mount")
	}
}
