package zip

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Archive is an archive's directory, checked against everything else that the archive says of its members.
type Archive struct {
	Members []Member // files, in the order of the directory; folders have no bytes and are left out

	src    layout.Source // compares what is read of stored members with their CRC-32
	byName map[string]int
}

// Find is the member of a name; nil where there is none.
func (a *Archive) Find(name string) *Member {
	i, ok := a.byName[name]
	if !ok {
		return nil
	}
	return &a.Members[i]
}

// entry is a member as the directory has it.
type entry struct {
	Member
	raw   []byte // the name as it is stored
	flags uint16
	local int64 // offset of the local header in the archive
	at    int64 // offset of the entry in the source
}

// Open reads the headers of the archive that is bytes off to off+size of src. It costs the directory and some hundred
// bytes a member. Offsets of errors are those of src.
func Open(ctx context.Context, src layout.Source, off, size int64) (*Archive, error) {
	if off < 0 || size < 0 || off > src.Size()-size {
		return nil, fault.At(fault.Truncated, max(off, 0), "an archive of %d bytes here ends past the %d of the file", size, src.Size())
	}
	r := &reader{ctx: ctx, src: src, base: off, size: size}
	end, err := r.end()
	if err != nil {
		return nil, err
	}
	entries, err := r.directory(end)
	if err != nil {
		return nil, err
	}
	a := &Archive{byName: make(map[string]int, len(entries)), Members: make([]Member, 0, len(entries))}
	for _, e := range entries {
		if _, ok := a.byName[e.Name]; ok {
			return nil, fault.At(fault.Duplicate, e.at, "two members are called %.80q", e.Name)
		}
		a.byName[e.Name] = 0
	}
	if err := r.locals(entries, end.off); err != nil {
		return nil, err
	}
	summed := slices.ContainsFunc(entries, func(e entry) bool { return e.CRC != 0 })
	for _, e := range entries {
		if strings.HasSuffix(e.Name, "/") {
			delete(a.byName, e.Name)
			continue
		}
		// Writers that compute no CRC-32 write 0 everywhere (torch.serialization.set_crc32_options). 0 in one member
		// among others is a CRC-32 like any.
		e.HasCRC = summed
		a.byName[e.Name] = len(a.Members)
		a.Members = append(a.Members, e.Member)
	}
	a.src = layout.Summed(src, a.sums())
	return a, nil
}

// sums are the CRC-32 of the stored members, in the order of their bytes.
func (a *Archive) sums() []layout.Sum {
	var list []layout.Sum
	for i := range a.Members {
		if m := &a.Members[i]; m.HasCRC && m.Method == Stored && m.Size > 0 {
			list = append(list, layout.Sum{Name: fmt.Sprintf("the member %.80q", m.Name), Off: m.Off, Len: m.Size, CRC: m.CRC})
		}
	}
	slices.SortFunc(list, func(a, b layout.Sum) int { return cmp.Compare(a.Off, b.Off) })
	return list
}

// reader reads parts of an archive; offsets are those of the archive unless they are called at.
type reader struct {
	ctx  context.Context
	src  layout.Source
	base int64
	size int64

	window []byte // bytes from `from` that were read already
	from   int64
}

// bytes are n bytes from off, which lie in the archive. They are valid until the next call.
func (r *reader) bytes(off, n int64) ([]byte, error) {
	if off >= r.from && off+n <= r.from+int64(len(r.window)) {
		return r.window[off-r.from:][:n:n], nil
	}
	const whole, usual = 1 << 20, 512 // an archive that is read as a whole; what a local header takes, about
	want := max(n, usual)
	if r.size <= whole {
		want = max(n, r.size-off)
	}
	want = min(want, r.size-off)
	if int64(cap(r.window)) < want {
		r.window = make([]byte, want)
	}
	r.window, r.from = r.window[:want], off
	got, err := r.src.ReadAt(r.ctx, r.window, r.base+off)
	if int64(got) < want {
		r.window = nil
		if err == nil || err == io.EOF {
			err = fault.At(fault.Changed, r.base+off+int64(got), "the file ended where it had %d bytes before", r.src.Size())
		}
		return nil, err
	}
	return r.window[:n:n], nil
}

// at is a fault at an offset of the archive.
func (r *reader) at(kind fault.Kind, off int64, format string, args ...any) error {
	return fault.At(kind, r.base+off, format, args...)
}

// directoryEnd is what the end records say of the directory.
type directoryEnd struct {
	off, size int64
	count     uint64
	at        int64 // offset of the record that says so
}

