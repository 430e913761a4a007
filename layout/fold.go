package layout

import (
	"context"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
)

// Fold is a value of fixed size over all bytes of a file: a checksum, a maximum. It is computed once for as long as In
// lives, wherever and however often it stands: of pieces, in parallel, and of those alone that did not pass by before.
//
// In a file that Concat made of In and of others, what is read of In passes by: a file that is read in order, with the
// checksums of its parts behind them, costs each byte once. A read of the end alone costs all that lies before it.
//
// The size of a file never depends on the value of a Fold, but a span behind a Fold can be read only after all of In:
// Line.Whole says so.
type Fold struct {
	Reducer Reducer
	In      *File
}

// Reducer is what a Fold computes. Implementations are stateless.
type Reducer interface {
	// String is the name with its parameters and a version, such as "crc32/1": part of every ID.
	String() string

	// Size is the size of the value in bytes.
	Size() int64

	// Block is what the pieces are whole multiples of, in bytes, all but the last.
	Block() int64

	// Reduce is the value over p, which may be empty. It must not keep p.
	Reduce(p []byte) []byte

	// Merge is the value over bytes of which a is that of the first part and b that of the n after it.
	Merge(a, b []byte, n int64) []byte
}

// Size is that of the reducer's value.
func (s Fold) Size() int64 {
	if s.Reducer == nil {
		return 0
	}
	return max(0, s.Reducer.Size())
}

// Sketch is the file with zeros where its Folds stand: what can be read of it without all that they go over.
func (f *File) Sketch() *File {
	spans := slices.Clone(f.spans)
	for i, s := range spans {
		if s, ok := s.(Fold); ok {
			spans[i] = Zeros(s.Size())
		}
	}
	return must(spans...)
}

func (s Fold) check() error {
	if s.In == nil || s.Reducer == nil || s.Reducer.Size() <= 0 || s.Reducer.Block() <= 0 {
		return fault.New(fault.Extent, "a fold needs a file, and a reducer with a value and a block of at least a byte")
	}
	return nil
}

func (s Fold) grain(int64) (lo, hi int64) { return 0, s.Size() }

func (s Fold) read(ctx context.Context, ev eval, p []byte, off int64) error {
	v, err := s.In.tally(s.Reducer).value(ctx, func(ctx context.Context, p []byte, at int64) error {
		return s.In.read(ctx, ev, p, at)
	}, s.In.Grain, ev.budget())
	if err != nil {
		return err
	}
	copy(p, v[off:])
	return nil
}

func (s Fold) describe(h *hasher) {
	h.Write([]byte{'f'})
	h.text(s.Reducer.String())
	h.file(s.In)
}

func (s Fold) line() Line {
	l := Line{Kind: "fold", Op: s.Reducer.String()}
	l.begin(s.In, 0)
	return l
}

// tallyOf is what is known of one Fold over a file; a list.
type tallyOf struct {
	reducer string
	tally   *tally
	next    *tallyOf
}

// tally is what is known of a Fold over f, shared by all that are alike.
func (f *File) tally(r Reducer) *tally {
	name := r.String()
	for {
		first := f.tallies.Load()
		for t := first; t != nil; t = t.next {
			if t.reducer == name {
				return t.tally
			}
		}
		made := &tallyOf{reducer: name, tally: newTally(r, f.Size()), next: first}
		if f.tallies.CompareAndSwap(first, made) {
			return made.tally
		}
	}
}

// echo is a part of a file that a Fold of the same file goes over.
type echo struct {
	off int64 // where in begins
	in  *File
	by  Reducer
}

// echoing finds the files among those of a concatenation that its Folds go over.
func echoing(files []*File) []echo {
	folded := map[*File][]Reducer{}
	for _, f := range files {
		for _, s := range f.spans {
			if s, ok := s.(Fold); ok {
				folded[s.In] = append(folded[s.In], s.Reducer)
			}
		}
	}
	if len(folded) == 0 {
		return nil
	}
	var list []echo
	var off int64
	for _, f := range files {
		known := map[string]bool{}
		for _, by := range folded[f] {
			if name := by.String(); !known[name] && f.Size() > 0 {
				known[name] = true
				list = append(list, echo{off, f, by})
			}
		}
		delete(folded, f) // of two that are the same file, one passes by
		off += f.Size()
	}
	return list
}

// passing are the claims of a read on the bytes lo to hi, of which it tells the Folds over them.
type passing struct {
	t    *tally
	span piece
	at   int64 // in the file
}

func (f *File) pass(lo, hi int64) []passing {
	var list []passing
	for i := f.firstEcho(lo); i < len(f.echoes) && f.echoes[i].off < hi; i++ {
		e := f.echoes[i]
		t := e.in.tally(e.by)
		for _, p := range t.claim(max(lo-e.off, 0), min(hi-e.off, e.in.Size())) {
			list = append(list, passing{t, p, p.lo + e.off})
		}
	}
	return list
}

// firstEcho is the index of the first echo that ends behind off.
func (f *File) firstEcho(off int64) int {
	lo, hi := 0, len(f.echoes)
	for lo < hi {
		mid := (lo + hi) / 2
		if e := f.echoes[mid]; e.off+e.in.Size() > off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// readEchoed is read of a file with echoes: first all but the Folds, then these, which may be over what was just read.
func (f *File) readEchoed(ctx context.Context, ev eval, p []byte, off int64) error {
	if err := f.readPassing(ctx, ev, p, off); err != nil {
		return err
	}
	return f.readRuns(ctx, ev, p, off, func(s Span) bool { _, fold := s.(Fold); return fold })
}

// readPassing reads all but the Folds, and tells these of it.
func (f *File) readPassing(ctx context.Context, ev eval, p []byte, off int64) error {
	claims := f.pass(off, off+int64(len(p)))
	defer func() { // what is left of them after an error, or a panic: others wait for it
		for _, c := range claims {
			c.t.settle(c.span, nil)
		}
	}()
	if err := f.readRuns(ctx, ev, p, off, func(s Span) bool { _, fold := s.(Fold); return !fold }); err != nil {
		return err
	}
	for len(claims) > 0 {
		c := claims[0]
		from := c.at - off
		value := c.t.by.Reduce(p[from : from+c.span.hi-c.span.lo])
		claims = claims[1:]
		c.t.settle(c.span, value)
	}
	return nil
}

// Needs is the part of the file that Folds among its bytes lo to hi go over and have not seen yet, and that comes
// before lo; from == to where there is none. Who keeps what it reads does well to read that first: to read lo to hi
// alone computes as much and keeps nothing of it.
func (f *File) Needs(lo, hi int64) (from, to int64) {
	if len(f.echoes) == 0 || lo >= hi {
		return 0, 0
	}
	wanted := map[*tally]bool{}
	for i := f.find(lo); i < len(f.runs) && f.ends[i]-f.runs[i].Size() < hi; i++ {
		if s, ok := f.runs[i].(Fold); ok {
			wanted[s.In.tally(s.Reducer)] = true
		}
	}
	if len(wanted) == 0 {
		return 0, 0
	}
	from = lo
	for i := 0; i < len(f.echoes) && f.echoes[i].off < lo; i++ {
		e := f.echoes[i]
		t := e.in.tally(e.by)
		if !wanted[t] {
			continue
		}
		if first, last, ok := t.unknown(); ok {
			from, to = min(from, e.off+first), max(to, min(e.off+last, lo))
		}
	}
	if from >= to {
		return 0, 0
	}
	return from, to
}
