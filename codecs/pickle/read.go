package pickle

import (
	"io"

	"github.com/isomerfs/isomerfs/fault"
)

// window is how much of a file is read first for a pickle whose length is not known.
const window = 64 << 10

// Read decodes the pickle that begins at off in a file and ends no later than end, and returns its value and where it
// ended. At most limit bytes of it are read: a longer one is a Limit. Errors carry offsets in the file; o.Base is not
// used. The end lies within the file: that the file ends sooner means that it changed.
//
// The length of a pickle is known only when it was executed, so the file is read in growing pieces; the bytes behind
// the pickle that are read with it are at most three times its own, and 64 KiB.
func Read(file io.ReaderAt, off, end, limit int64, o Options) (v Value, next int64, err error) {
	o.Base = off
	room := min(limit, max(0, end-off))
	var data []byte
	for size := min(window, room); ; size = min(4*size, room) {
		grown := make([]byte, size)
		n := copy(grown, data)
		if err := readFull(file, grown[n:], off+int64(n)); err != nil {
			return nil, 0, err
		}
		data = grown
		var before point
		if o.Imports != nil {
			before = o.Imports.here()
		}
		v, n, err := Decode(data, o)
		switch {
		case err == nil:
			return v, off + int64(n), nil
		case fault.KindOf(err) != fault.Truncated || size == room && room == end-off:
			return nil, 0, err
		case size == room:
			return nil, 0, fault.At(fault.Limit, off, "a pickle of more than %d bytes", limit)
		}
		if o.Imports != nil { // the next attempt finds the same again
			o.Imports.back(before)
		}
	}
}

// guess is how long what follows a pickle is read as another where it does not begin as one of protocol 2 does: it may
// be anything.
const guess = 1 << 20

// ScanFile is Scan of the pickles in bytes off to end of a file, of which none may be longer than limit; next is the
// offset behind the last.
func (i *Imports) ScanFile(file io.ReaderAt, off, end, limit int64) (pickles int, next int64, err error) {
	size := int64(window)
	for off < end {
		data := make([]byte, min(size, end-off))
		if err := readFull(file, data, off); err != nil {
			return pickles, off, err
		}
		n := 0
		for n < len(data) {
			before := i.here()
			_, used, err := Decode(data[n:], Options{Imports: i, Base: off + int64(n)})
			if err == nil {
				n += used
				pickles++
				continue
			}
			if fault.KindOf(err) != fault.Truncated || off+int64(len(data)) == end {
				return pickles, off + int64(n), err
			}
			switch {
			case n > 0:
			case pickles > 0 && data[0] != opProto && size >= guess:
				return pickles, off, err
			case size >= limit:
				return pickles, off, fault.At(fault.Limit, off, "a pickle of more than %d bytes", limit)
			}
			i.back(before) // it is found again with what follows
			break
		}
		if off += int64(n); n == 0 {
			size = min(4*size, limit)
		} else {
			size = window
		}
	}
	return pickles, off, nil
}

func readFull(file io.ReaderAt, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.At(fault.Changed, off+int64(n), "the file ended %d bytes sooner than before", len(p)-n)
	}
	return err
}
