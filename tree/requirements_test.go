package tree

import (
	"strings"
	"testing"
)

// TestRequirements: the stored one where there is one, else what reads each view.
func TestRequirements(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{
		"w/v1/model.safetensors": small, "o/v1/model.onnx": chooses,
		"stored/v1/model.safetensors": small, "stored/v1/requirements.txt": "torch==1.0 # old\n",
		"empty/v1/model.safetensors": small, "empty/v1/requirements.txt": "",
		"deep/v1/model.safetensors": small, "deep/v1/tools/requirements.txt": "else\n",
		"large/v1/model.safetensors": small, "large/v1/requirements.txt": strings.Repeat("a\n", maxRequirements),
		"only/v1/requirements.txt": "torch\n",
		"none/v1/notes.txt":        "x",
		"broken/v1/model.onnx":     "text x",
	})
	weights := "# What reads the views of this version: install what you use. No requirements.txt is stored with the model.\n" +
		"numpy>=1.20  # npz, npy, tensors\nsafetensors>=0.4.0  # safetensors\ntorch>=2.1  # safetensors, pytorch\n"
	for version, want := range map[string]string{
		"w": weights, "empty": weights, "deep": weights, "large": weights, "stored": "torch==1.0 # old\n", "only": "torch\n",
	} {
		if got := text(t, tr, version+"/v1/requirements.txt"); got != want {
			t.Errorf("%s: %s", version, got)
		}
	}
	if got := text(t, tr, "o/v1/requirements.txt"); !strings.Contains(got, "\nonnxruntime>=1.12  # onnx\n") {
		t.Error(got)
	}
	for _, version := range []string{"none", "broken"} {
		a, err := tr.Why(t.Context(), version+"/v1/requirements.txt")
		if err != nil || a.Available || a.Reason == "" {
			t.Errorf("%s: %+v, %v", version, a, err)
		}
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"1.2", "1.10", false}, {"1.10", "1.2", true}, {"1.2", "1.2.0", false}, {"1.2.1", "1.2", true}, {"2", "1.9", true}, {"1", "", true}, {"", "1", false}, {"", "", false}, {"0", "", true}} {
		if newer(c.a, c.b) != c.want {
			t.Errorf("%s above %s: %v", c.a, c.b, !c.want)
		}
	}
}