// end finds and checks the end records.
func (r *reader) end() (directoryEnd, error) {
	var none directoryEnd
	n := min(r.size, endSize+escape16)
	tail, err := r.bytes(r.size-n, n)
	if err != nil {
		return none, err
	}
	i := bytes.LastIndex(tail, []byte(endSignature))
	if i < 0 {
		head, err := r.bytes(0, min(r.size, 4))
		if err != nil {
			return none, err
		}
		if len(head) > 0 && strings.HasPrefix(localSignature, string(head)) {
			return none, r.at(fault.Truncated, r.size, "the archive has no end record: it is cut off, or followed by other bytes")
		}
		return none, r.at(fault.Malformed, 0, "the file does not end as an archive does, and does not begin as one")
	}
	off, tail := r.size-n+int64(i), tail[i:]
	if len(tail) < endSize {
		return none, r.at(fault.Truncated, r.size, "the end record has %d of its %d bytes", len(tail), endSize)
	}
	comment := int64(le.Uint16(tail[20:]))
	switch rest := r.size - off - endSize; {
	case comment > rest:
		return none, r.at(fault.Truncated, r.size, "the archive's comment has %d of its %d bytes", rest, comment)
	case comment < rest:
		return none, r.at(fault.Extent, off+endSize+comment, "%d bytes after the end of the archive", rest-comment)
	}
	disk, first := le.Uint16(tail[4:]), le.Uint16(tail[6:])
	here, count := le.Uint16(tail[8:]), le.Uint16(tail[10:])
	size, start := le.Uint32(tail[12:]), le.Uint32(tail[16:])
	end := directoryEnd{off: int64(start), size: int64(size), count: uint64(count), at: off}
	if off >= locatorSize {
		locator, err := r.bytes(off-locatorSize, locatorSize)
		if err != nil {
			return none, err
		}
		if string(locator[:4]) == locatorSignature {
			full, err := r.end64(locator, off-locatorSize)
			if err != nil {
				return none, err
			}
			agree := (count == escape16 || uint64(count) == full.count) &&
				(size == escape32 || int64(size) == full.size) && (start == escape32 || int64(start) == full.off)
			if !agree {
				return none, r.at(fault.Mismatch, off, "the end record tells of %d members in %d bytes at %d, the zip64 one of %d in %d at %d",
					count, size, start, full.count, full.size, full.off)
			}
			if disk == escape16 {
				disk = 0
			}
			if first == escape16 {
				first = 0
			}
			end = full
		}
	}
	if disk != 0 || first != 0 {
		return none, r.at(fault.Unsupported, off+4, "the archive is part %d of several", disk)
	}
	if here != count {
		return none, r.at(fault.Mismatch, off+8, "%d members in this part, %d in all, and there is one part", here, count)
	}
	switch room := end.at - end.off; {
	case end.size > room:
		return none, r.at(fault.Truncated, end.at, "a directory of %d bytes at %d would end past the record of its end", end.size, r.base+end.off)
	case end.size < room:
		return none, r.at(fault.Extent, end.off+end.size, "%d bytes between the directory and the record of its end, or before the archive", room-end.size)
	}
	return end, nil
}

// end64 reads the zip64 end record, which the locator at off leads to.
func (r *reader) end64(locator []byte, off int64) (directoryEnd, error) {
	var none directoryEnd
	at, disk, disks := le.Uint64(locator[8:]), le.Uint32(locator[4:]), le.Uint32(locator[16:])
	if disk != 0 || disks > 1 {
		return none, r.at(fault.Unsupported, off, "the archive is one of %d parts", disks)
	}
	if at > uint64(off) || off-int64(at) < end64Size {
		return none, r.at(fault.Truncated, off+8, "the zip64 end record would stand at %d, without room before its locator at %d", at, off)
	}
	start := int64(at)
	p, err := r.bytes(start, end64Size)
	if err != nil {
		return none, err
	}
	if string(p[:4]) != end64Signature {
		before := off - end64Size
		if p, err = r.bytes(before, end64Size); err != nil {
			return none, err
		}
		if string(p[:4]) == end64Signature {
			return none, r.at(fault.Extent, 0, "%d bytes before the archive", before-start)
		}
		return none, r.at(fault.Malformed, start, "no zip64 end record where the locator has it")
	}
	if length := le.Uint64(p[4:]); length != uint64(off-start-12) {
		return none, r.at(fault.Extent, start+4, "the zip64 end record claims %d bytes, and its locator follows after %d", length, off-start-12)
	}
	if a, b := le.Uint32(p[16:]), le.Uint32(p[20:]); a != 0 || b != 0 {
		return none, r.at(fault.Unsupported, start+16, "the archive is part %d of several", a)
	}
	here, count := le.Uint64(p[24:]), le.Uint64(p[32:])
	if here != count {
		return none, r.at(fault.Mismatch, start+24, "%d members in this part, %d in all, and there is one part", here, count)
	}
	size, first := le.Uint64(p[40:]), le.Uint64(p[48:])
	if size > uint64(start) || first > uint64(start) {
		return none, r.at(fault.Truncated, start+40, "a directory of %d bytes at %d would end past the record of its end at %d", size, first, r.base+start)
	}
	return directoryEnd{off: int64(first), size: int64(size), count: count, at: start}, nil
}

