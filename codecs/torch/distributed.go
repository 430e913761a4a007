package torch

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// DistributedFormat is a folder of torch.distributed.checkpoint: what FSDP, torchtitan and accelerate save from many
// processes.
const DistributedFormat = "dcp"

// metadataName is the file of such a folder that says where the parts of each tensor lie.
const metadataName = ".metadata"

// MatchDistributed reports whether a file of this name says where the parts of a distributed checkpoint lie.
func MatchDistributed(name string) bool { return path.Base(name) == metadataName }

// maxItems bounds the parts of a checkpoint: a header of each is read.
const maxItems = 1 << 17

// ReadDistributed reads a folder of torch.distributed.checkpoint by its file .metadata, a pickle of
// Metadata{state_dict_metadata, planner_data, storage_data} (torch/distributed/checkpoint/metadata.py). Each part of a
// tensor is a file of torch.save within a file of the folder; a tensor is put together from its parts as it is read, so
// nothing is held and no second copy made. The weights are those that a file with the same dict would have: below the
// first of the usual keys, without the state of the training.
func ReadDistributed(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	d := &distributed{ctx: ctx, files: files, dir: path.Dir(name), opened: map[string]layout.Source{}, imports: &pickle.Imports{}}
	f := newFile(ctx, src)
	f.imports = d.imports
	root, _, err := f.pickle(0)
	if err != nil {
		return nil, fault.In(name, err)
	}
	m := &model.Model{Metadata: map[string]string{}, Files: []string{name}, Sources: []layout.Source{src}}
	if err := d.read(root, m); err != nil {
		return nil, fault.In(name, err)
	}
	for _, file := range d.order {
		m.Files, m.Sources = append(m.Files, file), append(m.Sources, d.opened[file])
	}
	for _, i := range d.imports.List() {
		m.Imports = append(m.Imports, model.Import{File: name, Module: i.Module, Name: i.Name, Verdict: i.Verdict.String(), Reason: i.Reason})
	}
	m.Format, m.File = DistributedFormat, name
	return m, nil
}

type distributed struct {
	ctx     context.Context
	files   layout.Files
	dir     string
	opened  map[string]layout.Source // by path
	order   []string                 // the same in order of first use
	imports *pickle.Imports
	parts   map[string][]chunk // of a tensor, by its name
}

// chunk is a part of a tensor as storage_data has it: where in the tensor it begins, and where it lies.
type chunk struct {
	offsets     []int64
	file        string
	off, length int64
}

// field is a value of the state of an object; nil where it has none.
func field(o pickle.Value, name string) pickle.Value {
	obj, ok := o.(*pickle.Object)
	if !ok {
		return nil
	}
	v, _ := pickle.Get(obj.State, name)
	return v
}

func (d *distributed) read(root pickle.Value, m *model.Model) error {
	if g := pickle.ClassOf(root); g == nil || !g.Is("torch.distributed.checkpoint.metadata", "Metadata") {
		return fault.New(fault.Unsupported, "this is no metadata of torch.distributed.checkpoint")
	}
	if err := d.places(field(root, "storage_data")); err != nil {
		return err
	}
	entries, ok := pickle.Entries(field(root, "state_dict_metadata"))
	if !ok {
		return fault.New(fault.Malformed, "state_dict_metadata is no dict")
	}
	paths := d.paths(field(root, "planner_data"))
	seen := map[string]bool{}
	for _, e := range d.weights(entries, paths) {
		if seen[e.name] {
			return fault.New(fault.Duplicate, "two tensors are called %s", quoted(e.name))
		}
		seen[e.name] = true
		t, err := d.tensor(e.key, e.value)
		if err != nil {
			return err
		}
		if t.Left != "" {
			m.Left = append(m.Left, model.Left{Name: e.name, Reason: t.Left})
			continue
		}
		m.Tensors = append(m.Tensors, t.as(e.name))
	}
	if v, _ := field(root, "version").(string); v != "" {
		m.Metadata["dcp_version"] = v
	}
	return nil
}

