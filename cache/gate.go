package cache

import (
	"context"
	"slices"
	"sync"
	"time"
)

// patience is how long a computation may take before it counts as waiting: for a slow disk, a network, a build. From
// then on it no longer keeps others from theirs.
const patience = 250 * time.Millisecond

// moment is how long computations ahead rest for somebody who comes to a file, and rest the longest time that they do
// so, however many come. After it they have as long for themselves.
const (
	moment = 4 * time.Millisecond
	rest   = 200 * time.Millisecond
)

// gate bounds what all files of a cache do at a time: bytes of results in memory, and computations ahead of any reader.
//
// Whoever computes holds a ticket for as many bytes. Readers that wait go before what is computed ahead. Results that
// could not be written to the disk are kept under their tickets while nobody needs the room.
//
// While somebody looks at the head of a file for the first time, nothing else is computed ahead: see hush.
//
// A ticket that is held for longer than patience is given back by itself, so that sources which block, however many,
// delay nobody else. Its owner is told, and takes no more tickets until it is fast again: what bounds it then is its
// own limit of computations at a time.
type gate struct {
	mu      sync.Mutex // guards all that follows
	size    int64      // bytes that may be lent
	lent    int64      // bytes that are
	width   int        // tickets for computing ahead at a time
	ahead   int        // those that are held
	urgent  []*ticket  // waiting, readers behind them, first come first served
	patient []*ticket  // waiting, ahead of readers
	kept    []*flight  // results in memory alone, the oldest first
	hushed  time.Time  // since then, and
	quiet   time.Time  // until then, nothing is computed ahead but of files whose first readers have just come
}

type ticket struct {
	weight int64
	ahead  bool
	young  bool // its file's first readers have just come
	state  ticketState
	ready  chan struct{} // closed when the ticket is held
	done   bool          // the computation is over: the ticket is no longer late
	timer  *time.Timer
}

type ticketState uint8

const (
	ticketWaits ticketState = iota
	ticketHeld
	ticketEnded
)

func newGate(size int64, width int) *gate { return &gate{size: size, width: width} }

// take waits for room for n bytes. A background ticket is for what no reader waits for yet. late is called when the
// ticket was held for longer than patience.
func (g *gate) take(ctx context.Context, t *ticket, late func()) error {
	g.mu.Lock()
	if t.state == ticketWaits {
		if t.ahead {
			g.patient = append(g.patient, t)
		} else {
			g.urgent = append(g.urgent, t)
		}
	}
	dropped := g.serve(nil)
	g.mu.Unlock()
	forget(dropped)
	select {
	case <-t.ready:
	case <-ctx.Done():
		g.end(t)
		return ctx.Err()
	}
	timer := time.AfterFunc(patience, func() {
		if g.expire(t) {
			late()
		}
	})
	g.mu.Lock()
	t.timer = timer
	g.mu.Unlock()
	return nil
}

func (g *gate) ticket(n int64, ahead bool) *ticket {
	return &ticket{weight: min(n, g.size), ahead: ahead, ready: make(chan struct{})}
}

// hush leaves the processors to whoever comes to a file, for a moment: computations ahead that are under way end, others
// begin later. A file that is being filled keeps both processors of a small machine busy, and who looks for the header of
// another would wait behind it at each step.
func (g *gate) hush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch {
	case g.quiet.After(now): // still quiet
	case now.Sub(g.quiet) < g.quiet.Sub(g.hushed): // not yet again
		return
	default:
		g.hushed, g.quiet = now, now
		time.AfterFunc(moment, g.resume)
	}
	if end := now.Add(moment); end.Sub(g.hushed) <= rest {
		g.quiet = end
	}
}

// resume ends the hush, or waits on where more came meanwhile.
func (g *gate) resume() {
	g.mu.Lock()
	if more := time.Until(g.quiet); more > 0 {
		time.AfterFunc(more, g.resume)
		g.mu.Unlock()
		return
	}
	dropped := g.serve(nil)
	g.mu.Unlock()
	forget(dropped)
}

// hurry is called when a reader begins to wait for what was to be computed ahead, with the entry's mutex held.
func (g *gate) hurry(t *ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.ahead || t.state == ticketEnded {
		return
	}
	if t.state == ticketHeld {
		g.ahead--
	}
	t.ahead = false
	if i := slices.Index(g.patient, t); i >= 0 {
		g.patient = slices.Delete(g.patient, i, i+1)
		g.urgent = append(g.urgent, t)
	}
	if dropped := g.serve(nil); len(dropped) > 0 {
		go forget(dropped) // which locks entries
	}
}

