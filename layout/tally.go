package layout

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// piece is the bytes lo to hi of what is folded.
type piece struct{ lo, hi int64 }

// tallied is a piece and the value over it.
type tallied struct {
	piece
	value []byte
}

// piecesMost bounds what a tally remembers. Who reads in order, with any number of goroutines, never comes near; of
// reads all over the place the last are forgotten, and made again when the value is asked for.
const piecesMost = 1024

// tally is a Fold under way: the values over the pieces that were seen, until they are one.
//
// Each piece is computed by one goroutine, which claims it first and settles it soon: whoever needs all of them waits
// for the claims of others. Nobody waits for a tally while it holds a claim, so all claims are settled.
type tally struct {
	by   Reducer
	size int64

	mu      sync.Mutex // guards the rest
	known   []tallied  // in order, no two of them neighbours
	claimed []piece    // in order
	changed chan struct{}
}

func newTally(by Reducer, size int64) *tally { return &tally{by: by, size: size} }

// claim takes what nobody knows or has claimed of lo to hi, in whole blocks. Each of the pieces must be settled.
func (t *tally) claim(lo, hi int64) []piece {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []piece
	for lo < hi {
		p, ok := t.free(lo, hi)
		if !ok {
			break
		}
		lo = p.hi
		block := t.by.Block()
		p.lo = (p.lo + block - 1) / block * block
		if p.hi < t.size {
			p.hi = p.hi / block * block
		}
		if p.lo < p.hi {
			t.take(p)
			list = append(list, p)
		}
	}
	return list
}

// take notes a claim, with t.mu held.
func (t *tally) take(p piece) {
	i, _ := slices.BinarySearchFunc(t.claimed, p.lo, func(c piece, lo int64) int { return compare(c.lo, lo) })
	t.claimed = slices.Insert(t.claimed, i, p)
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// free is the first piece between lo and hi that is neither known nor claimed, with t.mu held.
func (t *tally) free(lo, hi int64) (piece, bool) {
	for lo < hi {
		end := hi
		i, _ := slices.BinarySearchFunc(t.known, lo, func(k tallied, lo int64) int { return compare(k.hi, lo+1) })
		if i < len(t.known) {
			if k := t.known[i]; k.lo <= lo {
				lo = k.hi
				continue
			}
			end = min(end, t.known[i].lo)
		}
		j, _ := slices.BinarySearchFunc(t.claimed, lo, func(c piece, lo int64) int { return compare(c.hi, lo+1) })
		if j < len(t.claimed) {
			if c := t.claimed[j]; c.lo <= lo {
				lo = c.hi
				continue
			}
			end = min(end, t.claimed[j].lo)
		}
		return piece{lo, end}, true
	}
	return piece{}, false
}

// settle ends a claim with the value over it; with nil where it came to nothing.
func (t *tally) settle(p piece, value []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.claimed, p); i >= 0 {
		t.claimed = slices.Delete(t.claimed, i, i+1)
	}
	if value != nil {
		t.add(tallied{p, value})
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// add puts a piece among those known, as one with its neighbours, with t.mu held.
func (t *tally) add(p tallied) {
	i, _ := slices.BinarySearchFunc(t.known, p.lo, func(k tallied, lo int64) int { return compare(k.lo, lo) })
	before, after := i > 0 && t.known[i-1].hi == p.lo, i < len(t.known) && t.known[i].lo == p.hi
	join := func(a, b tallied) tallied {
		return tallied{piece{a.lo, b.hi}, t.by.Merge(a.value, b.value, b.hi-b.lo)}
	}
	switch {
	case before && after:
		t.known[i-1] = join(join(t.known[i-1], p), t.known[i])
		t.known = slices.Delete(t.known, i, i+1)
	case before:
		t.known[i-1] = join(t.known[i-1], p)
	case after:
		t.known[i] = join(p, t.known[i])
	case len(t.known) < piecesMost:
		t.known = slices.Insert(t.known, i, p)
	}
}

// done is the value, where all bytes were seen.
func (t *tally) done() ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole()
}

// whole is done with t.mu held.
func (t *tally) whole() ([]byte, bool) {
	if t.size == 0 {
		return t.by.Reduce(nil), true
	}
	if len(t.known) == 1 && t.known[0].hi-t.known[0].lo == t.size {
		return t.known[0].value, true
	}
	return nil, false
}

// unknown is the range of what was not seen yet; false where all was.
func (t *tally) unknown() (first, last int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.whole(); ok {
		return 0, 0, false
	}
	last = t.size
	if n := len(t.known); n > 0 {
		if t.known[0].lo == 0 {
			first = t.known[0].hi
		}
		if t.known[n-1].hi == t.size {
			last = t.known[n-1].lo
		}
	}
	return first, last, true
}

// value computes what was not seen yet, with all processors, and waits for what others compute. read fills p with the
// folded bytes from off, and grain says which of them come together; budget bounds what is held of them.
func (t *tally) value(ctx context.Context, read func(ctx context.Context, p []byte, off int64) error,
	grain func(off int64) (lo, hi int64), budget int64) ([]byte, error) {
	if v, ok := t.done(); ok {
		return v, nil
	}
	workers := int(min(int64(runtime.GOMAXPROCS(0)), (t.size+tile-1)/tile))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := func() {
		for {
			p, wait, ok := t.next(grain, max(tile, budget/2/int64(workers)))
			switch {
			case !ok:
				return
			case wait != nil:
				select {
				case <-wait:
					continue
				case <-ctx.Done():
					return
				}
			}
			if err := t.compute(ctx, p, read); err != nil {
				cancel(err)
				return
			}
		}
	}
	var others sync.WaitGroup
	broke := make(chan any, workers)
	for range workers - 1 {
		others.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					broke <- r
					cancel(nil)
				}
			}()
			work()
		})
	}
	work()
	others.Wait()
	select {
	case r := <-broke: // of whoever called, as if there were no others
		panic(r)
	default:
	}
	if v, ok := t.done(); ok {
		return v, nil
	}
	return nil, context.Cause(ctx)
}

// next claims a piece that is neither known nor claimed, or says what to wait for; false when all is known.
func (t *tally) next(grain func(off int64) (lo, hi int64), most int64) (p piece, wait <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.whole(); ok {
		return piece{}, nil, false
	}
	p, ok = t.free(0, t.size)
	if !ok {
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		return piece{}, t.changed, true
	}
	block := t.by.Block()
	n := max(block, tile/block*block)
	if _, hi := grain(p.lo); hi-p.lo > n { // what is cheap only as a whole
		n = max(block, min(hi-p.lo, most)/block*block)
	}
	p.hi = min(p.hi, p.lo+n)
	t.take(p)
	return p, nil, true
}

// compute settles a claim.
func (t *tally) compute(ctx context.Context, p piece, read func(ctx context.Context, p []byte, off int64) error) error {
	var value []byte
	defer func() { t.settle(p, value) }() // of a panic, too: others wait for it
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	buf := getBuffer(p.hi - p.lo)
	defer buf.put()
	if err := read(ctx, buf.b, p.lo); err != nil {
		return err
	}
	value = t.by.Reduce(buf.b)
	return nil
}
