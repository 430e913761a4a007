package cache

import (
	"container/list"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// State is how a file stands with the cache.
type State uint8

const (
	Virtual State = iota // computed as it is read
	Memory               // small: held in memory, never on the disk
	Filling              // some of its bytes are on the disk
	Ready                // sealed: all of them are, and will be after a restart
	Failed               // its bytes can't be had; Entry.Err says why
)

var states = [...]string{Virtual: "virtual", Memory: "memory", Filling: "filling", Ready: "ready", Failed: "failed"}

// String is the state's word, as user.isomerfs.state spells it.
func (s State) String() string { return states[min(int(s), len(states)-1)] }

var errClosed = fault.New(fault.IO, "the cache was closed")

// Entry is one file of the cache, shared by all who have it open. What it knows of the disk may be forgotten while
// nobody has; the bytes and the sealed file stay.
type Entry struct {
	c     *Cache
	id    layout.ID
	size  int64
	small bool // held in memory
	built bool // comes as a whole from Keep, which seals it

	refs    int           // guarded by c.mu: how often it is open
	resting *list.Element // guarded by c.mu: its place in c.resting
	since   time.Time     // guarded by c.mu: when it came there

	making sync.Mutex // held while a part is made

	mu       sync.Mutex // guards the rest; c.mu may be held before it, never after
	file     *layout.File
	name     string
	data     *handle   // the whole file; nil while it is not there
	sealed   bool      // data is a sealed file
	handed   bool      // the descriptor of data was given out: it stays open until nobody has the entry open
	old      []*handle // such descriptors of files that were given up
	part     *part     // what is being filled, or sealed
	checking bool      // part is whole, and checksums of its sources are compared
	have     ranges    // of part
	flights  []*flight // being computed, each byte by one
	recent   []*flight // computed, and in memory alone
	ahead    int       // flights that nobody waits for
	reaching int       // flights that wait for others: see reach
	reading  readers
	turns    turns
	body     bool  // more than the head was asked for: worth a part
	eager    bool  // enough was read that all of it shall be filled
	cursor   int64 // where the fill goes on
	slot     slot
	slow     bool // the source takes longer than patience
	probed   bool // whether a sealed file was looked for
	wakes    bool // whether it must be looked for again
	looked   time.Time
	err      error // why bytes can't be had
	failed   time.Time
	final    bool // trying again does not help
	retry    time.Time
	pause    time.Duration // before the next try
	denied   error         // why there is no part
	again    time.Time     // when to try for one again
	wait     time.Duration
	watchers []func()
	changed  chan struct{} // closed at the next change
}

// tell wakes those who wait for a change, with e.mu held.
func (e *Entry) tell() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// change is the next change, with e.mu held.
func (e *Entry) change() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// notify calls the watchers from a goroutine without locks, with e.mu held: the file was completed, or is no more.
func (e *Entry) notify() {
	e.tell()
	if len(e.watchers) == 0 {
		return
	}
	calls := slices.Clone(e.watchers)
	go func() {
		for _, f := range calls {
			f()
		}
	}()
}

// OnChange has changed called each time that Complete begins or ceases to have an answer, from a goroutine of its own
// that holds no locks. It ends when nobody has the entry open any more.
func (e *Entry) OnChange(changed func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchers = append(e.watchers, changed)
}

// Size is the number of bytes of the file.
func (e *Entry) Size() int64 { return e.size }

// ReadAt reads len(p) bytes from off, fewer only at the end of the file, then with io.EOF; else none, and an error. The
// end of ctx ends the wait of this caller alone: what is being computed goes on for the others.
func (e *Entry) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fault.New(fault.Usage, "read at negative offset %d", off)
	}
	if off >= e.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.size-off))
	var err error
	if e.small {
		err = e.readSmall(ctx, p[:n], off)
	} else {
		_, err = e.read(ctx, p[:n], off, false)
	}
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Lend is ReadAt for who only passes the bytes on. Where the memory that they were computed in has them all, b is that,
// nothing is copied, and release must be called, once, when b is no longer needed; else b is p[:n], and release nil.
func (e *Entry) Lend(ctx context.Context, p []byte, off int64) (b []byte, release func(), err error) {
	if e.small || off < 0 || off >= e.size || len(p) == 0 {
		n, err := e.ReadAt(ctx, p, off)
		return p[:n], nil, err
	}
	n := int(min(int64(len(p)), e.size-off))
	fl, err := e.read(ctx, p[:n], off, true)
	switch {
	case err != nil:
		return nil, nil, err
	case fl != nil:
		b, release = fl.buf.b[off-fl.lo:][:n:n], fl.release
	default:
		b = p[:n]
	}
	if n < len(p) {
		err = io.EOF
	}
	return b, release, err
}