// computed says that the ticket's owner no longer waits for a source. It reports whether the ticket is still held.
func (g *gate) computed(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.done = true
	if t.timer != nil {
		t.timer.Stop()
	}
	return t.state == ticketHeld
}

// expire takes a ticket back from who still computes, and reports whether it did.
func (g *gate) expire(t *ticket) bool {
	g.mu.Lock()
	late := t.state == ticketHeld && !t.done
	var dropped []*flight
	if late {
		dropped = g.giveBack(t)
	}
	g.mu.Unlock()
	forget(dropped)
	return late
}

// end gives the ticket back, and reports whether it was held.
func (g *gate) end(t *ticket) bool {
	g.mu.Lock()
	was := t.state
	dropped := g.giveBack(t)
	if t.timer != nil {
		t.timer.Stop()
	}
	g.mu.Unlock()
	forget(dropped)
	return was == ticketHeld
}

// giveBack ends a ticket, held or waited for, and serves others, with g.mu held.
func (g *gate) giveBack(t *ticket) (dropped []*flight) {
	switch t.state {
	case ticketWaits:
		same := func(o *ticket) bool { return o == t }
		g.urgent = slices.DeleteFunc(g.urgent, same)
		g.patient = slices.DeleteFunc(g.patient, same)
	case ticketHeld:
		g.lent -= t.weight
		if t.ahead {
			g.ahead--
		}
	}
	t.state = ticketEnded
	return g.serve(nil)
}

// keep leaves the flight's result in memory under its ticket until the room is needed. False: there is no room.
func (g *gate) keep(fl *flight) bool {
	g.mu.Lock()
	t := fl.ticket
	ok := t.state == ticketHeld
	var dropped []*flight
	if ok {
		if t.ahead {
			g.ahead--
		}
	} else if dropped, ok = g.room(t, nil); ok { // it was given back when the source was slow
		t.state = ticketHeld
		g.lent += t.weight
	}
	if ok {
		t.ahead = false
		g.kept = append(g.kept, fl)
		dropped = g.serve(dropped)
	}
	g.mu.Unlock()
	forget(dropped)
	return ok
}

// drop ends the keeping of a result, and reports whether it was kept.
func (g *gate) drop(fl *flight) bool {
	g.mu.Lock()
	i := slices.Index(g.kept, fl)
	if i >= 0 {
		g.kept = slices.Delete(g.kept, i, i+1)
	}
	g.mu.Unlock()
	return i >= 0 && g.end(fl.ticket)
}

// clear ends the keeping of all results.
func (g *gate) clear() {
	g.mu.Lock()
	kept := g.kept
	g.kept = nil
	for _, fl := range kept {
		fl.ticket.state = ticketEnded
		g.lent -= fl.ticket.weight
	}
	g.mu.Unlock()
	forget(kept)
}

// room reports whether a ticket fits. Results that are only kept make room, and are appended to dropped.
func (g *gate) room(t *ticket, dropped []*flight) ([]*flight, bool) {
	for g.lent+t.weight > g.size && len(g.kept) > 0 {
		fl := g.kept[0]
		g.kept = slices.Delete(g.kept, 0, 1)
		fl.ticket.state = ticketEnded
		g.lent -= fl.ticket.weight
		dropped = append(dropped, fl)
	}
	return dropped, g.lent+t.weight <= g.size
}

// serve hands out what can be had. It returns the results that had to make room, to be forgotten without the lock.
func (g *gate) serve(dropped []*flight) []*flight {
	for ok := true; ok; {
		var t *ticket
		switch {
		case len(g.urgent) > 0:
			t = g.urgent[0]
		case len(g.patient) > 0 && g.ahead < g.width:
			if t = g.next(); t == nil {
				return dropped
			}
		default:
			return dropped
		}
		if dropped, ok = g.room(t, dropped); !ok {
			break
		}
		t.state = ticketHeld
		g.lent += t.weight
		if t.ahead {
			g.ahead++
			g.patient = slices.DeleteFunc(g.patient, func(o *ticket) bool { return o == t })
		} else {
			g.urgent = slices.Delete(g.urgent, 0, 1)
		}
		close(t.ready)
	}
	return dropped
}

// next is the first of the patient tickets whose turn it is; nil while they all keep quiet.
func (g *gate) next() *ticket {
	if !g.quiet.After(time.Now()) {
		return g.patient[0]
	}
	if i := slices.IndexFunc(g.patient, func(t *ticket) bool { return t.young }); i >= 0 {
		return g.patient[i]
	}
	return nil
}

func forget(flights []*flight) {
	for _, fl := range flights {
		fl.forget()
	}
}
