package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/layout"
)

// digests knows the SHA-256 of sealed files, and which are still to be computed. That costs as much as filling them
// did, so it waits until nothing else goes on, and goes one file after another.
type digests struct {
	mu      sync.Mutex // guards the rest
	known   map[layout.ID]string
	queue   []layout.ID
	waiting map[layout.ID]bool
	running bool
}

const (
	digestsMost = 1 << 14         // known at a time
	digestAfter = 2 * time.Second // without a read or a fill
)

// put remembers what a record says.
func (d *digests) put(id layout.ID, rec *record) {
	text := rec.sha256()
	if text == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= digestsMost {
		d.known = map[layout.ID]string{}
	}
	d.known[id] = text
}

func (d *digests) forget(id layout.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, id)
}

// Digest is the SHA-256 in hexadecimal of the sealed file of an ID. It is not known at once.
func (c *Cache) Digest(id layout.ID) (sha256hex string, ok bool) {
	d := &c.digests
	d.mu.Lock()
	text, ok := d.known[id]
	d.mu.Unlock()
	if ok {
		return text, true
	}
	rec, err := loadRecord(c.disk, id, false)
	if err != nil || !rec.known() || !onDisk(c.disk, id, rec.size) {
		return "", false
	}
	d.put(id, rec)
	return rec.sha256(), true
}

// digest has the digest of a sealed file computed, some time.
func (c *Cache) digest(id layout.ID) {
	d := &c.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting[id] || d.known[id] != "" {
		return
	}
	if d.waiting == nil {
		d.waiting = map[layout.ID]bool{}
	}
	d.waiting[id] = true
	d.queue = append(d.queue, id)
	if !d.running {
		d.running = c.begin(c.computeDigests)
	}
}

// computeDigests works off the queue.
func (c *Cache) computeDigests() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its priority with it
	yield()
	d := &c.digests
	for {
		d.mu.Lock()
		if len(d.queue) == 0 || c.ctx.Err() != nil {
			d.running = false
			d.mu.Unlock()
			return
		}
		id := d.queue[0]
		d.queue = d.queue[1:]
		delete(d.waiting, id)
		d.mu.Unlock()
		if err := c.computeDigest(id); err != nil && !errors.Is(err, fs.ErrNotExist) && c.ctx.Err() == nil {
			c.log.Warn("the digest of a cached file could not be computed", "id", id, "error", err)
		}
	}
}

// lull waits until nothing went on for a while.
func (c *Cache) lull() error {
	for {
		rest := digestAfter - c.idle()
		if rest <= 0 && len(c.Fills()) == 0 {
			return c.ctx.Err()
		}
		timer := time.NewTimer(max(rest, 100*time.Millisecond))
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return c.ctx.Err()
		}
	}
}

func (c *Cache) computeDigest(id layout.ID) error {
	if err := c.lull(); err != nil {
		return err
	}
	rec, err := loadRecord(c.disk, id, true)
	if err != nil || rec.known() {
		return err
	}
	h, _, err := openSealed(c.disk, id, rec.size)
	if err != nil {
		return err
	}
	defer h.release()
	sum := sha256.New()
	buf := c.buffers.get(block)
	defer c.buffers.put(buf)
	for off := int64(0); off < rec.size; off += block {
		if err := c.lull(); err != nil {
			return err
		}
		b := buf.b[:min(block, rec.size-off)]
		if err := readFull(h, b, off); err != nil {
			return err
		}
		if got := checksum(b); got != rec.sums[off/block] {
			return badBlock(off, got, rec.sums[off/block])
		}
		sum.Write(b)
	}
	sum.Sum(rec.digest[:0])
	used := c.ledger.lastUse(id)
	name, f, err := writeRecord(c.disk, rec)
	if f != nil {
		defer f.Close()
	}
	if err == nil {
		err = c.disk.Replace(name, metaName(id))
	}
	if err != nil {
		if name != "" {
			c.disk.Remove(name)
		}
		return err
	}
	c.disk.Touch(metaName(id), used)
	c.digests.put(id, rec)
	c.log.Debug("digest", "id", id, "sha256", hex.EncodeToString(rec.digest[:]))
	return nil
}
