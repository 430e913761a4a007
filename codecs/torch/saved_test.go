package torch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/safetensors"
	"github.com/isomerfs/isomerfs/model"
)

// saved is what testdata/saved.tsv says of one file: integration/checkpoints.py made both with PyTorch.
type saved struct {
	tensors  []string // name, dtype, shape, SHA-256
	averaged []string
	left     []string
}

func savedFiles(t *testing.T) map[string]*saved {
	t.Helper()
	text, err := os.ReadFile("testdata/saved.tsv")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*saved{}
	for row := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(row, "\n"), "\t")
		key := path.Join(fields[0], "v1", fields[1])
		if files[key] == nil {
			files[key] = &saved{}
		}
		line := strings.Join(fields[3:], "\t")
		switch {
		case fields[4] == "LEFT":
			files[key].left = append(files[key].left, fields[3])
		case strings.HasPrefix(fields[4], "AVERAGED "):
			files[key].averaged = append(files[key].averaged, strings.Replace(line, "AVERAGED ", "", 1))
		default:
			files[key].tensors = append(files[key].tensors, line)
		}
	}
	return files
}

// store is the files below a folder.
func store(t *testing.T, dir string) folder {
	t.Helper()
	files := folder{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err == nil {
			files[filepath.ToSlash(name)], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSaved: of every habit of saving, the weights are what PyTorch has of them, under the names that a state_dict
// gives, and nothing else; averages stand beside them, and what has no bytes is named.
func TestSaved(t *testing.T) {
	files := store(t, "testdata/saved")
	want := savedFiles(t)
	if len(want) < 50 {
		t.Fatalf("only %d files", len(want))
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			m, err := load(files, name)
			if strings.HasSuffix(name, ".index.json") {
				m, err = safetensors.ReadIndex(ctx, files, name, ReadShard)
			}
			if err != nil {
				t.Fatal(err)
			}
			compare := func(what string, tensors []model.Tensor, want []string) {
				var have []string
				for i := range tensors {
					l, err := line(&tensors[i])
					if err != nil {
						t.Errorf("%s: %v", tensors[i].Name, err)
					}
					have = append(have, l)
				}
				inOrder := slices.Clone(want)
				if m.Format == ScriptFormat || Of(m) == nil || Of(m).Container == Exported { // whose order is another
					slices.Sort(have)
					slices.Sort(inOrder)
				}
				for i := range max(len(have), len(inOrder)) {
					h, w := "nothing", "nothing"
					if i < len(have) {
						h = have[i]
					}
					if i < len(inOrder) {
						w = inOrder[i]
					}
					if h != w {
						t.Errorf("%s:\nhave %q\nwant %q", what, h, w)
					}
				}
			}
			compare("weights", m.Tensors, w.tensors)
			compare("averages", m.Averaged, w.averaged)
			var left []string
			for _, l := range m.Left {
				if l.Reason == "" {
					t.Errorf("no reason is given for %s", l.Name)
				}
				left = append(left, l.Name)
			}
			if !slices.Equal(left, w.left) {
				t.Errorf("left: %q, want %q", left, w.left)
			}
		})
	}
}
