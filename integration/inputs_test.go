//go:build linux

package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// table reads a TSV file with a line of headings.
func table(t *testing.T, path string) (rows []map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if headings == nil {
			headings = cells
			continue
		}
		row := map[string]string{}
		for i, cell := range cells[:min(len(cells), len(headings))] {
			row[headings[i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

// readable are the formats that the program reads, as `isomerfs formats` lists them.
func readable(t *testing.T) (formats []string) {
	t.Helper()
	for _, row := range answer[[]struct{ From string }](t, "formats") {
		formats = append(formats, row.From)
	}
	if !slices.Contains(formats, "safetensors") {
		t.Errorf("isomerfs formats lists %v", formats)
	}
	return formats
}

// TestCorpus: real models, where ISOMERFS_TEST_CORPUS has some: every listed view can be read to the end that stat
// promises, source/ holds the stored files, and the values of arrays and SafeTensors are those that NumPy sees in them.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("ISOMERFS_TEST_CORPUS")
	if corpus == "" {
		t.Skip("ISOMERFS_TEST_CORPUS names no folder of models")
	}
	needMount(t, "python")
	formats := readable(t)
	// Arrays and SafeTensors are models of one file each; of other formats a model has its files beside it.
	single, whole, objects := folder(t, "single"), folder(t, "whole"), folder(t, "objects")
	digests := map[string]string{} // by the path in the mount
	counts := map[string]int{}
	for _, row := range table(t, filepath.Join(corpus, "MANIFEST.tsv")) {
		path := row["path"]
		format, store, model, file := row["format"], whole, row["format"]+"--"+strings.NewReplacer("/", "-", ".", "-").Replace(row["model"]), filepath.Base(path)
		switch {
		case format == "numpy":
			format = strings.TrimPrefix(filepath.Ext(path), ".")
			if strings.Contains(row["dtypes"], "|O") {
				store = objects
			}
			fallthrough
		case format == "safetensors":
			if store == whole {
				store = single
			}
			model = strings.NewReplacer("/", "-", ".", "-").Replace(path)
		default:
			if rel, ok := strings.CutPrefix(path, format+"/"+row["model"]+"/"); ok {
				file = rel
			}
		}
		if !slices.Contains(formats, format) || strings.HasSuffix(path, ".tar.gz") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(corpus, path))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(store, model, "v1", file), data)
		digests[filepath.Join(model, "v1/source", file)] = row["sha256"]
		counts[format]++
	}
	if len(counts) == 0 {
		t.Fatal("the corpus has nothing to try")
	}
	t.Logf("files by format: %v", counts)
	for _, store := range []string{single, whole, objects} {
		if models, err := os.ReadDir(store); err != nil || len(models) == 0 {
			continue
		}
		m := mounted(t, store)
		before := ask[map[string]looks](t, 2*time.Minute, "survey", m.point)
		var files []string
		for path, l := range before {
			if l.IsFile {
				files = append(files, path)
			}
			if store == objects && l.IsFile && !document(path) && !strings.Contains(path, "/source/") {
				t.Errorf("an array of pickled objects has the view %s", path)
			}
		}
		for path, r := range ask[map[string]sum](t, 5*time.Minute, "sums", below{Root: m.point, Paths: files}) {
			if want := cmp.Or(digests[path], r.SHA256); r.Errno != "" || r.Read != before[path].Size || r.SHA256 != want {
				t.Errorf("%s: stat says %d bytes, %d were read, their digest is %s, want %s %s", path, before[path].Size, r.Read, r.SHA256, want, r.Errno)
			}
		}
		if !running(m.pid) {
			t.Error("the daemon has ended")
		}
	}
	again := mounted(t, single)
	if d := python(2*time.Minute, "check", single, again.point, "1", "safe_open", "npy", "pread", "mmap", "numpy"); !d.ok() {
		t.Errorf("%v\n%s", d, d.out)
	}
}

// groups are the formats that a folder of malformed files is about.
var groups = map[string][]string{
	"safetensors": {"safetensors"}, "names": {"safetensors"}, "index": {"safetensors"}, "npy": {"npy"}, "torch": {"pytorch"}, "zip": {"pytorch"},
	"onnx": {"onnx"}, "gguf": {"gguf"}, "hdf5": {"hdf5", "h5", "keras-h5"}, "keras": {"keras"}, "tflite": {"tflite"}, "openvino": {"openvino"}, "msgpack": {"msgpack", "flax"},
}

// TestMalformed: broken and odd files, where ISOMERFS_TEST_MALFORMED has some. None brings the daemon down, none is
// served as if it were whole, each is refused with a reason, and the odd but whole ones open.
func TestMalformed(t *testing.T) {
	dir := os.Getenv("ISOMERFS_TEST_MALFORMED")
	if dir == "" {
		t.Skip("ISOMERFS_TEST_MALFORMED names no folder of broken files")
	}
	needMount(t)
	formats := readable(t)
	cases := map[string][]map[string]string{}
	for _, row := range table(t, filepath.Join(dir, "EXPECT.tsv")) {
		group, _, _ := strings.Cut(row["file"], "/")
		of := groups[group]
		if strings.HasSuffix(row["file"], ".npz") {
			of = []string{"npz"}
		}
		if slices.ContainsFunc(of, func(f string) bool { return slices.Contains(formats, f) }) {
			cases[group] = append(cases[group], row)
		}
	}
	if len(cases) == 0 {
		t.Fatal("there is nothing to try")
	}
	for group, rows := range cases {
		t.Run(group, func(t *testing.T) {
			store := folder(t, "store")
			for _, row := range rows {
				fixture := filepath.Join(dir, row["file"])
				version := filepath.Join(store, caseName(row), "v1")
				if info, err := os.Stat(fixture); err != nil {
					t.Fatal(err)
				} else if info.IsDir() {
					if err := os.CopyFS(version, os.DirFS(fixture)); err != nil {
						t.Fatal(err)
					}
				} else {
					data, err := os.ReadFile(fixture)
					if err != nil {
						t.Fatal(err)
					}
					name := filepath.Base(fixture)
					if filepath.Ext(name) == "" {
						name = "model." + group
					}
					put(t, filepath.Join(version, name), data)
				}
				filepath.WalkDir(version, func(path string, _ os.DirEntry, _ error) error { return os.Chtimes(path, settled, settled) })
			}
			m := mounted(t, store)
			for _, row := range rows {
				judge(t, m, store, row)
			}
			if !running(m.pid) {
				t.Error("the daemon has ended")
			}
			if most := memory(t, m.pid, "VmHWM"); most > 300<<20 {
				t.Errorf("the daemon took %d MiB of memory", most>>20)
			}
		})
	}
}

func caseName(row map[string]string) string {
	_, name, _ := strings.Cut(row["file"], "/")
	return strings.ReplaceAll(name, ".", "-")
}

// judge looks at one case as EXPECT.tsv says.
func judge(t *testing.T, m *mount, store string, row map[string]string) {
	t.Helper()
	name, note := caseName(row), row["note"]
	verb, rest, _ := strings.Cut(row["expected"], " ")
	version := m.at(name + "/v1")
	complain := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s (%s; expected: %s): %s", row["file"], row["what is wrong"], row["expected"], fmt.Sprintf(format, args...))
	}
	var paths, views []string
	seen := ask[map[string]looks](t, 5*time.Second, "survey", version)
	for path, l := range seen {
		if l.IsFile {
			paths = append(paths, path)
			if strings.Contains(path, "/") && !strings.HasPrefix(path, "source/") && path != "tensors/index.json" {
				views = append(views, path)
			}
		}
	}
	// What is not listed must not be there under its usual name either.
	for _, path := range []string{"safetensors/fp32/model.safetensors", "safetensors/fp16/model.safetensors", "tensors/w", "tensors/a", "npy/w.npy", "npy/a.npy"} {
		if !slices.Contains(views, path) {
			paths = append(paths, path)
		}
	}
	read := ask[map[string]sum](t, 5*time.Second, "sums", below{Root: version, Paths: paths})
	var served, failing []string
	for path, r := range read {
		switch {
		case r.Errno == "" && r.Read != r.Size:
			complain("%s has %d bytes of %d", path, r.Read, r.Size)
		case slices.Contains([]string{"EINTR", "EAGAIN", "ENOSYS", "ENOTCONN", "EFAULT", "EBADF", "EIO"}, r.Errno):
			complain("%s: %s tells nobody what is wrong", path, r.Errno)
		}
		if !slices.Contains(views, path) && r.Errno == "ENOENT" || !strings.Contains(path, "/") || strings.HasPrefix(path, "source/") || path == "tensors/index.json" {
			continue
		}
		if r.Errno == "" {
			served = append(served, path)
		} else {
			failing = append(failing, path+": "+r.Errno)
		}
	}
	for _, path := range tree(t, filepath.Join(store, name, "v1")) {
		data, err := os.ReadFile(filepath.Join(store, name, "v1", path))
		got := ask[[]got](t, moment, "content", []piece{{Path: filepath.Join(version, "source", path)}})[0]
		if err != nil || string(got.Data) != string(data) {
			complain("source/%s is not the stored file: %s", path, got.Errno)
		}
	}
	var index struct {
		Tensors []struct{ Name string }
	}
	listing := ask[[]got](t, moment, "content", []piece{{Path: filepath.Join(version, "tensors/index.json")}})[0]
	opened := listing.Errno == "" && json.Unmarshal(listing.Data, &index) == nil
	asGood := strings.Contains(note, "as good")

	switch {
	case verb == "open" && !(asGood && len(served) == 0):
		count, err := strconv.Atoi(rest)
		if err != nil {
			want := strings.Fields(strings.ReplaceAll(rest, "name=", ""))
			slices.Sort(want)
			if got := ask[names](t, moment, "list", filepath.Join(version, "npy")).Names; !slices.Equal(got, want) {
				complain("npy/ lists %v", got)
			}
			count = len(want)
		}
		if len(index.Tensors) != count || !opened && (count > 0 || len(views) > 0) {
			complain("tensors/index.json has %d tensors: %s", len(index.Tensors), listing.Errno)
		}
		if len(failing) > 0 {
			complain("cannot be read: %v", failing)
		}
		if d := isomerfs("verify", filepath.Join(store, name), "--json"); d.code != 0 {
			complain("verify: %v %s", d, d.out)
		}
	case verb == "refuse" && asGood && len(served) > 0, verb == "partial" && len(served) > 0:
		if !opened {
			complain("views are served and tensors/index.json is not: %s", listing.Errno)
		}
	case verb == "read" && len(served)+len(failing) > 0:
		if i := slices.IndexFunc(served, func(path string) bool { return !strings.HasPrefix(path, "onnx/") }); i >= 0 {
			complain("damaged bytes are served: %s", served[i])
		}
	default:
		if len(served) > 0 {
			complain("views are served: %v", served[:min(5, len(served))])
		}
		if reasonOf(t, m, version) == "" {
			complain("nobody says why there are no views")
		}
		if rest != "limit" && rest != "unsupported" && !asGood {
			if d := isomerfs("verify", filepath.Join(store, name), "--json"); d.code != 1 || !strings.Contains(d.out, `"ok": false`) && !strings.Contains(d.out, `"ok":false`) {
				complain("verify finds nothing wrong: %v", d)
			}
		}
	}
}

// reasonOf is why a version has no views, by its metadata.json or by `isomerfs why`.
func reasonOf(t *testing.T, m *mount, version string) string {
	t.Helper()
	var about struct{ Unavailable []struct{ Reason string } }
	document := ask[[]got](t, moment, "content", []piece{{Path: filepath.Join(version, "metadata.json")}})[0]
	if json.Unmarshal(document.Data, &about) == nil {
		for _, u := range about.Unavailable {
			if u.Reason != "" {
				return u.Reason
			}
		}
	}
	return answer[struct{ Reason string }](t, "why", filepath.Join(version, "safetensors/fp32/model.safetensors")).Reason
}
