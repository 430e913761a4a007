package store

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// maxTracks bounds the answers that are kept right. One that is forgotten is reported as changed, so that whoever
	// remembers it asks again.
	maxTracks = 1 << 16

	// maxWatches bounds the folders that the kernel watches: each holds about a kilobyte of its memory.
	maxWatches = 1 << 14

	// gathering is how long events are gathered before they are reported: a copy makes many.
	gathering = 50 * time.Millisecond
)

// subject is what changes in a folder are reported as.
type subject struct {
	path string // "" is the root
	flat bool   // folders in it belong to the same subject; else each is a subject of its own, below this one
}

// watched is a folder that an answer depends on.
type watched struct {
	dir string
	as  subject
}

// note is an answer that was given, and what it depends on.
type note struct {
	path      string
	version   bool
	asked     bool // by a caller, so that Watch keeps it right
	folders   []watched
	unsettled []watched           // folders of versions that are not in the answer yet
	depends   []string            // paths of files, and of folders that are not watched, that the answer depends on
	sum       [32]byte            // of the answer; zero for a version that could not be given
	stamp     uint64              // of all that it depends on, as a rescan has seen it; 0 before one has
	known     map[string]identity // the files of a settled version
	recheck   time.Duration       // when the answer may be another one although nothing happens; 0: never
}

// again sets the time to look again to d, unless it is sooner.
func (n *note) again(d time.Duration) {
	if d > 0 && (n.recheck == 0 || d < n.recheck) {
		n.recheck = d
	}
}

// watching keeps the answers of a store right.
type watching struct {
	store *directory

	calling sync.RWMutex // held while subscribers are called, and by Watch to leave

	mu          sync.Mutex // guards what follows
	tracks      map[string]*list.Element
	order       list.List // of *note, the last asked for in front
	due         map[string]time.Time
	subscribers map[int]func([]string)
	last        int // the number of the last subscriber
	engine      *engine
}

// known are the files that a version had when it was last given; nil if it was not.
func (w *watching) known(path string) map[string]identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e, ok := w.tracks[path]; ok {
		return e.Value.(*note).known
	}
	return nil
}

// gone forgets what files a version had.
func (w *watching) gone(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.tracks[path]; ok && at.Value.(*note).known != nil {
		bare := *at.Value.(*note)
		bare.known = nil
		at.Value = &bare
	}
}

// note remembers an answer.
func (w *watching) note(n note) {
	if w.store.settle < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tracks == nil {
		w.tracks, w.due = map[string]*list.Element{}, map[string]time.Time{}
	}
	if e, ok := w.tracks[n.path]; ok {
		if n.known == nil { // it is being written, and was there before
			n.known = e.Value.(*note).known
		}
		e.Value = &n
		w.order.MoveToFront(e)
	} else {
		w.tracks[n.path] = w.order.PushFront(&n)
	}
	now := w.store.now()
	for w.order.Len() > maxTracks {
		last := w.order.Back()
		path := last.Value.(*note).path
		w.order.Remove(last)
		delete(w.tracks, path)
		w.report(path, now)
	}
	if n.recheck > 0 {
		at := now.Add(n.recheck + gathering)
		w.report(n.path, at)
		if n.version {
			parent, _, _ := cutLast(n.path)
			w.report(parent, at)
		}
	}
	for _, f := range n.unsettled {
		if w.engine != nil {
			w.engine.arm(f.dir, f.as)
		}
	}
}

// report sets the time at which a path is reported, unless it is sooner. The caller holds mu.
func (w *watching) report(path string, at time.Time) {
	if w.due == nil {
		w.due = map[string]time.Time{}
	}
	if was, ok := w.due[path]; !ok || at.Before(was) {
		w.due[path] = at
		if w.engine != nil {
			w.engine.wake()
		}
	}
}

// arm watches a folder that is about to be read.
func (w *watching) arm(dir string, as subject) { w.armAll([]watched{{dir, as}}) }

// armSpare watches a folder as long as half of the watches are free: a version that is listed and not entered.
func (w *watching) armSpare(dir string, as subject) {
	w.mu.Lock()
	e := w.engine
	w.mu.Unlock()
	if e == nil {
		return
	}
	if e.free() > maxWatches/2 {
		e.arm(dir, as)
	}
}

func (w *watching) armAll(folders []watched) {
	w.mu.Lock()
	e := w.engine
	w.mu.Unlock()
	if e == nil {
		return
	}
	for _, f := range folders {
		e.arm(f.dir, f.as)
	}
}

// Watch implements Store. A path is that of a namespace or a model, or MODEL/VERSION where the files of a version may
// have changed; then the model's is reported too.
//
// What was asked for with Dir or Version is watched, and folders that come to be in it. What the kernel does not tell
// (on network file systems; beyond the number of folders it watches for one user, or those we ask it to) is found out
// by asking again every Options.Rescan.
func (s *directory) Watch(ctx context.Context, changed func(paths []string)) error {
	w := s.watch
	w.mu.Lock()
	if w.subscribers == nil {
		w.subscribers = map[int]func([]string){}
	}
	w.last++
	number := w.last
	w.subscribers[number] = changed
	if w.engine == nil {
		w.engine = startEngine(w)
	}
	w.mu.Unlock()

	<-ctx.Done()

	w.calling.Lock() // no call once we have returned
	w.mu.Lock()
	delete(w.subscribers, number)
	var idle *engine
	if len(w.subscribers) == 0 {
		idle, w.engine = w.engine, nil
	}
	w.mu.Unlock()
	w.calling.Unlock()
	if idle != nil {
		idle.stop()
	}
	return ctx.Err()
}

// flush reports what is due, and says when there is more.
func (w *watching) flush(now time.Time) (next time.Time) {
	w.calling.RLock()
	defer w.calling.RUnlock()
	w.mu.Lock()
	var paths []string
	for path, at := range w.due {
		if !at.After(now) {
			paths = append(paths, path)
			delete(w.due, path)
		} else if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	calls := make([]func([]string), 0, len(w.subscribers))
	for _, changed := range w.subscribers {
		calls = append(calls, changed)
	}
	w.mu.Unlock()
	if len(paths) == 0 {
		return next
	}
	slices.Sort(paths)
	for _, changed := range calls {
		changed(slices.Clone(paths))
	}
	return next
}
