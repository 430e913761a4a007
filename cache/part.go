package cache

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// objects is the folder of the files.
const objects = "obj"

const (
	metaSuffix = ".meta"
	partSuffix = ".part"
)

// objectDir is the folder of an ID, one of 256.
func objectDir(id layout.ID) string { return path.Join(objects, hex.EncodeToString(id[:1])) }

func objectName(id layout.ID) string { return path.Join(objectDir(id), id.String()) }

func metaName(id layout.ID) string { return objectName(id) + metaSuffix }

// handle is an open file that closes when nobody holds it.
type handle struct {
	File
	refs atomic.Int32
}

func newHandle(f File) *handle {
	h := &handle{File: f}
	h.refs.Store(1)
	return h
}

func (h *handle) hold() *handle {
	h.refs.Add(1)
	return h
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		h.File.Close()
	}
}

// os is the descriptor, where the disk is one of the kernel's.
func (h *handle) os() (*os.File, bool) {
	f, ok := h.File.(interface{ OS() *os.File })
	if !ok {
		return nil, false
	}
	return f.OS(), true
}

// readFull fills p from the file; an end before that is an error.
func readFull(f File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return fmt.Errorf("%d of %d bytes at %d: %w", n, len(p), off, orEOF(err))
}

// part is a file of the cache while it is written: sparse, under a lock, of a name that nobody looks up. It is written
// by many, and its owner keeps account of which bytes are there.
type part struct {
	disk Disk
	id   layout.ID
	size int64
	h    *handle
	done atomic.Int64 // bytes written

	// writing lets one write at a time: the kernel does so too, by a lock that those who wait for it spin on.
	writing sync.Mutex

	mu     sync.Mutex // guards the rest
	name   string
	sums   []uint32 // of each block
	summed []bool   // whether sums has it: blocks that were written in pieces are read again at the seal
	dirty  ranges   // written and not yet on its way to the disk
	busy   bool     // a goroutine sends it
	gone   bool     // dropped
}

// newPart makes a file for an ID, which another may be making too.
func newPart(d Disk, id layout.ID, size int64) (*part, error) {
	name, f, err := createPart(d, id)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		d.Remove(name)
		return nil, err
	}
	return &part{disk: d, id: id, size: size, name: name, h: newHandle(f), sums: make([]uint32, blocks(size)), summed: make([]bool, blocks(size))}, nil
}

func createPart(d Disk, id layout.ID) (string, File, error) {
	for {
		var tag [4]byte
		rand.Read(tag[:])
		name := objectName(id) + "." + hex.EncodeToString(tag[:]) + partSuffix
		f, err := d.Create(name)
		if !errors.Is(err, fs.ErrExist) {
			return name, f, err
		}
	}
}

// flushEvery is how long a run of bytes is before it is sent on its way to the disk: so the disk lays it out in one
// place, and next to nothing is left for the sync at the end.
const flushEvery = 8 << 20

// write puts bytes at their place. Each byte is written once. begin is called for goroutines.
func (p *part) write(b []byte, off int64, begin func(func()) bool) error {
	p.writing.Lock()
	n, err := p.h.WriteAt(b, off)
	p.writing.Unlock()
	if err != nil || n < len(b) {
		if err == nil {
			err = fs.ErrInvalid
		}
		return err
	}
	first, last := (off+block-1)/block, (off+int64(len(b)))/block
	if off+int64(len(b)) == p.size {
		last = blocks(p.size)
	}
	for i := first; i < last; i++ {
		lo, hi := i*block-off, min((i+1)*block, p.size)-off
		sum := checksum(b[lo:hi])
		p.mu.Lock()
		p.sums[i], p.summed[i] = sum, true
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty.add(off, off+int64(len(b)))
	if _, ok := p.run(off); ok && !p.busy {
		p.busy = begin(p.flush)
	}
	return nil
}

// run is the dirty run that off is in, and whether it is long enough to be sent, with p.mu held.
func (p *part) run(off int64) (span, bool) {
	i := p.dirty.at(off)
	if i == len(p.dirty.list) {
		return span{}, false
	}
	s := p.dirty.list[i]
	return s, s.hi-s.lo >= flushEvery
}

// flush sends long runs on their way. That may wait for the disk, and so is a goroutine of its own.
func (p *part) flush() {
	for {
		p.mu.Lock()
		var send, keep ranges
		for _, s := range p.dirty.list {
			if s.hi-s.lo >= flushEvery {
				send.add(s.lo, s.hi)
			} else {
				keep.add(s.lo, s.hi)
			}
		}
		if len(send.list) == 0 || p.gone {
			p.busy = false
			p.mu.Unlock()
			return
		}
		p.dirty = keep
		h := p.h.hold()
		p.mu.Unlock()
		for _, s := range send.list {
			h.Flush(s.lo, s.hi-s.lo) // what it fails to do, or to tell, Sync does
		}
		h.release()
	}
}

// drop removes the file. Those who read it finish.
func (p *part) drop() {
	p.remove()
	p.h.release()
}

// remove takes the file's name away and leaves it open.
func (p *part) remove() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.disk.Remove(p.name)
}

// unsummed has the checksums of what was written twice computed at the seal.
func (p *part) unsummed(lo, hi int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := lo / block; i < blocks(hi); i++ {
		p.summed[i] = false
	}
}

