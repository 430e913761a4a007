//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of the common scene that tests speak of.
const (
	bigView   = "big/v1/safetensors/fp16/model.safetensors" // over the 32 MiB that are filled at open
	bigSource = "big/v1/source/model.safetensors"
	smallView = "small/v2/safetensors/fp16/model.safetensors"
)

var commonScene once[*scene]

// common is the scene that most tests look at: a large model, a small one of many types and two versions, a sharded
// one, an array, and tensors with odd names.
func common(t *testing.T) *scene {
	t.Helper()
	return commonScene.get(t, func() *scene {
		dir, err := os.MkdirTemp(workshop, "common-")
		if err != nil {
			t.Fatal(err)
		}
		b := &builder{t: t, dir: dir, scene: &scene{store: filepath.Join(dir, "store"), want: map[string]string{}, links: map[string]string{}, raw: map[string]tensor{}}}

		b.model("big/v1", "model.safetensors", layers(81<<20, 31, 1))
		source := rand.NewChaCha8([32]byte{2})
		var mixed []tensor
		for _, dtype := range []string{"F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"} {
			for i, shape := range [][]int64{{}, {0, 3}, {7}, {33, 5, 3}} {
				mixed = append(mixed, tensor{fmt.Sprintf("%s.%d", strings.ToLower(dtype), i), dtype, shape, random(source, dtype, elements(shape))})
			}
		}
		mixed = append(mixed, tensor{"wide", "F32", []int64{512, 1024}, random(source, "F32", 512*1024)}) // 2 MiB: not held in memory
		b.model("small/v1", "model.safetensors", mixed[:8])
		b.model("small/v2", "model.safetensors", mixed)
		if err := os.Symlink("v1", filepath.Join(b.store, "small", "champion")); err != nil {
			t.Fatal(err)
		}
		b.links["small/champion"] = "v1"

		var odd []tensor
		for _, name := range []string{"plain.weight", "a/b", "..", ".hidden", "-rf", `it's "$HOME" ` + "`x`", "😀", "", "Weight", "weight", "index.json",
			"layers." + strings.Repeat("x", 300), "layers." + strings.Repeat("x", 300) + "y", "dense/kernel:0", "a\nb", "w[*]?"} {
			odd = append(odd, tensor{name, "F32", []int64{5}, random(source, "F32", 5)})
		}
		b.model("odd/v1", "model.safetensors", odd)
		b.sharded("org/sharded/v1", layers(6<<20, 5, 3))
		b.array("array", tensor{"array", "F32", []int64{300, 17, 9}, random(source, "F32", 300*17*9)})

		for _, model := range []string{"big", "small", "odd", "org/sharded", "array"} {
			b.links[model+"/latest"] = "v1"
		}
		b.links["small/latest"] = "v2"
		b.finish()
		return b.scene
	})
}

// builder writes a scene.
type builder struct {
	t   *testing.T
	dir string
	*scene
	only  string // the one precision that is looked at; "": all
	views []func(m *mount)
}

// stored puts a file into the store, and down as what source/ shows.
func (b *builder) stored(version, name string, data []byte) {
	b.put(version, filepath.Join(b.store, version, name), name, data)
}

func (b *builder) put(version, path, name string, data []byte) {
	b.t.Helper()
	put(b.t, path, data)
	b.want[filepath.Join(version, "source", name)] = path
}

// expect writes down what a file of the mount must hold.
func (b *builder) expect(path string, parts ...[]byte) {
	b.t.Helper()
	file := filepath.Join(b.dir, "want", fmt.Sprint(len(b.want)))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, slices.Concat(parts...), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.want[path] = file
}

// model is a version that is one SafeTensors file.
func (b *builder) model(version, name string, tensors []tensor) {
	b.stored(version, name, safetensors(tensors))
	b.tensors(version, tensors)
	b.weights(version, name, tensors)
}

