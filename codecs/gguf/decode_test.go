package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// draft is a file in the making, in either order of bytes.
type draft struct {
	order   binary.ByteOrder
	version uint32
	tensors int64 // how many it says there are; -1: as many as there are
	keys    int64
	kvs     [][]byte
	infos   [][]byte
	align   int
	data    []byte
}

func newDraft() *draft {
	return &draft{order: binary.LittleEndian, version: 3, tensors: -1, keys: -1, align: 32}
}

func (d *draft) pack(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			_ = binary.Write(&b, d.order, uint64(len(v)))
			b.WriteString(v)
		case []byte:
			b.Write(v)
		case int:
			_ = binary.Write(&b, d.order, uint32(v))
		default:
			if err := binary.Write(&b, d.order, v); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

func (d *draft) key(name string, parts ...any) *draft {
	d.kvs = append(d.kvs, d.pack(append([]any{name}, parts...)...))
	return d
}

func (d *draft) tensor(name string, kind int, off uint64, dims ...uint64) *draft {
	parts := []any{name, len(dims)}
	for _, n := range dims {
		parts = append(parts, n)
	}
	d.infos = append(d.infos, d.pack(append(parts, kind, off)...))
	return d
}

func (d *draft) bytes() file {
	n, k := d.tensors, d.keys
	if n < 0 {
		n = int64(len(d.infos))
	}
	if k < 0 {
		k = int64(len(d.kvs))
	}
	b := append([]byte("GGUF"), d.pack(int(d.version), uint64(n), uint64(k))...)
	b = append(b, bytes.Join(d.kvs, nil)...)
	b = append(b, bytes.Join(d.infos, nil)...)
	if d.align > 0 {
		b = append(b, make([]byte, (d.align-len(b)%d.align)%d.align)...)
	}
	return file(append(b, d.data...))
}

// TestDecodeRefuses: each file has one thing wrong with it.
func TestDecodeRefuses(t *testing.T) {
	one := func(d *draft) *draft { return d.tensor("w", 0, 0, 8) }
	with := func(size int, d *draft) file { d.data = make([]byte, size); return d.bytes() }
	for name, c := range map[string]struct {
		kind fault.Kind
		file file
	}{
		"empty":                    {fault.Truncated, ""},
		"magic alone":              {fault.Truncated, "GGUF"},
		"another magic":            {fault.Malformed, "GGJT" + file(make([]byte, 40))},
		"version 0":                {fault.Malformed, with(0, &draft{order: binary.LittleEndian, version: 0, tensors: -1, keys: -1})},
		"version 1":                {fault.Unsupported, with(0, &draft{order: binary.LittleEndian, version: 1, tensors: -1, keys: -1})},
		"version 1, big-endian":    {fault.Unsupported, with(0, &draft{order: binary.BigEndian, version: 1, tensors: -1, keys: -1})},
		"version 4":                {fault.Unsupported, with(0, &draft{order: binary.LittleEndian, version: 4, tensors: -1, keys: -1})},
		"2^64-1 keys":              {fault.Truncated, with(99, &draft{order: binary.LittleEndian, version: 3, tensors: 0, keys: math.MaxInt64})},
		"2^63 tensors":             {fault.Truncated, with(99, &draft{order: binary.LittleEndian, version: 3, tensors: math.MaxInt64, keys: 0})},
		"a tensor less":            {fault.Truncated, with(0, &draft{order: binary.LittleEndian, version: 3, tensors: 1, keys: 0})},
		"an empty key":             {fault.Malformed, newDraft().key("", 4, 0).bytes()},
		"a key twice":              {fault.Duplicate, newDraft().key("a", 4, 0).key("a", 4, 0).bytes()},
		"a key not UTF-8":          {fault.Malformed, newDraft().key("\xff", 4, 0).bytes()},
		"a long key":               {fault.Limit, newDraft().key(strings.Repeat("k", 65536), 4, 0).bytes()},
		"a key past the end":       {fault.Truncated, newDraft().key("a", 8, uint64(math.MaxUint64)).bytes()},
		"a value of type 13":       {fault.Malformed, newDraft().key("a", 13, 0).bytes()},
		"a boolean of 2":           {fault.Malformed, newDraft().key("a", 7, uint8(2)).bytes()},
		"a boolean of 2 in a list": {fault.Malformed, newDraft().key("a", 9, 7, uint64(3), []byte{1, 0, 2}).bytes()},
		"too many strings":         {fault.Truncated, newDraft().key("a", 9, 8, uint64(1)<<61, "x").bytes()},
		"a list of lists":          {fault.Unsupported, newDraft().key("a", 9, 9, uint64(1), 4, uint64(0)).bytes()},
		"a list of type 13":        {fault.Malformed, newDraft().key("a", 9, 13, uint64(1), 4).bytes()},
		"alignment 0":              {fault.Malformed, with(32, one(newDraft().key(keyAlignment, 4, 0)))},
		"alignment 13":             {fault.Malformed, with(32, one(newDraft().key(keyAlignment, 4, 13)))},
		"alignment 4":              {fault.Malformed, with(32, one(newDraft().key(keyAlignment, 4, 4)))},
		"alignment of 64 bits":     {fault.Malformed, with(32, one(newDraft().key(keyAlignment, 10, uint64(32))))},
		"alignment past the end":   {fault.Truncated, with(32, one(newDraft().key(keyAlignment, 4, 1<<31)))},
		"a name of 64 bytes":       {fault.Limit, with(32, newDraft().tensor(strings.Repeat("n", 64), 0, 0, 8))},
		"a name with a NUL":        {fault.Malformed, with(32, newDraft().tensor("a\x00b", 0, 0, 8))},
		"a name not UTF-8":         {fault.Malformed, with(32, newDraft().tensor("\xff", 0, 0, 8))},
		"a name twice":             {fault.Duplicate, with(64, one(one(newDraft())))},
		"5 dimensions":             {fault.Limit, with(32, newDraft().tensor("w", 0, 0, 1, 1, 1, 1, 1))},
		"a negative dimension":     {fault.Malformed, with(32, newDraft().tensor("w", 0, 0, math.MaxUint64))},
		"2^40 by 2^40":             {fault.Overflow, with(32, newDraft().tensor("w", 0, 0, 1<<40, 1<<40))},
		"2^32 by 2^32":             {fault.Overflow, with(32, newDraft().tensor("w", 0, 0, 1<<32, 1<<32))},
		"2^40 by 2^40 by 0":        {fault.Overflow, with(32, newDraft().tensor("w", 0, 0, 1<<40, 1<<40, 0))},
		"2^62 of 4 bytes":          {fault.Overflow, with(32, newDraft().tensor("w", 0, 0, 1<<62))},
		"type -1":                  {fault.Unsupported, with(32, newDraft().tensor("w", -1, 0, 8))},
		"type 4":                   {fault.Unsupported, with(32, newDraft().tensor("w", 4, 0, 8))},
		"a row of 33 in Q4_0":      {fault.Mismatch, with(64, newDraft().tensor("w", 2, 0, 33, 32))},
		"a hole":                   {fault.Extent, with(96, one(newDraft()).tensor("v", 0, 64, 8))},
		"an overlap":               {fault.Extent, with(96, one(newDraft()).tensor("v", 0, 0, 8))},
		"another order":            {fault.Extent, with(96, newDraft().tensor("v", 0, 32, 8).tensor("w", 0, 0, 8))},
		"offset 2^64-32":           {fault.Extent, with(32, newDraft().tensor("w", 0, math.MaxUint64-31, 8))},
		"a byte less":              {fault.Truncated, with(31, one(newDraft()))},
	} {
		h, err := Decode(ctx, c.file)
		if fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v %v, want %v", name, h, err, c.kind)
		}
	}
}

