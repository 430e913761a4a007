package views

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

var targets = map[string]model.DType{"fp32": model.F32, "fp16": model.F16, "bf16": model.BF16}

// cast is what a tensor is in a view of this precision.
func cast(t *testing.T, x tensor, precision string) tensor {
	to := targets[strings.TrimSuffix(precision, "-merged")]
	if !x.dtype.Float() || x.dtype == to {
		return x
	}
	return through(t, x, to)
}

func through(t *testing.T, x tensor, to model.DType) tensor {
	t.Helper()
	op, ok := quant.Cast(x.dtype, to)
	if !ok {
		if op, ok = quant.Widen(x.dtype); !ok {
			t.Fatalf("%s to %s", x.dtype, to)
		}
	}
	size, err := op.Size(int64(len(x.data)))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, size)
	if err := op.Apply(out, [][]byte{x.data}); err != nil {
		t.Fatal(err)
	}
	return tensor{x.name, to, x.shape, out}
}

// everyType is a tensor of each type that safetensors has.
func everyType() []tensor {
	var list []tensor
	for d := model.Bool; d < model.String; d++ {
		if d != model.C128 {
			list = append(list, fill("a."+d.String(), d, 3, 4), fill("b."+d.String(), d, 0))
		}
	}
	return list
}

// TestPrecisions: exactly the floats of at least 16 bits become the precision named; all else keeps its bytes.
func TestPrecisions(t *testing.T) {
	all := everyType()
	files := folder{"m.safetensors": container("m", map[string]string{"format": "tf", "a": "b"}, all...)}
	m := open(t, files, "m.safetensors")
	for precision := range targets {
		out := plan(t, files, m, "safetensors", precision)
		if len(out) != 1 {
			t.Fatalf("%s: %d files", precision, len(out))
		}
		got, h := decoded(t, content(t, out["model.safetensors"].File))
		for _, x := range all {
			if want := cast(t, x, precision); !equal(got[x.name], want) {
				t.Errorf("%s: %s is %s % x, want %s % x", precision, x.name, got[x.name].dtype, got[x.name].data, want.dtype, want.data)
			}
		}
		if len(got) != len(all) {
			t.Errorf("%s: %d tensors of %d", precision, len(got), len(all))
		}
		if want := map[string]string{"format": "pt", "a": "b"}; !reflect.DeepEqual(h.Metadata, want) {
			t.Errorf("%s: metadata %v, want %v", precision, h.Metadata, want)
		}
	}
	if m.Metadata["format"] != "tf" {
		t.Error("the model's own metadata was changed")
	}
}

// TestAlignment: data begins at a multiple of 64 and every tensor at a multiple of its element, in the source's order
// where that order allows it.
func TestAlignment(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var list []tensor
		types := []model.DType{model.F64, model.F32, model.F16, model.BF16, model.U8, model.I64, model.C64, model.F4, model.I16}
		for i := range 1 + r.IntN(9) {
			list = append(list, fill(string(rune('a'+i)), types[r.IntN(len(types))], 2*r.Int64N(4)))
		}
		files := folder{"m.safetensors": container("m", nil, list...)}
		m := open(t, files, "m.safetensors")
		out := plan(t, files, m, "safetensors", "bf16")["model.safetensors"].File
		if out.Identical() != nil {
			continue
		}
		got, h := decoded(t, content(t, out))
		if h.Start%64 != 0 {
			t.Fatalf("seed %d: data at %d", seed, h.Start)
		}
		var end int64
		inOrder := true
		for _, x := range list {
			x = cast(t, x, "bf16")
			if !equal(got[x.name], x) {
				t.Fatalf("seed %d: %s differs", seed, x.name)
			}
			size := x.dtype.Block()
			inOrder = inOrder && (size.Elems > 1 || end%size.Bytes == 0)
			end += int64(len(x.data))
		}
		last := int64(-1)
		for _, e := range h.Entries {
			if b := e.DType.Block(); b.Elems == 1 && e.Begin%b.Bytes != 0 {
				t.Fatalf("seed %d: %s at %d", seed, e.DType, e.Begin)
			}
			if at := int64(e.Name[0]); inOrder && e.Begin != e.End && at < last {
				t.Fatalf("seed %d: %s comes after %c", seed, e.Name, rune(last))
			} else if e.Begin != e.End {
				last = at
			}
		}
	}
}

