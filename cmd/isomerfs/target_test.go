package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocate is the rule of what a PATH means, as a table.
func TestLocate(t *testing.T) {
	work, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	for _, file := range []string{
		"store/resnet/v1/model.safetensors", "store/resnet/v2/model.safetensors", "store/resnet/v2/config.json",
		"store/resnet/v2/npy/more.safetensors", // a stored folder that bears the name of a view
		"store/org/bert/3/model.safetensors",
		"store/tiny.safetensors",
		"repo/model.safetensors", "repo/config.json", "repo/tokenizer.json", // a model's own folder
		"flat/a.safetensors", "flat/b.safetensors", // loose models alone
		"one/net.safetensors",
		"2024/lone.safetensors", // named like a version
		"parts/unet/x.safetensors", "parts/vae/y.safetensors", "parts/model_index.json",
	} {
		if strings.HasSuffix(file, ".safetensors") {
			writeModel([]string{file, "w:F32:4"})
		} else if err := os.WriteFile(file, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"store/resnet/champion": "v1", "way": "store/resnet"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	const view = "safetensors/fp16/model.safetensors"
	cases := []struct {
		path string
		take taken
		want string // the path in the tree; of a plain file, in source/
	}{
		// a store, its namespaces, models and versions
		{"store", asMounted, ""},
		{"store", asOneModel, ""},
		{"store/", asMounted, ""},
		{"store/org", asMounted, ""},
		{"store/resnet", asMounted, "resnet"},
		{"store/resnet", asOneModel, "resnet"},
		{"store/resnet/v1", asMounted, "resnet/v1"},
		{"store/resnet/v1", asOneModel, "resnet/v1"},
		{"store/org/bert", asOneModel, "bert"},
		{"store/org/bert/3", asOneModel, "bert/3"},
		{"way/v1", asOneModel, "resnet/v1"},
		{"store/../store/resnet/v1", asOneModel, "resnet/v1"},

		// names that no folder has
		{"store/resnet/latest", asOneModel, "resnet/v2"},
		{"store/resnet/champion", asOneModel, "resnet/v1"},
		{"store/resnet/1", asOneModel, "resnet/v1"},
		{"store/tiny", asOneModel, "tiny"},
		{"store/tiny/v1", asOneModel, "tiny/v1"},

		// views, from wherever the path stops existing
		{"store/tiny/v1/" + view, asOneModel, "tiny/v1/" + view},
		{"store/resnet/v1/" + view, asOneModel, "resnet/v1/" + view},
		{"store/resnet/latest/" + view, asOneModel, "resnet/v2/safetensors/fp16/model.safetensors"},
		{"store/resnet/champion/" + view, asOneModel, "resnet/v1/" + view},
		{"store/org/bert/3/safetensors/half/model.safetensors", asOneModel, "bert/3/" + view},
		{"store/resnet/v1/source", asOneModel, "resnet/v1/source"},

		// a stored folder npy/ hides no view, and is a plain folder itself
		{"store/resnet/v2/npy/model/w.npy", asOneModel, "resnet/v2/npy/model/w.npy"},
		{"store/resnet/v2/npy", asOneModel, "npy/v1"},

		// plain files, with what is made of them
		{"store/resnet/v1/model.safetensors", asOneModel, "resnet/v1/source/model.safetensors"},
		{"one/net.safetensors", asMounted, "one/v1/source/net.safetensors"},
		{"one/net.safetensors/" + view, asOneModel, "one/v1/" + view},
		{"flat/a.safetensors", asOneModel, "flat/v1/source/a.safetensors"},

		// plain folders
		{"repo", asMounted, "repo/v1"},
		{"repo", asOneModel, "repo/v1"},
		{"repo/" + view, asOneModel, "repo/v1/" + view},
		{"repo/v1/" + view, asOneModel, "repo/v1/" + view},
		{"one", asOneModel, "one/v1"},
		{"flat", asMounted, ""},
		{"flat", asOneModel, "flat/v1"},
		{"flat/a/v1/" + view, asOneModel, "a/v1/" + view},
		{"2024", asOneModel, filepath.Base(work) + "/2024"},
		{"parts", asMounted, "parts/v1"},
		{"parts", asOneModel, "parts/v1"},

		// what exists nowhere is told by what the path begins with
		{"store/resnet/v1/nonsense/fp16/x", asOneModel, "resnet/v1/nonsense/fp16/x"},
		{"store/resnet/v2/npy/absent.npy", asOneModel, "resnet/v2/npy/absent.npy"},
		{"store/resnet/v9", asOneModel, "resnet/v9"},
		{"store/absent", asOneModel, "absent"},
		{"repo/absent", asOneModel, "repo/v1/absent"},
	}
	l, err := newLocator()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		target, err := l.locate(context.Background(), c.path, c.take)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if got := target.named(); got != c.want {
			t.Errorf("%s (taken %d) means %q, want %q", c.path, c.take, got, c.want)
		}
	}
	if target, err := l.locate(context.Background(), "/dev/null", asOneModel); err == nil {
		t.Errorf("/dev/null means %q", target.named())
	}
}
