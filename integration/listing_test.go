//go:build linux

package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// resting are the states of what nobody has read.
var resting = []string{"source", "memory", "virtual"}

// atRest fails the test where anything of a scene was converted or is being converted.
func atRest(t *testing.T, m *mount, s *scene) {
	t.Helper()
	for path, state := range ask[map[string]string](t, moment, "attributes", below{m.point, s.paths(), "user.isomerfs.state"}) {
		if !slices.Contains(resting, state) {
			t.Errorf("%s is %s, and nobody has read it", path, state)
		}
	}
	if fills := m.status().Fills; fills == nil || len(*fills) != 0 {
		t.Errorf("status shows fills: %v", fills)
	}
}

// TestListingConvertsNothing: crawlers cost lookups alone.
func TestListingConvertsNothing(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	for _, script := range []string{`ls -lR`, `find . -ls`, `find . -size +1k -newermt 2001-01-01`, `du -s`, `du -s --apparent-size`, `rsync -rni ./ /nonexistent/`, `getfattr -dR .`, `stat -L */*/*/*/*`} {
		if name, _, _ := strings.Cut(script, " "); missing(name) == "" {
			shell(t, `cd "$FROM" && `+script+` > /dev/null`, time.Minute, "FROM="+m.point)
		}
	}
	atRest(t, m, s)
	if used := m.status().Cache; used == nil || used.Files != 0 {
		t.Errorf("the cache holds %+v after a listing", used)
	}
	states := ask[map[string]string](t, moment, "attributes", below{m.point, s.paths(), "user.isomerfs.state"})
	sizes := s.sizes(t)
	for path, state := range states {
		if want := s.stateAtRest(path, sizes); state != want && path != "array/v1/npy/array.npy" { // which may be the stored file itself
			t.Errorf("%s is %q at rest, want %q", path, state, want)
		}
	}
}

// stateAtRest is the state of a file that nobody has read: a stored file, small enough for memory, or virtual.
func (s *scene) stateAtRest(path string, sizes map[string]int64) string {
	switch {
	case strings.HasPrefix(s.want[path], s.store+"/"):
		return "source"
	case sizes[path] > 1<<20:
		return "virtual"
	}
	return "memory"
}

// TestAttributes: what stat says is whole, agrees with readdir, and does not change by reading or by mounting again.
func TestAttributes(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	before := ask[map[string]looks](t, moment, "survey", m.point)
	inodes := map[uint64]string{}
	for path, l := range before {
		if l.ReaddirDisagrees != "" {
			t.Errorf("%s: %s", path, l.ReaddirDisagrees)
		}
		if other, taken := inodes[l.Ino]; taken {
			t.Errorf("%s and %s have one inode, %d", path, other, l.Ino)
		}
		inodes[l.Ino] = path
		switch {
		case l.IsFile && l.Mode&0o7777 != 0o444:
			t.Errorf("%s has mode %o", path, l.Mode)
		case l.IsDir && l.Mode&0o7777 != 0o555:
			t.Errorf("%s has mode %o", path, l.Mode)
		case l.IsFile && l.Nlink != 1:
			t.Errorf("%s has %d links", path, l.Nlink)
		case l.IsFile && l.Size > 0 && l.Blocks == 0:
			t.Errorf("%s has %d bytes in no block", path, l.Size)
		case l.IsFile && l.Size == 0 && document(path) && path != ".nomedia":
			t.Errorf("%s is empty", path)
		case l.IsFile && !document(path) && l.Mtime/1e9 != settled.Unix():
			t.Errorf("%s is of %d, its source of %d", path, l.Mtime/1e9, settled.Unix())
		case l.IsFile && !strings.Contains(path, "/source/") && l.Mtime != l.Ctime:
			t.Errorf("%s has an mtime of %d and a ctime of %d", path, l.Mtime, l.Ctime)
		}
	}
	for _, version := range []string{"big/v1", "org/sharded/v1", "array/v1"} {
		for _, document := range []string{"README.md", "metadata.json", "provenance.json", "SHA256SUMS", "summary.txt"} {
			if l, listed := before[version+"/"+document]; !listed || l.Size == 0 {
				t.Errorf("%s/%s is not there, or empty", version, document)
			}
		}
	}

	var files []string
	for path, l := range before {
		if l.IsFile {
			files = append(files, path)
		}
	}
	read := ask[map[string]sum](t, 2*time.Minute, "sums", below{Root: m.point, Paths: files})
	for path, r := range read {
		if r.Errno != "" || r.Size != before[path].Size || r.Read != before[path].Size {
			t.Errorf("%s: stat says %d bytes, fstat %d, %d were read %s", path, before[path].Size, r.Size, r.Read, r.Errno)
		}
	}
	m.untilReady(bigView)
	unchanged(t, "reading", before, ask[map[string]looks](t, moment, "survey", m.point))
	m.close()

	again := mounted(t, s.store)
	unchanged(t, "mounting again", before, ask[map[string]looks](t, moment, "survey", again.point))
}

