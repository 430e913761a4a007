package layout

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestCRC32: the value over a whole is that over its parts, wherever it is cut.
func TestCRC32(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 5))}
	for range 300 {
		p := r.bytes(r.IntN(5000))
		cut := r.IntN(len(p) + 1)
		got := CRC32.Merge(CRC32.Reduce(p[:cut]), CRC32.Reduce(p[cut:]), int64(len(p)-cut))
		if want := crc32.ChecksumIEEE(p); binary.LittleEndian.Uint32(got) != want {
			t.Fatalf("%d bytes cut at %d: %x, want %x", len(p), cut, got, want)
		}
	}
	var zeros [1 << 16]byte // as many zeros as no test can hold: doubled and doubled again
	sum, n := CRC32.Reduce(zeros[:]), int64(len(zeros))
	for n < 1<<40 {
		sum, n = CRC32.Merge(sum, sum, n), 2*n
	}
	long := CRC32.Reduce(nil)
	for i := 0; i < 64; i++ {
		long = CRC32.Merge(long, long, int64(i)<<34)
	}
	if !bytes.Equal(long, CRC32.Reduce(nil)) || !bytes.Equal(CRC32.Merge(sum, CRC32.Reduce(nil), 0), sum) {
		t.Error("nothing after nothing is something")
	}
}

// TestTally: whatever pieces are claimed and settled, in whatever order, the value is that over the whole, each byte is
// claimed once, and what came to nothing is free again.
func TestTally(t *testing.T) {
	for seed := range seeds(1000) {
		r := random{rand.New(rand.NewPCG(seed, 6))}
		by := r.reducer()
		all := r.bytes(1 + r.IntN(3000))
		tl := newTally(by, int64(len(all)))
		counts := make([]int, len(all))
		var open []piece
		for range 60 {
			if len(open) > 0 && r.IntN(2) == 0 {
				i := r.IntN(len(open))
				p := open[i]
				open = slices.Delete(open, i, i+1)
				if r.IntN(4) == 0 {
					tl.settle(p, nil)
					for j := p.lo; j < p.hi; j++ {
						counts[j]--
					}
				} else {
					tl.settle(p, by.Reduce(all[p.lo:p.hi]))
				}
				continue
			}
			lo := r.Int64N(tl.size)
			for _, p := range tl.claim(lo, lo+r.Int64N(tl.size-lo+1)) {
				if p.lo%by.Block() != 0 || p.hi%by.Block() != 0 && p.hi != tl.size {
					t.Fatalf("seed %d: %v is cut within a block of %d", seed, p, by.Block())
				}
				for j := p.lo; j < p.hi; j++ {
					if counts[j]++; counts[j] > 1 {
						t.Fatalf("seed %d: byte %d was claimed twice", seed, j)
					}
				}
				open = append(open, p)
			}
		}
		for _, p := range open {
			tl.settle(p, by.Reduce(all[p.lo:p.hi]))
		}
		got, err := tl.value(ctx, func(_ context.Context, p []byte, off int64) error {
			for i := range p {
				if counts[off+int64(i)] > 0 {
					t.Errorf("seed %d: byte %d was known and is read again", seed, off+int64(i))
				}
			}
			copy(p, all[off:])
			return nil
		}, func(off int64) (int64, int64) { return off, off }, defaultBudget)
		if err != nil || !bytes.Equal(got, by.Reduce(all)) {
			t.Fatalf("seed %d: %x, %v, want %x", seed, got, err, by.Reduce(all))
		}
	}
}