// TestDecode: what is legal, in both versions and orders of bytes.
func TestDecode(t *testing.T) {
	for name, d := range map[string]*draft{
		"version 3": newDraft(), "version 2": {order: binary.LittleEndian, version: 2, tensors: -1, keys: -1, align: 64}, "big-endian": {order: binary.BigEndian, version: 3, tensors: -1, keys: -1, align: 64},
	} {
		d.align = 64
		d.key("u8", 0, uint8(255)).key("i8", 1, int8(-1)).key("u16", 2, uint16(65535)).key("i16", 3, int16(-2)).key("u32", 4, uint32(1)<<31).key("i32", 5, int32(-3))
		d.key("f32", 6, float32(0.5)).key("true", 7, uint8(1)).key("text", 8, "naïve \xff").key("u64", 10, uint64(math.MaxUint64)).key("i64", 11, int64(math.MinInt64)).key("f64", 12, 1e300)
		d.key("words", 9, 8, uint64(3), "a", "", strings.Repeat("x", 70)).key("numbers", 9, 5, uint64(10), []int32{1, -2, 3, 4, 5, 6, 7, 8, 9, 10}).key("none", 9, 12, uint64(0)).key(keyAlignment, 4, 64)
		d.key("long", 8, strings.Repeat("y", maxString+1)).key("bools", 9, 7, uint64(2), []byte{1, 0})
		d.tensor("w", 0, 0, 3, 2).tensor(strings.Repeat("n", 63), 24, 64, 5).tensor("scalar", 1, 128).tensor("none", 0, 192, 4, 0).tensor("last", 26, 192, 1)
		d.data = make([]byte, 196)
		h, err := Decode(ctx, d.bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var values []any
		var shown []string
		for i := range h.KVs {
			if v := h.KVs[i].Value; v != nil {
				values = append(values, v)
			} else {
				shown = append(shown, h.KVs[i].Shown())
			}
		}
		want := []any{uint8(255), int8(-1), uint16(65535), int16(-2), uint32(1) << 31, int32(-3), float32(0.5), true, "naïve \xff", uint64(math.MaxUint64), int64(math.MinInt64), 1e300, uint32(64)}
		if !reflect.DeepEqual(values, want) {
			t.Errorf("%s: %v, want %v", name, values, want)
		}
		lines := []string{`["a", "", "` + strings.Repeat("x", 64) + `"...]`, "[1, -2, 3, 4, 5, 6, 7, 8, ... 10 of int32]", "[]", "65537 bytes of text", "[true, false]"}
		if !reflect.DeepEqual(shown, lines) {
			t.Errorf("%s: %q, want %q", name, shown, lines)
		}
		c := &Content{KVs: h.KVs}
		if got, want := all(t, c.Get("words").Data), string(bytesOf(text8("a"), text8(""), text8(strings.Repeat("x", 70)))); string(got) != want {
			t.Errorf("%s: words %q, want %q", name, got, want)
		}
		if got, want := all(t, c.Get("numbers").Data), bytesOf([]int32{1, -2, 3, 4, 5, 6, 7, 8, 9, 10}); !bytes.Equal(got, want) {
			t.Errorf("%s: numbers %v, want %v", name, got, want)
		}
		for i, e := range h.Entries {
			e.at = 0
			e.Off -= h.Start
			if want := []Entry{{"w", []int64{2, 3}, ggml.F32, 0, 24, 0}, {strings.Repeat("n", 63), []int64{5}, ggml.I8, 64, 5, 0}, {"scalar", []int64{}, ggml.F16, 128, 2, 0}, {"none", []int64{0, 4}, ggml.F32, 192, 0, 0}, {"last", []int64{1}, ggml.I32, 192, 4, 0}}[i]; !reflect.DeepEqual(e, want) {
				t.Errorf("%s: %+v, want %+v", name, e, want)
			}
		}
	}
}

// TestCutAnywhere: a file that ends early is never taken, and never for another reason than that.
func TestCutAnywhere(t *testing.T) {
	d := newDraft().key("a", 8, "text").key("b", 9, 8, uint64(2), "x", "yz").key("c", 9, 4, uint64(2), []uint32{1, 2}).tensor("w", 0, 0, 8, 1).tensor("v", 2, 32, 32)
	d.data = make([]byte, 64+18-32)
	whole := d.bytes()
	if _, err := Decode(ctx, whole); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if _, err := Decode(ctx, whole[:n]); !errors.Is(err, fault.Truncated) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// FuzzDecode: what is read and written again reads the same, and what is written of that is the same file.
func FuzzDecode(f *testing.F) {
	d := newDraft().key("general.architecture", 8, "llama").key("b", 9, 8, uint64(2), "x", "yz").key(keyAlignment, 4, 64).tensor("w", 0, 0, 3, 1).tensor("v", 2, 64, 32, 2)
	d.align, d.data = 64, make([]byte, 128)
	f.Add([]byte(d.bytes()))
	if corpus := os.Getenv("ISOMERFS_TEST_CORPUS"); corpus != "" {
		seeds, _ := filepath.Glob(filepath.Join(corpus, "gguf/*/*.gguf"))
		for _, name := range seeds {
			if b, err := os.ReadFile(name); err == nil && len(b) < 64<<10 {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first, ok := content(t, file(b))
		if !ok {
			return
		}
		f, err := first.File()
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		written := all(t, f)
		second, ok := content(t, file(written))
		if !ok {
			t.Fatal("what was written is not read")
		}
		same(t, first, second)
		f, err = second.File()
		if err != nil {
			t.Fatal(err)
		}
		if again := all(t, f); !bytes.Equal(again, written) {
			t.Fatal("writing what was written gives another file")
		}
	})
}

// content is a file's; false for one that is refused.
func content(t testing.TB, src file) (*Content, bool) {
	h, err := Decode(ctx, src)
	if err != nil {
		if kind := fault.KindOf(err); !kind.Broken() && kind != fault.Limit && kind != fault.Unsupported {
			t.Fatalf("%v is no fault of a file", err)
		}
		return nil, false
	}
	c := &Content{KVs: h.KVs}
	p := &part{"f", src, h}
	for i := range h.Entries {
		x, err := p.tensor(&h.Entries[i])
		if errors.Is(err, fault.Unsupported) {
			return nil, false
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Tensors = append(c.Tensors, x)
	}
	return c, true
}

// same compares two contents, but for what a file does not keep: dimensions of 1 at the outer end.
func same(t testing.TB, a, b *Content) {
	t.Helper()
	if len(a.KVs) != len(b.KVs) || len(a.Tensors) != len(b.Tensors) {
		t.Fatalf("%d keys and %d tensors, then %d and %d", len(a.KVs), len(a.Tensors), len(b.KVs), len(b.Tensors))
	}
	equal := func(f, g *layout.File) bool {
		return (f == nil) == (g == nil) && (f == nil || bytes.Equal(all(t, f), all(t, g)))
	}
	for i := range a.KVs {
		x, y := a.KVs[i], b.KVs[i]
		if x.Key != y.Key || x.Type != y.Type || x.Elem != y.Elem || x.Count != y.Count || x.Shown() != y.Shown() || !equal(x.Data, y.Data) {
			t.Fatalf("%+v, then %+v", x, y)
		}
	}
	for i := range a.Tensors {
		x, y := a.Tensors[i], b.Tensors[i]
		n, _ := Size(x.Type, x.Shape)
		if m, _ := Size(y.Type, y.Shape); x.Name != y.Name || x.Type != y.Type || n != m || !equal(x.Data, y.Data) {
			t.Fatalf("%+v, then %+v", x, y)
		}
	}
}
