// Package onnx reads and writes ONNX models: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
//
// A file is one protobuf message, of fields that each say their number and how long they are:
//
//	┌─────┬───────┬─────────────┬─────┬───────┬────────────────────────────────────────┐
//	│ tag │ value │ ...         │ tag │ length│ graph: nodes, and tensors with their   │
//	│     │       │             │     │       │ elements in raw_data or typed fields   │
//	└─────┴───────┴─────────────┴─────┴───────┴────────────────────────────────────────┘
//
// It is walked by package protowire, not by generated code, which would copy every tensor and stop at 2 GB. Reading
// costs the structure: the elements of tensors are leapt over, and a tensor of raw_data or of packed floats is an
// extent of the file. What is not understood is kept as it is.
//
// Everything is checked against the bytes that hold it before it is followed. Stricter than protobuf, which merges
// them, a field that may stand once may not stand twice; groups and deep nesting are refused. What a graph means, its
// names and their order, is checked by package graph.
//
// Reading never runs anything, and never reads outside the model's folder.
package onnx

import (
	"context"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/model/graph"
)

// Format is the codec's name.
const Format = "onnx"

// Match reports whether a file of this name is an ONNX model.
func Match(name string) bool { return strings.HasSuffix(strings.ToLower(path.Base(name)), ".onnx") }

// Sniff reports whether a file that begins like this may be an ONNX model: an ir_version, and behind it another field
// of a ModelProto.
func Sniff(head []byte) bool {
	return len(head) > 3 && head[0] == 0x08 && head[1] > 0 && head[1] < 32 && strings.IndexByte("\x12\x1a\x22\x32\x3a\x42\x72", head[2]) >= 0
}

// Read reads a model: its structure, checked whole, and where its tensors' elements lie, in this file and in others
// beside it. No element is read, but those of tensors that are no larger than the structure around them.
func Read(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	m, err := decode(ctx, src, files, name)
	if err != nil {
		return nil, fault.In(name, err)
	}
	return m, nil
}

func decode(ctx context.Context, src layout.Source, files layout.Files, name string) (*model.Model, error) {
	t, err := scan(ctx, src)
	if err != nil {
		return nil, err
	}
	d := &decoder{t: t, external: &external{files: files, model: name, known: map[string]layout.Source{}}}
	g, err := d.graph()
	if err != nil {
		return nil, err
	}
	if err := graph.Check(g); err != nil {
		return nil, err
	}
	m := &model.Model{
		Format: Format, File: name, Files: []string{name}, Sources: []layout.Source{src}, Graph: g, Metadata: metadata(g),
		Tensors: make([]model.Tensor, 0, len(g.Main.Initializers)),
	}
	for _, other := range d.names {
		m.Files, m.Sources = append(m.Files, other), append(m.Sources, d.known[other])
	}
	if len(m.Files) == 1 {
		m.Source = src
	}
	for _, c := range g.Main.Initializers {
		switch {
		case c.DType == model.Invalid:
			m.Left = append(m.Left, model.Left{Name: c.Name, Reason: "its elements are of a type that this version does not know"})
		case c.DType == model.F4 && c.Data.Size()*2 != elements(c.Shape), c.DType.Block().Elems == 4 && c.DType.Block().Bytes == 3 && elements(c.Shape)%4 != 0:
			m.Left = append(m.Left, model.Left{Name: c.Name, Reason: "its elements do not fill whole bytes"})
		default:
			m.Tensors = append(m.Tensors, c.Tensor)
		}
	}
	for _, s := range g.Main.Sparse {
		m.Left = append(m.Left, model.Left{Name: s.Values.Name, Reason: "it is a sparse initializer, which ONNX views alone hold"})
	}
	return m, nil
}

func elements(shape []int64) int64 {
	n, err := model.Elements(shape)
	if err != nil {
		return 0
	}
	return n
}

// maxMetadata is the longest text that is taken for something the model says of itself.
const maxMetadata = 64 << 10

// metadata is what the file says of itself: its metadata_props, and the fields of the model under their names.
func metadata(g *model.Graph) map[string]string {
	m := map[string]string{}
	add := func(key, value string) {
		if _, taken := m[key]; !taken && value != "" && len(key)+len(value) <= maxMetadata && utf8.ValidString(key) && utf8.ValidString(value) {
			m[key] = value
		}
	}
	for _, e := range g.Metadata {
		add(e.Key, e.Value)
	}
	add("producer_name", g.Producer)
	add("producer_version", g.ProducerVersion)
	add("domain", g.Domain)
	if g.Version != 0 {
		add("model_version", strconv.FormatInt(g.Version, 10))
	}
	add("doc_string", g.Doc)
	return m
}

// quote is a name as errors show it: cut where it is long.
func quote(name string) string {
	if len(name) > 80 {
		name = name[:80] + "…"
	}
	return strconv.Quote(name)
}
