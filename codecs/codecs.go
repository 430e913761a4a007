// Package codecs is the table of model formats that can be read.
//
// To add a format, write a folder below this one that exports a Read function, and add a line to Formats. The order of
// the lines is the order in which a file is tried.
package codecs

import (
	"context"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Format is a model format that can be read.
type Format struct {
	Name string // as metadata.json's format

	// Match reports whether a file of this name, below its version's folder, is a model of this format.
	Match func(name string) bool

	// Read reads the model whose file is name: its header and what the header leads to, never a tensor's bytes.
	Read func(ctx context.Context, files layout.Files, name string) (*model.Model, error)
}

// Formats is the table, in the order of preference.
var Formats []Format
