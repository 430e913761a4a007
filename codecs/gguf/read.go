package gguf

import (
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Match reports whether a file of this name is a model as GGUF. An imatrix.gguf is none: it goes with one.
func Match(name string) bool {
	base := strings.ToLower(path.Base(name))
	return strings.HasSuffix(base, ".gguf") && base != "imatrix.gguf"
}

// Sniff reports whether a file that begins like this is a GGUF file.
func Sniff(head []byte) bool { return strings.HasPrefix(string(head), magic) }

// Labels are the names that people give quantized files: llama-quantize's, and some of mixtures that others make.
var Labels = []string{
	"Q8_K_XL", "Q8_0", "Q6_K_XL", "Q6_K_L", "Q6_K", "Q5_K_XL", "Q5_K_L", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_XL", "Q4_K_L", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "MXFP4",
	"Q3_K_XL", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K_XL", "Q2_K_L", "Q2_K", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "TQ2_0", "TQ1_0", "IQ1_M", "IQ1_S",
}

// The keys that say how a model is split over files. llama.cpp goes by them and by the names of the files.
const (
	keySplitNo      = "split.no"
	keySplitCount   = "split.count"
	keySplitTensors = "split.tensors.count"
)

// SplitKeys are the keys that only a part of a model has.
var SplitKeys = []string{keySplitNo, keySplitCount, keySplitTensors}

// Read reads a GGUF file, or all files of a model of which it is one. Every header is read and checked whole; no
// tensor's bytes are touched. A model in several files has no Shards: where it was cut says nothing, no index names the
// parts, and a view of it is one file.
//
// The tensors of plain types are the stored ones. Those in blocks are float32, which is computed when it is read.
// The model's Wire is a *Content with the tensors as they are stored.
func Read(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	first, err := open(ctx, files, name)
	if err != nil {
		return nil, err
	}
	parts := []*part{first}
	if n, split := first.count(); split {
		if parts, err = readParts(ctx, files, first, n); err != nil {
			return nil, err
		}
	}
	m := &model.Model{Format: Format, File: parts[0].name, Metadata: map[string]string{}, Stored: map[string]model.Stored{}}
	content := &Content{KVs: parts[0].header.KVs}
	for i := range content.KVs {
		m.Metadata[content.KVs[i].Key] = content.KVs[i].Shown()
	}
	seen := map[string]int{}
	for i, p := range parts {
		m.Files, m.Sources = append(m.Files, p.name), append(m.Sources, p.src)
		for j := range p.header.Entries {
			e := &p.header.Entries[j]
			if other, ok := seen[e.Name]; ok {
				return nil, fault.In(p.name, fault.At(fault.Duplicate, e.at, "tensor %q is in %s too", e.Name, parts[other].name))
			}
			seen[e.Name] = i
			stored, err := p.tensor(e)
			if err != nil {
				return nil, fault.In(p.name, err)
			}
			content.Tensors = append(content.Tensors, stored)
			plain, err := stored.Plain()
			if fault.KindOf(err) == fault.Unsupported {
				m.Left = append(m.Left, model.Left{Name: e.Name, Reason: fault.Reason(err)})
				continue
			} else if err != nil {
				return nil, fault.In(p.name, err)
			}
			m.Tensors = append(m.Tensors, plain)
			if stored.Type.DType() == model.Invalid {
				m.Stored[plain.Name] = model.Stored{Type: stored.Type.String(), Bytes: stored.Data.Size()}
			}
		}
	}
	if len(parts) == 1 {
		m.Source = first.src
		if first.header.Order == binary.LittleEndian {
			content.Source = first.src
		}
	}
	m.Wire = content
	return m, nil
}

// part is one file.
type part struct {
	name   string
	src    layout.Source
	header *Header
}

func open(ctx context.Context, files layout.Files, name string) (*part, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	h, err := Decode(ctx, src)
	if err != nil {
		return nil, fault.In(name, err)
	}
	return &part{name, src, h}, nil
}

// number is the whole number of a key.
func (p *part) number(key string) (uint64, bool) {
	c := Content{KVs: p.header.KVs}
	return c.Get(key).Uint()
}

// count is the number of files that the model lies in; false where it is one.
func (p *part) count() (uint64, bool) {
	n, ok := p.number(keySplitCount)
	return n, ok && n > 1
}

// partName is the name of one file of a model in several: PREFIX-00001-of-00003.gguf.
var partName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})(\.[^./]+)$`)

// readParts reads the n files of a model of which one is given.
func readParts(ctx context.Context, files layout.Files, given *part, n uint64) ([]*part, error) {
	name := partName.FindStringSubmatch(given.name)
	if name == nil || name[3] != fmt.Sprintf("%05d", n) {
		return nil, fault.In(given.name, fault.New(fault.Mismatch, "%s says that this is one of %d files, and its name does not end in -0000I-of-%05d.gguf", keySplitCount, n, n).
			Remedied("give the files the names that llama-gguf-split gave them"))
	}
	at, _ := strconv.ParseUint(name[2], 10, 64)
	var parts []*part
	var tensors uint64
	for i := range n {
		p := given
		if i+1 != at {
			file := fmt.Sprintf("%s-%05d-of-%05d%s", name[1], i+1, n, name[4])
			var err error
			if p, err = open(ctx, files, file); fault.KindOf(err) == fault.Missing {
				return nil, fault.In(given.name, fault.New(fault.Missing, "the model lies in %d files, and %s is missing", n, path.Base(file)).
					Remedied("download the missing file"))
			} else if err != nil {
				return nil, err
			}
		}
		if no, ok := p.number(keySplitNo); !ok || no != i {
			return nil, fault.In(p.name, fault.New(fault.Mismatch, "%s is %d in the file of number %d", keySplitNo, no, i+1))
		}
		if count, ok := p.number(keySplitCount); !ok || count != n {
			return nil, fault.In(p.name, fault.New(fault.Mismatch, "%s is %d in one of %d files", keySplitCount, count, n))
		}
		tensors += uint64(len(p.header.Entries))
		if tensors > maxTensors {
			return nil, fault.In(p.name, fault.New(fault.Limit, "the files hold more than %d tensors", maxTensors))
		}
		parts = append(parts, p)
	}
	if want, ok := parts[0].number(keySplitTensors); ok && want != tensors {
		return nil, fault.In(parts[0].name, fault.New(fault.Mismatch, "%s is %d, and the files hold %d tensors", keySplitTensors, want, tensors))
	}
	return parts, nil
}

// tensor is an entry with its data.
func (p *part) tensor(e *Entry) (Tensor, error) {
	data, err := layout.New(layout.Extent{Source: p.src, Off: e.Off, Len: e.Size})
	if err != nil {
		return Tensor{}, err
	}
	if p.header.Order == binary.BigEndian {
		op, ok := swapOf(e.Type)
		if !ok {
			return Tensor{}, fault.At(fault.Unsupported, e.at, "tensor %q is %s in a big-endian file, and nobody says how its blocks are turned", e.Name, e.Type)
		}
		if op != nil {
			if data, err = layout.New(layout.Coded{Op: op, Label: e.Name, In: []*layout.File{data}}); err != nil {
				return Tensor{}, err
			}
		}
	}
	return Tensor{Name: e.Name, Shape: e.Shape, Type: e.Type, Data: data}, nil
}

// Plain is the tensor as a model has it: with the elements of a plain type as they are stored, and those of blocks as
// float32, computed when they are read. A type that is not read is Unsupported.
func (t Tensor) Plain() (model.Tensor, error) {
	plain := model.Tensor{Name: t.Name, DType: t.Type.DType(), Shape: t.Shape, Data: t.Data}
	if plain.DType != model.Invalid {
		return plain, nil
	}
	op, ok := ggml.Dequantize(t.Type)
	if !ok {
		return plain, fault.New(fault.Unsupported, "%s is a type of intermediate results, and never that of stored weights", t.Type)
	}
	data, err := layout.New(layout.Coded{Op: op, Label: t.Name, In: []*layout.File{t.Data}})
	plain.DType, plain.Data = model.F32, data
	return plain, err
}
