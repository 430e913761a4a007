//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python runs readers.py.
func python(limit time.Duration, args ...string) done {
	return command(limit, append([]string{os.Getenv("ISOMERFS_TEST_PYTHON"), "readers.py"}, args...)...)
}

// TestPythonReaders: NumPy, the safetensors package, Python's mmap and its reads find in every view what NumPy and
// ml_dtypes make of the stored values, whichever of them comes first.
func TestPythonReaders(t *testing.T) {
	needMount(t, "python")
	store := folder(t, "store")
	if d := python(time.Minute, "make", store, "394"); !d.ok() {
		t.Fatal(d)
	}
	methods := []string{"numpy", "safe_open", "mmap", "pread", "npy", "npz"}
	for i := range methods {
		t.Run(methods[i]+" first", func(t *testing.T) {
			m := mounted(t, store)
			order := append(append([]string{}, methods[i:]...), methods[:i]...)
			if i > 0 {
				order = order[:2] // the first run has them all
			}
			d := python(2*time.Minute, append([]string{"check", store, m.point, "394"}, order...)...)
			if d.what = "readers.py check " + strings.Join(order, " "); !d.ok() {
				t.Errorf("%v\n%s", d, d.out)
			}
		})
	}
}

// TestPythonReadersAreSharp: a wrong bit is found, wherever it is.
func TestPythonReadersAreSharp(t *testing.T) {
	needMount(t, "python")
	store, other := folder(t, "store"), folder(t, "store")
	for _, dir := range []string{store, other} {
		put(t, filepath.Join(dir, "m/v1/model.safetensors"), safetensors([]tensor{{"w", "F32", []int64{1000}, layers(384_000, 1, 1)[0].data[:4000]}}))
	}
	flip(t, filepath.Join(other, "m/v1/model.safetensors"))
	m := mounted(t, store)
	for _, method := range []string{"numpy", "safe_open", "mmap", "pread", "npy", "npz"} {
		if d := python(time.Minute, "check", store, m.point, "1", method); !d.ok() {
			t.Errorf("%s: %v", method, d)
		}
		if d := python(time.Minute, "check", other, m.point, "1", method); d.code != 1 && method != "safe_open" || d.hung {
			t.Errorf("%s finds nothing wrong with other bytes: %v", method, d)
		}
	}
}

// TestUnzip: Info-ZIP finds each CRC-32 of an archive right, whether it reads it first or after others.
func TestUnzip(t *testing.T) {
	needMount(t, "unzip")
	store := folder(t, "store")
	put(t, filepath.Join(store, "large/v1/model.safetensors"), safetensors(layers(48<<20, 7, 1)))
	put(t, filepath.Join(store, "small/v1/model.safetensors"), safetensors(layers(100<<10, 3, 2)))
	m := mounted(t, store)
	for _, model := range []string{"large", "small", "large"} {
		d := command(time.Minute, "unzip", "-tq", m.at(model+"/v1/npz/weights.npz"))
		if !d.ok() || !strings.Contains(d.out, "No errors detected") {
			t.Errorf("%s: %v\n%s", model, d, d.out)
		}
	}
}
