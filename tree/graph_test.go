package tree

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// chooses is a network with tensors in its branches.
const chooses = `
meta author=nobody
input x F32 2x4
input c BOOL ()
output y F32 2x3
w F32 4x3
m = MatMul x w
y = If c
{
	output a F32 2x3
	inner F32 3
	a = Add m inner
}
{
	output b F32 2x3
	other F32 2x3
	b = vendor.example:Warp m other
}
`

// TestGraphs: what is said of graphs, and where there is a drawing.
func TestGraphs(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{
		"m/v1/model.onnx": chooses, "w/v1/model.safetensors": small, "broken/v1/model.onnx": "text nothing", "none/v1/notes.txt": "x",
		"both/v1/model.safetensors": small, "both/v1/model.onnx": chooses,
		"two/v1/encoder.onnx": "input x F32 2\noutput y F32 2\ny = Relu x", "two/v1/decoder.onnx": "input x F32 2\noutput z F32 2\nz = Tanh x", "two/v1/weights.safetensors": small,
	})
	s, err := tr.Model(context.Background(), resolve(t, tr, "m/v1"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"parameters": "21", "initializers": "1, and 2 in subgraphs", "operators": "Add 1, If 1, MatMul 1, vendor.example.Warp 1", "opsets": "ai.onnx 17", "author": "nobody"} {
		if s.Metadata[key] != want {
			t.Errorf("%s: %s, want %s", key, s.Metadata[key], want)
		}
	}
	if fmt.Sprint(s.Inputs, s.Outputs) != "[{x F32 [2 4]} {c BOOL []}] [{y F32 [2 3]}]" || len(s.Tensors) != 1 {
		t.Errorf("%+v", s)
	}
	var metadata struct{ Parameters int }
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/metadata.json")), &metadata); err != nil || metadata.Parameters != 21 {
		t.Errorf("%+v, %v", metadata, err)
	}
	if summary := text(t, tr, "m/v1/summary.txt"); !strings.Contains(summary, "21 parameters") || !strings.Contains(summary, "initializers: 1, and 2 in subgraphs\n") {
		t.Error(summary)
	}
	if s, err := tr.Model(context.Background(), resolve(t, tr, "both/v1")); err != nil || s.Format != "safetensors" || len(s.Tensors) != 2 || len(s.Inputs) != 2 || s.Metadata["opsets"] == "" {
		t.Errorf("a graph beside weights: %+v, %v", s, err)
	}
	if summary := text(t, tr, "both/v1/summary.txt"); !strings.Contains(summary, "graph of source/model.onnx\n") {
		t.Error(summary)
	}
	for version, words := range map[string][]string{
		"both/v1": {"then_branch"},
		"m/v1":    {"then_branch", "Warp", "vendor.example", "F32[2,3]", "21 parameters", "2 inputs", "MatMul"},
		"two/v1":  {"encoder", "decoder", "Relu", "Tanh"},
	} {
		svg, dot := text(t, tr, version+"/graph.svg"), text(t, tr, version+"/graph.dot")
		for _, word := range words {
			if !strings.Contains(svg, word) || !strings.Contains(dot, word) {
				t.Errorf("%s: %q is not in both drawings", version, word)
			}
		}
		if !strings.HasPrefix(dot, "digraph ") {
			t.Errorf("%.80s", dot)
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	for version, want := range map[string]string{"w/v1": "weights and no graph", "broken/v1": "source/model.onnx: ", "none/v1": "none of the stored files"} {
		list, err := tr.List(context.Background(), resolve(t, tr, version))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.HasPrefix(e.Name, "graph") {
				t.Errorf("%s lists %s", version, e.Name)
			}
		}
		for _, name := range []string{"/graph.svg", "/graph.dot"} {
			if _, err := tr.Resolve(context.Background(), version+name); !errors.Is(err, fault.Absent) {
				t.Errorf("%s: %v", version+name, err)
			}
			if a, err := tr.Why(context.Background(), version+name); err != nil || a.Available || !strings.Contains(a.Reason, want) {
				t.Errorf("%s: %+v, %v", version+name, a, err)
			}
		}
	}
}
