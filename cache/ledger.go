package cache

import (
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// freeShare is the share of the disk that always stays free: a twentieth.
const freeShare = 20

// ledger is the account of the cache's space: the sealed files, whoever sealed them, and for each part as much as it
// will take. It is known anew from the disk now and then, since other daemons write there too.
type ledger struct {
	limit    int64
	evicting sync.Mutex // held by who makes room; no other mutex is held before it

	mu      sync.Mutex // guards the rest; nothing is locked after it
	sealed  map[layout.ID]account
	total   int64 // bytes of sealed
	parts   map[*part]int64
	scanned time.Time
}

type account struct {
	size   int64
	used   time.Time
	noted  time.Time // the time of use that stands on the disk
	pinned bool      // stays whatever room is needed
}

func (l *ledger) add(id layout.ID, size int64, used time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(id, account{size: size, used: used, noted: used})
}

func (l *ledger) put(id layout.ID, a account) {
	if l.sealed == nil {
		l.sealed = map[layout.ID]account{}
	}
	l.total += a.size - l.sealed[id].size
	l.sealed[id] = a
}

// use says that a file is used now.
func (l *ledger) use(id layout.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := l.sealed[id]; ok {
		a.used = time.Now()
		l.sealed[id] = a
	}
}

// lastUse is when a file was last used.
func (l *ledger) lastUse(id layout.ID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealed[id].used
}

func (l *ledger) forget(id layout.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total -= l.sealed[id].size
	delete(l.sealed, id)
}

// pin says that a file stays, or no longer.
func (l *ledger) pin(id layout.ID, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := l.sealed[id]; ok {
		a.pinned = on
		l.sealed[id] = a
	}
}

// settled says that a part was sealed.
func (l *ledger) settled(p *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.parts, p)
	now := time.Now()
	l.put(p.id, account{size: p.size, used: now, noted: now})
}

// release says that a part was given up.
func (l *ledger) release(p *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.parts, p)
}

func (l *ledger) stale(age time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.scanned) > age
}

// used is the bytes on the disk, and the number of sealed files.
func (l *ledger) used() (int64, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.total
	for p := range l.parts {
		used += p.done.Load()
	}
	return used, len(l.sealed)
}

// claims is the bytes of sealed files, what the parts will take in all, and how much of that is not written yet.
func (l *ledger) claims() (sealed, parts, unwritten int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, size := range l.parts {
		parts += size
		unwritten += size - p.done.Load()
	}
	return l.total, parts, unwritten
}

