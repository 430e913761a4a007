// Package layout describes a file before its bytes exist.
//
// A File is an ordered list of spans, each with a size known up front:
//
//	off 0        ┌──────────────┐
//	             │ Literal      │ bytes made by the planner: a header
//	             ├──────────────┤
//	             │ Coded f32→f16│ ◄── Extent of a stored file, at another offset and another ratio
//	             ├──────────────┤
//	             │ Box          │ ◄── a strided walk over another File: a transpose, a slice, permuted heads
//	             ├──────────────┤
//	             │ Zeros        │ padding
//	             ├──────────────┤
//	             │ Fold crc32   │ ◄── a value over all bytes of another File: a checksum
//	off Size()   └──────────────┘
//
// From the list alone follow the exact size, the bytes of any range (ReadAt), an identity (ID) that changes exactly
// when the bytes could, and a text (String) that says where each byte comes from. Nothing is read to make one.
//
// Inputs of spans are Files, so slices, concatenations, merged experts, and dequantize-then-requantize are nestings
// of spans and not code.
//
// The same shape stands at the heart of Perkeep's schema, restic's mount and eStargz; what is added here is the span
// whose bytes are computed from others at a fixed block ratio.
package layout

import (
	"context"
	"io"
	"os"
	"sort"
	"sync/atomic"

	"github.com/isomerfs/isomerfs/fault"
)

// Source is an immutable string of bytes: a stored file, or a sealed entry of the cache. It holds no descriptor
// between uses.
type Source interface {
	// ReadAt reads as io.ReaderAt does. It compares the file's identity with the one it was planned with after each
	// read, and fails as fault.Changed rather than return bytes of another file. It may be called from any goroutine.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Size() int64
	ID() ID         // of the bytes: a digest, or where and when they were seen
	String() string // its path, for people; never part of an ID
}

// Opener is implemented by a Source that is one file of the local file system, which the kernel can read by itself.
// The caller closes the file. A file that is no longer the one that was planned is fault.Changed.
type Opener interface{ Open() (*os.File, error) }

// Files is the set of stored files that a codec reads a model from.
type Files interface {
	List() []string                   // slash-separated paths below the version's folder, sorted
	Open(name string) (Source, error) // fault.Missing when there is none
}

// Workspace is what evaluation may use beside its own buffers.
type Workspace interface {
	// Budget is the memory in bytes that one evaluation may hold at a time.
	Budget() int64

	// Keep returns the bytes of a Materialized span: those kept under id, or else what build writes, whole and in any
	// order, size bytes in all. Concurrent calls with one id share one run of build.
	Keep(ctx context.Context, id ID, size int64, build func(ctx context.Context, w io.WriterAt) error) (Source, error)
}

// defaultBudget serves evaluations without a Workspace.
const defaultBudget = 32 << 20

// Span is a run of bytes of a File. The set is closed: Literal, Zeros, Extent, Box, Coded, Materialized, Fold.
type Span interface {
	// Size is the number of bytes, exact; 0 for a span that New will refuse.
	Size() int64

	check() error                                                 // why the span can't be: its geometry, not its bytes
	read(ctx context.Context, ev eval, p []byte, off int64) error // fills p from off; both lie within the span
	grain(off int64) (lo, hi int64)                               // see File.Grain
	describe(h *hasher)                                           // everything the bytes depend on
	line() Line                                                   // for people; Off is set by the File
}

// File is a sequence of spans. It is immutable, and safe for use by many goroutines.
type File struct {
	spans []Span  // as given, without the empty ones
	runs  []Span  // the same bytes with neighbours merged: what is evaluated and hashed
	ends  []int64 // ends[i] is the offset just past runs[i]

	echoes []echo // in order: the parts that Folds of this file go over

	known    atomic.Pointer[identity] // nil until it is asked for
	tallies  atomic.Pointer[tallyOf]  // what is known of Folds over this file
	verified atomic.Bool              // whether Verify found nothing wrong
}

// New makes a File of spans. It fails when a span reaches outside its input or a size does not fit 63 bits.
func New(spans ...Span) (*File, error) {
	f := &File{}
	for _, s := range spans {
		if err := s.check(); err != nil {
			return nil, err
		}
		if s.Size() == 0 {
			continue
		}
		f.spans = append(f.spans, s)
		f.runs = appendRun(f.runs, s)
	}
	f.runs = joinLiterals(f.runs)
	var end int64
	for _, r := range f.runs {
		size := r.Size()
		if end+size < end {
			return nil, fault.New(fault.Overflow, "the file would be larger than fits 63 bits")
		}
		end += size
		f.ends = append(f.ends, end)
	}
	return f, nil
}

// Bytes is a File of the bytes in b, which the caller no longer changes.
func Bytes(b []byte) *File { return must(Literal(b)) }

// Stored is a File of a whole source.
func Stored(s Source) *File { return must(Extent{Source: s, Len: s.Size()}) }

// must is for spans whose geometry cannot be wrong.
func must(spans ...Span) *File {
	f, err := New(spans...)
	if err != nil {
		f, _ = New()
	}
	return f
}

// Concat is a File of the bytes of files, one after another. A Fold in one of them over another of them is told of what
// is read of that.
func Concat(files ...*File) (*File, error) {
	var spans []Span
	for _, f := range files {
		spans = append(spans, f.spans...)
	}
	joined, err := New(spans...)
	if err != nil {
		return nil, err
	}
	joined.echoes = echoing(files)
	return joined, nil
}

