package main

import (
	"context"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/isomerfs/isomerfs/layout"
)

// piece is how much one worker converts at a time: large enough that the workers seldom meet, small enough that they
// end together.
const piece = 4 << 20

// largest is the most that a piece grows to when a block of the computation is larger.
const largest = 64 << 20

// pieces deals out the ranges of a file, in order.
type pieces struct {
	file *layout.File
	len  int64 // of a usual piece

	mu   sync.Mutex
	next int64 // guarded by mu
}

// take is the next range, grown to the end of a block that is cheap only as a whole.
func (p *pieces) take() (lo, hi int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lo, size := p.next, p.file.Size()
	if lo >= size {
		return 0, 0, false
	}
	hi = min(lo+p.len, size)
	if hi < size {
		if from, to := p.file.Grain(hi); from < hi && to > hi && to-lo <= largest {
			hi = to
		}
	}
	p.next = hi
	return lo, hi, true
}

// write converts a file into an empty one with all processors.
func write(ctx context.Context, f output, ws layout.Workspace, to *os.File, bar *progress) error {
	if f.node.File.Check != nil {
		if err := f.node.File.Check(ctx); err != nil {
			return err
		}
	}
	if opener, ok := f.file.Identical().(layout.Opener); ok {
		return copyFile(ctx, opener, to, f, bar)
	}
	all := &pieces{file: f.file, len: piece}
	group, working := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for {
				lo, hi, ok := all.take()
				if !ok {
					return nil
				}
				if err := f.file.Fill(working, ws, to, lo, hi); err != nil {
					return err
				}
				bar.add(hi - lo)
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return f.file.Verify(ctx)
}

// copyFile copies a stored file by the kernel: where the file system can, without copying a byte.
func copyFile(ctx context.Context, from layout.Opener, to *os.File, f output, bar *progress) error {
	in, err := from.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	for left := f.size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(to, in, min(left, largest))
		bar.add(n)
		if left -= n; err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF && left > 0 {
			break // cut meanwhile: Check says so
		}
	}
	if f.node.File.Check == nil {
		return nil
	}
	return f.node.File.Check(ctx)
}

// checkedFirst is the size up to which nothing of a file is streamed before the checksums of what it comes from were
// compared. Of larger ones they are while their bytes pass by, and what is left at the end.
const checkedFirst = 32 << 20

// stream converts a file to a writer that takes bytes in order alone. Memory is bounded by the pieces that wait.
func stream(ctx context.Context, file *layout.File, ws layout.Workspace, to io.Writer, bar *progress) error {
	if file.Size() <= checkedFirst && file.Unverified() <= checkedFirst {
		if err := file.Verify(ctx); err != nil {
			return err
		}
	}
	if err := streamed(ctx, file, ws, to, bar); err != nil {
		return err
	}
	return file.Verify(ctx)
}

func streamed(ctx context.Context, file *layout.File, ws layout.Workspace, to io.Writer, bar *progress) error {
	type part struct {
		lo, hi int64
		bytes  *section
		done   chan error
	}
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	todo := make(chan *part)
	inOrder := make(chan *part, workers+1)
	spare := sync.Pool{New: func() any { return &section{} }}
	group.Go(func() error { // deal out
		defer close(todo)
		defer close(inOrder)
		all := &pieces{file: file, len: piece / 4}
		for {
			lo, hi, ok := all.take()
			if !ok {
				return nil
			}
			p := &part{lo, hi, spare.Get().(*section), make(chan error, 1)}
			select {
			case inOrder <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case todo <- p:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	for range workers {
		group.Go(func() error {
			for p := range todo {
				p.bytes.reset(p.lo, p.hi)
				p.done <- file.Fill(ctx, ws, p.bytes, p.lo, p.hi)
			}
			return nil
		})
	}
	group.Go(func() error {
		for p := range inOrder {
			select {
			case err := <-p.done:
				if err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
			if _, err := to.Write(p.bytes.b); err != nil {
				return err
			}
			bar.add(p.hi - p.lo)
			spare.Put(p.bytes)
		}
		return nil
	})
	return group.Wait()
}

// section is a range of a file in memory.
type section struct {
	lo int64
	b  []byte
}

func (s *section) reset(lo, hi int64) {
	if n := int(hi - lo); cap(s.b) < n {
		s.b = make([]byte, n)
	} else {
		s.b = s.b[:n]
	}
	s.lo = lo
}

// WriteAt is io.WriterAt at the file's own offsets.
func (s *section) WriteAt(p []byte, off int64) (int, error) { return copy(s.b[off-s.lo:], p), nil }
