package safetensors

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// shard is a file of one-byte tensors of these names.
func shard(names ...string) *stored {
	var entries []Entry
	for i, name := range names {
		entries = append(entries, Entry{Name: name, DType: spelt("U8"), Shape: []int64{1}, Begin: int64(i), End: int64(i + 1)})
	}
	head, err := Encode(map[string]string{"of": names[0], "all": "same"}, entries)
	if err != nil {
		panic(err)
	}
	return &stored{name: "shard " + names[0], data: head, size: int64(len(head) + len(names))}
}

const (
	first, second, indexFile = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"
	goodMap                  = `"a":"` + first + `","b":"` + second + `"`
)

func index(text string) *stored { return &stored{name: "index", data: []byte(text)} }

func weightMap(m string) *stored {
	return index(`{"metadata":{"total_size":8},"weight_map":{` + m + `}}`)
}

func TestSharded(t *testing.T) {
	files := folder{"x/" + first: shard("a", "c"), "x/" + second: shard("b"), "x/stray.safetensors": shard("d")}
	files["x/"+indexFile] = index(`{"weight_map": {"b": "` + second + `", "a": "` + first + `", "c": "` + first + `"}, "metadata": [1.5, {"total_size": "wrong"}]}`)
	m, err := Read(ctx, files, "x/"+indexFile)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range m.Tensors {
		names = append(names, m.Shards[x.Shard]+" "+x.Name)
	}
	if want := []string{"x/" + first + " a", "x/" + first + " c", "x/" + second + " b"}; !slices.Equal(names, want) {
		t.Errorf("tensors %q, want %q", names, want)
	}
	if want := []string{"x/" + indexFile, "x/" + first, "x/" + second}; !slices.Equal(m.Files, want) || m.File != want[0] || !slices.Equal(m.Shards, want[1:]) {
		t.Errorf("%+v", m)
	}
	for i, name := range m.Files {
		if m.Sources[i] != files[name] || m.SourceOf(name) != files[name] {
			t.Errorf("%s comes from %v", name, m.Sources[i])
		}
	}
	if m.Source != nil || m.SourceOf("x/stray.safetensors") != nil {
		t.Error("the model is said to be one file, or another")
	}
	if want := map[string]string{"of": "a", "all": "same"}; !reflect.DeepEqual(m.Metadata, want) || m.ShardMetadata[1]["of"] != "b" {
		t.Errorf("metadata %v, of shards %v", m.Metadata, m.ShardMetadata)
	}
}