// archive is a file as a writer of zips makes it: members, a checksum behind each, and all of them once more at the end.
func archive(t testing.TB, sources []*memory) *File {
	t.Helper()
	var files []*File
	var end []*File
	for _, s := range sources {
		data := must(Coded{Op: blocks{2, []int64{4}}, Label: s.name, In: []*File{must(Extent{s, 0, s.size / 4 * 4})}})
		files = append(files, Bytes([]byte("head "+s.name)), data, must(Literal("then"), Fold{CRC32, data}))
		end = append(end, must(Literal("entry"), Fold{CRC32, data}))
	}
	f, err := Concat(append(files, end...)...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// members are sources of so many bytes.
func members(sizes ...int64) (list []*memory, total int64) {
	for i, n := range sizes {
		m := &memory{name: string(rune('a' + i)), size: n, id: ID{byte(i + 1)}}
		list, total = append(list, m), total+n
	}
	return list, total
}

// TestFoldPassesBy: a file that is read in order costs each byte of its members once, its end alone too, and what was
// computed for one place is not computed for another.
func TestFoldPassesBy(t *testing.T) {
	for name, reads := range map[string]func(f *File, read func(lo, hi int64)){
		"in order":       func(f *File, read func(lo, hi int64)) { eachPiece(f, 1<<20, read) },
		"in odd pieces":  func(f *File, read func(lo, hi int64)) { eachPiece(f, 99_991, read) },
		"the end alone":  func(f *File, read func(lo, hi int64)) { read(f.Size()-20, f.Size()) },
		"the end, twice": func(f *File, read func(lo, hi int64)) { read(f.Size()-40, f.Size()-10); read(f.Size()-20, f.Size()) },
		"at once":        func(f *File, read func(lo, hi int64)) { read(0, f.Size()) },
		"backwards": func(f *File, read func(lo, hi int64)) {
			for hi := f.Size(); hi > 0; hi -= min(hi, 1<<20) {
				read(max(0, hi-1<<20), hi)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			list, total := members(5<<20, 100, 3<<20+4, 0, 7<<20, 12)
			f := archive(t, list)
			reads(f, func(lo, hi int64) {
				p := make([]byte, hi-lo)
				if _, err := f.ReadAt(ctx, nil, p, lo); err != nil {
					t.Fatal(err)
				}
			})
			var read int64
			for _, m := range list {
				read += m.bytes.Load()
			}
			most := total + total/50
			if name == "backwards" { // the checksums come before what they are over
				most = 2 * total
			}
			if read > most {
				t.Errorf("read %d bytes of %d", read, total)
			}
		})
	}
}

func eachPiece(f *File, n int64, read func(lo, hi int64)) {
	for lo := int64(0); lo < f.Size(); lo += n {
		read(lo, min(lo+n, f.Size()))
	}
}

// TestFoldTogether: many who read at once, in any order, get the right bytes.
func TestFoldTogether(t *testing.T) {
	sizes := []int64{600 << 10, 1 << 20, 40, 300 << 10}
	list, _ := members(sizes...)
	want := naiveArchive(list)
	for seed := range seeds(60) {
		list, _ := members(sizes...)
		f := archive(t, list)
		var all sync.WaitGroup
		for g := range uint64(4) {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, g))
				for range 8 {
					lo := r.Int64N(f.Size())
					if r.IntN(3) == 0 {
						lo = f.Size() - 1 - r.Int64N(60)
					}
					p := make([]byte, min(1+r.Int64N(400<<10), f.Size()-lo))
					if _, err := f.ReadAt(ctx, nil, p, lo); err != nil {
						t.Error(err)
					}
					if !bytes.Equal(p, want[lo:lo+int64(len(p))]) {
						t.Errorf("seed %d: %d bytes at %d differ", seed, len(p), lo)
					}
				}
			})
		}
		all.Wait()
	}
}

// naiveArchive is the bytes of archive, one after another.
func naiveArchive(sources []*memory) []byte {
	var all, end []byte
	for _, s := range sources {
		in, data := make([]byte, s.size/4*4), make([]byte, s.size/4*2)
		s.ReadAt(ctx, in, 0)
		blocks{2, []int64{4}}.Apply(data, [][]byte{in})
		sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
		all = append(append(append(append(all, "head "+s.name...), data...), "then"...), sum...)
		end = append(append(end, "entry"...), sum...)
	}
	return append(all, end...)
}

// TestNeeds: what a Fold has not seen, and that comes before.
func TestNeeds(t *testing.T) {
	list, _ := members(4<<20, 2<<20)
	f := archive(t, list)
	lines := f.Lines() // head, data, then, fold, head, data, ...
	first, second := lines[1], lines[5]
	if second.Size != 1<<20 {
		t.Fatalf("%v", lines)
	}
	fold := second.Off + second.Size + 4
	check := func(when string, lo, hi, from, to int64) {
		t.Helper()
		if a, b := f.Needs(lo, hi); a != from || b != to {
			t.Errorf("%s: %d to %d needs %d to %d, want %d to %d", when, lo, hi, a, b, from, to)
		}
	}
	check("at first", 0, first.Off+100, 0, 0)
	check("at first", fold, fold+4, second.Off, second.Off+second.Size)
	check("at first", second.Off+100, fold+4, second.Off, second.Off+100)
	check("at first", f.Size()-20, f.Size(), first.Off, second.Off+second.Size)
	p := make([]byte, first.Off+first.Size+100) // all of the first
	if _, err := f.ReadAt(ctx, nil, p, 0); err != nil {
		t.Fatal(err)
	}
	check("after the first", f.Size()-20, f.Size(), second.Off+100-(second.Off-first.Off-first.Size), second.Off+second.Size)
	if _, err := f.ReadAt(ctx, nil, p[:4], fold); err != nil {
		t.Fatal(err)
	}
	check("after all", f.Size()-20, f.Size(), 0, 0)
}

