package zip

import (
	stdzip "archive/zip"
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// plain is an archive of the members a and b/c, stored, without descriptors, zip64 fields or comment:
//
//	local a: 0, data 31, local b/c: 41, data 74, directory: 79, entry b/c: 126, end record: 175
func plain() []byte {
	var b, dir []byte
	for _, m := range []struct{ name, data string }{{"a", "first data"}, {"b/c", "other"}} {
		off := len(b)
		fixed := appendAll(nil, uint16(20), uint16(0), uint16(Stored), uint16(0), uint16(33), crc32.ChecksumIEEE([]byte(m.data)),
			uint32(len(m.data)), uint32(len(m.data)), uint16(len(m.name)), uint16(0))
		b = append(append(append(append(b, localSignature...), fixed...), m.name...), m.data...)
		dir = append(appendAll(append(dir, entrySignature...), uint16(20)), fixed...)
		dir = append(appendAll(dir, uint16(0), uint16(0), uint16(0), uint32(0), uint32(off)), m.name...)
	}
	at := len(b)
	b = append(append(b, dir...), endSignature...)
	return appendAll(b, uint16(0), uint16(0), uint16(2), uint16(2), uint32(len(dir)), uint32(at), uint16(0))
}

const (
	secondLocal = 41
	directoryAt = 79
	secondEntry = 126
	endAt       = 175
)

// set puts bytes into an archive.
func set(b []byte, at int, p ...byte) []byte {
	copy(b[at:], p)
	return b
}

// insert puts bytes between those of an archive, and tells the end record of so many more in the directory.
func insert(b []byte, at int, directory int, p ...byte) []byte {
	b = slices.Insert(b, at, p...)
	end := bytes.LastIndex(b, []byte(endSignature))
	le.PutUint32(b[end+12:], le.Uint32(b[end+12:])+uint32(directory))
	if at < directoryAt {
		le.PutUint32(b[end+16:], le.Uint32(b[end+16:])+uint32(len(p)))
	}
	return b
}

// extraField is put at the end of the first entry of the directory, and counted there.
func extraField(b []byte, p ...byte) []byte {
	b = insert(b, secondEntry, len(p), p...)
	b[directoryAt+30] = byte(len(p))
	return b
}

// TestBroken: each way in which an archive can contradict itself, and what it is called.
func TestBroken(t *testing.T) {
	if _, err := Open(ctx, source("plain", plain()), 0, int64(len(plain()))); err != nil {
		t.Fatal(err)
	}
	u16 := func(n uint16) []byte { return appendAll(nil, n) }
	u32 := func(n uint32) []byte { return appendAll(nil, n) }
	both := func(b []byte, local, entry int, p ...byte) []byte {
		set(b, entry, p...)
		return set(b, local, p...)
	}
	for name, c := range map[string]struct {
		broken []byte
		kind   fault.Kind
		off    int64
	}{
		"nothing":                            {nil, fault.Malformed, 0},
		"text":                               {[]byte("this is no archive at all"), fault.Malformed, 0},
		"end record cut":                     {plain()[:endAt+10], fault.Truncated, endAt + 10},
		"no end record":                      {plain()[:endAt], fault.Truncated, endAt},
		"bytes after the end":                {append(plain(), 0), fault.Extent, endAt + 22},
		"comment cut":                        {set(plain(), endAt+20, 5), fault.Truncated, endAt + 22},
		"bytes before the first member":      {append([]byte("#!/bin/sh\n"), plain()...), fault.Extent, -1},
		"one of two parts":                   {set(plain(), endAt+4, 1), fault.Unsupported, endAt + 4},
		"members in other parts":             {set(plain(), endAt+8, 1), fault.Mismatch, endAt + 8},
		"one member counted":                 {set(plain(), endAt+8, 1, 0, 1, 0), fault.Mismatch, endAt},
		"three members counted":              {set(plain(), endAt+8, 3, 0, 3, 0), fault.Mismatch, endAt},
		"directory shorter":                  {set(plain(), endAt+12, u32(95)...), fault.Extent, -1},
		"directory longer":                   {set(plain(), endAt+12, u32(97)...), fault.Truncated, -1},
		"directory past the end":             {set(plain(), endAt+16, u32(1<<30)...), fault.Truncated, -1},
		"no entry":                           {set(plain(), directoryAt, 'Q'), fault.Malformed, directoryAt},
		"name past the directory":            {set(plain(), secondEntry+28, u16(400)...), fault.Truncated, secondEntry},
		"encrypted":                          {both(plain(), 6, directoryAt+8, 1), fault.Unsupported, directoryAt + 8},
		"strong encryption":                  {both(plain(), 6, directoryAt+8, 64), fault.Unsupported, directoryAt + 8},
		"headers masked":                     {both(plain(), 7, directoryAt+9, 32), fault.Unsupported, directoryAt + 8},
		"a patch":                            {both(plain(), 6, directoryAt+8, 32), fault.Unsupported, directoryAt + 8},
		"a symbolic link":                    {set(plain(), directoryAt+40, 0xff, 0xa1), fault.Unsupported, directoryAt + 38},
		"a device":                           {set(plain(), directoryAt+40, 0xff, 0x21), fault.Unsupported, directoryAt + 38},
		"member in another part":             {set(plain(), directoryAt+34, 1), fault.Unsupported, directoryAt + 34},
		"a name of nothing":                  {set(plain(), directoryAt+28, 0), fault.Malformed, directoryAt + 46},
		"a name with NUL":                    {both(plain(), secondLocal+31, secondEntry+47, 0), fault.Malformed, secondEntry + 46},
		"a name with a backslash":            {both(plain(), secondLocal+31, secondEntry+47, '\\'), fault.Malformed, secondEntry + 46},
		"an absolute name":                   {both(plain(), secondLocal+30, secondEntry+46, '/'), fault.Unsafe, secondEntry + 46},
		"a name that leads out":              {both(plain(), secondLocal+30, secondEntry+46, '.', '.', '/'), fault.Unsafe, secondEntry + 46},
		"a name that is no UTF-8":            {both(both(plain(), 30, directoryAt+46, 0xff), 7, directoryAt+9, 8), fault.Malformed, directoryAt + 46},
		"a folder with bytes":                {both(plain(), secondLocal+32, secondEntry+48, '/'), fault.Malformed, secondEntry + 20},
		"one name twice":                     {twice(), fault.Duplicate, secondEntry - 2},
		"stored, of two sizes":               {set(plain(), directoryAt+24, 9), fault.Mismatch, directoryAt + 20},
		"deflated beyond all bounds":         {set(set(plain(), directoryAt+10, 8), directoryAt+24, 0, 0, 1), fault.Mismatch, directoryAt + 20},
		"larger than the archive":            {set(set(plain(), directoryAt+20, 0, 0, 1), directoryAt+24, 0, 0, 1), fault.Truncated, directoryAt + 20},
		"larger than its place":              {set(set(plain(), secondEntry+20, 6), secondEntry+24, 6), fault.Truncated, secondLocal},
		"smaller than its place":             {both(both(plain(), secondLocal+18, secondEntry+20, 4), secondLocal+22, secondEntry+24, 4), fault.Extent, directoryAt - 1},
		"over the next":                      {both(both(plain(), 18, directoryAt+20, 20), 22, directoryAt+24, 20), fault.Extent, secondLocal},
		"local header past the end":          {set(plain(), secondEntry+42, u32(1<<20)...), fault.Truncated, secondEntry + 42},
		"local header in the directory":      {set(plain(), secondEntry+42, byte(directoryAt)), fault.Extent, -1},
		"local header missing":               {set(plain(), secondLocal, 'Q'), fault.Malformed, secondLocal},
		"two entries, one header":            {set(plain(), secondEntry+42, 0), fault.Extent, -1},
		"another name in the local header":   {set(plain(), 30, 'z'), fault.Mismatch, 30},
		"another method":                     {set(plain(), 8, 8), fault.Mismatch, 8},
		"other flags":                        {set(plain(), 6, 2), fault.Mismatch, 6},
		"another CRC-32":                     {set(plain(), 14, ^plain()[14]), fault.Mismatch, 14},
		"another packed size":                {set(plain(), 18, 9), fault.Mismatch, 18},
		"another size":                       {set(plain(), 22, 9), fault.Mismatch, 22},
		"no CRC-32 and no descriptor":        {set(plain(), 14, 0, 0, 0, 0), fault.Mismatch, 14},
		"a descriptor that is not there":     {both(plain(), 6, directoryAt+8, 8), fault.Extent, 41},
		"a descriptor of another CRC-32":     {described(0, 1), fault.Mismatch, 41},
		"a descriptor of another size":       {described(8, 1), fault.Mismatch, 41},
		"a descriptor of another signature":  {described(-4, 'Q'), fault.Malformed, 41},
		"extra field past its space":         {extraField(plain(), 1, 0, 9, 0), fault.Malformed, secondEntry},
		"extra field of two bytes":           {extraField(plain(), 1, 0), fault.Malformed, secondEntry},
		"another name in the extra fields":   {extraField(plain(), 0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, 'b'), fault.Mismatch, secondEntry},
		"zip64 field missing":                {set(plain(), directoryAt+24, 255, 255, 255, 255), fault.Malformed, -1},
		"zip64 field too short":              {set(extraField(plain(), 1, 0, 4, 0, 9, 0, 0, 0), directoryAt+24, 255, 255, 255, 255), fault.Malformed, secondEntry},
		"zip64 field twice":                  {extraField(plain(), 1, 0, 0, 0, 1, 0, 0, 0), fault.Duplicate, secondEntry + 4},
		"zip64 size beyond 63 bits":          {set(extraField(plain(), 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 128), directoryAt+24, 255, 255, 255, 255), fault.Overflow, secondEntry},
		"zip64 locator past the end":         {zip64End(func(b []byte) { b[56+8+3] = 1 }), fault.Truncated, -1},
		"zip64 locator short of its record":  {zip64End(func(b []byte) { b[56+8]-- }), fault.Extent, 0},
		"zip64 end record of another length": {zip64End(func(b []byte) { b[4]++ }), fault.Extent, -1},
		"zip64 end record of another part":   {zip64End(func(b []byte) { b[16] = 1 }), fault.Unsupported, -1},
		"zip64 end record of other counts":   {zip64End(func(b []byte) { b[24], b[32] = 3, 3 }), fault.Mismatch, -1},
		"zip64 end record of 2^63 members":   {zip64End(func(b []byte) { b[24+7], b[32+7] = 128, 128 }), fault.Mismatch, -1},
		"zip64 directory past the end":       {zip64End(func(b []byte) { b[40+5] = 1 }), fault.Truncated, -1},
	} {
		if c.broken == nil {
			c.broken = []byte{}
		}
		_, err := Open(ctx, source(name, c.broken), 0, int64(len(c.broken)))
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != c.kind || c.off >= 0 && e.Off != c.off || e.Off < 0 {
			t.Errorf("%s: %v, want %v at %d", name, err, c.kind, c.off)
		}
	}
}

// twice is an archive of two members called a.
func twice() []byte {
	b := plain()
	b = slices.Delete(b, secondEntry+46, secondEntry+48)
	b = slices.Delete(b, secondLocal+30, secondLocal+32)
	b[secondLocal+26], b[secondEntry-2+28] = 1, 1
	b[secondLocal+30], b[secondEntry-2+46] = 'a', 'a'
	end := len(b) - endSize
	le.PutUint32(b[end+12:], le.Uint32(b[end+12:])-2)
	le.PutUint32(b[end+16:], le.Uint32(b[end+16:])-2)
	return b
}

// described is plain with a data descriptor behind the first member, of which the byte at a place after its signature
// is another.
func described(at int, plus byte) []byte {
	b := plain()
	d := append([]byte(descriptorSignature), b[14:26]...)
	d[at+4] += plus
	b = insert(b, secondLocal, 0, d...)
	b[6], b[directoryAt+16+8] = 8, 8
	le.PutUint32(b[secondEntry+16+42:], secondLocal+16)
	return b
}

// zip64End is plain with a zip64 end record, of which something is another.
func zip64End(change func(b []byte)) []byte {
	b := plain()
	end := []byte(end64Signature)
	end = appendAll(end, uint64(44), uint16(45), uint16(45), uint32(0), uint32(0), uint64(2), uint64(2), uint64(endAt-directoryAt), uint64(directoryAt))
	end = append(end, locatorSignature...)
	end = appendAll(end, uint32(0), uint64(endAt), uint32(1))
	change(end)
	return slices.Insert(b, endAt, end...)
}

// TestWellFormed: what is unusual and right.
func TestWellFormed(t *testing.T) {
	comment := append(set(plain(), endAt+20, 3), "abc"...)
	moved := plain()
	entries := bytes.Clone(moved[directoryAt:endAt])
	copy(moved[directoryAt:], entries[47:])
	copy(moved[directoryAt+49:], entries[:47])
	for name, b := range map[string][]byte{
		"plain":                      plain(),
		"with a comment":             comment,
		"with a descriptor":          described(0, 0),
		"with a zip64 end record":    zip64End(func([]byte) {}),
		"directory in another order": moved,
		"with an extra field":        extraField(plain(), 0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, 'a'),
		"with a zip64 field":         set(extraField(plain(), 1, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 0), directoryAt+24, 255, 255, 255, 255),
		"without CRC-32s":            set(set(set(set(plain(), 14, 0, 0, 0, 0), secondLocal+14, 0, 0, 0, 0), directoryAt+16, 0, 0, 0, 0), secondEntry+16, 0, 0, 0, 0),
		"in the middle of a file":    plain(),
	} {
		off := int64(0)
		size := int64(len(b))
		if name == "in the middle of a file" {
			b = append(append(bytes.Repeat([]byte("PK\x05\x06"), 10), b...), "and more"...)
			off = 40
		}
		a, err := Open(ctx, source(name, b), off, size)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := a.Verify(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for member, want := range map[string]string{"a": "first data", "b/c": "other"} {
			m := a.Find(member)
			if m == nil {
				t.Errorf("%s: no %s", name, member)
				continue
			}
			got, err := content(a, m)
			head, headErr := a.Head(ctx, m, 4)
			if err != nil || headErr != nil || string(got) != want || string(head) != want[:4] || m.HasCRC != (name != "without CRC-32s") {
				t.Errorf("%s: %s is %q, %q, %v, %v", name, member, got, head, err, headErr)
			}
		}
		if len(a.Members) != 2 || a.Find("c") != nil {
			t.Errorf("%s: %+v", name, a.Members)
		}
	}
	if _, err := Open(ctx, source("plain", plain()), 10, int64(len(plain()))); !errors.Is(err, fault.Truncated) {
		t.Errorf("an archive that ends past the file: %v", err)
	}
}

// TestNames: names in the old code page, and folders.
func TestNames(t *testing.T) {
	b := set(set(plain(), 30, 0x81), directoryAt+46, 0x81) // ü in code page 437
	a, err := Open(ctx, source("x", b), 0, int64(len(b)))
	if err != nil || a.Find("ü") == nil {
		t.Errorf("%+v, %v", a, err)
	}
	if len(cp437) != 128 {
		t.Errorf("%d letters", len(cp437))
	}
}

// deflated is an archive of one deflated member, whose bytes and stated size a test may change.
func deflated(t *testing.T, name string, data []byte, change func(packed []byte) []byte, size int64, sum uint32) *Archive {
	t.Helper()
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	f, err := w.CreateHeader(&stdzip.FileHeader{Name: name, Method: stdzip.Deflate})
	if err != nil {
		t.Fatal(err)
	}
	f.Write(data)
	w.Close()
	a, err := Open(ctx, source(name, b.Bytes()), 0, int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	packed := change(bytes.Clone(b.Bytes()[a.Members[0].Off:][:a.Members[0].Packed]))
	var raw bytes.Buffer
	w = stdzip.NewWriter(&raw)
	f, err = w.CreateRaw(&stdzip.FileHeader{Name: name, Method: stdzip.Deflate, CRC32: sum, CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(size)})
	if err != nil {
		t.Fatal(err)
	}
	f.Write(packed)
	w.Close()
	if a, err = Open(ctx, source(name, raw.Bytes()), 0, int64(raw.Len())); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestDeflated: a deflate stream that is broken, too short, too long, followed by something, or of another CRC-32.
func TestDeflated(t *testing.T) {
	data := []byte(strings.Repeat("some data, and the same again: ", 9000))
	n, sum := int64(len(data)), crc32.ChecksumIEEE(data)
	same := func(p []byte) []byte { return p }
	for name, c := range map[string]struct {
		change func([]byte) []byte
		size   int64
		sum    uint32
		kind   fault.Kind
	}{
		"right":           {same, n, sum, fault.Unknown},
		"without a sum":   {same, n, 0, fault.Unknown},
		"another sum":     {same, n, sum + 1, fault.Checksum},
		"too long":        {same, n - 1, sum, fault.Mismatch},
		"too short":       {same, n + 1, sum, fault.Mismatch},
		"broken":          {func(p []byte) []byte { p[0] = 0xff; return p }, n, sum, fault.Malformed},
		"cut":             {func(p []byte) []byte { return p[:len(p)-9] }, n, sum, fault.Truncated},
		"something after": {func(p []byte) []byte { return append(p, 0) }, n, sum, fault.Extent},
	} {
		a := deflated(t, "w", data, c.change, c.size, c.sum)
		m := &a.Members[0]
		got, err := content(a, m)
		whole, wholeErr := a.Bytes(ctx, m, 1<<20)
		verifyErr := a.Verify(ctx)
		for how, err := range map[string]error{"read": err, "whole": wholeErr, "verified": verifyErr} {
			if (err != nil) != (c.kind != fault.Unknown) || err != nil && (fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), `"w"`)) {
				t.Errorf("%s, %s: %v, want %v", name, how, err, c.kind)
			}
		}
		if c.kind == fault.Unknown && (!bytes.Equal(got, data) || !bytes.Equal(whole, data)) {
			t.Errorf("%s: other bytes", name)
		}
		if head, err := a.Head(ctx, m, 20); name != "broken" && (err != nil || string(head) != string(data[:20])) {
			t.Errorf("%s: begins %q, %v", name, head, err)
		}
	}
}

// TestBytesLimits: metadata may be no larger than asked for, nor expand beyond 100 to 1.
func TestBytesLimits(t *testing.T) {
	same := func(p []byte) []byte { return p }
	bomb := make([]byte, 4<<20)
	a := deflated(t, "w", bomb, same, int64(len(bomb)), crc32.ChecksumIEEE(bomb))
	if _, err := a.Bytes(ctx, &a.Members[0], 1<<30); !errors.Is(err, fault.Limit) {
		t.Errorf("a bomb: %v", err)
	}
	if got, err := content(a, &a.Members[0]); err != nil || len(got) != len(bomb) { // what a tensor of zeros is
		t.Errorf("as data: %v", err)
	}
	small := make([]byte, 1<<20)
	a = deflated(t, "w", small, same, int64(len(small)), crc32.ChecksumIEEE(small))
	if _, err := a.Bytes(ctx, &a.Members[0], 1<<30); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	if _, err := a.Bytes(ctx, &a.Members[0], 1000); !errors.Is(err, fault.Limit) {
		t.Errorf("more than asked for: %v", err)
	}
}

// TestMethods: a member packed in another way is listed, and Unsupported when it is wanted.
func TestMethods(t *testing.T) {
	b := set(set(plain(), 8, 12), directoryAt+10, 12) // bzip2
	a, err := Open(ctx, source("x", b), 0, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error { _, err := a.File(a.Find("a")); return err }(),
		func() error { _, err := a.Bytes(ctx, a.Find("a"), 100); return err }(),
		func() error { _, err := a.Head(ctx, a.Find("a"), 4); return err }(),
	} {
		if !errors.Is(err, fault.Unsupported) || fault.Remedy(err) == "" {
			t.Errorf("%v", err)
		}
	}
	if got, err := content(a, a.Find("b/c")); err != nil || string(got) != "other" {
		t.Errorf("the other member: %q, %v", got, err)
	}
	if err := a.Verify(ctx); err != nil {
		t.Error(err)
	}
}

// TestOpenCost: to open an archive of many large members reads some hundred bytes of each.
func TestOpenCost(t *testing.T) {
	var entries []Entry
	big := source("w", make([]byte, 30_000))
	for i := range 2000 {
		entries = append(entries, Entry{Name: strings.Repeat("n", 40) + string(rune(0x4e00+i)), Data: layout.Stored(big), Align: 64})
	}
	f, err := Write(Torch, entries...)
	if err != nil {
		t.Fatal(err)
	}
	data, err := bytesOf(f)
	if err != nil {
		t.Fatal(err)
	}
	s := source("x", data)
	if _, err := Open(ctx, s, 0, s.Size()); err != nil {
		t.Fatal(err)
	}
	if s.read > 2000*700+1<<17 {
		t.Errorf("%d bytes of %d were read", s.read, s.Size())
	}
}

// TestFixtures: what other writers make is read as archive/zip reads it.
func TestFixtures(t *testing.T) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, []byte(localSignature)) || strings.HasSuffix(name, ".head") {
			continue
		}
		count++
		a, err := Open(ctx, source(name, data), 0, int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		std, err := stdzip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		same(t, name, a, std)
	}
	if count < 5 {
		t.Errorf("%d archives", count)
	}
}
