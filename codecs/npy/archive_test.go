package npy

import (
	stdzip "archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// part is a member to be: its name, its bytes, and whether they are deflated.
type part struct {
	name     string
	data     []byte
	deflated bool
}

// archive is a zip as another writer makes it.
func archive(t testing.TB, parts ...part) *stored {
	t.Helper()
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	for _, p := range parts {
		h := &stdzip.FileHeader{Name: p.name, Method: stdzip.Store}
		if p.deflated {
			h.Method = stdzip.Deflate
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &stored{data: b.Bytes()}
}

// ones is an array file of this type and order with data of its own.
func ones(descr, fortran, shape string, data string) []byte {
	return file(dictOf(descr, fortran, shape), []byte(data)).data
}

// memory keeps what comes only as a whole.
type memory map[layout.ID]*stored

func (m memory) Budget() int64 { return 16 << 20 }

func (m memory) Keep(ctx context.Context, id layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	if m[id] == nil {
		b := make(bytesAt, size)
		if err := build(ctx, b); err != nil {
			return nil, err
		}
		m[id] = &stored{data: b}
	}
	return m[id], nil
}

type bytesAt []byte

func (b bytesAt) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

func read(t testing.TB, f *layout.File) string {
	t.Helper()
	p := make([]byte, f.Size())
	if len(p) > 0 {
		if _, err := f.ReadAt(ctx, memory{}, p, 0); err != nil {
			t.Fatal(err)
		}
	}
	return string(p)
}

func TestReadArchive(t *testing.T) {
	files := folder{"a.npz": archive(t,
		part{"w.npy", ones(`'<i2'`, "False", "(2, 2)", "abcdefgh"), false},
		part{"deep/er:0.npy", ones(`'<i2'`, "False", "(2, 2)", "abcdefgh"), true},
		part{"big.npy", ones(`'>i2'`, "False", "(4,)", "abcdefgh"), false},
		part{"columns.npy", ones(`'<i2'`, "True", "(2, 2)", "abcdefgh"), true},
		part{"no_suffix", ones(`'|i1'`, "False", "()", "a"), true},
		part{"empty.npy", ones(`'<f4'`, "False", "(0, 3)", ""), false},
		part{"text.npy", ones(`'<U2'`, "False", "(1,)", "abcdefgh"), false},
		part{"README.md", []byte("what this is"), true},
		part{"nothing", nil, false},
		part{"folder/", nil, false},
	)}
	m, err := ReadArchive(ctx, files, "a.npz")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, c := range []struct {
		name  string
		dtype model.DType
		shape []int64
		data  string
		plain bool
	}{
		{"w", model.I16, []int64{2, 2}, "abcdefgh", true},
		{"deep/er:0", model.I16, []int64{2, 2}, "abcdefgh", false},
		{"big", model.I16, []int64{4}, "badcfehg", false},
		{"columns", model.I16, []int64{2, 2}, "abefcdgh", false},
		{"no_suffix", model.I8, []int64{}, "a", false},
		{"empty", model.F32, []int64{0, 3}, "", true},
	} {
		if i >= len(m.Tensors) {
			t.Fatalf("%d tensors", len(m.Tensors))
		}
		x := m.Tensors[i]
		names = append(names, x.Name)
		if got := read(t, x.Data); x.Name != c.name || x.DType != c.dtype || !reflect.DeepEqual(x.Shape, c.shape) || got != c.data || Plain(x) != c.plain {
			t.Errorf("%q is %s %v %q, plain: %v, want %+v", x.Name, x.DType, x.Shape, got, Plain(x), c)
		}
	}
	var left []string
	for _, l := range m.Left {
		left = append(left, l.Name)
	}
	if want := []string{"text", "README.md", "nothing"}; len(m.Tensors) != len(names) || !reflect.DeepEqual(left, want) {
		t.Errorf("tensors %v, left %v", names, m.Left)
	}
	if err := m.Verify(ctx); err != nil {
		t.Error(err)
	}
	if m, err := ReadArchive(ctx, folder{"a.npz": archive(t)}, "a.npz"); err != nil || len(m.Tensors) != 0 || m.Verify != nil {
		t.Errorf("an archive of nothing: %+v, %v", m, err)
	}
}

// TestArchiveRefused: an archive of which a part is wrong, or unsafe, is refused, and the part is named.
func TestArchiveRefused(t *testing.T) {
	good := ones(`'<i2'`, "False", "(4,)", "abcdefgh")
	for _, c := range []struct {
		kind  fault.Kind
		about string
		parts []part
	}{
		{fault.Duplicate, `"a.npy"`, []part{{"a.npy", good, false}, {"a.npy", good, false}}},
		{fault.Duplicate, `"a"`, []part{{"a.npy", good, false}, {"a", good, false}}},
		{fault.Duplicate, `"a.npy.npy"`, []part{{"a.npy", good, false}, {"a.npy.npy", good, false}}},
		{fault.Unsafe, `"o.npy"`, []part{{"a.npy", good, false}, {"o.npy", ones(`'|O'`, "False", "(1,)", "\x80\x02N."), true}}},
		{fault.Unsafe, "a.npy", []part{{"../a.npy", good, false}}},
		{fault.Malformed, `"a.npy"`, []part{{"a.npy", []byte("this is no array"), false}}},
		{fault.Truncated, `"a.npy"`, []part{{"a.npy", good[:len(good)-1], false}}},
		{fault.Extent, `"a.npy"`, []part{{"a.npy", append(bytes.Clone(good), 0), true}}},
		{fault.Malformed, `"a.npy"`, []part{{"a.npy", ones(`'<i2'`, "False", "(-4,)", "abcdefgh"), true}}},
	} {
		s := archive(t, c.parts...)
		_, err := ReadArchive(ctx, folder{"a.npz": s}, "a.npz")
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.about) || !strings.Contains(err.Error(), "a.npz: offset") {
			t.Errorf("%s: %v, want %v", c.about, err, c.kind)
		}
		if c.kind == fault.Unsafe && c.about == `"o.npy"` && fault.Remedy(err) == "" {
			t.Errorf("%v: no remedy", err)
		}
	}
}

// TestArchiveSum: bytes of another CRC-32 than the archive states are not given as an array, stored or deflated.
func TestArchiveSum(t *testing.T) {
	for _, deflated := range []bool{false, true} {
		s := archive(t, part{"a.npy", ones(`'<i2'`, "False", "(400,)", strings.Repeat("abcdefgh", 100)), deflated})
		for _, signature := range []string{"PK\x07\x08", "PK\x01\x02"} { // of the descriptor, and of the directory
			at := bytes.Index(s.data, []byte(signature)) + 4
			if signature == "PK\x01\x02" {
				at += 12
			}
			s.data[at] ^= 1
		}
		m, err := ReadArchive(ctx, folder{"a.npz": s}, "a.npz")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Verify(ctx); !errors.Is(err, fault.Checksum) {
			t.Errorf("deflated %v: verified: %v", deflated, err)
		}
		p := make([]byte, 800)
		if _, err := m.Tensors[0].Data.ReadAt(ctx, memory{}, p, 0); !errors.Is(err, fault.Checksum) {
			t.Errorf("deflated %v: read: %v", deflated, err)
		}
	}
}

func TestSniffArchive(t *testing.T) {
	a := ones(`'<i2'`, "False", "(4,)", "abcdefgh")
	for name, want := range map[string]bool{"a.npy": true, "data.pkl": false, "a.npz": false} {
		if got := SniffArchive(archive(t, part{name, a, false}).data[:64]); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, head := range []string{"", "PK", "PK\x03\x04", strings.Repeat("x", 64)} {
		if SniffArchive([]byte(head)) {
			t.Errorf("%q", head)
		}
	}
}

// FuzzReadArchive: whatever opens can be read to the last byte or says why not, and has the arrays that archive/zip and
// Decode find.
func FuzzReadArchive(f *testing.F) {
	f.Add(archive(f, part{"w.npy", ones(`'<i2'`, "False", "(2, 2)", "abcdefgh"), false}, part{"v.npy", ones(`'>i2'`, "True", "(2, 2)", "abcdefgh"), true}).data)
	f.Add(archive(f, part{"README", []byte("x"), true}, part{"e.npy", ones(`'<f4'`, "False", "(0, 3)", ""), false}).data)
	if names, err := filepath.Glob("testdata/*.npz"); err == nil {
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadArchive(ctx, folder{"a.npz": &stored{data: data}}, "a.npz")
		if err != nil {
			if fault.KindOf(err) == fault.Unknown {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		z, err := stdzip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("read, and archive/zip says %v", err)
		}
		for _, x := range m.Tensors {
			if x.Data.Size() > 1<<20 {
				continue
			}
			p := make([]byte, x.Data.Size())
			if _, err := x.Data.ReadAt(ctx, memory{}, p, 0); err != nil && err != io.EOF {
				if fault.KindOf(err) == fault.Unknown {
					t.Fatalf("%q: an error of no kind: %v", x.Name, err)
				}
				continue
			}
			in, err := z.Open(x.Name + ".npy")
			if err != nil {
				if in, err = z.Open(x.Name); err != nil {
					continue // names that fs.FS does not take
				}
			}
			whole, err := io.ReadAll(in)
			if err != nil {
				continue // data that nothing of the array depends on
			}
			s := &stored{data: whole}
			h, err := Decode(ctx, s)
			if err != nil {
				t.Fatalf("%q: by itself: %v", x.Name, err)
			}
			want, err := h.data(layout.Stored(s), x.Name)
			if err != nil || read(t, want) != string(p) {
				t.Fatalf("%q: other bytes: %v", x.Name, err)
			}
		}
	})
}

// TestMalformedArchives: each archive of EXPECT.tsv is refused for what is wrong with it, each odd one read.
func TestMalformedArchives(t *testing.T) {
	dir := os.Getenv("ISOMERFS_TEST_MALFORMED")
	if dir == "" {
		t.Skip("ISOMERFS_TEST_MALFORMED names no folder of models")
	}
	table, err := os.Open(filepath.Join(dir, "EXPECT.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows := csv.NewReader(table)
	rows.Comma, rows.LazyQuotes = '\t', true
	all, err := rows.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, row := range all[1:] {
		if !MatchArchive(row[0]) {
			continue
		}
		count++
		data, err := os.ReadFile(filepath.Join(dir, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadArchive(ctx, folder{"a.npz": {data: data}}, "a.npz")
		got := "refuse " + fault.KindOf(err).String()
		if err == nil {
			got = "open " + string(rune('0'+len(m.Tensors)))
		}
		if got != row[2] {
			t.Errorf("%s (%s): %s, %v, want %s", row[0], row[1], got, err, row[2])
		}
	}
	if count == 0 {
		t.Error("no case")
	}
}
