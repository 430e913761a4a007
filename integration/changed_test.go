//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChangedSources: a stored file changes under handles that are open, before their first byte and half way. They get
// their old bytes or an errno, never a mixture; new opens see what is there now; another model is not touched.
func TestChangedSources(t *testing.T) {
	needMount(t)
	s := gallery(t)
	old := s.want[source(1)]
	// Another source of the same shape and size, and its view: m2's.
	other, err := os.ReadFile(s.want[source(2)])
	if err != nil {
		t.Fatal(err)
	}
	refused := func(v string) bool { return strings.HasPrefix(v, "errno ") }
	for _, c := range []struct {
		name   string
		change func(path string) error
		after  func(string) bool // what a new reader says that expects expected
		view   string
	}{
		{"truncated", func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()*6/10)
		}, refused, s.want[view(1)]},
		{"deleted", os.Remove, refused, s.want[view(1)]},
		{"replaced", func(path string) error {
			if err := os.WriteFile(path+".new", other, 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, right, s.want[view(2)]},
		{"rewritten", func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.Write(other)
			return err
		}, right, s.want[view(2)]},
	} {
		for _, where := range []string{"after the open", "half way"} {
			t.Run(c.name+" "+where, func(t *testing.T) {
				store := folder(t, "store")
				data, err := os.ReadFile(old)
				if err != nil {
					t.Fatal(err)
				}
				put(t, stored(store, 1), data)
				put(t, filepath.Join(store, "m3/v1/model.safetensors"), safetensors(layers(1<<20, 2, 77)))
				m := mounted(t, store)
				options := []string{"hold"}
				if where == "half way" {
					options = append(options, "half")
				}
				before := []*reader{m.read(view(1), s.want[view(1)], "read", options...), m.read(view(1), s.want[view(1)], "map", options...), m.read(view(1), s.want[view(1)], "random", options...)}
				for _, r := range before {
					if !r.held(moment) {
						t.Fatalf("%s does not get so far: %s", r.what, r.verdict(time.Second))
					}
				}
				if err := c.change(stored(store, 1)); err != nil {
					t.Fatal(err)
				}
				for _, r := range before {
					r.proceed().wants(t, rightOrErrno, moment)
				}
				if bad := within(12*time.Second, func() string {
					if v := m.read(view(1), c.view, "read").verdict(moment); !c.after(v) {
						return v
					}
					return ""
				}); bad != "" {
					t.Errorf("12 s later a new open says %q", bad)
				}
				m.lists("m3/v1/safetensors/fp16")
			})
		}
	}
}

// TestStoreThatChanges: versions, models and aliases come, move and go within 5 s, without a new mount; what grows is
// not listed.
func TestStoreThatChanges(t *testing.T) {
	needMount(t)
	t.Parallel() // it waits more than it works
	store := folder(t, "store")
	small := func(seed byte) []byte { return safetensors(layers(100<<10, 2, seed)) }
	file := func(version string) string { return filepath.Join(store, version, "model.safetensors") }
	// arrives writes a file as a program does that copies: elsewhere, then renamed into place.
	arrives := func(path string, data []byte) {
		t.Helper()
		put(t, path+".part", data)
		if err := os.Rename(path+".part", path); err != nil {
			t.Fatal(err)
		}
	}
	arrives(file("m/v1"), small(1))
	m := mounted(t, store)
	ask[map[string]looks](t, moment, "survey", m.point) // what was looked at must not be what is remembered

	lists := func(dir, name string, present bool) func() string {
		return func() string {
			for _, n := range ask[names](t, moment, "list", m.at(dir)).Names {
				if n == name {
					if present {
						return ""
					}
					return name + " is still in " + dir
				}
			}
			if present {
				return name + " is not in " + dir
			}
			return ""
		}
	}
	leads := func(alias, target string) func() string {
		return func() string {
			if got := ask[map[string]string](t, moment, "links", below{Root: m.point, Paths: []string{alias}})[alias]; got != target {
				return alias + " leads to " + got + ", not to " + target
			}
			return ""
		}
	}
	holds := func(path string, data []byte) func() string {
		return func() string {
			if got := ask[[]got](t, moment, "content", []piece{{Path: m.at(path)}})[0]; string(got.Data) != string(data) {
				return path + " has other bytes " + got.Errno
			}
			return ""
		}
	}
	soon := func(what string, check func() string) {
		t.Helper()
		if bad := within(5*time.Second, check); bad != "" {
			t.Errorf("%s: after 5 s %s", what, bad)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(store, name)); err != nil {
			t.Fatal(err)
		}
	}
	arrives(file("m/v2"), small(2))
	soon("a new version", lists("m", "v2", true))
	soon("latest", leads("m/latest", "v2"))
	soon("a new version", holds("m/v2/source/model.safetensors", small(2)))
	arrives(file("n/v1"), small(3))
	soon("a new model", lists("", "n", true))
	soon("a new model", holds("n/v1/source/model.safetensors", small(3)))
	link("v1", "m/champion")
	soon("a new alias", leads("m/champion", "v1"))
	link("v2", "m/.new")
	if err := os.Rename(filepath.Join(store, "m/.new"), filepath.Join(store, "m/champion")); err != nil {
		t.Fatal(err)
	}
	soon("an alias that moves", leads("m/champion", "v2"))
	soon("an alias that moves", holds("m/champion/source/model.safetensors", small(2)))
	os.Remove(filepath.Join(store, "m/champion"))
	soon("an alias that goes", lists("m", "champion", false))
	os.RemoveAll(filepath.Join(store, "m/v2"))
	soon("a version that goes", lists("m", "v2", false))
	soon("latest, back", leads("m/latest", "v1"))
	os.RemoveAll(filepath.Join(store, "n"))
	soon("a model that goes", lists("", "n", false))

	// A copy in progress: 20 parts, a fifth of a second apart.
	whole := small(5)
	os.MkdirAll(filepath.Join(store, "m/v3"), 0o755)
	growing, err := os.Create(file("m/v3"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if lists("m", "v3", true)() == "" {
			t.Errorf("a growing file is listed after %d twentieths", i)
		}
		for _, view := range []string{"fp32", "fp16"} {
			if got := ask[[]got](t, moment, "content", []piece{{Path: m.at("m/v3/safetensors/" + view + "/model.safetensors")}})[0]; got.Errno == "" {
				t.Errorf("a growing file has a view %s of %d bytes after %d twentieths", view, len(got.Data), i)
			}
		}
		if _, err := growing.Write(whole[len(whole)*i/20 : len(whole)*(i+1)/20]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	growing.Close()
	soon("a file that was closed", lists("m", "v3", true))
	soon("a file that was closed", holds("m/v3/source/model.safetensors", whole))
	soon("latest", leads("m/latest", "v3"))
}
