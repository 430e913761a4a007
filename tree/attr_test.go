package tree

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const small = "layer.weight F32 2x3\nlayer.bias BF16 3\n"

// everything is all that is listed, and what some unlisted names lead to.
func everything(t *testing.T, tr *Tree) []*Node {
	t.Helper()
	var list []*Node
	if err := tr.Walk(context.Background(), resolve(t, tr, ""), func(n *Node) error { list = append(list, n); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTimes(t *testing.T) {
	tr, root := makeTree(t, map[string]string{"m/v1/model.safetensors": small, "m/v1/config.json": "{}"})
	newer := settled.Add(10 * time.Minute)
	putBytes(t, filepath.Join(root, "m/v1/config.json"), []byte("{} "), 0o644, newer)
	fractions := map[int]string{}
	for _, n := range everything(t, tr) {
		if n.Kind != Regular || !strings.HasPrefix(n.Path, "m/v1/") {
			continue
		}
		if !n.Attr.Changed.Equal(n.Attr.ModTime) {
			t.Errorf("%s: ctime %v, mtime %v", n.Path, n.Attr.Changed, n.Attr.ModTime)
		}
		switch n.Path {
		case "m/v1/source/model.safetensors":
			if !n.Attr.ModTime.Equal(settled) {
				t.Errorf("%s: %v, stored %v", n.Path, n.Attr.ModTime, settled)
			}
		case "m/v1/source/config.json":
			if !n.Attr.ModTime.Equal(newer) {
				t.Errorf("%s: %v, stored %v", n.Path, n.Attr.ModTime, newer)
			}
		default:
			if n.Attr.ModTime.Unix() != newer.Unix() {
				t.Errorf("%s: %v, the newest stored file has %v", n.Path, n.Attr.ModTime, newer)
			}
			if other, twice := fractions[n.Attr.ModTime.Nanosecond()]; twice {
				t.Errorf("%s and %s have the same nanoseconds: those are of the recipe", n.Path, other)
			}
			fractions[n.Attr.ModTime.Nanosecond()] = n.Path
		}
	}
	// A program that may write other documents gives them another time; what is computed keeps its own.
	again := openTree(t, root, func(o *Options) { o.Program = "isomerfs other" })
	for p, same := range map[string]bool{"m/v1/README.md": false, "m/v1/safetensors/fp16/model.safetensors": true, "m/v1/tensors/layer.weight": true} {
		if got := resolve(t, tr, p).Attr.ModTime.Equal(resolve(t, again, p).Attr.ModTime); got != same {
			t.Errorf("%s: the same time in another program: %v", p, got)
		}
	}
}

func TestOwnerAndMode(t *testing.T) {
	files := map[string]string{"m/v1/model.safetensors": "mode 0640\n" + small}
	uid, gid := uint32(12), uint32(34)
	tr, _ := makeTree(t, files, func(o *Options) { o.UID, o.GID, o.Umask = &uid, &gid, 0o027 })
	for _, n := range everything(t, tr) {
		if n.Attr.UID != uid || n.Attr.GID != gid {
			t.Errorf("%s belongs to %d:%d", n.Path, n.Attr.UID, n.Attr.GID)
		}
		if n.Attr.Mode&0o027 != 0 || n.Attr.Mode&0o222 != 0 && n.Kind != Link {
			t.Errorf("%s has mode %o", n.Path, n.Attr.Mode)
		}
	}
	tr, root := makeTree(t, map[string]string{"m/v1/model.safetensors": small, "m/v1/sub/notes.txt": "hi", "n/v1/model.safetensors": small})
	chmod(t, filepath.Join(root, "m/v1"), 0o750)
	for p, want := range map[string]uint32{
		"m/v1": 0o555, "m/v1/safetensors/fp16/model.safetensors": 0o440, "m/v1/source/model.safetensors": 0o440, "m/v1/README.md": 0o440, "m/v1/tensors/index.json": 0o440,
		"n/v1/safetensors/fp16/model.safetensors": 0o444,
	} {
		if got := uint32(resolve(t, tr, p).Attr.Mode); got != want {
			t.Errorf("%s below a folder of 0750 has mode %o, want %o", p, got, want)
		}
	}
	chmod(t, filepath.Join(root, "m/v1"), 0o755)
	chmod(t, filepath.Join(root, "m"), 0o700)
	if n := resolve(t, tr, "m/v1/safetensors/fp16/model.safetensors"); n.Attr.Mode != 0o400 {
		t.Errorf("below a model's folder of 0700 it has mode %o", n.Attr.Mode)
	}
}

// TestInodes: numbers are of the path alone, no two are the same, and a listing has those that a lookup has.
func TestInodes(t *testing.T) {
	files := map[string]string{"m/v1/model.safetensors": small, "m/v2/a.safetensors": small, "m/v2/b.safetensors": small, "org/n/v1/w.npy": "w F32 3", "m/champion": "-> v1"}
	tr, root := makeTree(t, files)
	other := openTree(t, root)
	seen := map[uint64]string{}
	for _, n := range everything(t, tr) {
		if n.Path != "" && n.Attr.Ino <= 1 || n.Attr.Ino >= 1<<63 {
			t.Errorf("%s has number %d", n.Path, n.Attr.Ino)
		}
		if at, twice := seen[n.Attr.Ino]; twice {
			t.Errorf("%s and %s have one number", n.Path, at)
		}
		seen[n.Attr.Ino] = n.Path
		if n.Kind == Folder {
			list, err := tr.List(context.Background(), n)
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, e := range list {
				child, err := other.Lookup(context.Background(), resolve(t, other, n.Path), e.Name)
				if err != nil || child.Attr.Ino != e.Ino || child.Kind != e.Kind || names[e.Name] {
					t.Errorf("%s lists %+v; a lookup in another mount: %+v %v", n.Path, e, child, err)
				}
				names[e.Name] = true
			}
		}
	}
}

// TestNodes: a regular file is one of three things, with the attributes that each has.
func TestNodes(t *testing.T) {
	tr, _ := makeTree(t, map[string]string{"m/v1/model.safetensors": small}, func(o *Options) {
		o.Live = map[string]func() ([]byte, error){"version": func() ([]byte, error) { return []byte("1\n"), nil }, "status.json": func() ([]byte, error) { return []byte("{}"), nil }}
	})
	for _, n := range everything(t, tr) {
		inVersion := strings.HasPrefix(n.Path, "m/v1/")
		if n.Fixed != (inVersion || n.Kind == Regular) {
			t.Errorf("%s: fixed %v", n.Path, n.Fixed)
		}
		if got := n.Gen; got != 0 && !strings.HasPrefix(n.Path, "m/v1") || got != 1 && inVersion {
			t.Errorf("%s: generation %d", n.Path, got)
		}
		if (n.Kind == Regular) != (n.File != nil) {
			t.Errorf("%s: kind %d, file %v", n.Path, n.Kind, n.File)
		}
		if n.File == nil {
			continue
		}
		count := 0
		for _, set := range []bool{n.File.Source != nil, n.File.Layout != nil, n.File.Document != nil} {
			if set {
				count++
			}
		}
		if count != 1 || n.File.Path != n.Path || !n.File.Exact || n.File.XAttr["size_exact"] != "yes" {
			t.Errorf("%s: %+v", n.Path, n.File)
		}
		if n.File.Layout != nil && n.File.Layout.Size() != n.Attr.Size || n.File.Source != nil && n.File.Source.Size() != n.Attr.Size {
			t.Errorf("%s: size %d", n.Path, n.Attr.Size)
		}
		if err := n.File.Check(context.Background()); err != nil {
			t.Errorf("%s: %v", n.Path, err)
		}
		if state := tr.State(n); (state == "") != (n.File.Document != nil) {
			t.Errorf("%s: state %q", n.Path, state)
		}
	}
	f := resolve(t, tr, "m/v1/npy/layer.bias.npy").File
	if f.XAttr["name"] != "layer.bias" || f.XAttr["dtype"] != "F32" || f.XAttr["shape"] != "[3]" || f.XAttr["source"] != "source/model.safetensors" || len(f.XAttr["recipe"]) != 64 {
		t.Errorf("%v", f.XAttr)
	}
	control := resolve(t, tr, ".isomerfs")
	list, err := tr.List(context.Background(), control)
	if err != nil || len(list) != 2 || list[0].Name != "status.json" {
		t.Errorf(".isomerfs lists %v, %v", list, err)
	}
	if n := resolve(t, tr, ".isomerfs/version"); n.Attr.Size == 0 || !n.File.Live || n.File.Exact || text(t, tr, ".isomerfs/version") != "1\n" {
		t.Errorf("%+v", n)
	}
	root, _ := tr.List(context.Background(), resolve(t, tr, ""))
	if slices.ContainsFunc(root, func(e Entry) bool { return e.Name == ".isomerfs" }) {
		t.Error(".isomerfs is listed")
	}
	if !strings.HasPrefix(text(t, tr, "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55") || len(text(t, tr, "README.md")) < 100 {
		t.Error("the root's documents")
	}
}
