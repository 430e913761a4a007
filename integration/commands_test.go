//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listed is a row of `isomerfs ls --json`.
type listed struct {
	Path  string
	Size  int64
	Exact bool
	State string
}

// span is a row of `isomerfs layout --json`.
type span struct {
	Off, Size int64
	Kind      string
	Source    *string
	SourceOff *int64 `json:"source_off"`
	Op        *string
}

var spanKinds = []string{"literal", "zeros", "extent", "box", "gather", "coded", "materialized", "fold"}

// TestListAgreesWithTheMount: ls names what the mount has, with its exact sizes, with a mount and without.
func TestListAgreesWithTheMount(t *testing.T) {
	needMount(t)
	s := common(t)
	sizes := s.sizes(t)
	agrees := func(where string, rows []listed) {
		t.Helper()
		seen := map[string]bool{}
		for _, row := range rows {
			size, known := sizes[row.Path]
			switch {
			case !known && ours(row.Path) && !document(row.Path):
				t.Errorf("ls of %s lists %s, and nobody knows why", where, row.Path)
			case known && (row.Size != size || !row.Exact || row.State == ""):
				t.Errorf("ls of %s: %+v, want %d bytes exactly", where, row, size)
			case seen[row.Path]:
				t.Errorf("ls of %s lists %s twice", where, row.Path)
			}
			seen[row.Path] = true
		}
		for _, path := range s.paths() {
			if !seen[path] {
				t.Errorf("ls of %s does not list %s", where, path)
			}
		}
	}
	agrees("the store", answer[[]listed](t, "ls", s.store))
	m := mounted(t, s.store)
	rows := answer[[]listed](t, "ls", m.point)
	agrees("the mount", rows)
	for _, row := range rows {
		if want := m.xattr(row.Path, "state"); len(sizes) < 200 && row.State != want && !strings.HasSuffix(row.Path, ".json") {
			t.Errorf("ls says that %s is %s, the attribute says %s", row.Path, row.State, want)
		}
		if strings.Contains(row.Path, "/tensors/") {
			break // one of each is enough: an attribute is a process
		}
	}
	atRest(t, m, s)
	quiet := isomerfs("ls", "-q", s.store)
	var paths []string
	for _, row := range rows {
		paths = append(paths, row.Path)
	}
	if got := strings.Split(strings.TrimSpace(quiet.out), "\n"); !slices.Equal(got, printed(paths)) {
		t.Errorf("ls -q does not print the paths of the JSON: %d lines, %d rows", len(got), len(paths))
	}
}

// printed are paths as they stand in a list of lines.
func printed(paths []string) (lines []string) {
	for _, path := range paths {
		lines = append(lines, strings.ReplaceAll(path, "\n", `\n`))
	}
	return lines
}

