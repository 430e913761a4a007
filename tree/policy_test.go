package tree

import (
	"context"
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// importing is a format of one tensor whose files name what Python would import: MODULE.NAME VERDICT, a line each.
var importing = codecs.Format{
	Name: "importing", Match: func(name string) bool { return path.Ext(name) == ".imp" }, Sniff: func([]byte) bool { return false },
	Read: func(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
		src, err := files.Open(name)
		if err != nil {
			return nil, err
		}
		text := make([]byte, src.Size())
		if _, err := src.ReadAt(ctx, text, 0); err != nil && len(text) == 0 {
			return nil, err
		}
		m := &model.Model{Format: "importing", File: name, Files: []string{name}, Sources: []layout.Source{src}, Metadata: map[string]string{}}
		for line := range strings.Lines(string(text)) {
			path, verdict, _ := strings.Cut(strings.TrimSpace(line), " ")
			at := strings.LastIndexByte(path, '.')
			m.Imports = append(m.Imports, model.Import{File: name, Module: path[:at], Name: path[at+1:], Verdict: verdict, Reason: "because"})
		}
		data, err := layout.New(layout.Literal("abcd"))
		m.Tensors = []model.Tensor{{Name: "w", DType: model.U8, Shape: []int64{4}, Data: data}}
		return m, err
	},
}

func TestPolicy(t *testing.T) {
	const view = "safetensors/fp32/model.safetensors"
	for _, c := range []struct {
		policy Policy
		file   string
		why    string // why it is refused; "" where it is not
	}{
		{RefuseDangerous, "a.A safe\nb.B opaque\n", ""},
		{RefuseDangerous, "a.A safe\nos.system dangerous\nsys.exit dangerous\n", "Python would import os.system to load it (dangerous: because), and 1 more, which pickle=refuse-dangerous refuses"},
		{RefuseOpaque, "a.A safe\n", ""},
		{RefuseOpaque, "b.B opaque\nos.system dangerous\n", "Python would import os.system to load it (dangerous: because), and 1 more, which pickle=refuse-opaque refuses"},
		{RefuseOpaque, "b.B opaque\n", "Python would import b.B to load it (opaque: because), which pickle=refuse-opaque refuses"},
		{AllowAll, "b.B opaque\nos.system dangerous\n", ""},
	} {
		tr, root := makeTree(t, nil, func(o *Options) { o.Pickle = c.policy })
		tr.formats = []codecs.Format{importing}
		putBytes(t, filepath.Join(root, "m/v1/model.imp"), []byte(c.file), 0o644, settled)
		ctx := context.Background()
		_, err := tr.Resolve(ctx, "m/v1/"+view)
		if _, stored := tr.Resolve(ctx, "m/v1/source/model.imp"); stored != nil {
			t.Errorf("%v, %q: the stored file: %v", c.policy, c.file, stored)
		}
		if c.why == "" {
			if err != nil {
				t.Errorf("%v, %q: %v", c.policy, c.file, err)
			}
			continue
		}
		if !errors.Is(err, fault.Unsafe) || !strings.Contains(fault.Reason(err), c.why) || fault.Remedy(err) == "" {
			t.Errorf("%v, %q: %v (%v), want %s", c.policy, c.file, err, fault.KindOf(err), c.why)
		}
		a, err := tr.Why(ctx, "m/v1/"+view)
		if err != nil || a.Available || !strings.Contains(a.Reason, c.why) || a.Remedy == "" {
			t.Errorf("%v, %q: why says %+v, %v", c.policy, c.file, a, err)
		}
		if got := findings(t, tr, "m/v1"); got != "m/v1/source/model.imp structure ok\n" {
			t.Errorf("%v, %q: %s", c.policy, c.file, got)
		}
	}
}

// TestVerifyPickles: what Python would import is listed of each file that holds pickles, whatever its format.
func TestVerifyPickles(t *testing.T) {
	tr, root := makeTree(t, map[string]string{"m/v1/model.safetensors": "w F32 4"})
	const getcwd = "\x80\x02cos\ngetcwd\nq\x00)Rq\x01."
	for name, data := range map[string]string{
		"optimizer.pt": getcwd, "state.pkl": "\x80\x02ccollections\nOrderedDict\n)R.", "args.bin": "\x80\x02cmy.args\nArgs\n)\x81.", "torn.pkl": "\x80\x02}", "nothing.pkl": "\x80\x02N.", "notes.txt": "c",
	} {
		putBytes(t, filepath.Join(root, "m/v1", name), []byte(data), 0o644, settled)
	}
	var got []string
	err := tr.Verify(context.Background(), resolve(t, tr, "m/v1"), func(f Finding) {
		words := ""
		for _, g := range f.Globals {
			words += " " + g.Module + "." + g.Name + " " + g.Verdict
		}
		if f.Check == checkPickle && f.Globals == nil {
			t.Errorf("%s: no list of globals", f.Path)
		}
		ok := "bad"
		if f.OK {
			ok = "ok"
		}
		got = append(got, strings.TrimPrefix(f.Path, "m/v1/source/")+" "+f.Check+" "+ok+words)
	})
	want := []string{
		"args.bin structure ok", // looked at, and not read: it holds no tensors
		"args.bin pickle ok my.args.Args opaque",
		"model.safetensors structure ok",
		"nothing.pkl pickle ok",
		"optimizer.pt pickle bad os.getcwd dangerous",
		"state.pkl pickle ok collections.OrderedDict safe",
		"torn.pkl structure bad",
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
