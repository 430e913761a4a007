// Package checkpoint turns a Hugging Face checkpoint into what llama.cpp takes: the names that it gives tensors, the
// order it has their elements in, the keys it looks for, and its tokens. It makes what llama.cpp's
// convert_hf_to_gguf.py writes of the same folder, but for the types, which are chosen later.
//
// An architecture is a table: which tensor of the checkpoint becomes which of the file, by what moves of its elements,
// and which keys it has. What no table knows is not converted, and it is said why.
package checkpoint

import (
	"context"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Checkpoint is a checkpoint in llama.cpp's terms, before any type is chosen.
type Checkpoint struct {
	kvs     []gguf.KV
	tensors []tensor
	blocks  bool // some tensors are stored in blocks that go into the file as they are
}

// Read turns a model into llama.cpp's terms. It reads the configuration, the tokenizer and the headers, and no weight.
// What it cannot turn is Unsupported, Missing or Mismatch, with the reason.
func Read(ctx context.Context, m *model.Model) (*Checkpoint, error) {
	c := &converter{ctx: ctx, model: m, folder: hf.Beside(m)}
	if c.folder == nil {
		return nil, fault.New(fault.Missing, "nothing says what lies beside %s, and GGUF holds the configuration and the tokenizer too", m.File)
	}
	if err := c.configure(); err != nil {
		return nil, err
	}
	if err := c.convert(); err != nil {
		return nil, err
	}
	if err := c.general(); err != nil {
		return nil, err
	}
	if err := c.hyper(); err != nil {
		return nil, err
	}
	c.put(gguf.Key("general.quantization_version", uint32(2)))
	if err := c.tokenizer(); err != nil {
		return nil, err
	}
	return &Checkpoint{kvs: c.kvs, tensors: c.tensors, blocks: slices.ContainsFunc(c.tensors, func(t tensor) bool { return t.block != 0 })}, nil
}

// Own is the type that holds every weight as precisely as the checkpoint stores it: F32, F16 or BF16.
func (c *Checkpoint) Own() ggml.Type {
	own := ggml.Type(0)
	seen := false
	for i := range c.tensors {
		t := &c.tensors[i]
		if t.block != 0 || t.always() {
			continue
		}
		of := ggml.F32
		switch t.dtype {
		case model.F16:
			of = ggml.F16
		case model.BF16:
			of = ggml.BF16
		}
		if seen && of != own {
			return ggml.F32
		}
		own, seen = of, true
	}
	return own
}

// fileTypes are the numbers of the file types that have tensors of one plain type (enum llama_ftype).
var fileTypes = map[ggml.Type]uint32{ggml.F32: 0, ggml.F16: 1, ggml.BF16: 32}

// mostlyMXFP4 is the number of the file type of checkpoints that are stored in MXFP4.
const mostlyMXFP4 = 38

// Content is what the file holds with weights in a type: F32, F16 or BF16. What llama.cpp wants in F32 is F32 in any of
// them.
func (c *Checkpoint) Content(to ggml.Type) (*gguf.Content, error) {
	number, ok := fileTypes[to]
	if !ok {
		return nil, fault.New(fault.Unsupported, "a checkpoint is not converted to %s at once", to)
	}
	if c.blocks {
		number = mostlyMXFP4
	}
	made := &gguf.Content{KVs: slices.Clone(c.kvs), Whole: true}
	for i := range made.KVs {
		if made.KVs[i].Key == fileType {
			made.KVs[i] = gguf.Key(fileType, number)
		}
	}
	for i := range c.tensors {
		t := &c.tensors[i]
		if t.block != 0 {
			made.Tensors = append(made.Tensors, gguf.Tensor{Name: t.name, Shape: t.shape, Type: t.block, Data: t.data})
			continue
		}
		as := to
		if t.always() {
			as = ggml.F32
		}
		cast, err := quant.Tensor(model.Tensor{Name: t.name, DType: t.dtype, Shape: t.shape, Data: t.data}, as.DType())
		if err != nil {
			return nil, err
		}
		made.Tensors = append(made.Tensors, gguf.Tensor{Name: t.name, Shape: t.shape, Type: as, Data: cast.Data})
	}
	return made, nil
}

// alwaysF32 are tensors that are F32 in every file, without their block's prefix: llama.cpp computes with them so.
var alwaysF32 = []string{"ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "position_embd.weight", "token_types.weight"}

// always reports whether a tensor is F32 in every file.
func (t *tensor) always() bool {
	bare := t.name
	if rest, ok := strings.CutPrefix(bare, "blk."); ok {
		_, bare, _ = strings.Cut(rest, ".")
	}
	return len(t.shape) <= 1 || strings.HasSuffix(t.name, "_norm.weight") || !strings.HasSuffix(t.name, ".weight") || slices.Contains(alwaysF32, bare)
}
