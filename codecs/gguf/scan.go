package gguf

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// scanner reads the beginning of a file front to back, in windows: a tokenizer of many megabytes goes by in one of
// them.
type scanner struct {
	ctx   context.Context
	src   layout.Source
	order binary.ByteOrder

	off int64  // of the next byte
	buf []byte // bytes of the file from at
	at  int64
}

// window is how much is read at a time.
const window = 256 << 10

// need makes the next n bytes available, n at most a window. They are valid until the next call. A file that ends
// before is Truncated.
func (s *scanner) need(n int64, what string) ([]byte, error) {
	if left := s.src.Size() - s.off; n > left {
		return nil, fault.At(fault.Truncated, s.off, "%s of %d bytes, and the file ends after %d", what, n, left)
	}
	if s.off < s.at || s.off+n > s.at+int64(len(s.buf)) {
		if s.buf == nil {
			s.buf = make([]byte, window)
		}
		s.buf = s.buf[:min(window, s.src.Size()-s.off)]
		s.at = s.off
		if m, err := s.src.ReadAt(s.ctx, s.buf, s.off); m < len(s.buf) {
			s.buf = s.buf[:0]
			if err == nil || err == io.EOF {
				err = fault.At(fault.Changed, s.off+int64(m), "the file ended where it had %d bytes before", s.src.Size())
			}
			return nil, err
		}
	}
	return s.buf[s.off-s.at:][:n], nil
}

// take is need, and goes past the bytes.
func (s *scanner) take(n int64, what string) ([]byte, error) {
	b, err := s.need(n, what)
	if err == nil {
		s.off += n
	}
	return b, err
}

// skip goes past n bytes.
func (s *scanner) skip(n int64, what string) error {
	if left := s.src.Size() - s.off; n < 0 || n > left {
		return fault.At(fault.Truncated, s.off, "%s of %d bytes, and the file ends after %d", what, n, left)
	}
	s.off += n
	return nil
}

func (s *scanner) uint32(what string) (uint32, error) {
	b, err := s.take(4, what)
	if err != nil {
		return 0, err
	}
	return s.order.Uint32(b), nil
}

func (s *scanner) uint64(what string) (uint64, error) {
	b, err := s.take(8, what)
	if err != nil {
		return 0, err
	}
	return s.order.Uint64(b), nil
}

// length is that of a string or an array whose elements take at least least bytes each. One that the file cannot hold
// is Truncated.
func (s *scanner) length(least int64, what string) (int64, error) {
	at := s.off
	n, err := s.uint64(what)
	if err != nil {
		return 0, err
	}
	if left := s.src.Size() - s.off; n > uint64(left/least) {
		return 0, fault.At(fault.Truncated, at, "%s is %d, and the file ends after %d bytes", what, n, left)
	}
	return int64(n), nil
}

// text is a string of at most limit bytes.
func (s *scanner) text(limit int64, what string) (string, error) {
	at := s.off
	n, err := s.length(1, "the length of "+what)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fault.At(fault.Limit, at, "%s is %d bytes long, and at most %d are read", what, n, limit)
	}
	b, err := s.take(n, what)
	return string(b), err
}