// places reads storage_data: MetadataIndex(fqn, offset, index) to _StorageInfo(relative_path, offset, length).
func (d *distributed) places(v pickle.Value) error {
	entries, ok := pickle.Entries(v)
	if !ok {
		return fault.New(fault.Malformed, "storage_data is no dict")
	}
	if len(entries) > maxItems {
		return fault.New(fault.Limit, "the checkpoint has %d parts, and the most is %d", len(entries), maxItems)
	}
	d.parts = make(map[string][]chunk, len(entries))
	for _, e := range entries {
		name, ok := field(e.Key, "fqn").(string)
		file, isText := field(e.Value, "relative_path").(string)
		off, isOff := field(e.Value, "offset").(int64)
		length, isLength := field(e.Value, "length").(int64)
		if !ok || !isText || !isOff || !isLength || off < 0 || length < 0 {
			return fault.New(fault.Malformed, "a part of the checkpoint without a name, a file or a place in it")
		}
		if list, _ := field(e.Value, "transform_descriptors").(*pickle.List); list != nil && len(list.Items) > 0 {
			return fault.New(fault.Unsupported, "the part of %s is transformed: compressed or encrypted", quoted(name))
		}
		it := chunk{file: file, off: off, length: length}
		if at := field(e.Key, "offset"); at != nil {
			if it.offsets, ok = sizes(at); !ok {
				return fault.New(fault.Malformed, "a part of %s whose offsets are no numbers", quoted(name))
			}
		}
		d.parts[name] = append(d.parts[name], it)
	}
	return nil
}

// sizes are the numbers of a torch.Size.
func sizes(v pickle.Value) ([]int64, bool) {
	if g := pickle.ClassOf(v); g != nil && g.Is("torch", "Size") {
		v = item(v.(*pickle.Object).Args.Items, 0)
	}
	var items []pickle.Value
	switch v := v.(type) {
	case *pickle.Tuple:
		items = v.Items
	case *pickle.List:
		items = v.Items
	default:
		return nil, false
	}
	list := make([]int64, len(items))
	for i, x := range items {
		n, ok := x.(int64)
		if !ok || n < 0 {
			return nil, false
		}
		list[i] = n
	}
	return list, true
}

// paths are the keys that led to each tensor before the dicts were flattened.
func (d *distributed) paths(v pickle.Value) map[string][]string {
	entries, _ := pickle.Entries(v)
	at := make(map[string][]string, len(entries))
	for _, e := range entries {
		name, ok := e.Key.(string)
		keys, isTuple := e.Value.(*pickle.Tuple)
		if !ok || !isTuple {
			continue
		}
		var path []string
		for _, k := range keys.Items {
			path = append(path, keyName(k))
		}
		at[name] = path
	}
	return at
}

// placed is a tensor of the checkpoint: its flat name, its name as a weight, and its TensorStorageMetadata.
type placed struct {
	key, name string
	value     pickle.Value
}

// weights are the tensors below the first of containers, else all that are no state of a training, in order.
func (d *distributed) weights(entries []pickle.Entry, paths map[string][]string) []placed {
	var all []placed
	first := map[string]bool{} // keys at the root that have others below them
	for _, e := range entries {
		key, ok := e.Key.(string)
		if g := pickle.ClassOf(e.Value); !ok || g == nil || g.Name != "TensorStorageMetadata" {
			continue // an object: a step, a scheduler
		}
		all = append(all, placed{key, key, e.Value})
		if p := paths[key]; len(p) > 1 {
			first[p[0]] = true
		}
	}
	container := ""
	for _, c := range containers {
		if first[c] {
			container = c
			break
		}
	}
	var list []placed
	var names []string
	for _, e := range all {
		p := paths[e.key]
		if len(p) == 0 {
			p = []string{e.key}
		}
		switch {
		case container != "" && (len(p) < 2 || p[0] != container), slices.ContainsFunc(p[:1], func(k string) bool { return isState(k, nil) }):
			continue
		case container != "":
			p = p[1:]
		}
		e.name = strings.Join(p, ".")
		list, names = append(list, e), append(names, e.name)
	}
	cut := len(model.Wrapper(names))
	for i := range list {
		list[i].name = list[i].name[cut:]
	}
	return list
}

