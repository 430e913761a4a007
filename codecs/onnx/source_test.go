package onnx

import (
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

var ctx = context.Background()

// stored is a file in memory.
type stored struct {
	name string
	data []byte
	id   layout.ID
}

func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := copy(p, s.data[min(off, s.Size()):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (s *stored) Size() int64 { return int64(len(s.data)) }
func (s *stored) ID() layout.ID {
	if s.id == (layout.ID{}) {
		s.id = sha256.Sum256(append([]byte(s.name+"\x00"), s.data...))
	}
	return s.id
}
func (s *stored) String() string { return s.name }

// folder is the files of a version.
type folder map[string]*stored

func (f folder) List() []string { return slices.Sorted(maps.Keys(f)) }
func (f folder) Open(name string) (layout.Source, error) {
	if s := f[name]; s != nil {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

// files are those of a folder of the disk, or one file of it.
func files(t testing.TB, root string) folder {
	t.Helper()
	f := folder{}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		if path == root {
			name = filepath.Base(path)
		}
		f[filepath.ToSlash(name)] = &stored{name: filepath.ToSlash(name), data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// workspace keeps what is materialized in memory.
type workspace struct{ kept map[layout.ID]*stored }

func (w *workspace) Budget() int64 { return 1 << 20 }
func (w *workspace) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	if s := w.kept[id]; s != nil {
		return s, nil
	}
	s := &stored{name: "kept", data: make([]byte, size)}
	if err := build(ctx, at(s.data)); err != nil {
		return nil, err
	}
	if w.kept == nil {
		w.kept = map[layout.ID]*stored{}
	}
	w.kept[id] = s
	return s, nil
}

type at []byte

func (p at) WriteAt(q []byte, off int64) (int, error) {
	if n := copy(p[off:], q); n < len(q) {
		return n, io.ErrShortWrite
	}
	return len(q), nil
}

// content is all of a file.
func content(t testing.TB, f *layout.File) []byte {
	t.Helper()
	p := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, &workspace{}, p, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return p
}

// layoutSource is a file that was written, as one to read.
type layoutSource struct{ *layout.File }

func (s layoutSource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return s.File.ReadAt(ctx, &workspace{}, p, off)
}
func (s layoutSource) String() string { return "written" }

// meter is the same, and counts the bytes that are read of it.
type meter struct {
	*layout.File
	read int64
}

func (s *meter) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	s.read += int64(len(p))
	return s.File.ReadAt(ctx, &workspace{}, p, off)
}
func (s *meter) String() string { return "metered" }
