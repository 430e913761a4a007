package cache

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// wholeAtOpen is the size up to which a view is filled when it is opened: so even its first mapping is the kernel's.
const wholeAtOpen = 32 << 20

// Prepare is what an open does. It learns of a file that another daemon sealed, and lets a file that failed try again.
// A file of at most 32 MiB is filled, and an error says why its bytes can't be had; where it cannot be kept, it is
// read without.
func (e *Entry) Prepare(ctx context.Context) error {
	if e.small {
		return e.prepareSmall(ctx)
	}
	e.probe(always)
	e.mu.Lock()
	e.retried()
	ready := e.data != nil
	if !ready && e.size <= wholeAtOpen {
		e.body = true
	}
	e.mu.Unlock()
	if ready || e.size > wholeAtOpen || e.built {
		return nil
	}
	for {
		p := e.ensure()
		if p == nil {
			return e.first(ctx)
		}
		p.h.release()
		e.mu.Lock()
		err := e.refusal()
		if err == nil && e.data == nil {
			err = e.request(0, e.size, segment)
		}
		done, changed := e.data != nil || e.have.total == e.size, e.change()
		e.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// first reads a file's first byte, so that an open of what can't be had fails.
func (e *Entry) first(ctx context.Context) error {
	if e.size == 0 {
		return nil
	}
	_, err := e.ReadAt(ctx, make([]byte, 1), 0)
	return err
}

// Warm fills the file and waits until it is sealed, or held in memory. fault.Space: it cannot be kept.
func (e *Entry) Warm(ctx context.Context) error {
	if e.small {
		return e.prepareSmall(ctx)
	}
	if e.built {
		return e.warmBuilt(ctx)
	}
	e.probe(always)
	e.mu.Lock()
	e.retried()
	e.again = time.Time{}
	e.body, e.eager = true, true
	for {
		switch {
		case e.sealed:
			e.mu.Unlock()
			return nil
		case e.refusal() != nil:
			err := e.refusal()
			e.mu.Unlock()
			return err
		case time.Now().Before(e.again):
			err := e.denied
			e.mu.Unlock()
			return err
		case e.c.ctx.Err() != nil:
			e.mu.Unlock()
			return errClosed
		}
		e.eager = true
		e.pump()
		changed := e.change()
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		e.mu.Lock()
	}
}

// warmBuilt waits for a file that comes as a whole.
func (e *Entry) warmBuilt(ctx context.Context) error {
	if err := e.first(ctx); err != nil {
		return err
	}
	if e.State() != Ready {
		return fault.New(fault.Space, "the file was made and could not be kept")
	}
	return nil
}

// ensure is the file's part, its handle held; nil where there is none: too little was asked for, no room.
func (e *Entry) ensure() *part {
	e.mu.Lock()
	if p := e.held(); p != nil || !e.wanted() {
		e.mu.Unlock()
		return p
	}
	e.mu.Unlock()
	e.making.Lock()
	defer e.making.Unlock()
	e.mu.Lock()
	if p := e.held(); p != nil || !e.wanted() {
		e.mu.Unlock()
		return p
	}
	evict := e.eager || e.size <= wholeAtOpen
	e.mu.Unlock()

	p, err := e.c.reserve(e.id, e.size, evict)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if fault.KindOf(err) != fault.Space || e.denied == nil {
			e.c.log.Info("a file is served without being kept", "path", e.name, "reason", err)
		}
		e.deny(err)
		return nil
	}
	if e.data != nil || e.c.ctx.Err() != nil {
		p.drop()
		e.c.ledger.release(p)
		return nil
	}
	e.part, e.have = p, ranges{}
	e.denied = nil
	for _, fl := range e.recent { // what was computed before there was a part
		fl.hold()
		if !e.c.begin(func() { e.rescue(fl, p) }) {
			fl.release()
		}
	}
	p.h.hold()
	return p
}

// held is the part with its handle held, with e.mu held.
func (e *Entry) held() *part {
	if e.part == nil || e.data != nil {
		return nil
	}
	e.part.h.hold()
	return e.part
}

// wanted reports whether a part should be made, with e.mu held.
func (e *Entry) wanted() bool {
	return (e.body || e.eager) && !e.built && e.data == nil && e.part == nil && !time.Now().Before(e.again) && e.c.ctx.Err() == nil
}

// rescue writes what was computed before there was a part.
func (e *Entry) rescue(fl *flight, p *part) {
	defer fl.release()
	e.mu.Lock()
	if e.part != p || e.data != nil {
		e.mu.Unlock()
		return
	}
	p.h.hold()
	e.mu.Unlock()
	err := p.write(fl.buf.b, fl.lo, e.c.begin)
	p.h.release()
	e.mu.Lock()
	switch {
	case e.part != p || e.data != nil:
	case err != nil:
		e.unwritable(err)
	default:
		e.have.add(fl.lo, fl.hi)
		p.done.Store(e.have.total)
		e.tell()
		if e.have.total == e.size {
			e.finish()
		}
	}
	e.mu.Unlock()
	if e.c.gate.drop(fl) {
		fl.forget()
	}
	e.mu.Lock()
	e.pump()
	e.mu.Unlock()
}

// unwritable gives up the part that could not be written, with e.mu held.
func (e *Entry) unwritable(err error) {
	e.c.log.Warn("a file is served without being kept: the cache could not be written", "path", e.name, "error", err)
	e.deny(diskFault(err))
	e.dropPart()
}

// finish is called with e.mu held when every byte is on the disk. What checksums its sources state is compared first,
// as far as that was not done while they were read.
func (e *Entry) finish() {
	file, p := e.file, e.part
	if e.checking {
		return
	}
	if file == nil || file.Unverified() == 0 {
		e.complete()
		return
	}
	e.checking = true
	e.c.begin(func() {
		err := e.c.verify(file)
		e.mu.Lock()
		e.checking = false
		switch {
		case e.part != p || e.data != nil:
		case err == nil:
			e.complete()
		default:
			e.fail(err)
			e.dropPart()
		}
		e.mu.Unlock()
		e.c.settle(e)
	})
}

// verify is File.Verify, as compute is ReadAt.
func (c *Cache) verify(file *layout.File) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("a check of checksums panicked", "panic", r, "stack", string(debug.Stack()))
			err = fault.New(fault.Unknown, "a check of checksums broke down: %v", r)
		}
	}()
	return file.Verify(c.ctx)
}

