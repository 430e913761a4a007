package views

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// reread is what the torch codec finds in a file.
func reread(t *testing.T, data []byte) *model.Model {
	t.Helper()
	m, err := torch.Read(ctx, folder{"model.pt": {name: "model.pt", data: data}}, "model.pt")
	if err != nil {
		t.Fatalf("what was written is refused: %v", err)
	}
	return m
}

// saved is a file that PyTorch wrote.
func saved(t testing.TB, name string) *stored {
	t.Helper()
	data, err := os.ReadFile("../codecs/torch/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return &stored{name: name, data: data, body: int64(len(data))}
}

// TestPyTorch: every tensor of the source under its name, in its order, cast as the precision says.
func TestPyTorch(t *testing.T) {
	var all []tensor
	for _, x := range append(everyType(), fill("scalar", model.F32), fill("größe", model.F64, 7)) {
		if x.dtype != model.F4 && x.dtype != model.F6E2M3 && x.dtype != model.F6E3M2 {
			all = append(all, x)
		}
	}
	files := folder{"m.safetensors": container("m", map[string]string{"format": "pt", "about": "ü"}, all...)}
	m := open(t, files, "m.safetensors")
	for precision := range targets {
		out := plan(t, files, m, "pytorch", precision)
		if len(out) != 1 {
			t.Fatalf("%s: %v", precision, out)
		}
		data := content(t, out["model.pt"].File)
		back := reread(t, data)
		if !torch.Of(back).Flat || len(back.Tensors) != len(all) {
			t.Errorf("%s: flat: %t, %d tensors", precision, torch.Of(back).Flat, len(back.Tensors))
		}
		for i, x := range all {
			want := cast(t, x, precision)
			b := &back.Tensors[i]
			if got := (tensor{b.Name, b.DType, b.Shape, content(t, b.Data)}); !equal(got, want) {
				t.Errorf("%s: %s is %s %v", precision, x.name, got.dtype, got.shape)
			}
		}
		if !bytes.Contains(data, []byte("{\n  \"about\": \"ü\"\n}")) {
			t.Errorf("%s: the metadata is gone", precision)
		}
	}
}

// TestPyTorchStored: a state_dict that has nothing to change is the stored file; nested or wrapped it is not.
func TestPyTorchStored(t *testing.T) {
	files := folder{"m.safetensors": container("m", nil, fill("w", model.F32, 5), fill("n", model.I64, 2))}
	data := content(t, plan(t, files, open(t, files, "m.safetensors"), "pytorch", "fp32")["model.pt"].File)
	files = folder{"net.pth": {name: "net.pth", data: data, body: int64(len(data))}}
	m := open(t, files, "net.pth")
	if out := plan(t, files, m, "pytorch", "fp32"); out["model.pt"].File.Identical() == nil {
		t.Error("fp32 of float32 is another file")
	}
	if out := plan(t, files, m, "pytorch", "fp16"); out["model.pt"].File.Identical() != nil {
		t.Error("fp16 of float32 is the stored file")
	}
	files = folder{"training.pt": saved(t, "training.pt")}
	if out := plan(t, files, open(t, files, "training.pt"), "pytorch", "fp32"); out["model.pt"].File.Identical() != nil {
		t.Error("a training checkpoint is taken for its weights")
	}
}

// TestPyTorchTied: tensors that are one in the source are one in the view, cast or not.
func TestPyTorchTied(t *testing.T) {
	files := folder{"saved.pt": saved(t, "saved.pt")}
	m := open(t, files, "saved.pt")
	for precision := range targets {
		back := torch.Of(reread(t, content(t, plan(t, files, m, "pytorch", precision)["model.pt"].File)))
		i := slices.IndexFunc(m.Tensors, func(x model.Tensor) bool { return x.Name == "embed.weight" })
		j := slices.IndexFunc(m.Tensors, func(x model.Tensor) bool { return x.Name == "head.weight" })
		if back.Tensors[i].Storage != back.Tensors[j].Storage {
			t.Errorf("%s: tied tensors have a storage each", precision)
		}
	}
}

// TestPyTorchShards: shards keep their numbers, the index has the usual name; those of PyTorch's own are the stored
// ones where nothing changes, and -merged is one file.
func TestPyTorchShards(t *testing.T) {
	index := `{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}`
	files := folder{
		"model.safetensors.index.json":     {name: "index", data: []byte(index)},
		"model-00001-of-00002.safetensors": container("1", nil, fill("a", model.F32, 3)),
		"model-00002-of-00002.safetensors": container("2", nil, fill("b", model.F32, 4)),
	}
	m := open(t, files, "model.safetensors.index.json")
	out := plan(t, files, m, "pytorch", "fp32")
	own := folder{}
	for path, o := range out {
		own[path] = &stored{name: path, data: content(t, o.File)}
	}
	if want := []string{"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"}; !slices.Equal(own.List(), want) {
		t.Fatalf("files %v", own.List())
	}
	var listed struct {
		Metadata struct {
			Total int64 `json:"total_size"`
		}
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(own["pytorch_model.bin.index.json"].data, &listed); err != nil || listed.Metadata.Total != 28 ||
		!reflect.DeepEqual(listed.Map, map[string]string{"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}) {
		t.Errorf("%v %v", listed, err)
	}
	n := open(t, own, "pytorch_model.bin.index.json")
	for path, o := range plan(t, own, n, "pytorch", "fp32") {
		if o.File.Identical() == nil {
			t.Errorf("%s is not the stored file", path)
		}
	}
	for path, o := range plan(t, own, n, "pytorch", "fp16") {
		if o.File.Identical() != nil {
			t.Errorf("fp16: %s is the stored file", path)
		}
	}
	for _, model := range []*model.Model{m, n} {
		merged := plan(t, files, model, "pytorch", "fp32-merged")
		if back := reread(t, content(t, merged["model.pt"].File)); len(merged) != 1 || len(back.Tensors) != 2 {
			t.Errorf("merged: %v", merged)
		}
	}
}

// TestPyTorchAbsent: what PyTorch cannot hold has a reason, and so have the modifiers that a model has no use for.
func TestPyTorchAbsent(t *testing.T) {
	for _, c := range []struct {
		x         tensor
		precision string
		kind      fault.Kind
		reason    string
	}{
		{fill("w", model.F6E2M3, 4), "fp32", fault.Unsupported, "no type for"},
		{fill("w", model.F32, 4), "fp8", fault.Absent, `no precision "fp8"`},
		{fill("w", model.F32, 4), "fp16-merged", fault.Absent, "no shards to join"},
		{fill("w", model.F32, 4), "fp16-full", fault.Absent, "weights alone"},
		{fill("w", model.F32, 4), "fp16-ema", fault.Absent, "without an average"},
		{fill("w", model.F32, 4), "fp16-ema-full", fault.Absent, "no precision"},
	} {
		files := folder{"m.safetensors": container("m", nil, c.x)}
		_, err := view("pytorch").Plan(open(t, files, "m.safetensors"), c.precision)
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", c.precision, err)
		}
	}
	files := folder{"saved.pt": saved(t, "saved.pt")}
	_, err := view("pytorch").Plan(open(t, files, "saved.pt"), "fp32-full")
	if fault.KindOf(err) != fault.Absent || fault.Remedy(err) != "pytorch/fp32 is all of it" {
		t.Error(err)
	}
}

// TestPyTorchFull: all of a checkpoint; what is left out is named, also where it would have to be: in the version's
// metadata.
func TestPyTorchFull(t *testing.T) {
	files := folder{"training.pt": saved(t, "training.pt")}
	m := open(t, files, "training.pt")
	out := plan(t, files, m, "pytorch", "fp16-full")
	back := reread(t, content(t, out["model.pt"].File))
	for i, x := range back.Tensors {
		if x.Name != m.Tensors[i].Name || x.DType.Float() && x.DType != model.F16 {
			t.Errorf("%s is %s", x.Name, x.DType)
		}
	}
	if n := len(torch.Of(back).Training().Optimizers); n != 1 {
		t.Errorf("%d optimizers", n)
	}
	var names []string
	for _, l := range view("pytorch").Left(m) {
		names = append(names, l.Name)
	}
	if !slices.Equal(names, []string{"args", "steps.1"}) {
		t.Errorf("left out: %v", names)
	}
}

// TestPyTorchAverage: the average of the weights is a state_dict of its own, under the weights' names.
func TestPyTorchAverage(t *testing.T) {
	files := folder{"training.pt": saved(t, "training.pt")}
	m := open(t, files, "training.pt")
	m.Averaged = slices.Clone(m.Tensors[:2])
	back := reread(t, content(t, plan(t, files, m, "pytorch", "fp16-ema")["model.pt"].File))
	if len(back.Tensors) != 2 || back.Tensors[0].Name != m.Tensors[0].Name || back.Tensors[0].DType != model.F16 {
		t.Errorf("%v", back.Tensors)
	}
}

// TestOptimizer: index.json leads from each parameter's name to its state; the files are the stored bytes; state.json
// is the rest.
func TestOptimizer(t *testing.T) {
	files := folder{"training.pt": saved(t, "training.pt")}
	m := open(t, files, "training.pt")
	out := plan(t, files, m, "optimizer", "")
	var index struct {
		Optimizers []struct {
			Key    string
			Groups []map[string]any
		}
		Parameters map[string]struct {
			Optimizer, Group, ID int
			NamedBy              string `json:"named_by"`
			Step                 float64
			Hyperparameters      map[string]any
			State                map[string]any
		}
		Unnamed []any
	}
	if err := json.Unmarshal(content(t, out["index.json"].File), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Optimizers) != 1 || index.Optimizers[0].Key != "optimizer_state_dict" || len(index.Optimizers[0].Groups) != 2 || len(index.Unnamed) != 0 {
		t.Errorf("%+v", index.Optimizers)
	}
	// Weights are in the first group, the others in the second, whose numbers follow.
	want := map[string]int{"0.weight": 0, "3.weight": 1, "0.bias": 2, "1.weight": 3, "1.bias": 4, "3.bias": 5}
	for name, id := range want {
		p, ok := index.Parameters[name]
		if group := id / 2; !ok || p.ID != id || p.NamedBy != "order" || p.Step != 3 || p.Group != min(group, 1) || p.Hyperparameters["amsgrad"] != true {
			t.Errorf("%s: %+v", name, p)
			continue
		}
		for _, key := range []string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"} {
			about, _ := p.State[key].(map[string]any)
			o, ok := out[name+"."+key]
			if about["file"] != name+"."+key || !ok || o.Tensor == nil || o.Tensor.Name != name+"."+key || about["dtype"] != "F32" || int64(about["nbytes"].(float64)) != o.File.Size() {
				t.Errorf("%s %s: %v", name, key, about)
			}
		}
	}
	if len(index.Parameters) != len(want) || len(out) != 2+3*len(want)+2 {
		t.Errorf("%d parameters, %d files", len(index.Parameters), len(out))
	}
	var state map[string]any
	if err := json.Unmarshal(content(t, out["state.json"].File), &state); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"epoch", "scheduler", "best", "loss", "rng", "history", "args", "steps", "version", "nothing"} {
		if _, ok := state[key]; !ok {
			t.Errorf("state.json lacks %s", key)
		}
	}
	if state["epoch"] != 3.0 || state["best"] != 0.25 || state["loss"] != 0.5 || len(state) != 10 {
		t.Errorf("%v", state)
	}
	if args := state["args"].(map[string]any); args["class"] != "argparse.Namespace" || args["state"].(map[string]any)["lr"] != 1e-3 {
		t.Errorf("%v", args)
	}
	if rng := state["rng"].(map[string]any)["torch"].(map[string]any); rng["file"] != "rng.torch" || out["rng.torch"].File.Size() != 16 {
		t.Errorf("%v", rng)
	}
	var sum int64
	for name := range want {
		for _, key := range []string{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"} {
			sum += out[name+"."+key].File.Size()
		}
		sum += 4 // step
	}
	if n := view("optimizer").Saves(m); n != sum {
		t.Errorf("saves %d bytes, want %d", n, sum)
	}
}

// TestOptimizerAbsent: a model without an optimizer has none, with a reason, and saves nothing.
func TestOptimizerAbsent(t *testing.T) {
	for name, files := range map[string]folder{
		"m.safetensors": {"m.safetensors": container("m", nil, fill("w", model.F32, 1))},
		"saved.pt":      {"saved.pt": saved(t, "saved.pt")},
	} {
		m := open(t, files, name)
		if _, err := view("optimizer").Plan(m, ""); fault.KindOf(err) != fault.Absent || view("optimizer").Saves(m) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
