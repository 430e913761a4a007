package store

import (
	"container/list"
	"context"
	"hash/fnv"
	"strings"
	"sync"
	"time"
)

// engine is what runs while somebody watches.
type engine struct {
	w      *watching
	cancel context.CancelFunc
	done   chan struct{}
	woken  chan struct{}

	mu       sync.Mutex // guards what follows
	notifier notifier   // nil where the system has none
	watches  map[string]*list.Element
	order    list.List // of *folderWatch, the last asked for in front
	full     bool      // it was said that there are too many
}

// folderWatch is a folder that the kernel watches.
type folderWatch struct {
	dir      string
	subjects map[subject]bool
	complete bool // whether the kernel sees all changes of its file system
}

// notifier is the kernel's way to tell of changes.
type notifier interface {
	add(dir string) error // errWatches when there are too many
	remove(dir string)
	events() <-chan []event
	close()
}

// event is something that happened to a name in a watched folder.
type event struct {
	dir, name string
	folder    bool // the name is a folder's
	what      op
}

// startEngine watches what was asked for so far. The caller holds w.mu.
func startEngine(w *watching) *engine {
	ctx, cancel := context.WithCancel(context.Background())
	e := &engine{w: w, cancel: cancel, done: make(chan struct{}), woken: make(chan struct{}, 1), watches: map[string]*list.Element{}}
	n, err := newNotifier()
	if err != nil {
		w.store.log.Warn("changes in the store are seen by rescans alone", "store", w.store.given, "every", w.store.rescan, "reason", err)
	} else {
		e.notifier = n
	}
	var asked []*note
	for at := w.order.Back(); at != nil; at = at.Prev() {
		asked = append(asked, at.Value.(*note))
	}
	go e.run(ctx, e.notifier, asked)
	return e
}

func (e *engine) stop() {
	e.cancel()
	<-e.done
}

func (e *engine) wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

func (e *engine) run(ctx context.Context, n notifier, asked []*note) {
	defer close(e.done)
	var events <-chan []event
	if n != nil {
		defer n.close()
		events = n.events()
	}
	rescanned := make(chan struct{}, 1)
	rescan := func(all bool) {
		go func() {
			e.rescan(ctx, all)
			rescanned <- struct{}{}
		}()
	}
	for _, n := range asked {
		for _, f := range n.folders {
			e.arm(f.dir, f.as)
		}
	}
	rescan(true) // what happened before we watched
	busy := true
	every := time.NewTicker(e.w.store.rescan)
	defer every.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case list, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			for _, ev := range list {
				e.happened(ev)
			}
		case <-e.woken:
			timer.Reset(e.flush())
		case <-timer.C:
			timer.Reset(e.flush())
		case <-rescanned:
			busy = false
		case <-every.C:
			if !busy { // a disk that hangs holds up rescans alone
				busy = true
				rescan(false)
			}
		}
	}
}

// flush reports what is due and returns the time until there is more.
func (e *engine) flush() time.Duration {
	now := e.w.store.now()
	next := e.w.flush(now)
	if next.IsZero() {
		return time.Hour
	}
	return max(time.Millisecond, next.Sub(now))
}

// arm watches a folder, if it can.
func (e *engine) arm(dir string, as subject) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.notifier == nil {
		return
	}
	if at, ok := e.watches[dir]; ok {
		at.Value.(*folderWatch).subjects[as] = true
		e.order.MoveToFront(at)
		return
	}
	for len(e.watches) >= maxWatches {
		if !e.dropOldest() {
			return
		}
	}
	if err := e.notifier.add(dir); err != nil {
		if err == errWatches && !e.full {
			e.full = true
			e.w.store.log.Warn("the system watches no more folders: changes in the others are seen by rescans",
				"store", e.w.store.given, "watched", len(e.watches), "every", e.w.store.rescan, "remedy", "raise the sysctl fs.inotify.max_user_watches")
		}
		return // gone, or not ours to read: a rescan will tell
	}
	e.watches[dir] = e.order.PushFront(&folderWatch{dir: dir, subjects: map[subject]bool{as: true}, complete: seesChanges(dir)})
}

// dropOldest stops watching the folder that was asked for longest ago, but never the store's own.
func (e *engine) dropOldest() bool {
	for at := e.order.Back(); at != nil; at = at.Prev() {
		if at.Value.(*folderWatch).dir != e.w.store.real {
			e.drop(at)
			return true
		}
	}
	return false
}

// forget drops the watch of a folder that is gone from its path, and those of all below it, which only a folder that
// was moved can have.
func (e *engine) forget(dir string, below bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at, ok := e.watches[dir]; ok {
		e.drop(at)
	}
	if !below {
		return
	}
	for path, at := range e.watches {
		if within(path, dir) {
			e.drop(at)
		}
	}
}

// drop stops watching a folder. The caller holds mu.
func (e *engine) drop(at *list.Element) {
	f := at.Value.(*folderWatch)
	e.notifier.remove(f.dir)
	e.order.Remove(at)
	delete(e.watches, f.dir)
}

// subjects are those of a watched folder.
func (e *engine) subjects(dir string) []subject {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ok := e.watches[dir]
	if !ok {
		return nil
	}
	var list []subject
	for s := range at.Value.(*folderWatch).subjects {
		list = append(list, s)
	}
	return list
}

