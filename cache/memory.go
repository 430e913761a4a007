package cache

import (
	"container/list"
	"context"
	"sync"

	"github.com/isomerfs/isomerfs/layout"
)

// smallMost is the size up to which a file is held in memory and never written to the disk: a file takes a block there,
// a record, and two syncs.
const smallMost = 1 << 20

func small(f *layout.File) bool { return f.Size() <= smallMost || f.Literal() }

// memory holds small files, the latest used ones within its limit. Each is computed once, however many ask.
type memory struct {
	mu    sync.Mutex // guards the rest
	limit int64
	bytes int64
	items map[layout.ID]*list.Element
	order list.List // of *item, the latest used first
	calls map[layout.ID]*call
}

type item struct {
	id layout.ID
	b  []byte
}

// call is one computation, shared by those who wait for it.
type call struct {
	done chan struct{}
	b    []byte
	err  error
}

func (m *memory) find(id layout.ID) ([]byte, bool) {
	at, ok := m.items[id]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(at)
	return at.Value.(*item).b, true
}

func (m *memory) put(id layout.ID, b []byte) {
	if m.items == nil {
		m.items = map[layout.ID]*list.Element{}
	}
	if _, ok := m.find(id); ok {
		return
	}
	m.items[id] = m.order.PushFront(&item{id, b})
	m.bytes += int64(len(b))
	for m.bytes > m.limit && m.order.Len() > 1 {
		last := m.order.Back()
		old := m.order.Remove(last).(*item)
		delete(m.items, old.id)
		m.bytes -= int64(len(old.b))
	}
}

// hold is the bytes of a small file: those held, or size bytes that compute fills in. The end of ctx ends the wait alone.
func (c *Cache) hold(ctx context.Context, id layout.ID, size int64, compute func(ctx context.Context, p []byte) error) ([]byte, error) {
	m := &c.memory
	m.mu.Lock()
	if b, ok := m.find(id); ok {
		m.mu.Unlock()
		c.hits.Add(1)
		return b, nil
	}
	one := m.calls[id]
	if one == nil {
		one = &call{done: make(chan struct{})}
		started := c.begin(func() {
			b, err := c.small(size, compute)
			m.mu.Lock()
			if err == nil {
				m.put(id, b)
			}
			one.b, one.err = b, err
			delete(m.calls, id)
			m.mu.Unlock()
			close(one.done)
		})
		if !started {
			m.mu.Unlock()
			return nil, errClosed
		}
		if m.calls == nil {
			m.calls = map[layout.ID]*call{}
		}
		m.calls[id] = one
		c.misses.Add(1)
	}
	m.mu.Unlock()
	select {
	case <-one.done:
		return one.b, one.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// small computes the bytes of a small file.
func (c *Cache) small(size int64, compute func(ctx context.Context, p []byte) error) ([]byte, error) {
	t := c.gate.ticket(size, false)
	if err := c.gate.take(c.ctx, t, func() {}); err != nil {
		return nil, errClosed
	}
	defer c.gate.end(t)
	c.active()
	b := make([]byte, size)
	if err := compute(c.ctx, b); err != nil {
		if c.ctx.Err() != nil {
			err = errClosed
		}
		return nil, err
	}
	c.computed.Add(size)
	return b, nil
}

// readSmall fills p from a small file.
func (e *Entry) readSmall(ctx context.Context, p []byte, off int64) error {
	e.mu.Lock()
	file, err := e.file, e.refusal()
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if file.Literal() { // the layout has the bytes already
		return e.c.compute(ctx, file, p, off)
	}
	b, err := e.c.hold(ctx, e.id, e.size, func(ctx context.Context, p []byte) error {
		err := e.c.compute(ctx, file, p, 0)
		e.mu.Lock()
		if err != nil {
			e.fail(err)
		} else {
			e.recovered()
		}
		e.mu.Unlock()
		return err
	})
	if err != nil {
		return err
	}
	copy(p, b[off:])
	return nil
}

// prepareSmall holds a small file in memory, so that an open of what can't be had fails.
func (e *Entry) prepareSmall(ctx context.Context) error {
	e.mu.Lock()
	e.retried()
	literal := e.file.Literal()
	e.mu.Unlock()
	if literal || e.size == 0 {
		return nil
	}
	return e.readSmall(ctx, nil, 0)
}
