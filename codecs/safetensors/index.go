package safetensors

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Index is what NAME.safetensors.index.json says: {"metadata": {...}, "weight_map": {TENSOR: FILE}}. Nobody checks
// the metadata, and total_size in it is often wrong, so it is not kept.
type Index struct {
	Shards []string       // file names relative to the index, sorted
	Shard  map[string]int // which of Shards holds the tensor

	at map[string]int64 // offset in the index of where a shard is first named
}

// DecodeIndex reads and checks an index by itself: grammar, names given twice, and that each file it names lies below
// its own folder.
func DecodeIndex(ctx context.Context, src layout.Source) (*Index, error) {
	if src.Size() > maxHeader {
		return nil, fault.New(fault.Limit, "the index is %d bytes long, and the most is %d", src.Size(), maxHeader)
	}
	s := newScanner(ctx, src, 0, src.Size())
	x := &Index{Shard: map[string]int{}, at: map[string]int64{}}
	names := arena{least: int(min(src.Size(), 64<<10))}
	order := map[string]int{}
	have := false
	err := s.object(func(key []byte, at int64) error {
		if string(key) != "weight_map" {
			return s.skip()
		}
		if have {
			return fault.At(fault.Duplicate, at, "weight_map is given twice")
		}
		have = true
		return s.object(func(name []byte, at int64) error {
			if _, ok := x.Shard[string(name)]; ok {
				return fault.At(fault.Duplicate, at, "weight_map names tensor %q twice", name)
			}
			if len(x.Shard) == maxTensors {
				return fault.At(fault.Limit, at, "more than %d tensors", maxTensors)
			}
			tensor := names.keep(name)
			if _, _, err := s.peek(); err != nil {
				return err
			}
			at = s.off()
			file, err := s.string(maxName)
			if err != nil {
				return err
			}
			i, ok := order[string(file)]
			if !ok {
				shard := string(file)
				if err := checkShard(shard, at); err != nil {
					return err
				}
				i = len(x.Shards)
				order[shard], x.at[shard] = i, at
				x.Shards = append(x.Shards, shard)
			}
			x.Shard[tensor] = i
			return nil
		})
	})
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		return nil, err
	}
	if !have {
		return nil, fault.New(fault.Malformed, "the index has no weight_map")
	}
	slices.Sort(x.Shards)
	renumber := make([]int, len(x.Shards))
	for i, shard := range x.Shards {
		renumber[order[shard]] = i
	}
	for tensor, i := range x.Shard {
		x.Shard[tensor] = renumber[i]
	}
	return x, nil
}

// checkShard refuses what is no file below the index's own folder.
func checkShard(shard string, at int64) error {
	switch clean := path.Clean(shard); {
	case shard == "":
		return fault.At(fault.Malformed, at, "weight_map names no file: its name is empty")
	case strings.HasPrefix(shard, "/"), clean == "..", strings.HasPrefix(clean, "../"):
		return fault.At(fault.Unsafe, at, "weight_map names %q, which leaves the folder of the index", shard)
	case clean == ".", strings.HasSuffix(shard, "/"):
		return fault.At(fault.Malformed, at, "weight_map names %q, which is a folder", shard)
	case strings.ContainsRune(shard, 0):
		return fault.At(fault.Malformed, at, "weight_map names %q, which no file can be called", shard)
	case strings.Contains("/"+shard+"/", "/../"):
		return fault.At(fault.Unsafe, at, "weight_map names %q, which goes through a parent folder", shard)
	}
	return nil
}

// ReadIndex reads the model that an index describes, each of whose files one reads: PyTorch's shards have the same
// index. Index and shards must agree: every tensor in the file that the index names for it, no other file with it, and
// no tensor that the index does not know. Files that the index does not name are no part of the model. Its Wire is a
// []any of those of the shards, where they have any.
func ReadIndex(ctx context.Context, files layout.Files, name string, one func(context.Context, layout.Files, string) (*model.Model, error)) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	x, err := DecodeIndex(ctx, src)
	if err != nil {
		return nil, fault.In(name, err)
	}
	m := &model.Model{
		Format: Format, File: name, Files: []string{name}, Sources: []layout.Source{src},
		Metadata: map[string]string{}, Tensors: make([]model.Tensor, 0, len(x.Shard)), Shards: []string{},
	}
	var wires []any
	for i, shard := range x.Shards {
		file := path.Join(path.Dir(name), shard)
		if err := checkThere(files, name, file, x.at[shard]); err != nil {
			return nil, err
		}
		part, err := one(ctx, files, file)
		if err != nil {
			return nil, fault.In(file, err)
		}
		if len(m.Tensors)+len(part.Tensors) > maxTensors {
			return nil, fault.In(name, fault.New(fault.Limit, "the shards hold more than %d tensors", maxTensors))
		}
		for _, t := range part.Tensors {
			t.Shard = i
			m.Tensors = append(m.Tensors, t)
		}
		m.Format, m.Left, m.Imports = part.Format, append(m.Left, part.Left...), append(m.Imports, part.Imports...)
		m.Files, m.Sources, m.Shards = append(m.Files, part.Files...), append(m.Sources, part.Sources...), append(m.Shards, file)
		m.ShardMetadata = append(m.ShardMetadata, part.Metadata)
		for key, value := range part.Metadata {
			if _, ok := m.Metadata[key]; !ok {
				m.Metadata[key] = value
			}
		}
		if part.Wire != nil {
			wires = append(wires, part.Wire)
		}
	}
	if len(wires) > 0 {
		m.Wire = wires
	}
	if err := x.agrees(m); err != nil {
		return nil, fault.In(name, err)
	}
	return m, nil
}

// checkThere refuses a file that the index names at an offset and that is not there.
func checkThere(files layout.Files, index, file string, at int64) error {
	_, err := files.Open(file)
	if !errors.Is(err, fault.Missing) {
		return err
	}
	for _, other := range files.List() {
		if strings.HasPrefix(other, file+"/") {
			return fault.In(index, fault.At(fault.Malformed, at, "weight_map names %q, which is a folder", file))
		}
	}
	return fault.In(index, fault.At(fault.Missing, at, "there is no file %q, which weight_map names", file).
		Remedied("download the missing shard"))
}

// agrees compares the index with what the shards hold.
func (x *Index) agrees(m *model.Model) error {
	found := make(map[string]int, len(m.Tensors))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if other, ok := found[t.Name]; ok {
			return fault.New(fault.Duplicate, "tensor %q is in %q and in %q", t.Name, m.Shards[other], m.Shards[t.Shard])
		}
		found[t.Name] = t.Shard
	}
	left := make(map[string]bool, len(m.Left))
	for _, l := range m.Left {
		left[l.Name] = true
	}
	var wrong []string // sorted, so that the same index always gives the same reason
	for tensor, shard := range x.Shard {
		if at, ok := found[tensor]; (!ok || at != shard) && !left[tensor] {
			wrong = append(wrong, tensor)
		}
	}
	if len(wrong) > 0 {
		first := slices.Min(wrong)
		return fault.New(fault.Missing, "%d of %d tensors are not in the file that weight_map names, the first %q in %q",
			len(wrong), len(x.Shard), first, x.Shards[x.Shard[first]])
	}
	if len(found)+len(left) == len(x.Shard) {
		return nil
	}
	maps.DeleteFunc(found, func(tensor string, _ int) bool { _, ok := x.Shard[tensor]; return ok })
	if len(found) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(found)))
	return fault.New(fault.Mismatch, "%d tensors are in the shards and not in weight_map, the first %q in %q",
		len(found), first, m.Shards[found[first]])
}
