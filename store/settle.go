package store

import (
	"sync"
	"time"
)

// closing is how long after a file was closed or renamed into place its version counts as being written: a copy of
// several files creates each right after it closed the one before.
const closing = time.Second

// maxWrites bounds what is remembered of files being written.
const maxWrites = 1 << 16

// writes is what was seen of files while they were written. What is not known of a file is judged by its times.
type writes struct {
	mu    sync.Mutex // guards files
	files map[string]write
}

// write is the last that was seen of a file.
type write struct {
	open bool      // it was written to, and not closed since
	at   time.Time // when; zero if neither was seen

	ahead identity  // of a file whose time lies in the future: what it was
	since time.Time // since when it has been so
}

// wait is how long it takes until a file counts as settled if nothing more happens to it; 0 when it is. The rules:
//
//   - A file that was seen to be closed after writing, or renamed into place, is settled a second later, unless its
//     name says that it is temporary.
//   - One that was seen to be written and not closed is settled when neither its modification nor its change time is
//     younger than settle: it may have been given an old time before its end.
//   - Of any other file only the modification time counts. So a copy that was made just now and keeps its original
//     times is settled: what copies so sets the time when all bytes are written.
//   - A time in the future says nothing: such a file is settled when it was seen to be the same for as long.
func (s *directory) wait(real string, st status, now time.Time, temporary bool) time.Duration {
	if s.settle < 0 {
		return 0
	}
	last := time.Unix(0, st.mtime)
	s.writes.mu.Lock()
	defer s.writes.mu.Unlock()
	w, seen := s.writes.files[real]
	switch {
	case !seen || w.at.IsZero():
	case w.open:
		last = time.Unix(0, max(st.mtime, st.ctime))
	case !temporary && !last.After(w.at):
		return max(0, min(closing, s.settle)-now.Sub(w.at))
	}
	if age := now.Sub(last); age >= 0 {
		return max(0, s.settle-age)
	}
	if w.ahead != st.identity {
		w.ahead, w.since = st.identity, now
		s.writes.set(real, w, now)
	}
	return max(0, s.settle-now.Sub(w.since))
}

// saw records what happened to a file. It reports whether that is news: that a file goes on being written is not.
func (ws *writes) saw(real string, what op, now time.Time) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.files[real]
	news := true
	switch what {
	case modified:
		news = !w.open
		w.open, w.at = true, now
	case closed, movedIn:
		w.open, w.at = false, now
	case created, removed, movedOut: // another file; one that is created with bytes in it is a link to what was there before
		delete(ws.files, real)
		return true
	default:
		return true
	}
	ws.set(real, w, now)
	return news
}

// set keeps w, and forgets the older ones when there are too many. The caller holds mu.
func (ws *writes) set(real string, w write, now time.Time) {
	if ws.files == nil {
		ws.files = map[string]write{}
	}
	ws.files[real] = w
	if len(ws.files) <= maxWrites {
		return
	}
	for age := time.Hour; len(ws.files) > maxWrites/2; age /= 2 {
		for path, w := range ws.files {
			if now.Sub(w.at) >= age && now.Sub(w.since) >= age {
				delete(ws.files, path)
			}
		}
	}
}

// op is what happened to a name in a folder; or, if the name is "", to the folder itself.
type op uint8

const (
	created  op = iota // it appeared, perhaps empty
	modified           // it was written to
	closed             // it was closed by one who could write to it
	movedIn            // it was renamed into place
	movedOut           // it was renamed away
	removed            // it is gone
	touched            // its attributes changed
	lost               // events were lost: anything may have happened
)