// TestIdentical: where nothing changes the view is the stored file, whatever that file looks like.
func TestIdentical(t *testing.T) {
	odd := &stored{name: "odd", data: []byte("\x4a\x00\x00\x00\x00\x00\x00\x00 {\"w\":{\"data_offsets\":[0,2],\"x\":[],\"shape\":[1],\"dtype\":\"F16\"},\"__metadata__\":null}ab")}
	odd.data[0] = byte(len(odd.data) - 10)
	for name, c := range map[string]struct {
		file *stored
		same []string
	}{
		"floats of 16 bits": {container("m", map[string]string{"x": "y"}, fill("w", model.F16, 3), fill("n", model.I64, 2)), []string{"fp16"}},
		"bfloat16":          {container("m", nil, fill("w", model.BF16, 3)), []string{"bf16"}},
		"no floats":         {container("m", nil, fill("w", model.F8E4M3, 3), fill("i", model.I8, 2)), []string{"fp32", "fp16", "bf16"}},
		"two kinds":         {container("m", nil, fill("w", model.F32, 3), fill("v", model.F16, 3)), nil},
		"no tensors":        {container("m", nil), []string{"fp32", "fp16", "bf16"}},
		"oddly written":     {odd, []string{"fp16"}},
		"wrapped names":     {container("m", nil, fill("module.w", model.F16, 3)), nil},
	} {
		files := folder{"m.safetensors": c.file}
		m := open(t, files, "m.safetensors")
		for precision := range targets {
			f := plan(t, files, m, "safetensors", precision)["model.safetensors"].File
			if same := f.Identical() == m.Source; same != slices.Contains(c.same, precision) {
				t.Errorf("%s: %s is the stored file: %v", name, precision, same)
			} else if same && !bytes.Equal(content(t, f), c.file.data) {
				t.Errorf("%s: %s has other bytes than the stored file", name, precision)
			}
		}
	}
}

// TestWrappedNames: the prefix of a wrapper is taken off in every view, and stays where one name lacks it.
func TestWrappedNames(t *testing.T) {
	files := folder{"m.safetensors": container("m", nil, fill("module.a", model.F32, 1), fill("module.b", model.U8, 1))}
	m := open(t, files, "m.safetensors")
	got, _ := decoded(t, content(t, plan(t, files, m, "safetensors", "fp32")["model.safetensors"].File))
	if _, ok := got["a"]; !ok || len(got) != 2 {
		t.Errorf("safetensors: %v", got)
	}
	if out := plan(t, files, m, "npy", ""); out["a.npy"].Tensor == nil || out["a.npy"].Tensor.Name != "a" {
		t.Errorf("npy: %v", out)
	}
	if out := plan(t, files, m, "tensors", ""); out["b"].Tensor == nil || out["b"].Tensor.Name != "b" {
		t.Errorf("tensors: %v", out)
	}
	if m.Tensors[0].Name != "module.a" {
		t.Error("the model's own tensors were renamed")
	}
}

const first, second, index = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"

// sharded is a model in two files below a folder; the second has nothing to change in fp16.
func sharded(dir string) (folder, []tensor) {
	all := []tensor{fill("a", model.F32, 5), fill("i", model.I64, 2), fill("b", model.F16, 3)}
	return folder{
		dir + first:  container("one", map[string]string{"of": "first"}, all[:2]...),
		dir + second: container("two", map[string]string{"of": "second"}, all[2:]...),
		dir + index:  {name: "index", data: []byte(`{"metadata":{"total_size":1},"weight_map":{"b":"` + second + `","a":"` + first + `","i":"` + first + `"}}`)},
	}, all
}