// TestIndexTaken: what is odd and legal, with the number of tensors.
func TestIndexTaken(t *testing.T) {
	for name, c := range map[string]struct {
		index *stored
		count int
	}{
		"plain":                    {weightMap(goodMap), 2},
		"no metadata":              {index(`{"weight_map":{` + goodMap + `}}`), 2},
		"no weights":               {weightMap(``), 0},
		"a shard it does not name": {weightMap(`"a":"` + first + `"`), 1},
		"a shard in a folder":      {weightMap(`"e":"sub/x.safetensors"`), 1},
		"a shard at ./":            {weightMap(`"a":"./` + first + `"`), 1},
		"white space":              {index(" {\n \"weight_map\" : {\t" + goodMap + "\n} }\n"), 2},
	} {
		files := folder{first: shard("a"), second: shard("b"), "sub/x.safetensors": shard("e"), indexFile: c.index}
		if m, err := Read(ctx, files, indexFile); err != nil || len(m.Tensors) != c.count {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIndexRefused: each way an index and its shards can be wrong, and what it is called.
func TestIndexRefused(t *testing.T) {
	cut := shard("b")
	cut.size--
	for name, c := range map[string]struct {
		index  *stored
		second *stored // nil: a good one
		kind   fault.Kind
		says   string
	}{
		"empty":                       {index(``), nil, fault.Malformed, indexFile},
		"no weight_map":               {index(`{"metadata":{}}`), nil, fault.Malformed, "weight_map"},
		"weight_map is an array":      {index(`{"weight_map":[]}`), nil, fault.Malformed, "offset 14"},
		"weight_map twice":            {index(`{"weight_map":{},"weight_\u006dap":{}}`), nil, fault.Duplicate, "weight_map"},
		"a tensor twice":              {weightMap(`"a":"` + first + `","a":"` + second + `"`), nil, fault.Duplicate, `"a"`},
		"a tensor twice, escaped":     {weightMap(`"a":"` + first + `","\u0061":"` + first + `"`), nil, fault.Duplicate, `"a"`},
		"a file that is a number":     {weightMap(`"a":1`), nil, fault.Malformed, "offset"},
		"a file that is null":         {weightMap(`"a":null`), nil, fault.Malformed, "offset"},
		"text after":                  {index(`{"weight_map":{}} x`), nil, fault.Malformed, "offset 18"},
		"a name that is not UTF-8":    {weightMap("\"a\xff\":\"x\""), nil, fault.Malformed, "UTF-8"},
		"a shard is missing":          {weightMap(`"a":"` + first + `","b":"model-00003-of-00003.safetensors"`), nil, fault.Missing, "model-00003"},
		"a tensor its shard lacks":    {weightMap(goodMap + `,"c":"` + first + `"`), nil, fault.Missing, `"c"`},
		"the other shard":             {weightMap(`"a":"` + second + `","b":"` + first + `"`), nil, fault.Missing, `"a"`},
		"a tensor it does not know":   {weightMap(goodMap), shard("b", "c"), fault.Mismatch, `"c"`},
		"a tensor in two shards":      {weightMap(goodMap), shard("a", "b"), fault.Duplicate, `"a"`},
		"one shard by two names":      {weightMap(`"a":"` + first + `","b":"./` + first + `"`), nil, fault.Duplicate, `"a"`},
		"a shard that is cut":         {weightMap(goodMap), cut, fault.Truncated, second},
		"a shard that is no such":     {weightMap(goodMap), index("not a model at all"), fault.Limit, second},
		"a shard without a name":      {weightMap(`"a":""`), nil, fault.Malformed, "empty"},
		"a shard that is a folder":    {weightMap(`"a":"sub"`), nil, fault.Malformed, "folder"},
		"a shard that is the folder":  {weightMap(`"a":"."`), nil, fault.Malformed, "folder"},
		"a shard that ends in /":      {weightMap(`"a":"sub/"`), nil, fault.Malformed, "folder"},
		"a shard with a NUL":          {weightMap(`"a":"x\u0000"`), nil, fault.Malformed, "file"},
		"a shard above":               {weightMap(`"a":"../` + first + `"`), nil, fault.Unsafe, "../"},
		"a shard above, in disguise":  {weightMap(`"a":"sub/../../` + first + `"`), nil, fault.Unsafe, "sub/"},
		"a shard by way of above":     {weightMap(`"a":"sub/../` + first + `"`), nil, fault.Unsafe, "sub/"},
		"a shard that is above":       {weightMap(`"a":".."`), nil, fault.Unsafe, ".."},
		"a shard from the root":       {weightMap(`"a":"/etc/passwd"`), nil, fault.Unsafe, "/etc"},
		"a shard that leaves the way": {weightMap(`"a":"sub/outside"`), nil, fault.Unsafe, "outside"},
	} {
		files := outside{folder{first: shard("a"), second: shard("b"), "sub/x.safetensors": shard("e"), indexFile: c.index}}
		if c.second != nil {
			files.folder[second] = c.second
		}
		m, err := Read(ctx, files, indexFile)
		if err == nil {
			t.Errorf("%s: opened with %d tensors", name, len(m.Tensors))
		} else if got := fault.KindOf(err); got != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%v), want %v and %q", name, err, got, c.kind, c.says)
		}
	}
}

// outside is a folder in which sub/outside is a link that leaves the store.
type outside struct{ folder }

func (o outside) Open(name string) (layout.Source, error) {
	if name == "sub/outside" {
		return nil, fault.In(name, fault.New(fault.Unsafe, "it leads outside the store"))
	}
	return o.folder.Open(name)
}

// TestReadMissing: a model file that is not there is said to be missing.
func TestReadMissing(t *testing.T) {
	for _, name := range []string{"m.safetensors", "m.safetensors.index.json"} {
		if _, err := Read(ctx, folder{}, name); !errors.Is(err, fault.Missing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatch(t *testing.T) {
	for name, want := range map[string]bool{
		"model.safetensors": true, "a/b/Model.SAFETENSORS": true, indexFile: true, "diffusion_pytorch_model.safetensors.index.json": true,
		"model.safetensors.json": false, "safetensors": false, "model.safetensors.bak": false, "pytorch_model.bin.index.json": false, ".safetensors": true,
	} {
		if Match(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]bool{
		"\x08\x00\x00\x00\x00\x00\x00\x00{}      ": true, "\x08\x00\x00\x00\x00\x00\x00\x00 \n{ \"a\"": true, "\x00\xe1\xf5\x05\x00\x00\x00\x00{\"": true,
		"\x00\x00\x00\x00\x00\x00\x00\x00{}": false, "\x01\xe1\xf5\x05\x00\x00\x00\x00{\"": false, "\x08\x00\x00\x00\x00\x00\x00\x00[]": false,
		"\x08\x00\x00\x00\x00\x00\x00\x00{1": false, "{\"a\": 1, \"b\": 2}": false, "": false, "version https://git-lfs": false,
	} {
		if Sniff([]byte(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// FuzzIndex: an index that is taken names each tensor once, and only files below its own folder.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{"weight_map":{` + goodMap + `}}`, `{"weight_map":{"a":"../x"}}`, `{"weight_map":{},"a":[1e5,"\ud83d\ude00"]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := DecodeIndex(ctx, &stored{data: text})
		if err != nil {
			if fault.KindOf(err) == fault.Unknown {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		if !slices.IsSorted(x.Shards) {
			t.Fatalf("shards %q", x.Shards)
		}
		for tensor, i := range x.Shard {
			shard := x.Shards[i]
			if shard == "" || shard[0] == '/' || slices.Contains(strings.Split(shard, "/"), "..") || len(tensor) > len(text) {
				t.Fatalf("%q is in %q", tensor, shard)
			}
		}
	})
}
