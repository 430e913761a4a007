package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// recent keeps the last lines of the log, for .isomerfs/log.
type recent struct {
	mu    sync.Mutex
	lines [][]byte // a ring; guarded by mu
	next  int      // where the next line goes; guarded by mu
}

// remembered is how many lines recent keeps.
const remembered = 200

// Write takes one line, as slog's handlers write them.
func (r *recent) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := bytes.Clone(line)
	if len(r.lines) < remembered {
		r.lines = append(r.lines, kept)
	} else {
		r.lines[r.next] = kept
	}
	r.next = (r.next + 1) % remembered
	return len(line), nil
}

// text is the lines, the oldest first.
func (r *recent) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	for i := range r.lines {
		b.Write(r.lines[(r.next+i)%len(r.lines)])
	}
	return b.Bytes()
}

// journal is where a daemon's log goes.
type journal struct {
	*slog.Logger
	recent *recent
	path   string // of its file; "" where it goes to stderr or nowhere
	file   *os.File
}

// openJournal opens the log of a mount: the file that was asked for; else stderr in front and under systemd; else a file
// of the state folder, or nothing where none can be written.
func openJournal(m mounting, point string) (*journal, error) {
	j := &journal{recent: &recent{}}
	var to io.Writer = j.recent
	path, asked := m.log, m.log != ""
	switch {
	case asked:
	case !m.background || underSystemd():
		to = io.MultiWriter(to, os.Stderr)
	default:
		path = stateLog(point)
	}
	if path != "" {
		file, err := openLog(path)
		switch {
		case err == nil:
			j.path, j.file = path, file
			to = io.MultiWriter(to, file)
		case asked:
			return nil, placed(path, err)
		}
	}
	if m.background && !underSystemd() {
		if err := replaceStderr(j.file); err != nil {
			return nil, err
		}
	}
	j.Logger = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: m.logLevel}))
	return j, nil
}

// longestLog is the size at which a log is put aside when a mount begins.
const longestLog = 8 << 20

// openLog opens a log to append to. One that has grown long is put aside, in place of the one before it.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > longestLog {
		os.Rename(path, path+".1")
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// stateLog is the log of a mount point in the state folder; "" where there is none.
func stateLog(point string) string {
	name := strings.ReplaceAll(strings.Trim(point, "/"), "/", "-")
	if len(name) > 200 {
		name = name[len(name)-200:]
	}
	name += ".log"
	if os.Geteuid() == 0 {
		return filepath.Join("/var/log/isomerfs", name)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "isomerfs", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "isomerfs", name)
}
