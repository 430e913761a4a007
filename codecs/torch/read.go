package torch

import (
	"context"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// The codec's names: of weights and checkpoints, and of TorchScript archives.
const (
	Format       = "pytorch"
	ScriptFormat = "torchscript"
)

// Read reads the weights of a file of torch.save, torch.export or NeMo. A TorchScript archive is Unsupported: it is
// ReadScript's.
func Read(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	return read(ctx, files, name, Format, false)
}

// ReadShard reads one file of several, whose tensors keep the names that the file has for them: only all of the shards
// together tell what a wrapper put before every name.
func ReadShard(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	return read(ctx, files, name, Format, true)
}

// ReadScript reads the weights of a TorchScript archive. Any other file is Unsupported: it is Read's.
func ReadScript(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	return read(ctx, files, name, ScriptFormat, false)
}

func read(ctx context.Context, files layout.Files, name, format string, shard bool) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	f := newFile(ctx, src)
	f.shard = shard
	m, err := f.model(format)
	if err != nil {
		return nil, fault.In(name, err)
	}
	for _, i := range f.imports.List() {
		m.Imports = append(m.Imports, model.Import{File: name, Module: i.Module, Name: i.Name, Verdict: i.Verdict.String(), Reason: i.Reason})
	}
	m.Format, m.File, m.Files, m.Sources, m.Source = format, name, []string{name}, []layout.Source{src}, src
	return m, nil
}

// read reads the saved object of a file that is no archive of code.
func (f *file) read() (*reading, Container, error) {
	head, err := f.head()
	if err != nil {
		return nil, "", err
	}
	switch {
	case isZip(head):
		a, err := f.archive()
		if err != nil {
			return nil, "", err
		}
		r, err := a.pickle("data.pkl", "data/")
		return r, Zip, err
	case isTar(head):
		return f.tape()
	}
	return f.sequence()
}

// head is the first bytes of the file.
func (f *file) head() ([]byte, error) {
	head := make([]byte, min(f.size, headSize))
	return head, f.full(head, 0)
}

// model reads the file as a model of a format.
func (f *file) model(format string) (*model.Model, error) {
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	if !isZip(head) {
		if format == ScriptFormat {
			return nil, fault.New(fault.Unsupported, "this is no TorchScript archive")
		}
		r, container, err := f.read()
		if err != nil {
			return nil, err
		}
		return r.model(container, f.shard)
	}
	a, err := f.archive()
	if err != nil {
		return nil, err
	}
	m, err := a.model(format)
	if err == nil && a.zip.HasCRCs() {
		m.Verify = a.zip.Verify
	}
	return m, err
}

// model reads the archive as a model of a format.
func (a *archive) model(format string) (*model.Model, error) {
	if a.isScript() != (format == ScriptFormat) {
		return nil, fault.New(fault.Unsupported, "this is %s TorchScript archive", map[bool]string{true: "a", false: "no"}[a.isScript()])
	}
	var list []found
	var r *reading
	var err error
	container := Script
	switch {
	case a.isScript():
		list, r, err = a.script()
	case a.isExported():
		container = Exported
		list, r, err = a.exported()
	default:
		if r, err = a.pickle("data.pkl", "data/"); err != nil {
			return nil, err
		}
		return r.model(Zip, a.shard)
	}
	if err != nil {
		return nil, err
	}
	return assemble(&Checkpoint{Container: container, Root: r.root, r: r}, &selection{weights: list})
}

// model is what a saved object holds.
func (r *reading) model(container Container, shard bool) (*model.Model, error) {
	sel, err := r.selected()
	if err != nil {
		return nil, err
	}
	if shard {
		sel.wrapper = ""
	}
	c := &Checkpoint{Container: container, Root: r.root, Weights: sel.path, r: r}
	m, err := assemble(c, sel)
	if err != nil {
		return nil, err
	}
	if container == Bare && len(sel.weights) == 0 {
		return nil, fault.New(fault.Unsupported, "this is a pickle that holds no tensors")
	}
	m.Metadata = r.metadata(sel)
	if r.flat(c, m) { // and nothing more to know of it
		c.Flat = r.plain && container == Zip
		c.Root, c.r = nil, nil
	}
	return m, nil
}

// assemble makes a model of the tensors that were found.
func assemble(c *Checkpoint, sel *selection) (*model.Model, error) {
	m := &model.Model{Wire: c, Metadata: map[string]string{}, Tensors: make([]model.Tensor, 0, len(sel.weights))}
	seen := make(map[string]bool, len(sel.weights))
	for i, name := range names(sel.weights) {
		t := sel.weights[i].tensor
		if name = name[len(sel.wrapper):]; len(sel.weights[i].path) == 0 {
			name = onlyName
		}
		if seen[name] {
			return nil, fault.New(fault.Duplicate, "two tensors are called %s", quoted(name))
		}
		seen[name] = true
		if t.Left != "" {
			m.Left = append(m.Left, model.Left{Name: name, Reason: t.Left})
			continue
		}
		if t.stored != (model.Stored{}) {
			if m.Stored == nil {
				m.Stored = map[string]model.Stored{}
			}
			m.Stored[name] = t.stored
		}
		m.Tensors = append(m.Tensors, t.as(name))
		c.Tensors = append(c.Tensors, t)
	}
	cut := len(model.Wrapper(names(sel.averaged)))
	seen = make(map[string]bool, len(sel.averaged))
	for i, name := range names(sel.averaged) {
		if t := sel.averaged[i].tensor; t.Left == "" && !seen[name] {
			seen[name] = true
			m.Averaged = append(m.Averaged, t.as(name[cut:]))
		}
	}
	return m, nil
}

// onlyName is the name of the tensor of a file that holds one tensor and nothing else.
const onlyName = "tensor"

// as is a tensor under a name.
func (t *Tensor) as(name string) model.Tensor {
	return model.Tensor{Name: name, DType: t.DType, Shape: t.Shape, Data: t.Data}
}

// flat reports whether the saved object is one dict of the model's tensors, by their names, each a view of a storage.
func (r *reading) flat(c *Checkpoint, m *model.Model) bool {
	entries, ok := pickle.Entries(r.root)
	if !ok || len(entries) != len(m.Tensors) {
		return false
	}
	for i, e := range entries {
		if name, ok := e.Key.(string); !ok || name != m.Tensors[i].Name || c.Tensors[i].Storage == nil || !r.isTensor(e.Value) {
			return false
		}
	}
	return true
}