// TestConvertEqualsTheMount: the same engine with and without a mount, to a pipe, a file or a folder.
func TestConvertEqualsTheMount(t *testing.T) {
	needMount(t)
	s := common(t)
	out := folder(t, "out")
	for _, view := range []string{"safetensors/fp32", "safetensors/fp16", "safetensors/bf16"} {
		for _, version := range []string{"big/v1", "small/v2", "odd/v1", "array/v1"} {
			to := filepath.Join(out, strings.ReplaceAll(version+"-"+view, "/", "-"))
			shell(t, `"$ISOMERFS" convert "$FROM" --to "$VIEW" -o - > "$TO" 2> "$TO.err"`, time.Minute, "ISOMERFS="+binaryPath(), "FROM="+filepath.Join(s.store, version), "VIEW="+view, "TO="+to)
			if same, err := sameFile(to, s.want[version+"/"+view+"/model.safetensors"]); !same {
				t.Errorf("convert %s --to %s -o - gives other bytes (%v)", version, view, err)
			}
			os.Remove(to)
		}
	}
	// A plain file, whatever it is called, and a sharded version.
	plain := filepath.Join(out, "plain.safetensors")
	if d := isomerfs("convert", filepath.Join(s.store, "small/v2/model.safetensors"), "--to", "safetensors/fp16", "-o", plain); !d.ok() {
		t.Error(d)
	} else if same, err := sameFile(plain, s.want[smallView]); !same {
		t.Errorf("convert FILE gives other bytes (%v)", err)
	}
	if d := isomerfs("convert", filepath.Join(s.store, "small/v2/model.safetensors"), "--to", "safetensors/fp16", "-o", plain); d.code != 1 || !strings.Contains(d.err, plain) {
		t.Errorf("convert over a file that is there: %v", d)
	}
	shards := filepath.Join(out, "shards")
	if d := isomerfs("convert", filepath.Join(s.store, "org/sharded/v1"), "--to", "safetensors/fp16", "-o", shards); !d.ok() {
		t.Error(d)
	} else {
		for _, path := range s.paths() {
			if name, ok := strings.CutPrefix(path, "org/sharded/v1/safetensors/fp16/"); ok {
				if same, err := sameFile(filepath.Join(shards, name), s.want[path]); !same {
					t.Errorf("convert of shards: %s has other bytes (%v)", name, err)
				}
			}
		}
	}
	if d := isomerfs("convert", filepath.Join(s.store, "small/v2"), "--to", "safetensors/fp99", "-o", filepath.Join(out, "none")); d.ok() || d.err == "" {
		t.Errorf("convert to a precision that is none: %v", d)
	}
	if _, err := os.Stat(filepath.Join(out, "none")); err == nil {
		t.Error("a convert that failed left a file")
	}
	if d := command(moment, "bash", "-c", fmt.Sprintf(`"%s" convert "%s/big/v1" --to safetensors/fp16 -o - | head -c 10 | wc -c`, binaryPath(), s.store)); strings.TrimSpace(d.out) != "10" || strings.Contains(d.err, "goroutine") {
		t.Errorf("convert into a pipe that closes: %v", d)
	}
}

// TestLayouts: the spans of every view follow one another to its end, and the stored bytes are where extents say.
func TestLayouts(t *testing.T) {
	needMount(t)
	s := common(t)
	sizes := s.sizes(t)
	tried := 0
	for _, path := range s.paths() {
		tensorFile := strings.Contains(path, "/npy/") || strings.Contains(path, "/tensors/")
		if strings.Contains(path, "/source/") || tensorFile && !strings.HasPrefix(path, "small/v2/") && !strings.HasPrefix(path, "array") {
			continue
		}
		tried++
		spans := answer[[]span](t, "layout", filepath.Join(s.store, path))
		want, err := os.ReadFile(s.want[path])
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for _, sp := range spans {
			if sp.Off != at || sp.Size < 0 || !slices.Contains(spanKinds, sp.Kind) || sp.Off+sp.Size > sizes[path] {
				t.Errorf("%s: a span of kind %q, %d bytes at %d, where %d is next", path, sp.Kind, sp.Size, sp.Off, at)
				break
			}
			bytes := want[at : at+sp.Size]
			switch {
			case sp.Kind == "zeros" && strings.Trim(string(bytes), "\x00") != "":
				t.Errorf("%s: zeros at %d are none", path, at)
			case sp.Kind == "coded" && (sp.Op == nil || *sp.Op == ""):
				t.Errorf("%s: a coded span at %d without its op", path, at)
			case sp.Kind == "extent" && (sp.Source == nil || sp.SourceOff == nil):
				t.Errorf("%s: an extent at %d without its source", path, at)
			case sp.Kind == "extent":
				file, off := storedFile(s, path, *sp.Source), *sp.SourceOff
				if data, err := os.ReadFile(file); err != nil || off+sp.Size > int64(len(data)) || string(data[off:off+sp.Size]) != string(bytes) {
					t.Errorf("%s: the %d bytes at %d are not those of %s at %d (%v)", path, sp.Size, at, *sp.Source, off, err)
				}
			}
			at += sp.Size
		}
		if at != sizes[path] {
			t.Errorf("%s: the spans end at %d of %d", path, at, sizes[path])
		}
	}
	if tried < 20 {
		t.Errorf("only %d views were tried", tried)
	}
}

