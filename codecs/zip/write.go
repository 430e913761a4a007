package zip

import (
	"bytes"
	"hash/crc32"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Style is whose archives Write lays out its own like. Readers take them all.
type Style uint8

const (
	// Torch is as torch.save writes, to the byte, as its readers compute where members lie: no dates, zip64 fields in
	// local headers too but only where something passes 32 bits, no data descriptor behind what is empty, and the zip64
	// end record always there.
	Torch Style = iota

	// NumPy is as numpy.savez writes: dated 1980-01-01, for the owner to read and write, zip64 fields in each local
	// header, and a zip64 end record where it is needed.
	NumPy
)

// Entry is a member to be written, stored and not deflated. Its data begins at a multiple of Align in the archive where
// that is more than 1, by an extra field that readers pass over.
type Entry struct {
	Name  string
	Data  *layout.File
	Align int64
}

// maxAlign is what an extra field has room for.
const maxAlign = 1 << 15

// Write is an archive of these members. Each has its CRC-32, as a Fold behind its data, in a data descriptor, and again
// in the directory. A name that Open would refuse fails as it does there.
func Write(style Style, entries ...Entry) (*layout.File, error) {
	w := writer{style: style, names: make(map[string]bool, len(entries))}
	for i := range entries {
		if err := w.member(&entries[i]); err != nil {
			return nil, err
		}
	}
	return w.end()
}

type writer struct {
	style     Style
	names     map[string]bool
	off       int64
	files     []*layout.File // up to the last member's data
	between   stretch        // since then
	directory stretch
}

// stretch is spans of text and checksums: as few of them as can be, for there are several for each member.
type stretch struct {
	spans []layout.Span
	text  []byte // after them
	size  int64
}

func (s *stretch) write(p ...byte) {
	s.text = append(s.text, p...)
	s.size += int64(len(p))
}

// sum is a checksum: text where it is known.
func (s *stretch) sum(span layout.Span) {
	if known, ok := span.(layout.Literal); ok {
		s.write(known...)
		return
	}
	s.spans = append(s.list(), span)
	s.text = nil
	s.size += span.Size()
}

func (s *stretch) list() []layout.Span {
	if len(s.text) == 0 {
		return s.spans
	}
	return append(s.spans, layout.Literal(bytes.Clone(s.text)))
}

// header writes a local header, and data what it is of.
func (w *writer) header(p ...byte) {
	w.between.write(p...)
	w.off += int64(len(p))
}

func (w *writer) data(f *layout.File) error {
	head, err := layout.New(w.between.list()...)
	if err != nil {
		return err
	}
	w.files = append(w.files, head, f)
	w.between = stretch{}
	w.off += f.Size()
	return nil
}

// versions are the one needed to read a member, that of the maker and its system, and the date in MS-DOS's format.
func (w *writer) versions() (needed, by, date uint16) {
	if w.style == Torch {
		return 0, 0, 0
	}
	const zip64Version, unix = 45, 3 << 8
	const newYear1980 = 1<<5 | 1
	return zip64Version, unix | zip64Version, newYear1980
}

func (w *writer) member(e *Entry) error {
	if err := Holds(e.Name); err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(e.Name, "/"):
		return fault.New(fault.Malformed, "the member's name %.80q is that of a folder", e.Name)
	case w.names[e.Name]:
		return fault.New(fault.Duplicate, "two members are called %.80q", e.Name)
	case len(w.names) == maxMembers:
		return fault.New(fault.Limit, "more than %d members", maxMembers)
	case e.Align < 0 || e.Align > maxAlign:
		return fault.New(fault.Usage, "data aligned to %d bytes, and the most is %d", e.Align, maxAlign)
	}
	w.names[e.Name] = true
	start, size := w.off, e.Data.Size()
	large, far := size >= escape32, start >= escape32
	sum := crcOf(e.Data)

	flags := uint16(streamed | inUTF8)
	if w.style == NumPy && ascii(e.Name) {
		flags &^= inUTF8
	}
	if w.style == Torch && size == 0 {
		flags &^= streamed
	}
	var extra []byte
	given := uint32(0) // the sizes, which the descriptor has
	switch {
	case w.style == Torch:
		extra = zip64Of(large, far, size, 0, start) // torch.save writes it before it knows how many bytes it packs
	case large || w.style == NumPy:
		given = escape32
		extra = zip64Of(true, false, 0, 0, 0)
	}
	if e.Align > 1 {
		end := start + localSize + int64(len(e.Name)) + int64(len(extra)) + 4
		extra = appendAll(extra, uint16(paddingExtra), uint16((e.Align-end%e.Align)%e.Align))
		extra = append(extra, strings.Repeat("Z", int((e.Align-end%e.Align)%e.Align))...)
	}
	needed, by, date := w.versions()
	w.header([]byte(localSignature)...)
	w.header(appendAll(nil, needed, flags, uint16(Stored), uint16(0), date, uint32(0), given, given, uint16(len(e.Name)), uint16(len(extra)))...)
	w.header([]byte(e.Name)...)
	w.header(extra...)
	if err := w.data(e.Data); err != nil {
		return err
	}
	if flags&streamed != 0 {
		w.header([]byte(descriptorSignature)...)
		w.between.sum(sum)
		w.off += sum.Size()
		if given == escape32 || w.style == Torch && (large || far) {
			w.header(appendAll(nil, uint64(size), uint64(size))...)
		} else {
			w.header(appendAll(nil, uint32(size), uint32(size))...)
		}
	}

	extra = zip64Of(large, far, size, size, start)
	sizes, offset := uint32(size), uint32(start)
	if large {
		sizes = escape32
	}
	if far {
		offset = escape32
	}
	const ownersFile = 0o600 << 16
	attributes := uint32(0)
	if w.style == NumPy {
		attributes = ownersFile
	}
	d := &w.directory
	d.write([]byte(entrySignature)...)
	d.write(appendAll(nil, by, needed, flags, uint16(Stored), uint16(0), date)...)
	d.sum(sum)
	d.write(appendAll(nil, sizes, sizes, uint16(len(e.Name)), uint16(len(extra)), uint16(0), uint16(0), uint16(0), attributes, offset)...)
	d.write([]byte(e.Name)...)
	d.write(extra...)
	if w.off < 0 {
		return fault.New(fault.Overflow, "the archive would be larger than fits 63 bits")
	}
	return nil
}