// tensor puts a tensor together: TensorStorageMetadata{properties, size, chunks: [ChunkStorageMetadata{offsets, sizes}]}.
func (d *distributed) tensor(key string, v pickle.Value) (*Tensor, error) {
	shape, ok := sizes(field(v, "size"))
	if !ok || len(shape) > maxRank {
		return nil, fault.New(fault.Malformed, "the size of %s is none", quoted(key))
	}
	chunks, ok := field(v, "chunks").(*pickle.List)
	if !ok {
		return nil, fault.New(fault.Malformed, "%s has no list of parts", quoted(key))
	}
	elem := dtypeOf(field(v, "properties"))
	if elem == nil || elem.dtype == model.Invalid {
		return left("its type has no name here"), nil
	}
	t := &Tensor{DType: elem.dtype, Shape: shape}
	if n, err := model.Elements(shape); err != nil {
		return nil, fault.New(fault.KindOf(err), "%s: %s", quoted(key), fault.Reason(err))
	} else if n == 0 {
		t.Data = layout.Bytes(nil)
		return t, nil
	}
	var parts []block
	for _, c := range chunks.Items {
		b := block{}
		var isSize bool
		b.lo, ok = sizes(field(c, "offsets"))
		b.size, isSize = sizes(field(c, "sizes"))
		if !ok || !isSize || len(b.lo) != len(shape) || len(b.size) != len(shape) {
			return nil, fault.New(fault.Malformed, "a part of %s without its place in it", quoted(key))
		}
		empty := false
		for i := range shape {
			if b.size[i] > shape[i] || b.lo[i] > shape[i]-b.size[i] {
				return nil, fault.New(fault.Extent, "a part of %s from %v of size %v, and the tensor has %v", quoted(key), b.lo, b.size, shape)
			}
			empty = empty || b.size[i] == 0
		}
		same := func(o block) bool { return slices.Equal(o.lo, b.lo) && slices.Equal(o.size, b.size) }
		if empty || slices.ContainsFunc(parts, same) { // a replica
			continue
		}
		var err error
		if b.data, err = d.part(key, &b, elem); err != nil {
			return nil, err
		}
		parts = append(parts, b)
	}
	whole, err := joined(parts, block{lo: make([]int64, len(shape)), size: shape}, elem.bytes)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "%s: %s", quoted(key), fault.Reason(err))
	}
	t.Data = whole
	return t, nil
}

// dtypeOf is the type in TensorProperties, whose state is a tuple that begins with it, or a dict.
func dtypeOf(v pickle.Value) *element {
	o, ok := v.(*pickle.Object)
	if !ok {
		return nil
	}
	if state, ok := o.State.(*pickle.Tuple); ok {
		return elementOf(item(state.Items, 0))
	}
	return elementOf(field(v, "dtype"))
}

// part is the bytes of a part of a tensor: a file of torch.save in a file of the folder, of one tensor of its size.
func (d *distributed) part(key string, b *block, elem *element) (*layout.File, error) {
	i := slices.IndexFunc(d.parts[key], func(p chunk) bool {
		return slices.Equal(p.offsets, b.lo) || len(p.offsets) == 0 && len(d.parts[key]) == 1
	})
	if i < 0 {
		return nil, fault.New(fault.Missing, "the part of %s from %v lies nowhere", quoted(key), b.lo)
	}
	at := d.parts[key][i]
	if at.file == "" || path.IsAbs(at.file) || path.Clean(at.file) != at.file || strings.HasPrefix(at.file, "..") {
		return nil, fault.New(fault.Unsafe, "the part of %s lies outside the checkpoint, in %s", quoted(key), quoted(at.file))
	}
	name := path.Join(d.dir, at.file)
	src, ok := d.opened[name]
	if !ok {
		var err error
		if src, err = d.files.Open(name); err != nil {
			return nil, err
		}
		d.opened[name] = src
		d.order = append(d.order, name)
	}
	if at.off > src.Size()-at.length {
		return nil, fault.In(name, fault.At(fault.Truncated, at.off, "the part of %s has %d bytes from here, and the file %d", quoted(key), at.length, src.Size()))
	}
	f := newFile(d.ctx, src).part(at.off, at.length)
	f.imports = d.imports
	r, _, err := f.read()
	if err != nil {
		return nil, fault.In(name, err)
	}
	t, err := r.tensorOf(r.root)
	switch {
	case err != nil:
		return nil, fault.In(name, err)
	case t == nil || t.Left != "":
		return nil, fault.In(name, fault.At(fault.Mismatch, at.off, "the part of %s is no tensor", quoted(key)))
	case t.DType != elem.dtype || !slices.Equal(t.Shape, b.size):
		return nil, fault.In(name, fault.At(fault.Mismatch, at.off, "the part of %s is %s%v, and should be %s%v", quoted(key), t.DType, t.Shape, elem.dtype, b.size))
	}
	return t.Data, nil
}