// storedFile is the stored file that the source of a span names: a path of this host, or below the version's source/.
func storedFile(s *scene, path, source string) string {
	if filepath.IsAbs(source) {
		return source
	}
	parts := strings.Split(path, "/")
	for i := range parts {
		if file, ok := s.want[filepath.Join(append(slices.Clone(parts[:i]), "source", strings.TrimPrefix(source, "source/"))...)]; ok {
			return file
		}
	}
	return filepath.Join(s.store, source)
}

// TestJSONShapes: every key of every answer is there, lists are never null, and errors are sentences.
func TestJSONShapes(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	text, number, flag, maybe, anything := "text", 0.0, true, maybeText{}, any(nil)
	tensorShape := map[string]any{"name": text, "dtype": text, "shape": []any{number}, "nbytes": number}
	port := map[string]any{"name": text, "dtype": text, "shape": []any{anything}}
	show := map[string]any{"path": text, "format": text, "tensors": []any{tensorShape}, "inputs": []any{port}, "outputs": []any{port}, "metadata": map[string]any{}}
	why := map[string]any{"path": text, "available": flag, "reason": maybe, "remedy": maybe}
	verify := []any{map[string]any{"path": text, "ok": flag, "check": text, "detail": maybe, "globals": anything}}
	layout := []any{map[string]any{"off": number, "size": number, "kind": text, "source": maybe, "source_off": anything, "op": maybe}}
	file := map[string]any{"path": text, "size": number}
	for _, c := range []struct {
		name  string
		shape any
		args  []string
	}{
		{"ls of a store", []any{map[string]any{"path": text, "size": number, "exact": flag, "state": text}}, []string{"ls", s.store}},
		{"ls of a version in a mount", []any{map[string]any{"path": text, "size": number, "exact": flag, "state": text}}, []string{"ls", m.at("small/v2")}},
		{"show of a version", show, []string{"show", filepath.Join(s.store, "small/v2")}},
		{"show of a model", show, []string{"show", filepath.Join(s.store, "org/sharded")}},
		{"show of a view", show, []string{"show", m.at(smallView)}},
		{"show of a plain file", show, []string{"show", filepath.Join(s.store, "array.npy")}},
		{"show of a store", []any{show}, []string{"show", s.store}},
		{"why of a view", why, []string{"why", m.at(smallView)}},
		{"why of what is absent", why, []string{"why", filepath.Join(s.store, "small/v2/gguf/Q4_K_M/model.gguf")}},
		{"layout in a mount", layout, []string{"layout", m.at(smallView)}},
		{"layout in a store", layout, []string{"layout", filepath.Join(s.store, bigView)}},
		{"verify of a store", verify, []string{"verify", s.store}},
		{"verify of a version", verify, []string{"verify", m.at("small/v2")}},
		{"formats", []any{map[string]any{"from": text, "to": text, "precisions": []any{text}, "loses": anything, "needs": anything}}, []string{"formats"}},
		{"version", map[string]any{"version": text, "commit": text, "go": text}, []string{"version"}},
		{"cache ls", []any{map[string]any{"name": text, "path": text, "size": number}}, []string{"cache", "ls"}},
	} {
		d := isomerfs(append(c.args, "--json")...)
		if !d.ok() {
			t.Errorf("%s: %v", c.name, d)
			continue
		}
		if bad := misshapen(parsed[any](t, d), c.shape, c.name); bad != "" {
			t.Error(bad)
		}
	}
	mountShape := map[string]any{
		"mountpoint": text, "store": text, "pid": number, "passthrough": map[string]any{"cache": flag, "store": flag, "reason": maybe},
		"fills": []any{map[string]any{"path": text, "done": number, "size": number}}, "cache": map[string]any{"dir": text, "used": number, "limit": number, "files": number},
	}
	known := false
	for _, row := range answer[[]map[string]any](t, "status") { // of other mounts of this host it may know nothing
		if known = known || row["mountpoint"] == m.point; row["mountpoint"] != m.point {
			continue
		}
		if bad := misshapen(any(row), mountShape, "status"); bad != "" {
			t.Error(bad)
		}
	}
	if !known {
		t.Errorf("status does not list %s", m.point)
	}
	d := isomerfs("doctor", "--json")
	if bad := misshapen(parsed[any](t, d), []any{map[string]any{"check": text, "ok": flag, "detail": maybe, "fix": maybe}}, "doctor"); bad != "" || d.code > 1 {
		t.Errorf("%s; %v", bad, d)
	}
	for document, shape := range map[string]any{
		"tensors/index.json": map[string]any{"tensors": []any{map[string]any{"name": text, "file": text, "dtype": text, "shape": []any{number}, "nbytes": number}}},
		"metadata.json": map[string]any{"model": text, "version": text, "aliases": []any{text}, "format": text, "parameters": number, "files": []any{file},
			"views": []any{map[string]any{"path": text, "size": number, "exact": flag}}, "unavailable": []any{map[string]any{"view": text, "reason": text, "remedy": maybe}}},
	} {
		for _, version := range []string{"small/v2", "org/sharded/v1", "array/v1"} {
			var seen any
			data := ask[[]got](t, moment, "content", []piece{{Path: m.at(version + "/" + document)}})[0].Data
			if err := json.Unmarshal(data, &seen); err != nil {
				t.Errorf("%s/%s: %v", version, document, err)
			} else if bad := misshapen(seen, shape, version+"/"+document); bad != "" {
				t.Error(bad)
			}
		}
	}
}