// read fills p from the sealed file, from what is filled, or from what is computed for it. lend: it may also return,
// held, a flight that has all the bytes, and leave p as it is.
func (e *Entry) read(ctx context.Context, p []byte, off int64, lend bool) (*flight, error) {
	e.c.active()
	asked := len(p)
	piece := int64(0) // not noted yet
	missed, waited := false, false
	for len(p) > 0 {
		e.probe(once)
		e.mu.Lock()
		if piece == 0 && e.data == nil {
			piece = e.note(off, int64(len(p)))
		}
		h, fl, n, err := e.locate(off, int64(len(p)))
		full := false
		if err == nil && h == nil && fl == nil {
			missed = true
			if !e.body && !e.eager {
				e.c.gate.hush()
			}
			err = e.request(off, off+int64(len(p)), piece)
			if fl = e.flying(off); fl != nil {
				fl.hold()
				n = min(int64(len(p)), fl.hi-off)
			}
			full = fl == nil
		}
		if waited {
			e.turns.next(e)
			waited = false
		}
		if e.data == nil {
			e.pump()
		}
		if err == nil && full {
			err = e.turns.wait(ctx, e)
			waited = true
		}
		e.mu.Unlock()
		if err != nil {
			return nil, err
		}
		switch {
		case h != nil:
			err = readFull(h, p[:n], off)
			if err != nil {
				e.lost(h, err)
			}
			h.release()
			if err != nil {
				continue // computed anew: each round gives up what it failed to read
			}
		case fl != nil:
			err = fl.wait(ctx)
			if err == nil && lend && n == int64(asked) {
				e.c.count(missed)
				return fl, nil
			}
			if err == nil {
				copy(p[:n], fl.buf.b[off-fl.lo:])
			}
			fl.release()
			if err != nil {
				return nil, err
			}
		default:
			continue
		}
		p, off = p[n:], off+n
	}
	e.c.count(missed)
	return nil, nil
}

// locate finds what has the byte at off, and how many of n it has: an open file, held, or a flight, held. Nothing of
// either says that it must be computed. e.mu is held.
func (e *Entry) locate(off, n int64) (*handle, *flight, int64, error) {
	if e.data != nil {
		return e.data.hold(), nil, n, nil
	}
	if e.part != nil {
		if end := e.have.end(off); end > off {
			return e.part.h.hold(), nil, min(n, end-off), nil
		}
	}
	if fl := e.flying(off); fl != nil {
		fl.hurry()
		return nil, fl.hold(), min(n, fl.hi-off), nil
	}
	return nil, nil, 0, e.refusal()
}

// flying is the flight that has, or will have, the byte at off, with e.mu held.
func (e *Entry) flying(off int64) *flight {
	for _, list := range [...][]*flight{e.flights, e.recent} {
		for _, fl := range list {
			if fl.lo <= off && off < fl.hi {
				return fl
			}
		}
	}
	return nil
}

// refusal is why nothing is computed now, with e.mu held.
func (e *Entry) refusal() error {
	if e.err != nil && (e.final || time.Now().Before(e.retry)) {
		return e.err
	}
	return nil
}

// lost is called when an open file could not be read: it is given up.
func (e *Entry) lost(h *handle, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.data == h && e.sealed:
		e.c.log.Warn("a cached file is bad and computed anew", "path", e.name, "id", e.id, "error", err)
		e.giveUp()
		e.body, e.eager = true, true
		e.c.ledger.forget(e.id)
		if _, err := removeSealed(e.c.disk, e.id, true); err != nil {
			e.c.log.Warn("a bad cached file could not be removed", "id", e.id, "error", err)
		}
	case e.part != nil && e.part.h == h:
		e.c.log.Warn("a file is served without being kept: the cache could not be read", "path", e.name, "error", err)
		e.deny(diskFault(err))
		e.dropPart()
	}
}

// giveUp forgets the whole file, with e.mu held.
func (e *Entry) giveUp() {
	if e.data != nil {
		e.letGo()
		e.notify()
	}
}

// letGo closes the whole file, with e.mu held. Whoever was handed its descriptor reads on.
func (e *Entry) letGo() {
	switch {
	case e.data == nil:
	case e.handed:
		e.old = append(e.old, e.data)
	default:
		e.data.release()
	}
	e.data, e.sealed, e.handed, e.wakes, e.probed = nil, false, false, false, false
}

// backoff is the time to the next try.
func backoff(d time.Duration) time.Duration { return min(max(2*d, time.Second), 5*time.Minute) }

