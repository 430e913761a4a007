package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
)

const readmeCard = `---
license: apache-2.0
library_name: transformers
base_model: org/base # of course
datasets:
- squad
- "glue"
metrics: [f1, accuracy]
model-index:
- name: mine
  results:
  - task:
      type: question-answering
    dataset:
      name: SQuAD
      type: squad
    metrics:
    - type: f1
      value: 88.5
---
# A card

## Training procedure

### Training hyperparameters

The following hyperparameters were used during training:
- learning_rate: 2e-05
- seed: 42

### Framework versions

- Transformers 4.40.1
- Pytorch: 2.3.0
`

// told is a version that says much of itself.
var told = map[string]string{
	"m/v1/model.safetensors":        "meta format=pt\nmeta note=x\n" + small,
	"m/v1/README.md":                readmeCard,
	"m/v1/config.json":              `{"architectures": ["BertModel"], "hidden_size": 16, "transformers_version": "4.40.1", "id2label": {"0": "` + strings.Repeat("x", 400) + `"}}`,
	"m/v1/preprocessor_config.json": `{"do_resize": true, "image_mean": [0.5, 0.5, 0.5]}`,
	"m/v1/requirements.txt":         "# needs\ntorch>=2.1 # at least\nnumpy\n",
}

func TestFacts(t *testing.T) {
	tr, _ := makeTree(t, told)
	var got struct{ Facts []fact }
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/metadata.json")), &got); err != nil {
		t.Fatal(err)
	}
	want := []fact{
		{"licence", "apache-2.0", "source/README.md, front matter"},
		{"framework", "transformers", "source/README.md, front matter"},
		{"base model", "org/base", "source/README.md, front matter"},
		{"dataset", "squad", "source/README.md, front matter"},
		{"dataset", "glue", "source/README.md, front matter"},
		{"metric", "f1", "source/README.md, front matter"},
		{"metric", "accuracy", "source/README.md, front matter"},
		{"metric f1 on SQuAD", "88.5", "source/README.md, front matter"},
		{"hyper-parameter learning_rate", "2e-05", "source/README.md"},
		{"hyper-parameter seed", "42", "source/README.md"},
		{"framework", "Transformers 4.40.1", "source/README.md"},
		{"framework", "Pytorch 2.3.0", "source/README.md"},
		{"architecture", "BertModel", "source/config.json"},
		{"hyper-parameter hidden_size", "16", "source/config.json"},
		{"framework", "transformers 4.40.1", "source/config.json"},
		{"preprocessing do_resize", "true", "source/preprocessor_config.json"},
		{"preprocessing image_mean", "[0.5,0.5,0.5]", "source/preprocessor_config.json"},
		{"requirement", "torch>=2.1", "source/requirements.txt"},
		{"requirement", "numpy", "source/requirements.txt"},
		{"framework", "pt", "source/model.safetensors, its metadata"},
		{"metadata note", "x", "source/model.safetensors, its metadata"},
	}
	if len(got.Facts) != len(want) {
		t.Errorf("%d facts, want %d", len(got.Facts), len(want))
	}
	readme, summary := text(t, tr, "m/v1/README.md"), text(t, tr, "m/v1/summary.txt")
	for i := range min(len(want), len(got.Facts)) {
		if got.Facts[i] != want[i] {
			t.Errorf("fact %d is %+v, want %+v", i, got.Facts[i], want[i])
		}
		if !strings.Contains(readme, want[i].Value) || !strings.Contains(summary, want[i].Value) {
			t.Errorf("README.md and summary.txt do not tell %+v", want[i])
		}
	}
}

