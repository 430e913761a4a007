package cache

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/layout"
)

// stored is a source in a file, so that reading it costs what it does in use.
type stored struct {
	*source
	f *os.File
}

func (s stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return s.f.ReadAt(p, off)
}

// BenchmarkCold fills 128 MiB through one sequential reader, and waits for the seal. Beside it, in turns, a plain loop
// reads, halves, writes and syncs as much, one thread: cold/plain is the ratio of the times. Where the temporary folder
// is in memory nothing is synced on either side, and the figure means little.
func BenchmarkCold(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	path := filepath.Join(dir, "source")
	s := newSource(1, size)
	if err := os.WriteFile(path, s.b, 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	in := layout.Stored(stored{s, f})
	view, err := layout.New(layout.Literal("header.."), layout.Coded{Op: halve{}, In: []*layout.File{in}})
	if err != nil {
		b.Fatal(err)
	}

	plain := func() time.Duration {
		out := filepath.Join(dir, "plain")
		began := time.Now()
		w, err := os.Create(out)
		if err != nil {
			b.Fatal(err)
		}
		wide, half := make([]byte, 1<<20), make([]byte, 1<<19)
		for off := int64(0); off < size; off += 1 << 20 {
			if _, err := f.ReadAt(wide, off); err != nil {
				b.Fatal(err)
			}
			if err := (halve{}).Apply(half, [][]byte{wide}); err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(half); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Sync(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		w.Close()
		os.Remove(out)
		return took
	}
	cold := func() time.Duration {
		folder := filepath.Join(dir, "cache")
		c, err := Open(Options{Dir: folder})
		if err != nil {
			b.Fatal(err)
		}
		defer os.RemoveAll(folder)
		defer c.Close()
		began := time.Now()
		e := c.Get(view, "x")
		defer e.Release()
		p := make([]byte, 1<<20)
		for off := int64(0); off < view.Size(); off += 1 << 20 {
			if _, err := e.ReadAt(context.Background(), p, off); err != nil && err != io.EOF {
				b.Fatal(err)
			}
		}
		for e.State() != Ready {
			time.Sleep(200 * time.Microsecond)
		}
		return time.Since(began)
	}
	plain()
	cold()
	var both [2]time.Duration
	for b.Loop() {
		both[0] += plain()
		both[1] += cold()
	}
	b.ReportMetric(float64(both[1])/float64(both[0]), "cold/plain")
	b.ReportMetric(float64(both[1].Milliseconds())/float64(b.N), "ms/cold")
}

// BenchmarkWarm reads a sealed file in pieces of 4 KiB.
func BenchmarkWarm(b *testing.B) {
	f, _, _ := sized(b, 1, 16<<20)
	c, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	e := c.Get(f, "x")
	defer e.Release()
	if err := e.Warm(context.Background()); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, 4096)
	off := int64(0)
	b.SetBytes(4096)
	for b.Loop() {
		if _, err := e.ReadAt(context.Background(), p, off); err != nil {
			b.Fatal(err)
		}
		off = (off + 4096) % (16 << 20)
	}
}

// BenchmarkOpen opens a sealed file, takes its descriptor and lets it go.
func BenchmarkOpen(b *testing.B) {
	f, _, _ := sized(b, 1, 2<<20)
	c, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	e := c.Get(f, "x")
	if err := e.Warm(context.Background()); err != nil {
		b.Fatal(err)
	}
	e.Release()
	for b.Loop() {
		e := c.Get(f, "x")
		if err := e.Prepare(context.Background()); err != nil {
			b.Fatal(err)
		}
		if _, ok := e.Complete(); !ok {
			b.Fatal("not complete")
		}
		e.Release()
	}
}
