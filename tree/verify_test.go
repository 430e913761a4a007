package tree

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// findings is what Verify reports, a line each.
func findings(t *testing.T, tr *Tree, p string) string {
	t.Helper()
	var b strings.Builder
	err := tr.Verify(context.Background(), resolve(t, tr, p), func(f Finding) {
		word := "bad"
		if f.OK {
			word = "ok"
		}
		if f.Detail == "" {
			t.Errorf("%s: no detail: %+v", p, f)
		}
		fmt.Fprintf(&b, "%s %s %s\n", f.Path, f.Check, word)
	})
	if err != nil {
		t.Errorf("%s: %v", p, err)
	}
	return b.String()
}

func sha(t *testing.T, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestVerify(t *testing.T) {
	tr, root := makeTree(t, map[string]string{
		"m/v1/model.safetensors":                "w F32 4",
		"m/v1/notes.txt":                        "x",
		"m/v2/a.safetensors":                    "w F32 4",
		"m/v2/b.safetensors":                    "w F32 4\ncut 1",
		"s/v1/model-00001-of-00002.safetensors": "a F32 2",
		"s/v1/model-00002-of-00002.safetensors": "b F32 2\ncut 1",
		"s/v1/model.safetensors.index.json":     "a model-00001-of-00002.safetensors\nb model-00002-of-00002.safetensors",
		"n/v1/notes.txt":                        "x",
	})
	model := filepath.Join(root, "m/v1/model.safetensors")
	put(t, root, "m/v1/SHA256SUMS", "# digests\n"+sha(t, model)+"  model.safetensors\n"+strings.Repeat("0", 64)+"  gone.txt\n")
	put(t, root, "m/v1/sub/SHA256SUMS", strings.Repeat("0", 64)+"  ../model.safetensors\n")
	for p, want := range map[string]string{
		"m/v1":                          "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest ok\nm/v1/source/sub/SHA256SUMS digest bad\nm/v1/source/gone.txt digest bad\n",
		"m/v1/source/model.safetensors": "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest ok\n",
		"m/v1/safetensors/fp16/model.safetensors": "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest ok\n",
		"m/v1/safetensors":                        "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest ok\n",
		"m/v1/tensors/w":                          "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest ok\n",
		"m/v1/source/notes.txt":                   "",
		"m/v2":                                    "m/v2/source/a.safetensors structure ok\nm/v2/source/b.safetensors structure bad\n",
		"m/v2/source/b.safetensors":               "m/v2/source/b.safetensors structure bad\n",
		"m/v2/safetensors/fp16":                   "m/v2/source/a.safetensors structure ok\n",
		"s":                                       "s/v1/source/model-00002-of-00002.safetensors structure bad\n",
		"s/v1/source/model-00001-of-00002.safetensors": "s/v1/source/model-00001-of-00002.safetensors structure ok\n",
		"s/v1/source/model.safetensors.index.json":     "s/v1/source/model-00002-of-00002.safetensors structure bad\n",
		"n": "",
	} {
		if got := findings(t, tr, p); got != want {
			t.Errorf("%s:\n%swant:\n%s", p, got, want)
		}
	}
	if got, want := findings(t, tr, ""), findings(t, tr, "m")+findings(t, tr, "n")+findings(t, tr, "s"); got != want {
		t.Errorf("the store:\n%s", got)
	}

	// A bit that rots changes no time and no structure.
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	putBytes(t, model, b, 0o644, settled)
	if got := findings(t, tr, "m/v1/source/model.safetensors"); got != "m/v1/source/model.safetensors structure ok\nm/v1/source/model.safetensors digest bad\n" {
		t.Error(got)
	}
	if err := tr.Verify(context.Background(), resolve(t, tr, "m/v1/README.md"), func(Finding) {}); err == nil {
		t.Error("a document is verified")
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := resolve(t, tr, "")
	cancel()
	if err := tr.Verify(ctx, n, func(Finding) {}); err == nil {
		t.Error("a cancelled verification says that it is done")
	}
}

// TestVerifySums: what a file states of its own bytes is compared, of one file and of a version alike.
func TestVerifySums(t *testing.T) {
	tr, root := makeTree(t, map[string]string{"good/v1/notes.txt": "x", "bad/v1/notes.txt": "x"})
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "w.npy", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("\x93NUMPY\x01\x00\x3a\x00{'descr': '|i1', 'fortran_order': False, 'shape': (400,)}\n" + strings.Repeat("a", 400)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, root, "good/v1/w.npz", b.String())
	put(t, root, "bad/v1/w.npz", strings.Replace(b.String(), "aaaaaa", "aaaaab", 1))
	for p, want := range map[string]string{
		"good/v1":              "good/v1/source/w.npz structure ok\n",
		"bad/v1":               "bad/v1/source/w.npz structure bad\n",
		"good/v1/source/w.npz": "good/v1/source/w.npz structure ok\n",
		"bad/v1/source/w.npz":  "bad/v1/source/w.npz structure bad\n",
		"bad/v1/npy":           "bad/v1/source/w.npz structure bad\n",
	} {
		if got := findings(t, tr, p); got != want {
			t.Errorf("%s:\n%swant\n%s", p, got, want)
		}
	}
}
