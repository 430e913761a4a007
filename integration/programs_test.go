//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copying are programs that carry a whole mount somewhere else. FROM and TO are folders.
var copying = []struct {
	name, script string
	times        bool // modification times come with the files
}{
	{"cp -r", `cp -r "$FROM/." "$TO"`, false},
	{"cp -a", `cp -a "$FROM/." "$TO"`, true},
	{"tar", `tar -C "$FROM" -cf - . | tar -C "$TO" -xf -`, true},
	{"tar -S", `tar -C "$FROM" -cSf - . | tar -C "$TO" -xf -`, true},
	{"rsync -a", `rsync -a "$FROM/" "$TO"`, true},
}

// TestCopies: whoever copies a whole mount first of all gets every byte of every view, though nothing was converted
// before.
func TestCopies(t *testing.T) {
	needMount(t, "rsync")
	s := common(t)
	for _, c := range copying {
		t.Run(c.name, func(t *testing.T) {
			m := mounted(t, s.store)
			to := folder(t, "copy")
			shell(t, c.script, 2*time.Minute, "FROM="+m.point, "TO="+to)
			isCopy(t, s, to)
			if c.times {
				sameTimes(t, m, to, s.paths())
			}
			if c.name == "cp -a" {
				noAttributes(t, to)
			}
			if c.name == "rsync -a" {
				if again := shell(t, `rsync -ai "$FROM/" "$TO"`, time.Minute, "FROM="+m.point, "TO="+to); again != "" {
					t.Errorf("rsync -a again has something to do:\n%s", again)
				}
				if again := shell(t, `rsync -rlcni --exclude SHA256SUMS "$FROM/" "$TO"`, 2*time.Minute, "FROM="+m.point, "TO="+to); strings.Contains(again, "c") {
					t.Errorf("rsync -c finds other bytes:\n%s", again)
				}
			}
		})
	}
}

// TestDiff: diff -r as the first reader finds no difference to a copy from another mount.
func TestDiff(t *testing.T) {
	needMount(t)
	s := common(t)
	before := mounted(t, s.store)
	to := folder(t, "copy")
	shell(t, `cp -a "$FROM/." "$TO"`, 2*time.Minute, "FROM="+before.point, "TO="+to)
	before.close()
	m := mounted(t, s.store)
	// The digests known so far are another list in each.
	shell(t, `diff -r --no-dereference -x SHA256SUMS "$FROM" "$TO"`, 2*time.Minute, "FROM="+m.point, "TO="+to)
}

