package model

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Container is how a model in several files is written in one format.
type Container struct {
	Format string             // the codec's name: a model stored in it keeps the names of its files
	Shard  func(i int) string // the usual name of shard i, from 0
	Index  string             // the usual name of the index
	Stored func(i int) bool   // whether shard i as it is stored is what File would be read as, if no tensor of it changes
	File   func(metadata map[string]string, tensors []Tensor) (*layout.File, error)
}

// Sharded are the files of a model in several, and their index, as Hugging Face has it: metadata.total_size in bytes and
// weight_map, the file of each tensor. Where nothing changes in a file of the same container, it is the stored one. A
// shard of which no tensor is left is left out.
func (m *Model) Sharded(c Container, tensors []Tensor) ([]Output, error) {
	byShard, stored := split(tensors, len(m.Shards)), split(m.Tensors, len(m.Shards))
	own := m.Format == c.Format
	var files []Output
	index := map[string]string{}
	var total int64
	unchanged := own
	for i, name := range m.Shards {
		if len(byShard[i]) == 0 && len(stored[i]) > 0 {
			unchanged = false
			continue
		}
		out := Output{Path: c.Shard(i)}
		if own {
			out.Path = below(name, path.Dir(m.File))
		}
		if src := m.SourceOf(name); src != nil && own && c.Stored(i) && Same(byShard[i], stored[i]) {
			out.File = layout.Stored(src)
		} else {
			unchanged = false
			metadata := m.Metadata
			if i < len(m.ShardMetadata) {
				metadata = m.ShardMetadata[i]
			}
			f, err := c.File(metadata, byShard[i])
			if err != nil {
				return nil, fault.In(name, err)
			}
			out.File = f
		}
		files = append(files, out)
		for _, t := range byShard[i] {
			index[t.Name] = out.Path
			total += t.Data.Size()
		}
	}
	at := Output{Path: c.Index}
	if own {
		at.Path = path.Base(m.File)
	}
	if src := m.SourceOf(m.File); src != nil && unchanged {
		at.File = layout.Stored(src)
	} else {
		text, err := json.MarshalIndent(map[string]any{"metadata": map[string]int64{"total_size": total}, "weight_map": index}, "", "  ")
		if err != nil {
			return nil, fault.In(m.File, fault.New(fault.Unsupported, "no index can be written: %w", err))
		}
		at.File = layout.Bytes(append(text, '\n'))
	}
	return append(files, at), nil
}

// Same reports whether tensors are the same bytes of the same type under the same names.
func Same(a, b []Tensor) bool {
	return slices.EqualFunc(a, b, func(a, b Tensor) bool { return a.Name == b.Name && a.DType == b.DType && a.Data == b.Data })
}

// split are the tensors of each of count shards.
func split(tensors []Tensor, count int) [][]Tensor {
	parts := make([][]Tensor, count)
	for _, t := range tensors {
		parts[t.Shard] = append(parts[t.Shard], t)
	}
	return parts
}

// below is a file's path below a folder, "." for the version's own.
func below(file, dir string) string {
	if dir == "." {
		return file
	}
	return strings.TrimPrefix(file, dir+"/")
}
