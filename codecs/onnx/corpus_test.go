package onnx

import (
	"archive/tar"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// Folders of real and of broken models, where the environment names them.
const (
	corpusFolder    = "ISOMERFS_TEST_CORPUS"
	malformedFolder = "ISOMERFS_TEST_MALFORMED"
)

func named(t *testing.T, variable string) string {
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("%s names no folder of models", variable)
	}
	return dir
}

// TestMalformed: each broken file of EXPECT.tsv is refused for what is wrong with it, each odd one read.
func TestMalformed(t *testing.T) {
	dir := named(t, malformedFolder)
	table, err := os.Open(filepath.Join(dir, "EXPECT.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	r := csv.NewReader(table)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, row := range rows {
		if !strings.HasPrefix(row[0], "onnx/") {
			continue
		}
		seen++
		f := files(t, filepath.Join(dir, row[0]))
		name := "m.onnx"
		if strings.HasSuffix(row[0], ".onnx") {
			name = path.Base(row[0])
		}
		m, err := Read(ctx, f, name)
		verdict, what, _ := strings.Cut(row[2], " ")
		switch {
		case verdict == "open" && err != nil:
			t.Errorf("%s (%s): %v", row[0], row[1], err)
		case verdict == "open":
			if n, _ := strconv.Atoi(strings.Fields(what)[0]); n != len(m.Tensors) {
				t.Errorf("%s: %d tensors, want %d", row[0], len(m.Tensors), n)
			}
		case err == nil:
			t.Errorf("%s (%s): read", row[0], row[1])
		case fault.KindOf(err).String() != what:
			t.Errorf("%s (%s): %v is %v", row[0], row[1], err, fault.KindOf(err))
		default:
			t.Logf("%s: %v", row[0], err)
		}
	}
	if seen == 0 {
		t.Error("EXPECT.tsv has no onnx files")
	}
}

// corpus calls visit for every ONNX model of the corpus, those in archives too.
func corpus(t *testing.T, visit func(name string, f folder, file string)) {
	dir := named(t, corpusFolder)
	for _, top := range []string{"onnx", "onnx-conformance"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(p string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			short, _ := filepath.Rel(dir, p)
			switch {
			case strings.HasSuffix(p, ".tar.gz"):
				f := unpacked(t, p)
				for _, name := range f.List() {
					if Match(name) {
						visit(short+"/"+name, f, name)
					}
				}
			case Match(p) && e.Type().IsRegular():
				visit(short, files(t, filepath.Dir(p)), filepath.Base(p))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpacked(t *testing.T, archive string) folder {
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	f := folder{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return f
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			f[path.Clean(h.Name)] = &stored{name: h.Name, data: data}
		}
	}
}

// TestCorpus: every real model is read, at the cost of its structure, and written back byte for byte; with one word
// changed it differs by that word; and from its fields alone it is written as a file that says the same.
func TestCorpus(t *testing.T) {
	n := 0
	corpus(t, func(name string, f folder, file string) {
		n++
		m, err := Read(ctx, f, file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		unchanged(t, name, m, f)
		reworded(t, name, m)
		anew(t, name, m)
	})
	t.Logf("%d models", n)
}
