package cache

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/layout"
)

// How much is computed at a time. All but the grains of a layout begin and end at a multiple of pieceAlign.
const (
	pieceAlign   = 64 << 10  // random readers: what they ask for, rounded
	firstPiece   = 256 << 10 // at the beginning of a file, where readers look for its header
	requestPiece = 512 << 10 // of one request of a reader who is not known to read on: several at a time
	largeRequest = 256 << 10 // who asks for so much gets all of a segment, where all is to be filled
	segment      = 2 << 20   // of what is read or filled in order: the kernel keeps such writes in large folios
	keptPiece    = 1 << 20   // the same where the results are in memory alone
)

// head is how far into a file readers look at its header: up to there nothing is kept on the disk.
const head = 1 << 20

// After so much was read of a file, all of it is filled.
const (
	eagerBytes = 64 << 20
	eagerShare = 20 // or a 20th
)

// windowMost is how far ahead of a reader is computed before the whole file is filled.
const windowMost = 8 << 20

// readers is what a file's readers do: where each one is that reads in order, and what they read so far.
type readers struct {
	list [16]reader // the latest first
	n    int
	seen ranges // what was read, rounded outwards
}

// reader is one who reads in order, as far as the requests show it.
type reader struct {
	next int64 // where the next request of this reader should begin
	run  int64 // bytes read in order before it
	asks int
}

// note records a request for n bytes from off, and returns the reader it seems to be of.
func (r *readers) note(off, n int64) *reader {
	const slack = 256 << 10 // requests of one reader may come out of order
	i := 0
	for ; i < r.n; i++ {
		if d := off - r.list[i].next; -slack <= d && d <= slack {
			break
		}
	}
	var now reader
	switch {
	case i < r.n:
		now = r.list[i]
		now.run += max(0, off+n-now.next) // what is read again leads nowhere
		now.next = max(now.next, off+n)
	default:
		if r.n < len(r.list) {
			r.n++
		}
		i = r.n - 1
		now = reader{next: off + n, run: n}
	}
	now.asks++
	copy(r.list[1:i+1], r.list[:i])
	r.list[0] = now
	return &r.list[0]
}

// window is how far ahead of the reader to compute: as much again as was read in order.
func (r *reader) window() int64 {
	if r.asks < 2 || r.run < pieceAlign {
		return 0
	}
	return min(r.run, windowMost)
}

// note records a request of a reader, with e.mu held, and returns in which pieces to compute what it lacks.
func (e *Entry) note(off, n int64) (piece int64) {
	piece = requestPiece
	if e.reading.note(off, n).window() >= keptPiece || e.eager && n >= largeRequest {
		piece = e.piece()
	}
	if off+n > head {
		e.body = true
	}
	if e.eager {
		return piece
	}
	e.reading.seen.add(off/pieceAlign*pieceAlign, min(roundUp(off+n, pieceAlign), e.size))
	if seen := e.reading.seen.total; seen >= min(eagerBytes, max(e.size/eagerShare, head)) {
		e.eager = true
		e.reading.seen = ranges{}
	}
	return piece
}

// keeps reports whether what is computed goes to the disk, as far as one knows, with e.mu held.
func (e *Entry) keeps() bool {
	return e.part != nil || e.body && !e.built && !time.Now().Before(e.again)
}

