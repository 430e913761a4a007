package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"sync"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

var _ layout.Workspace = (*Cache)(nil)

// whole reports whether a file comes as a whole: Keep seals it under the same ID, and it needs no part of its own.
func whole(f *layout.File) bool {
	spans := f.Spans()
	if len(spans) != 1 || f.Size() <= smallMost {
		return false
	}
	_, ok := spans[0].(layout.Materialized)
	return ok
}

// builds is what Keep makes at the moment.
type builds struct {
	mu  sync.Mutex // guards the rest
	now map[layout.ID]*building
}

// building is one run of a build, shared by those who wait for it.
type building struct {
	done chan struct{}
	err  error
	part *part // guarded by builds.mu; nil before there is one
	size int64
}

func (c *Cache) building(id layout.ID) bool {
	c.builds.mu.Lock()
	defer c.builds.mu.Unlock()
	return c.builds.now[id] != nil
}

// list is the builds as fills. They have no path: what is made belongs to all views that are made of it.
func (b *builds) list() []Fill {
	b.mu.Lock()
	defer b.mu.Unlock()
	var fills []Fill
	for id, one := range b.now {
		if one.part != nil {
			fills = append(fills, Fill{Path: id.String(), Done: one.part.done.Load(), Size: one.size})
		}
	}
	return fills
}

// drop removes the parts of builds that were left behind.
func (b *builds) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.now {
		if one.part != nil {
			one.part.remove()
		}
	}
}

// Budget is the memory that one evaluation may hold.
func (c *Cache) Budget() int64 { return budget }

// Keep returns what is kept under id, or what build makes of it: size bytes, written in any order, each at least once.
// However many ask, build runs once at a time, and goes on when they leave. fault.Space: there is no room to keep it.
// The result stays readable when it is evicted meanwhile: then it is built again.
func (c *Cache) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	k := &kept{c: c, id: id, size: size, build: build}
	if size <= smallMost {
		_, err := k.small(ctx)
		return k, err
	}
	if onDisk(c.disk, id, size) {
		return k, nil
	}
	return k, c.keep(ctx, k)
}

// keep waits until what k describes was built.
func (c *Cache) keep(ctx context.Context, k *kept) error {
	b := &c.builds
	b.mu.Lock()
	one := b.now[k.id]
	if one == nil {
		one = &building{done: make(chan struct{}), size: k.size}
		started := c.begin(func() {
			err := c.make(k, one)
			b.mu.Lock()
			one.err = err
			delete(b.now, k.id)
			b.mu.Unlock()
			close(one.done)
		})
		if !started {
			b.mu.Unlock()
			return errClosed
		}
		if b.now == nil {
			b.now = map[layout.ID]*building{}
		}
		b.now[k.id] = one
	}
	b.mu.Unlock()
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// make runs a build into a part, and seals it.
func (c *Cache) make(k *kept, one *building) (err error) {
	defer c.active()
	if h, _, err := openSealed(c.disk, k.id, k.size); err == nil {
		h.release()
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		c.discard(k.id, err)
	}
	p, err := c.reserve(k.id, k.size, true)
	if err != nil {
		return err
	}
	c.builds.mu.Lock()
	one.part = p
	c.builds.mu.Unlock()
	w := &builder{part: p, begin: c.begin}
	if err = k.run(c.ctx, w); err == nil {
		err = w.whole()
	}
	if err == nil && c.ctx.Err() != nil {
		err = errClosed
	}
	if err == nil {
		var rec *record
		if rec, err = p.seal(k.String()); err == nil {
			c.ledger.settled(p)
			c.digests.put(k.id, rec)
			p.h.release()
			c.sealed.Add(1)
			return nil
		}
		if !errors.Is(err, errRival) {
			err = diskFault(err)
		}
	}
	p.drop()
	c.ledger.release(p)
	if errors.Is(err, errRival) {
		return nil
	}
	if c.ctx.Err() != nil {
		return errClosed
	}
	return err
}

// builder writes what a build makes, and knows what it did not.
type builder struct {
	part  *part
	begin func(func()) bool

	mu   sync.Mutex // guards have
	have ranges
}

func (w *builder) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > w.part.size-int64(len(p)) {
		return 0, fault.At(fault.Extent, off, "a build of %d bytes writes %d here", w.part.size, len(p))
	}
	w.mu.Lock()
	again := w.have.overlaps(off, off+int64(len(p)))
	w.have.add(off, off+int64(len(p)))
	total := w.have.total
	w.mu.Unlock()
	if err := w.part.write(p, off, w.begin); err != nil {
		return 0, diskFault(err)
	}
	if again {
		w.part.unsummed(off, off+int64(len(p)))
	}
	w.part.done.Store(total)
	return len(p), nil
}

