//go:build linux

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRollBack: an alias moves under a mount, and back; what it cannot lead to is refused and changes nothing.
func TestRollBack(t *testing.T) {
	need(t, "binary", "fuse")
	s := common(t)
	store := folder(t, "rollback")
	for _, v := range []string{"v1", "v2"} {
		text, err := os.ReadFile(filepath.Join(s.store, "small", v, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(store, "m", v, "model.safetensors"), text)
	}
	settled := time.Now().Add(-time.Minute)
	for _, v := range []string{"v1", "v2"} {
		os.Chtimes(filepath.Join(store, "m", v, "model.safetensors"), settled, settled)
	}
	m := mounted(t, store)
	leads := func(to string) {
		t.Helper()
		var now string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if now, _ = os.Readlink(m.at("m/champion")); now == to {
				return
			}
		}
		t.Fatalf("champion leads to %q in the mount, want %q", now, to)
	}
	model := filepath.Join(store, "m")
	for _, step := range []struct {
		words []string
		to    string
	}{{[]string{model, "champion", "1"}, "v1"}, {[]string{m.at("m"), "champion", "latest"}, "v2"}, {[]string{model, "champion", "--undo"}, "v1"}, {[]string{model, "champion", "--undo"}, ""}} {
		if d := isomerfs(append([]string{"alias"}, step.words...)...); !d.ok() {
			t.Fatal(d)
		}
		leads(step.to)
	}
	if d := isomerfs("alias", model, "champion", "v9"); d.code != 1 || !strings.Contains(d.err, "v9") {
		t.Errorf("a version that is not there: %v", d)
	}
	leads("")
	if d := isomerfs("diff", filepath.Join(model, "v1"), filepath.Join(model, "v2"), "--exit-code", "-q"); d.code != 1 {
		t.Errorf("two versions that differ: %v", d)
	}
	if d := isomerfs("diff", filepath.Join(model, "v1"), m.at("m/v1"), "--exit-code"); d.code != 0 {
		t.Errorf("a version and itself: %v", d)
	}
}

// TestRealPath: the file that `path` prints has the view's bytes and outlives a cache that is full; `run` becomes a
// program once its views are there, and holds them.
func TestRealPath(t *testing.T) {
	need(t, "binary", "fuse", "root")
	s := common(t)
	m := mounted(t, s.store)
	d := isomerfs("path", m.at(bigView))
	real := strings.TrimSpace(d.out)
	if !d.ok() || !strings.HasPrefix(real, m.cache+"/") {
		t.Fatal(d)
	}
	got, err := os.ReadFile(real)
	want, err2 := os.ReadFile(s.want[bigView])
	if err != nil || err2 != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s has other bytes than the view (%v, %v)", real, err, err2)
	}
	if d := isomerfs("path", "-q", m.at(bigSource)); strings.TrimSpace(d.out) != s.want[bigSource] {
		t.Errorf("a stored file: %v", d)
	}
	if d := isomerfs("path", m.at("small/v2/README.md")); d.code != 1 {
		t.Errorf("a document has a path: %v", d)
	}
	if d := isomerfs("cache", "prune", "--cache-dir", m.cache); !d.ok() {
		t.Fatal(d)
	}
	if _, err := os.Stat(real); err != nil {
		t.Errorf("a pinned file was pruned: %v", err)
	}
	d = isomerfs("run", "--", "sh", "-c", `ls -l /proc/self/fd; cat "$0" | cksum; exit 7`, m.at(smallView))
	if d.code != 7 || !strings.Contains(d.out, m.at(smallView)) {
		t.Errorf("run: %v", d)
	}
	if d := isomerfs("run", "--", "no-such-program", m.at(smallView)); d.code != 1 || !strings.Contains(d.err, "no-such-program") {
		t.Errorf("run of no program: %v", d)
	}
	if d := isomerfs("run", "--", "cat", m.at("small/v9/onnx/fp16/model.onnx")); d.code != 1 {
		t.Errorf("run with a view that is not there: %v", d)
	}
}
