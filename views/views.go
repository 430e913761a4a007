// Package views is the table of what can be made of a model.
package views

import (
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// View is one FORMAT folder of a version.
type View struct {
	Name       string   // the folder
	Precisions []string // the folders below it in order of listing; nil for a folder without precisions

	// Plan is the files of one precision ("" for a folder without), or why there are none: a *fault.Error whose reason
	// and remedy people read. It costs no tensor byte.
	Plan func(m *model.Model, precision string) ([]Output, error)
}

// Output is one file of a view.
type Output struct {
	Path   string // below FORMAT/PRECISION, or below FORMAT where there is no precision
	File   *layout.File
	Tensor *model.Tensor // the tensor that the file is, in tensors/ and npy/; else nil
}

// Table lists the views in the order of listing.
var Table []View

// Escape is the file name of a tensor's name.
func Escape(name, suffix string) string { return name + suffix }
