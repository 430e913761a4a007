package torch

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

func readFile(t *testing.T, name string) (*model.Model, []byte) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(ctx, folder{name: data}, name)
	if err != nil {
		t.Fatal(err)
	}
	return m, data
}

// stateDict is a file of tensors.
func stateDict(t *testing.T, tensors []model.Tensor) *layout.File {
	t.Helper()
	var w Writer
	var entries []pickle.Entry
	for _, x := range tensors {
		v, err := w.Tensor(x)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, pickle.Entry{Key: x.Name, Value: v})
	}
	f, err := w.File(StateDict(entries), pickle.EncodeOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWriterIsTorchSave: the tensors of a file of torch.save's, written again, are that file byte for byte, except for
// the digits of its serialization id and their checksum.
func TestWriterIsTorchSave(t *testing.T) {
	m, want := readFile(t, "saved.pt")
	got, err := bytesIn(stateDict(t, m.Tensors))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	// torch.save calls the folder after the file: saved/, which is as long as model/.
	want = bytes.ReplaceAll(want, []byte("saved/"), []byte("model/"))
	for _, data := range [][]byte{got, want} {
		src := stored{"f", data}
		a, err := zip.Open(ctx, src, 0, src.Size())
		if err != nil {
			t.Fatal(err)
		}
		id := a.Find("model/.data/serialization_id")
		digits := data[id.Off : id.Off+id.Size]
		if len(digits) != 40 || strings.Trim(string(digits), "0123456789") != "" {
			t.Errorf("the serialization id is %q", digits)
		}
		clear(digits)
		at := bytes.LastIndex(data, []byte("model/.data/serialization_id")) - 46 // its entry in the directory
		clear(data[at+16 : at+20])
		clear(data[id.Off+id.Size+4 : id.Off+id.Size+8]) // its data descriptor
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("byte %d of %d differs: %x, want %x", i, len(got), got[i:min(len(got), i+32)], want[i:min(len(got), i+32)])
		}
	}
}

// TestWriterRead: what is written reads back, and is what torch.load maps: stored, aligned, with right checksums. Tied
// tensors have one storage.
func TestWriterRead(t *testing.T) {
	m, _ := readFile(t, "saved.pt")
	data, err := bytesIn(stateDict(t, m.Tensors))
	if err != nil {
		t.Fatal(err)
	}
	src := stored{"model.pt", data}
	a, err := zip.Open(ctx, src, 0, src.Size())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(ctx); err != nil {
		t.Error(err)
	}
	for _, x := range a.Members {
		if x.Off%alignment != 0 || x.Method != zip.Stored {
			t.Errorf("%+v", x)
		}
	}
	back, err := Read(ctx, folder{"model.pt": data}, "model.pt")
	if err != nil {
		t.Fatal(err)
	}
	if !Of(back).Flat || len(back.Tensors) != len(m.Tensors) {
		t.Errorf("flat: %t, %d tensors of %d", Of(back).Flat, len(back.Tensors), len(m.Tensors))
	}
	for i := range m.Tensors {
		was, err1 := line(&m.Tensors[i])
		is, err2 := line(&back.Tensors[i])
		if was != is || err1 != nil || err2 != nil {
			t.Errorf("%s, want %s (%v, %v)", is, was, err1, err2)
		}
	}
	n := len(back.Tensors)
	embed, head := Of(back).Tensors[n-3], Of(back).Tensors[n-2]
	if embed.Storage != head.Storage {
		t.Error("tied tensors have a storage each")
	}
	if m.Tensors[0].Data.Size() == 0 || Of(back).Tensors[1].Storage == Of(back).Tensors[3].Storage {
		t.Error("empty tensors share a storage")
	}
}

