package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

type folder map[string]file

func (f folder) List() []string { return slices.Sorted(maps.Keys(f)) }
func (f folder) Open(name string) (layout.Source, error) {
	if s, ok := f[name]; ok {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

// TestRead: plain tensors are the stored ones, those in blocks float32.
func TestRead(t *testing.T) {
	d := newDraft().key("general.architecture", 8, "llama").tensor("half", 1, 0, 2, 3).tensor("q", 8, 32, 32, 1)
	d.data = append(bytes.Repeat([]byte{1}, 32), append([]byte{0, 0x3c}, bytes.Repeat([]byte{2}, 32)...)...) // a scale of 1
	m, err := Read(ctx, folder{"a/m.gguf": d.bytes()}, "a/m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if m.Format != Format || m.File != "a/m.gguf" || m.Source == nil || m.Shards != nil || len(m.Stored) != 1 || m.Stored["q"] != (model.Stored{Type: "Q8_0", Bytes: 34}) || m.Metadata["general.architecture"] != "llama" || len(m.Tensors) != 2 {
		t.Errorf("%+v", m)
	}
	half, q := m.Tensors[0], m.Tensors[1]
	if half.DType != model.F16 || !slices.Equal(half.Shape, []int64{3, 2}) || !bytes.Equal(all(t, half.Data), bytes.Repeat([]byte{1}, 12)) {
		t.Errorf("%+v", half)
	}
	if q.DType != model.F32 || !bytes.Equal(all(t, q.Data), bytes.Repeat([]byte{0, 0, 0, 0x40}, 32)) {
		t.Errorf("%+v", q)
	}
	if c, ok := m.Wire.(*Content); !ok || len(c.Tensors) != 2 || c.Tensors[1].Type != ggml.Q8_0 || c.Tensors[1].Data.Size() != 34 {
		t.Errorf("%+v", m.Wire)
	}
}

// TestBigEndian: a file for the other machines means what the same file for these does.
func TestBigEndian(t *testing.T) {
	kinds := []struct {
		kind, elems int
		numbers     []int // widths of the numbers of a block, 1 for a byte
	}{
		{0, 1, []int{4}}, {1, 1, []int{2}}, {30, 1, []int{2}}, {28, 1, []int{8}}, {24, 1, []int{1}}, {25, 1, []int{2}}, {26, 1, []int{4}}, {27, 1, []int{8}},
		{2, 32, append([]int{2}, ones(16)...)}, {8, 32, append([]int{2}, ones(32)...)}, {12, 256, append([]int{2, 2}, ones(140)...)}, {14, 256, append(ones(208), 2)},
		{35, 256, append(ones(64), 2)}, {41, 128, append([]int{2}, ones(16)...)}, {39, 32, ones(17)}, {40, 64, ones(36)},
	}
	for _, k := range kinds {
		var want []byte
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			d := newDraft()
			d.order = order
			d.tensor("w", k.kind, 0, uint64(k.elems), 3)
			next := byte(1)
			for range 3 {
				for _, width := range k.numbers {
					var b []byte
					for range width {
						b = append(b, next)
						next++
					}
					if order == binary.BigEndian {
						slices.Reverse(b)
					}
					d.data = append(d.data, b...)
				}
			}
			c, ok := content(t, d.bytes())
			if !ok {
				t.Errorf("type %d, %v is refused", k.kind, order)
				continue
			}
			got := all(t, c.Tensors[0].Data)
			if want == nil {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Errorf("type %d: %v, want %v", k.kind, got, want)
			}
		}
	}
	d := newDraft()
	d.order = binary.BigEndian
	d.tensor("w", 6, 0, 32) // Q5_0 has a number of 32 bits in its block that is read as bytes, or not
	d.data = make([]byte, 22)
	if _, err := Read(ctx, folder{"m.gguf": d.bytes()}, "m.gguf"); !errors.Is(err, fault.Unsupported) {
		t.Errorf("Q5_0: %v", err)
	}
}

func ones(n int) []int { return slices.Repeat([]int{1}, n) }

// TestBigEndianStrings: lists of strings longer than what is held, whatever a window cuts.
func TestBigEndianStrings(t *testing.T) {
	var big, little []byte
	n := 0
	for ; len(big) < 3*window; n++ {
		s := strings.Repeat("x", n*n%8191)
		big = append(binary.BigEndian.AppendUint64(big, uint64(len(s))), s...)
		little = append(binary.LittleEndian.AppendUint64(little, uint64(len(s))), s...)
	}
	d := newDraft()
	d.order = binary.BigEndian
	c, ok := content(t, d.key("words", 9, 8, uint64(n), big).bytes())
	if !ok {
		t.Fatal("refused")
	}
	if !bytes.Equal(all(t, c.KVs[0].Data), little) {
		t.Error("not the strings")
	}
}

// split is a model in n files, a tensor in each.
func split(n int, change func(i int, d *draft) *draft) folder {
	f := folder{}
	for i := range n {
		d := newDraft()
		if i == 0 {
			d.key("general.architecture", 8, "llama")
		}
		d.key(keySplitNo, 2, uint16(i)).key(keySplitCount, 2, uint16(n)).key(keySplitTensors, 5, int32(n)).tensor(fmt.Sprintf("t%d", i), 24, 0, 4)
		d.data = []byte{byte(i), 1, 2, 3}
		if change != nil {
			d = change(i, d)
		}
		if d != nil {
			f[fmt.Sprintf("x/m-%05d-of-%05d.gguf", i+1, n)] = d.bytes()
		}
	}
	return f
}

// TestSplit: a model in several files is one model, whichever of them is named.
func TestSplit(t *testing.T) {
	for _, name := range []string{"x/m-00001-of-00003.gguf", "x/m-00003-of-00003.gguf"} {
		m, err := Read(ctx, split(3, nil), name)
		if err != nil {
			t.Fatal(err)
		}
		if m.File != "x/m-00001-of-00003.gguf" || m.Source != nil || len(m.Files) != 3 || m.Shards != nil || len(m.Tensors) != 3 || m.Metadata["general.architecture"] != "llama" {
			t.Errorf("%+v", m)
		}
		for i, x := range m.Tensors {
			if x.Name != fmt.Sprintf("t%d", i) || all(t, x.Data)[0] != byte(i) {
				t.Errorf("%+v", x)
			}
		}
	}
	if m, err := Read(ctx, split(1, nil), "x/m-00001-of-00001.gguf"); err != nil || m.Source == nil || m.Shards != nil {
		t.Errorf("of one: %+v %v", m, err)
	}
}

func TestSplitRefuses(t *testing.T) {
	again := func(with func(d *draft) *draft) func(int, *draft) *draft {
		return func(i int, d *draft) *draft {
			if i != 1 {
				return d
			}
			d.kvs, d.infos = nil, nil
			return with(d)
		}
	}
	for name, c := range map[string]struct {
		kind  fault.Kind
		files folder
	}{
		"a missing file": {fault.Missing, split(3, func(i int, d *draft) *draft { return map[bool]*draft{true: d}[i != 1] })},
		"a tensor twice": {fault.Duplicate, split(3, again(func(d *draft) *draft {
			return d.key(keySplitNo, 2, uint16(1)).key(keySplitCount, 2, uint16(3)).tensor("t0", 24, 0, 4)
		}))},
		"another number": {fault.Mismatch, split(3, again(func(d *draft) *draft {
			return d.key(keySplitNo, 2, uint16(2)).key(keySplitCount, 2, uint16(3)).tensor("t1", 24, 0, 4)
		}))},
		"another count": {fault.Mismatch, split(3, again(func(d *draft) *draft {
			return d.key(keySplitNo, 2, uint16(1)).key(keySplitCount, 2, uint16(4)).tensor("t1", 24, 0, 4)
		}))},
		"no number":             {fault.Mismatch, split(3, again(func(d *draft) *draft { return d.tensor("t1", 24, 0, 4) }))},
		"another sum":           {fault.Mismatch, split(3, again(func(d *draft) *draft { return d.key(keySplitNo, 2, uint16(1)).key(keySplitCount, 2, uint16(3)) }))},
		"a part that is broken": {fault.Truncated, split(3, func(i int, d *draft) *draft { d.data = d.data[:4-i]; return d })},
	} {
		if _, err := Read(ctx, c.files, "x/m-00001-of-00003.gguf"); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	renamed := split(3, nil)
	renamed["model.gguf"] = renamed["x/m-00001-of-00003.gguf"]
	if _, err := Read(ctx, renamed, "model.gguf"); !errors.Is(err, fault.Mismatch) || fault.Remedy(err) == "" {
		t.Errorf("another name: %v", err)
	}
}

// TestCorpus: files that neither of us wrote.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("ISOMERFS_TEST_CORPUS")
	if corpus == "" {
		t.Skip("ISOMERFS_TEST_CORPUS names no folder of models")
	}
	for path, kind := range map[string]fault.Kind{
		"vocab-falcon-v2/ggml-vocab-falcon.gguf": fault.Unknown, "vocab-gpt-2/ggml-vocab-gpt-2.gguf": fault.Unknown,
		"gguf-py-le-v3/test-le-v3.gguf": fault.Unknown, "gguf-py-be-v3/test-be-v3.gguf": fault.Duplicate, // general.architecture
		"tinyllamas-stories-260k-f32/tinyllamas-stories-260k-f32.gguf": fault.Unsupported, // version 1
	} {
		b, err := os.ReadFile(filepath.Join(corpus, "gguf", path))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(ctx, folder{"m.gguf": file(b)}, "m.gguf")
		if fault.KindOf(err) != kind || err != nil {
			if fault.KindOf(err) != kind {
				t.Errorf("%s: %v, want %v", path, err, kind)
			}
			continue
		}
		c := m.Wire.(*Content)
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		written := all(t, f)
		again, ok := content(t, file(written))
		if !ok {
			t.Fatalf("%s: what was written is not read", path)
		}
		same(t, c, again)
		if b[4] == 3 && c.Get(keyAlignment) == nil && !bytes.Equal(written, b) && !bytes.Equal(bytes.TrimRight(written, "\x00"), bytes.TrimRight(b, "\x00")) {
			t.Errorf("%s: a file that was read is written otherwise", path)
		}
	}
}
