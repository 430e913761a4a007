//go:build linux

package integration

import (
	"archive/zip"
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// checkpoint is a PyTorch file of one tensor w, beside what a pickle puts on the stack.
func checkpoint(t *testing.T, beside string) []byte {
	t.Helper()
	data := "\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02" +
		"((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x04tq\x07Q" +
		"K\x00K\x04\x85q\x08K\x01\x85q\x09\x89ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0d" +
		"X\x04\x00\x00\x00moreq\x0e" + beside + "u."
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, member := range [][2]string{{"data.pkl", data}, {"byteorder", "little"}, {"data/0", "\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@"}, {"version", "3\n"}} {
		to, err := w.CreateHeader(&zip.FileHeader{Name: "model/" + member[0], Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		to.Write([]byte(member[1]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPickles: of a model whose pickle would import what the policy refuses, no view opens, and everything says why; the
// stored file stays as it is.
func TestPickles(t *testing.T) {
	needMount(t)
	store := folder(t, "store")
	files := map[string][]byte{
		"plain":  checkpoint(t, "N"),
		"opaque": checkpoint(t, "cmyproject.net\nNet\n)\x81"),
		"danger": checkpoint(t, "cos\ngetcwd\n)R"),
	}
	for name, data := range files {
		put(t, filepath.Join(store, name, "v1/model.pt"), data)
	}
	for policy, refused := range map[string]map[string]string{
		"":                        {"danger": "os.getcwd"},
		"pickle=refuse-dangerous": {"danger": "os.getcwd"},
		"pickle=refuse-opaque":    {"danger": "os.getcwd", "opaque": "myproject.net.Net"},
		"pickle=allow":            {},
	} {
		var options []string
		if policy != "" {
			options = append(options, policy)
		}
		m := mounted(t, store, options...)
		for name, data := range files {
			version := filepath.Join(m.point, name, "v1")
			if d := command(moment, "cat", version+"/source/model.pt"); !d.ok() || d.out != string(data) {
				t.Errorf("%q, %s: the stored file: %v", policy, name, d)
			}
			d := command(moment, "cat", version+"/tensors/w")
			why := refused[name]
			if why == "" {
				if !d.ok() || d.out != "\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@" {
					t.Errorf("%q, %s: %v", policy, name, d)
				}
				continue
			}
			if d.ok() || !strings.Contains(d.err, "Permission denied") {
				t.Errorf("%q, %s: %v", policy, name, d)
			}
			for _, told := range []done{isomerfs("why", version+"/tensors/w"), command(moment, "cat", version+"/README.md"), command(moment, "cat", version+"/metadata.json")} {
				if !strings.Contains(told.out+told.err, why) {
					t.Errorf("%q, %s: nothing says that it is for %s: %v", policy, name, why, told)
				}
			}
			if d := command(moment, "ls", version); !d.ok() || strings.Contains(d.out, "tensors") {
				t.Errorf("%q, %s is listed: %v", policy, name, d)
			}
		}
		m.close()
	}

	d := isomerfs("verify", store, "--json")
	if d.code != 1 {
		t.Errorf("verify: %v", d)
	}
	globals := map[string]string{}
	for _, row := range parsed[[]verified](t, d) {
		if row.Check == "pickle" {
			for _, g := range row.Globals {
				if g.Verdict != "safe" {
					globals[row.Path] = g.Module + " " + g.Name + " " + g.Verdict
				}
			}
			if dangerous := strings.HasPrefix(row.Path, "danger/"); row.OK == dangerous {
				t.Errorf("%s: ok is %v", row.Path, row.OK)
			}
		}
	}
	if len(globals) != 2 || globals["danger/v1/source/model.pt"] != "os getcwd dangerous" || globals["opaque/v1/source/model.pt"] != "myproject.net Net opaque" {
		t.Errorf("verify lists %v", globals)
	}
	for _, name := range []string{"plain", "danger"} {
		file := filepath.Join(store, name, "v1/model.pt")
		d := isomerfs("convert", file, "--to", "safetensors/fp32", "-o", "-")
		if ok := name == "plain"; d.ok() != ok || ok == (d.out == "") {
			t.Errorf("convert %s: %v", name, d)
		}
	}
}
