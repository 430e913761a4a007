// Package hf reads what lies beside the weights of a Hugging Face repository: its configuration, with what
// transformers fills in where config.json says nothing; its tokenizer, as tokenizer.json and as a model of
// SentencePiece; and what its model card says of it.
//
// Everything here is untrusted: texts, depths, counts and the work that a tokenizer's expressions may make are bounded,
// and vocabularies are read in pieces and never held as a whole.
package hf

import (
	"context"
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// maxFile is the largest file that is read as a whole, in bytes: configurations, templates, cards.
const maxFile = 16 << 20

// Folder is the folder of a repository that a model lies in. It is for one goroutine.
type Folder struct {
	// Name is what the model is called: the name that a folder of it has elsewhere.
	Name  string
	files layout.Files
	dir   string // below the version's folder, "" for that itself
	parts map[string]any
	used  map[string]*layout.File
}

// Beside is the folder that a model was read from; nil where nobody said what lies beside it.
func Beside(m *model.Model) *Folder {
	if m.Beside == nil {
		return nil
	}
	f := &Folder{Name: m.Name, files: m.Beside, dir: path.Dir(m.File)}
	if f.dir == "." {
		f.dir = ""
	}
	return f.Again()
}

// Again is the same folder, of which nothing was read yet.
func (f *Folder) Again() *Folder {
	return &Folder{Name: f.Name, files: f.files, dir: f.dir, parts: map[string]any{}, used: map[string]*layout.File{}}
}

// Used are the files that were read so far, in the order of their names.
func (f *Folder) Used() []*layout.File {
	var list []*layout.File
	for _, name := range slices.Sorted(maps.Keys(f.used)) {
		list = append(list, f.used[name])
	}
	return list
}

// path is a file's name below the version's folder.
func (f *Folder) path(name string) string { return path.Join(f.dir, name) }

// Has reports whether there is such a file.
func (f *Folder) Has(name string) bool {
	_, err := f.files.Open(f.path(name))
	return err == nil
}

// File is a file's bytes; nil where there is none.
func (f *Folder) File(name string) (*layout.File, error) {
	src, err := f.files.Open(f.path(name))
	if errors.Is(err, fault.Missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.In(f.path(name), err)
	}
	f.used[name] = layout.Stored(src)
	return f.used[name], nil
}

// Names lists the files right in a folder below this one, "" for this one.
func (f *Folder) Names(dir string) []string {
	prefix := f.path(dir)
	if prefix != "" {
		prefix += "/"
	}
	var list []string
	for _, name := range f.files.List() {
		if rest, ok := strings.CutPrefix(name, prefix); ok && !strings.Contains(rest, "/") {
			list = append(list, rest)
		}
	}
	return list
}

// Text is the text of a file, false where there is none.
func (f *Folder) Text(ctx context.Context, name string) (string, bool, error) {
	file, err := f.File(name)
	if file == nil || err != nil {
		return "", false, err
	}
	if file.Size() > maxFile {
		return "", false, fault.In(f.path(name), fault.New(fault.Limit, "%d bytes, and the most that is read of such a file is %d", file.Size(), maxFile))
	}
	b := make([]byte, file.Size())
	if _, err := file.ReadAt(ctx, nil, b, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", false, fault.In(f.path(name), err)
	}
	return string(b), true, nil
}

// JSON is the value of a file, nil where there is none. It is read once.
func (f *Folder) JSON(ctx context.Context, name string) (any, error) {
	if v, ok := f.parts[name]; ok {
		return v, nil
	}
	file, err := f.File(name)
	if file == nil || err != nil {
		return nil, err
	}
	if file.Size() > maxFile {
		return nil, fault.In(f.path(name), fault.New(fault.Limit, "%d bytes, and the most that is read of such a file is %d", file.Size(), maxFile))
	}
	v, err := Parse(ctx, file)
	if err != nil {
		return nil, fault.In(f.path(name), err)
	}
	f.parts[name] = v
	return v, nil
}

// Object is the object of a file, nil where there is none. Another value is Malformed.
func (f *Folder) Object(ctx context.Context, name string) (*Object, error) {
	v, err := f.JSON(ctx, name)
	if v == nil || err != nil {
		return nil, err
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, fault.In(f.path(name), fault.New(fault.Malformed, "this is no object"))
	}
	return o, nil
}