// whole fails for a build that left bytes out.
func (w *builder) whole() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.have.total < w.part.size {
		return fault.At(fault.Truncated, w.have.end(0), "a build wrote %d of %d bytes", w.have.total, w.part.size)
	}
	return nil
}

// kept is a result of Keep. It holds no descriptor.
type kept struct {
	c     *Cache
	id    layout.ID
	size  int64
	build func(context.Context, io.WriterAt) error
}

func (k *kept) ID() layout.ID  { return k.id }
func (k *kept) Size() int64    { return k.size }
func (k *kept) String() string { return fmt.Sprintf("(built %.12s)", k.id) }

func (k *kept) run(ctx context.Context, w io.WriterAt) (err error) {
	defer func() {
		if r := recover(); r != nil {
			k.c.log.Error("a build panicked", "id", k.id, "panic", r, "stack", string(debug.Stack()))
			err = fault.New(fault.Unknown, "a build of %d bytes broke down: %v", k.size, r)
		}
	}()
	return k.build(ctx, w)
}

// small is the bytes of a result that is held in memory. It is held under a name of its own: the ID of a file that is
// this result and nothing else is k.id too, and whoever computes that file would wait here for itself.
func (k *kept) small(ctx context.Context) ([]byte, error) {
	own := k.id
	for i := range own {
		own[i] ^= 0xff
	}
	return k.c.hold(ctx, own, k.size, func(ctx context.Context, p []byte) error {
		w := &memoryBuilder{p: p}
		if err := k.run(ctx, w); err != nil {
			return err
		}
		if w.have.total < k.size {
			return fault.At(fault.Truncated, w.have.end(0), "a build wrote %d of %d bytes", w.have.total, k.size)
		}
		return nil
	})
}

type memoryBuilder struct {
	p    []byte
	mu   sync.Mutex // guards have
	have ranges
}

func (w *memoryBuilder) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(w.p)-len(p)) {
		return 0, fault.At(fault.Extent, off, "a build of %d bytes writes %d here", len(w.p), len(p))
	}
	w.mu.Lock()
	w.have.add(off, off+int64(len(p)))
	w.mu.Unlock()
	return copy(w.p[off:], p), nil
}

func (k *kept) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fault.New(fault.Usage, "read at negative offset %d", off)
	}
	if off >= k.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), k.size-off))
	if k.size <= smallMost {
		b, err := k.small(ctx)
		if err != nil {
			return 0, err
		}
		copy(p, b[off:])
	} else if err := k.read(ctx, p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read reads the sealed file, which is built again where it went.
func (k *kept) read(ctx context.Context, p []byte, off int64) error {
	k.c.active()
	e := k.c.open(k.id, k.size, false, true)
	defer e.Release()
	for {
		e.probe(always)
		e.mu.Lock()
		var h *handle
		if e.data != nil {
			h = e.data.hold()
		}
		e.mu.Unlock()
		if h == nil {
			if err := k.c.keep(ctx, k); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		err := readFull(h, p, off)
		if err != nil {
			e.lost(h, err)
		}
		h.release()
		if err == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
