package fs

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// handle is an open file or folder. What it serves is fixed at the open.
type handle struct {
	inode *inode
	node  *tree.Node
	mode  mode

	source   layout.Source // of a stored file
	entry    entry         // of a computed one; released with the handle
	document bool
	text     []byte // of a document: the snapshot
	listing  *listing
}

// flags are what the kernel is told of an open, by mode.
//
// FOPEN_NOFLUSH saves a round trip at each close. FOPEN_KEEP_CACHE beside FOPEN_DIRECT_IO: without it the kernel drops
// the pages of the inode at each open and waits, beyond any signal, for the one that another mapping is waiting for.
// With passthrough it is left out for the same effect: pages of an earlier mode are a second copy of the file's.
var flags = [modes]uint32{
	passthrough: fuse.FOPEN_PASSTHROUGH | fuse.FOPEN_NOFLUSH,
	direct:      fuse.FOPEN_DIRECT_IO | fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH,
	cached:      fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH,
}

// Open decides what can fail, before a program has a file in its hands that would fail under mmap: whether the stored
// files are as they were planned, and whether the bytes can be made at all.
func (v *volume) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := v.inodes.get(in.NodeId)
	if n == nil {
		return v.answer(opOpen, syscall.ESTALE)
	}
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY || in.Flags&syscall.O_TRUNC != 0 {
		return v.answer(opOpen, syscall.EROFS)
	}
	t := n.node.Load()
	if t.File == nil {
		return v.answer(opOpen, syscall.EISDIR)
	}
	ctx := v.asked(cancel, &in.InHeader)
	defer ctx.end()
	h, err := v.open(ctx, n, t, v.walkers.back(in.Pid), out)
	if errors.Is(err, errMoved) {
		v.walkers.send(in.Pid)
		return v.answer(opOpen, syscall.ESTALE)
	}
	if err != nil {
		errno := openErrno(ctx, err)
		if errno == syscall.ESTALE { // to another version, perhaps
			v.walkers.send(in.Pid)
		}
		n.failed(errno, err)
		v.refused("open", t.Path, errno, err)
		return v.answer(opOpen, errno)
	}
	v.count.opens[h.mode].Add(1)
	out.Fh = v.handles.add(h)
	return v.answer(opOpen, 0)
}

// failed keeps why n can't be read. An interrupt says nothing of the file.
func (n *inode) failed(errno syscall.Errno, err error) {
	if errno == syscall.EINTR {
		return
	}
	n.mu.Lock()
	n.err = err
	n.mu.Unlock()
}