// directory reads the entries.
func (r *reader) directory(end directoryEnd) ([]entry, error) {
	switch {
	case end.size > maxDirectory:
		return nil, r.at(fault.Limit, end.off, "the directory has %d bytes, and the most is %d", end.size, maxDirectory)
	case end.count > maxMembers && end.count <= uint64(end.size)/entrySize:
		return nil, r.at(fault.Limit, end.at, "the archive has %d members, and the most is %d", end.count, maxMembers)
	}
	all, err := r.bytes(end.off, end.size)
	if err != nil {
		return nil, err
	}
	r.window = nil // the local headers shall not overwrite it
	var entries []entry
	for off := int64(0); off < end.size; {
		n := min(end.size-off, entrySize)
		p := all[off:]
		at := end.off + off
		if n < entrySize {
			return nil, r.at(fault.Truncated, at, "the directory ends %d bytes into an entry", n)
		}
		if string(p[:4]) != entrySignature {
			return nil, r.at(fault.Malformed, at, "no entry of the directory where one should begin")
		}
		name, extra, comment := int64(le.Uint16(p[28:])), int64(le.Uint16(p[30:])), int64(le.Uint16(p[32:]))
		whole := entrySize + name + extra + comment
		if whole > end.size-off {
			return nil, r.at(fault.Truncated, at, "an entry of %d bytes, of which the directory has %d", whole, end.size-off)
		}
		e, err := r.entry(p[:whole], at)
		if err != nil {
			return nil, err
		}
		if len(entries) == maxMembers {
			return nil, r.at(fault.Limit, at, "the archive has more than %d members", maxMembers)
		}
		entries = append(entries, e)
		off += whole
	}
	if uint64(len(entries)) != end.count {
		return nil, r.at(fault.Mismatch, end.at, "the end record counts %d members, and the directory has %d", end.count, len(entries))
	}
	return entries, nil
}

// entry takes an entry of the directory apart; p has all of it.
func (r *reader) entry(p []byte, at int64) (entry, error) {
	var e entry
	flags, method := le.Uint16(p[8:]), le.Uint16(p[10:])
	packed, size := le.Uint32(p[20:]), le.Uint32(p[24:])
	name, extra := int(le.Uint16(p[28:])), int(le.Uint16(p[30:]))
	disk, attributes, local := le.Uint16(p[34:]), le.Uint32(p[38:]), le.Uint32(p[42:])
	e.raw, e.flags, e.at = p[entrySize:][:name], flags, r.base+at
	e.Name, e.Method, e.CRC = decodeName(e.raw, flags), method, le.Uint32(p[16:])
	if err := Holds(e.Name); err != nil {
		return e, fault.At(fault.KindOf(err), r.base+at+entrySize, "%s", fault.Reason(err))
	}
	switch {
	case flags&(encrypted|strong|maskedHeader) != 0:
		return e, r.at(fault.Unsupported, at+8, "the member %.80q is encrypted", e.Name)
	case flags&patched != 0:
		return e, r.at(fault.Unsupported, at+8, "the member %.80q is a patch to another archive's", e.Name)
	}
	// The upper half of the attributes is the file's mode where the archive was made on Unix, and zero or made up by
	// those that mean Unix where it was not. The type may be left out.
	const types, regular, folder = 0o170000, 0o100000, 0o040000
	if mode := attributes >> 16 & types; mode != 0 && mode != regular && mode != folder {
		what := "no regular file"
		if mode == 0o120000 {
			what = "a symbolic link"
		}
		return e, r.at(fault.Unsupported, at+38, "the member %.80q is %s", e.Name, what)
	}
	wide := []*int64{escaped(size, &e.Size), escaped(packed, &e.Packed), escaped(local, &e.local)}
	part := int64(0)
	if disk == escape16 {
		wide = append(wide, &part)
	} else {
		part = int64(disk)
	}
	if err := r.extra(p[entrySize+name:][:extra], at+entrySize+int64(name), wide, e.Name); err != nil {
		return e, err
	}
	switch {
	case part != 0:
		return e, r.at(fault.Unsupported, at+34, "the member %.80q is in part %d of several", e.Name, part)
	case e.local > r.size-localSize:
		return e, r.at(fault.Truncated, at+42, "the local header of %.80q would stand at %d, in an archive of %d bytes", e.Name, e.local, r.size)
	case e.Packed > r.size:
		return e, r.at(fault.Truncated, at+20, "the member %.80q would have %d bytes, in an archive of %d", e.Name, e.Packed, r.size)
	case method == Stored && e.Size != e.Packed:
		return e, r.at(fault.Mismatch, at+20, "the member %.80q is stored, and has %d bytes packed and %d unpacked", e.Name, e.Packed, e.Size)
	case method == Deflated && e.Size/deflateRatio > e.Packed:
		return e, r.at(fault.Mismatch, at+20, "the member %.80q would unpack %d bytes from %d: no deflate stream holds so many", e.Name, e.Size, e.Packed)
	case strings.HasSuffix(e.Name, "/") && (e.Size != 0 || e.Packed != 0):
		return e, r.at(fault.Malformed, at+20, "the folder %.80q has %d bytes", e.Name, e.Size)
	}
	return e, nil
}

