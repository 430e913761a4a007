package torch

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// TestMarked: conjugates and negatives are those of arithmetic.
func TestMarked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	raw := make([]byte, 16*50)
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	for _, c := range []struct {
		name      string
		conj, neg bool
		want      func(p []byte, at int) // turns the element at p[at:] round
	}{
		{"int8", false, true, func(p []byte, at int) { p[at] = byte(-int8(p[at])) }},
		{"int16", false, true, func(p []byte, at int) { le.PutUint16(p[at:], -le.Uint16(p[at:])) }},
		{"int32", false, true, func(p []byte, at int) { le.PutUint32(p[at:], -le.Uint32(p[at:])) }},
		{"int64", false, true, func(p []byte, at int) { le.PutUint64(p[at:], -le.Uint64(p[at:])) }},
		{"float32", false, true, func(p []byte, at int) { le.PutUint32(p[at:], le.Uint32(p[at:])^1<<31) }},
		{"float64", false, true, func(p []byte, at int) {
			le.PutUint64(p[at:], math.Float64bits(-math.Float64frombits(le.Uint64(p[at:]))))
		}},
		{"complex64", true, false, func(p []byte, at int) { le.PutUint32(p[at+4:], le.Uint32(p[at+4:])^1<<31) }},
		{"complex64", true, true, func(p []byte, at int) { le.PutUint32(p[at:], le.Uint32(p[at:])^1<<31) }},
		{"complex128", false, true, func(p []byte, at int) { p[at+7] ^= 0x80; p[at+15] ^= 0x80 }},
	} {
		e := elementsByName[c.name]
		op, err := marked(e, c.conj, c.neg)
		if err != nil {
			t.Fatal(err)
		}
		f, err := layout.New(layout.Coded{Op: op, In: []*layout.File{layout.Bytes(raw)}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := bytesIn(f)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]byte(nil), raw...)
		for at := 0; at < len(want); at += int(e.bytes) {
			c.want(want, at)
		}
		if string(got) != string(want) {
			t.Errorf("%s conj %t neg %t: another result", c.name, c.conj, c.neg)
		}
	}
	for _, name := range []string{"float32", "int8"} {
		if _, err := marked(elementsByName[name], true, false); err == nil {
			t.Errorf("a conjugate of %s", name)
		}
	}
	if _, err := marked(elementsByName["bool"], false, true); err == nil {
		t.Error("a negative of bool")
	}
}

// counting is a source that counts what is read of it, and where.
type counting struct {
	stored
	read, weights int64
	from, to      int64 // where the weights lie
}

func (c *counting) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := c.stored.ReadAt(ctx, p, off)
	c.read += int64(n)
	if lo, hi := max(off, c.from), min(off+int64(n), c.to); hi > lo {
		c.weights += hi - lo
	}
	return n, err
}

type one struct{ layout.Source }

func (o one) List() []string                     { return []string{"m.pt"} }
func (o one) Open(string) (layout.Source, error) { return o.Source, nil }

// TestReadCostsNoTensor: a file of many megabytes is read by its headers, and none of a large tensor's bytes.
func TestReadCostsNoTensor(t *testing.T) {
	tensors := []model.Tensor{{Name: "large", DType: model.F32, Shape: []int64{2 << 20}, Data: layout.Bytes(make([]byte, 8<<20))}}
	data, err := bytesIn(stateDict(t, tensors))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.Open(ctx, stored{"m.pt", data}, 0, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	src := &counting{stored: stored{"m.pt", data}}
	for i := range archive.Members {
		if m := &archive.Members[i]; strings.HasSuffix(m.Name, "/data/0") {
			src.from, src.to = m.Off+1024, m.Off+m.Size-70_000 // headers are read with what stands around them, the directory's end is searched for
		}
	}
	if src.to == 0 {
		t.Fatal("no storage")
	}
	m, err := Read(ctx, one{src}, "m.pt")
	if err != nil || len(m.Tensors) != 1 {
		t.Fatal(m, err)
	}
	if src.weights > 0 || src.read > 128<<10 {
		t.Errorf("%d bytes were read, %d of them the tensor's", src.read, src.weights)
	}
}
