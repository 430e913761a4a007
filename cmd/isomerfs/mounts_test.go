package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestInMount: the mount that a path lies in is found through links and without a look at the mount.
func TestInMount(t *testing.T) {
	work, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"plain/deep", "mnt", "bind"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"link": "mnt", "far": filepath.Join(work, "mnt/resnet"), "plain/up": "../mnt", "loop": "loop", "dangling": "nowhere/mnt",
	} {
		if err := os.Symlink(to, filepath.Join(work, link)); err != nil {
			t.Fatal(err)
		}
	}
	all := []mount{
		{point: filepath.Join(work, "mnt"), root: "/", source: "below"},
		{point: filepath.Join(work, "bind"), root: "/resnet/v1", source: "bound"},
		{point: filepath.Join(work, "mnt"), root: "/", source: "above"},
	}
	for _, c := range []struct{ path, source, rest, tree string }{
		{"mnt", "above", "", ""},
		{"mnt/", "above", "", ""},
		{"mnt/resnet/v1", "above", "resnet/v1", "resnet/v1"},
		{"mnt/./resnet//latest/../v1", "above", "resnet/v1", "resnet/v1"},
		{"mnt/../../etc", "above", "etc", "etc"}, // what is below is the mount's to resolve: nothing leads out of it
		{"plain/../mnt/a", "above", "a", "a"},
		{"link/a", "above", "a", "a"},
		{"far/v1", "above", "resnet/v1", "resnet/v1"},
		{"plain/up/a", "above", "a", "a"},
		{"bind", "bound", "", "resnet/v1"},
		{"bind/npy/w.npy", "bound", "npy/w.npy", "resnet/v1/npy/w.npy"},
		{"plain/deep", "", "", ""},
		{"mntless", "", "", ""},
		{"loop/a", "", "", ""},
		{"dangling/a", "", "", ""},
	} {
		m, rest, ok := inMount(all, filepath.Join(work, "x")[:len(work)+1]+c.path)
		if ok != (c.source != "") || m.source != c.source || rest != c.rest || ok && m.tree(rest) != c.tree {
			t.Errorf("%s: %q at %q, %v; want %q at %q", c.path, m.source, rest, ok, c.source, c.rest)
		}
	}
}

func TestOwnerOf(t *testing.T) {
	for options, want := range map[string]int{"rw,user_id=1000,group_id=100,default_permissions": 1000, "ro,user_id=0": 0, "ro": 0, "user_id=x": 0} {
		if got := ownerOf(options); got != want {
			t.Errorf("ownerOf(%q) = %d, want %d", options, got, want)
		}
	}
}
