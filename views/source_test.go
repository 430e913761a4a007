package views

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/codecs/safetensors"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

// stored is a file in memory. body is where its tensors begin: no plan may read further.
type stored struct {
	name string
	data []byte
	body int64
	read int64 // bytes read from body on
	id   layout.ID
}

func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := copy(p, s.data[min(off, s.Size()):])
	s.read += max(0, off+int64(n)-max(off, s.body))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (s *stored) Size() int64 { return int64(len(s.data)) }
func (s *stored) ID() layout.ID {
	if s.id == (layout.ID{}) {
		s.id = sha256.Sum256(append([]byte(s.name+"\x00"), s.data...))
	}
	return s.id
}
func (s *stored) String() string { return s.name }

// folder is the files of a version.
type folder map[string]*stored

func (f folder) List() []string { return slices.Sorted(maps.Keys(f)) }
func (f folder) Open(name string) (layout.Source, error) {
	if s := f[name]; s != nil {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

// tensor is what a test puts into a file.
type tensor struct {
	name  string
	dtype model.DType
	shape []int64
	data  []byte
}

// fill are bytes for a tensor, no two tensors' the same.
func fill(name string, dtype model.DType, shape ...int64) tensor {
	n, err := model.Elements(shape)
	if err != nil {
		panic(err)
	}
	size, err := dtype.Bytes(n)
	if err != nil {
		panic(err)
	}
	data := make([]byte, size)
	sum := sha256.Sum256([]byte(name))
	for i := range data {
		if i%32 == 0 {
			sum = sha256.Sum256(sum[:])
		}
		data[i] = sum[i%32]
	}
	return tensor{name, dtype, shape, data}
}

// container is a safetensors file of these tensors.
func container(name string, metadata map[string]string, tensors ...tensor) *stored {
	var entries []safetensors.Entry
	var data []byte
	for _, x := range tensors {
		entries = append(entries, safetensors.Entry{Name: x.name, DType: x.dtype, Shape: x.shape, Begin: int64(len(data)), End: int64(len(data) + len(x.data))})
		data = append(data, x.data...)
	}
	head, err := safetensors.Encode(metadata, entries)
	if err != nil {
		panic(err)
	}
	return &stored{name: name, data: append(head, data...), body: int64(len(head))}
}

// array is an .npy file.
func array(name string, h npy.Header, data []byte) *stored {
	head, err := npy.Encode(&h)
	if err != nil {
		panic(err)
	}
	return &stored{name: name, data: append(head, data...), body: int64(len(head))}
}

// open reads a model.
func open(t *testing.T, files folder, name string) *model.Model {
	t.Helper()
	f, err := codecs.Of(ctx, files, name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Read(ctx, files, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// view is the line of the table.
func view(name string) *View {
	for i := range Table {
		if Table[i].Name == name {
			return &Table[i]
		}
	}
	panic(name)
}

// plan is the files of a precision, by path. No tensor's byte may be read for them.
func plan(t *testing.T, files folder, m *model.Model, name, precision string) map[string]Output {
	t.Helper()
	before := touched(files)
	list, err := view(name).Plan(m, precision)
	if err != nil {
		t.Fatalf("%s/%s: %v", name, precision, err)
	}
	byPath := map[string]Output{}
	for _, out := range list {
		if _, ok := byPath[out.Path]; ok {
			t.Errorf("%s/%s: %s twice", name, precision, out.Path)
		}
		byPath[out.Path] = out
	}
	if after := touched(files); after != before {
		t.Errorf("%s/%s: planning read %d bytes of tensors", name, precision, after-before)
	}
	return byPath
}

func touched(files folder) (n int64) {
	for _, s := range files {
		n += s.read
	}
	return n
}

// content is all bytes of a file, which are as many as its size.
func content(t *testing.T, f *layout.File) []byte {
	t.Helper()
	p := make([]byte, f.Size()+1)
	n, err := f.ReadAt(ctx, memory{}, p, 0)
	if n != len(p)-1 || err != io.EOF {
		t.Fatalf("%d bytes of %d: %v", n, len(p)-1, err)
	}
	return p[:n]
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

// decoded is what a safetensors file holds, by name, with its header.
func decoded(t *testing.T, data []byte) (map[string]tensor, *safetensors.Header) {
	t.Helper()
	src := &stored{data: data}
	h, err := safetensors.Decode(ctx, src)
	if err != nil {
		t.Fatalf("what was written is refused: %v", err)
	}
	found := map[string]tensor{}
	for _, e := range h.Entries {
		found[e.Name] = tensor{e.Name, e.DType, e.Shape, data[h.Start+e.Begin : h.Start+e.End]}
	}
	return found, h
}

func equal(a, b tensor) bool {
	return a.name == b.name && a.dtype == b.dtype && slices.Equal(a.shape, b.shape) && bytes.Equal(a.data, b.data)
}
