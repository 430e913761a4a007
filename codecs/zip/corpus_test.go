package zip

import (
	stdzip "archive/zip"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// TestMalformed: each broken archive of EXPECT.tsv is refused for what is wrong with it, each odd one read.
func TestMalformed(t *testing.T) {
	dir := named(t, malformedFolder)
	table, err := os.Open(filepath.Join(dir, "EXPECT.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows := csv.NewReader(table)
	rows.Comma, rows.LazyQuotes = '\t', true
	all, err := rows.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, row := range all[1:] {
		name, _ := strings.CutPrefix(row[0], "zip/")
		if name == row[0] {
			continue
		}
		count++
		data, err := os.ReadFile(filepath.Join(dir, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		expected, kind, _ := strings.Cut(row[2], " ")
		a, err := Open(ctx, source(name, data), 0, int64(len(data)))
		if expected != "refuse" && err != nil {
			t.Errorf("%s (%s): %v", name, row[1], err)
			continue
		}
		if err == nil {
			err = readAll(a)
		}
		if expected == "open" && err == nil || expected != "open" && fault.KindOf(err).String() == kind {
			continue
		}
		if strings.Contains(row[3], "as good") && errors.Is(err, fault.Mismatch) {
			continue
		}
		t.Errorf("%s (%s): %v, want %s", name, row[1], err, row[2])
	}
	if count < 20 {
		t.Errorf("%d cases", count)
	}
}

// readAll reads every member, those of metadata as metadata.
func readAll(a *Archive) error {
	for i := range a.Members {
		m := &a.Members[i]
		if strings.HasSuffix(m.Name, ".pkl") {
			if _, err := a.Bytes(ctx, m, 1<<30); err != nil {
				return err
			}
		}
		if _, err := content(a, m); err != nil {
			return err
		}
	}
	return nil
}

// TestCorpus: every archive among real models opens, and its members are those that archive/zip finds.
func TestCorpus(t *testing.T) {
	dir := named(t, corpusFolder)
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		head := make([]byte, 4)
		if _, err := io.ReadFull(f, head); err != nil || string(head) != localSignature {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count++
		broken := strings.Contains(path, "/malformed/")
		a, err := Open(ctx, source(path, data), 0, int64(len(data)))
		if err != nil {
			if !broken {
				t.Errorf("%s: %v", path, err)
			}
			return nil
		}
		want, err := stdzip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: archive/zip: %v", path, err)
			return nil
		}
		same(t, path, a, want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 50 {
		t.Errorf("%d archives", count)
	}
	t.Log(count, "archives")
}

// same compares an archive with what archive/zip sees of it.
func same(t testing.TB, path string, a *Archive, want *stdzip.Reader) {
	t.Helper()
	i := 0
	for _, f := range want.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if i == len(a.Members) {
			t.Errorf("%s: no %s", path, f.Name)
			return
		}
		m := &a.Members[i]
		i++
		off, err := f.DataOffset()
		if err != nil {
			t.Errorf("%s: %s: %v", path, f.Name, err)
			return
		}
		if m.Name != f.Name && f.NonUTF8 == false || m.Size != int64(f.UncompressedSize64) || m.Packed != int64(f.CompressedSize64) || m.Off != off || m.CRC != f.CRC32 {
			t.Errorf("%s: %+v, archive/zip has %+v at %d", path, m, f.FileHeader, off)
			return
		}
		got, gotErr := content(a, m)
		r, err := f.Open()
		if err != nil {
			if gotErr == nil {
				t.Errorf("%s: %s: archive/zip: %v", path, f.Name, err)
			}
			continue
		}
		b, err := io.ReadAll(r)
		if (err == nil) != (gotErr == nil) && gotErr == nil {
			t.Errorf("%s: %s: read, and archive/zip says %v", path, f.Name, err)
		}
		if gotErr == nil && !bytes.Equal(got, b) {
			t.Errorf("%s: %s: other bytes", path, f.Name)
		}
		if gotErr != nil && err == nil {
			t.Errorf("%s: %s: %v", path, f.Name, gotErr)
		}
	}
}
