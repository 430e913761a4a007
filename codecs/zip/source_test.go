package zip

import (
	"context"
	"crypto/sha256"
	"io"
	"sync"

	"github.com/isomerfs/isomerfs/layout"
)

var ctx = context.Background()

// stored is a file in memory that counts what is read of it.
type stored struct {
	name string
	data []byte
	read int64
}

func source(name string, data []byte) *stored { return &stored{name: name, data: data} }

func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(s.data)) {
		n = copy(p, s.data[off:])
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (s *stored) Size() int64    { return int64(len(s.data)) }
func (s *stored) ID() layout.ID  { return sha256.Sum256(s.data) }
func (s *stored) String() string { return s.name }

// workspace keeps everything in memory.
type workspace struct {
	mu   sync.Mutex // guards made
	made map[layout.ID][]byte
}

func (w *workspace) Budget() int64 { return 16 << 20 }

func (w *workspace) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.made == nil {
		w.made = map[layout.ID][]byte{}
	}
	if _, ok := w.made[id]; !ok {
		b := make(buffer, size)
		if err := build(ctx, b); err != nil {
			return nil, err
		}
		w.made[id] = b
	}
	return source("kept", w.made[id]), nil
}

type buffer []byte

func (b buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

// content is a member's bytes as they are served.
func content(a *Archive, m *Member) ([]byte, error) {
	f, err := a.File(m)
	if err != nil {
		return nil, err
	}
	return bytesOf(f)
}

func bytesOf(f *layout.File) ([]byte, error) {
	p := make([]byte, f.Size())
	if len(p) == 0 {
		return p, nil
	}
	_, err := f.ReadAt(ctx, &workspace{}, p, 0)
	return p, err
}
