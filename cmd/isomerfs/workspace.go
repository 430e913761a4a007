package main

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// workspace is what a conversion without a cache may use: memory, and files without a name for what comes only as a
// whole. They are gone when the process is.
type workspace struct {
	dir string

	mu   sync.Mutex
	kept map[layout.ID]*keeping // guarded by mu
}

// keeping is one result, once it is there.
type keeping struct {
	ready chan struct{} // closed when file or err is set
	file  *os.File
	id    layout.ID
	size  int64
	err   error
}

func newWorkspace(dir string) *workspace {
	return &workspace{dir: dir, kept: map[layout.ID]*keeping{}}
}

// Budget is the memory of one evaluation.
func (w *workspace) Budget() int64 { return 32 << 20 }

// Keep is layout.Workspace's. A failure is not kept: the next caller tries again.
func (w *workspace) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	for {
		w.mu.Lock()
		k, ok := w.kept[id]
		if !ok {
			k = &keeping{ready: make(chan struct{}), id: id, size: size}
			w.kept[id] = k
			w.mu.Unlock()
			if k.err = w.make(ctx, k, build); k.err != nil {
				w.mu.Lock()
				delete(w.kept, id)
				w.mu.Unlock()
			}
			close(k.ready)
			return k, k.err
		}
		w.mu.Unlock()
		select {
		case <-k.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if k.err == nil {
			return k, nil
		}
	}
}

func (w *workspace) make(ctx context.Context, k *keeping, build func(context.Context, io.WriterAt) error) error {
	file, err := os.CreateTemp(w.dir, ".isomerfs-*.tmp")
	if err != nil {
		return placed(w.dir, err)
	}
	os.Remove(file.Name())
	if err := build(ctx, file); err != nil {
		file.Close()
		return err
	}
	k.file = file
	return nil
}

// close gives the disk its space back.
func (w *workspace) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.kept {
		if k.file != nil {
			k.file.Close()
		}
	}
	clear(w.kept)
}

// A keeping is a source.

func (k *keeping) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := k.file.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = fault.New(fault.IO, "a temporary file: %w", err)
	}
	return n, err
}

func (k *keeping) Size() int64    { return k.size }
func (k *keeping) ID() layout.ID  { return k.id }
func (k *keeping) String() string { return "a temporary file" }
