package zip

import (
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// inflation names what File does to a deflated member: part of the identity of the bytes.
const inflation = "inflate/1"

// File is a member's bytes, of which none is read now: a stored member is an extent of the source, a deflated one is
// unpacked once, as a whole, when the first of them is read. That they have the CRC-32 that the archive states is seen
// to as layout.Summed has it, and for a deflated member before any of it is given.
func (a *Archive) File(m *Member) (*layout.File, error) {
	if err := m.sound(); err != nil {
		return nil, err
	}
	packed, err := layout.New(layout.Extent{Source: a.src, Off: m.Off, Len: m.Packed})
	if err != nil || m.Method == Stored {
		return packed, err
	}
	own := *m // which the archive's user may change
	return layout.New(layout.Materialized{
		Name: inflation, Length: m.Size, In: []*layout.File{packed},
		Run: func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
			return own.unpack(ctx, ws, packed, w)
		},
	})
}

// sound fails for a member that can't be read, whatever its bytes are.
func (m *Member) sound() error {
	switch {
	case m.Method != Stored && m.Method != Deflated:
		return fault.At(fault.Unsupported, m.Off, "the member %.80q is packed by method %d, and only stored and deflated ones are read", m.Name, m.Method).
			Remedied("pack the archive anew with stored or deflated members")
	case m.Size == 0 && m.HasCRC && m.CRC != 0:
		return m.placed(wrongSum(0, m.CRC))
	}
	return nil
}

// Head is the first n bytes of a member, all of a shorter one, whose CRC-32 is not looked at. It is for what begins with
// a header; to unpack it costs the n bytes alone.
func (a *Archive) Head(ctx context.Context, m *Member, n int64) ([]byte, error) {
	if err := m.sound(); err != nil {
		return nil, err
	}
	n = min(n, m.Size)
	packed, err := layout.New(layout.Extent{Source: a.src, Off: m.Off, Len: m.Packed})
	if err != nil {
		return nil, err
	}
	from := &section{ctx: ctx, file: packed}
	var all []byte
	if m.Method == Stored {
		all, err = io.ReadAll(io.LimitReader(from, n))
	} else {
		in := &counted{in: from}
		if all, err = io.ReadAll(io.LimitReader(flate.NewReader(in), n)); err != nil {
			err = in.failure(err, int64(len(all)), m.Size)
		}
	}
	if err == nil && int64(len(all)) < n {
		err = fault.New(fault.Mismatch, "its deflate stream has %d bytes, and the archive states %d", len(all), m.Size)
	}
	if err != nil {
		return nil, m.placed(err)
	}
	return all, nil
}

// unpack writes the bytes of a deflated member to w.
func (m *Member) unpack(ctx context.Context, ws layout.Workspace, packed *layout.File, w io.WriterAt) error {
	crc := crc32.NewIEEE()
	err := inflate(&section{ctx: ctx, ws: ws, file: packed}, m.Size, func(p []byte, off int64) error {
		crc.Write(p)
		_, err := w.WriteAt(p, off)
		return err
	})
	if err == nil && m.HasCRC && crc.Sum32() != m.CRC {
		err = wrongSum(crc.Sum32(), m.CRC)
	}
	return m.placed(err)
}

// HasCRCs reports whether the archive states CRC-32s.
func (a *Archive) HasCRCs() bool {
	return slices.ContainsFunc(a.Members, func(m Member) bool { return m.HasCRC })
}

