package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

const (
	// maxFiles bounds the files of one version: the largest repositories of the hub have some thousands.
	maxFiles = 100_000

	// maxFolders bounds its folders: links among a few of them can make a walk without end.
	maxFolders = 10_000

	// maxNesting bounds the folders of one version, one in another.
	maxNesting = 32
)

// stored is a file of a version.
type stored struct {
	name string // below the version's folder
	path string // as the version has it, perhaps a link
	real string // without links
	st   status
	err  error // why it can't be opened
}

// survey is what lies in a version's folder.
type survey struct {
	info    Info
	files   []stored // sorted by name
	folders []string // real paths of the folders that the answer depends on

	wait    time.Duration // until it may be settled; 0 when it is
	writing string        // the file that it waits for
	again   time.Duration // until the answer may be another one although nothing happens; 0: never
}

// surveyor walks one version's folder.
type surveyor struct {
	s       *directory
	c       candidate
	known   map[string]identity
	now     time.Time
	folders map[string]bool // by real path
	depth   int             // of the folder being read
	read    int             // folders
	remains bool            // a file that is known is still there
	left    survey          // wait and writing of the files that are left out
	survey
}

// survey lists the files of a version. known are those that it was seen to have when it was settled: a new file that
// is still being written is then left out, and does not hide the version that was there before it.
func (s *directory) survey(ctx context.Context, c candidate, known map[string]identity) (survey, error) {
	w := surveyor{s: s, c: c, known: known, now: s.now(), folders: map[string]bool{}}
	st, err := lstat(c.dir)
	if err != nil {
		return survey{}, systemFault("", err, fault.Absent)
	}
	w.info = st.info()
	if err := w.folder(ctx, c.dir, ""); err != nil {
		return survey{}, err
	}
	slices.SortFunc(w.files, func(a, b stored) int { return strings.Compare(a.name, b.name) }) // model.bin, model/x
	if c.stem != "" && len(w.files) > 0 {
		w.info = w.files[0].st.info()
		for _, f := range w.files {
			if f.err == nil && stem(f.name) == c.stem {
				w.info = f.st.info()
				break
			}
		}
	}
	if c.filling {
		w.downloads()
	}
	if !w.remains && w.left.wait > 0 {
		w.hold(w.left.wait, w.left.writing)
	}
	for folder := range w.folders {
		w.survey.folders = append(w.survey.folders, folder)
	}
	return w.survey, nil
}

// folder adds the files of dir, a real path, which the version has as prefix.
func (w *surveyor) folder(ctx context.Context, dir, prefix string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.depth == maxNesting {
		return fault.New(fault.Limit, "folders are nested deeper than %d", maxNesting)
	}
	if w.read++; w.read > maxFolders {
		return fault.New(fault.Limit, "has more than %d folders", maxFolders)
	}
	w.watch(dir)
	entries, err := w.entries(dir)
	if err != nil {
		if prefix != "" && isGone(err) {
			return nil
		}
		return systemFault("", err, fault.Absent)
	}
	w.folders[dir] = true
	w.depth++
	defer func() { w.depth-- }()
	for _, e := range entries {
		if err := w.entry(ctx, dir, prefix, e); err != nil {
			return err
		}
	}
	return nil
}

// entries reads a folder, or of loose files those of one stem.
func (w *surveyor) entries(dir string) ([]entry, error) {
	if w.c.stem == "" {
		return readFolder(dir)
	}
	l, err := w.s.listings.of(dir)
	if err != nil {
		return nil, err
	}
	return l.looseFiles(w.c.stem), nil
}

func (w *surveyor) entry(ctx context.Context, dir, prefix string, e entry) error {
	path, name := filepath.Join(dir, e.name), prefix+e.name
	kind := e.kind
	real, st := path, status{}
	var err error
	switch kind {
	case otherEntry:
		return nil
	case linkEntry:
		if !shownFile(e.name) {
			return nil
		}
		if real, st, err = w.s.follows(path, w.c.repo); err != nil {
			if st, gone := lstat(path); gone == nil {
				w.files = append(w.files, stored{name: name, path: path, real: path, st: st, err: fault.In(path, err)})
			}
			return nil
		}
		switch {
		case st.mode.IsDir() && within(dir, real): // to a folder above: it would go in circles
			return nil
		case st.mode.IsDir():
			kind = folderEntry
		case st.mode.IsRegular():
			kind = fileEntry
			if parent := filepath.Dir(real); !w.folders[parent] {
				w.folders[parent] = true
				w.watch(parent)
			}
		default:
			return nil
		}
	}
	if kind == folderEntry {
		if w.c.stem != "" || w.c.beside || !shownFolder(e.name) || prefix == "" && w.c.except[e.name] {
			return nil
		}
		return w.folder(ctx, real, name+"/")
	}
	if e.kind == fileEntry {
		if st, err = lstat(path); err != nil {
			if isGone(err) {
				return nil
			}
			return systemFault(path, err, fault.Absent)
		}
		if !st.mode.IsRegular() { // exchanged since it was listed
			return nil
		}
	}
	was, known := w.known[name]
	w.remains = w.remains || known
	if known && was == st.identity { // opened for writing, perhaps, and closed as it was
	} else if wait := w.s.wait(real, st, w.now, !shownFile(e.name)); wait > 0 {
		w.later(wait)
		if w.known != nil && !known {
			w.leave(wait, name)
			return nil
		}
		w.hold(wait, name)
	}
	if shownFile(e.name) {
		w.files = append(w.files, stored{name: name, path: path, real: real, st: st})
	}
	if len(w.files) > maxFiles {
		return fault.New(fault.Limit, "holds more than %d files", maxFiles)
	}
	return nil
}

// watch makes changes in a folder known, before it is read.
func (w *surveyor) watch(dir string) {
	if w.c.watchAs.path != "" {
		w.s.watch.arm(dir, w.c.watchAs)
	}
}

// hold makes the version wait.
func (w *surveyor) hold(wait time.Duration, name string) {
	if wait > w.wait {
		w.wait, w.writing = wait, name
	}
}

// leave leaves a new file out until it is settled, unless nothing remains of the version that it is added to.
func (w *surveyor) leave(wait time.Duration, name string) {
	if wait > w.left.wait {
		w.left.wait, w.left.writing = wait, name
	}
}

// later notes when to look again.
func (w *surveyor) later(wait time.Duration) {
	if w.again == 0 || wait < w.again {
		w.again = wait
	}
}

// downloads makes the snapshot that a hub download fills wait for the blobs that are not there yet: they have no link.
func (w *surveyor) downloads() {
	blobs := filepath.Join(w.c.repo, "blobs")
	w.folders[blobs] = true
	w.watch(blobs)
	if w.s.settle < 0 {
		return
	}
	entries, err := readFolder(blobs)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.kind != fileEntry || !strings.HasSuffix(e.name, ".incomplete") {
			continue
		}
		path := filepath.Join(blobs, e.name)
		st, err := lstat(path)
		if err != nil {
			continue
		}
		if wait := w.s.wait(path, st, w.now, true); wait > 0 {
			w.later(wait)
			if w.known == nil {
				w.hold(wait, "blobs/"+e.name)
			}
		}
	}
}

func isGone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }
