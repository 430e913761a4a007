package zip

import (
	stdzip "archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// FuzzOpen: an archive is refused for a reason with a place within it; or archive/zip finds the same members in it, with
// the same bytes, and written anew it has them still.
func FuzzOpen(f *testing.F) {
	f.Add(plain())
	f.Add(described(0, 0))
	f.Add(zip64End(func([]byte) {}))
	names, _ := filepath.Glob("testdata/*.*")
	if dir := os.Getenv(corpusFolder); dir != "" {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() && info.Size() < 20_000 {
				names = append(names, path)
			}
			return nil
		})
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.HasPrefix(b, []byte("PK")) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Open(ctx, source("x", data), 0, int64(len(data)))
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) || e.Kind == fault.Unknown || e.Off < 0 || e.Off > int64(len(data)) {
				t.Fatalf("%v", err)
			}
			return
		}
		std, err := stdzip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("opened, and archive/zip says %v", err)
		}
		same(t, "x", a, std)
		var entries []Entry
		for i := range a.Members {
			m := &a.Members[i]
			b, err := a.Bytes(ctx, m, 1<<20)
			if err != nil {
				return
			}
			entries = append(entries, Entry{Name: m.Name, Data: layout.Bytes(b), Align: 64})
		}
		for _, style := range []Style{Torch, NumPy} {
			f, err := Write(style, entries...)
			if err != nil {
				t.Fatalf("written anew: %v", err)
			}
			again, err := Open(ctx, &virtual{File: f}, 0, f.Size())
			if err != nil || len(again.Members) != len(entries) {
				t.Fatalf("written anew, style %d: %v", style, err)
			}
			for i, e := range entries {
				want, _ := bytesOf(e.Data)
				got, err := again.Bytes(ctx, &again.Members[i], 1<<20)
				if err != nil || again.Members[i].Name != e.Name || !bytes.Equal(got, want) {
					t.Fatalf("%q written anew: %v", e.Name, err)
				}
			}
		}
	})
}