// Verify reads every member that has a CRC-32, and fails at the first whose bytes have another.
func (a *Archive) Verify(ctx context.Context) error {
	for i := range a.Members {
		m := &a.Members[i]
		f, err := a.File(m)
		switch {
		case errors.Is(err, fault.Unsupported):
			continue
		case err != nil:
			return err
		case m.Method == Deflated:
			packed, err := layout.New(layout.Extent{Source: a.src, Off: m.Off, Len: m.Packed})
			if err != nil {
				return err
			}
			if err := m.unpack(ctx, nil, packed, nowhere{}); err != nil {
				return err
			}
		default:
			if err := f.Verify(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Bytes is a whole small member, for metadata: at most limit bytes, and of those beyond 1 MiB no more than 100 for each
// that is stored. Its CRC-32 is checked.
func (a *Archive) Bytes(ctx context.Context, m *Member, limit int64) ([]byte, error) {
	switch {
	case m.Size > limit:
		return nil, fault.At(fault.Limit, m.Off, "the member %.80q has %d bytes, and the most is %d", m.Name, m.Size, limit)
	case m.Size > freelyLarge && m.Size/maxRatio > m.Packed:
		return nil, fault.At(fault.Limit, m.Off, "the member %.80q unpacks %d bytes from %d, and the most is %d from each", m.Name, m.Size, m.Packed, maxRatio)
	}
	if err := m.sound(); err != nil {
		return nil, err
	}
	packed, err := layout.New(layout.Extent{Source: a.src, Off: m.Off, Len: m.Packed})
	if err != nil {
		return nil, err
	}
	var all []byte
	if m.Method == Stored {
		all = make([]byte, m.Size) // which the archive holds
		_, err = packed.ReadAt(ctx, nil, all, 0)
		if err == io.EOF {
			err = nil
		}
	} else {
		err = inflate(&section{ctx: ctx, file: packed}, m.Size, func(p []byte, _ int64) error {
			all = append(all, p...)
			return nil
		})
	}
	if err == nil && m.HasCRC {
		if sum := crc32.ChecksumIEEE(all); sum != m.CRC {
			err = wrongSum(sum, m.CRC)
		}
	}
	if err != nil {
		return nil, m.placed(err)
	}
	return all, nil
}

func wrongSum(sum, want uint32) error {
	return fault.New(fault.Checksum, "its bytes have CRC-32 %08x, and the archive states %08x", sum, want)
}

// placed names the member in an error of its bytes.
func (m *Member) placed(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Off >= 0 {
		return err
	}
	return fault.At(e.Kind, m.Off, "the member %.80q: %s", m.Name, e.Reason)
}

// inflate unpacks size bytes from all of in, and gives them to write in order.
func inflate(in io.Reader, size int64, write func(p []byte, off int64) error) error {
	from := &counted{in: in}
	z := flate.NewReader(from)
	buf := make([]byte, min(size, 1<<20)+1) // one more, to see whether the stream ends
	for off := int64(0); ; {
		n, err := z.Read(buf)
		if int64(n) > size-off {
			return fault.New(fault.Mismatch, "its deflate stream goes on after the %d bytes that the archive states", size)
		}
		if n > 0 {
			if err := write(buf[:n], off); err != nil {
				return err
			}
			off += int64(n)
		}
		switch {
		case err == nil:
		case err != io.EOF:
			return from.failure(err, off, size)
		case off < size:
			return fault.New(fault.Mismatch, "its deflate stream has %d bytes, and the archive states %d", off, size)
		default:
			if _, err := from.ReadByte(); err == nil {
				return fault.New(fault.Extent, "bytes follow its deflate stream")
			}
			return nil
		}
	}
}

// failure is an error of a deflate stream of which off bytes of size were unpacked.
func (c *counted) failure(err error, off, size int64) error {
	var corrupt flate.CorruptInputError
	switch {
	case c.err != nil: // of the source
		return c.err
	case errors.As(err, &corrupt):
		return fault.New(fault.Malformed, "its deflate stream is broken at byte %d", int64(corrupt))
	case err == io.ErrUnexpectedEOF:
		return fault.New(fault.Truncated, "its deflate stream ends after %d of %d bytes", off, size)
	}
	return err
}

// counted gives a deflate stream its bytes one by one, so that none behind it is taken.
type counted struct {
	in   io.Reader
	buf  [32 << 10]byte
	rest []byte
	err  error // of in, if it is not its end
}

func (c *counted) fill() error {
	for len(c.rest) == 0 {
		n, err := c.in.Read(c.buf[:])
		c.rest = c.buf[:n]
		if n > 0 {
			break
		}
		if err != nil {
			if err != io.EOF {
				c.err = err
			}
			return err
		}
	}
	return nil
}

func (c *counted) ReadByte() (byte, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b, nil
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.fill(); err != nil {
		return 0, err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// section reads a layout in order.
type section struct {
	ctx  context.Context
	ws   layout.Workspace
	file *layout.File
	off  int64
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.file.ReadAt(s.ctx, s.ws, p, s.off)
	s.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}