// complete is called with e.mu held when every byte is on the disk and right. Readers have the whole file from now on;
// it is sealed behind them.
func (e *Entry) complete() {
	e.data = e.part.h.hold()
	e.giveSlot()
	e.reading = readers{}
	e.notify()
	p := e.part
	e.c.begin(func() { e.seal(p) })
}

// seal makes the whole file durable.
func (e *Entry) seal(p *part) {
	c := e.c
	c.seals <- struct{}{}
	e.mu.Lock()
	name := e.name
	if e.part != p { // given up meanwhile
		e.mu.Unlock()
		<-c.seals
		return
	}
	p.h.hold()
	e.mu.Unlock()
	rec, err := p.seal(name)
	p.h.release()
	<-c.seals
	e.mu.Lock()
	if e.part != p {
		e.mu.Unlock()
		return
	}
	if err == nil {
		e.part, e.have = nil, ranges{}
		e.sealed = true
		e.err, e.pause, e.wait = nil, 0, 0
		c.ledger.settled(p)
		c.digests.put(e.id, rec)
		p.h.release()
		e.tell()
		e.mu.Unlock()
		c.sealed.Add(1)
		c.digest(e.id)
		c.settle(e)
		return
	}
	if errors.Is(err, errRival) && e.replace(p) {
		e.mu.Unlock()
		c.settle(e)
		return
	}
	c.log.Warn("a file could not be sealed in the cache", "path", e.name, "error", err)
	e.deny(diskFault(err))
	e.dropPart()
	e.mu.Unlock()
	c.settle(e)
}

// replace puts the file that another daemon sealed first in the place of our own, with e.mu held.
func (e *Entry) replace(p *part) bool {
	h, rec, err := openSealed(e.c.disk, e.id, e.size)
	if err != nil {
		return false
	}
	e.letGo()
	e.data, e.sealed, e.probed = h, true, true
	e.part, e.have = nil, ranges{}
	p.drop()
	e.c.ledger.release(p)
	e.c.ledger.add(e.id, e.size, time.Now())
	e.c.digests.put(e.id, rec)
	e.tell()
	return true
}
