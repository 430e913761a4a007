package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/onnx"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/store"
)

// settled is the time of every stored file of a test, unless it says otherwise.
var settled = time.Unix(1_700_000_000, 123_000_000)

// blank is what an array file holds, one tensor a line:
//
//	NAME DTYPE SHAPE       w F32 2x3; a scalar's shape is ()
//	meta KEY=VALUE         an entry of __metadata__
//	cut N                  without the last N bytes
//	text ...               this text instead
type notation struct {
	tensors []model.Tensor
	meta    map[string]string
	cut     int
	text    string
}

func parse(t testing.TB, text string) notation {
	t.Helper()
	n := notation{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "meta":
			key, value, _ := strings.Cut(f[1], "=")
			if n.meta == nil {
				n.meta = map[string]string{}
			}
			n.meta[key] = value
		case f[0] == "cut":
			n.cut, _ = strconv.Atoi(f[1])
		case f[0] == "text":
			n.text = strings.TrimSpace(strings.TrimPrefix(line, "text"))
		case len(f) == 3:
			x := model.Tensor{Name: f[0], DType: model.ParseDType(f[1])}
			if x.DType == model.Invalid {
				t.Fatalf("no type %s", f[1])
			}
			if f[2] != "()" {
				for part := range strings.SplitSeq(f[2], "x") {
					d, err := strconv.ParseInt(part, 10, 64)
					if err != nil {
						t.Fatalf("shape %s", f[2])
					}
					x.Shape = append(x.Shape, d)
				}
			}
			n.tensors = append(n.tensors, x)
		default:
			t.Fatalf("not understood: %q", line)
		}
	}
	return n
}

// values is the bytes of a tensor: each one a count, so that no two tensors of a test are alike.
func values(t testing.TB, x model.Tensor, seed int) []byte {
	t.Helper()
	count, err := model.Elements(x.Shape)
	if err != nil {
		t.Fatal(err)
	}
	size, err := x.DType.Bytes(count)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7+seed) & 0x3f // as floats these are small and finite
	}
	return b
}

// safetensorsFile is the bytes of a safetensors file.
func safetensorsFile(t testing.TB, n notation) []byte {
	t.Helper()
	var head, data bytes.Buffer
	head.WriteByte('{')
	if n.meta != nil {
		text, _ := json.Marshal(n.meta)
		fmt.Fprintf(&head, `"__metadata__":%s`, text)
	}
	for i, x := range n.tensors {
		if head.Len() > 1 {
			head.WriteByte(',')
		}
		b := values(t, x, i)
		name, _ := json.Marshal(x.Name)
		shape, _ := json.Marshal(append([]int64{}, x.Shape...))
		fmt.Fprintf(&head, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, x.DType, shape, data.Len(), data.Len()+len(b))
		data.Write(b)
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 {
		head.WriteByte(' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(head.Len()))
	out = append(append(out, head.Bytes()...), data.Bytes()...)
	return out[:len(out)-n.cut]
}

// npyFile is the bytes of a .npy file, version 1.0.
func npyFile(t testing.TB, n notation) []byte {
	t.Helper()
	x := n.tensors[0]
	descr := map[model.DType]string{model.F32: "<f4", model.F16: "<f2", model.I64: "<i8", model.U8: "|u1"}[x.DType]
	if descr == "" {
		t.Fatalf("no NumPy name for %s", x.DType)
	}
	var shape strings.Builder
	for _, d := range x.Shape {
		fmt.Fprintf(&shape, "%d, ", d)
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, strings.TrimSuffix(shape.String(), " "))
	for (10+len(head)+1)%64 != 0 {
		head += " "
	}
	head += "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	out = append(append(out, head...), values(t, x, 0)...)
	return out[:len(out)-n.cut]
}

// ggufFile is the bytes of a GGUF file, a thing a line:
//
//	meta KEY=VALUE      a key: of a whole number, or of a text
//	NAME TYPE SHAPE     a tensor of a type of ggml
//	cut N               without the last N bytes
func ggufFile(t testing.TB, text string) []byte {
	t.Helper()
	c := &gguf.Content{}
	cut := 0
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "meta":
			key, value, _ := strings.Cut(f[1], "=")
			if n, err := strconv.ParseUint(value, 10, 32); err == nil {
				c.KVs = append(c.KVs, gguf.Key(key, uint32(n)))
			} else {
				c.KVs = append(c.KVs, gguf.Key(key, value))
			}
		case len(f) == 2 && f[0] == "cut":
			cut, _ = strconv.Atoi(f[1])
		case len(f) == 3:
			x := gguf.Tensor{Name: f[0]}
			x.Type, _ = ggml.ParseType(f[1])
			for part := range strings.SplitSeq(f[2], "x") {
				d, _ := strconv.ParseInt(part, 10, 64)
				x.Shape = append(x.Shape, d)
			}
			size, err := gguf.Size(x.Type, x.Shape)
			if err != nil {
				t.Fatal(err)
			}
			x.Data = layout.Bytes(make([]byte, size))
			c.Tensors = append(c.Tensors, x)
		default:
			t.Fatalf("not understood: %q", line)
		}
	}
	file, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, file.Size())
	if _, err := file.ReadAt(context.Background(), nil, b, 0); err != nil {
		t.Fatal(err)
	}
	return b[:len(b)-cut]
}

