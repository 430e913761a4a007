package views

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// These tests run over folders of model files that are not part of this repository.
const (
	malformedFolder = "ISOMERFS_TEST_MALFORMED" // fixtures with EXPECT.tsv: file, what is wrong, expected, note
	corpusFolder    = "ISOMERFS_TEST_CORPUS"    // real models with MANIFEST.tsv
)

// rows are the lines of a table with a header, by column.
func rows(t *testing.T, file string) []map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, line := range all[1:] {
		row := map[string]string{}
		for i, key := range all[0] {
			if i < len(line) {
				row[key] = line[i]
			}
		}
		list = append(list, row)
	}
	return list
}

// disk is the files below a folder, in memory.
func disk(t *testing.T, root string) folder {
	t.Helper()
	files := folder{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		files[filepath.ToSlash(rel)] = &stored{name: rel, data: data, body: int64(len(data))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestMalformedFiles: each fixture opens with as many tensors as it should, or is refused as it should.
func TestMalformedFiles(t *testing.T) {
	root := os.Getenv(malformedFolder)
	if root == "" {
		t.Skip(malformedFolder + " names no folder of fixtures")
	}
	tried := 0
	for _, row := range rows(t, filepath.Join(root, "EXPECT.tsv")) {
		group, _, _ := strings.Cut(row["file"], "/")
		if !slices.Contains([]string{"safetensors", "index", "names", "npy"}, group) {
			continue
		}
		tried++
		t.Run(row["file"], func(t *testing.T) { fixture(t, filepath.Join(root, row["file"]), group, row["expected"], row["note"]) })
	}
	if tried == 0 {
		t.Error("there are no fixtures of these formats")
	}
}

func fixture(t *testing.T, path, group, expected, note string) {
	var files folder
	var name string
	if group == "index" {
		files, name = disk(t, path), "model.safetensors.index.json"
	} else {
		name = filepath.Base(path)
		if filepath.Ext(name) == "" {
			name = "model.safetensors"
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = folder{name: {name: name, data: data, body: int64(len(data))}}
	}
	f := codecs.ByName(name)
	if f == nil {
		t.Fatalf("no format for %s", name)
	}
	m, err := f.Read(ctx, files, name)
	verb, what, _ := strings.Cut(expected, " ")
	if verb == "refuse" {
		if got := fault.KindOf(err).String(); err == nil || got != what && !(strings.Contains(note, "as good") && strings.Contains(note, got)) {
			t.Errorf("%v (%s), want %s", err, got, what)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	count, _ := strconv.Atoi(what)
	if names, ok := strings.CutPrefix(what, "name="); ok {
		want := strings.Split(names, " name=")
		var got []string
		for path := range plan(t, files, m, "npy", "") {
			got = append(got, path)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("files %q, want %q", got, want)
		}
		count = len(want)
	}
	if len(m.Tensors) != count {
		t.Errorf("%d tensors, want %d", len(m.Tensors), count)
	}
	readable(t, files, m)
}

// readable reads every view of a model that can be planned.
func readable(t *testing.T, files folder, m *model.Model) {
	for _, v := range Table {
		for _, precision := range v.PrecisionsOf(m) {
			list, err := v.Plan(m, precision)
			if err != nil {
				if fault.KindOf(err) != fault.Unsupported {
					t.Errorf("%s/%s: %v", v.Name, precision, err)
				}
				continue
			}
			for _, out := range list {
				data := content(t, out.File)
				switch {
				case strings.HasSuffix(out.Path, ".safetensors"):
					decoded(t, data)
				case out.Path == "index.json":
					if !json.Valid(data) {
						t.Errorf("%s/%s is not JSON", v.Name, out.Path)
					}
				case v.Name == "npz":
					again := open(t, folder{"x.npz": {data: data}}, "x.npz")
					if err := again.Verify(ctx); err != nil || len(again.Tensors)+len(v.Left(m)) != len(m.Tensors) {
						t.Errorf("npz/%s: %d tensors of %d, %v", out.Path, len(again.Tensors), len(m.Tensors), err)
					}
				case v.Name == "npy":
					again := open(t, folder{"x.npy": {data: data}}, "x.npy")
					if again.Tensors[0].DType != out.Tensor.DType || !slices.Equal(again.Tensors[0].Shape, out.Tensor.Shape) {
						t.Errorf("npy/%s is %+v", out.Path, again.Tensors[0])
					}
				}
			}
		}
	}
}

// TestCorpus: real models open with the number of tensors that is recorded for them, and every view can be read.
func TestCorpus(t *testing.T) {
	root := os.Getenv(corpusFolder)
	if root == "" {
		t.Skip(corpusFolder + " names no folder of models")
	}
	tried := 0
	for _, row := range rows(t, filepath.Join(root, "MANIFEST.tsv")) {
		name := row["path"]
		if f := codecs.ByName(name); f == nil || row["format"] != "safetensors" && row["format"] != "numpy" {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Base(name)
			files := folder{base: {name: base, data: data, body: int64(len(data))}}
			m, err := codecs.ByName(base).Read(ctx, files, base)
			if strings.Contains(row["dtypes"], "|O") {
				if !errors.Is(err, fault.Unsafe) {
					t.Errorf("an array of objects: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want, err := strconv.Atoi(row["n_tensors"]); err == nil && len(m.Tensors) != want {
				t.Errorf("%d tensors, want %d", len(m.Tensors), want)
			}
			readable(t, files, m)
		})
	}
	if tried == 0 {
		t.Error("there are no models of these formats")
	}
}