func TestShards(t *testing.T) {
	for _, dir := range []string{"", "unet/"} {
		files, all := sharded(dir)
		m := open(t, files, dir+index)
		if got := view("safetensors").PrecisionsOf(m); !slices.Equal(got, []string{"fp32", "fp16", "bf16", "fp32-merged", "fp16-merged", "bf16-merged"}) {
			t.Errorf("precisions %q", got)
		}
		for precision, same := range map[string][]string{"fp32": {first}, "fp16": {second}, "bf16": nil} {
			out := plan(t, files, m, "safetensors", precision)
			if len(out) != 3 {
				t.Fatalf("%s: %v", precision, out)
			}
			var said struct {
				Metadata struct {
					TotalSize int64 `json:"total_size"`
				} `json:"metadata"`
				WeightMap map[string]string `json:"weight_map"`
			}
			if err := json.Unmarshal(content(t, out[index].File), &said); err != nil {
				t.Fatal(err)
			}
			var total int64
			for _, x := range all {
				x = cast(t, x, precision)
				total += int64(len(x.data))
				in, h := decoded(t, content(t, out[said.WeightMap[x.name]].File))
				if !equal(in[x.name], x) {
					t.Errorf("%s: %s is not in %s", precision, x.name, said.WeightMap[x.name])
				}
				if want := map[string]string{first: "first", second: "second"}[said.WeightMap[x.name]]; h.Metadata["of"] != want {
					t.Errorf("%s: %s has the metadata of another", precision, said.WeightMap[x.name])
				}
			}
			if said.Metadata.TotalSize != total || len(said.WeightMap) != len(all) {
				t.Errorf("%s: index says %+v, total is %d", precision, said, total)
			}
			for _, shard := range []string{first, second} {
				if identical := out[shard].File.Identical() != nil; identical != slices.Contains(same, shard) {
					t.Errorf("%s: %s is the stored one: %v", precision, shard, identical)
				}
			}
			merged := plan(t, files, m, "safetensors", precision+"-merged")
			if len(merged) != 1 {
				t.Fatalf("%s: %v", precision, merged)
			}
			got, h := decoded(t, content(t, merged["model.safetensors"].File))
			for _, x := range all {
				if !equal(got[x.name], cast(t, x, precision)) {
					t.Errorf("%s-merged: %s differs", precision, x.name)
				}
			}
			if h.Metadata["of"] != "first" || h.Metadata["format"] != "pt" {
				t.Errorf("%s-merged: %v", precision, h.Metadata)
			}
		}
	}
}

// TestIdenticalShards: where nothing changes every shard and the index are the stored ones, whatever the index says
// of the total.
func TestIdenticalShards(t *testing.T) {
	files := folder{
		"x/" + first:  container("one", nil, fill("a", model.F16, 5)),
		"x/" + second: container("two", nil, fill("b", model.F16, 3), fill("c", model.U8, 1)),
		"x/" + index:  {name: "index", data: []byte(`{"weight_map":{"a":"` + first + `","c":"` + second + `","b":"` + second + `"},"metadata":{"total_size":"?"}}`)},
	}
	m := open(t, files, "x/"+index)
	out := plan(t, files, m, "safetensors", "fp16")
	for _, name := range []string{first, second, index} {
		if out[name].File == nil || out[name].File.Identical() != files["x/"+name] {
			t.Errorf("%s is not the stored one", name)
		}
	}
	empty := folder{index: {name: "index", data: []byte(`{"weight_map":{}}`)}}
	if out := plan(t, empty, open(t, empty, index), "safetensors", "fp16"); len(out) != 1 || out[index].File.Identical() == nil {
		t.Errorf("of a model without weights: %v", out)
	}
}

