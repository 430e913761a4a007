package tree

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// madeFromFiles is what each view of a version is made from, by metadata.json.
func madeFromFiles(t *testing.T, tr *Tree, version string) map[string]string {
	t.Helper()
	var got struct {
		Sources []struct {
			View string
			From []string
			Why  string
		}
	}
	if err := json.Unmarshal([]byte(text(t, tr, version+"/metadata.json")), &got); err != nil {
		t.Fatal(err)
	}
	from := map[string]string{}
	for _, s := range got.Sources {
		from[s.View] = strings.Join(s.From, " ") + ": " + s.Why
	}
	return from
}

// TestCardSource: a card says which stored form a view is made from, and what can't be made of that is made of another.
func TestCardSource(t *testing.T) {
	const graph = "input x F32 2\noutput y F32 2\nw F32 2\ny = Add x w"
	forms := func(card string) map[string]string {
		return map[string]string{
			"m/v1/model.safetensors": "w F32 2", "m/v1/model.onnx": graph, "m/v1/model_fp16.safetensors": "w F16 2", "m/v1/isomerfs.json": card,
		}
	}
	const named, exact, only = "named by the card source/isomerfs.json", "stored in this format and precision", "the preferred of the stored forms"
	for card, want := range map[string]map[string]string{
		`{}`: {
			"safetensors/fp32": "source/model.safetensors: stored in this format", "safetensors/fp16": "source/model_fp16.safetensors: " + exact, "npy": "source/model.safetensors: " + only,
			"onnx/fp32": "source/model.onnx: stored in this format",
		},
		`{"source": "model.onnx"}`: {
			"safetensors/fp32": "source/model.onnx: " + named, "safetensors/fp16": "source/model.onnx: " + named, "npy": "source/model.onnx: " + named, "onnx/fp32": "source/model.onnx: " + named,
		},
		`{"source": {"safetensors/fp16": "model.safetensors", "npy": "model_fp16.safetensors"}}`: {
			"safetensors/fp32": "source/model.safetensors: stored in this format", "safetensors/fp16": "source/model.safetensors: " + named, "npy": "source/model_fp16.safetensors: " + named,
			"tensors": "source/model.safetensors: " + only,
		},
		`{"source": "model_fp16.safetensors"}`: {
			"safetensors/fp32": "source/model_fp16.safetensors: " + named, "onnx/fp32": "source/model.onnx: the nearest form that can be made into it",
		},
	} {
		tr, _ := makeTree(t, forms(card))
		got := madeFromFiles(t, tr, "m/v1")
		for view, from := range want {
			if got[view] != from {
				t.Errorf("%s: %s is made from %s, want %s", card, view, got[view], from)
			}
		}
		s, err := tr.Model(context.Background(), resolve(t, tr, "m/v1"))
		if err != nil {
			t.Fatal(err)
		}
		if shown := map[bool]string{true: "onnx", false: "safetensors"}[card == `{"source": "model.onnx"}`]; s.Format != shown {
			t.Errorf("%s: shown as %s", card, s.Format)
		}
	}
}