// happened handles one event.
func (e *engine) happened(ev event) {
	s := e.w.store
	now := s.now()
	if ev.what == lost {
		e.w.mu.Lock()
		for path := range e.w.tracks {
			e.w.report(path, now)
		}
		e.w.mu.Unlock()
		return
	}
	subjects := e.subjects(ev.dir)
	path := ev.dir + "/" + ev.name
	switch {
	case ev.name == "":
		e.forget(ev.dir, ev.what == movedOut)
	case ev.folder && (ev.what == removed || ev.what == movedOut):
		e.forget(path, ev.what == movedOut)
		for _, as := range subjects {
			if !as.flat {
				e.w.gone(as.below(ev.name).path)
			}
		}
	case !ev.folder && !s.writes.saw(path, ev.what, now):
		return
	}
	at := now.Add(gathering)
	for _, as := range subjects {
		e.changed(as, ev, at)
		if ev.folder && (ev.what == created || ev.what == movedIn) && shownFolder(ev.name) {
			e.appeared(path, as.below(ev.name), maxDepth+4)
		}
	}
}

// changed reports an event in a folder of a subject.
func (e *engine) changed(as subject, ev event, at time.Time) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.w.report(as.path, at)
	if parent, _, ok := cutLast(as.path); ok {
		e.w.report(parent, at)
	}
	if as.flat || ev.name == "" {
		return
	}
	below := as.below(ev.name)
	if !ev.folder {
		name := stem(ev.name)
		if name == "" {
			return
		}
		below = as.below(name)
	}
	e.w.report(below.path, at)
	if parent, _, ok := cutLast(below.path); ok {
		e.w.report(parent, at)
	}
}

// below is the subject of a folder in one of this subject.
func (as subject) below(name string) subject {
	if as.flat {
		return as
	}
	prefix := ""
	if as.path != "" {
		prefix = as.path + "/"
	}
	if org, model, ok := repository(name); ok {
		return subject{prefix + strings.TrimPrefix(org+"/"+model, "/"), true}
	}
	return subject{prefix + name, IsVersion(name) && as.path != ""}
}

// appeared watches a new folder and those that are already in it.
func (e *engine) appeared(dir string, as subject, levels int) {
	e.arm(dir, as)
	if levels == 0 {
		return
	}
	entries, err := readFolder(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.kind == folderEntry && shownFolder(entry.name) {
			e.appeared(dir+"/"+entry.name, as.below(entry.name), levels-1)
		}
	}
}

// rescan asks again for what was asked, and reports what has another answer: all of it, or what is not watched. What
// it has seen once costs only a stat for each file and folder as long as those stay as they are.
func (e *engine) rescan(ctx context.Context, all bool) {
	w := e.w
	w.mu.Lock()
	var notes []*note
	for at := w.order.Front(); at != nil; at = at.Next() {
		notes = append(notes, at.Value.(*note))
	}
	w.mu.Unlock()
	for _, n := range notes {
		if ctx.Err() != nil {
			return
		}
		if !all && e.trusts(n.folders) {
			continue
		}
		stamp := w.store.stamp(n)
		if stamp == 0 || stamp != n.stamp {
			sum := w.store.again(ctx, n)
			if ctx.Err() != nil {
				return
			}
			w.seen(n, sum, stamp)
		}
		for _, f := range n.folders { // those that came back
			if e.free() > 0 {
				e.arm(f.dir, f.as)
			}
		}
	}
}

// free is the number of folders that may still be watched without giving up another.
func (e *engine) free() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maxWatches - len(e.watches)
}

// seen records what a rescan has found of an answer, and reports it if it is another one.
func (w *watching) seen(n *note, sum [32]byte, stamp uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.tracks[n.path]
	if !ok || at.Value.(*note) != n { // asked again meanwhile
		return
	}
	now := *n
	now.sum, now.stamp = sum, stamp
	if sum != n.sum {
		now.stamp = 0 // what it depends on is not known until it is asked for
		w.report(n.path, w.store.now())
		if parent, _, _ := cutLast(n.path); n.version {
			w.report(parent, w.store.now())
		}
	}
	at.Value = &now
}

// stamp is a hash of what stat says of all that an answer depends on; 0 when something has changed so recently that
// another change may not show.
func (s *directory) stamp(n *note) uint64 {
	now := s.now()
	h := fnv.New64a()
	for _, folders := range [][]watched{n.folders, n.unsettled} {
		for _, f := range folders {
			st, err := lstat(f.dir)
			if err == nil && racy(st, now) {
				return 0
			}
			h.Write(st.appendTo(nil)) // zeros for what is not there
		}
	}
	for _, path := range n.depends {
		st, err := stat(path)
		if err == nil && racy(st, now) {
			return 0
		}
		h.Write(st.appendTo(nil))
	}
	return max(1, h.Sum64())
}

// again is the sum of an answer as it would be given now.
func (s *directory) again(ctx context.Context, n *note) [32]byte {
	if n.version {
		model, version, _ := cutLast(n.path)
		if v, err := s.version(ctx, model, version, false); err == nil {
			return v.ID
		}
		return [32]byte{}
	}
	if d, err := s.dir(ctx, n.path, false); err == nil {
		return d.sum()
	}
	return [32]byte{}
}

// trusts reports whether the kernel tells of every change in folders.
func (e *engine) trusts(folders []watched) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.notifier == nil {
		return false
	}
	for _, f := range folders {
		at, ok := e.watches[f.dir]
		if !ok || !at.Value.(*folderWatch).complete {
			return false
		}
	}
	return true
}