// TestShardsOfAnotherContainer: shards keep their numbers, and the index takes this container's name.
func TestShardsOfAnotherContainer(t *testing.T) {
	files, _ := sharded("")
	m := open(t, files, index)
	m.Format, m.File, m.Shards = "pytorch", "pytorch_model.bin.index.json", []string{"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}
	out := plan(t, files, m, "safetensors", "fp16")
	for _, name := range []string{first, second, index} {
		if out[name].File == nil || out[name].File.Identical() != nil {
			t.Errorf("%s: %v", name, out[name])
		}
	}
}

// TestQuantized: weights that are stored as codes and scales are one float each, under the plain name, wherever the
// scales lie; tensors/ and npy/ show what is stored.
func TestQuantized(t *testing.T) {
	config := &stored{name: "config", data: []byte(`{"quantization_config":{"quant_method":"fp8","weight_block_size":[2,2]}}`)}
	codes := tensor{"w", model.F8E4M3, []int64{2, 3}, []byte{0x38, 0x40, 0x38, 0x38, 0x38, 0xb8}} // 1 2 1 / 1 1 -1
	scale := tensor{"w_scale_inv", model.F32, []int64{1, 2}, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5)), math.Float32bits(3))}
	norm := fill("norm", model.BF16, 2)
	want := tensor{"w", model.F32, []int64{2, 3}, nil}
	for _, v := range []float32{0.5, 1, 3, 0.5, 0.5, -3} {
		want.data = binary.LittleEndian.AppendUint32(want.data, math.Float32bits(v))
	}
	files := folder{"config.json": config, "m.safetensors": container("m", nil, norm, codes, scale)}
	m := open(t, files, "m.safetensors")
	for precision := range targets {
		got, _ := decoded(t, content(t, plan(t, files, m, "safetensors", precision)["model.safetensors"].File))
		if len(got) != 2 || !equal(got["w"], cast(t, want, precision)) || !equal(got["norm"], cast(t, norm, precision)) {
			t.Errorf("%s: %v", precision, got)
		}
	}
	if out := plan(t, files, m, "tensors", ""); !bytes.Equal(content(t, out["w"].File), codes.data) || out["w_scale_inv"].File == nil {
		t.Errorf("tensors: %v", out)
	}
	if out := plan(t, files, m, "npy", ""); out["w_scale_inv.npy"].File == nil || len(out) != 3 {
		t.Errorf("npy: %v", out)
	}

	files = folder{
		"config.json": config, first: container("one", nil, codes, norm), second: container("two", nil, scale),
		index: {name: "index", data: []byte(`{"weight_map":{"w":"` + first + `","norm":"` + first + `","w_scale_inv":"` + second + `"}}`)},
	}
	out := plan(t, files, open(t, files, index), "safetensors", "bf16")
	got, _ := decoded(t, content(t, out[first].File))
	if len(out) != 2 || !equal(got["w"], cast(t, want, "bf16")) || bytes.Contains(content(t, out[index].File), []byte("scale")) {
		t.Errorf("in shards: %v, %s", out, content(t, out[index].File))
	}
}

// TestAbsent: why there is no such view, with what would help.
func TestAbsent(t *testing.T) {
	config := &stored{name: "config", data: []byte(`{"quantization_config":{"quant_method":"vq3","bits":4}}`)}
	plain := folder{"m.safetensors": container("m", nil, fill("w", model.F32, 2)), "a.npy": array("a", npy.Header{DType: model.C128, Shape: []int64{2}}, make([]byte, 32))}
	vq := folder{"m.safetensors": plain["m.safetensors"], "config.json": config}
	narrow := folder{"m.safetensors": container("m", nil, fill("w", model.F4, 2))}
	empty := folder{"m.safetensors": container("m", nil)}
	reserved := open(t, plain, "m.safetensors")
	reserved.Tensors[0].Name, reserved.Format = "__metadata__", "pytorch"
	for _, c := range []struct {
		m               *model.Model
		view, precision string
		kind            fault.Kind
		says            string
	}{
		{open(t, plain, "m.safetensors"), "safetensors", "fp8", fault.Absent, "fp8"},
		{open(t, plain, "m.safetensors"), "safetensors", "", fault.Absent, "precision"},
		{open(t, plain, "m.safetensors"), "safetensors", "fp16-merged", fault.Absent, "one file"},
		{open(t, plain, "m.safetensors"), "safetensors", "fp99-merged", fault.Absent, "fp99"},
		{open(t, plain, "m.safetensors"), "tensors", "fp16", fault.Absent, "precision"},
		{open(t, plain, "m.safetensors"), "npy", "fp16", fault.Absent, "precision"},
		{open(t, plain, "a.npy"), "safetensors", "fp32", fault.Unsupported, "C128"},
		{open(t, vq, "m.safetensors"), "safetensors", "fp32", fault.Unsupported, "vq3"},
		{open(t, narrow, "m.safetensors"), "npy", "", fault.Unsupported, "F4"},
		{open(t, empty, "m.safetensors"), "npy", "", fault.Unsupported, "no tensors"},
		{reserved, "safetensors", "fp32", fault.Unsupported, "__metadata__"},
	} {
		out, err := view(c.view).Plan(c.m, c.precision)
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s/%s: %v %v, want %v and %q", c.view, c.precision, out, err, c.kind, c.says)
		} else if c.kind == fault.Unsupported && c.says != "no tensors" && fault.Remedy(err) == "" {
			t.Errorf("%s/%s: no remedy for %q", c.view, c.precision, err)
		}
	}
	for _, name := range []string{"tensors", "npy"} {
		plan(t, vq, open(t, vq, "m.safetensors"), name, "")
	}
	if left := view("npy").Left(open(t, narrow, "m.safetensors")); len(left) != 1 || left[0].Name != "w" || !strings.Contains(left[0].Reason, "F4") {
		t.Errorf("left out of npy: %v", left)
	}
	if got := view("safetensors").PrecisionsOf(open(t, plain, "m.safetensors")); !slices.Equal(got, []string{"fp32", "fp16", "bf16"}) {
		t.Errorf("precisions of a model in one file: %q", got)
	}
}

// TestStrings: a tensor of strings is left out of every view, with a reason, and the others stay.
func TestStrings(t *testing.T) {
	files := folder{"m.safetensors": container("m", nil, fill("w", model.F32, 2), fill("s", model.U8, 2))}
	m := open(t, files, "m.safetensors")
	m.Format = "onnx"
	m.Tensors[1].DType = model.String
	for _, v := range Table {
		if v.From != nil {
			continue // this model has no graph and is no GGUF; those views have tests of their own
		}
		out := plan(t, files, m, v.Name, v.PrecisionsOf(m)[0])
		if _, ok := out[v.Name]; ok || len(out) == 0 {
			t.Errorf("%s: %v", v.Name, out)
		}
		if v.Left != nil {
			if left := v.Left(m); len(left) != 1 || left[0].Name != "s" || left[0].Reason == "" {
				t.Errorf("%s leaves %v", v.Name, left)
			}
		}
	}
}

