// Package imports finds the pickles in stored files and says what Python would import to load them.
//
// It looks for what loaders look for, and harder: a pickle by itself or several in a row (.pkl, torch before 1.6),
// NumPy's arrays of objects (.npy), and members of zip and tar archives (torch, npz, TorchScript), whatever their
// names are. A broken archive or pickle is read as far as a lenient reader would: what is there may still run.
package imports

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	maxPickle = 256 << 20 // bytes of one that a file's name or first bytes announce
	maxGuess  = 1 << 20   // bytes of one that nothing announces
	headSize  = 1024      // of the bytes that show whether something may be a pickle
	maxNest   = 3         // archives in archives
)

// Found is what the pickles of a stored file would import.
type Found struct {
	Pickles int            // that were read to their end
	Imports []model.Import // each name once, in the order in which it is asked for first
	Err     error          // what is wrong with a pickle or its archive; nil. Imports has what was found all the same
}

// Read goes through the pickles of a stored file. err is that of the disk alone.
func Read(ctx context.Context, files layout.Files, name string) (*Found, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	s := &search{ctx: ctx, seen: map[model.Import]bool{}}
	err = s.stretch(stretch{src: src, end: src.Size(), name: name})
	if s.found.Err != nil {
		s.found.Err = fault.In(name, s.found.Err)
	}
	for i := range s.found.Imports {
		s.found.Imports[i].File = name
	}
	return &s.found, err
}

// listed is imports as a model has them.
func listed(found *pickle.Imports) []model.Import {
	var list []model.Import
	for _, i := range found.List() {
		list = append(list, model.Import{Module: i.Module, Name: i.Name, Verdict: i.Verdict.String(), Reason: i.Reason})
	}
	return list
}

// search is a walk through one stored file.
type search struct {
	ctx   context.Context
	found Found
	seen  map[model.Import]bool
}

// stretch is bytes of a file in which pickles are looked for.
type stretch struct {
	src      layout.Source
	off, end int64
	name     string // of the file, or of the member that it is
	depth    int    // archives around it
}

func (s *search) stretch(x stretch) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	head := make([]byte, min(headSize, x.end-x.off))
	if err := readFull(s.ctx, x.src, head, x.off); err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return s.zip(x)
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return s.npy(x, head)
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return s.tar(x)
	}
	return s.pickles(x, head)
}

// extensions are those of files whose loaders expect a pickle.
var extensions = map[string]bool{".pkl": true, ".pickle": true, ".pk": true, ".p": true, ".joblib": true, ".dill": true, ".dat": true, ".data": true,
	".pt": true, ".pth": true, ".bin": true, ".ckpt": true, ".npy": true, ".distcp": true, ".sav": true, ".model": true}

// pickles looks at bytes that may be a pickle, or several in a row.
//
// Texts and weights begin with bytes that are opcodes, too. So what neither its name nor its first bytes announce is a
// pickle where it is one to its end and imports something, or where it names what does harm before it fails.
func (s *search) pickles(x stretch, head []byte) error {
	named := extensions[strings.ToLower(path.Ext(x.name))]
	marked := len(head) >= 2 && head[0] == 0x80 && head[1] <= 5 // PROTO; weights begin so once in 10,000 times
	limit := int64(maxGuess)
	if named || marked {
		limit = maxPickle
	}
	var found pickle.Imports
	if int64(len(head)) < x.end-x.off {
		_, _, err := found.Scan(head, 0)
		if err != nil && !errors.Is(err, fault.Truncated) && len(found.List()) == 0 && !(named && marked) {
			return nil
		}
		found = pickle.Imports{}
	}
	pickles, next, err := found.ScanFile(reader{s.ctx, x.src}, x.off, x.end, limit)
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if kind := fault.KindOf(err); err != nil && (kind == fault.Unknown || kind == fault.Changed || kind == fault.IO) {
		return err
	}
	list := listed(&found)
	failed := next == x.off
	switch {
	case harmful(list):
	case !named && !marked && (failed || len(list) == 0):
		return nil
	case failed && len(list) == 0 && !(named && marked):
		return nil // a file of another kind, by a name that pickles have too
	}
	s.found.Pickles += pickles
	s.add(list)
	// what follows a pickle is its container's affair: the storages of a torch file without a zip
	if err != nil && (failed || harmful(list)) {
		s.fail(err)
	}
	for _, raw := range found.Archives {
		if err := s.stretch(stretch{src: blob(raw), end: int64(len(raw)), name: x.name, depth: x.depth + 1}); err != nil {
			return err
		}
	}
	return nil
}

// harmful reports whether a list names what is dangerous. A ? is no name: random bytes have extension codes.
func harmful(list []model.Import) bool {
	return slices.ContainsFunc(list, func(i model.Import) bool { return i.Verdict == model.VerdictDangerous && i.Module != "?" })
}

// npy looks behind the header of a NumPy array, where the pickle of an array of objects lies.
func (s *search) npy(x stretch, head []byte) error {
	if len(head) < 12 {
		return nil
	}
	at := 10 + int64(head[8]) + int64(head[9])<<8
	if head[6] >= 2 {
		at = 12 + int64(head[8]) + int64(head[9])<<8 + int64(head[10])<<16 + int64(head[11])<<24
	}
	if at >= x.end-x.off {
		return nil
	}
	header := head[:min(int64(len(head)), at)]
	if !bytes.ContainsRune(header, 'O') {
		return nil // no field of it is an object
	}
	x.off, x.name = x.off+at, x.name+".pickle"
	next := make([]byte, min(headSize, x.end-x.off))
	if err := readFull(s.ctx, x.src, next, x.off); err != nil {
		return err
	}
	return s.pickles(x, next)
}

// add notes imports that were not noted yet.
func (s *search) add(list []model.Import) {
	for _, i := range list {
		if !s.seen[i] {
			s.seen[i] = true
			s.found.Imports = append(s.found.Imports, i)
		}
	}
}

// fail notes the first thing that is wrong.
func (s *search) fail(err error) {
	if s.found.Err == nil {
		s.found.Err = err
	}
}

// reader is a source as io knows files.
type reader struct {
	ctx context.Context
	src layout.Source
}

func (r reader) ReadAt(p []byte, off int64) (int, error) { return r.src.ReadAt(r.ctx, p, off) }

// readFull fills p. A source that ends early has changed since its size was taken.
func readFull(ctx context.Context, src layout.Source, p []byte, off int64) error {
	n, err := src.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.At(fault.Changed, off+int64(n), "the file ended where it had %d bytes before", src.Size())
	}
	return err
}