// maybeText is text or null.
type maybeText struct{}

// misshapen says where a JSON value departs from a shape: an object with all its keys, an array of such elements, a
// value of such a type; nil for anything.
func misshapen(value, shape any, where string) string {
	switch shape := shape.(type) {
	case map[string]any:
		object, ok := value.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", where, value)
		}
		for key, inner := range shape {
			if _, there := object[key]; !there {
				return fmt.Sprintf("%s has no key %q", where, key)
			}
			if bad := misshapen(object[key], inner, where+"."+key); bad != "" {
				return bad
			}
		}
	case []any:
		array, ok := value.([]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an array", where, value)
		}
		for i, element := range array {
			if bad := misshapen(element, shape[0], fmt.Sprintf("%s[%d]", where, i)); bad != "" {
				return bad
			}
		}
	case maybeText:
		if _, ok := value.(string); !ok && value != nil {
			return fmt.Sprintf("%s is %v, want text or null", where, value)
		}
	case nil:
	default:
		if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", shape) {
			return fmt.Sprintf("%s is %v, want a %T", where, value, shape)
		}
	}
	return ""
}

// TestRefusals: what cannot be done ends with 1 or 2 and a sentence that names it, on stderr.
func TestRefusals(t *testing.T) {
	needMount(t)
	s := common(t)
	busy := mounted(t, s.store)
	dir := folder(t, "refused")
	file := filepath.Join(dir, "file")
	put(t, file, []byte("x"))
	inside := filepath.Join(s.store, "big")
	for _, c := range []struct {
		name, names string
		code        int
		args        []string
	}{
		{"a store that is not there", dir + "/none", 1, []string{"mount", dir + "/none", dir}},
		{"a mount point that is not there", dir + "/point", 1, []string{"mount", s.store, dir + "/point"}},
		{"a mount point that is a file", file, 1, []string{"mount", s.store, file}},
		{"a mount point inside the store", inside, 1, []string{"mount", s.store, inside}},
		{"a mount point that is a mount", busy.point, 1, []string{"mount", s.store, busy.point}},
		{"an option that is none", "colour", 2, []string{"mount", s.store, dir, "-o", "colour=red"}},
		{"a value that is none", "cache_size", 2, []string{"mount", s.store, dir, "-o", "cache_size=large"}},
		{"a level that is not built", "verify", 1, []string{"mount", s.store, dir, "-o", "verify=signature"}},
		{"a path that is not there", "none", 1, []string{"show", filepath.Join(s.store, "none")}},
		{"a layout of what is absent", "fp99", 1, []string{"layout", filepath.Join(s.store, "big/v1/safetensors/fp99/model.safetensors")}},
		{"an unmount of nothing", dir, 1, []string{"umount", dir}},
		{"a command that is none", "mount", 2, []string{"muont"}},
		{"a missing argument", "", 2, []string{"layout"}},
	} {
		d := isomerfs(c.args...)
		lines := strings.Count(strings.TrimSpace(d.err), "\n") + 1
		if d.code != c.code || d.out != "" || !strings.Contains(d.err, c.names) || lines > 3 || strings.Contains(d.err, "goroutine") {
			t.Errorf("%s: %v; want exit %d, and %q named in three lines", c.name, d, c.code, c.names)
		}
	}
	if isMounted(dir, "self") || isMounted(inside, "self") || isMounted(file, "self") {
		t.Error("something was mounted all the same")
	}
}

// TestWarm: warm fills files, and says each path as it was given once it is sealed.
func TestWarm(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	paths := []string{m.at(bigView), m.at(smallView), m.at("small/v2/tensors/wide")}
	d := isomerfs(append([]string{"warm"}, paths...)...)
	said := strings.Fields(d.out)
	slices.Sort(said)
	slices.Sort(paths)
	if !d.ok() || !slices.Equal(said, paths) {
		t.Errorf("warm: %v: stdout %q", d, d.out)
	}
	for _, path := range []string{bigView, smallView, "small/v2/tensors/wide"} {
		if state := m.xattr(path, "state"); state != "ready" && state != "memory" {
			t.Errorf("%s is %s after warm", path, state)
		}
		m.read(path, s.want[path], "read").wants(t, right, moment)
	}
	if d := isomerfs("warm", m.at("small/v2/safetensors/fp99/model.safetensors")); d.code != 1 || d.err == "" {
		t.Errorf("warm of what is absent: %v", d)
	}
}

// TestCacheCommands: cache ls names what the cache holds; rm removes it under a mount; verify finds rot; prune forgets
// what no stored file leads to.
func TestCacheCommands(t *testing.T) {
	needMount(t)
	s := common(t)
	m := mounted(t, s.store)
	m.make(bigView, s.want[bigView])
	m.make(smallView, s.want[smallView])
	cached := func(args ...string) done {
		cmd := program(append([]string{binaryPath(), "cache"}, args...)...)
		cmd.Env = append(cmd.Env, "ISOMERFS_CACHE_DIR="+m.cache)
		return finish(cmd, time.Minute)
	}
	type item struct {
		Name, Path string
		Size       int64
	}
	list := func() []item { return parsed[[]item](t, cached("ls", "--json")) }
	named := func(items []item, path string) string {
		for _, i := range items {
			if strings.HasSuffix(i.Path, path) || strings.HasSuffix(path, i.Path) && i.Path != "" {
				return i.Name
			}
		}
		return ""
	}
	items := list()
	big, small := named(items, bigView), named(items, smallView)
	if big == "" || small == "" {
		t.Fatalf("cache ls lists %+v", items)
	}
	if d := cached("verify"); !d.ok() {
		t.Errorf("verify of a sound cache: %v", d)
	}
	if d := cached("rm", small); !d.ok() || named(list(), smallView) != "" {
		t.Errorf("cache rm: %v", d)
	}
	m.read(smallView, s.want[smallView], "read").wants(t, right, moment)
	if d := cached("rm", "nothing-of-that-name"); d.code != 1 || !strings.Contains(d.err, "nothing-of-that-name") {
		t.Errorf("cache rm of nothing: %v", d)
	}
	// It asks the mounts of this host what they need; one of another test run may be about to go.
	if bad := within(15*time.Second, func() string {
		if d := cached("prune"); !d.ok() {
			return d.String()
		}
		return ""
	}); bad != "" || named(list(), bigView) == "" {
		t.Errorf("cache prune, with the file in the cache afterwards: %v; %s", named(list(), bigView) != "", bad)
	}
	m.close()

	rotten := largestBelow(t, m.cache)
	flip(t, rotten)
	d := cached("verify")
	if d.code != 1 || !strings.Contains(d.out+d.err, big) {
		t.Errorf("cache verify does not find a flipped bit in %s: %v", big, d)
	}
}

// largestBelow is the largest file below a folder.
func largestBelow(t *testing.T, dir string) (largest string) {
	t.Helper()
	most := int64(-1)
	for _, path := range tree(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, path)); err == nil && info.Size() > most {
			largest, most = filepath.Join(dir, path), info.Size()
		}
	}
	return largest
}

// flip changes a bit in the middle of a file, and no time.
func flip(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := f.WriteAt(one, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}