// TestTensors: bare bytes and a list of them, in the source's order.
func TestTensors(t *testing.T) {
	all := append(everyType(), fill("", model.U8, 1), fill("index.json", model.U8, 2), fill("scalar", model.F32), fill("a/b <é>\x00", model.I16, 2, 1), fill(strings.Repeat("n", 300), model.U8, 1))
	files := folder{"m.safetensors": container("m", nil, all...)}
	m := open(t, files, "m.safetensors")
	out := plan(t, files, m, "tensors", "")
	text := content(t, out["index.json"].File)
	var list struct{ Tensors []map[string]any }
	if err := json.Unmarshal(text, &list); err != nil || !out["index.json"].File.Literal() {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(list.Tensors) != len(all) || len(out) != len(all)+1 {
		t.Errorf("%d rows, %d files of %d tensors", len(list.Tensors), len(out), len(all))
	}
	for i, row := range list.Tensors {
		x := all[i]
		shape := []any{}
		for _, n := range x.shape {
			shape = append(shape, float64(n))
		}
		file := model.FileName(x.name, "")
		if x.name == "index.json" {
			file = "index%2Ejson"
		}
		want := map[string]any{"name": x.name, "file": file, "dtype": x.dtype.String(), "shape": shape, "nbytes": float64(len(x.data))}
		if !reflect.DeepEqual(row, want) {
			t.Errorf("row %v, want %v", row, want)
		}
		if f := out[file]; f.File == nil || f.Tensor.Name != x.name || !bytes.Equal(content(t, f.File), x.data) {
			t.Errorf("%s: other bytes", file)
		}
	}
}

// TestNpy: arrays that NumPy reads, widened where it lacks the type.
func TestNpy(t *testing.T) {
	all := everyType()
	files := folder{"m.safetensors": container("m", nil, all...)}
	m := open(t, files, "m.safetensors")
	out := plan(t, files, m, "npy", "")
	left := map[string]bool{}
	for _, l := range view("npy").Left(m) {
		left[l.Name] = true
	}
	for _, x := range all {
		f, ok := out[x.name+".npy"]
		if lacks := slices.Contains([]model.DType{model.F4, model.F6E2M3, model.F6E3M2}, x.dtype); lacks == ok || lacks != left[x.name] {
			t.Errorf("%s: there %v, left out %v", x.name, ok, left[x.name])
		}
		if !ok {
			continue
		}
		want := x
		if x.dtype == model.BF16 || strings.HasPrefix(x.dtype.String(), "F8") {
			want = through(t, x, model.F32)
		}
		data := content(t, f.File)
		h, err := npy.Decode(ctx, &stored{data: data})
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		got := tensor{x.name, h.DType, h.Shape, data[h.Start:]}
		if !equal(got, want) || h.Fortran || h.Big || h.Start%64 != 0 {
			t.Errorf("%s: %+v % x, want % x", x.name, h, got.data, want.data)
		}
		if f.Tensor.Name != x.name || f.Tensor.DType != want.dtype {
			t.Errorf("%s: said to be %+v", x.name, f.Tensor)
		}
	}
}

// TestNpySource: an array as a model: any order and byte order becomes C order and little-endian; what is so already
// is the stored file.
func TestNpySource(t *testing.T) {
	data := make([]byte, 4*6)
	for i := range 6 {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(i)))
	}
	bigData := make([]byte, len(data))
	for i := range bigData {
		bigData[i] = data[i^3]
	}
	transposed := make([]byte, 0, len(data))
	for _, i := range []int{0, 2, 4, 1, 3, 5} { // [2,3] in Fortran order
		transposed = append(transposed, data[4*i:4*i+4]...)
	}
	for name, c := range map[string]struct {
		h         npy.Header
		in, want  []byte
		identical bool
	}{
		"plain":      {npy.Header{DType: model.F32, Shape: []int64{2, 3}}, data, data, true},
		"big-endian": {npy.Header{DType: model.F32, Shape: []int64{2, 3}, Big: true}, bigData, data, false},
		"Fortran":    {npy.Header{DType: model.F32, Shape: []int64{2, 3}, Fortran: true}, data, transposed, false},
		"empty":      {npy.Header{DType: model.F32, Shape: []int64{0, 3}}, nil, nil, true},
		"scalar":     {npy.Header{DType: model.F32, Shape: []int64{}}, data[4:8], data[4:8], true},
		"a vector":   {npy.Header{DType: model.F32, Shape: []int64{6}, Fortran: true}, data, data, true},
	} {
		files := folder{"w.npy": array("w", c.h, c.in)}
		m := open(t, files, "w.npy")
		out := plan(t, files, m, "npy", "")["w.npy"]
		got := content(t, out.File)
		h, err := npy.Decode(ctx, &stored{data: got})
		if err != nil || !bytes.Equal(got[h.Start:], c.want) || (out.File.Identical() == files["w.npy"]) != c.identical {
			t.Errorf("%s: %v, identical %v, % x", name, err, out.File.Identical() != nil, got[h.Start:])
		}
		if out := plan(t, files, m, "tensors", ""); !bytes.Equal(content(t, out["w"].File), c.want) {
			t.Errorf("%s: other bytes in tensors/", name)
		}
		for precision := range targets {
			got, _ := decoded(t, content(t, plan(t, files, m, "safetensors", precision)["model.safetensors"].File))
			if want := cast(t, tensor{"w", model.F32, c.h.Shape, c.want}, precision); len(got) != 1 || !equal(got["w"], want) {
				t.Errorf("%s: safetensors/%s has % x, want % x", name, precision, got["w"].data, want.data)
			}
		}
	}
}

