package onnx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	codec "github.com/isomerfs/isomerfs/codecs/onnx"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// memory is a version's files in memory. It counts the bytes that are read.
type memory struct {
	files map[string][]byte
	read  int
}

type file struct {
	in   *memory
	name string
}

func (m *memory) List() []string { return nil }

func (m *memory) Open(name string) (layout.Source, error) {
	if _, ok := m.files[name]; !ok {
		return nil, fault.New(fault.Missing, "no %s", name)
	}
	return file{m, name}, nil
}

func (f file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(f.in.files[f.name]).ReadAt(p, off)
	f.in.read += n
	return n, err
}

func (f file) Size() int64    { return int64(len(f.in.files[f.name])) }
func (f file) ID() layout.ID  { return layout.Bytes([]byte(f.name)).ID() }
func (f file) String() string { return f.name }

func contents(t *testing.T, f *layout.File) []byte {
	t.Helper()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(context.Background(), nil, b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func floats(list ...float32) *layout.File {
	var b []byte
	for _, x := range list {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return layout.Bytes(b)
}

func value(name string, d model.DType, n int64) *model.Value {
	return &model.Value{Name: name, Type: &model.Type{Form: model.TensorForm, DType: d, Ranked: true, Shape: []model.Dim{{Fixed: true, Size: n}}}}
}

// product is y = x·w, and the file it is written to and read from.
func product(t *testing.T, opset int64, op string, io model.DType, w model.Tensor) (*model.Model, *memory) {
	t.Helper()
	w.Name = "w"
	g := &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: opset}}, Main: &model.Body{
		Name: "g", Inputs: []*model.Value{value("x", io, 4)}, Outputs: []*model.Value{value("y", io, 4)},
		Initializers: []*model.Constant{{Tensor: w}},
		Nodes:        []*model.Node{{Op: op, Name: "the node", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
	}}
	outputs, err := codec.Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{files: map[string][]byte{"net.onnx": contents(t, outputs[0].File)}}
	return reread(t, m, "net.onnx"), m
}

func reread(t *testing.T, m *memory, name string) *model.Model {
	t.Helper()
	got, err := codec.Read(context.Background(), m, name)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPrecisions(t *testing.T) {
	m, in := product(t, 13, "Mul", model.F32, model.Tensor{DType: model.F32, Shape: []int64{4}, Data: floats(1, 1e9, -1e-20, 0)})
	for _, c := range []struct {
		precision string
		dtype     model.DType
		want      []byte
		nodes     int
	}{
		{"fp32", model.F32, contents(t, floats(1, 1e9, -1e-20, 0)), 1},
		{"fp16", model.F16, []byte{0, 0x3c, 0xff, 0x7b, 1, 0x80, 0, 0}, 3},
		{"bf16", model.BF16, []byte{0x80, 0x3f, 0x6e, 0x4e, 0x3d, 0x9e, 0, 0}, 3},
	} {
		in.read = 0
		outputs, err := Plan(m, c.precision)
		if err != nil {
			t.Fatal(c.precision, err)
		}
		if in.read != 0 {
			t.Errorf("%s: planning read %d bytes", c.precision, in.read)
		}
		if len(outputs) != 1 || outputs[0].Path != "model.onnx" {
			t.Fatalf("%s: %d files, the first is %s", c.precision, len(outputs), outputs[0].Path)
		}
		b := contents(t, outputs[0].File)
		if same := bytes.Equal(b, in.files["net.onnx"]); same != (c.precision == "fp32") {
			t.Errorf("%s: is the stored file: %v", c.precision, same)
		}
		back := reread(t, &memory{files: map[string][]byte{"model.onnx": b}}, "model.onnx").Graph.Main
		w := back.Initializer("w")
		if w == nil || w.DType != c.dtype || !bytes.Equal(contents(t, w.Data), c.want) {
			t.Errorf("%s: w is %v %x, want %v %x", c.precision, w.DType, contents(t, w.Data), c.dtype, c.want)
		}
		if len(back.Nodes) != c.nodes {
			t.Errorf("%s: %d nodes, want %d", c.precision, len(back.Nodes), c.nodes)
		}
		if in, out := back.Inputs[0].Type.DType, back.Outputs[0].Type.DType; in != model.F32 || out != model.F32 {
			t.Errorf("%s: from %v to %v", c.precision, in, out)
		}
	}
}

// TestStoredNarrow: a graph stored in half precision is the view of that name, byte for byte, and has no other.
func TestStoredNarrow(t *testing.T) {
	for precision, d := range map[string]model.DType{"fp16": model.F16, "bf16": model.BF16} {
		m, in := product(t, 13, "Mul", d, model.Tensor{DType: d, Shape: []int64{4}, Data: layout.Bytes(make([]byte, 8))})
		for _, p := range Precisions {
			outputs, err := Plan(m, p)
			if p != precision {
				if !errors.Is(err, fault.Unsupported) || !strings.Contains(fault.Remedy(err), "onnx/"+precision) {
					t.Errorf("%s of a graph in %s: %v", p, precision, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(contents(t, outputs[0].File), in.files["net.onnx"]) {
				t.Errorf("%s of a graph in %s is not the stored file", p, precision)
			}
		}
	}
}

func TestAbsent(t *testing.T) {
	mul := model.Tensor{DType: model.F32, Shape: []int64{4}, Data: floats(1, 2, 3, 4)}
	old, _ := product(t, 12, "Mul", model.F32, mul)
	conv, _ := product(t, 21, "Conv", model.F32, mul)
	integers, _ := product(t, 13, "Mul", model.I32, model.Tensor{DType: model.I32, Shape: []int64{4}, Data: floats(0, 0, 0, 0)})
	for _, c := range []struct {
		name, precision string
		m               *model.Model
		kind            error
		says            string
	}{
		{"weights alone", "fp32", &model.Model{Format: "safetensors"}, fault.Unsupported, "no graph"},
		{"an old opset", "bf16", old, fault.Unsupported, "opset 12"},
		{"an operator without bfloat16", "bf16", conv, fault.Unsupported, `Conv "the node"`},
		{"integers", "fp16", integers, fault.Unsupported, "nothing in float32"},
		{"no precision", "fp8", old, fault.Absent, "fp8"},
	} {
		if _, err := Plan(c.m, c.precision); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReaders(t *testing.T) {
	for _, c := range []struct {
		opset, ir int64
		want      string
	}{{9, 4, "1.12"}, {17, 8, "1.12"}, {18, 8, "1.14"}, {17, 9, "1.15"}, {17, 10, "1.18"}, {21, 8, "1.18"}, {22, 10, "1.21"}, {99, 99, "1.24"}} {
		m := &model.Model{Graph: &model.Graph{IRVersion: c.ir, Opsets: []model.Opset{{Domain: "ai.onnx", Version: c.opset}}}}
		if got := Readers(m); len(got) != 1 || got[0] != "onnxruntime>="+c.want {
			t.Errorf("opset %d, IR %d: %v, want %s", c.opset, c.ir, got, c.want)
		}
	}
}
