package codecs

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

var ctx = context.Background()

type file string

func (s file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[min(off, s.Size()):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s file) Size() int64    { return int64(len(s)) }
func (s file) ID() layout.ID  { return sha256.Sum256([]byte(s)) }
func (s file) String() string { return "file" }

type folder map[string]file

func (f folder) List() []string { return slices.Sorted(maps.Keys(f)) }
func (f folder) Open(name string) (layout.Source, error) {
	if s, ok := f[name]; ok {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

const (
	weights = "\x3e\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}        ab`
	array   = "\x93NUMPY\x01\x00\x38\x00{'descr': '|i1', 'fortran_order': False, 'shape': (2,)}\nab"
	pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	index   = `{"weight_map":{"w":"model-00001-of-00001.safetensors"}}`
)

// TestOf: a file's format is known by its name, and by its first bytes where the name says nothing.
func TestOf(t *testing.T) {
	files := folder{
		"model.safetensors": weights, "w.npy": array, "model": weights, "blob": array, "x.safetensors.index.json": index, "misnamed.npy": weights,
		"README.md": "# a model", "empty": "", "short": "\x93NUM", "lfs": pointer,
	}
	for name, want := range map[string]string{
		"model.safetensors": "safetensors", "w.npy": "npy", "model": "safetensors", "blob": "npy", "x.safetensors.index.json": "safetensors", "misnamed.npy": "npy",
		"README.md": "", "empty": "", "short": "", "lfs": "",
	} {
		f, err := Of(ctx, files, name)
		if want == "" {
			if !errors.Is(err, fault.Unsupported) || fault.Remedy(err) == "" {
				t.Errorf("%s: %v %v", name, f, err)
			}
			continue
		}
		if err != nil || f.Name != want {
			t.Errorf("%s: %v, want %s", name, err, want)
			continue
		}
		m, err := f.Read(ctx, files, name)
		if good := name != "misnamed.npy" && name != "x.safetensors.index.json"; (err == nil) != good || good && m.Format != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Of(ctx, files, "absent"); !errors.Is(err, fault.Missing) {
		t.Errorf("absent: %v", err)
	}
}

// TestPointer: a file that Git LFS did not fetch is said to be one, whole models and shards alike.
func TestPointer(t *testing.T) {
	files := folder{"model.safetensors": pointer, "w.npy": pointer, "x.safetensors.index.json": index, "model-00001-of-00001.safetensors": pointer, "bad.safetensors": "nonsense, and nothing else"}
	for name, kind := range map[string]fault.Kind{"model.safetensors": fault.Missing, "w.npy": fault.Missing, "x.safetensors.index.json": fault.Missing, "bad.safetensors": fault.Limit} {
		_, err := ByName(name).Read(ctx, files, name)
		if fault.KindOf(err) != kind || strings.Contains(err.Error(), "Git LFS") != (kind == fault.Missing) {
			t.Errorf("%s: %v, want %v", name, err, kind)
		}
		if kind == fault.Missing && !strings.Contains(fault.Remedy(err), "git lfs pull") {
			t.Errorf("%s: remedy %q", name, fault.Remedy(err))
		}
	}
}

// TestConfig: config.json is asked about weights, and not about arrays.
func TestConfig(t *testing.T) {
	files := folder{"model.safetensors": weights, "w.npy": array, "config.json": `{"quantization_config":{"quant_method":"awq"}}`}
	for name, want := range map[string]string{"model.safetensors": "awq", "w.npy": ""} {
		m, err := ByName(name).Read(ctx, files, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Quantization; (got != nil) != (want != "") || got != nil && got.Method != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestFormats: names are unique, and what a name matches is one format's.
func TestFormats(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Formats {
		if f.Name == "" || seen[f.Name] || f.Match == nil || f.Read == nil || f.Sniff == nil {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
	}
	for _, name := range []string{"model.safetensors", "model.safetensors.index.json", "a.npy", "A.NPY", "a.npz", "A.NPZ"} {
		n := 0
		for _, f := range Formats {
			if f.Match(name) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is of %d formats", name, n)
		}
	}
	for _, name := range []string{"model.onnx.data", "config.json", "model", ""} {
		if f := ByName(name); f != nil {
			t.Errorf("%q is %s", name, f.Name)
		}
	}
}

// TestHead: at most HeadSize bytes, and what there is of a shorter file.
func TestHead(t *testing.T) {
	files := folder{"short": "abc", "long": file(strings.Repeat("x", 1000)), "empty": ""}
	for name, want := range map[string]int{"short": 3, "long": HeadSize, "empty": 0} {
		if head, err := Head(ctx, files, name); err != nil || len(head) != want {
			t.Errorf("%s: %d bytes, %v", name, len(head), err)
		}
	}
}