// escaped sets *to to a 32-bit value, or returns to where its value is in the zip64 field.
func escaped(v uint32, to *int64) *int64 {
	if v == escape32 {
		return to
	}
	*to = int64(v)
	return nil
}

// extra checks the extra fields, and takes from the zip64 one the values of wide that are not nil, in order. The last
// of four is the number of a part, which has 4 bytes.
func (r *reader) extra(p []byte, at int64, wide []*int64, name string) error {
	found := false
	for off := 0; off < len(p); {
		if len(p)-off < 4 {
			return r.at(fault.Malformed, at+int64(off), "the extra fields of %.80q end in %d bytes that are none", name, len(p)-off)
		}
		id, n := le.Uint16(p[off:]), int(le.Uint16(p[off+2:]))
		field, fieldAt := p[off+4:], at+int64(off)
		if n > len(field) {
			return r.at(fault.Malformed, fieldAt, "an extra field of %.80q claims %d bytes, and %d are left", name, n, len(field))
		}
		field = field[:n]
		off += 4 + n
		switch id {
		case zip64Extra:
			if found {
				return r.at(fault.Duplicate, fieldAt, "%.80q has two zip64 fields", name)
			}
			found = true
			if err := r.zip64(field, fieldAt, wide, name); err != nil {
				return err
			}
		case unicodeExtra: // version, CRC-32 of the stored name, name
			if len(field) < 5 || string(field[5:]) != name {
				return r.at(fault.Mismatch, fieldAt, "the member %.80q has another name in its extra fields", name)
			}
		}
	}
	for _, to := range wide {
		if to != nil && !found {
			return r.at(fault.Malformed, at, "a size or offset of %.80q is in a zip64 field, and there is none", name)
		}
	}
	return nil
}

// zip64 takes the values of wide that are not nil from a zip64 field. The specification has the field hold those
// alone; some writers put both sizes there even where one fits, so what follows is let pass.
func (r *reader) zip64(field []byte, at int64, wide []*int64, name string) error {
	for i, to := range wide {
		if to == nil {
			continue
		}
		n := 8
		if i == 3 {
			n = 4
		}
		if len(field) < n {
			return r.at(fault.Malformed, at, "the zip64 field of %.80q is too short for what it stands for", name)
		}
		v := uint64(le.Uint32(field))
		if n == 8 {
			v = le.Uint64(field)
		}
		if v > math.MaxInt64 {
			return r.at(fault.Overflow, at, "the zip64 field of %.80q has %d", name, v)
		}
		*to = int64(v)
		field = field[n:]
	}
	return nil
}