// failing fails at its first read of a certain byte.
type failing struct {
	*memory
	at  int64
	err atomic.Pointer[error]
}

func (f *failing) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(p)) {
		if err := f.err.Swap(nil); err != nil {
			return 0, *err
		}
	}
	return f.memory.ReadAt(ctx, p, off)
}

// TestFoldFails: an error of the source is that of the Fold, and does not stay.
func TestFoldFails(t *testing.T) {
	src := newMemory("s", random{rand.New(rand.NewPCG(1, 1))}.bytes(5<<20))
	bad := &failing{memory: src, at: 3 << 20}
	in := must(Extent{bad, 0, src.size})
	f, _ := Concat(in, must(Fold{CRC32, in}))
	for _, at := range []int64{f.Size() - 4, 2 << 20} {
		gone := errors.New("the disk is gone")
		bad.err.Store(&gone)
		p := make([]byte, min(2<<20, f.Size()-at))
		if _, err := f.ReadAt(ctx, nil, p, at); err == nil || err.Error() != "the disk is gone" {
			t.Errorf("%d: %v", at, err)
		}
	}
	p := make([]byte, 4)
	if _, err := f.ReadAt(ctx, nil, p, f.Size()-4); err != nil || binary.LittleEndian.Uint32(p) != crc32.ChecksumIEEE(src.data) {
		t.Errorf("afterwards: %x, %v", p, err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	again := must(Extent{src, 0, src.size})
	if _, err := must(Fold{CRC32, again}).ReadAt(gone, nil, p, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// breaks is an Op that breaks down behind its first MiB.
type breaks struct{ blocks }

func (o breaks) Apply(dst []byte, src [][]byte) error {
	if src[0][0] == pattern(3<<20) {
		panic("index out of range")
	}
	return o.blocks.Apply(dst, src)
}

// TestFoldBreaks: a computation that panics does so where the Fold was asked for, whichever goroutine it ran in, and
// leaves nobody waiting.
func TestFoldBreaks(t *testing.T) {
	src := &memory{name: "w", size: 8 << 20, id: ID{1}}
	in := must(Coded{Op: breaks{blocks{1, []int64{1}}}, Label: "w", In: []*File{Stored(src)}})
	f := must(Fold{CRC32, in})
	for range 3 {
		func() {
			defer func() {
				if r := recover(); r != "index out of range" {
					t.Errorf("recovered %v", r)
				}
			}()
			f.ReadAt(ctx, nil, make([]byte, 4), 0)
		}()
	}
}

// summedFile is a source of bytes that say of themselves what their checksums are, one of them wrong where wrong is not
// negative.
func summedFile(data []byte, wrong int, cuts ...int64) (Source, *memory) {
	src := newMemory("s", data)
	var sums []Sum
	for i := 0; i+1 < len(cuts); i += 2 {
		s := Sum{Name: string(rune('a' + i/2)), Off: cuts[i], Len: cuts[i+1] - cuts[i]}
		s.CRC = crc32.ChecksumIEEE(data[cuts[i]:cuts[i+1]])
		if i/2 == wrong {
			s.CRC ^= 0x100
		}
		sums = append(sums, s)
	}
	return Summed(src, sums), src
}

// TestSummed: bytes are compared with what the file says of them as they pass by, and what did not by Verify, which
// reads each of them once.
func TestSummed(t *testing.T) {
	data := random{rand.New(rand.NewPCG(1, 7))}.bytes(3 << 20)
	n := int64(len(data))
	cuts := []int64{10, 1 << 20, 1<<20 + 5, 2 << 20, 2 << 20, n - 7}
	for wrong := -1; wrong < 3; wrong++ {
		src, raw := summedFile(data, wrong, cuts...)
		f := must(Extent{src, 100, n - 100})
		if f.Unverified() != n-10-5-7 {
			t.Errorf("%d bytes are to be verified", f.Unverified())
		}
		var failed error
		for off := int64(0); off < f.Size() && failed == nil; off += 300_000 {
			p := make([]byte, 300_000)
			if _, err := f.ReadAt(ctx, nil, p, off); err != nil && err != io.EOF {
				failed = err
				if off+300_000+100 < cuts[2*wrong+1] {
					t.Errorf("%v: at %d, before all of it was read", err, off)
				}
			}
		}
		if failed == nil {
			failed = f.Verify(ctx)
		}
		if (wrong >= 0) != errors.Is(failed, fault.Checksum) || wrong < 0 && failed != nil {
			t.Errorf("%d is wrong: %v", wrong, failed)
		}
		if wrong >= 0 {
			if err := f.Verify(ctx); !errors.Is(err, fault.Checksum) {
				t.Errorf("verified: %v", err)
			}
			p := make([]byte, 1)
			if _, err := f.ReadAt(ctx, nil, p, cuts[2*wrong+1]-200); !errors.Is(err, fault.Checksum) {
				t.Errorf("a byte of what is wrong: %v", err)
			}
			continue
		}
		if f.Unverified() != 0 || f.Verify(ctx) != nil {
			t.Error("not verified")
		}
		if read := raw.bytes.Load(); read > n+3*summedLeast {
			t.Errorf("read %d bytes of %d", read, n)
		}
	}
	for name, c := range map[string]struct {
		spans func(src Source) []Span
		bad   bool
	}{
		"a slice of what is right": {func(src Source) []Span { return []Span{Extent{src, 50, 100}} }, false},
		"a slice of what is wrong": {func(src Source) []Span { return []Span{Extent{src, 1<<20 + 10, 100}} }, true},
		"bytes of nothing stated":  {func(src Source) []Span { return []Span{Extent{src, n - 5, 3}} }, false},
		"a walk": {func(src Source) []Span {
			return []Span{Box{must(Extent{src, 1 << 20, 1 << 20}), []int64{3}, []int64{9}, 50, 4}}
		}, true},
		"a computation": {func(src Source) []Span {
			return []Span{Coded{Op: blocks{2, []int64{4}}, Label: "w", In: []*File{must(Extent{src, 1 << 20, 400})}}}
		}, true},
		"merged with a bare source": {func(src Source) []Span {
			return []Span{Extent{src.(*summed).Source, 1 << 20, 10}, Extent{src, 1<<20 + 10, 100}}
		}, true},
	} {
		src, _ := summedFile(data, 1, cuts...)
		f := must(c.spans(src)...)
		p := make([]byte, f.Size())
		if _, err := f.ReadAt(ctx, nil, p, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Verify(ctx); c.bad != errors.Is(err, fault.Checksum) || !c.bad && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	src, _ := summedFile(data, 1, cuts...)
	if got := Stored(src).Identical(); got != src.(*summed).Source {
		t.Errorf("identical to %v", got)
	}
	if Stored(src).ID() != Stored(src.(*summed).Source).ID() {
		t.Error("what a file says of itself changes its identity")
	}
}

// TestSummedTogether: readers at once, of pieces in any order, neither miss what is wrong nor find what is not.
func TestSummedTogether(t *testing.T) {
	data := random{rand.New(rand.NewPCG(2, 7))}.bytes(1 << 20)
	cuts := []int64{0, 1000, 1000, 700_000, 700_000, 1 << 20}
	for seed := range seeds(40) {
		wrong := int(seed%4) - 1
		src, _ := summedFile(data, wrong, cuts...)
		f := Stored(src)
		var all sync.WaitGroup
		for g := range uint64(4) {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, g))
				for range 20 {
					p := make([]byte, 1+r.IntN(200_000))
					if _, err := must(Extent{src, 0, f.Size()}).ReadAt(ctx, nil, p, r.Int64N(f.Size())); err != nil && err != io.EOF && wrong < 0 {
						t.Errorf("seed %d: %v", seed, err)
					}
				}
			})
		}
		all.Wait()
		if err := f.Verify(ctx); (wrong >= 0) != errors.Is(err, fault.Checksum) || wrong < 0 && err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
