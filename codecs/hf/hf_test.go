package hf

import (
	"context"
	"io"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

type stored []byte

func (s stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[min(off, int64(len(s))):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s stored) Size() int64    { return int64(len(s)) }
func (s stored) ID() layout.ID  { return layout.ID{} }
func (s stored) String() string { return "stored" }

func file(text string) *layout.File { return layout.Stored(stored(text)) }

// folder is files by name.
type folder map[string]string

func (f folder) List() (names []string) {
	for name := range f {
		names = append(names, name)
	}
	return names
}

func (f folder) Open(name string) (layout.Source, error) {
	if text, ok := f[name]; ok {
		return stored(text), nil
	}
	return nil, fault.New(fault.Missing, "no such file")
}

// beside is the folder of a model in it.
func (f folder) beside() *Folder {
	return Beside(&model.Model{Name: "m", File: "model.safetensors", Beside: f})
}
