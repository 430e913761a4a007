package cache

import (
	"context"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// flight is one computation of bytes lo to hi of a file, however many wait for it. It ends whether or not they stay.
type flight struct {
	e      *Entry
	lo, hi int64
	ticket *ticket
	ahead  bool          // nobody waits for it: guarded by e.mu
	done   chan struct{} // closed when buf or err is set
	buf    *buffer       // the bytes
	err    error
	refs   atomic.Int32 // e.flights or e.recent, and each reader; the last gives buf back
}

func (fl *flight) hold() *flight {
	fl.refs.Add(1)
	return fl
}

func (fl *flight) release() {
	if fl.refs.Add(-1) == 0 && fl.buf != nil {
		fl.e.c.buffers.put(fl.buf)
	}
}

// launch starts the computation of lo to hi, with e.mu held.
func (e *Entry) launch(lo, hi int64, ahead bool) *flight {
	fl := &flight{e: e, lo: lo, hi: hi, ahead: ahead, done: make(chan struct{})}
	fl.refs.Store(1)
	fl.ticket = e.c.gate.ticket(hi-lo, ahead)
	fl.ticket.young = !e.body && !e.eager
	file := e.file
	if !e.c.begin(func() { fl.run(file) }) {
		fl.err = errClosed
		close(fl.done)
		return fl
	}
	e.flights = append(e.flights, fl)
	if ahead {
		e.ahead++
	}
	return fl
}

// hurry is called with e.mu held when a reader comes to wait for the flight.
func (fl *flight) hurry() {
	if fl.ahead {
		fl.ahead = false
		fl.e.ahead--
		fl.e.c.gate.hurry(fl.ticket)
	}
}

func (fl *flight) run(file *layout.File) {
	e, c := fl.e, fl.e.c
	e.mu.Lock()
	slow := e.slow
	e.mu.Unlock()
	e.reach(file, fl)
	var err error
	if !slow {
		err = c.gate.take(c.ctx, fl.ticket, e.late)
	}
	began := time.Now()
	if err == nil {
		fl.buf = c.buffers.get(fl.hi - fl.lo)
		err = c.compute(c.ctx, file, fl.buf.b, fl.lo)
	}
	if err != nil && c.ctx.Err() != nil {
		err = errClosed
	}
	quick := c.gate.computed(fl.ticket) || time.Since(began) < patience
	c.active()

	e.mu.Lock()
	fl.err = err
	if err != nil {
		e.remove(fl)
		e.fail(err)
	} else {
		e.slow = e.slow && !quick
		e.recovered()
	}
	close(fl.done)
	e.mu.Unlock()

	if err == nil {
		c.computed.Add(fl.hi - fl.lo)
		if e.built {
			e.probe(always) // what it was read from is sealed now
		}
		e.store(fl)
	} else {
		c.gate.end(fl.ticket)
		fl.release()
	}
	e.mu.Lock()
	if fl.ahead {
		fl.ahead = false
		e.ahead--
	}
	e.pump()
	e.mu.Unlock()
	c.settle(e)
}

// reach has the bytes computed first that Folds among the flight's go over: so they are kept, and pass these by. A flight
// waits for bytes before its own alone, so that no two wait for each other, and takes no turn meanwhile.
func (e *Entry) reach(file *layout.File, fl *flight) {
	lo, hi := file.Needs(fl.lo, fl.hi)
	if lo >= hi {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reaching++
	e.turns.next(e)
	defer func() { e.reaching-- }()
	for last := int64(-1); lo < hi && lo != last && e.refusal() == nil && e.keeps(); {
		if e.request(lo, hi, segment) != nil {
			return
		}
		next := e.flying(lo)
		if next == nil {
			if at, ok := e.missing(lo, hi); !ok || at != lo { // it passed by another: the Folds compute it for themselves
				return
			}
			if e.turns.wait(e.c.ctx, e) != nil {
				return
			}
			e.turns.next(e) // after the request that this round makes
			continue
		}
		next.hurry()
		next.hold()
		e.mu.Unlock()
		err := next.wait(e.c.ctx)
		next.release()
		last = lo
		lo, hi = file.Needs(fl.lo, fl.hi)
		e.mu.Lock()
		if err != nil {
			return
		}
	}
}

// late is called when a computation was given up on: the source is slow.
func (e *Entry) late() {
	e.mu.Lock()
	e.slow = true
	e.giveSlot()
	e.mu.Unlock()
}

// compute fills p with a file's bytes from off, all or nothing. A computation that panics is an error of its file alone.
// Nothing of a file that is filled when it is opened is given before the checksums of its sources were compared; of a
// larger one they are as the bytes pass by, and the rest before it is whole.
func (c *Cache) compute(ctx context.Context, file *layout.File, p []byte, off int64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("a computation panicked", "offset", off, "panic", r, "stack", string(debug.Stack()))
			err = fault.At(fault.Unknown, off, "the computation of %d bytes broke down: %v", len(p), r)
		}
	}()
	if file.Size() <= wholeAtOpen && file.Unverified() <= wholeAtOpen {
		if err := file.Verify(ctx); err != nil {
			return err
		}
	}
	n, err := file.ReadAt(ctx, c, p, off)
	if n == len(p) && (err == nil || err == io.EOF) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.At(fault.Unknown, off, "the computation gave %d of %d bytes", n, len(p))
	}
	return err
}

// store keeps the flight's bytes: in the file's part, or where there is none in memory for a while.
func (e *Entry) store(fl *flight) {
	c := e.c
	p := e.ensure()
	if p != nil {
		err := p.write(fl.buf.b, fl.lo, c.begin)
		c.gate.end(fl.ticket)
		if err == nil {
			c.filled.Add(fl.hi - fl.lo)
			e.mu.Lock()
			e.written(fl, p)
			e.mu.Unlock()
			p.h.release()
			return
		}
		p.h.release()
		e.mu.Lock()
		if e.part == p {
			e.unwritable(err)
		}
		e.mu.Unlock()
	}
	e.mu.Lock()
	e.remove(fl)
	e.recent = append(e.recent, fl)
	e.mu.Unlock()
	if !c.gate.keep(fl) {
		fl.forget()
	}
}

// written says that a part has the flight's bytes, with e.mu held.
func (e *Entry) written(fl *flight, p *part) {
	e.remove(fl)
	fl.release()
	if e.part != p || e.data != nil {
		return
	}
	e.have.add(fl.lo, fl.hi)
	p.done.Store(e.have.total)
	e.tell()
	if e.have.total == e.size {
		e.finish()
	}
}

// remove takes the flight out of those in the air, with e.mu held.
func (e *Entry) remove(fl *flight) {
	if i := slices.Index(e.flights, fl); i >= 0 {
		e.flights = slices.Delete(e.flights, i, i+1)
		e.turns.next(e)
	}
}

// forget ends the keeping of a result in memory.
func (fl *flight) forget() {
	fl.e.mu.Lock()
	i := slices.Index(fl.e.recent, fl)
	if i >= 0 {
		fl.e.recent = slices.Delete(fl.e.recent, i, i+1)
	}
	fl.e.mu.Unlock()
	if i >= 0 {
		fl.release()
		fl.e.c.settle(fl.e)
	}
}

// wait is for readers, who hold the flight.
func (fl *flight) wait(ctx context.Context) error {
	select {
	case <-fl.done:
		return fl.err
	default:
	}
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
