// Package cache keeps computed files on the disk: what a layout describes is there as bytes once it was read.
//
// The words:
//
//	entry    one file of the cache, known by its layout's ID, however many have it open
//	flight   one computation of a range of a file; who wants a byte of it waits for it and computes nothing
//	part     the sparse file that flights are written to; it belongs to one daemon and goes with it
//	seal     what makes a whole part durable: sync, then the name that says so
//	sealed   file: shared by all daemons, immutable, removed only as a whole
//
// How a read goes:
//
//	ReadAt ─► whole file? ──────────────────────────► read it
//	          in the part? ─────────────────────────► read it there
//	          in a flight, or just landed? ─────────► wait, copy
//	          else: a flight for it, in pieces ─────► wait, copy
//	          and more ahead of a reader who reads in order; after 64 MiB or 5 % all the rest
//
//	flight ─► room (gate) ─► layout ─► readers have it ─► part, checksums ─► the last one: seal
//
// Bytes that cannot be kept, for want of space or because the disk fails, are computed all the same and kept in memory
// for a little while. A file of which only the head was read takes no space either.
//
// What is promised: a read gives the bytes of the layout or an error, never others, whatever the disk loses at
// whatever moment. A file is Ready only when it is durable. Readers of one file wait for no other file's source.
package cache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Options says where a cache lies and what it may use.
type Options struct {
	Dir     string       // its directory, made where there is none
	Limit   int64        // bytes on the disk; 0: 50 GB. One file may be larger
	Disk    Disk         // nil: Dir on the local file system
	Workers int          // computations at a time ahead of readers; 0: one a processor
	Memory  int64        // bytes of small files held in memory; 0: 32 MiB
	Fills   int          // files that are filled at a time; 0: 4
	Log     *slog.Logger // nil: nothing is logged
}

const (
	defaultLimit  = 50e9
	defaultMemory = 32 << 20
	defaultFills  = 4
)

// budget is the memory that one evaluation of a layout may hold, and the most that one flight computes.
const budget = 16 << 20

const (
	restingMost   = 64               // files kept open that nobody reads
	restingTime   = time.Minute      // and for how long
	partTime      = 10 * time.Minute // parts that nobody reads
	failedTime    = 10 * time.Minute // how long it is remembered why a file could not be read
	sealsAtOnce   = 4
	janitorEvery  = 15 * time.Second
	closePatience = 5 * time.Second // what a computation has to end in at Close; a source may block for longer
)

// Cache is an open cache directory. Its methods may be called from any goroutine.
type Cache struct {
	dir     string
	disk    Disk
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	life    life
	gate    *gate
	buffers buffers
	slots   slots
	seals   chan struct{} // a place each
	memory  memory
	ledger  ledger
	digests digests
	builds  builds

	mu      sync.Mutex // guards entries, and of each refs and resting; before any Entry.mu
	entries map[layout.ID]*Entry
	resting *list.List // of entries that nobody has open and that hold a descriptor, the longest resting first

	last     atomic.Int64 // when something was last read or computed, nanoseconds since 1970
	computed atomic.Int64
	filled   atomic.Int64
	hits     atomic.Int64
	misses   atomic.Int64
	sealed   atomic.Int64
	evicted  atomic.Int64
	failures atomic.Int64
}

// Stats counts what a cache did since it was opened.
type Stats struct {
	Computed  int64 // bytes computed
	Filled    int64 // bytes of them written to the disk
	Hits      int64 // reads that computed nothing, or waited for what was being computed
	Misses    int64 // reads that began a computation
	Sealed    int64 // files
	Evictions int64 // files
	Failures  int64 // computations that ended with an error
}

// life counts the goroutines of a cache, and starts none once it ends.
type life struct {
	mu     sync.Mutex
	closed bool
	wait   sync.WaitGroup
}