// onnxFile is the bytes of an ONNX model, a thing a line:
//
//	input|output NAME DTYPE SHAPE    as above
//	NAME DTYPE SHAPE                 an initializer
//	meta KEY=VALUE                   an entry of metadata_props
//	A B = OP C D                     a node
//	{ ... }                          around lines: a subgraph of the node above
func onnxFile(t testing.TB, text string) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	g := &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}}
	var body func() *model.Body
	body = func() *model.Body {
		b := &model.Body{Name: "g"}
		for len(lines) > 0 {
			line := strings.TrimSpace(lines[0])
			lines = lines[1:]
			f := strings.Fields(line)
			outs, rest, isNode := strings.Cut(line, " = ")
			switch {
			case line == "":
			case line == "}":
				return b
			case line == "{":
				n := b.Nodes[len(b.Nodes)-1]
				n.Attributes = append(n.Attributes, &model.Attribute{Name: []string{"then_branch", "else_branch"}[len(n.Attributes)], Kind: model.GraphKind, Value: body()})
			case isNode:
				words := strings.Fields(rest)
				n := &model.Node{Name: "n." + strings.Fields(outs)[0], Op: words[0], Inputs: words[1:], Outputs: strings.Fields(outs)}
				if domain, op, ok := strings.Cut(n.Op, ":"); ok {
					n.Domain, n.Op = domain, op
				}
				b.Nodes = append(b.Nodes, n)
			case f[0] == "meta":
				key, value, _ := strings.Cut(strings.TrimPrefix(line, "meta "), "=")
				g.Metadata = append(g.Metadata, model.Entry{Key: key, Value: value})
			case f[0] == "input", f[0] == "output":
				x := parse(t, strings.Join(f[1:], " ")).tensors[0]
				typ := &model.Type{Form: model.TensorForm, DType: x.DType, Ranked: true}
				for _, d := range x.Shape {
					typ.Shape = append(typ.Shape, model.Dim{Fixed: true, Size: d})
				}
				v := &model.Value{Name: x.Name, Type: typ}
				if f[0] == "input" {
					b.Inputs = append(b.Inputs, v)
				} else {
					b.Outputs = append(b.Outputs, v)
				}
			default:
				x := parse(t, line).tensors[0]
				x.Data = layout.Bytes(values(t, x, len(b.Initializers)))
				b.Initializers = append(b.Initializers, &model.Constant{Tensor: x})
			}
		}
		return b
	}
	g.Main = body()
	files, err := onnx.Encode(g)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data := make([]byte, files[0].File.Size())
	if _, err := files[0].File.ReadAt(context.Background(), nil, data, 0); err != nil {
		t.Fatal(err)
	}
	return data
}

// indexFile is the bytes of an index of shards: a line for each tensor, its name and its shard.
func indexFile(text string) []byte {
	weights := map[string]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 {
			weights[f[0]] = f[1]
		}
	}
	b, _ := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": weights})
	return b
}

// put writes a stored file. Model files are in the notation above; a text "-> TARGET" is a symbolic link; the first
// line may be "mode 0600".
func put(t testing.TB, root, name, text string) {
	t.Helper()
	p := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	mode := os.FileMode(0o644)
	if rest, ok := strings.CutPrefix(text, "mode "); ok {
		first, rest, _ := strings.Cut(rest, "\n")
		m, err := strconv.ParseUint(strings.TrimSpace(first), 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		mode, text = os.FileMode(m), rest
	}
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		if err := os.Symlink(strings.TrimSpace(target), p); err != nil {
			t.Fatal(err)
		}
		return
	}
	data := []byte(text)
	if strings.HasPrefix(text, "text ") {
		data = []byte(strings.TrimSuffix(strings.TrimPrefix(text, "text "), "\n"))
	} else {
		switch {
		case strings.HasSuffix(name, ".index.json"):
			data = indexFile(text)
		case strings.HasSuffix(name, ".safetensors"):
			data = safetensorsFile(t, parse(t, text))
		case strings.HasSuffix(name, ".npy"):
			data = npyFile(t, parse(t, text))
		case strings.HasSuffix(name, ".onnx"):
			data = onnxFile(t, text)
		case strings.HasSuffix(name, ".gguf"):
			data = ggufFile(t, text)
		}
	}
	putBytes(t, p, data, mode, settled)
}

// putBytes writes a file as a careful program does: complete, then under its name.
func putBytes(t testing.TB, p string, data []byte, mode os.FileMode, when time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	part := p + ".tmp"
	if err := os.WriteFile(part, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(part, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(part, when, when); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, p); err != nil {
		t.Fatal(err)
	}
}

// openTree is the tree of a folder whose files are taken as they are.
func openTree(t testing.TB, root string, change ...func(*Options)) *Tree {
	t.Helper()
	s, err := store.Open(root, store.Options{Settle: -1})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Store: s, Program: "isomerfs test"}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

// made is a tree of files in the notation of put.
func makeTree(t testing.TB, files map[string]string, change ...func(*Options)) (*Tree, string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		put(t, root, name, text)
	}
	return openTree(t, root, change...), root
}

func resolve(t testing.TB, tr *Tree, p string) *Node {
	t.Helper()
	n, err := tr.Resolve(context.Background(), p)
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return n
}

// document is the text of a document.
func text(t testing.TB, tr *Tree, p string) string {
	t.Helper()
	n := resolve(t, tr, p)
	if n.File == nil || n.File.Document == nil {
		t.Fatalf("%s is no document", p)
	}
	b, err := n.File.Document(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	if int64(len(b)) != n.Attr.Size && !n.File.Live {
		t.Errorf("%s: %d bytes, stat says %d", p, len(b), n.Attr.Size)
	}
	return string(b)
}
