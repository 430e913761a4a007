package imports

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// zip looks through the members of an archive.
func (s *search) zip(x stretch) error {
	if x.depth >= maxNest {
		s.add([]model.Import{{Module: "?", Name: "?", Verdict: model.VerdictDangerous, Reason: "archives within archives, deeper than anyone needs"}})
		return nil
	}
	a, err := zip.Open(s.ctx, x.src, x.off, x.end-x.off)
	if err != nil {
		if kind := fault.KindOf(err); s.ctx.Err() != nil || kind == fault.Unknown || kind == fault.Changed || kind == fault.IO {
			return err
		}
		s.fail(err)
		return s.locals(x)
	}
	for i := range a.Members {
		m := &a.Members[i]
		if err := s.member(x, m.Name, m.Method, m.Off, m.Packed); err != nil {
			return err
		}
	}
	return nil
}

// locals goes through an archive by its local headers: a reader that trusts those finds members that the directory
// hides.
func (s *search) locals(x stretch) error {
	const header = 30
	window := make([]byte, min(1<<20, x.end-x.off))
	for from := x.off; from < x.end; from += int64(max(len(window)-header, 1)) { // headers may begin in the last bytes
		window = window[:min(int64(len(window)), x.end-from)]
		if err := readFull(s.ctx, x.src, window, from); err != nil {
			return err
		}
		for at := 0; at+header <= len(window); at++ {
			next := bytes.Index(window[at:], []byte("PK\x03\x04"))
			if next < 0 {
				break
			}
			if at += next; at+header > len(window) {
				break
			}
			if err := s.local(x, window[at:at+header], from+int64(at)+header); err != nil {
				return err
			}
		}
	}
	return nil
}

// local looks at the member behind a local header, of which the name begins at off.
func (s *search) local(x stretch, header []byte, off int64) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	encrypted := header[6]&1 != 0
	method := binary.LittleEndian.Uint16(header[8:])
	packed := int64(binary.LittleEndian.Uint32(header[18:]))
	named, extra := int64(binary.LittleEndian.Uint16(header[26:])), int64(binary.LittleEndian.Uint16(header[28:]))
	data := off + named + extra
	if encrypted || data >= x.end {
		return nil
	}
	name := make([]byte, named)
	if err := readFull(s.ctx, x.src, name, off); err != nil {
		return err
	}
	if packed == 0 || packed > x.end-data { // not known here, or not true: a pickle knows its own end
		packed = x.end - data
	}
	return s.member(x, string(name), method, data, packed)
}

// member looks at a member's bytes.
func (s *search) member(x stretch, name string, method uint16, off, packed int64) error {
	inner := stretch{src: x.src, off: off, end: off + packed, name: name, depth: x.depth + 1}
	switch method {
	case zip.Stored:
		return s.stretch(inner)
	case zip.Deflated:
		raw, err := s.inflate(x.src, off, packed)
		if err != nil || len(raw) == 0 {
			return err
		}
		inner.src, inner.off, inner.end = blob(raw), 0, int64(len(raw))
		return s.stretch(inner)
	}
	return nil // nobody's loader reads it either
}

// inflate unpacks a deflated member as far as it goes: maxPickle, and what a hundredfold expansion makes of it beyond a
// MiB, are enough for any pickle.
func (s *search) inflate(src layout.Source, off, packed int64) ([]byte, error) {
	limit := min(int64(maxPickle), max(1<<20, 100*packed))
	section := io.NewSectionReader(reader{s.ctx, src}, off, packed)
	var raw bytes.Buffer
	_, err := io.Copy(&raw, io.LimitReader(flate.NewReader(section), limit))
	var corrupt flate.CorruptInputError
	if err == nil || errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // what there is may be read by others
	}
	return raw.Bytes(), err
}

// tar looks through the members of a tar archive, as torch wrote before it had a format of its own.
func (s *search) tar(x stretch) error {
	section := io.NewSectionReader(reader{s.ctx, x.src}, x.off, x.end-x.off)
	for r := tar.NewReader(section); ; {
		h, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case s.ctx.Err() != nil:
			return s.ctx.Err()
		case errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrInsecurePath):
			s.fail(fault.New(fault.Malformed, "a broken tar archive: %w", err))
			return nil
		case err != nil:
			return err
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Size > x.end-x.off-at {
			continue
		}
		off := x.off + at
		if err := s.stretch(stretch{src: x.src, off: off, end: off + h.Size, name: h.Name, depth: x.depth + 1}); err != nil {
			return err
		}
	}
}

// blob is bytes in memory as a source.
type blob []byte

func (b blob) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(b).ReadAt(p, off)
}
func (b blob) Size() int64    { return int64(len(b)) }
func (b blob) ID() layout.ID  { return sha256.Sum256(b) }
func (b blob) String() string { return "unpacked bytes" }