// fail is called when a computation ended with an error, with e.mu held.
func (e *Entry) fail(err error) {
	if e.c.ctx.Err() != nil {
		return
	}
	e.err, e.final, e.failed = err, false, time.Now()
	switch fault.KindOf(err) {
	case fault.Unknown, fault.IO, fault.Timeout, fault.Device, fault.Space, fault.Denied, fault.Tool:
		e.pause = backoff(e.pause)
		e.retry = time.Now().Add(e.pause)
	default: // the source is not, or no longer, what it should be
		e.final = true
		e.eager = false
		e.dropPart()
		e.giveSlot()
	}
	e.c.failures.Add(1)
	e.tell()
}

// retried is called when somebody opens the file, with e.mu held: it is worth another try, if not at once.
func (e *Entry) retried() {
	if e.err != nil && (e.final || time.Since(e.failed) >= time.Second) {
		e.err, e.final = nil, false
	}
}

// recovered is called when a computation succeeded, with e.mu held.
func (e *Entry) recovered() {
	if e.err != nil && !e.final {
		e.err, e.pause = nil, 0
		e.tell()
	}
}

// deny is called when a part can't be had, with e.mu held.
func (e *Entry) deny(err error) {
	e.denied = err
	e.wait = backoff(e.wait)
	e.again = time.Now().Add(e.wait)
	e.giveSlot()
	e.tell()
}

// dropPart gives a part up, with e.mu held: what it has is computed anew when it is asked for.
func (e *Entry) dropPart() {
	p := e.part
	if p == nil {
		return
	}
	e.part, e.have = nil, ranges{}
	if e.data != nil && !e.sealed {
		e.giveUp()
	}
	p.drop()
	e.c.ledger.release(p)
	e.tell()
}

// Complete is the descriptor of the whole file, sealed or not yet, for the kernel to read by itself. It is shared, and
// valid until Release.
func (e *Entry) Complete() (*os.File, bool) {
	e.probe(once)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data == nil {
		return nil, false
	}
	f, ok := e.data.os()
	e.handed = e.handed || ok
	return f, ok
}

// State is how the file stands, another daemon's work included.
func (e *Entry) State() State {
	e.probe(polled)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.sealed:
		return Ready
	case e.err != nil && (e.final || time.Now().Before(e.retry)):
		return Failed
	case e.small:
		return Memory
	case e.part != nil, e.built && e.c.building(e.id):
		return Filling
	}
	return Virtual
}

// Progress is the number of bytes on the disk, of so many. Of a file in memory none are to come there.
func (e *Entry) Progress() (done, size int64) {
	if e.small {
		return e.size, e.size
	}
	e.probe(polled)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data != nil {
		return e.size, e.size
	}
	return e.have.total, e.size
}

// Err is why the file Failed.
func (e *Entry) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// When to look for a sealed file that another daemon may have made.
type look uint8

const (
	once   look = iota // if that was not done yet
	polled             // unless that was done just now: whoever polls for the end of a fill costs it little
	always
)

// probe looks for a sealed file, and whether that of an entry that has rested is still there.
func (e *Entry) probe(when look) {
	if e.small {
		return
	}
	e.mu.Lock()
	if e.wakes {
		e.wakes = false
		if e.data != nil {
			if e.awake() {
				e.c.ledger.use(e.id)
			} else {
				e.giveUp()
			}
		}
	}
	now := time.Now()
	if e.sealed || e.probed && (when == once || when == polled && e.part != nil && now.Sub(e.looked) < 50*time.Millisecond) {
		e.mu.Unlock()
		return
	}
	e.probed, e.looked = true, now
	e.mu.Unlock()

	h, rec, err := openSealed(e.c.disk, e.id, e.size)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			e.c.discard(e.id, err)
		}
		return
	}
	e.c.digests.put(e.id, rec)
	e.c.use(e.id, e.size)
	if !rec.known() {
		e.c.digest(e.id)
	}
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sealed || e.wakes || e.refs == 0 || e.c.ctx.Err() != nil { // nobody would close it
		h.release()
		return
	}
	e.adopt(h)
}

// awake reports whether the sealed file, on which there was no lock while the entry rested, is still there. e.mu is held.
func (e *Entry) awake() bool {
	if ok, err := e.data.Lock(Shared); err != nil || !ok {
		return false
	}
	info, err := e.data.Stat()
	return err == nil && info.Links > 0 && info.Size == e.size
}

// adopt takes a sealed file over, with e.mu held.
func (e *Entry) adopt(h *handle) {
	if e.data != nil { // our own, whole and not sealed yet: as good, and in use
		h.release()
		return
	}
	e.data, e.sealed = h, true
	e.dropPart()
	e.err, e.final, e.eager = nil, false, false
	e.giveSlot()
	e.reading = readers{}
	e.notify()
}
