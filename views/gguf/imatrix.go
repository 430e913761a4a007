package gguf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// An importance matrix says how much each column of a weight matters: the mean of the squares of what it was
// multiplied with, over some text. llama-imatrix writes it.
//
// Its file lies beside the model, as imatrix.gguf or, as older programs wrote it, imatrix.dat:
//
//	imatrix.gguf   for each weight NAME the tensors NAME.in_sum2, a row of sums for each expert, and NAME.counts, a
//	               count for each; keys imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size
//	imatrix.dat    int32 n, and n times: int32 length, name, int32 calls, int32 m, m float32 that are sums over the
//	               calls; then int32 chunks, int32 length, the text's name, which may be missing
type imatrix struct {
	file    string // its bare name
	dataset string // the name of the text; "" where it has none
	chunks  uint64
	entries map[string]*layout.File // by weight: float32, expert after expert
}

// imatrixNames are the files that are looked for.
var imatrixNames = []string{"imatrix.gguf", "imatrix.dat"}

// imatrixOf is the importance matrix beside a model, or the one that the card names; nil where there is none.
func imatrixOf(m *model.Model) (*imatrix, error) {
	if m.Beside == nil {
		return nil, nil
	}
	files := []string{}
	for _, name := range imatrixNames {
		files = append(files, path.Join(path.Dir(m.File), name))
	}
	named := m.Card != nil && m.Card.Quantize.Imatrix != ""
	if named {
		files = []string{m.Card.Quantize.Imatrix}
	}
	for _, file := range files {
		src, err := m.Beside.Open(file)
		if errors.Is(err, fault.Missing) && !named {
			continue
		}
		var x *imatrix
		if err == nil {
			x, err = readImatrix(context.Background(), src)
		}
		if err != nil {
			return nil, fault.In(file, err)
		}
		x.file = path.Base(file)
		return x, nil
	}
	return nil, nil
}

