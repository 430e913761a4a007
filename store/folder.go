package store

import (
	"container/list"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// entry is a name in a folder, as readdir gives it.
type entry struct {
	name string
	kind entryKind
}

type entryKind uint8

const (
	fileEntry entryKind = iota
	folderEntry
	linkEntry
	otherEntry // sockets, pipes, devices: no part of any model
)

// readFolder reads the entries of a folder, sorted by name: one readdir, and no stat where the file system gives
// types, as all common ones do.
func readFolder(path string) ([]entry, error) {
	fd, err := open(path, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	read, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(read))
	for _, e := range read {
		kind := otherEntry
		switch t := e.Type(); {
		case t.IsDir():
			kind = folderEntry
		case t.IsRegular():
			kind = fileEntry
		case t&os.ModeSymlink != 0:
			kind = linkEntry
		}
		entries = append(entries, entry{e.Name(), kind})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// listing is what a namespace's folder says: names, sorted out once.
type listing struct {
	entries  []entry
	contents contents
	stems    map[string]bool     // of loose models
	links    []string            // shown names
	hub      map[string][]string // names of the models of a hub cache's repositories, by organisation; "" has those of none
}

// newListing sorts out entries.
func newListing(entries []entry) *listing {
	l := &listing{entries: entries, contents: look(entries), stems: map[string]bool{}}
	for _, e := range entries {
		switch e.kind {
		case fileEntry:
			if name := stem(e.name); name != "" {
				l.stems[name] = true
			}
		case linkEntry:
			if shownFile(e.name) && !hidden(e.name) {
				l.links = append(l.links, e.name)
			}
		case folderEntry:
			if org, name, ok := repository(e.name); ok {
				if l.hub == nil {
					l.hub = map[string][]string{}
				}
				if org == "" {
					l.hub[name] = append(l.hub[name], "")
				} else {
					l.hub[org] = append(l.hub[org], name)
				}
			}
		}
	}
	return l
}

// inHub reports whether a folder belongs to a hub cache's own housekeeping: its repositories are seen under their
// names, and those that hold no model, and shared blobs, not at all.
func (l *listing) inHub(name string) bool {
	if _, _, ok := repository(name); ok {
		return true
	}
	for _, prefix := range otherRepositories {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "blobs" && l.hub != nil
}

// looseFiles are the files of the loose model with that stem: its model files, and those named after it.
func (l *listing) looseFiles(of string) []entry {
	var files []entry
	for _, e := range l.entries {
		if e.kind != fileEntry && e.kind != linkEntry {
			continue
		}
		if own := stem(e.name); own != "" {
			if own == of {
				files = append(files, e)
			}
			continue
		}
		if hidden(e.name) || !strings.HasPrefix(e.name, of+".") {
			continue
		}
		longest := of // model.q4.json is that of model.q4 where there is one
		for i := len(of) + 1; i < len(e.name); i++ {
			if e.name[i] == '.' && l.stems[e.name[:i]] {
				longest = e.name[:i]
			}
		}
		if longest == of {
			files = append(files, e)
		}
	}
	return files
}

// listings remembers the listings of folders: to find one loose model among ten thousand needs all their names.
type listings struct {
	mu    sync.Mutex // guards what follows
	kept  map[string]*list.Element
	order list.List // of *keptListing, the last used in front
}

type keptListing struct {
	path string
	seen identity
	*listing
}

const (
	maxListings = 64

	// racyCoarse and racyFine are the ages that a folder's time must have when it is read for the reading to be trusted
	// later: a change within one tick of the file system's clock leaves the time as it is. Ticks are 2 s at most, and
	// 10 ms at most where times have more than milliseconds.
	racyCoarse = 2 * time.Second
	racyFine   = 50 * time.Millisecond
)

// racy reports whether what was read of a folder at now may be older than the folder's time tells.
func racy(st status, now time.Time) bool {
	last, limit := max(st.mtime, st.ctime), racyCoarse
	if last%int64(time.Millisecond) != 0 {
		limit = racyFine
	}
	return now.Sub(time.Unix(0, last)) < limit
}

// of is the listing of a folder, as it is now.
func (ls *listings) of(path string) (*listing, error) {
	st, err := lstat(path)
	if err != nil {
		return nil, err
	}
	ls.mu.Lock()
	if e, ok := ls.kept[path]; ok {
		if kept := e.Value.(*keptListing); kept.seen == st.identity {
			ls.order.MoveToFront(e)
			ls.mu.Unlock()
			return kept.listing, nil
		}
		ls.order.Remove(e)
		delete(ls.kept, path)
	}
	ls.mu.Unlock()

	now := time.Now()
	entries, err := readFolder(path)
	if err != nil {
		return nil, err
	}
	l := newListing(entries)
	if racy(st, now) {
		return l, nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.kept == nil {
		ls.kept = map[string]*list.Element{}
	}
	if e, ok := ls.kept[path]; ok {
		ls.order.Remove(e)
	}
	ls.kept[path] = ls.order.PushFront(&keptListing{path, st.identity, l})
	for ls.order.Len() > maxListings {
		last := ls.order.Back()
		ls.order.Remove(last)
		delete(ls.kept, last.Value.(*keptListing).path)
	}
	return l, nil
}

// lastName is a folder's name for a model made of it.
func lastName(path string) string {
	if name := filepath.Base(path); name != string(os.PathSeparator) && name != "." {
		return name
	}
	return "model"
}