// TestLayout: where the bytes of a view come from, line by line.
func TestLayout(t *testing.T) {
	files := folder{"m.safetensors": container("m.safetensors", nil, fill("a", model.F32, 2, 2), fill("b", model.F32, 8), fill("c", model.I8, 3))}
	got := plan(t, files, open(t, files, "m.safetensors"), "safetensors", "fp16")["model.safetensors"].File.String()
	const want = `           0          256 literal
         256            8 coded f32→f16/1 m.safetensors@192 "a"
         264           16 coded f32→f16/1 m.safetensors@208 "b"
         280            3 extent m.safetensors@240
`
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// TestRecipe: the bytes of a view depend on the stored bytes and on nothing else: not on the file's name. (A gguf is a
// checkpoint's, with the files beside it.)
func TestRecipe(t *testing.T) {
	one := folder{"m.safetensors": container("m", nil, fill("a", model.F32, 2))}
	two := folder{"x/other.safetensors": one["m.safetensors"]}
	for _, v := range Table {
		if v.Name == "gguf" || v.From != nil && !slices.Contains(v.From, "safetensors") || v.Saves != nil { // what saves is of checkpoints
			continue
		}
		m, n := open(t, one, "m.safetensors"), open(t, two, "x/other.safetensors")
		for _, precision := range v.PrecisionsOf(m) {
			a, b := plan(t, one, m, v.Name, precision), plan(t, two, n, v.Name, precision)
			for p := range a {
				if b[p].File == nil || a[p].File.ID() != b[p].File.ID() {
					t.Errorf("%s/%s/%s is another file for another name", v.Name, precision, p)
				}
			}
		}
	}
}

// TestMatrix: every cell once, nothing null.
func TestMatrix(t *testing.T) {
	text, err := json.Marshal(Matrix())
	if err != nil || bytes.Contains(text, []byte("null")) {
		t.Errorf("%v\n%s", err, text)
	}
	cells := map[string]bool{}
	for _, row := range Matrix() {
		if cells[row.From+" "+row.To] {
			t.Errorf("%s to %s twice", row.From, row.To)
		}
		cells[row.From+" "+row.To] = true
	}
	for _, cell := range []string{"safetensors safetensors", "safetensors npy", "npy tensors", "npy npy", "onnx onnx", "onnx safetensors"} {
		if !cells[cell] {
			t.Errorf("%s is missing", cell)
		}
	}
	want := 0
	for _, v := range Table {
		if v.From == nil {
			want += len(codecs.Formats)
		}
		for _, from := range v.From {
			if slices.ContainsFunc(codecs.Formats, func(f codecs.Format) bool { return f.Name == from }) {
				want++
			}
		}
	}
	if cells["safetensors onnx"] || len(cells) != want { // weights make no graph
		t.Errorf("%d cells, want %d", len(cells), want)
	}
}

// TestReaders: every view says what reads it, as pip reads it.
func TestReaders(t *testing.T) {
	line := regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(>=\d+(\.\d+)*)?$`)
	m := &model.Model{Graph: &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}}}
	for _, v := range Table {
		if v.Readers == nil {
			t.Errorf("view %s says nothing of what reads it: give its line of the table Readers", v.Name)
			continue
		}
		for _, p := range v.Readers(m) {
			if !line.MatchString(p) {
				t.Errorf("view %s: %q is no line of a requirements.txt", v.Name, p)
			}
		}
	}
}
