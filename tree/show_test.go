package tree

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// sketch is what Model shows, on a line.
func sketch(s *Shown) string {
	var b strings.Builder
	b.WriteString(s.Format)
	for _, x := range s.Tensors {
		name := x.Name
		if x.Model != "" {
			name = x.Model + ":" + name
		}
		fmt.Fprintf(&b, " %s %s %v %d,", name, x.DType, x.Shape, x.NBytes)
	}
	return b.String()
}

func TestShow(t *testing.T) {
	ctx := context.Background()
	files := map[string]string{
		"m/v1/model.safetensors":                "w F32 2",
		"m/v2/model.safetensors":                "meta note=x\nb F32 2x4\na BF16 4\nn I64 ()",
		"m/v2/README.md":                        "hi",
		"m/v3/model.safetensors":                "w F32 2\ncut 1",
		"s/v1/model-00001-of-00002.safetensors": "a F32 2",
		"s/v1/model-00002-of-00002.safetensors": "b F32 2",
		"s/v1/model.safetensors.index.json":     "a model-00001-of-00002.safetensors\nb model-00002-of-00002.safetensors",
		"c/v1/x.safetensors":                    "w F32 2",
		"c/v1/y.safetensors":                    "w F16 2",
		"e/v1/notes.txt":                        "nothing",
	}
	tr, root := makeTree(t, files)
	for p, want := range map[string]string{
		"m":                             "safetensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"m/v2":                          "safetensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"m/v2/source":                   "safetensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"m/v2/source/model.safetensors": "safetensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"m/v2/safetensors/half":         "safetensors b F16 [2 4] 16, a F16 [4] 8, n I64 [] 8,",
		"m/v2/safetensors/fp16/model.safetensors":      "safetensors b F16 [2 4] 16, a F16 [4] 8, n I64 [] 8,",
		"m/v2/safetensors":                             "safetensors b F32 [2 4] 32, a F32 [4] 16, n I64 [] 8,",
		"m/v2/npy/a.npy":                               "npy a F32 [4] 16,",
		"m/v2/npy":                                     "npy b F32 [2 4] 32, a F32 [4] 16, n I64 [] 8,",
		"m/v2/tensors/a":                               "tensors a BF16 [4] 8,",
		"m/v2/tensors":                                 "tensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"m/v2/tensors/index.json":                      "tensors b F32 [2 4] 32, a BF16 [4] 8, n I64 [] 8,",
		"s/v1":                                         "safetensors a F32 [2] 8, b F32 [2] 8,",
		"s/v1/safetensors/fp16":                        "safetensors a F16 [2] 4, b F16 [2] 4,",
		"s/v1/safetensors/fp16-merged":                 "safetensors a F16 [2] 4, b F16 [2] 4,",
		"s/v1/source/model.safetensors.index.json":     "safetensors a F32 [2] 8, b F32 [2] 8,",
		"s/v1/source/model-00002-of-00002.safetensors": "safetensors b F32 [2] 8,",
		"s/v1/safetensors/fp16/model-00002-of-00002.safetensors": "safetensors b F16 [2] 4,",
		"c/v1":                                "safetensors x:w F32 [2] 8, y:w F16 [2] 4,",
		"c/v1/safetensors/bf16":               "safetensors x:w BF16 [2] 4, y:w BF16 [2] 4,",
		"c/v1/safetensors/bf16/y.safetensors": "safetensors y:w BF16 [2] 4,",
	} {
		s, err := tr.Model(ctx, resolve(t, tr, p))
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if got := sketch(s); got != want || s.Path != resolve(t, tr, p).Path && p != "m" || s.Metadata == nil {
			t.Errorf("%s: %s: %s\nwant %s", p, s.Path, got, want)
		}
	}
	if s, err := tr.Model(ctx, resolve(t, tr, "m/v2")); err != nil || s.Metadata["note"] != "x" {
		t.Error(s, err)
	}
	for p, kind := range map[string]fault.Kind{
		"": fault.Usage, "m/v3": fault.Truncated, "m/v3/source/model.safetensors": fault.Truncated, "m/v2/README.md": fault.Usage, "m/v2/source/README.md": fault.Unsupported,
		"e/v1": fault.Unsupported, ".isomerfs": fault.Usage, "README.md": fault.Usage,
	} {
		if _, err := tr.Model(ctx, resolve(t, tr, p)); !errors.Is(err, kind) || fault.Reason(err) == "" {
			t.Errorf("%s: %v, want %v", p, err, kind)
		}
	}
	var all []string
	err := tr.Models(ctx, resolve(t, tr, ""), func(p string, s *Shown, err error) error {
		all = append(all, fmt.Sprintf("%s %v", p, fault.KindOf(err)))
		return nil
	})
	if want := "[c unknown e unsupported m unknown s unknown]"; err != nil || fmt.Sprint(all) != want {
		t.Errorf("%v %v, want %s", all, err, want)
	}

	// A plain file is shown by itself, and lies in a version with the files beside it.
	plain, n, err := Plain(ctx, filepath.Join(root, "c/v1/y.safetensors"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := plain.Model(ctx, n)
	if err != nil || sketch(s) != "safetensors w F16 [2] 4," {
		t.Error(s, err)
	}
	made, err := plain.Made(ctx, n, "safetensors/half")
	if err != nil || len(made) != 1 || made[0].Name != "y.safetensors" || made[0].File.Source == nil {
		t.Error(made, err)
	}
	if made, err = plain.Made(ctx, plain.Version(n), "safetensors/fp16"); err != nil || len(made) != 2 {
		t.Error(made, err)
	}
	for to, kind := range map[string]fault.Kind{"nonsense/fp16": fault.Absent, "safetensors/fp99": fault.Absent, "safetensors": fault.Usage} {
		if _, err := plain.Made(ctx, n, to); !errors.Is(err, kind) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if _, n, err = Plain(ctx, filepath.Join(root, "m/v2"), Options{}); err != nil || n.Kind != Folder {
		t.Error(n, err)
	}
	if _, _, err = Plain(ctx, filepath.Join(root, "missing"), Options{}); !errors.Is(err, fault.Absent) {
		t.Error(err)
	}
}