// scan learns what is sealed from the disk.
func (c *Cache) scan() error {
	found := map[layout.ID]account{}
	err := eachFolder(c.disk, func(dir string, files []Info) error {
		records, pins := map[string]time.Time{}, map[layout.ID]bool{}
		for _, f := range files {
			switch kind, id := classify(f.Name); {
			case f.Dir:
			case kind == recordFile:
				records[strings.TrimSuffix(f.Name, metaSuffix)] = f.Used
			case kind == pinFile:
				pins[id] = true
			}
		}
		for _, f := range files {
			if kind, id := classify(f.Name); kind == sealedFile && !f.Dir {
				used := records[f.Name]
				found[id] = account{size: f.Size, used: used, noted: used, pinned: pins[id]}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l := &c.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.sealed
	l.sealed, l.total = nil, 0
	for id, a := range found {
		if o, ok := old[id]; ok && o.used.After(a.used) {
			a.used = o.used
		}
		l.put(id, a)
	}
	l.scanned = time.Now()
	return nil
}

// use says that a sealed file is used, on the disk too when that was said a while ago: the order of eviction survives
// a restart, and other daemons see it.
func (c *Cache) use(id layout.ID, size int64) {
	now := time.Now()
	l := &c.ledger
	l.mu.Lock()
	a, ok := l.sealed[id]
	a.size, a.used = size, now
	note := !ok || now.Sub(a.noted) > time.Minute
	if note {
		a.noted = now
	}
	l.put(id, a)
	l.mu.Unlock()
	if note {
		c.disk.Touch(metaName(id), now)
	}
}

// reserve makes a part for a file of so many bytes, or says why there is no room (fault.Space) or no disk. evict:
// sealed files that nobody uses may go for it, the longest unused first.
func (c *Cache) reserve(id layout.ID, size int64, evict bool) (*part, error) {
	l := &c.ledger
	l.evicting.Lock()
	defer l.evicting.Unlock()
	if l.stale(5 * time.Second) {
		if err := c.scan(); err != nil {
			return nil, diskFault(err)
		}
	}
	short, err := c.short(size)
	if err != nil {
		return nil, err
	}
	if short > 0 {
		c.dropResting()
		if short, err = c.short(size); err != nil {
			return nil, err
		}
	}
	if short > 0 && evict {
		if err := c.scan(); err != nil {
			return nil, diskFault(err)
		}
		if short, err = c.evict(size); err != nil {
			return nil, err
		}
	}
	if short > 0 {
		return nil, fault.New(fault.Space, "the cache lacks %d bytes of the %d that the file takes", short, size).
			Remedied("raise cache_size= (now %d bytes), or free space on the disk of %s", l.limit, c.dir)
	}
	p, err := newPart(c.disk, id, size)
	if err != nil {
		return nil, diskFault(err)
	}
	l.mu.Lock()
	if l.parts == nil {
		l.parts = map[*part]int64{}
	}
	l.parts[p] = size
	l.mu.Unlock()
	return p, nil
}

// short is how many bytes lack for a file of so many: by the limit, or on the disk. A file above the limit has it for
// itself: nothing else may be there but what is in use, and that within the limit.
func (c *Cache) short(size int64) (int64, error) {
	free, total, err := c.disk.Space()
	if err != nil {
		return 0, diskFault(err)
	}
	sealed, parts, unwritten := c.ledger.claims()
	byLimit := sealed + parts + size - c.ledger.limit
	if size > c.ledger.limit {
		byLimit = sealed + parts
	}
	onDisk := size + total/freeShare - (free - unwritten)
	return max(0, byLimit, onDisk), nil
}

// evict removes sealed files that nobody uses until there is room for size more bytes, the longest unused first. Where
// all of them would not be enough, none goes.
func (c *Cache) evict(size int64) (short int64, err error) {
	type candidate struct {
		id layout.ID
		account
	}
	var list []candidate
	var most int64
	c.mu.Lock()
	c.ledger.mu.Lock()
	for id, a := range c.ledger.sealed {
		if e := c.entries[id]; !a.pinned && (e == nil || e.refs == 0) {
			list = append(list, candidate{id, a})
			most += a.size
		}
	}
	c.ledger.mu.Unlock()
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b candidate) int { return a.used.Compare(b.used) })

	if short, err = c.short(size); err != nil {
		return 0, err
	}
	large := size > c.ledger.limit
	if !large && most < short {
		return short, nil
	}
	for _, one := range list {
		if short == 0 {
			break
		}
		if c.evictOne(one.id) {
			if short, err = c.short(size); err != nil {
				return 0, err
			}
		}
	}
	if short > 0 && large { // the rest is in use: one file more than the limit is allowed
		free, total, err := c.disk.Space()
		if err != nil {
			return 0, diskFault(err)
		}
		sealed, parts, unwritten := c.ledger.claims()
		short = max(0, sealed+parts-c.ledger.limit, size+total/freeShare-(free-unwritten))
	}
	return short, nil
}

// evictOne removes a sealed file unless somebody uses it.
func (c *Cache) evictOne(id layout.ID) bool {
	c.mu.Lock()
	e := c.entries[id]
	if e != nil {
		if e.refs > 0 {
			c.mu.Unlock()
			return false
		}
		e.mu.Lock()
		if e.sealed {
			e.letGo()
		}
		e.mu.Unlock()
	}
	c.mu.Unlock()
	ok, err := removeSealed(c.disk, id, false)
	if err != nil {
		c.log.Warn("a cached file could not be evicted", "id", id, "error", err)
	}
	if ok && err == nil {
		c.ledger.forget(id)
		c.digests.forget(id)
		c.evicted.Add(1)
		c.log.Debug("evicted", "id", id)
	}
	if e != nil {
		c.settle(e)
	}
	return ok && err == nil
}

// dropResting gives up the parts that nobody reads and nobody fills.
func (c *Cache) dropResting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := c.resting.Front(); at != nil; {
		e := at.Value.(*Entry)
		at = at.Next()
		e.mu.Lock()
		part := e.part != nil
		e.mu.Unlock()
		if part {
			c.wake(e, nil)
		}
	}
}

// What a name in a folder of objects is.
const (
	foreignFile = iota
	sealedFile
	recordFile
	partFile
	pinFile
)

// classify tells what a name is, and of which ID.
func classify(name string) (kind int, id layout.ID) {
	base, ext := name, ""
	if i := strings.IndexByte(name, '.'); i >= 0 {
		base, ext = name[:i], name[i:]
	}
	id, ok := parseID(base)
	switch {
	case !ok:
		return foreignFile, id
	case ext == "":
		return sealedFile, id
	case ext == metaSuffix:
		return recordFile, id
	case ext == pinSuffix:
		return pinFile, id
	case strings.HasSuffix(ext, partSuffix):
		return partFile, id
	}
	return foreignFile, id
}

// eachFolder visits the folders of objects with what is in them.
func eachFolder(d Disk, visit func(dir string, files []Info) error) error {
	dirs, err := d.List(objects)
	if err != nil {
		return err
	}
	for _, sub := range dirs {
		if !sub.Dir || len(sub.Name) != 2 {
			continue
		}
		dir := path.Join(objects, sub.Name)
		files, err := d.List(dir)
		if err != nil {
			return err
		}
		if err := visit(dir, files); err != nil {
			return err
		}
	}
	return nil
}
