package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

const wholeCard = `{
  "schema": 1,
  "descriptor": {
    "name": "n", "title": "t", "description": "d", "family": "llama", "version": "1.0", "revision": "abc", "vendor": "v", "createdAt": "2026-01-01T00:00:00Z",
    "docURL": "https://example.org/doc", "sourceURL": "https://example.org/src", "datasetsURL": "https://example.org/data", "authors": ["a", "b"], "licenses": ["Apache-2.0"]
  },
  "source": {"onnx": "model_fp32.onnx", "safetensors/fp16": "half/model.safetensors", "*": "model.safetensors"},
  "quantize": {
    "pure": true, "leave_output_tensor": false, "output_tensor_type": "Q8_0", "token_embedding_type": "q4_K",
    "tensor_types": [{"pattern": "attn_v", "type": "Q8_0"}, {"type": "F16", "pattern": "blk\\.[0-3]\\.ffn"}], "imatrix": "calibration/imatrix.gguf"
  }
}`

func TestCard(t *testing.T) {
	c, err := ParseCard("sub/isomerfs.json", []byte(wholeCard))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Descriptor
	if c.File != "sub/isomerfs.json" || fmt.Sprint(d) != "{n t d llama 1.0 abc v 2026-01-01T00:00:00Z https://example.org/doc https://example.org/src https://example.org/data [a b] [Apache-2.0]}" {
		t.Errorf("%+v", c)
	}
	for view, want := range map[string]string{"onnx/fp16": "sub/model_fp32.onnx", "safetensors/fp16": "sub/half/model.safetensors", "safetensors/fp32": "sub/model.safetensors", "npy/": "sub/model.safetensors"} {
		format, precision, _ := strings.Cut(view, "/")
		if file, _ := c.SourceOf(format, precision); file != want {
			t.Errorf("the source of %s is %s, want %s", view, file, want)
		}
	}
	if _, key := c.SourceOf("onnx", "fp16"); key != "onnx" {
		t.Errorf("by key %s", key)
	}
	q := c.Quantize
	if !q.Pure || q.LeaveOutput || q.OutputType != "Q8_0" || q.EmbeddingType != "q4_K" || q.Imatrix != "sub/calibration/imatrix.gguf" || len(q.TensorTypes) != 2 || q.TensorTypes[1].Pattern.String() != `blk\.[0-3]\.ffn` || q.TensorTypes[1].Type != "F16" {
		t.Errorf("%+v", q)
	}
	c, err = ParseCard("isomerfs.json", []byte(`{"source": "model.onnx"}`))
	if err != nil || c.Source["*"] != "model.onnx" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = ParseCard("isomerfs.json", []byte("{}\n")); err != nil {
		t.Errorf("%+v, %v", c, err)
	}
	var none *Card
	if file, _ := none.SourceOf("onnx", "fp16"); file != "" {
		t.Error("no card names a source")
	}
}

func TestBadCards(t *testing.T) {
	for text, want := range map[string]struct {
		kind fault.Kind
		off  int64
		says string
	}{
		"":                             {fault.Malformed, 0, "ends"},
		"[1]":                          {fault.Malformed, 0, "an object"},
		"null":                         {fault.Malformed, 0, "an object"},
		`{"a": 1`:                      {fault.Malformed, 7, "ends"},
		`{"descriptor": {} x}`:         {fault.Malformed, 18, "no JSON"},
		`{} {}`:                        {fault.Malformed, 4, "behind"},
		`{"schema": 2, "new": 1}`:      {fault.Unsupported, 11, "schema 2"},
		`{"schema": "1"}`:              {fault.Malformed, 11, "schema must be the number 1"},
		`{"sorce": "x"}`:               {fault.Malformed, 1, `no key "sorce"`},
		`{"quantize": {"puer": true}}`: {fault.Malformed, 14, `no key "quantize.puer"`},
		`{"schema": 1, "schema": 1}`:   {fault.Duplicate, 14, `"schema" is there twice`},
		`{"quantize": []}`:             {fault.Malformed, 13, "quantize must be an object"},
		`{"quantize": {"pure": 1}}`:    {fault.Malformed, 22, "quantize.pure must be true or false"},
		`{"quantize": {"output_tensor_type": 8}}`:                           {fault.Malformed, 36, "quantize.output_tensor_type must be a text"},
		`{"quantize": {"tensor_types": {}}}`:                                {fault.Malformed, 30, "quantize.tensor_types must be a list"},
		`{"quantize": {"tensor_types": [{"pattern": "a"}]}}`:                {fault.Malformed, 31, "quantize.tensor_types[0] must be"},
		`{"quantize": {"tensor_types": [{"pattern": "(", "type": "F16"}]}}`: {fault.Malformed, 43, "quantize.tensor_types[0].pattern must be a regular expression"},
		`{"quantize": {"tensor_types": [{"pattern": "a", "kind": "F16"}]}}`: {fault.Malformed, 48, `no key "quantize.tensor_types[0].kind"`},
		`{"descriptor": {"licenses": "MIT"}}`:                               {fault.Malformed, 28, "descriptor.licenses must be a list"},
		`{"descriptor": {"licenses": [1]}}`:                                 {fault.Malformed, 29, "descriptor.licenses[0] must be a text"},
		`{"source": "../x"}`:                                                {fault.Malformed, 11, "source must be the path"},
		`{"source": "/x"}`:                                                  {fault.Malformed, 11, "source must be the path"},
		`{"source": {"onnx": ".."}}`:                                        {fault.Malformed, 20, "source.onnx must be the path"},
		`{"source": {"a/b/c": "x"}}`:                                        {fault.Malformed, 12, "source.a/b/c must be FORMAT"},
		`{"source": 1}`:                                                     {fault.Malformed, 11, "source must be the path"},
		strings.Repeat("[", 100):                                            {fault.Limit, 16, "deep"},
		`{"a": "` + strings.Repeat("x", maxCard) + `"}`:                     {fault.Limit, -1, "longest"},
	} {
		_, err := ParseCard("isomerfs.json", []byte(text))
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != want.kind || e.Off != want.off || !strings.Contains(fault.Reason(err), want.says) {
			t.Errorf("%.80s: %v (%v at %d), want %v at %d: %s", text, err, fault.KindOf(err), e.Off, want.kind, want.off, want.says)
		}
	}
}

// FuzzCard: whatever a card holds, reading it ends, what is read is JSON that encoding/json takes too, and one with a
// key more than it may have is none.
func FuzzCard(f *testing.F) {
	f.Add(wholeCard)
	f.Add(`{"source": {"*": "a/b.onnx"}}`)
	f.Add(`{"quantize": {"tensor_types": [{"pattern": "(", "type": ""}]}}`)
	f.Add(`{"a": [1, 2, {"b": null}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseCard("isomerfs.json", []byte(text)); err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%q is no JSON, and a card", text)
		}
		more := strings.Replace(text, "{", `{"key of nobody": 1,`, 1)
		if strings.TrimSpace(strings.Trim(strings.TrimSpace(text), "{}")) == "" {
			more = `{"key of nobody": 1}`
		}
		if _, err := ParseCard("isomerfs.json", []byte(more)); err == nil {
			t.Errorf("%q is a card", more)
		}
	})
}