// Slice is a File of the n bytes of f from off.
func (f *File) Slice(off, n int64) (*File, error) {
	if off < 0 || n < 0 || off > f.Size()-n {
		return nil, fault.New(fault.Extent, "bytes %d to %d lie outside a file of %d", off, off+n, f.Size())
	}
	var spans []Span
	for i := f.find(off); n > 0; i++ {
		start := f.ends[i] - f.runs[i].Size()
		m := min(n, f.ends[i]-off)
		spans = append(spans, cut(f.runs[i], off-start, m))
		off, n = off+m, n-m
	}
	return New(spans...)
}

// Size is the number of bytes, exact.
func (f *File) Size() int64 {
	if len(f.ends) == 0 {
		return 0
	}
	return f.ends[len(f.ends)-1]
}

// Spans is the list the file was made of, without the empty ones.
func (f *File) Spans() []Span { return f.spans }

// Literal reports whether every byte was made by the planner, so that reading touches no source.
func (f *File) Literal() bool {
	for _, r := range f.runs {
		switch r.(type) {
		case Literal, Zeros:
		default:
			return false
		}
	}
	return true
}

// Identical is the source whose bytes the file has, all of them and nothing else; nil where there is none.
func (f *File) Identical() Source {
	if len(f.runs) != 1 {
		return nil
	}
	if e, ok := f.runs[0].(Extent); ok && e.Off == 0 && e.Len == e.Source.Size() {
		return bare(e.Source)
	}
	return nil
}

// Sources lists the sources that the bytes come from, each once, in order of first use.
func (f *File) Sources() []Source {
	var list []Source
	seen := map[ID]bool{}
	f.extents(func(e Extent) error {
		if id := e.Source.ID(); !seen[id] {
			seen[id] = true
			list = append(list, bare(e.Source))
		}
		return nil
	})
	return list
}

// inputs are the files that a span is made of.
func inputs(s Span) []*File {
	switch s := s.(type) {
	case Box:
		return []*File{s.In}
	case Coded:
		return s.In
	case Materialized:
		return s.In
	case Fold:
		return []*File{s.In}
	}
	return nil
}

// find is the index of the run that holds byte off.
func (f *File) find(off int64) int {
	return sort.Search(len(f.ends), func(i int) bool { return f.ends[i] > off })
}

// ReadAt reads len(p) bytes from off, fewer only at the end of the file, then with io.EOF. Any order of reads gives
// the same bytes. ws may be nil for a file without Materialized spans.
//
// Cancelling ctx ends the read early with ctx's error; p is then undefined.
func (f *File) ReadAt(ctx context.Context, ws Workspace, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fault.New(fault.Usage, "read at negative offset %d", off)
	}
	if off >= f.Size() {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.Size()-off))
	if err := f.read(ctx, eval{ws}, p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Fill writes bytes lo to hi of the file to w at their own offsets, in any order, in pieces of bounded size. Nothing
// is retried: after an error what w holds is undefined.
func (f *File) Fill(ctx context.Context, ws Workspace, w io.WriterAt, lo, hi int64) error {
	ev := eval{ws}
	for lo < hi {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(hi, lo+tile)
		if _, g := f.Grain(lo); g > end { // a block that is cheap only as a whole
			end = min(hi, g, lo+ev.budget())
		}
		buf := getBuffer(end - lo)
		err := f.read(ctx, ev, buf.b, lo)
		if err == nil {
			_, err = w.WriteAt(buf.b, lo)
		}
		buf.put()
		if err != nil {
			return err
		}
		lo = end
	}
	return nil
}

// Grain is the range around off that costs as much to compute as any part of it: a whole block of a computation, the
// rows that one pass over a transposed input yields. lo == hi == off means that any range will do. A caller that
// computes ahead asks for whole grains.
func (f *File) Grain(off int64) (lo, hi int64) {
	if off < 0 || off >= f.Size() {
		return off, off
	}
	i := f.find(off)
	start := f.ends[i] - f.runs[i].Size()
	lo, hi = f.runs[i].grain(off - start)
	return start + lo, start + hi
}

// read fills p from off; both lie within the file.
func (f *File) read(ctx context.Context, ev eval, p []byte, off int64) error {
	if len(f.echoes) > 0 {
		return f.readEchoed(ctx, ev, p, off)
	}
	return f.readRuns(ctx, ev, p, off, nil)
}

// readRuns is read of the runs that want asks for; of all where it is nil.
func (f *File) readRuns(ctx context.Context, ev eval, p []byte, off int64, want func(Span) bool) error {
	for i := f.find(off); len(p) > 0; i++ {
		start := f.ends[i] - f.runs[i].Size()
		n := min(int64(len(p)), f.ends[i]-off)
		if want == nil || want(f.runs[i]) {
			if err := f.runs[i].read(ctx, ev, p[:n], off-start); err != nil {
				return err
			}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// eval is what an evaluation carries down through nested files.
type eval struct{ ws Workspace }

func (ev eval) budget() int64 {
	if ev.ws == nil {
		return defaultBudget
	}
	return max(ev.ws.Budget(), 2*tile)
}