// errRival says that the same file was sealed by somebody else first.
var errRival = errors.New("sealed by another daemon meanwhile")

// seal makes the whole file durable under its name, its record first. The caller has written every byte. What it is
// told of an error, errRival too: the file is still a part, and to be dropped.
//
// A crash at any point leaves a sealed file with its record, or names that mean nothing: a record without its file, or
// parts that nobody holds. The file's name alone says that it is whole, so its bytes are durable before it has it.
func (p *part) seal(path string) (*record, error) {
	buf := make([]byte, 0)
	for i, ok := range p.summed {
		if ok {
			continue
		}
		if cap(buf) == 0 {
			buf = make([]byte, block)
		}
		lo := int64(i) * block
		b := buf[:min(block, p.size-lo)]
		if err := readFull(p.h, b, lo); err != nil {
			return nil, err
		}
		p.sums[i], p.summed[i] = checksum(b), true
	}
	synced := make(chan error, 1)
	go func() { synced <- p.h.Sync() }() // beside the record's: a journal commits both at once
	rec := &record{id: p.id, size: p.size, made: time.Now(), path: path, sums: p.sums}
	name, f, err := writeRecord(p.disk, rec)
	if syncErr := <-synced; syncErr != nil {
		err = errors.Join(syncErr, err)
	}
	if f != nil {
		defer f.Close() // until then its lock says that the file beside it is on its way
	}
	if err == nil {
		err = p.commit(name)
	}
	if err != nil && name != "" {
		p.disk.Remove(name)
	}
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// writeRecord writes a record to a part of its own, durable. f is open where there is a name.
func writeRecord(d Disk, rec *record) (name string, f File, err error) {
	name, f, err = createPart(d, rec.id)
	if err != nil {
		return "", nil, err
	}
	b := rec.encode()
	if n, err := f.WriteAt(b, 0); err != nil || n < len(b) {
		return name, f, errors.Join(err, fs.ErrInvalid)
	}
	return name, f, f.Sync()
}

// commit gives the record and then the file their names. The first of two daemons wins; the bytes are the same.
func (p *part) commit(record string) error {
	if ok, err := p.h.Lock(Shared); err != nil || !ok { // from exclusive: in use, no longer being written
		return errors.Join(err, errRival)
	}
	name := objectName(p.id)
	if info, err := p.disk.Stat(name); err == nil {
		if _, err := p.disk.Stat(metaName(p.id)); err == nil && info.Size == p.size {
			return errRival
		}
		if err := p.disk.Remove(name); err != nil { // left without its record, or cut
			return err
		}
	}
	if err := p.disk.Replace(record, metaName(p.id)); err != nil {
		return err
	}
	if err := p.rename(name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return errRival
		}
		return err
	}
	return p.disk.Sync(objectDir(p.id))
}

func (p *part) rename(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return fs.ErrClosed
	}
	if err := p.disk.Commit(p.name, name); err != nil {
		return err
	}
	p.name = name
	return nil
}

// openSealed opens the sealed file of an ID with a shared lock on it. fs.ErrNotExist when there is none; another error
// says why what is there is none.
func openSealed(d Disk, id layout.ID, size int64) (*handle, *record, error) {
	f, err := d.Open(objectName(id))
	if err != nil {
		return nil, nil, err
	}
	rec, err := checkSealed(d, f, id, size)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return newHandle(f), rec, nil
}

func checkSealed(d Disk, f File, id layout.ID, size int64) (*record, error) {
	if ok, err := f.Lock(Shared); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("it is being removed: %w", fs.ErrNotExist)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Links == 0 {
		return nil, fmt.Errorf("it was removed: %w", fs.ErrNotExist)
	}
	rec, err := loadRecord(d, id, false)
	if err != nil {
		return nil, err
	}
	if rec.size != size {
		return nil, fault.New(fault.Mismatch, "it was sealed with %d bytes and should have %d", rec.size, size)
	}
	if info.Size != size {
		return nil, fault.New(fault.Truncated, "it has %d of its %d bytes", info.Size, size)
	}
	return rec, nil
}

// loadRecord reads the record of an ID.
func loadRecord(d Disk, id layout.ID, sums bool) (*record, error) {
	f, err := d.Open(metaName(id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	rec, err := readRecord(f, info.Size, sums)
	if err != nil {
		return nil, err
	}
	if rec.id != id {
		return nil, fault.New(fault.Mismatch, "the record is that of %s", rec.id)
	}
	return rec, nil
}

// removeSealed unlinks a sealed file, its record and its pin. false: somebody has it open or it is pinned, unless that
// does not matter.
func removeSealed(d Disk, id layout.ID, used bool) (bool, error) {
	f, err := d.Open(objectName(id))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, ignoreAbsent(d.Remove(metaName(id)))
		}
		return false, err
	}
	defer f.Close()
	if !used {
		if pinned(d, id) {
			return false, nil
		}
		if ok, err := f.Lock(Exclusive); err != nil || !ok {
			return false, err
		}
	}
	// The file goes first: without it the record means nothing, and a record that is left over is replaced.
	if err := ignoreAbsent(d.Remove(objectName(id))); err != nil {
		return false, err
	}
	if used {
		if err := ignoreAbsent(d.Remove(pinName(id))); err != nil {
			return false, err
		}
	}
	return true, ignoreAbsent(d.Remove(metaName(id)))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
