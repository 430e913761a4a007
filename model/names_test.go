package model

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"model.layers.0.weight": "model.layers.0.weight", "dense/kernel:0": "dense%2Fkernel:0", "": "%_", ".": "%2E", "..": "%2E.", "../../etc/passwd": "%2E.%2F..%2Fetc%2Fpasswd",
		"a\x00b": "a%00b", "a\x7fb": "a%7Fb", `a\b`: "a%5Cb", "100%": "100%25", "%_": "%25_", "-rf": "%2Drf", "a-b.c": "a-b.c", "w[*]?": "w%5B%2A%5D%3F", "a b\n": "a%20b%0A",
		"😀": "%F0%9F%98%80", "\xff": "%FF", "index.json": "index.json", "A_Z-a+z=0@9,:": "A_Z-a+z=0@9,:", "~": "%7E",
	} {
		if got := FileName(name, ".npy"); got != want+".npy" {
			t.Errorf("%q: %q, want %q", name, got, want+".npy")
		}
		if got := FileName(name, ""); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestLongFileName: a name is cut between escapes, to 255 bytes at most, and ends in a digest of the whole.
func TestLongFileName(t *testing.T) {
	digest := func(name string) string {
		sum := sha256.Sum256([]byte(name))
		return "%~" + hex.EncodeToString(sum[:])[:32]
	}
	for _, c := range []struct{ name, suffix, want string }{
		{strings.Repeat("x", 255), "", strings.Repeat("x", 255)},
		{strings.Repeat("x", 256), "", strings.Repeat("x", 255-34) + digest(strings.Repeat("x", 256))},
		{strings.Repeat("x", 251), ".npy", strings.Repeat("x", 251) + ".npy"},
		{strings.Repeat("x", 252), ".npy", strings.Repeat("x", 255-34-4) + digest(strings.Repeat("x", 252)) + ".npy"},
		{strings.Repeat("/", 85), "", strings.Repeat("%2F", 85)},
		{strings.Repeat("/", 86), "", strings.Repeat("%2F", 73) + digest(strings.Repeat("/", 86))}, // 219 of 221 bytes: no half escape
		{"a" + strings.Repeat("/", 86), "", "a" + strings.Repeat("%2F", 73) + digest("a"+strings.Repeat("/", 86))},
		{strings.Repeat("x", 221) + strings.Repeat("/", 40), "", strings.Repeat("x", 221) + digest(strings.Repeat("x", 221)+strings.Repeat("/", 40))},
	} {
		if got := FileName(c.name, c.suffix); got != c.want || len(got) > 255 {
			t.Errorf("%d bytes and %q: %q, want %q", len(c.name), c.suffix, got, c.want)
		}
	}
}

// TestFileNamesAreNames: whatever the tensor is called, its file is one visible component, and the name comes back.
func TestFileNamesAreNames(t *testing.T) {
	seen := map[string]string{}
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet := []string{"a", "B", ".", "-", "/", "%", "%2F", "_", "~", "\x00", "é", "x/y", "\xff", strings.Repeat("long", 20)}
		var name string
		for range r.IntN(8) {
			name += alphabet[r.IntN(len(alphabet))]
		}
		for _, suffix := range []string{"", ".npy"} {
			file := FileName(name, suffix)
			if file == "" || len(file) > 255 || strings.ContainsAny(file, "/\x00 ") || file[0] == '.' && suffix == "" || file[0] == '-' || !strings.HasSuffix(file, suffix) {
				t.Fatalf("%q: %q", name, file)
			}
			if other, ok := seen[file]; ok && other != name {
				t.Fatalf("%q and %q are both %q", name, other, file)
			}
			seen[file] = name
			back, ok := TensorName(file, suffix)
			if cut := strings.Contains(file, "%~"); ok == cut || ok && back != name {
				t.Fatalf("%q: %q, and back %q %v", name, file, back, ok)
			}
			delete(seen, file)
			seen[file] = name
		}
	}
}

func TestTensorNameRefuses(t *testing.T) {
	for _, file := range []string{"", ".npy", "a", ".a.npy", "%2e.npy", "%2F", "%4", "a%", "%41.npy", "a/b.npy", "a b.npy", "%~00.npy", "%_x.npy", "-a.npy", strings.Repeat("x", 252) + ".npy", "a.NPY"} {
		if name, ok := TensorName(file, ".npy"); ok {
			t.Errorf("%q is the file of %q", file, name)
		}
	}
	if name, ok := TensorName("%_.npy", ".npy"); !ok || name != "" {
		t.Errorf("%q, %v", name, ok)
	}
}

func TestUnwrapped(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a b", "a b"}, {"module.a module.b", "a b"}, {"module.a b", "module.a b"}, {"_orig_mod.a", "a"}, {"module._orig_mod.a module._orig_mod.b", "a b"},
		{"_orig_mod.module.a _orig_mod.module.b", "a b"}, {"module.module.a module.b", "module.a b"}, {"module.module.a module.module.b", "a b"},
		{"model.a model.b", "model.a model.b"}, {"modulex.a", "modulex.a"}, {"module.", ""}, {"module", "module"},
	} {
		var in []Tensor
		for _, name := range strings.Split(c.in, " ") {
			in = append(in, Tensor{Name: name})
		}
		var got []string
		for _, x := range Unwrapped(in) {
			got = append(got, x.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
		for i, name := range strings.Split(c.in, " ") {
			if in[i].Name != name {
				t.Errorf("%s: the tensors themselves were renamed", c.in)
			}
		}
	}
	if Unwrapped(nil) != nil {
		t.Error("of nothing")
	}
}
