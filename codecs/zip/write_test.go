package zip

import (
	stdzip "archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// virtual is a layout as a source.
type virtual struct {
	*layout.File
	ws workspace
}

func (v *virtual) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return v.File.ReadAt(ctx, &v.ws, p, off)
}
func (v *virtual) String() string { return "virtual.zip" }

// readerAt is a layout as io.ReaderAt.
type readerAt struct{ *layout.File }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.File.ReadAt(ctx, nil, p, off) }

func random(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// TestWriteRead: what is written reads back, by this package and by archive/zip, which compares the CRC-32s; data lies
// where it was asked to.
func TestWriteRead(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		style := Style(r.IntN(2))
		var entries []Entry
		content := map[string][]byte{}
		for i := range r.IntN(8) {
			name := fmt.Sprintf("%s%d", []string{"a", "dir/b", "ünï/ç", "dense/kernel:0", strings.Repeat("x", 300)}[r.IntN(5)], i)
			b := random(r, []int{0, 1, 100, 70_000}[r.IntN(4)])
			content[name] = b
			data := layout.Bytes(b)
			if r.IntN(2) == 0 {
				data = layout.Stored(source(name, b))
			}
			entries = append(entries, Entry{name, data, []int64{0, 1, 8, 64, 4096}[r.IntN(5)]})
		}
		f, err := Write(style, entries...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Open(ctx, &virtual{File: f}, 0, f.Size())
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, f)
		}
		if err := a.Verify(ctx); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(a.Members) != len(entries) {
			t.Fatalf("seed %d: %d members of %d", seed, len(a.Members), len(entries))
		}
		for i, e := range entries {
			m := a.Members[i]
			got, err := a.Bytes(ctx, &m, 1<<20)
			if m.Name != e.Name || err != nil || !bytes.Equal(got, content[e.Name]) || e.Align > 1 && m.Off%e.Align != 0 || m.CRC != crc32.ChecksumIEEE(got) || a.Find(e.Name).Off != m.Off {
				t.Fatalf("seed %d: %q: %+v, %v", seed, e.Name, m, err)
			}
		}
		std, err := stdzip.NewReader(readerAt{f}, f.Size())
		if err != nil {
			t.Fatalf("seed %d: archive/zip: %v", seed, err)
		}
		for i, file := range std.File {
			r, err := file.Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || file.Name != entries[i].Name || !bytes.Equal(got, content[file.Name]) {
				t.Fatalf("seed %d: archive/zip: %q: %v", seed, file.Name, err)
			}
		}
	}
}

// TestWriteLarge: members that begin or end beyond 4 GiB, and more of them than 16 bits count.
func TestWriteLarge(t *testing.T) {
	zeros := func(n int64) *layout.File {
		f, err := layout.New(layout.Zeros(n))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, style := range []Style{NumPy} { // Torch: TestTorchLarge
		f, err := Write(style, Entry{"large", zeros(1<<32 + 5), 64}, Entry{"far", layout.Bytes([]byte("abc")), 64}, Entry{"edge", zeros(escape32), 0})
		if err != nil {
			t.Fatal(err)
		}
		a, err := Open(ctx, &virtual{File: f}, 0, f.Size())
		if err != nil {
			t.Fatalf("style %d: %v", style, err)
		}
		if a.Members[0].Size != 1<<32+5 || a.Members[1].Off < 1<<32 || a.Members[1].Off%64 != 0 || a.Members[2].Size != escape32 {
			t.Errorf("style %d: %+v", style, a.Members)
		}
		if b, err := a.Bytes(ctx, a.Find("far"), 10); err != nil || string(b) != "abc" {
			t.Errorf("style %d: %q, %v", style, b, err)
		}
		std, err := stdzip.NewReader(readerAt{f}, f.Size())
		if err != nil {
			t.Fatal(err)
		}
		if off, err := std.File[1].DataOffset(); err != nil || off != a.Members[1].Off || std.File[2].UncompressedSize64 != escape32 {
			t.Errorf("style %d: archive/zip: %d, %v", style, off, err)
		}

		many := make([]Entry, escape16+5)
		for i := range many {
			many[i] = Entry{Name: fmt.Sprint(i), Data: layout.Bytes(nil)}
		}
		if f, err = Write(style, many...); err != nil {
			t.Fatal(err)
		}
		if a, err = Open(ctx, &virtual{File: f}, 0, f.Size()); err != nil || len(a.Members) != len(many) || a.Members[escape16].Name != fmt.Sprint(escape16) {
			t.Errorf("style %d: %v", style, err)
		}
	}
}

// TestWriteOnce: whoever reads the archive from its end, and then from its beginning, has each member's bytes read once
// for its CRC-32 and once for itself.
func TestWriteOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, backwards := range []bool{false, true} {
		var sources []*stored
		var entries []Entry
		var total int64
		for i := range 300 {
			s := source(fmt.Sprint("w", i), random(r, 10_000))
			sources = append(sources, s)
			entries = append(entries, Entry{s.name, layout.Stored(s), 64})
			total += s.Size()
		}
		read := func() (n int64) {
			for _, s := range sources {
				n += s.read
				s.read = 0
			}
			return n
		}
		f, err := Write(Torch, entries...)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, f.Size())
		half := f.Size() / 2
		if backwards {
			f.ReadAt(ctx, nil, p[f.Size()-10_000:], f.Size()-10_000)
			f.ReadAt(ctx, nil, p[f.Size()-20_000:], f.Size()-20_000)
			if n := read(); n < total || n > total+10_000 {
				t.Errorf("the end alone reads %d bytes of %d", n, total)
			}
		}
		f.ReadAt(ctx, nil, p[:half], 0)
		f.ReadAt(ctx, nil, p[half:], half)
		if n := read(); n > total+10_000 {
			t.Errorf("reads %d bytes of %d", n, total)
		}
	}
}

// TestWriteRefused: no archive is written that would not be read.
func TestWriteRefused(t *testing.T) {
	data := layout.Bytes([]byte("x"))
	for _, c := range []struct {
		entries []Entry
		kind    fault.Kind
	}{
		{[]Entry{{"a", data, 0}, {"b", data, 0}, {"a", data, 0}}, fault.Duplicate},
		{[]Entry{{"../a", data, 0}}, fault.Unsafe},
		{[]Entry{{"a/../../b", data, 0}}, fault.Unsafe},
		{[]Entry{{"/a", data, 0}}, fault.Unsafe},
		{[]Entry{{"a\\b", data, 0}}, fault.Malformed},
		{[]Entry{{"a\x00", data, 0}}, fault.Malformed},
		{[]Entry{{"a\xff", data, 0}}, fault.Malformed},
		{[]Entry{{"", data, 0}}, fault.Malformed},
		{[]Entry{{"a/", data, 0}}, fault.Malformed},
		{[]Entry{{strings.Repeat("a", 70_000), data, 0}}, fault.Limit},
		{[]Entry{{"a", data, 1 << 20}}, fault.Usage},
	} {
		if _, err := Write(NumPy, c.entries...); !errors.Is(err, c.kind) {
			t.Errorf("%.40q: %v, want %v", c.entries[0].Name, err, c.kind)
		}
	}
}