// unchanged fails the test where attributes differ. The documents of a mount have its own times.
func unchanged(t *testing.T, by string, before, after map[string]looks) {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)); !slices.Equal(a, b) {
		t.Errorf("%s changes what is listed: %v and %v", by, a, b)
	}
	for path, a := range before {
		b := after[path]
		if document(path) || a.IsDir || a.Lnk {
			a.Mtime, a.Ctime, b.Mtime, b.Ctime = 0, 0, 0, 0
		}
		if a != b {
			t.Errorf("%s changes the attributes of %s: %+v and %+v", by, path, a, b)
		}
	}
}

// TestNothingCanBeWritten: whoever tries to change anything is told that the file system is read-only.
func TestNothingCanBeWritten(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	for what, said := range ask[map[string]string](t, moment, "writes", below{Root: m.at("small/v2"), Paths: []string{"safetensors/fp16/model.safetensors"}}) {
		if said != "EROFS" {
			t.Errorf("%s: %s, want EROFS", what, said)
		}
	}
	for _, l := range mountTable("self") {
		if l.point == m.point {
			for _, option := range []string{"ro", "nosuid", "nodev"} {
				if !slices.Contains(l.options, option) {
					t.Errorf("mounted without %s: %v", option, l.options)
				}
			}
			if l.kind != "fuse.isomerfs" || l.source != s.store {
				t.Errorf("mounted as %s of %s", l.kind, l.source)
			}
		}
	}
}

// TestRoot: the root and what is reachable there.
func TestRoot(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	listed := slices.DeleteFunc(ask[names](t, moment, "list", m.point).Names, func(name string) bool { return strings.HasPrefix(name, "@") })
	if want := []string{".nomedia", "CACHEDIR.TAG", "README.md", "array", "big", "odd", "org", "small"}; !slices.Equal(listed, want) {
		t.Errorf("the root lists %v, want %v", listed, want)
	}
	for folder, want := range map[string][]string{
		"org": {"sharded"}, "org/sharded": {"latest", "v1"}, "small": {"champion", "latest", "v1", "v2"}, "array": {"latest", "v1"},
	} {
		if got := ask[names](t, moment, "list", m.at(folder)).Names; !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", folder, got, want)
		}
	}
	if tag := ask[[]got](t, moment, "content", []piece{{Path: m.at("CACHEDIR.TAG")}})[0]; !strings.HasPrefix(string(tag.Data), "Signature: 8a477f597d28d172789f06886806bc55") {
		t.Errorf("CACHEDIR.TAG: %q", tag.Data)
	}
	for _, name := range []string{"status.json", "metrics", "log", "version"} {
		if live := ask[[]got](t, 10*time.Second, "content", []piece{{Path: m.at(".isomerfs/" + name)}})[0]; live.Errno != "" {
			t.Errorf(".isomerfs/%s: %s", name, live.Errno)
		}
	}
	// Lookups are generous; each name has one folder.
	for alias, target := range map[string]string{"big/1": "v1", "small/2": "v2", "big/v1/safetensors/half": "fp16", "big/v1/safetensors/f16": "fp16", "big/v1/safetensors/FP32": "fp32", "small/latest": "v2", "small/champion": "v1"} {
		if got := ask[map[string]string](t, moment, "links", below{Root: m.point, Paths: []string{alias}})[alias]; got != target {
			t.Errorf("%s leads to %q, want %q", alias, got, target)
		}
	}
	if got := ask[[]got](t, moment, "content", []piece{{Path: m.at("small/2/safetensors/half/model.safetensors")}, {Path: m.at("small/v2/safetensors/fp17/model.safetensors")}, {Path: m.at("nothing")}}); got[0].Errno != "" || got[1].Errno != "ENOENT" || got[2].Errno != "ENOENT" {
		t.Errorf("lookups say %q, %q and %q", got[0].Errno, got[1].Errno, got[2].Errno)
	}
	out := shell(t, `df "$FROM" | tail -1 && stat -f -c '%b %l' "$FROM"`, moment, "FROM="+m.point)
	var total, length int64
	fmt.Sscan(strings.Split(strings.TrimSpace(out), "\n")[1], &total, &length)
	if total <= 0 || length != 255 || !strings.Contains(out, m.point) {
		t.Errorf("df and statfs say %q", out)
	}
}
