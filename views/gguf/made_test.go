package gguf

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

// file is a source of bytes in memory.
type file string

func (s file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[min(off, s.Size()):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s file) Size() int64    { return int64(len(s)) }
func (s file) ID() layout.ID  { return sha256.Sum256([]byte(s)) }
func (s file) String() string { return "file" }

type folder map[string]file

func (f folder) List() []string { return nil }
func (f folder) Open(name string) (layout.Source, error) {
	if s, ok := f[name]; ok {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

// bytesOf is every byte of a file.
func bytesOf(t testing.TB, f *layout.File) []byte {
	t.Helper()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, nil, b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

// made is a model with few rows: the rules look at names, shapes and hyper-parameters alone.
type made struct {
	arch              string
	layers, heads, kv int64
	width, count      int64 // of a row, of rows
	down              int64 // width of ffn_down; 0: the same
	kind              ggml.Type
	tied, fused       bool
	experts           int64
	shared, positions bool
	keys              []gguf.KV
}

// content is the model. Rows bring out differences of arithmetic: one pattern each, in turn.
func (m made) content(t testing.TB) *gguf.Content {
	t.Helper()
	if m.width == 0 {
		m.width = 256
	}
	if m.count == 0 {
		m.count = 3
	}
	if m.down == 0 {
		m.down = m.width
	}
	key := func(name string, n int64) gguf.KV { return gguf.Key(m.arch+"."+name, uint32(n)) }
	c := &gguf.Content{KVs: []gguf.KV{
		gguf.Key("general.architecture", m.arch), gguf.Key("general.file_type", uint32(0)), gguf.Key("general.name", "made"), gguf.Key("general.quantization_version", uint32(2)),
		key("context_length", 128), key("embedding_length", m.width), key("block_count", m.layers), key("feed_forward_length", m.down),
		key("attention.head_count", m.heads), key("attention.head_count_kv", m.kv), key("vocab_size", m.count), key("rope.dimension_count", m.width/m.heads),
		gguf.Key(m.arch+".attention.layer_norm_rms_epsilon", float32(1e-5)), gguf.Key(m.arch+".attention.layer_norm_epsilon", float32(1e-5)), gguf.Key("tokenizer.ggml.model", "none"),
	}}
	if m.experts > 0 {
		c.KVs = append(c.KVs, key("expert_count", m.experts), key("expert_used_count", 2))
	}
	c.KVs = append(c.KVs, m.keys...)
	add := func(name string, shape ...int64) {
		kind := m.kind
		if len(shape) == 1 || name[max(0, len(name)-len("inp.weight")):] == "inp.weight" {
			kind = ggml.F32
		}
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		c.Tensors = append(c.Tensors, tensor(t, name, kind, shape, values(n, shape[len(shape)-1], uint64(len(c.Tensors)))))
	}
	add("token_embd.weight", m.count, m.width)
	add("output_norm.weight", m.width)
	if !m.tied {
		add("output.weight", m.count, m.width)
	}
	if m.positions {
		add("position_embd.weight", m.count, m.width)
	}
	if m.shared {
		add("cls.weight", 1, m.width) // a dimension of 1 at the end does not count, and is not written
	}
	for i := m.layers - 1; i >= 0; i-- { // not the order of the output
		at := fmt.Sprintf("blk.%d.", i)
		add(at+"attn_norm.weight", m.width)
		add(at+"attn_output.weight", m.count, m.width)
		if m.fused {
			add(at+"attn_qkv.weight", m.count, m.width)
		} else {
			for _, part := range "qkv" {
				add(at+"attn_"+string(part)+".weight", m.count, m.width)
			}
			add(at+"attn_q.bias", m.width)
		}
		if m.experts > 0 {
			add(at+"ffn_gate_inp.weight", m.experts, m.width)
			add(at+"ffn_gate_exps.weight", m.experts, m.count, m.width)
			add(at+"ffn_up_exps.weight", m.experts, m.count, m.width)
			add(at+"ffn_down_exps.weight", m.experts, m.count, m.down)
		}
		if m.shared || m.experts == 0 {
			tail := ""
			if m.shared {
				tail = "_shexp"
			}
			add(at+"ffn_gate"+tail+".weight", m.count, m.width)
			add(at+"ffn_up"+tail+".weight", m.count, m.width)
			add(at+"ffn_down"+tail+".weight", m.count, m.down)
		}
	}
	return c
}

// tensor is one of these values.
func tensor(t testing.TB, name string, kind ggml.Type, shape []int64, v []float32) gguf.Tensor {
	t.Helper()
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	if kind != ggml.F32 {
		op, ok := quant.Cast(model.F32, kind.DType())
		if !ok {
			t.Fatal(kind)
		}
		n, _ := op.Size(int64(len(b)))
		to := make([]byte, n)
		if err := op.Apply(to, [][]byte{b}); err != nil {
			t.Fatal(err)
		}
		b = to
	}
	return gguf.Tensor{Name: name, Shape: shape, Type: kind, Data: layout.Bytes(b)}
}

// values are n of them in rows. All fit float16.
func values(n, row int64, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	v := make([]float32, n)
	for i := range v {
		x := r.NormFloat64()
		switch at := int64(i) % row; (uint64(int64(i)/row) + seed) % 8 {
		case 0:
			x *= 0.02
		case 1:
			x = 0
		case 2:
			x *= math.Exp(3 * r.NormFloat64())
			x = max(-6e4, min(6e4, x))
		case 3:
			x = float64(r.IntN(16)-8) * 0.125 // on the grid: ties
		case 4:
			x = math.Abs(x)
		case 5:
			if at%32 != 7 {
				x = math.Copysign(0, -1)
			}
		case 6:
			x *= 6e-8
		case 7:
			x = (float64(r.IntN(16)-8) + 0.5) / 8
		}
		v[i] = float32(x)
	}
	return v
}

// stored is the content as a model that is read from a file.
func stored(t testing.TB, c *gguf.Content, beside folder) (*model.Model, []byte) {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	b := bytesOf(t, f)
	files := folder{"m.gguf": file(b)}
	for name, s := range beside {
		files[name] = s
	}
	m, err := gguf.Read(ctx, files, "m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	m.Beside = files
	return m, b
}

// importances is a matrix for a content: as llama-imatrix writes it, or as it did before it wrote GGUF. The embeddings
// have none, and one expert was never called.
func importances(t testing.TB, c *gguf.Content, dat bool) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(11, 1))
	le := binary.LittleEndian
	x := &gguf.Content{KVs: []gguf.KV{
		gguf.Key("general.type", "imatrix"), gguf.List("imatrix.datasets", []string{"words.txt", "more.txt"}), gguf.Key("imatrix.chunk_count", uint32(3)), gguf.Key("imatrix.chunk_size", uint32(128)),
	}}
	var old []byte
	entries := 0
	for i := range c.Tensors {
		w := &c.Tensors[i]
		if dims(w.Shape) < 2 || w.Name == embeddingName || w.Name == outputName {
			continue
		}
		row, experts := dim(w.Shape, 0), dim(w.Shape, 2)
		sums, counts := make([]float32, row*experts), make([]float32, experts)
		for e := range counts {
			if e != 1 {
				counts[e] = float32(100 + r.IntN(9000))
			}
			for j := range row {
				sums[int64(e)*row+j] = float32(math.Exp(r.NormFloat64())) * counts[e]
			}
		}
		x.Tensors = append(x.Tensors, tensor(t, w.Name+".in_sum2", ggml.F32, []int64{experts, row}, sums), tensor(t, w.Name+".counts", ggml.F32, []int64{experts, 1}, counts))
		old = append(le.AppendUint32(old, uint32(len(w.Name))), w.Name...)
		old = le.AppendUint32(le.AppendUint32(old, 3), uint32(len(sums)))
		for _, v := range sums {
			old = le.AppendUint32(old, math.Float32bits(v))
		}
		entries++
	}
	if dat {
		old = append(le.AppendUint32(nil, uint32(entries)), old...)
		return append(le.AppendUint32(le.AppendUint32(old, 3), 9), "words.txt"...)
	}
	f, err := x.File()
	if err != nil {
		t.Fatal(err)
	}
	return bytesOf(t, f)
}
