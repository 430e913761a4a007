package gguf

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// TestCard: the card's options are the knobs of every type, and its importance matrix is the one that is used.
func TestCard(t *testing.T) {
	c := made{arch: "llama", layers: 2, heads: 4, kv: 4, kind: ggml.F16, count: 2}.content(t)
	x := file(importances(t, c, false))
	plan := func(card, precision string) (map[string]string, *gguf.Content, error) {
		m, _ := stored(t, c, folder{"deep/words.gguf": x})
		var err error
		if m.Card, err = model.ParseCard("isomerfs.json", []byte(card)); err != nil {
			t.Fatal(err)
		}
		files, err := Plan(m, precision)
		if err != nil {
			return nil, nil, err
		}
		b := bytesOf(t, files[0].File)
		types := map[string]string{}
		for _, line := range typesOf(t, b) {
			name, kind, _ := strings.Cut(line, " ")
			types[name] = kind
		}
		made, err := gguf.Read(ctx, folder{"m.gguf": file(b)}, "m.gguf")
		if err != nil {
			t.Fatal(err)
		}
		return types, made.Wire.(*gguf.Content), nil
	}
	for _, r := range []struct {
		card, precision string
		want            map[string]string
	}{
		{`{}`, "Q4_K_M", map[string]string{"output.weight": "Q6_K", "token_embd.weight": "Q4_K", "blk.0.attn_k.weight": "Q4_K"}},
		{`{"quantize": {"output_tensor_type": "q8_0", "token_embedding_type": "F16"}}`, "Q4_K_M", map[string]string{"output.weight": "Q8_0", "token_embd.weight": "F16", "blk.0.attn_k.weight": "Q4_K"}},
		{`{"quantize": {"pure": true}}`, "Q4_K_M", map[string]string{"output.weight": "Q4_K"}},
		{`{"quantize": {"leave_output_tensor": true}}`, "Q4_K_M", map[string]string{"output.weight": "F16"}},
		{`{"quantize": {"tensor_types": [{"pattern": "blk\\.0\\.attn_k", "type": "Q8_0"}, {"pattern": "attn_k", "type": "Q5_K"}]}}`, "Q4_K_M", map[string]string{"blk.0.attn_k.weight": "Q8_0", "blk.1.attn_k.weight": "Q5_K"}},
	} {
		types, made, err := plan(r.card, r.precision)
		if err != nil {
			t.Errorf("%s: %v", r.card, err)
			continue
		}
		for name, want := range r.want {
			if types[name] != want {
				t.Errorf("%s: %s is %s, want %s", r.card, name, types[name], want)
			}
		}
		if made.Get("quantize.imatrix.file") != nil {
			t.Errorf("%s: an importance matrix that nobody named", r.card)
		}
	}
	_, made, err := plan(`{"quantize": {"imatrix": "deep/words.gguf"}}`, "Q2_K_S")
	if err != nil || made.Get("quantize.imatrix.file") == nil || made.Get("quantize.imatrix.file").Shown() != "words.gguf" {
		t.Errorf("%v, %v", made, err)
	}
	m, _ := stored(t, c, folder{"deep/words.gguf": x})
	m.Card = &model.Card{Quantize: model.Quantize{Imatrix: "deep/words.gguf"}}
	if !slices.Contains(More(m), "Q2_K_S") {
		t.Error("Q2_K_S is not listed")
	}
	if _, _, err := plan(`{"quantize": {"imatrix": "gone.gguf"}}`, "Q4_0"); !errors.Is(err, fault.Missing) {
		t.Errorf("an importance matrix that is not there: %v", err)
	}
	for _, card := range []string{`{"quantize": {"output_tensor_type": "Q9"}}`, `{"quantize": {"token_embedding_type": "Q9"}}`, `{"quantize": {"tensor_types": [{"pattern": "x", "type": "Q9"}]}}`} {
		if _, _, err := plan(card, "Q4_0"); !errors.Is(err, fault.Malformed) || !strings.Contains(err.Error(), `isomerfs.json`) || !strings.Contains(err.Error(), `"Q9"`) {
			t.Errorf("%s: %v", card, err)
		}
	}
}
