package tree

import (
	"context"
	"errors"
	"fmt"
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
	tr, _ := makeTree(t, files)
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

	stored, notes := resolve(t, tr, "c/v1/source/y.safetensors"), resolve(t, tr, "m/v2/source/README.md")
	for p, want := range map[string]bool{
		"c/v1/safetensors/bf16/y.safetensors": true, "c/v1/safetensors/bf16/x.safetensors": false, "c/v1/npy/y/w.npy": true, "c/v1/npy/x/w.npy": false,
		"c/v1/npy": false, "c/v1/README.md": false, "m/v2/npy/a.npy": false,
	} {
		n := resolve(t, tr, p)
		got, err := tr.MadeOf(ctx, n, stored)
		if err != nil || got != want {
			t.Errorf("%s of y.safetensors: %v %v", p, got, err)
		}
		if of, err := tr.MadeOf(ctx, n, notes); of || err != nil {
			t.Errorf("%s of README.md: %v %v", p, of, err)
		}
	}
	if v := tr.Version(stored); v == nil || v.Path != "c/v1" || tr.Version(resolve(t, tr, "c")) != nil {
		t.Error(v)
	}
}