// Open opens a cache. It removes parts that no living daemon holds, and what other versions of the format left. A
// directory that cannot be written is an error with its name.
func Open(o Options) (*Cache, error) {
	c := &Cache{
		dir:     o.Dir,
		disk:    o.Disk,
		log:     o.Log,
		seals:   make(chan struct{}, sealsAtOnce),
		entries: map[layout.ID]*Entry{},
		resting: list.New(),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.disk == nil {
		d, err := openDisk(o.Dir, true)
		if err != nil {
			return nil, fault.In(o.Dir, diskFault(err).Remedied("name a folder that can be written: cache_dir=DIR"))
		}
		c.disk = d
		c.dir = filepath.Dir(d.root)
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	room := int64(min(max(budget, workers*segment), 4*budget))
	c.gate = newGate(room, workers)
	c.buffers.limit = room
	c.slots.free = o.Fills
	if o.Fills <= 0 {
		c.slots.free = defaultFills
	}
	c.memory.limit = o.Memory
	if o.Memory <= 0 {
		c.memory.limit = defaultMemory
	}
	c.ledger.limit = o.Limit
	if o.Limit <= 0 {
		c.ledger.limit = defaultLimit
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if _, err := clean(c.disk); err != nil {
		c.log.Warn("the leftovers of earlier fills could not be removed", "dir", c.dir, "error", err)
	}
	if err := c.scan(); err != nil {
		return nil, fault.In(c.dir, diskFault(err))
	}
	c.active()
	c.begin(c.janitor)
	if o.Disk == nil {
		c.begin(func() {
			for _, path := range otherFormats(c.dir) {
				freed, err := removeFormat(path)
				c.log.Info("a cache of another format", "dir", path, "freed", freed, "error", err)
			}
		})
	}
	return c, nil
}

// begin runs f in a goroutine that Close waits for; false: the cache was closed.
func (c *Cache) begin(f func()) bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	if c.life.closed {
		return false
	}
	c.life.wait.Add(1)
	go func() {
		defer c.life.wait.Done()
		f()
	}()
	return true
}

// Close ends all fills, removes the parts, and closes every descriptor; sealed files stay. A computation whose source
// does not answer is left behind.
func (c *Cache) Close() error {
	c.life.mu.Lock()
	was := c.life.closed
	c.life.closed = true
	c.life.mu.Unlock()
	if was {
		return nil
	}
	c.cancel()
	ended := make(chan struct{})
	go func() {
		c.life.wait.Wait()
		close(ended)
	}()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		c.log.Warn("a source does not answer: its computation is left behind")
	}
	c.mu.Lock()
	entries := c.entries
	c.entries = map[layout.ID]*Entry{}
	c.resting.Init()
	for _, e := range entries {
		e.mu.Lock()
		e.dropPart()
		e.letGo()
		for _, h := range e.old {
			h.release()
		}
		e.old = nil
		e.tell()
		e.mu.Unlock()
	}
	c.mu.Unlock()
	c.builds.drop()
	c.gate.clear()
	c.buffers.trim()
	if closer, ok := c.disk.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}

// Hush says that somebody comes to a file: what is computed ahead of the readers of others rests for a moment.
func (c *Cache) Hush() { c.gate.hush() }

// Get is the entry of a layout, opened; the caller releases it. name is the view's path, for people.
func (c *Cache) Get(f *layout.File, name string) *Entry {
	e := c.open(f.ID(), f.Size(), small(f), whole(f))
	e.mu.Lock()
	e.file, e.name = f, name
	e.mu.Unlock()
	return e
}

// open is the entry of an ID, opened once more. It has no layout where it is that of a result of Keep.
func (c *Cache) open(id layout.ID, size int64, small, built bool) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id]
	if e == nil {
		e = &Entry{c: c, id: id, size: size, small: small, built: built}
		c.entries[id] = e
	}
	if e.resting != nil {
		c.resting.Remove(e.resting)
		e.resting = nil
	}
	e.refs++
	return e
}

// Release ends one Get. What is being filled goes on.
func (e *Entry) Release() {
	c := e.c
	c.mu.Lock()
	e.refs--
	c.mu.Unlock()
	c.settle(e)
}

// settle lets go of what an entry that nobody has open no longer needs. It is called whenever that may be so.
func (c *Cache) settle(e *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.refs > 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.old {
		h.release()
	}
	e.old, e.handed, e.watchers = nil, false, nil
	if e.data != nil && e.sealed && !e.wakes {
		e.data.Lock(Unlocked) // others may evict it
		e.wakes = true
		c.ledger.use(e.id)
	}
	if (e.data != nil || e.part != nil) && !e.busy() && e.resting == nil {
		e.since = time.Now()
		e.resting = c.resting.PushBack(e)
		if c.resting.Len() > restingMost {
			c.wake(c.resting.Front().Value.(*Entry), e)
		}
	}
	c.drop(e)
}

// busy reports whether the entry computes, waits for its turn to be filled, or is being sealed, with e.mu held.
func (e *Entry) busy() bool {
	return len(e.flights) > 0 || e.slot != noSlot || e.checking || e.part != nil && e.data != nil
}

// wake ends an entry's rest by closing what it holds, with c.mu held, and the mutex of `locked`.
func (c *Cache) wake(e, locked *Entry) {
	if e != locked {
		e.mu.Lock()
		defer e.mu.Unlock()
	}
	c.resting.Remove(e.resting)
	e.resting = nil
	if e.busy() {
		return // settle will be called at the end of that
	}
	e.dropPart()
	e.letGo()
	if e != locked {
		c.drop(e)
	}
}

// drop forgets an entry that nobody has open and that knows nothing, with c.mu and e.mu held.
func (c *Cache) drop(e *Entry) {
	if e.refs == 0 && e.data == nil && e.part == nil && len(e.flights) == 0 && len(e.recent) == 0 && e.slot == noSlot && c.entries[e.id] == e &&
		(e.err == nil || time.Since(e.failed) > failedTime) {
		delete(c.entries, e.id)
	}
}

// active says that something is going on.
func (c *Cache) active() { c.last.Store(time.Now().UnixNano()) }

// idle is for how long nothing was.
func (c *Cache) idle() time.Duration { return time.Duration(time.Now().UnixNano() - c.last.Load()) }

