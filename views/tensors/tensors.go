// Package tensors is the view of a model as bare bytes: a file for each tensor, little-endian, in C order, without a
// header, and index.json, which says what they are.
package tensors

import (
	"bytes"
	"encoding/json"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	index        = "index.json"
	escapedIndex = "index%2Ejson" // the file of a tensor of that name
)

type row struct {
	Name   string  `json:"name"`
	File   string  `json:"file"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	NBytes int64   `json:"nbytes"`
}

// Plan is the files: the index first, then the tensors in the source's order.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	if precision != "" {
		return nil, fault.New(fault.Absent, "tensors has no precisions: its files are the stored bytes")
	}
	tensors := model.Unwrapped(m.Tensors)
	files := make([]model.Output, 1, len(tensors)+1)
	text := bytes.NewBufferString(`{"tensors": [`)
	lines := json.NewEncoder(text)
	lines.SetEscapeHTML(false)
	for i := range tensors {
		t := &tensors[i]
		if t.DType == model.String {
			continue
		}
		file := model.FileName(t.Name, "")
		if file == index {
			file = escapedIndex
		}
		if len(files) > 1 {
			text.WriteByte(',')
		}
		text.WriteByte('\n')
		shape := t.Shape
		if shape == nil {
			shape = []int64{} // a scalar's shape is [] and not null
		}
		if err := lines.Encode(row{t.Name, file, t.DType.String(), shape, t.Data.Size()}); err != nil {
			return nil, fault.In(m.File, fault.New(fault.Unsupported, "tensor %q cannot be listed: %w", t.Name, err))
		}
		text.Truncate(text.Len() - 1) // the encoder's line feed
		files = append(files, model.Output{Path: file, File: t.Data, Tensor: t})
	}
	text.WriteString("\n]}\n")
	files[0] = model.Output{Path: index, File: layout.Bytes(text.Bytes())}
	return files, nil
}

// Left are the tensors that have no bytes to show.
func Left(m *model.Model) []model.Left {
	var left []model.Left
	for _, t := range model.Unwrapped(m.Tensors) {
		if t.DType == model.String {
			left = append(left, model.Left{Name: t.Name, Reason: "strings have no bytes of a fixed size"})
		}
	}
	return left
}