// TestMetadata: the shape that programs rely on, and the lists against what is listed.
func TestMetadata(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{
		"m/v1/a.safetensors": small, "m/v1/b.safetensors": small + "cut 1\n", "m/v1/deep/notes.txt": "x",
		"n/v1/notes.txt": "x", "o/v1/model.safetensors": "w F32 2\nf F4 4\n", "o/champion": "-> v1",
	})
	for _, version := range []string{"m/v1", "n/v1", "o/v1"} {
		var got map[string]any
		if err := json.Unmarshal([]byte(text(t, tr, version+"/metadata.json")), &got); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"aliases", "files", "views", "unavailable", "models", "sources", "broken", "left_out", "facts"} {
			if _, ok := got[key].([]any); !ok {
				t.Errorf("%s: %s is %v", version, key, got[key])
			}
		}
		if got["model"] != version[:1] || got["version"] != "v1" {
			t.Errorf("%s: %v %v", version, got["model"], got["version"])
		}
		if _, ok := got["format"].(string); !ok {
			t.Errorf("%s: format %v", version, got["format"])
		}
		listed := map[string]int64{}
		for _, n := range everything(t, tr) {
			if p, ok := strings.CutPrefix(n.Path, version+"/"); ok && n.File != nil && n.File.Document == nil {
				listed[p] = n.Attr.Size
			}
		}
		for _, key := range []string{"files", "views"} {
			for _, row := range got[key].([]any) {
				r := row.(map[string]any)
				p := r["path"].(string)
				if size, ok := listed[p]; !ok || size != int64(r["size"].(float64)) {
					t.Errorf("%s: %s has %v, the listing %d", version, key, r, size)
				}
				if key == "views" && r["exact"] != true {
					t.Errorf("%s: %v", version, r)
				}
				delete(listed, p)
			}
		}
		if len(listed) > 0 {
			t.Errorf("%s: not mentioned: %v", version, listed)
		}
		readme := text(t, tr, version+"/README.md")
		for _, row := range got["unavailable"].([]any) {
			r := row.(map[string]any)
			_, remedy := r["remedy"]
			if r["reason"] == "" || !remedy || !strings.Contains(readme, r["view"].(string)) {
				t.Errorf("%s: %v is not told well, or not in README.md", version, r)
			}
		}
	}
	var m, n, o struct {
		Parameters  *int64
		Format      string
		Aliases     []string
		Unavailable []struct{ View string }
		LeftOut     []struct{ View, Name string } `json:"left_out"`
		Broken      []struct{ Path, Fault string }
	}
	for p, into := range map[string]any{"m": &m, "n": &n, "o": &o} {
		if err := json.Unmarshal([]byte(text(t, tr, p+"/v1/metadata.json")), into); err != nil {
			t.Fatal(err)
		}
	}
	if *m.Parameters != 9 || m.Format != "safetensors" || len(m.Broken) != 1 || m.Broken[0].Path != "source/b.safetensors" || m.Broken[0].Fault != "truncated" || fmt.Sprint(m.Unavailable) != "[{safetensors/fp32/b} {safetensors/fp16/b} {safetensors/bf16/b} {onnx} {gguf} {pytorch/fp32/b} {pytorch/fp16/b} {pytorch/bf16/b} {npz/b} {npy/b} {tensors/b} {optimizer}]" {
		t.Errorf("%+v", m)
	}
	if n.Parameters != nil || n.Format != "" || fmt.Sprint(n.Unavailable) != "[{safetensors} {onnx} {gguf} {pytorch} {npz} {npy} {tensors} {optimizer}]" {
		t.Errorf("%+v", n)
	}
	if fmt.Sprint(o.Aliases) != "[champion latest]" || fmt.Sprint(o.LeftOut) != "[{npz f} {npy f}]" {
		t.Errorf("%+v", o)
	}
}

// TestDocumentsKeepTheirSize: whatever becomes known while the stored files stay.
func TestDocumentsKeepTheirSize(t *testing.T) {
	files := map[string]string{"m/v2/model.safetensors": small}
	for name, content := range told {
		files[name] = content
	}
	files["m/v1/odd \\ name\n.txt"] = "x"
	files["m/v1/model.onnx"] = chooses
	known := map[layout.ID]string{}
	tr, root := makeTree(t, files, func(o *Options) {
		o.Digest = func(id layout.ID) (string, bool) { sum, ok := known[id]; return sum, ok }
	})
	sizes := func() string {
		var b strings.Builder
		for _, d := range documents {
			n := resolve(t, tr, "m/v1/"+d.name)
			got := text(t, tr, "m/v1/"+d.name)
			if got == "" {
				t.Errorf("%s is empty", d.name)
			}
			if strings.HasSuffix(d.name, ".json") && !json.Valid([]byte(got)) {
				t.Errorf("%s is no JSON", d.name)
			}
			fmt.Fprintf(&b, "%s %d %v %d\n", d.name, n.Attr.Size, n.Attr.ModTime, n.Gen)
		}
		return b.String()
	}
	first := sizes()
	var count int
	for _, n := range everything(t, tr) {
		if n.File != nil && n.File.Layout != nil && strings.HasPrefix(n.Path, "m/v1/") {
			sum := sha256.Sum256([]byte(n.Path))
			known[n.File.Layout.ID()] = hex.EncodeToString(sum[:])
			count++
			if got := sizes(); got != first {
				t.Fatalf("with a digest more:\n%s\nbefore:\n%s", got, first)
			}
		}
	}
	sums := text(t, tr, "m/v1/SHA256SUMS")
	if n := strings.Count(sums, "# not computed yet: "); count < 5 || n != len(files) { // the stored ones, and the view that is one
		t.Errorf("%d digests are known, %d are not:\n%s", count, n, sums)
	}
	var statement struct{ Subject []struct{ Name string } }
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/provenance.json")), &statement); err != nil || len(statement.Subject) != count {
		t.Errorf("%d subjects, %v", len(statement.Subject), err)
	}
	for i := range 100 { // more aliases than there is room for
		if err := os.Symlink("v1", filepath.Join(root, "m", fmt.Sprintf("alias-%03d", i))); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			if got := sizes(); got != first {
				t.Fatalf("with %d aliases:\n%s\nbefore:\n%s", i+1, got, first)
			}
		}
	}
	if got := sizes(); got != first {
		t.Fatalf("with 100 aliases:\n%s\nbefore:\n%s", got, first)
	}
	if !strings.Contains(text(t, tr, "m/v1/metadata.json"), "alias-000") {
		t.Error("metadata.json does not tell the aliases of now")
	}
}