// janitor closes what has rested long enough.
func (c *Cache) janitor() {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		for at := c.resting.Front(); at != nil; {
			e := at.Value.(*Entry)
			at = at.Next()
			e.mu.Lock()
			most := restingTime
			if e.part != nil {
				most = partTime
			}
			e.mu.Unlock()
			if time.Since(e.since) > most {
				c.wake(e, nil)
			}
		}
		for _, e := range c.entries {
			e.mu.Lock()
			c.drop(e)
			e.mu.Unlock()
		}
		c.mu.Unlock()
		if c.idle() > janitorEvery {
			c.buffers.trim()
		}
	}
}

// State is how the file of a layout stands, as Entry.State says it. It opens nothing that is not open.
func (c *Cache) State(id layout.ID, f *layout.File) State {
	c.mu.Lock()
	e := c.entries[id]
	if e != nil {
		e.refs++
		if e.resting != nil {
			c.resting.Remove(e.resting)
			e.resting = nil
		}
	}
	c.mu.Unlock()
	if e != nil {
		defer e.Release()
		return e.State()
	}
	if small(f) {
		return Memory
	}
	if onDisk(c.disk, id, f.Size()) {
		return Ready
	}
	return Virtual
}

// onDisk reports whether a sealed file seems to be there.
func onDisk(d Disk, id layout.ID, size int64) bool {
	info, err := d.Stat(objectName(id))
	if err != nil || info.Size != size {
		return false
	}
	_, err = d.Stat(metaName(id))
	return err == nil
}

// Fill is a file that is being filled.
type Fill struct {
	Path       string
	Done, Size int64 // bytes
}

// Fills lists what is being filled now, or about to be sealed.
func (c *Cache) Fills() []Fill {
	c.mu.Lock()
	defer c.mu.Unlock()
	var fills []Fill
	for _, e := range c.entries {
		e.mu.Lock()
		if e.part != nil && (len(e.flights) > 0 || e.data != nil || e.slot != noSlot) {
			fills = append(fills, Fill{Path: e.name, Done: e.have.total, Size: e.size})
		}
		e.mu.Unlock()
	}
	return append(fills, c.builds.list()...)
}

// Usage is what a cache takes.
type Usage struct {
	Dir         string
	Used, Limit int64 // bytes
	Files       int   // sealed ones
}

// Usage is what the cache takes now.
func (c *Cache) Usage() Usage {
	if c.ledger.stale(time.Second) {
		c.scan()
	}
	used, files := c.ledger.used()
	return Usage{Dir: c.dir, Used: used, Limit: c.ledger.limit, Files: files}
}

// Stats counts what the cache did.
func (c *Cache) Stats() Stats {
	return Stats{
		Computed: c.computed.Load(), Filled: c.filled.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(),
		Sealed: c.sealed.Load(), Evictions: c.evicted.Load(), Failures: c.failures.Load(),
	}
}

func (c *Cache) count(missed bool) {
	if missed {
		c.misses.Add(1)
	} else {
		c.hits.Add(1)
	}
}

// discard removes a sealed file that is none.
func (c *Cache) discard(id layout.ID, why error) {
	if errors.Is(why, fs.ErrNotExist) || errors.Is(why, fs.ErrPermission) {
		return
	}
	var e *fault.Error
	if !errors.As(why, &e) {
		c.log.Warn("a cached file could not be opened", "id", id, "error", why)
		return
	}
	c.log.Warn("a cached file is bad and computed anew", "id", id, "reason", why)
	if _, err := removeSealed(c.disk, id, false); err != nil {
		c.log.Warn("a bad cached file could not be removed", "id", id, "error", err)
	}
	c.ledger.forget(id)
}

// clean removes parts that nobody writes, and records and files that lack the other. It says how many bytes went.
func clean(d Disk) (freed int64, err error) {
	err = eachFolder(d, func(dir string, files []Info) error {
		names := map[string]bool{}
		for _, f := range files {
			names[f.Name] = true
		}
		for _, f := range files {
			if f.Dir {
				continue
			}
			kind, _ := classify(f.Name)
			switch kind {
			case sealedFile:
				if names[f.Name+metaSuffix] {
					continue
				}
			case recordFile:
				if names[f.Name[:len(f.Name)-len(metaSuffix)]] {
					continue
				}
			case partFile:
			case pinFile:
				if names[f.Name[:len(f.Name)-len(pinSuffix)]] {
					continue
				}
			default:
				continue // not ours
			}
			ok, err := removeUnheld(d, dir+"/"+f.Name)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			if ok {
				freed += f.Space
			}
		}
		return nil
	})
	return freed, err
}

// removeUnheld removes a file on which there is no lock.
func removeUnheld(d Disk, name string) (bool, error) {
	f, err := d.Open(name)
	if err != nil {
		return false, ignoreAbsent(err)
	}
	defer f.Close()
	if ok, err := f.Lock(Exclusive); err != nil || !ok {
		return false, err
	}
	return true, ignoreAbsent(d.Remove(name))
}
