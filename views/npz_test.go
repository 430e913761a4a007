package views

import (
	stdzip "archive/zip"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/npy"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// members are the names of an archive's members and their bytes, as archive/zip reads them, CRC-32s compared.
func members(t *testing.T, data []byte) (names []string, content map[string][]byte) {
	t.Helper()
	z, err := stdzip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	content = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if content[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		names = append(names, f.Name)
	}
	return names, content
}

// TestNpz: every tensor that NumPy can hold is a member under its name, with the bytes that npy/ has.
func TestNpz(t *testing.T) {
	list := append(everyType(), fill("dense/kernel:0", model.F32, 2, 2), fill("nothing", model.F32, 0), fill("ünï", model.I8, 3))
	files := folder{"m.safetensors": container("m", nil, list...)}
	m := open(t, files, "m.safetensors")
	out := plan(t, files, m, "npz", "")
	if len(out) != 1 {
		t.Fatalf("%d files", len(out))
	}
	data := content(t, out["weights.npz"].File)
	names, got := members(t, data)
	arrays := plan(t, files, m, "npy", "")
	if len(names) != len(arrays) {
		t.Errorf("%d members, and npy/ has %d files", len(names), len(arrays))
	}
	for _, x := range arrays {
		if !bytes.Equal(got[x.Tensor.Name+".npy"], content(t, x.File)) {
			t.Errorf("%s differs from npy/%s", x.Tensor.Name, x.Path)
		}
	}
	left := view("npz").Left(m)
	if len(left)+len(names) != len(list) {
		t.Errorf("%d members, %d left out, of %d tensors", len(names), len(left), len(list))
	}
	again := open(t, folder{"w.npz": {name: "w.npz", data: data}}, "w.npz")
	for i, x := range again.Tensors {
		if x.Name+".npy" != names[i] {
			t.Errorf("read back as %q", x.Name)
		}
	}
}

// TestNpzNames: a name that no archive can hold is escaped, and then so that no two are alike.
func TestNpzNames(t *testing.T) {
	long := strings.Repeat("x", 65_533) // too long with .npy behind
	for _, c := range []struct{ tensors, members []string }{
		{[]string{"a", "b/c", "100%"}, []string{"a.npy", "b/c.npy", "100%.npy"}},
		{[]string{"/a", "b"}, []string{"%2Fa.npy", "b.npy"}},
		{[]string{"../a", "a\\b", "a\x00b"}, []string{"%2E.%2Fa.npy", "a%5Cb.npy", "a%00b.npy"}},
		{[]string{"/a", "%2Fa", "b/c"}, []string{"%2Fa.npy", "%252Fa.npy", "b%2Fc.npy"}},
		{[]string{"/a", "%2Fa.npy"}, []string{"%2Fa.npy", "%252Fa.npy.npy"}},
		{[]string{""}, []string{".npy"}},
		{[]string{long}, []string{model.FileName(long, ".npy")}},
	} {
		var list []tensor
		for _, name := range c.tensors {
			list = append(list, fill(name, model.I8, 1))
		}
		files := folder{"m.safetensors": container("m", nil, list...)}
		out := plan(t, files, open(t, files, "m.safetensors"), "npz", "")
		if names, _ := members(t, content(t, out["weights.npz"].File)); !slices.Equal(names, c.members) {
			t.Errorf("%.40q are called %.80q, want %.80q", c.tensors, names, c.members)
		}
	}
	files := folder{"m.safetensors": container("m", nil, fill("a", model.I8, 1), fill("a.npy", model.I8, 1))}
	if _, err := view("npz").Plan(open(t, files, "m.safetensors"), ""); !errors.Is(err, fault.Unsupported) || fault.Remedy(err) == "" {
		t.Errorf("two tensors that NumPy takes for one: %v", err)
	}
}

// TestNpzIdentical: an archive that has nothing to change is its view, any other is not.
func TestNpzIdentical(t *testing.T) {
	little, big := npy.Header{DType: model.I16, Shape: []int64{2, 2}}, npy.Header{DType: model.I16, Shape: []int64{2, 2}, Big: true}
	columns := npy.Header{DType: model.I16, Shape: []int64{2, 2}, Fortran: true}
	for name, c := range map[string]struct {
		members map[string][]byte
		method  uint16
		same    bool
	}{
		"stored":         {map[string][]byte{"w.npy": array("", little, []byte("abcdefgh")).data}, stdzip.Store, true},
		"deflated":       {map[string][]byte{"w.npy": array("", little, []byte("abcdefgh")).data}, stdzip.Deflate, false},
		"big-endian":     {map[string][]byte{"w.npy": array("", big, []byte("abcdefgh")).data}, stdzip.Store, false},
		"columns":        {map[string][]byte{"w.npy": array("", columns, []byte("abcdefgh")).data}, stdzip.Store, false},
		"wrapped":        {map[string][]byte{"module.w.npy": array("", little, []byte("abcdefgh")).data}, stdzip.Store, false},
		"something else": {map[string][]byte{"w.npy": array("", little, []byte("abcdefgh")).data, "README": []byte("x")}, stdzip.Store, false},
	} {
		var b bytes.Buffer
		w := stdzip.NewWriter(&b)
		for member, data := range c.members {
			f, err := w.CreateHeader(&stdzip.FileHeader{Name: member, Method: c.method})
			if err == nil {
				_, err = f.Write(data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		files := folder{"a.npz": {name: "a.npz", data: b.Bytes(), body: int64(b.Len())}}
		m := open(t, files, "a.npz")
		out := plan(t, files, m, "npz", "")["weights.npz"].File
		if same := out.Identical() != nil; same != c.same {
			t.Errorf("%s: the view is the stored file: %v", name, same)
		}
		again := open(t, folder{"w.npz": {name: "w.npz", data: content(t, out)}}, "w.npz")
		if got, want := content(t, again.Tensors[0].Data), content(t, m.Tensors[0].Data); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