// open makes a handle. back says that the thread has walked its path again already.
func (v *volume) open(ctx context.Context, n *inode, t *tree.Node, back bool, out *fuse.OpenOut) (*handle, error) {
	f := t.File
	h := &handle{inode: n, node: t}
	if f.Check != nil {
		if err := patiently(ctx, func() error { return f.Check(ctx) }); err != nil {
			return nil, err
		}
	}
	var err error
	switch {
	case f.Document != nil:
		err = v.openDocument(ctx, h, out)
	case f.Source != nil:
		err = v.openStored(ctx, h, out)
	case f.Layout != nil:
		err = v.openLayout(ctx, h, back, out)
	default:
		err = fault.New(fault.IO, "the file has neither a source nor a layout")
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// patiently runs what may wait for a disk or a network, and returns when the caller gives up; do then ends by itself.
// A panic of do is an error, as it would be in the goroutine of a request.
func patiently(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if what := recover(); what != nil {
				err = fault.New(fault.IO, "panic: %v", what)
			}
			done <- err
		}()
		err = do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// openDocument takes a snapshot. It is not kept in the page cache: the next open may take another.
func (v *volume) openDocument(ctx context.Context, h *handle, out *fuse.OpenOut) error {
	text, err := h.node.File.Document(ctx)
	if err != nil {
		return err
	}
	h.document, h.text, h.mode = true, text, direct
	n := h.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handles++
	n.mode, n.snapshot, n.err = direct, int64(len(text)), nil
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return nil
}

// openStored opens a file that lies in the store, or a view that is one byte for byte.
func (v *volume) openStored(ctx context.Context, h *handle, out *fuse.OpenOut) error {
	n := h.inode
	h.source = h.node.File.Source
	opener, local := h.source.(layout.Opener)
	var file *os.File
	for {
		n.mu.Lock()
		if n.handles > 0 {
			break // the mode, and the file, are those of the handles that are open
		}
		if !local || !v.backing.store() {
			n.mode = cached
			break
		}
		if file != nil {
			n.mode = cached
			if v.backing.register(n, file) {
				n.mode, n.file, file = passthrough, file, nil
			}
			break
		}
		n.mu.Unlock()
		var err error
		if file, err = openPatiently(ctx, opener); err != nil {
			return err
		}
	}
	defer n.mu.Unlock()
	if file != nil {
		file.Close()
	}
	v.begin(h, out)
	return nil
}

// openPatiently opens a stored file. One that nobody waits for any more when it is open is closed.
func openPatiently(ctx context.Context, opener layout.Opener) (*os.File, error) {
	var file *os.File
	opened := make(chan struct{})
	err := patiently(ctx, func() error {
		defer close(opened)
		f, err := opener.Open()
		file = f
		return err
	})
	if err != nil {
		go func() {
			if <-opened; file != nil {
				file.Close()
			}
		}()
		return nil, err
	}
	return file, nil
}

// begin makes h one of the open handles of its inode, in the inode's mode. n.mu is held.
func (v *volume) begin(h *handle, out *fuse.OpenOut) {
	n := h.inode
	n.handles++
	n.err = nil
	h.mode = n.mode
	out.OpenFlags = flags[n.mode]
	if n.mode == passthrough {
		out.BackingID = n.backing
	}
}

// errMoved sends the kernel to the inode that a path leads to by now.
var errMoved = errors.New("the file has moved to another inode")

// openLayout opens a computed file, in the mode of the handles that are open or in the one that its state asks for.
func (v *volume) openLayout(ctx context.Context, h *handle, back bool, out *fuse.OpenOut) error {
	n, f := h.inode, h.node.File
	v.cache.Hush()
	e := v.cache.get(f.Layout, f.Path)
	if err := v.prepare(ctx, e); err != nil {
		e.Release()
		return err
	}
	h.entry = e
	n.mu.Lock()
	defer n.mu.Unlock()
	file, complete := e.Complete()
	switch {
	case n.handles == 0:
		n.mode = v.modeOf(n, e, file, complete)
	case n.mode == direct && complete:
		v.retire(n)
		if !back {
			e.Release()
			return errMoved
		} // what has no path to walk shares the mode of those before it
	}
	v.begin(h, out)
	if n.mode == direct && n.handles == 1 {
		v.watch(h)
	}
	return nil
}

// prepare is what an open waits for.
func (v *volume) prepare(ctx context.Context, e entry) error {
	if v.wait {
		if err := e.Warm(ctx); err == nil || ctx.Err() != nil {
			return err
		} // it can't be kept, and is served all the same, or it can't be made, which Prepare finds too
	}
	return e.Prepare(ctx)
}

// modeOf is the mode that the state of a computed file asks for. n.mu is held, and no handle is open.
func (v *volume) modeOf(n *inode, e entry, file *os.File, complete bool) mode {
	switch {
	case complete && v.backing.cache() && v.backing.register(n, file):
		return passthrough
	case complete || !v.maps || e.State() == cache.Memory:
		return cached // a kernel that does not map files in direct mode has no passthrough either
	}
	return direct
}

// walkers are threads whose open was answered ESTALE, and which the kernel now has walk their path again. The next open
// of such a thread is the end of that walk. If it is sent away once more the program gets to see ESTALE: so it is not,
// and what it finds, it may have.
type walkers struct {
	mu   sync.Mutex
	sent map[uint32]struct{} // by thread ID; all that this process can't see share 0
}

// send takes note that a thread was answered ESTALE.
func (w *walkers) send(thread uint32) {
	const most = 1 << 14 // threads die on their way, too
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent == nil || len(w.sent) >= most {
		w.sent = map[uint32]struct{}{}
	}
	w.sent[thread] = struct{}{}
}

// back reports whether a thread that opens was sent before.
func (w *walkers) back(thread uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.sent[thread]
	delete(w.sent, thread)
	return ok
}

// retire moves n's path to another inode, and has the kernel told.
func (v *volume) retire(n *inode) {
	if v.inodes.retire(n) {
		v.count.retired.Add(1)
		v.notify.add(n)
	}
}

// watch has the inode of h, the first handle in direct mode, retired when its file is complete. The handles after it
// have the same entry, so that one watcher serves until the last is released.
func (v *volume) watch(h *handle) {
	h.entry.OnChange(func() { v.changed(h) })
	if _, complete := h.entry.Complete(); complete { // meanwhile
		v.retire(h.inode)
	}
}

// changed is called when the file of h was completed or evicted. After an eviction what is open goes on as before,
// and the next open chooses anew.
func (v *volume) changed(h *handle) {
	n := h.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mode != direct { // no handle is left, or they are others
		return
	}
	if _, complete := h.entry.Complete(); complete {
		v.retire(n)
	}
}

// Read answers exactly the bytes asked for, up to the end of the file, or an errno: a program takes fewer for the end.
func (v *volume) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h := v.handles.get(in.Fh)
	if h == nil || h.listing != nil {
		return nil, v.answer(opRead, syscall.EBADF)
	}
	off := int64(in.Offset)
	if h.document {
		n := 0
		if off >= 0 && off < int64(len(h.text)) {
			n = copy(buf, h.text[off:])
		}
		v.count.bytes.Add(uint64(n))
		return fuse.ReadResultData(buf[:n]), v.answer(opRead, 0)
	}
	size := h.node.Attr.Size
	if off < 0 || off >= size {
		return fuse.ReadResultData(nil), v.answer(opRead, 0)
	}
	buf = buf[:min(int64(len(buf)), size-off)]
	ctx := v.asked(cancel, &in.InHeader)
	defer ctx.end()
	b, release, err := h.lend(ctx, buf, off)
	if len(b) == len(buf) && (err == nil || errors.Is(err, io.EOF)) {
		v.count.bytes.Add(uint64(len(b)))
		if release != nil {
			return &lent{b, release}, v.answer(opRead, 0)
		}
		return fuse.ReadResultData(b), v.answer(opRead, 0)
	}
	if release != nil {
		release()
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fault.At(fault.IO, off, "%d of %d bytes came, before the end of a file of %d", len(b), len(buf), size)
	}
	errno := errnoOf(ctx, err)
	h.inode.failed(errno, err)
	v.refused("read", h.node.Path, errno, err)
	return nil, v.answer(opRead, errno)
}

// lender is an entry that can answer a read with memory of its own, see cache.Entry.Lend.
type lender interface {
	Lend(ctx context.Context, p []byte, off int64) (b []byte, release func(), err error)
}

var _ lender = (*cache.Entry)(nil)

// lend reads as ReadAt does, into p or without a copy; then release is to be called when b was sent.
func (h *handle) lend(ctx context.Context, p []byte, off int64) (b []byte, release func(), err error) {
	if l, ok := h.entry.(lender); ok {
		return l.Lend(ctx, p, off)
	}
	n, err := h.ReadAt(ctx, p, off)
	return p[:n], nil, err
}

// lent is the answer to a read in somebody else's memory. go-fuse calls Done of a result with Slices after the answer
// was written, and of one with Bytes alone before.
type lent struct {
	b       []byte
	release func()
}

func (r *lent) Size() int                          { return len(r.b) }
func (r *lent) Slices() ([][]byte, fuse.Status)    { return [][]byte{r.b}, fuse.OK }
func (r *lent) Bytes([]byte) ([]byte, fuse.Status) { return r.b, fuse.OK }
func (r *lent) Done()                              { r.release() }

// ReadAt reads from whatever h serves.
func (h *handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if h.entry != nil {
		return h.entry.ReadAt(ctx, p, off)
	}
	return h.source.ReadAt(ctx, p, off)
}

// Release closes a file. The kernel has let go of the handle by now, and of all that is mapped through it.
func (v *volume) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	v.count.ops[opRelease].Add(1)
	if h := v.handles.remove(in.Fh); h != nil {
		v.release(h)
	}
}

func (v *volume) release(h *handle) {
	if h.listing != nil {
		return
	}
	n := h.inode
	n.mu.Lock()
	if n.handles--; n.handles == 0 {
		v.backing.unregister(n)
		if n.file != nil {
			n.file.Close()
			n.file = nil
		}
		n.mode = closed
	}
	n.mu.Unlock()
	if h.entry != nil {
		h.entry.Release()
	}
}