// locals compares each entry with its local header and its data descriptor, and that together they fill the archive up
// to the directory. It sets the members' Off.
func (r *reader) locals(entries []entry, directory int64) error {
	order := make([]*entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortStableFunc(order, func(a, b *entry) int { return cmp.Compare(a.local, b.local) })
	at := int64(0)
	for i, e := range order {
		switch {
		case e.local < at:
			return r.at(fault.Extent, e.local, "the members %.80q and %.80q overlap", order[i-1].Name, e.Name)
		case e.local > at && i == 0:
			return r.at(fault.Extent, 0, "%d bytes before the first member", e.local)
		case e.local > at:
			return r.at(fault.Extent, at, "%d bytes between the members %.80q and %.80q", e.local-at, order[i-1].Name, e.Name)
		}
		next := directory
		if i+1 < len(order) {
			next = order[i+1].local
		}
		end, err := r.local(e, directory, next)
		if err != nil {
			return err
		}
		at = end
	}
	if at != directory {
		return r.at(fault.Extent, at, "%d bytes between the last member and the directory", directory-at)
	}
	return nil
}

// local compares an entry with its local header, and returns where the member ends. next is where what follows it
// begins.
func (r *reader) local(e *entry, directory, next int64) (end int64, err error) {
	off := e.local
	if off > directory-localSize {
		return 0, r.at(fault.Truncated, off, "the local header of %.80q would reach into the directory at %d", e.Name, r.base+directory)
	}
	p, err := r.bytes(off, localSize)
	if err != nil {
		return 0, err
	}
	if string(p[:4]) != localSignature {
		return 0, r.at(fault.Malformed, off, "no local header of %.80q where the directory has it", e.Name)
	}
	flags, method, crc := le.Uint16(p[6:]), le.Uint16(p[8:]), le.Uint32(p[14:])
	packed, size := le.Uint32(p[18:]), le.Uint32(p[22:])
	name, extra := int64(le.Uint16(p[26:])), int64(le.Uint16(p[28:]))
	start := off + localSize + name + extra
	if start > directory || e.Packed > directory-start {
		return 0, r.at(fault.Truncated, off, "the member %.80q would end past the beginning of the directory at %d", e.Name, r.base+directory)
	}
	if p, err = r.bytes(off, localSize+name+extra); err != nil {
		return 0, err
	}
	switch {
	case string(p[localSize:][:name]) != string(e.raw):
		return 0, r.at(fault.Mismatch, off+localSize, "the directory calls a member %.80q, its local header %.80q", e.Name, p[localSize:][:name])
	case flags != e.flags:
		return 0, r.at(fault.Mismatch, off+6, "the flags of %.80q are %#x in the directory and %#x in its local header", e.Name, e.flags, flags)
	case method != e.Method:
		return 0, r.at(fault.Mismatch, off+8, "the method of %.80q is %d in the directory and %d in its local header", e.Name, e.Method, method)
	}
	var here struct{ size, packed int64 }
	wide := []*int64{escaped(size, &here.size), escaped(packed, &here.packed)}
	if err := r.extra(p[localSize+name:], off+localSize+name, wide, e.Name); err != nil {
		return 0, err
	}
	e.Off = r.base + start
	end = start + e.Packed
	later := flags&streamed != 0 // then zeros may stand here
	same := func(what string, at, here, there int64) error {
		if here == there || later && here == 0 {
			return nil
		}
		return r.at(fault.Mismatch, off+at, "the %s of %.80q is %d in the directory and %d in its local header", what, e.Name, there, here)
	}
	if err := cmp.Or(same("CRC-32", 14, int64(crc), int64(e.CRC)), same("packed size", 18, here.packed, e.Packed), same("size", 22, here.size, e.Size)); err != nil {
		return 0, err
	}
	if !later {
		return end, nil
	}
	return r.descriptor(e, end, next)
}

// descriptor compares the data descriptor at off with the member's entry. Its signature is optional and its sizes have
// 4 or 8 bytes: which, is told by where the next thing begins.
func (r *reader) descriptor(e *entry, off, next int64) (end int64, err error) {
	n := next - off
	wide, signed := n == 24 || n == 20, n == 24 || n == 16
	if !wide && !signed && n != 12 {
		return 0, r.at(fault.Extent, off, "%d bytes after the data of %.80q, where a data descriptor of 12 to 24 stands", n, e.Name)
	}
	p, err := r.bytes(off, n)
	if err != nil {
		return 0, err
	}
	if signed {
		if string(p[:4]) != descriptorSignature {
			return 0, r.at(fault.Malformed, off, "no data descriptor of %.80q after its data", e.Name)
		}
		p = p[4:]
	}
	crc, packed, size := le.Uint32(p), uint64(0), uint64(0)
	if wide {
		packed, size = le.Uint64(p[4:]), le.Uint64(p[12:])
	} else {
		packed, size = uint64(le.Uint32(p[4:])), uint64(le.Uint32(p[8:]))
	}
	if crc != e.CRC || packed != uint64(e.Packed) || size != uint64(e.Size) {
		return 0, r.at(fault.Mismatch, off, "the data descriptor of %.80q has CRC-32 %08x, %d bytes of %d, the directory %08x, %d of %d",
			e.Name, crc, packed, size, e.CRC, e.Packed, e.Size)
	}
	return next, nil
}
