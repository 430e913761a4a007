package torch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// maxPickle is the longest pickle that is read, in bytes: tensors are not in it. Real ones have up to some megabytes.
const maxPickle = 128 << 20

// file is the bytes that a saved object lies in: a stored file, a member of another, or bytes in a pickle.
type file struct {
	ctx       context.Context
	src       layout.Source
	off, size int64
	inline    []byte // the bytes where they lie in a pickle; src is then they
	nested    int    // how many pickles they lie in
	imports   *pickle.Imports
	shard     bool // it is one of several that are one model
}

// newFile is a whole stored file.
func newFile(ctx context.Context, src layout.Source) *file {
	return &file{ctx: ctx, src: src, size: src.Size(), imports: &pickle.Imports{}}
}

// part is n bytes of the file from off, as a file.
func (f *file) part(off, n int64) *file {
	p := *f
	p.off, p.size = f.off+off, n
	if f.inline != nil {
		p.inline = f.inline[off : off+n]
		p.src, p.off = inline(p.inline), 0
	}
	return &p
}

// bytes is n bytes of the file from off, which lie in it, none read.
func (f *file) bytes(off, n int64) (*layout.File, error) {
	if f.inline != nil {
		return layout.Bytes(f.inline[off : off+n]), nil
	}
	return layout.New(layout.Extent{Source: f.src, Off: f.off + off, Len: n})
}

// ReadAt reads of the file as io.ReaderAt does.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), f.size-off)
	got, err := f.src.ReadAt(f.ctx, p[:n], f.off+off)
	if int64(got) == n {
		err = nil
		if n < int64(len(p)) {
			err = io.EOF
		}
	}
	return got, err
}

// full reads all of p, which lies in the file.
func (f *file) full(p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.At(fault.Changed, f.off+off+int64(n), "the file ended where it had %d bytes before", f.src.Size())
	}
	return err
}

// at is a fault at an offset of the file.
func (f *file) at(kind fault.Kind, off int64, format string, args ...any) *fault.Error {
	if f.inline != nil {
		return fault.New(kind, format, args...)
	}
	return fault.At(kind, f.off+off, format, args...)
}

// base is where the pickle at off begins, for faults in it.
func (f *file) base(off int64) int64 {
	if f.inline != nil {
		return -1
	}
	return f.off + off
}

// pickle reads the pickle at off, and where it ends.
func (f *file) pickle(off int64) (pickle.Value, int64, error) {
	v, next, err := pickle.Read(shifted{f}, f.off+off, f.off+f.size, maxPickle, pickle.Options{Imports: f.imports})
	return v, next - f.off, err
}

// shifted reads a file by the offsets of its source, so that faults have those.
type shifted struct{ f *file }

func (s shifted) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off-s.f.off) }

// inline is bytes in a pickle as a source.
type inline []byte

func (b inline) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off)
}
func (b inline) Size() int64    { return int64(len(b)) }
func (b inline) ID() layout.ID  { return sha256.Sum256(b) }
func (b inline) String() string { return "bytes in a pickle" }

// within is what the bytes hold that an object has PyTorch load (torch.storage._load_from_bytes(b'...')), which is how
// a storage is pickled by itself; nil of any other object.
func (r *reading) within(o *pickle.Object) (*reading, error) {
	if in, ok := r.inner[o]; ok {
		return in, nil
	}
	g := classOf(o)
	if g == nil || !g.Is("torch.storage", "_load_from_bytes") || len(o.Args.Items) != 1 {
		return nil, nil
	}
	raw, ok := o.Args.Items[0].(pickle.Bytes)
	if !ok {
		return nil, nil
	}
	if r.nested == maxNested {
		return nil, r.at(fault.Limit, o.Off, "pickles lie in pickles more than %d deep", maxNested)
	}
	f := &file{ctx: r.ctx, src: inline(raw), size: int64(len(raw)), inline: raw, nested: r.nested + 1, imports: r.imports}
	in, _, err := f.read()
	if err != nil {
		return nil, r.at(fault.KindOf(err), o.Off, "a storage that was pickled by itself: %s", fault.Reason(err))
	}
	r.inner[o] = in
	return in, nil
}