// TestSums: what SHA256SUMS says of the stored files, and of a view that is one of them.
func TestSums(t *testing.T) {
	tr, root := makeTree(t, map[string]string{"m/v1/model.safetensors": "w F32 4", "m/v1/sub/notes.txt": "x"})
	data, err := os.ReadFile(filepath.Join(root, "m/v1/model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	line := hex.EncodeToString(sum[:])
	put(t, root, "m/v1/SHA256SUMS", line+" *./model.safetensors\n")
	got := text(t, tr, "m/v1/SHA256SUMS")
	for _, want := range []string{line + "  source/model.safetensors\n", line + "  safetensors/fp32/model.safetensors\n", "# not computed yet: source/SHA256SUMS ", "# not computed yet: safetensors/fp16/model.safetensors "} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	var statement struct {
		Predicate struct {
			BuildDefinition struct {
				ResolvedDependencies []struct {
					Name        string
					Digest      map[string]string
					Annotations map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/provenance.json")), &statement); err != nil {
		t.Fatal(err)
	}
	for _, d := range statement.Predicate.BuildDefinition.ResolvedDependencies {
		if (d.Digest["sha256"] == line) != (d.Name == "source/model.safetensors") || d.Name == "source/model.safetensors" && d.Annotations["recorded"] != "source/SHA256SUMS" {
			t.Errorf("%+v", d)
		}
	}
}

// TestReadme: the lines to copy name files that are there.
func TestReadme(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{
		"m/v1/model.safetensors":                   small,
		"s/v1/model-00001-of-00002.safetensors":    "a F32 2",
		"s/v1/model-00002-of-00002.safetensors":    "b F32 2",
		"s/v1/model.safetensors.index.json":        "a model-00001-of-00002.safetensors\nb model-00002-of-00002.safetensors",
		"odd|name/v1/`tick` and |bar|.safetensors": small,
	})
	for version, want := range map[string][]string{
		"m/v1":        {`load_file("safetensors/fp16/model.safetensors")`, `numpy.load("npy/layer.weight.npy", mmap_mode="r")`, `numpy.fromfile("tensors/layer.weight", dtype="<f4").reshape((2,3,))`},
		"s/v1":        {`load_file("safetensors/fp16-merged/model.safetensors")`},
		"odd|name/v1": {"`` source/`tick` and \\|bar\\|.safetensors ``"},
	} {
		got := text(t, tr, version+"/README.md")
		for _, line := range want {
			if !strings.Contains(got, line) {
				t.Errorf("%s: no %s in\n%s", version, line, got)
			}
		}
	}
	quoted := regexp.MustCompile(`"([a-z]+/[^"]+)"`)
	for _, version := range []string{"m/v1", "s/v1"} {
		for _, found := range quoted.FindAllStringSubmatch(text(t, tr, version+"/README.md"), -1) {
			resolve(t, tr, version+"/"+found[1])
		}
	}
}

func TestLineText(t *testing.T) {
	if got := lineText("a\x1b[31mb\nc\u202ed\u0085é大"); got != "a [31mb c d é大" {
		t.Errorf("%q", got)
	}
}

func TestSizesAsText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1500: "1.5 kB", 9949: "9.9 kB", 9951: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB", 2_600_000_000: "2.6 GB", 1 << 62: "4.6 EB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := countText(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
