//go:build linux

package integration

import (
	"syscall"
	"testing"
	"time"
)

// TestWaitingReaders: a store whose disk takes 2 s for each read of one model. Its readers can be killed and
// interrupted all the same, and nobody else waits with them.
func TestWaitingReaders(t *testing.T) {
	needMount(t, "root")
	s := gallery(t)
	store := s.copies(t, 1, 2, 3)
	m := mounted(t, slowStore(t, store, "m1/v1", 2*time.Second))
	// The header has been read: from here on readers wait for tensors alone.
	m.xattr(view(1), "state")
	if got := ask[map[string]sum](t, time.Minute, "sums", below{m.point, []string{"m1/v1/metadata.json"}, ""}); got["m1/v1/metadata.json"].Errno != "" {
		t.Fatal(got)
	}
	waiting := func(hows ...string) (some []*reader) {
		for _, how := range hows {
			some = append(some, m.read(view(1), s.want[view(1)], how))
		}
		return some
	}
	// One waits in a mapping; the others open the file and read while it does.
	doomed := waiting("map")
	time.Sleep(300 * time.Millisecond)
	doomed = append(doomed, waiting("read", "random", "read", "random", "read")...)
	crowd := waiting("read", "random", "read", "random", "read", "random", "read", "random", "read", "random", "read", "random")
	time.Sleep(500 * time.Millisecond)
	for signal, some := range map[syscall.Signal][]*reader{syscall.SIGKILL: doomed[:3], syscall.SIGINT: doomed[3:]} {
		for _, r := range some {
			r.stop(signal)
		}
		for _, r := range some {
			if !r.gone(2 * time.Second) {
				t.Errorf("%v: a reader that waits is not gone within 2 s: %s\n%s", signal, r.what, threads(r.cmd.Process.Pid))
			}
		}
	}
	began := time.Now()
	for _, how := range []string{"read", "map"} {
		m.read(view(2), s.want[view(2)], how).wants(t, right, moment)
	}
	shell(t, `ls -l "$FROM"`, moment, "FROM="+m.at("m3/v1/safetensors/fp16"))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("another model waits %v for the slow one", took)
	}
	for _, r := range crowd {
		r.stop(syscall.SIGKILL)
	}
	for _, r := range crowd {
		if !r.gone(2 * time.Second) {
			t.Errorf("one of many that wait is not gone within 2 s: %s\n%s", r.what, threads(r.cmd.Process.Pid))
		}
	}
	began = time.Now()
	if d := m.umount(); !d.ok() || !gone(m.pid, 15*time.Second) {
		t.Errorf("umount waits for the slow disk: %v after %v", d, time.Since(began))
	}
}

// TestInterruptedReaders: readers that are ended in the middle of a first read do not disturb the others.
func TestInterruptedReaders(t *testing.T) {
	needMount(t)
	s := gallery(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		m := mounted(t, s.store)
		var doomed, others []*reader
		for _, how := range []string{"read", "map", "random", "read"} {
			doomed = append(doomed, m.read(view(0), s.want[view(0)], how, "pause=1000"))
		}
		for _, how := range []string{"read", "private"} {
			others = append(others, m.read(view(0), s.want[view(0)], how))
		}
		time.Sleep(120 * time.Millisecond)
		for _, r := range doomed {
			r.stop(signal)
		}
		for _, r := range doomed {
			if !r.gone(2 * time.Second) {
				t.Errorf("%v: not gone within 2 s: %s\n%s", signal, r.what, threads(r.cmd.Process.Pid))
			}
		}
		for _, r := range others {
			r.wants(t, right, moment)
		}
		m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
		m.lists("m0")
		m.close()
	}
}

// TestCrowd: 200 threads open a view at one moment and read a share each, cold and ready, and meanwhile others are
// served.
func TestCrowd(t *testing.T) {
	needMount(t)
	s := gallery(t)
	m := mounted(t, s.store)
	m.make(view(1), s.want[view(1)])
	for _, when := range []string{"cold", "ready"} {
		said := make(chan string, 1)
		go func() {
			defer close(said) // ask may end the test of a goroutine that is not the test's own
			said <- ask[string](t, time.Minute, "crowd", many{m.at(view(0)), s.want[view(0)], 200})
		}()
		time.Sleep(30 * time.Millisecond)
		began := time.Now()
		m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
		m.lists("m2/v1")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: others wait %v for the crowd", when, took)
		}
		if bad, answered := <-said; bad != "" || !answered {
			t.Errorf("%s: one of 200: %s", when, bad)
		}
		m.untilReady(view(0))
	}
}