// weights are the safetensors/ views of a file. Where nothing changes, and the stored file is of that format, the view
// is that file.
func (b *builder) weights(version, name string, tensors []tensor) {
	file := filepath.Join(b.store, version, name)
	_, err := os.Stat(file)
	stored := err == nil
	for precision := range precisions {
		if b.only != "" && precision != b.only {
			continue
		}
		path := filepath.Join(version, "safetensors", precision, name)
		if stored && !slices.ContainsFunc(tensors, func(t tensor) bool { to, _ := cast(nil, t.dtype, precision); return to != t.dtype }) {
			b.want[path] = file
			continue
		}
		b.weight(path, precision, tensors)
	}
}

// weight is a SafeTensors file of tensors in a precision.
func (b *builder) weight(path, precision string, tensors []tensor) {
	b.views = append(b.views, func(m *mount) {
		head := headOf(b.t, m, path)
		entries, metadata, data, err := headerOf(head)
		if err != nil {
			b.t.Fatalf("%s: %v", path, err)
		}
		if metadata["format"] != "pt" {
			b.t.Errorf("%s: the metadata is %v, want a format that loaders take", path, metadata)
		}
		if len(entries) != len(tensors) {
			b.t.Fatalf("%s has %d tensors, want %d", path, len(entries), len(tensors))
		}
		parts, at := [][]byte{head[:data]}, int64(0)
		stored := map[string]tensor{}
		for i, t := range tensors {
			stored[t.name] = t
			if entries[i].Name != t.name {
				b.t.Fatalf("%s: tensor %d is %q, want %q: the order is the source's", path, i, entries[i].Name, t.name)
			}
		}
		for _, e := range inOrder(entries) {
			t := stored[e.Name]
			dtype, bytes := cast(t.data, t.dtype, precision)
			if e.DType != dtype || !slices.Equal(e.Shape, t.shape) || e.Offsets[0] != at || e.Offsets[1] != at+int64(len(bytes)) {
				b.t.Fatalf("%s: %q is %s %v at %v, want %s %v at %d", path, e.Name, e.DType, e.Shape, e.Offsets, dtype, t.shape, at)
			}
			parts, at = append(parts, bytes), at+int64(len(bytes))
		}
		b.expect(path, parts...)
	})
}

// tensors are the files of tensors/ and npy/.
func (b *builder) tensors(version string, tensors []tensor) {
	for _, t := range tensors {
		file := escape(t.name, "")
		if file == "index.json" {
			file = "index%2Ejson"
		}
		raw := filepath.Join(version, "tensors", file)
		b.raw[raw] = t
		b.expect(raw, t.data)
		path := filepath.Join(version, "npy", escape(t.name, ".npy"))
		b.views = append(b.views, func(m *mount) {
			head := headOf(b.t, m, path)
			dict, data, err := npyHeader(head)
			if err != nil {
				b.t.Fatalf("%s: %v", path, err)
			}
			numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint(t.shape), " ", ", "), "[]")
			if len(t.shape) == 1 {
				numbers += ","
			}
			want := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", npyKinds[t.dtype], numbers)
			if strings.TrimRight(dict, " \n") != want || !strings.HasSuffix(dict, "\n") || data%64 != 0 {
				b.t.Fatalf("%s: the header is %q, want %q, and the data at a multiple of 64", path, dict, want)
			}
			values := t.data
			if t.dtype == "BF16" {
				_, values = cast(t.data, t.dtype, "fp32")
			}
			b.expect(path, head[:data], values)
		})
	}
}

