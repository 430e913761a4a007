package layout

import (
	"context"
	"encoding/binary"
	"os"
	"slices"
	"sync/atomic"

	"github.com/isomerfs/isomerfs/fault"
)

// Sum is what a stored file says of its own bytes: that the Len of them from Off have this CRC-32 (IEEE).
type Sum struct {
	Name     string // of what lies there, for people
	Off, Len int64
	CRC      uint32
}

// Summed is a source whose bytes are compared with what the file says of them, while they are read for whatever
// purpose. A read that completes a run of other bytes than stated is a fault.Checksum, and so are all reads of that run
// from then on; bytes of a run of which others were not read yet are given unchecked. File.Verify reads what is left.
//
// sums are in ascending order and do not overlap. The source is otherwise src.
func Summed(src Source, sums []Sum) Source {
	s := &summed{Source: src, sums: sums, runs: make([]atomic.Pointer[tally], len(sums))}
	if o, ok := src.(Opener); ok {
		return &summedOpener{s, o}
	}
	return s
}

type summed struct {
	Source
	sums []Sum
	runs []atomic.Pointer[tally] // what is known of each of sums; nil before any of it was read
}

type summedOpener struct {
	*summed
	open Opener
}

func (s *summedOpener) Open() (*os.File, error) { return s.open.Open() }

func (s *summed) checked() *summed { return s }

// checker is implemented by the sources that Summed makes.
type checker interface{ checked() *summed }

func summedOf(s Source) *summed {
	if c, ok := s.(checker); ok {
		return c.checked()
	}
	return nil
}

// bare is the source without its sums.
func bare(s Source) Source {
	if c := summedOf(s); c != nil {
		return c.Source
	}
	return s
}

// summedLeast is the size of a read below which it is not worth remembering that it was made, but at either end of a
// run, where two reads in order may meet.
const summedLeast = 4 << 10

func (s *summed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := s.Source.ReadAt(ctx, p, off)
	if n <= 0 {
		return n, err
	}
	hi := off + int64(n)
	for i := s.first(off); i < len(s.sums) && s.sums[i].Off < hi; i++ {
		sum, t := &s.sums[i], s.run(i)
		from, to := max(off, sum.Off), min(hi, sum.Off+sum.Len)
		if to-from >= summedLeast || from == sum.Off || to == sum.Off+sum.Len {
			for _, c := range t.claim(from-sum.Off, to-sum.Off) {
				t.settle(c, t.by.Reduce(p[sum.Off+c.lo-off:sum.Off+c.hi-off]))
			}
		}
		if err := s.compare(i); err != nil {
			return 0, err
		}
	}
	return n, err
}

// first is the index of the first sum that ends behind off.
func (s *summed) first(off int64) int {
	i, _ := slices.BinarySearchFunc(s.sums, off, func(sum Sum, off int64) int { return compare(sum.Off+sum.Len, off+1) })
	return i
}

func (s *summed) run(i int) *tally {
	if t := s.runs[i].Load(); t != nil {
		return t
	}
	s.runs[i].CompareAndSwap(nil, newTally(CRC32, s.sums[i].Len))
	return s.runs[i].Load()
}

// compare fails where all bytes of a run were read and are not those that the file states.
func (s *summed) compare(i int) error {
	t := s.runs[i].Load()
	if t == nil {
		return nil
	}
	v, ok := t.done()
	if !ok {
		return nil
	}
	sum := &s.sums[i]
	if got := binary.LittleEndian.Uint32(v); got != sum.CRC {
		return fault.In(s.String(), fault.At(fault.Checksum, sum.Off, "%s: its %d bytes have CRC-32 %08x, and the file states %08x", sum.Name, sum.Len, got, sum.CRC))
	}
	return nil
}

// verify reads what is left of a run.
func (s *summed) verify(ctx context.Context, i int) error {
	sum := &s.sums[i]
	_, err := s.run(i).value(ctx, func(ctx context.Context, p []byte, off int64) error {
		return readSource(ctx, s.Source, p, sum.Off+off)
	}, func(off int64) (lo, hi int64) { return off, off }, defaultBudget)
	if err != nil {
		return err
	}
	return s.compare(i)
}

// eachSum calls do for each run of a summed source that bytes of the file lie in, once each.
func (f *File) eachSum(do func(s *summed, i int) error) error {
	type run struct {
		s *summed
		i int
	}
	seen := map[run]bool{}
	return f.extents(func(e Extent) error {
		s := summedOf(e.Source)
		if s == nil || e.Len == 0 {
			return nil
		}
		for i := s.first(e.Off); i < len(s.sums) && s.sums[i].Off < e.Off+e.Len; i++ {
			if !seen[run{s, i}] {
				seen[run{s, i}] = true
				if err := do(s, i); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// extents calls do for each extent that bytes of the file come from.
func (f *File) extents(do func(Extent) error) error {
	for _, r := range f.runs {
		if e, ok := r.(Extent); ok {
			if err := do(e); err != nil {
				return err
			}
		}
		for _, in := range inputs(r) {
			if err := in.extents(do); err != nil {
				return err
			}
		}
	}
	return nil
}

// Verify compares the stored bytes that the file's come from with what the stored files say of them, as far as that
// was not done while they were read: it reads the rest. The checksum of bytes that come only as a whole is that of
// their Materialized span, which compares it.
func (f *File) Verify(ctx context.Context) error {
	if f.verified.Load() {
		return nil
	}
	err := f.eachSum(func(s *summed, i int) error { return s.verify(ctx, i) })
	if err == nil {
		f.verified.Store(true)
	}
	return err
}

// Unverified is how many bytes Verify would read, at most.
func (f *File) Unverified() int64 {
	if f.verified.Load() {
		return 0
	}
	var total int64
	f.eachSum(func(s *summed, i int) error {
		first, last, ok := s.run(i).unknown()
		if ok {
			total += last - first
		}
		return nil
	})
	return total
}