// TestSingleFiles: programs that read one file, each as the first reader of the mount.
func TestSingleFiles(t *testing.T) {
	needMount(t)
	s := common(t)
	files := []string{bigView, smallView, "org/sharded/v1/safetensors/bf16/model-00002-of-00002.safetensors", "array/v1/npy/array.npy", "big/v1/tensors/layers.3.weight"}
	for _, c := range []struct{ name, script string }{
		{"cat", `cat "$FROM" > "$TO"`},
		{"cp", `cp "$FROM" "$TO"`},
		{"cp --sparse=always", `cp --sparse=always "$FROM" "$TO"`},
		{"cp --reflink=auto", `cp --reflink=auto "$FROM" "$TO"`},
		{"install", `install -m 600 "$FROM" "$TO"`},
		{"dd", `dd if="$FROM" of="$TO" bs=1M status=none`},
		{"dd of odd blocks", `dd if="$FROM" of="$TO" bs=12345 status=none`},
		{"dd iflag=direct", `dd if="$FROM" of="$TO" bs=1M iflag=direct status=none`},
		{"dd backwards", `size=$(stat -c %s "$FROM"); n=$(( (size + 4194303) / 4194304 )); truncate -s "$size" "$TO"
			while [ $n -gt 0 ]; do n=$((n - 1)); dd if="$FROM" of="$TO" bs=4M skip=$n seek=$n count=1 conv=notrunc status=none; done`},
		{"head and tail", `size=$(stat -c %s "$FROM"); half=$((size / 2)); { head -c $half "$FROM"; tail -c +$((half + 1)) "$FROM"; } > "$TO"`},
		{"gzip", `gzip -1 < "$FROM" | gzip -d > "$TO"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mounted(t, s.store)
			for _, file := range files {
				to := filepath.Join(folder(t, "copy"), "file")
				shell(t, c.script, time.Minute, "FROM="+m.at(file), "TO="+to)
				if same, err := sameFile(to, s.want[file]); !same {
					t.Errorf("%s: other bytes than the cast of the source (%v)", file, err)
				}
			}
		})
	}
}

// TestSums: SHA256SUMS names each file that is not known yet, and sha256sum accepts those that are.
func TestSums(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	for _, version := range []string{"big/v1", "small/v2", "org/sharded/v1", "array/v1"} {
		text := string(ask[[]got](t, moment, "content", []piece{{Path: m.at(version + "/SHA256SUMS")}})[0].Data)
		var paths []string
		for _, path := range s.paths() {
			if rest, ok := strings.CutPrefix(path, version+"/"); ok {
				paths = append(paths, rest)
			}
		}
		for _, path := range paths {
			if !strings.Contains(text, path) {
				t.Errorf("%s/SHA256SUMS does not mention %s", version, path)
			}
		}
		shell(t, `find "$FROM" -type f -exec cat {} + > /dev/null`, time.Minute, "FROM="+m.at(version))
	}
	// Digests follow in the background.
	m.untilReady(bigView)
	version := m.at("big/v1")
	if bad := within(moment, func() string {
		text := string(ask[[]got](t, moment, "content", []piece{{Path: version + "/SHA256SUMS"}})[0].Data)
		if !strings.Contains(text, "  safetensors/fp16/model.safetensors") || strings.Contains(text, "# not computed yet: safetensors/fp16/") {
			return "the digest of a ready file is not in SHA256SUMS:\n" + text
		}
		return ""
	}); bad != "" {
		t.Fatal(bad)
	}
	out := shell(t, `cd "$FROM" && sha256sum --strict -c SHA256SUMS`, time.Minute, "FROM="+version)
	if !strings.Contains(out, "safetensors/fp16/model.safetensors: OK") {
		t.Errorf("sha256sum -c does not check the view:\n%s", out)
	}
}

// TestSizes: find, du and ls know the exact sizes of what was never converted.
func TestSizes(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	sizes := s.sizes(t)
	seen := map[string]int64{}
	for line := range strings.Lines(shell(t, `cd "$FROM" && find . -type f -printf '%s %p\0' | tr '\0\n' '\n?'`, moment, "FROM="+m.point)) {
		size, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		seen[strings.TrimPrefix(path, "./")], _ = strconv.ParseInt(size, 10, 64)
	}
	total := int64(0)
	for path, size := range seen {
		total += size
		if _, known := sizes[path]; !known && !document(path) && ours(path) {
			t.Errorf("%s is listed, and nobody knows why", path)
		}
	}
	for path, size := range sizes {
		if got, listed := seen[path]; !listed || got != size {
			t.Errorf("find says that %s has %d bytes (listed: %v), it has %d", path, got, listed, size)
		}
	}
	large := strings.Fields(shell(t, `cd "$FROM" && find . -type f -size +20000k`, moment, "FROM="+m.point))
	want := []string{"./" + bigSource, "./big/v1/safetensors/bf16/model.safetensors", "./" + bigView, "./big/v1/safetensors/fp32/model.safetensors"}
	large = slices.DeleteFunc(large, func(p string) bool { return !ours(strings.TrimPrefix(p, "./")) })
	slices.Sort(large)
	slices.Sort(want)
	if !slices.Equal(large, want) {
		t.Errorf("find -size +20000k finds %v, want %v", large, want)
	}
	// du counts folders too.
	var folders int64
	for line := range strings.Lines(shell(t, `find "$FROM" -not -type f -printf '%s\n'`, moment, "FROM="+m.point)) {
		n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		folders += n
	}
	var du int64
	fmt.Sscan(shell(t, `du -sb "$FROM"`, moment, "FROM="+m.point), &du)
	if du != total && du != total+folders {
		t.Errorf("du -sb says %d bytes; the files have %d, folders and links %d", du, total, folders)
	}
	var blocks int64
	fmt.Sscan(shell(t, `du -s --block-size=1 "$FROM/big"`, moment, "FROM="+m.point), &blocks)
	if least := sizes[bigView] * 2; blocks < least {
		t.Errorf("du says that big takes %d bytes: less than %d, so tar -S would take files for holes", blocks, least)
	}
	listing := shell(t, `ls -lR "$FROM"`, moment, "FROM="+m.point)
	for _, path := range []string{bigView, smallView, "org/sharded/v1/tensors/layers.4.weight"} {
		if !strings.Contains(listing, fmt.Sprintf(" %d ", sizes[path])) {
			t.Errorf("ls -lR does not show the %d bytes of %s", sizes[path], path)
		}
	}
	atRest(t, m, s)
}

// isCopy fails the test unless a folder holds what the mount of a scene must hold, and documents.
func isCopy(t *testing.T, s *scene, copied string) {
	t.Helper()
	for _, path := range s.paths() {
		if bad := s.has(copied, path); bad != "" {
			t.Error(bad)
		}
	}
	for path, target := range s.links {
		if got, err := os.Readlink(filepath.Join(copied, path)); got != target {
			t.Errorf("%s leads to %q, want %q (%v)", path, got, target, err)
		}
	}
	for _, path := range tree(t, copied) {
		_, known := s.want[path]
		_, link := s.links[path]
		info, err := os.Lstat(filepath.Join(copied, path))
		switch {
		case err != nil:
			t.Error(err)
		case known || link:
		case document(path) && path != ".nomedia" && info.Size() == 0:
			t.Errorf("the copied %s is empty", path)
		case !document(path) && ours(path):
			t.Errorf("%s was copied, and nobody knows why", path)
		}
	}
}

// ours reports whether the tests know what a path must hold. Of the formats that they do not know they demand nothing
// here.
func ours(path string) bool {
	for i, part := range strings.Split(path, "/") {
		switch {
		case slices.Contains([]string{"source", "safetensors", "tensors", "npy"}, part):
			return true
		case i == 0 && strings.HasPrefix(part, "@"), slices.Contains([]string{"onnx", "gguf", "pytorch", "hf", "npz", "openvino", "tflite", "coreml", "savedmodel", "keras", "h5", "tensorrt"}, part):
			return false
		}
	}
	return true
}

// sameTimes fails the test unless copies have the times of the mount's files.
func sameTimes(t *testing.T, m *mount, copied string, paths []string) {
	t.Helper()
	seen := ask[map[string]looks](t, moment, "survey", m.point)
	for _, path := range paths {
		info, err := os.Stat(filepath.Join(copied, path))
		if err != nil {
			continue // said already
		}
		// tar keeps whole seconds.
		if got, want := info.ModTime().Unix(), seen[path].Mtime/1e9; got != want {
			t.Errorf("the copied %s is of %d, in the mount of %d", path, got, want)
		}
	}
}

// noAttributes fails the test where a copy carries the state of the mount with it.
func noAttributes(t *testing.T, copied string) {
	t.Helper()
	err := filepath.WalkDir(copied, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		buffer := make([]byte, 4096)
		n, err := unix.Llistxattr(path, buffer)
		if err == nil && bytes.Contains(buffer[:n], []byte("isomerfs")) {
			t.Errorf("%s carries %q", path, buffer[:n])
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// shell runs a script that has to succeed and has nothing to complain about, and gives what it prints.
func shell(t *testing.T, script string, limit time.Duration, variables ...string) string {
	t.Helper()
	cmd := program("bash", "-euc", "set -o pipefail\n"+script)
	cmd.Env = append(cmd.Env, variables...)
	d := finish(cmd, limit)
	if !d.ok() || d.err != "" {
		d.what = script
		t.Fatal(d)
	}
	return d.out
}