// piece is how much is computed at a time of what is read or filled in order, with e.mu held.
func (e *Entry) piece() int64 {
	if e.slow || !e.keeps() {
		return keptPiece
	}
	return segment
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// free is the span around off that nobody has or computes, with e.mu held. off must be in it.
func (e *Entry) free(off int64) span {
	g := span{0, e.size}
	if e.part != nil {
		h := e.have.gap(off)
		g.lo, g.hi = max(g.lo, h.lo), min(g.hi, h.hi)
	}
	for _, list := range [...][]*flight{e.flights, e.recent} {
		for _, fl := range list {
			if fl.hi <= off {
				g.lo = max(g.lo, fl.hi)
			} else if fl.lo > off {
				g.hi = min(g.hi, fl.lo)
			}
		}
	}
	return g
}

// missing is the first byte from off that nobody has or computes, up to hi, with e.mu held.
func (e *Entry) missing(off, hi int64) (int64, bool) {
	for off < hi {
		if e.part != nil {
			if end := e.have.end(off); end > off {
				off = end
				continue
			}
		}
		fl := e.flying(off)
		if fl == nil {
			return off, true
		}
		off = fl.hi
	}
	return 0, false
}

// cut is what to compute for the bytes lo to hi around off: whole pieces, whole grains, nothing that somebody has.
func (e *Entry) cut(off, lo, hi int64) span {
	s := grains(e.file, off, span{lo, min(hi, e.size)})
	g := e.free(off)
	return span{max(s.lo, g.lo), min(s.hi, g.hi)}
}

// grains widens s, which holds off, to whole grains of the layout, or narrows it so that a large grain beside it is
// left for a computation of its own.
func grains(f *layout.File, off int64, s span) span {
	if lo, hi := f.Grain(off); hi-lo > segment {
		if hi-lo <= budget {
			return span{lo, hi}
		}
		lo += (off - lo) / budget * budget
		return span{lo, min(lo+budget, hi)}
	}
	if lo, hi := f.Grain(s.lo); lo < s.lo {
		if hi-lo <= segment {
			s.lo = lo
		} else {
			s.lo = min(off, hi)
		}
	}
	if lo, hi := f.Grain(s.hi - 1); hi > s.hi {
		if hi-lo <= segment {
			s.hi = hi
		} else {
			s.hi = max(off+1, lo)
		}
	}
	return s
}

// request starts the computation of what is missing of lo to hi, in pieces, as far as there is a turn for it, with
// e.mu held.
func (e *Entry) request(lo, hi, piece int64) error {
	for at, ok := e.missing(lo, hi); ok && e.computing() < e.turns.most(e); at, ok = e.missing(at, hi) {
		from := at / pieceAlign * pieceAlign
		to := min(roundUp(hi, pieceAlign), from+piece)
		switch {
		case from == 0:
			to = max(to, firstPiece)
		case piece >= keptPiece:
			to = at/piece*piece + piece
		}
		s := e.cut(at, from, to)
		if fl := e.launch(s.lo, s.hi, false); fl.err != nil {
			return fl.err
		}
		e.cursor = s.hi
	}
	return nil
}

// turns are the readers who wait until a computation of their file ends, because enough are under way: for the
// processors, for the disk, whose speed the memory would else have to make up for.
type turns struct{ queue []chan struct{} }

// most is the number of computations at a time. Those of a slow source cost little.
func (t *turns) most(e *Entry) int {
	if e.slow {
		return max(16, 2*e.c.gate.width)
	}
	return 2 * e.c.gate.width
}

// computing is the number of flights that take a turn, with e.mu held.
func (e *Entry) computing() int { return len(e.flights) - e.reaching }

// wait is for a turn, with e.mu held, which it gives up meanwhile.
func (t *turns) wait(ctx context.Context, e *Entry) error {
	ready := make(chan struct{})
	t.queue = append(t.queue, ready)
	e.mu.Unlock()
	var err error
	select {
	case <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-e.c.ctx.Done():
		err = errClosed
	}
	e.mu.Lock()
	if err != nil {
		t.queue = slices.DeleteFunc(t.queue, func(o chan struct{}) bool { return o == ready })
		t.next(e)
	}
	return err
}

// next lets one reader go on if there is a turn, with e.mu held. Who had one calls it when it was used, or was not
// needed.
func (t *turns) next(e *Entry) {
	if len(t.queue) > 0 && e.computing() < t.most(e) {
		close(t.queue[0])
		t.queue = slices.Delete(t.queue, 0, 1)
	}
}

// pump starts what is to be computed ahead of readers, with e.mu held. It is called whenever that may have changed: at
// a request, and at the end of each computation.
func (e *Entry) pump() {
	if e.small || e.data != nil || e.refusal() != nil || e.c.ctx.Err() != nil {
		e.giveSlot()
		return
	}
	width, piece, kept := e.c.gate.width, e.piece(), e.keeps()
	if e.slow {
		width = 1
	}
	for e.ahead < width && e.computing() <= width { // one more may be on its way to the disk
		s, ok := e.next(piece, kept)
		if !ok || e.launch(s.lo, s.hi, true).err != nil {
			break
		}
	}
	if e.ahead == 0 {
		e.giveSlot()
	}
	if len(e.flights) == 0 && len(e.recent) > 0 && e.wanted() { // all that was asked for is in memory, and only there
		e.c.begin(func() {
			if p := e.ensure(); p != nil {
				p.h.release()
			}
		})
	}
}

// next is what to compute next that nobody waits for: first what readers come to soon, then, where it can be kept and
// enough was read, the rest of the file.
func (e *Entry) next(piece int64, kept bool) (span, bool) {
	for i := range e.reading.n {
		r := &e.reading.list[i]
		window := r.window()
		if !kept {
			window = min(window, 4*keptPiece)
		}
		if at, ok := e.missing(r.next, min(r.next+window, e.size)); ok {
			// Pieces grow with the run, and end where whole ones end.
			from := at / pieceAlign * pieceAlign
			n := min(piece, max(pieceAlign, roundUp(r.run/2, pieceAlign)))
			return e.cut(at, from, min(from+n, at/piece*piece+piece)), true
		}
	}
	if !e.eager || !kept || !e.takeSlot() {
		return span{}, false
	}
	at, ok := e.missing(e.cursor, e.size)
	if !ok {
		if at, ok = e.missing(0, e.size); !ok {
			return span{}, false
		}
	}
	s := e.cut(at, at/pieceAlign*pieceAlign, at/piece*piece+piece)
	e.cursor = s.hi
	return s, true
}

// slots bounds how many files are filled at a time. A file whose source is slow is not counted.
type slots struct {
	mu    sync.Mutex
	free  int
	queue []*Entry
}

type slot uint8

const (
	noSlot slot = iota
	queued
	hasSlot
)

// takeSlot reports whether the file may be filled, with e.mu held; else it waits for its turn.
func (e *Entry) takeSlot() bool {
	if e.slow || e.slot == hasSlot {
		return true
	}
	if e.slot == queued {
		return false
	}
	s := &e.c.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		e.slot = hasSlot
		return true
	}
	s.queue = append(s.queue, e)
	e.slot = queued
	return false
}

// giveSlot ends the file's turn, if it has one, with e.mu held.
func (e *Entry) giveSlot() {
	if e.slot != hasSlot {
		return
	}
	e.slot = noSlot
	e.c.slots.pass(e.c)
}

// pass hands a turn on.
func (s *slots) pass(c *Cache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.free++
		return
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	c.begin(func() {
		e.mu.Lock()
		e.slot = hasSlot
		e.pump()
		e.mu.Unlock()
		c.settle(e)
	})
}
