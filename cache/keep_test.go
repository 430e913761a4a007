package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// recipe is a build of so many bytes.
type recipe struct {
	id    layout.ID
	want  []byte
	runs  atomic.Int64
	wait  chan bool
	write func(w io.WriterAt, want []byte) error
}

func newRecipe(seed uint64, size int) *recipe {
	s := newSource(seed, size)
	return &recipe{id: s.id, want: s.b}
}

func (r *recipe) build(ctx context.Context, w io.WriterAt) error {
	r.runs.Add(1)
	if r.wait != nil {
		select {
		case <-r.wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.write != nil {
		return r.write(w, r.want)
	}
	for off := len(r.want) / 70_000 * 70_000; off >= 0; off -= 70_000 { // from the end
		if _, err := w.WriteAt(r.want[off:min(off+70_000, len(r.want))], int64(off)); err != nil {
			return err
		}
	}
	return nil
}

func (r *recipe) keep(ctx context.Context, c *Cache) (layout.Source, error) {
	return c.Keep(ctx, r.id, int64(len(r.want)), r.build)
}

func (r *recipe) check(t *testing.T, src layout.Source) {
	t.Helper()
	if src.Size() != int64(len(r.want)) || src.ID() != r.id {
		t.Fatalf("kept %d bytes as %v", src.Size(), src.ID())
	}
	got := make([]byte, len(r.want)+1)
	if n, err := src.ReadAt(context.Background(), got, 0); n != len(r.want) || err != io.EOF || !bytes.Equal(got[:n], r.want) {
		t.Fatalf("kept bytes: %d of %d, %v", n, len(r.want), err)
	}
	if n, err := src.ReadAt(context.Background(), got[:100], 500); n != 100 || err != nil || !bytes.Equal(got[:100], r.want[500:600]) {
		t.Fatalf("kept bytes in the middle: %d, %v", n, err)
	}
}

// TestKeep builds once for all who ask, keeps it over a restart, and builds again what was evicted.
func TestKeep(t *testing.T) {
	for _, size := range []int{30_000, 3 << 20} {
		d := newMemDisk()
		c := open(t, Options{Disk: d, Memory: 100_000})
		r := newRecipe(1, size)
		r.wait = make(chan bool)
		ctx, cancel := context.WithCancel(context.Background())
		left := make(chan error)
		go func() {
			_, err := r.keep(ctx, c)
			left <- err
		}()
		until(t, "a build", func() bool { return r.runs.Load() == 1 })
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		time.AfterFunc(10*time.Millisecond, func() { close(r.wait) })
		var src layout.Source
		together(20, func(i int) {
			s, err := r.keep(context.Background(), c)
			if err != nil {
				t.Error(err)
				return
			}
			r.check(t, s)
			if i == 0 {
				src = s
			}
		})
		if r.runs.Load() != 1 {
			t.Errorf("%d builds", r.runs.Load())
		}
		if size > smallMost {
			for _, name := range d.list() {
				must(t, d.Remove(name))
			}
		} else {
			for i := range 5 {
				other := newRecipe(uint64(i), 30_000)
				if _, err := other.keep(context.Background(), c); err != nil {
					t.Error(err)
				}
			}
		}
		r.check(t, src)
		if r.runs.Load() != 2 {
			t.Errorf("%d builds after it was evicted", r.runs.Load())
		}
		if d.opened() > 1 {
			t.Errorf("%d files are open", d.opened())
		}
		c.Close()
		if size > smallMost {
			c = open(t, Options{Disk: d})
			s, err := r.keep(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			r.check(t, s)
			if r.runs.Load() != 2 {
				t.Errorf("%d builds after a restart", r.runs.Load())
			}
		}
	}
}

// TestBadBuild keeps nothing of a build that fails, leaves bytes out, writes elsewhere, or breaks down.
func TestBadBuild(t *testing.T) {
	for what, one := range map[string]struct {
		write func(w io.WriterAt, want []byte) error
		kind  fault.Kind
	}{
		"an error":         {func(io.WriterAt, []byte) error { return fault.New(fault.Malformed, "no") }, fault.Malformed},
		"nothing written":  {func(io.WriterAt, []byte) error { return nil }, fault.Truncated},
		"a hole":           {func(w io.WriterAt, b []byte) error { w.WriteAt(b[:100], 0); w.WriteAt(b[101:], 101); return nil }, fault.Truncated},
		"a missing end":    {func(w io.WriterAt, b []byte) error { w.WriteAt(b[:len(b)-1], 0); return nil }, fault.Truncated},
		"past the end":     {func(w io.WriterAt, b []byte) error { _, err := w.WriteAt(b, 1); return err }, fault.Extent},
		"before the start": {func(w io.WriterAt, b []byte) error { _, err := w.WriteAt(b, -1); return err }, fault.Extent},
		"a panic":          {func(io.WriterAt, []byte) error { panic("oh") }, fault.Unknown},
	} {
		for _, size := range []int{30_000, 2 << 20} {
			d := newMemDisk()
			c := open(t, Options{Disk: d})
			r := newRecipe(1, size)
			r.write = one.write
			if _, err := r.keep(context.Background(), c); err == nil || fault.KindOf(err) != one.kind {
				t.Errorf("%s: %v", what, err)
			}
			if names := d.list(); len(names) != 0 {
				t.Errorf("%s: left %q", what, names)
			}
			r.write = nil
			s, err := r.keep(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			r.check(t, s)
			c.Close()
		}
	}
}

// TestBuildWritesTwice has the checksums of what stands there in the end.
func TestBuildWritesTwice(t *testing.T) {
	d := newMemDisk()
	c := open(t, Options{Disk: d})
	r := newRecipe(1, 3<<20)
	r.write = func(w io.WriterAt, want []byte) error {
		w.WriteAt(make([]byte, len(want)), 0)
		w.WriteAt(want[:1<<20+5], 0)
		_, err := w.WriteAt(want[1<<20:], 1<<20)
		return err
	}
	s, err := r.keep(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.check(t, s)
	if err := verify(context.Background(), d, func(_ Item, err error) { must(t, err) }); err != nil {
		t.Error(err)
	}
}

// TestKeepNeedsRoom fails, as a view does not.
func TestKeepNeedsRoom(t *testing.T) {
	d := newMemDisk()
	d.total = 4 << 20
	c := open(t, Options{Disk: d})
	r := newRecipe(1, 5<<20)
	if _, err := r.keep(context.Background(), c); fault.KindOf(err) != fault.Space || fault.Remedy(err) == "" || r.runs.Load() != 0 {
		t.Errorf("a build without room: %v after %d runs", err, r.runs.Load())
	}
}

// TestMaterializedSmall is a small file that comes as a whole, and is held in memory, as the result that it is of too.
func TestMaterializedSmall(t *testing.T) {
	c := open(t, Options{Disk: newMemDisk()})
	r := newRecipe(2, 5000)
	f, err := layout.New(layout.Materialized{Name: "recipe/1", Length: int64(len(r.want)), Run: func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
		return r.build(ctx, w)
	}})
	must(t, err)
	e := c.Get(f, "small")
	checkAll(t, e, r.want, 1000)
	e.Release()
	if r.runs.Load() != 1 {
		t.Errorf("%d builds", r.runs.Load())
	}
}

// TestMaterialized is a view that comes as a whole, and one that has such a part: the built bytes lie there once.
func TestMaterialized(t *testing.T) {
	d := newMemDisk()
	c := open(t, Options{Disk: d})
	r := newRecipe(1, 3<<20)
	m := layout.Materialized{Name: "recipe/1", Length: int64(len(r.want)), Run: func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
		return r.build(ctx, w)
	}}
	alone, err := layout.New(m)
	must(t, err)
	e := c.Get(alone, "alone")
	if err := e.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(t, e, r.want, 2<<20, 5000)
	until(t, "what was built is read directly", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.sealed })
	if got := e.State(); got != Ready {
		t.Errorf("a built view is %v", got)
	}
	checkAll(t, e, r.want, 1<<20)
	if err := e.Warm(context.Background()); err != nil {
		t.Error(err)
	}
	e.Release()
	headed, err := layout.New(layout.Literal("head"), m)
	must(t, err)
	e = c.Get(headed, "headed")
	checkAll(t, e, append([]byte("head"), r.want...), 1<<20)
	until(t, "ready", ready(e))
	e.Release()
	if r.runs.Load() != 1 {
		t.Errorf("%d builds", r.runs.Load())
	}
	if names := d.list(); len(names) != 4 {
		t.Errorf("on the disk: %q", names)
	}
}