// TestSharing: only bytes of a stored file are shared, and only as one type.
func TestSharing(t *testing.T) {
	src := stored{"f", []byte("12345678")}
	whole := func() *layout.File { return layout.Stored(src) }
	tensors := []model.Tensor{
		{Name: "a", DType: model.F32, Shape: []int64{2}, Data: whole()},
		{Name: "b", DType: model.F32, Shape: []int64{1, 2}, Data: whole()},
		{Name: "c", DType: model.I32, Shape: []int64{2}, Data: whole()},
		{Name: "d", DType: model.F32, Shape: []int64{1}, Data: layout.Bytes([]byte("abcd"))},
		{Name: "e", DType: model.F32, Shape: []int64{1}, Data: layout.Bytes([]byte("abcd"))},
	}
	data, err := bytesIn(stateDict(t, tensors))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(ctx, folder{"m.pt": data}, "m.pt")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, x := range Of(m).Tensors {
		keys = append(keys, x.Storage.Key)
	}
	if want := []string{"0", "0", "1", "2", "3"}; !slices.Equal(keys, want) {
		t.Errorf("storages %v, want %v", keys, want)
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		name  string
		dtype model.DType
		shape []int64
		want  string
	}{
		{"w", model.F32, nil, ""},
		{"w", model.F4, []int64{3, 8}, ""},
		{"w", model.F4, []int64{8, 3}, "the last dimension must be even"},
		{"w", model.F4, nil, "the last dimension must be even"},
		{"w", model.F6E2M3, []int64{4}, "no type for"},
		{"w", model.I4, []int64{4}, "no type for"},
		{"w", model.String, nil, "no type for"},
		{"\xff", model.F32, nil, "not UTF-8"},
	} {
		err := Holds(c.name, c.dtype, c.shape)
		if c.want == "" && err != nil || c.want != "" && (err == nil || fault.KindOf(err) != fault.Unsupported || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q %s %v: %v", c.name, c.dtype, c.shape, err)
		}
	}
}

