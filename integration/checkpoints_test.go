//go:build linux

package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCheckpoints: of every program that people train with, a file as it saves it shows the weights that PyTorch has in
// it: checkpoints.py makes the files with the PyTorch that is there, and says what is in them.
func TestCheckpoints(t *testing.T) {
	needMount(t, "torch")
	dir := folder(t, "store")
	made := command(5*time.Minute, os.Getenv("ISOMERFS_TEST_PYTHON"), "-W", "ignore", "checkpoints.py", "make", dir)
	if !made.ok() {
		t.Fatal(made)
	}
	want, place := map[string][]string{}, map[string]string{} // by model and file
	for line := range strings.Lines(made.out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 7 {
			t.Fatalf("checkpoints.py says %q", line)
		}
		key := path.Join(f[0], f[1])
		place[key] = path.Join(f[0], "v1/tensors", f[2])
		if f[4] != "LEFT" && !strings.HasPrefix(f[4], "AVERAGED ") {
			want[key] = append(want[key], strings.Join(f[3:], "\t"))
		}
	}
	if len(want) < 50 {
		t.Fatalf("checkpoints.py made only %d files", len(want))
	}
	m := mounted(t, dir, "pickle=allow") // a graph module's pickle says to run its code
	for key, lines := range want {
		have, err := tensorsIn(filepath.Join(m.point, place[key]))
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		slices.Sort(have)
		slices.Sort(lines)
		for i := range max(len(have), len(lines)) {
			switch {
			case i >= len(have):
				t.Errorf("%s lacks %q", key, lines[i])
			case i >= len(lines):
				t.Errorf("%s has %q too", key, have[i])
			case have[i] != lines[i]:
				t.Errorf("%s: %q, want %q", key, have[i], lines[i])
			default:
				continue
			}
			break
		}
	}
}

// tensorsIn are the tensors of a folder of tensors/ as checkpoints.py lists them.
func tensorsIn(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var index struct {
		Tensors []struct {
			Name, File, DType string
			Shape             []int64
		}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	var list []string
	for _, x := range index.Tensors {
		data, err := os.ReadFile(filepath.Join(dir, x.File))
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%s\t%s\t%v\t%x", x.Name, x.DType, x.Shape, sha256.Sum256(data)))
	}
	return list, nil
}