// readImatrix reads either kind of file: names and sizes, no value.
func readImatrix(ctx context.Context, src layout.Source) (*imatrix, error) {
	head := make([]byte, min(4, src.Size()))
	if _, err := src.ReadAt(ctx, head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	var x *imatrix
	var err error
	if string(head) == "GGUF" {
		x, err = readImatrixGGUF(ctx, src)
	} else {
		x, err = readImatrixDat(ctx, src)
	}
	if err == nil && len(x.entries) == 0 {
		err = fault.New(fault.Malformed, "the importance matrix has no entries")
	}
	return x, err
}

func readImatrixGGUF(ctx context.Context, src layout.Source) (*imatrix, error) {
	h, err := gguf.Decode(ctx, src)
	if err != nil {
		return nil, err
	}
	if h.Order != binary.LittleEndian {
		return nil, fault.New(fault.Unsupported, "the importance matrix is a big-endian file")
	}
	c := gguf.Content{KVs: h.KVs}
	sets, chunks := c.Get("imatrix.datasets"), c.Get("imatrix.chunk_count")
	if sets == nil || chunks == nil || c.Get("imatrix.chunk_size") == nil {
		return nil, fault.New(fault.Malformed, "the importance matrix has not the keys imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size")
	}
	x := &imatrix{entries: map[string]*layout.File{}}
	x.chunks, _ = chunks.Uint()
	if sets.Type == gguf.Array && sets.Elem == gguf.String && sets.Count > 0 {
		if x.dataset, err = firstString(ctx, sets.Data); err != nil {
			return nil, err
		}
	}
	at := map[string]*gguf.Entry{}
	for i := range h.Entries {
		at[h.Entries[i].Name] = &h.Entries[i]
	}
	data := func(e *gguf.Entry) (*layout.File, error) {
		return layout.New(layout.Extent{Source: src, Off: e.Off, Len: e.Size})
	}
	for i := range h.Entries {
		e := &h.Entries[i]
		name, isSum := strings.CutSuffix(e.Name, ".in_sum2")
		if weight, isCount := strings.CutSuffix(e.Name, ".counts"); isCount && at[weight+".in_sum2"] == nil {
			return nil, fault.New(fault.Malformed, "the importance matrix has counts for %q and no sums", weight)
		}
		if !isSum {
			continue
		}
		counts := at[name+".counts"]
		if counts == nil {
			return nil, fault.New(fault.Malformed, "the importance matrix has sums for %q and no counts", name)
		}
		if e.Type != ggml.F32 || counts.Type != ggml.F32 {
			return nil, fault.New(fault.Malformed, "the importance matrix has sums of %s and counts of %s for %q instead of F32", e.Type, counts.Type, name)
		}
		rows := counts.Size / 4
		if e.Size == 0 || rows == 0 || e.Size%(4*rows) != 0 {
			return nil, fault.New(fault.Mismatch, "the importance matrix has %d sums and %d counts for %q", e.Size/4, rows, name)
		}
		sums, err := data(e)
		if err != nil {
			return nil, err
		}
		each, err := data(counts)
		if err != nil {
			return nil, err
		}
		if x.entries[name], err = layout.New(layout.Coded{Op: mean{e.Size / rows}, Label: name, In: []*layout.File{sums, each}}); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// firstString is the first of a list of strings.
func firstString(ctx context.Context, list *layout.File) (string, error) {
	var length [8]byte
	if _, err := list.ReadAt(ctx, nil, length[:], 0); err != nil {
		return "", err
	}
	text := make([]byte, min(binary.LittleEndian.Uint64(length[:]), maxOption))
	if _, err := list.ReadAt(ctx, nil, text, 8); err != nil && err != io.EOF {
		return "", err
	}
	return string(text), nil
}

// maxOption is the most bytes of a string that llama-quantize takes for a key.
const maxOption = 127

func readImatrixDat(ctx context.Context, src layout.Source) (*imatrix, error) {
	x := &imatrix{entries: map[string]*layout.File{}}
	var off int64
	number := func(what string) (int64, error) {
		var b [4]byte
		if off > src.Size()-4 {
			return 0, fault.At(fault.Truncated, off, "the importance matrix ends before %s", what)
		}
		if _, err := src.ReadAt(ctx, b[:], off); err != nil && err != io.EOF {
			return 0, err
		}
		off += 4
		return int64(int32(binary.LittleEndian.Uint32(b[:]))), nil
	}
	text := func(what string) (string, error) {
		n, err := number(what)
		if err != nil {
			return "", err
		}
		if n < 0 || n > src.Size()-off {
			return "", fault.At(fault.Truncated, off-4, "the importance matrix has %s of %d bytes, and ends after %d", what, n, src.Size()-off)
		}
		if n > maxText {
			return "", fault.At(fault.Limit, off-4, "the importance matrix has %s of %d bytes", what, n)
		}
		b := make([]byte, n)
		if _, err := src.ReadAt(ctx, b, off); err != nil && err != io.EOF {
			return "", err
		}
		off += n
		if i := strings.IndexByte(string(b), 0); i >= 0 {
			b = b[:i]
		}
		return string(b), nil
	}
	n, err := number("the number of entries")
	if err != nil {
		return nil, err
	}
	if n < 1 || n > src.Size()/16 {
		return nil, fault.At(fault.Malformed, 0, "the importance matrix has %d entries in %d bytes", n, src.Size())
	}
	for range n {
		name, err := text("a name")
		if err != nil {
			return nil, err
		}
		calls, err := number("the calls of " + name)
		if err != nil {
			return nil, err
		}
		at := off
		count, err := number("the values of " + name)
		if err != nil {
			return nil, err
		}
		if count < 1 || count > (src.Size()-off)/4 {
			return nil, fault.At(fault.Truncated, at, "the importance matrix has %d values for %q, and ends after %d bytes", count, name, src.Size()-off)
		}
		sums, err := layout.New(layout.Extent{Source: src, Off: off, Len: 4 * count})
		if err != nil {
			return nil, err
		}
		off += 4 * count
		if x.entries[name], err = layout.New(layout.Coded{Op: overCalls(calls), Label: name, In: []*layout.File{sums}}); err != nil {
			return nil, err
		}
	}
	if chunks, err := number("the chunks"); err == nil {
		x.chunks = uint64(max(0, chunks))
		if x.dataset, err = text("the text's name"); err != nil {
			x.dataset = ""
		}
		x.dataset = x.dataset[:min(len(x.dataset), maxOption)]
	}
	return x, nil
}

const maxText = 64 << 10

// keys are what llama-quantize notes of the importance matrix.
func (x *imatrix) keys() []gguf.KV {
	kvs := []gguf.KV{gguf.Key("quantize.imatrix.file", x.file)}
	if x.dataset != "" {
		kvs = append(kvs, gguf.Key("quantize.imatrix.dataset", x.dataset))
	}
	kvs = append(kvs, gguf.Key("quantize.imatrix.entries_count", uint32(len(x.entries))))
	if x.chunks > 0 {
		kvs = append(kvs, gguf.Key("quantize.imatrix.chunks_count", uint32(x.chunks)))
	}
	return kvs
}

// of is the importance of each element of a tensor, row for row; nil where the matrix says nothing of it.
func (x *imatrix) of(t *gguf.Tensor) (*layout.File, error) {
	if x == nil || x.entries[t.Name] == nil {
		return nil, nil
	}
	entry := x.entries[t.Name]
	row, rows, experts := dim(t.Shape, 0), dim(t.Shape, 1), dim(t.Shape, 2)
	if entry.Size() != 4*row*experts || dim(t.Shape, 3) != 1 {
		if roleOf(t.Name) == embedding {
			return nil, nil
		}
		return nil, fault.New(fault.Mismatch, "%s has %d values for it, and it has %d columns and %d experts", x.file, entry.Size()/4, row, experts).
			Remedied("the matrix was made of another model: take it away, or make one of this")
	}
	return layout.New(layout.Box{In: entry, Shape: []int64{experts, rows, row}, Strides: []int64{4 * row, 0, 4}, Elem: 4})
}

// mean divides rows of sums, so many bytes each, by their counts; where the count is none it gives ones. It implements
// layout.Op.
type mean struct{ row int64 }

func (o mean) String() string          { return fmt.Sprintf("imatrix mean of %d/1", o.row/4) }
func (o mean) Block() (int64, []int64) { return o.row, []int64{o.row, 4} }

func (o mean) Size(in ...int64) (int64, error) {
	if len(in) != 2 || in[0]%o.row != 0 || in[0]/o.row != in[1]/4 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes", o, in)
	}
	return in[0], nil
}

func (o mean) Apply(dst []byte, src [][]byte) error {
	sums, counts := src[0], src[1]
	le := binary.LittleEndian
	for i := 0; i+4 <= len(dst); i += 4 {
		count := math.Float32frombits(le.Uint32(counts[int64(i)/o.row*4:]))
		count = float32(math.Round(float64(count)))
		value := float32(1)
		if count > 0 {
			value = math.Float32frombits(le.Uint32(sums[i:])) / count
		}
		if err := putFinite(dst[i:], value); err != nil {
			return err
		}
	}
	return nil
}

// overCalls divides sums by the number of calls that they are over, where it is one. It implements layout.Op.
type overCalls int64

func (o overCalls) String() string          { return fmt.Sprintf("imatrix over %d/1", int64(o)) }
func (o overCalls) Block() (int64, []int64) { return 4, []int64{4} }

func (o overCalls) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%4 != 0 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes", o, in)
	}
	return in[0], nil
}

func (o overCalls) Apply(dst []byte, src [][]byte) error {
	le := binary.LittleEndian
	for i := 0; i+4 <= len(dst); i += 4 {
		value := math.Float32frombits(le.Uint32(src[0][i:]))
		if o > 0 {
			value /= float32(o)
		}
		if err := putFinite(dst[i:], value); err != nil {
			return err
		}
	}
	return nil
}

// putFinite stores a value. llama-quantize refuses a matrix with another.
func putFinite(dst []byte, value float32) error {
	if value-value != 0 {
		return fault.New(fault.Malformed, "the importance matrix has a value that is not finite: %v", value)
	}
	binary.LittleEndian.PutUint32(dst, math.Float32bits(value))
	return nil
}
