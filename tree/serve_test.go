package tree

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServe: views are those of the version that the alias leads to, through another alias too; source/ stays, what is
// absent says why, and a move of the alias moves the views.
func TestServe(t *testing.T) {
	ctx := context.Background()
	tr, root := makeTree(t, nil, func(o *Options) { o.Serve = "approved" })
	tensors := []byte("\x3a\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    ` + "\x00\x00\x80\x3f")
	for _, v := range []string{"v1", "v2"} {
		putBytes(t, filepath.Join(root, "m", v, "model.safetensors"), tensors, 0o644, settled)
	}
	link := func(name, target string) {
		t.Helper()
		path := filepath.Join(root, "m", name)
		if err := os.Symlink(target, path+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	served := func(version string, want bool) {
		t.Helper()
		const view = "/safetensors/fp16/model.safetensors"
		_, err := tr.Resolve(ctx, "m/"+version+view)
		if (err == nil) != want {
			t.Errorf("%s is served: %v, want %v (%v)", version, err == nil, want, err)
		}
		if _, err := tr.Resolve(ctx, "m/"+version+"/source/model.safetensors"); err != nil {
			t.Errorf("the stored file of %s: %v", version, err)
		}
		why, err := tr.Why(ctx, "m/"+version+view)
		if err != nil || why.Available != want {
			t.Errorf("why of %s: %+v, %v", version, why, err)
		}
		const reason = "the version has no alias approved"
		for _, name := range []string{"README.md", "metadata.json"} {
			n, err := tr.Resolve(ctx, "m/"+version+"/"+name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := n.File.Document(ctx)
			if err != nil || strings.Contains(string(text), reason) == want {
				t.Errorf("%s of %s, served: %v (%v)\n%s", name, version, want, err, text)
			}
			if name == "metadata.json" && !json.Valid(text) {
				t.Errorf("metadata.json of %s is no JSON", version)
			}
		}
		if !want && (!strings.Contains(why.Reason, reason) || why.Remedy != "isomerfs alias "+tr.o.Store.String()+"/m approved "+version) {
			t.Errorf("why says %q, %q", why.Reason, why.Remedy)
		}
	}
	served("v1", false)
	served("v2", false)
	link("champion", "v1")
	link("approved", "champion")
	served("v1", true)
	served("v2", false)
	link("champion", "v2")
	served("v1", false)
	served("v2", true)
}