// TestPairs: two numbers of four bits are one element of PyTorch's.
func TestPairs(t *testing.T) {
	data, err := bytesIn(stateDict(t, []model.Tensor{{Name: "w", DType: model.F4, Shape: []int64{3, 8}, Data: layout.Bytes([]byte("123456789012"))}}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Read(ctx, folder{"m.pt": data}, "m.pt")
	if err != nil {
		t.Fatal(err)
	}
	x := m.Tensors[0]
	if b, err := bytesIn(x.Data); x.DType != model.F4 || !slices.Equal(x.Shape, []int64{3, 8}) || string(b) != "123456789012" || err != nil {
		t.Errorf("%+v %q %v", x, b, err)
	}
}

// TestMetadataMember: what is known of a model stands in extra/metadata.json, sorted.
func TestMetadataMember(t *testing.T) {
	var w Writer
	f, err := w.File(StateDict(nil), pickle.EncodeOptions{}, map[string]string{"b": "2", "a": "\"1\""})
	if err != nil {
		t.Fatal(err)
	}
	data, err := bytesIn(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"\\\"1\\\"\",\n  \"b\": \"2\"\n}\n"; !bytes.Contains(data, []byte(want)) {
		t.Errorf("no %q", want)
	}
	if _, err := Read(ctx, folder{"m.pt": data}, "m.pt"); err != nil && fault.KindOf(err) != fault.Unsupported {
		t.Error(err)
	}
}

func TestStrides(t *testing.T) {
	for _, c := range []struct{ shape, want []int64 }{
		{nil, []int64{}}, {[]int64{3}, []int64{1}}, {[]int64{2, 3}, []int64{3, 1}}, {[]int64{2, 0, 3}, []int64{3, 3, 1}},
		{[]int64{0, 1 << 40, 1 << 40}, []int64{0, 1 << 40, 1}},
	} {
		if got := strides(c.shape); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.shape, got, c.want)
		}
	}
}

// full is a training checkpoint in a precision, read back.
func fullOf(t *testing.T, m *model.Model, to model.DType) (*Checkpoint, []model.Left, []byte) {
	t.Helper()
	f, left, err := Of(m).Full(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := bytesIn(f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Read(ctx, folder{"model.pt": data}, "model.pt")
	if err != nil {
		t.Fatal(err)
	}
	return Of(back), left, data
}

// TestFull: all of a checkpoint but what takes code to make, and only the weights of it cast.
func TestFull(t *testing.T) {
	m, _ := readFile(t, "training.pt")
	for _, to := range []model.DType{model.F32, model.F16, model.BF16} {
		c, left, data := fullOf(t, m, to)
		if want := []model.Left{
			{Name: "args", Reason: "an object of argparse.Namespace"},
			{Name: "steps.1", Reason: "an object of argparse.Namespace"},
		}; !reflect.DeepEqual(left, want) {
			t.Errorf("left out: %v", left)
		}
		var imports pickle.Imports
		if _, _, err := pickle.Decode(pickleOf(t, data), pickle.Options{Imports: &imports}); err != nil {
			t.Fatal(err)
		}
		for _, i := range imports.List() {
			if !loadable(&pickle.Global{Module: i.Module, Name: i.Name}) {
				t.Errorf("torch.load(weights_only=True) does not know %s.%s", i.Module, i.Name)
			}
		}
		old := Of(m)
		for _, key := range []string{"epoch", "model_state_dict", "optimizer_state_dict", "scheduler", "best", "loss", "rng", "history", "steps", "version", "nothing"} {
			was, _ := pickle.Get(old.Root, key)
			is, ok := pickle.Get(c.Root, key)
			if !ok {
				t.Errorf("%s is gone", key)
				continue
			}
			want := to
			if key != "model_state_dict" {
				want = model.Invalid
			}
			alike(t, key, old, was, c, is, want)
		}
		if v, _ := pickle.Get(c.Root, "best"); v != 0.25 {
			t.Errorf("a NumPy scalar is %v", v)
		}
		if v, _ := pickle.Get(c.Root, "steps"); v.(*pickle.List).Items[1] != nil || v.(*pickle.List).Items[2] != int64(3) {
			t.Errorf("a list with an object is %v", v)
		}
	}
}

// TestFullBytes: bytes can be no key of a map of Go's, and a pickle has them wherever it likes.
func TestFullBytes(t *testing.T) {
	m, _ := readFile(t, "training.pt")
	root := Of(m).Root.(*pickle.Dict)
	blob := &pickle.Object{Class: &pickle.Global{Module: "builtins", Name: "bytearray"}, Args: &pickle.Tuple{Items: []pickle.Value{pickle.Bytes("xyz")}}}
	root.Entries = append(root.Entries, pickle.Entry{Key: "blob", Value: blob}, pickle.Entry{Key: pickle.Bytes("key"), Value: pickle.Bytes("value")})
	c, _, _ := fullOf(t, m, model.F32)
	v, _ := pickle.Get(c.Root, "blob")
	o, ok := v.(*pickle.Object)
	if !ok || len(o.Args.Items) != 1 {
		t.Fatalf("a bytearray is %v", v)
	}
	if b, ok := o.Args.Items[0].(pickle.Bytes); !ok || string(b) != "xyz" {
		t.Errorf("a bytearray holds %v", o.Args.Items[0])
	}
}

// alike compares values: tensors by their elements, cast to a type where they are floats and it is one.
func alike(t *testing.T, path string, a *Checkpoint, v pickle.Value, b *Checkpoint, w pickle.Value, to model.DType) {
	t.Helper()
	if x := a.Tensor(v); x != nil {
		y := b.Tensor(w)
		if y == nil {
			t.Errorf("%s is no tensor", path)
			return
		}
		want := model.Tensor{Name: path, DType: x.DType, Shape: x.Shape, Data: x.Data}
		if to != model.Invalid && x.DType.Float() {
			var err error
			if want, err = quant.Tensor(want, to); err != nil {
				t.Fatal(err)
			}
		}
		got := model.Tensor{Name: path, DType: y.DType, Shape: y.Shape, Data: y.Data}
		was, err1 := line(&want)
		is, err2 := line(&got)
		if was != is || err1 != nil || err2 != nil || x.Storage != nil && !slices.Equal(x.Strides, y.Strides) {
			t.Errorf("%s, want %s (%v, %v)", is, was, err1, err2)
		}
		return
	}
	if entries, ok := pickle.Entries(v); ok {
		for _, e := range entries {
			is, ok := pickle.Entries(w)
			if !ok {
				t.Errorf("%s is no dict", path)
				return
			}
			at := slices.IndexFunc(is, func(x pickle.Entry) bool { return KeyName(x.Key) == KeyName(e.Key) })
			if at < 0 {
				t.Errorf("%s.%s is gone", path, KeyName(e.Key))
				continue
			}
			alike(t, path+"."+KeyName(e.Key), a, e.Value, b, is[at].Value, to)
		}
		return
	}
	switch v := v.(type) {
	case *pickle.List:
		for i := range v.Items {
			if _, object := v.Items[i].(*pickle.Object); !object || a.Tensor(v.Items[i]) != nil {
				alike(t, path, a, v.Items[i], b, w.(*pickle.List).Items[i], to)
			}
		}
	case *pickle.Tuple:
		for i := range v.Items {
			alike(t, path, a, v.Items[i], b, w.(*pickle.Tuple).Items[i], to)
		}
	case *pickle.Object, pickle.Bytes:
	default:
		if v != w {
			t.Errorf("%s is %v, want %v", path, w, v)
		}
	}
}

func pickleOf(t *testing.T, data []byte) []byte {
	t.Helper()
	src := stored{"f", data}
	a, err := zip.Open(ctx, src, 0, src.Size())
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Bytes(ctx, a.Find("model/data.pkl"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
