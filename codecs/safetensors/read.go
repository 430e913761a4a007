package safetensors

import (
	"context"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Format is the codec's name.
const Format = "safetensors"

const (
	suffix      = ".safetensors"
	indexSuffix = ".safetensors.index.json"
)

// Match reports whether a file of this name is a safetensors file, or the index of several.
func Match(name string) bool {
	base := strings.ToLower(path.Base(name))
	return strings.HasSuffix(base, suffix) || strings.HasSuffix(base, indexSuffix)
}

// IsIndex reports whether a file of this name is the index of a model in several files.
func IsIndex(name string) bool {
	return strings.HasSuffix(strings.ToLower(path.Base(name)), indexSuffix)
}

// Sniff reports whether a file that begins like this may be a safetensors file: a plausible header length and the
// start of an object.
func Sniff(head []byte) bool {
	if len(head) < 10 || head[7] != 0 || head[6] != 0 || head[5] != 0 || head[4] != 0 {
		return false
	}
	if n := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16 | uint32(head[3])<<24; n < 2 || n > maxHeader {
		return false
	}
	text := strings.TrimLeft(string(head[8:]), " \t\r\n")
	if !strings.HasPrefix(text, "{") {
		return false
	}
	text = strings.TrimLeft(text[1:], " \t\r\n")
	return text == "" || text[0] == '"' || text[0] == '}'
}

// Read reads a safetensors file, or the files that an index names. Every header is read and checked whole; no
// tensor's bytes are touched.
func Read(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	if IsIndex(name) {
		return ReadIndex(ctx, files, name, readOne)
	}
	return readOne(ctx, files, name)
}

// readOne reads one file.
func readOne(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := Decode(ctx, src)
	if err != nil {
		return nil, fault.In(name, err)
	}
	m := &model.Model{
		Format: Format, File: name, Files: []string{name}, Sources: []layout.Source{src}, Source: src,
		Metadata: h.Metadata, Tensors: make([]model.Tensor, 0, len(h.Entries)),
	}
	if err := appendTensors(m, src, h); err != nil {
		return nil, fault.In(name, err)
	}
	return m, nil
}

// appendTensors adds the tensors of a file to a model.
func appendTensors(m *model.Model, src layout.Source, h *Header) error {
	for i := range h.Entries {
		e := &h.Entries[i]
		data, err := layout.New(layout.Extent{Source: src, Off: h.Start + e.Begin, Len: e.End - e.Begin})
		if err != nil {
			return err
		}
		m.Tensors = append(m.Tensors, model.Tensor{Name: e.Name, DType: e.DType, Shape: e.Shape, Data: data})
	}
	return nil
}