// zip64Of is the extra field that has the sizes of a large member and the place of one that lies far into the archive;
// nothing of any other.
func zip64Of(large, far bool, size, packed, start int64) []byte {
	if !large && !far {
		return nil
	}
	var field []byte
	if large {
		field = appendAll(field, uint64(size), uint64(packed))
	}
	if far {
		field = appendAll(field, uint64(start))
	}
	return append(appendAll(nil, uint16(zip64Extra), uint16(len(field))), field...)
}

// crcOf is the CRC-32 of a file: a Fold where its bytes are not known.
func crcOf(f *layout.File) layout.Span {
	const known = 1 << 20
	if !f.Literal() || f.Size() > known {
		return layout.Fold{Reducer: layout.CRC32, In: f}
	}
	var sum uint32
	for _, s := range f.Spans() {
		switch s := s.(type) {
		case layout.Literal:
			sum = crc32.Update(sum, crc32.IEEETable, s)
		case layout.Zeros:
			sum = crc32.Update(sum, crc32.IEEETable, make([]byte, s))
		}
	}
	return layout.Literal(le.AppendUint32(nil, sum))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// end is the whole archive.
func (w *writer) end() (*layout.File, error) {
	start, size, count := w.off, w.directory.size, len(w.names)
	far := start >= escape32 || size >= escape32 || count >= escape16
	var end []byte
	if far || w.style == Torch {
		const by, needed = 0x031e, 0x002d // made on Unix by 3.0, needs 4.5
		end = append(end, end64Signature...)
		end = appendAll(end, uint64(end64Size-12), uint16(by), uint16(needed), uint32(0), uint32(0),
			uint64(count), uint64(count), uint64(size), uint64(start))
		end = append(end, locatorSignature...)
		end = appendAll(end, uint32(0), uint64(start+size), uint32(1))
	}
	end = append(end, endSignature...)
	end = appendAll(end, uint16(0), uint16(0), uint16(min(count, escape16)), uint16(min(count, escape16)),
		uint32(min(size, escape32)), uint32(min(start, escape32)), uint16(0))
	w.directory.write(end...)
	rest, err := layout.New(append(w.between.list(), w.directory.list()...)...)
	if err != nil {
		return nil, err
	}
	return layout.Concat(append(w.files, rest)...)
}

// appendAll appends numbers, little-endian.
func appendAll(p []byte, numbers ...any) []byte {
	for _, n := range numbers {
		switch n := n.(type) {
		case uint16:
			p = le.AppendUint16(p, n)
		case uint32:
			p = le.AppendUint32(p, n)
		case uint64:
			p = le.AppendUint64(p, n)
		}
	}
	return p
}
