// Package gguf reads and writes GGUF, the container of llama.cpp.
//
//	off 0   ┌───────────────────────────────┐
//	        │ "GGUF", version, tensors, keys│ uint32, uint64, uint64
//	        ├───────────────────────────────┤
//	        │ key: name, type, value        │ numbers, strings, arrays of either
//	        │ ...                           │
//	        ├───────────────────────────────┤
//	        │ tensor: name, dimensions,     │ dimensions fastest first, type of ggml,
//	        │         type, offset          │ offset from the beginning of the data
//	        │ ...                           │
//	        ├───────────────────────────────┤ a multiple of general.alignment
//	        │ data of the first tensor      │ zeros up to the alignment after each
//	        │ ...                           │
//	        └───────────────────────────────┘
//
// All numbers are little-endian, but in files for big-endian machines, which version 3 allows: their version reads
// byte-swapped. Strings are a uint64 length and that many bytes. The tensors' data lies in the order of their entries
// without holes, so that offsets are no choice.
//
// Specification: docs/gguf.md of the ggml project, and its gguf.cpp where the two differ.
package gguf

import (
	"slices"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/layout"
)

// Format is the codec's name.
const Format = "gguf"

// Content is what a GGUF file holds, wherever it comes from: a stored file, or a checkpoint in another format that was
// given the names and keys of llama.cpp.
type Content struct {
	KVs     []KV
	Tensors []Tensor

	// Whole says that dimensions of 1 at the outer end are written too, as convert_hf_to_gguf.py does and llama-quantize
	// does not.
	Whole bool

	// Source is the stored file that holds just this, where it is one file and little-endian; nil otherwise. Whoever
	// changes a content takes it off.
	Source layout.Source
}

// Tensor is one tensor of a file.
type Tensor struct {
	Name  string
	Shape []int64 // outermost first, as everywhere but in the file; at most 4 dimensions
	Type  ggml.Type
	Data  *layout.File // rows of whole blocks of Type, little-endian
}

// Get is the entry of a key; nil where there is none.
func (c *Content) Get(key string) *KV {
	if i := c.find(key); i >= 0 {
		return &c.KVs[i]
	}
	return nil
}

func (c *Content) find(key string) int {
	return slices.IndexFunc(c.KVs, func(kv KV) bool { return kv.Key == key })
}

// Set puts entries at the end of the list, in place of those of the same keys, which is how llama.cpp sets a key.
func (c *Content) Set(kvs ...KV) {
	for _, kv := range kvs {
		c.Remove(kv.Key)
		c.KVs = append(c.KVs, kv)
	}
}

// Remove takes keys out.
func (c *Content) Remove(keys ...string) {
	c.KVs = slices.DeleteFunc(c.KVs, func(kv KV) bool { return slices.Contains(keys, kv.Key) })
}

// Clone is a copy whose lists are its own, without Source.
func (c *Content) Clone() *Content {
	return &Content{KVs: slices.Clone(c.KVs), Tensors: slices.Clone(c.Tensors)}
}
