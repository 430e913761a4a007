package gguf

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// TestPrecisions: names are unique, and only those that need an importance matrix are asked about apart.
func TestPrecisions(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range slices.Concat(Precisions, Asked) {
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
	if slices.Contains(Precisions, "Q2_K_S") || !slices.Contains(Precisions, "Q4_K_M") || !slices.Contains(Asked, "IQ2_XXS") {
		t.Errorf("%v, %v", Precisions, Asked)
	}
}

func small(t *testing.T) *gguf.Content {
	return made{arch: "llama", layers: 2, heads: 4, kv: 4, kind: ggml.F16}.content(t)
}

// TestPlanRefuses: why there is no such view.
func TestPlanRefuses(t *testing.T) {
	m, _ := stored(t, small(t), nil)
	odd := small(t)
	odd.Tensors = append(odd.Tensors, gguf.Tensor{Name: "odd.weight", Shape: []int64{2, 256}, Type: ggml.F64, Data: layout.Bytes(make([]byte, 4096))})
	double, _ := stored(t, odd, nil)
	experts, _ := stored(t, made{arch: "llama", layers: 2, heads: 4, kv: 4, experts: 4, kind: ggml.F16}.content(t), nil)
	other := importances(t, made{arch: "llama", layers: 2, heads: 4, kv: 4, width: 512, kind: ggml.F16}.content(t), false)
	mismatched, _ := stored(t, small(t), folder{"imatrix.gguf": file(other)})
	broken, _ := stored(t, small(t), folder{"imatrix.dat": "\x01\x00\x00\x00\x05\x00\x00\x00abcde\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00"})
	empty, _ := stored(t, small(t), folder{"imatrix.dat": "\x00\x00\x00\x00"})
	wrongType, _ := stored(t, small(t), nil)
	wrongType.Card = &model.Card{File: "isomerfs.json", Quantize: model.Quantize{OutputType: "Q9"}}
	noFile, _ := stored(t, small(t), nil)
	noFile.Card = &model.Card{File: "isomerfs.json", Quantize: model.Quantize{Imatrix: "x.gguf"}}
	notMade, _ := stored(t, small(t), nil)
	notMade.Card = &model.Card{File: "isomerfs.json", Quantize: model.Quantize{OutputType: "iq2_xxs"}}
	for name, c := range map[string]struct {
		m         *model.Model
		precision string
		kind      fault.Kind
		says      string
	}{
		"no such type":          {m, "Q9_9", fault.Absent, "no precision"},
		"no such modifier":      {m, "Q4_0-fast", fault.Absent, "pure"},
		"a modifier twice":      {m, "Q4_0-pure-pure", fault.Absent, "pure"},
		"no importance matrix":  {m, "Q2_K_S", fault.Absent, "importance matrix"},
		"a type that needs one": {m, "IQ2_XXS", fault.Unsupported, "imatrix"},
		"a type of numbers":     {double, "Q4_0", fault.Unsupported, "odd.weight"},
		"of another model":      {mismatched, "Q4_0", fault.Mismatch, "imatrix.gguf"},
		"a broken matrix":       {broken, "Q4_0", fault.Truncated, "imatrix.dat"},
		"an empty matrix":       {empty, "Q4_0", fault.Malformed, "entries"},
		"a card's type":         {wrongType, "Q4_0", fault.Malformed, "isomerfs.json"},
		"a card's matrix":       {noFile, "Q4_0", fault.Missing, "x.gguf"},
		"a type not made":       {notMade, "Q4_0", fault.Unsupported, "not made"},
		"no GGUF":               {&model.Model{Format: "npy"}, "Q4_0", fault.Unsupported, "npy"},
	} {
		files, err := Plan(c.m, c.precision)
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
	if _, err := Plan(experts, "Q4_0"); err != nil {
		t.Error(err)
	}
	lost := made{arch: "llama", layers: 2, heads: 4, kv: 4, experts: 4, kind: ggml.F16}.content(t)
	lost.Tensors = append(lost.Tensors, tensor(t, "ffn_down.weight", ggml.F16, []int64{2, 256}, values(512, 256, 1)))
	nowhere, _ := stored(t, lost, nil)
	if _, err := Plan(nowhere, "Q4_K_M"); !errors.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "ffn_down.weight") {
		t.Errorf("a tensor of no layer: %v", err)
	}
}

// TestStored: what changes nothing is the stored file, and what says that it is of a type is that type.
func TestStored(t *testing.T) {
	m, _ := stored(t, small(t), nil)
	said := small(t)
	said.Set(gguf.Key("general.file_type", uint32(15)))
	said.Tensors[0] = gguf.Tensor{Name: embeddingName, Shape: []int64{2, 256}, Type: ggml.Q5_K, Data: layout.Bytes(make([]byte, 352))}
	of15, _ := stored(t, said, nil)
	weighed, _ := stored(t, small(t), folder{"imatrix.gguf": file(importances(t, small(t), false))})
	for _, c := range []struct {
		name, precision string
		m               *model.Model
		same            bool
	}{
		{"f16", "F16", m, true}, {"f16", "BF16", m, false}, {"f16", "Q8_0", m, false}, {"of type 15", "Q4_K_M", of15, true}, {"of type 15", "Q4_K_M-pure", of15, false}, {"of type 15", "F16", of15, false},
		{"weighed", "F16", weighed, false},
	} {
		files, err := Plan(c.m, c.precision)
		if err != nil {
			t.Fatal(err)
		}
		if same := files[0].File.Identical() != nil; same != c.same || files[0].Path != "model.gguf" {
			t.Errorf("%s as %s: %v", c.name, c.precision, same)
		}
	}
}

// TestNotFinite: a value that is no number is found when it is read, in every quantized view, and told of by its tensor.
func TestNotFinite(t *testing.T) {
	for _, name := range []string{"blk.1.ffn_up.weight", "blk.0.attn_norm.weight"} {
		c := small(t)
		for i := range c.Tensors {
			if x := &c.Tensors[i]; x.Name == name {
				b := bytesOf(t, x.Data)
				b[len(b)-1], b[len(b)-2], b[len(b)-3], b[len(b)-4] = 0x7f, 0xff, 0x7f, 0xff
				x.Data = layout.Bytes(b)
			}
		}
		m, _ := stored(t, c, nil)
		for _, precision := range Precisions {
			files, err := Plan(m, precision)
			if err != nil {
				t.Fatal(err)
			}
			_, err = files[0].File.ReadAt(ctx, nil, make([]byte, files[0].File.Size()), 0)
			f, _ := ftypeOf(precision)
			wrong := quantized(f.base) || precision == "BF16" && name == "blk.1.ffn_up.weight" // which is cast as llama-quantize casts
			if errors.Is(err, fault.Malformed) != wrong || wrong && !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: %v", name, precision, err)
			}
		}
	}
}
