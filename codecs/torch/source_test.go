package torch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

// stored is a file in memory.
type stored struct {
	name string
	data []byte
}

func (s stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(s.data).ReadAt(p, off)
}
func (s stored) Size() int64    { return int64(len(s.data)) }
func (s stored) ID() layout.ID  { return sha256.Sum256(s.data) }
func (s stored) String() string { return s.name }

// folder is files in memory, by name.
type folder map[string][]byte

func (f folder) List() []string {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f folder) Open(name string) (layout.Source, error) {
	data, ok := f[name]
	if !ok {
		return nil, fault.In(name, fault.New(fault.Missing, "there is no such file"))
	}
	return stored{name, data}, nil
}

// workspace keeps what is materialized in memory.
type workspace struct {
	budget int64
	mu     sync.Mutex
	kept   map[layout.ID]layout.Source
}

func (w *workspace) Budget() int64 { return w.budget }

func (w *workspace) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.kept[id]; ok {
		return s, nil
	}
	b := make(buffer, size)
	if err := build(ctx, b); err != nil {
		return nil, err
	}
	if w.kept == nil {
		w.kept = map[layout.ID]layout.Source{}
	}
	w.kept[id] = stored{"kept", b}
	return w.kept[id], nil
}

type buffer []byte

func (b buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

// bytesIn is the whole of a layout.
func bytesIn(f *layout.File) ([]byte, error) {
	p := make([]byte, f.Size())
	_, err := f.ReadAt(ctx, &workspace{budget: 1 << 20}, p, 0)
	if err == io.EOF {
		err = nil
	}
	return p, err
}

// load reads a file by the format that takes it.
func load(files layout.Files, name string) (*model.Model, error) {
	m, err := Read(ctx, files, name)
	if err != nil && fault.KindOf(err) == fault.Unsupported && MatchScript(name) {
		return ReadScript(ctx, files, name)
	}
	return m, err
}

// line is what a test compares of a tensor.
func line(t *model.Tensor) (string, error) {
	data, err := bytesIn(t.Data)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\t%s\t%v\t%x", t.Name, t.DType, t.Shape, sha256.Sum256(data)), nil
}