// TestCards: what a card says is told, a bad one is told and takes nothing away.
func TestCards(t *testing.T) {
	const good = `{"schema": 1, "descriptor": {"family": "llama", "licenses": ["MIT"], "authors": ["somebody"]}, "quantize": {"output_tensor_type": "Q8_0"}}`
	tr, root := makeTree(t, map[string]string{
		"good/v1/model.safetensors": small, "good/v1/isomerfs.json": good,
		"bad/v1/model.safetensors": small, "bad/v1/isomerfs.json": `{"quantize": {"puer": true}}`,
		"gone/v1/model.safetensors": small, "gone/v1/isomerfs.json": `{"source": {"onnx": "model.onnx"}}`,
		"no/v1/model.safetensors": small, "no/v1/notes.txt": "x", "no/v1/isomerfs.json": `{"source": "notes.txt"}`,
		"view/v1/model.safetensors": small, "view/v1/isomerfs.json": `{"source": {"onx": "model.safetensors"}}`,
		"newer/v1/model.safetensors": small, "newer/v1/isomerfs.json": `{"schema": 7}`,
		"alone/v1/isomerfs.json": `{}`,
		"deep/v1/a.safetensors":  small, "deep/v1/b/b.safetensors": small, "deep/v1/b/c/c.safetensors": small + "x F32 1", "deep/v1/isomerfs.json": `{}`, "deep/v1/b/isomerfs.json": good,
	})
	ctx := context.Background()
	var got struct {
		Broken []struct {
			Path, Fault, Reason string
			Remedy              *string
		}
		Cards []struct {
			Path string
			Card struct{ Descriptor struct{ Family string } }
		}
		Facts []fact
		Views []fileRow
	}
	read := func(version string) {
		t.Helper()
		got.Broken, got.Cards, got.Facts, got.Views = nil, nil, nil, nil
		if err := json.Unmarshal([]byte(text(t, tr, version+"/metadata.json")), &got); err != nil {
			t.Fatal(err)
		}
	}
	read("good/v1")
	if len(got.Cards) != 1 || got.Cards[0].Path != "source/isomerfs.json" || got.Cards[0].Card.Descriptor.Family != "llama" || len(got.Broken) != 0 {
		t.Errorf("%+v", got)
	}
	for _, f := range []fact{{"licence", "MIT", "source/isomerfs.json"}, {"family", "llama", "source/isomerfs.json"}, {"author", "somebody", "source/isomerfs.json"}} {
		if !slices.Contains(got.Facts, f) {
			t.Errorf("not told: %+v", f)
		}
	}
	c, err := tr.contents(ctx, resolve(t, tr, "good/v1").in.v)
	if err != nil || c.components[0].main().model.Card == nil || c.components[0].main().model.Card.Quantize.OutputType != "Q8_0" {
		t.Error("the model has not its card", err)
	}
	for name, want := range map[string]struct{ fault, says, remedy string }{
		"bad": {"malformed", `no key "quantize.puer"`, "it has imatrix, leave_output_tensor"}, "gone": {"missing", "source.onnx: there is no file model.onnx", ""},
		"no": {"malformed", "source: notes.txt is no model", ""}, "view": {"malformed", "source.onx: isomerfs makes no onx", "it makes safetensors"}, "newer": {"unsupported", "schema 7, and 1 is read", ""},
	} {
		version := name + "/v1"
		read(version)
		if len(got.Views) == 0 || len(got.Cards) != 0 || len(got.Broken) != 1 || got.Broken[0].Path != "source/isomerfs.json" || got.Broken[0].Fault != want.fault || !strings.Contains(got.Broken[0].Reason, want.says) {
			t.Errorf("%s: %+v", name, got)
		}
		if readme := text(t, tr, version+"/README.md"); !strings.Contains(readme, "The card `source/isomerfs.json` is not used.") {
			t.Errorf("%s: README.md says nothing", name)
		}
		for _, p := range []string{"", "/source/isomerfs.json"} {
			a, err := tr.Why(ctx, version+p)
			if err != nil || !a.Available || !strings.Contains(a.Reason, want.says) || !strings.HasPrefix(a.Remedy, want.remedy) {
				t.Errorf("why %s: %+v, %v", version+p, a, err)
			}
		}
		if n := resolve(t, tr, name+"/latest"); n.Path != version {
			t.Errorf("%s: latest is %s", name, n.Path)
		}
		for _, p := range []string{"", "/source", "/source/isomerfs.json", "/safetensors/fp16/model.safetensors"} {
			found := 0
			err := tr.Verify(ctx, resolve(t, tr, version+p), func(f Finding) {
				if f.Path == version+"/source/isomerfs.json" {
					found++
					if f.OK != (name == "newer") || f.Check != "structure" || !strings.Contains(f.Detail, want.says) {
						t.Errorf("%s: %+v", version+p, f)
					}
				}
			})
			if err != nil || found != 1 {
				t.Errorf("verify %s: %d findings, %v", version+p, found, err)
			}
		}
	}
	var found []string
	if err := tr.Verify(ctx, resolve(t, tr, "good/v1"), func(f Finding) { found = append(found, fmt.Sprint(f.Path, f.OK, f.Detail)) }); err != nil || fmt.Sprint(found) != "[good/v1/source/isomerfs.jsontruea card good/v1/source/model.safetensorstruesafetensors, 2 tensors]" {
		t.Errorf("%v, %v", found, err)
	}
	c, err = tr.contents(ctx, resolve(t, tr, "deep/v1").in.v)
	if err != nil {
		t.Fatal(err)
	}
	cards := map[string]string{}
	for _, m := range c.components {
		cards[m.name] = m.main().model.Card.File
	}
	if want := map[string]string{"a": "isomerfs.json", "b/b": "b/isomerfs.json", "b/c/c": "b/isomerfs.json"}; fmt.Sprint(cards) != fmt.Sprint(want) {
		t.Errorf("%v", cards)
	}
	read("alone/v1")

	// a card that is mended counts at once
	put(t, root, "bad/v1/isomerfs.json", good)
	if read("bad/v1"); len(got.Broken) != 0 || len(got.Cards) != 1 {
		t.Errorf("mended: %+v", got)
	}
}