// sharded is a version of two shards and their index.
func (b *builder) sharded(version string, tensors []tensor) {
	const index = "model.safetensors.index.json"
	files := []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	half := len(tensors) / 2
	weights := map[string]string{}
	total := 0
	for i, part := range [][]tensor{tensors[:half], tensors[half:]} {
		b.stored(version, files[i], safetensors(part))
		b.weights(version, files[i], part)
		for _, t := range part {
			weights[t.name] = files[i]
			total += len(t.data)
		}
	}
	text, _ := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": total}, "weight_map": weights})
	b.stored(version, index, text)
	b.stored(version, "config.json", []byte(`{"architectures": ["Nothing"], "model_type": "nothing"}`))
	b.tensors(version, tensors)
	for precision := range precisions {
		b.weight(filepath.Join(version, "safetensors", precision+"-merged", "model.safetensors"), precision, tensors)
		path := filepath.Join(version, "safetensors", precision, index)
		if precision == "fp32" {
			b.want[path] = filepath.Join(b.store, version, index)
			continue
		}
		b.views = append(b.views, func(m *mount) {
			head := headOf(b.t, m, path)
			var seen struct {
				WeightMap map[string]string `json:"weight_map"`
				Metadata  struct {
					TotalSize int64 `json:"total_size"`
				}
			}
			if err := json.Unmarshal(head, &seen); err != nil {
				b.t.Fatalf("%s: %v", path, err)
			}
			if fmt.Sprint(seen.WeightMap) != fmt.Sprint(weights) || seen.Metadata.TotalSize != int64(total)/2 {
				b.t.Fatalf("%s: %s; want the stored weight_map and a total_size of %d", path, head, total/2)
			}
			b.expect(path, head)
		})
	}
}

// array is a loose .npy file: a model of one tensor without a version of its own.
func (b *builder) array(model string, t tensor) {
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", t.shape[0], t.shape[1], t.shape[2])
	dict += strings.Repeat(" ", 117-len(dict)) + "\n"
	file := append([]byte("\x93NUMPY\x01\x00\x76\x00"+dict), t.data...)
	b.put(model+"/v1", filepath.Join(b.store, model+".npy"), model+".npy", file)
	b.weights(model+"/v1", "model.safetensors", []tensor{t})
	b.tensors(model+"/v1", []tensor{t})
}

// headOf is the first bytes of a file, enough for any header of these tests.
func headOf(t *testing.T, m *mount, path string) []byte {
	t.Helper()
	head := ask[[]got](t, moment, "content", []piece{{m.at(path), 0, 64 << 10}})[0]
	if head.Errno != "" {
		t.Fatalf("%s: %s", path, head.Errno)
	}
	return head.Data
}

// finish asks a mount for the headers and writes down what must follow them. The mount is lifted again at once.
func (b *builder) finish() {
	b.t.Helper()
	need(b.t, "binary", "fuse")
	m := mounted(b.t, b.store)
	for _, view := range b.views {
		view(m)
	}
	m.close()
	if b.t.Failed() {
		b.t.FailNow()
	}
}

var galleryOfModels once[*scene]

// gallery is large models alone, with their fp16 views, for tests of what happens in the middle of a fill.
func gallery(t *testing.T) *scene {
	t.Helper()
	return galleryOfModels.get(t, func() *scene {
		dir, err := os.MkdirTemp(workshop, "gallery-")
		if err != nil {
			t.Fatal(err)
		}
		b := &builder{t: t, dir: dir, only: "fp16", scene: &scene{store: filepath.Join(dir, "store"), want: map[string]string{}}}
		for i, size := range []int64{320, 72, 72, 72, 72, 72} {
			version := fmt.Sprintf("m%d/v1", i)
			tensors := layers(size<<20, 93, byte(10+i))
			b.stored(version, "model.safetensors", safetensors(tensors))
			b.weights(version, "model.safetensors", tensors)
		}
		b.finish()
		return b.scene
	})
}

// view and source are the files of model number i of the gallery.
func view(i int) string   { return fmt.Sprintf("m%d/v1/safetensors/fp16/model.safetensors", i) }
func source(i int) string { return fmt.Sprintf("m%d/v1/source/model.safetensors", i) }

// copies is a store of its own with some of the gallery's models, for tests that damage it.
func (s *scene) copies(t *testing.T, models ...int) string {
	t.Helper()
	store := folder(t, "store")
	for _, i := range models {
		data, err := os.ReadFile(s.want[source(i)])
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(store, fmt.Sprintf("m%d/v1/model.safetensors", i)), data)
	}
	return store
}

// stored is the file behind model number i in a store.
func stored(store string, i int) string {
	return filepath.Join(store, fmt.Sprintf("m%d/v1/model.safetensors", i))
}
