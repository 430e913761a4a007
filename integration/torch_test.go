//go:build linux

package integration

import (
	"os"
	"testing"
	"time"
)

// torch runs torch_readers.py. With the environment's word PyTorch itself compares where storages lie with where it
// computes that they do.
func torch(limit time.Duration, args ...string) done {
	argv := append([]string{"env", "TORCH_SERIALIZATION_DEBUG=1", os.Getenv("ISOMERFS_TEST_PYTHON"), "-W", "ignore", "torch_readers.py"}, args...)
	return command(limit, argv...)
}

// TestTorch: PyTorch opens and maps what it reads in a mount, resumes a training from it as from the stored checkpoint,
// bit for bit, and finds the state of the optimizer under the names of the parameters.
func TestTorch(t *testing.T) {
	needMount(t, "torch")
	store := folder(t, "store")
	if d := torch(2*time.Minute, "make", store); !d.ok() {
		t.Fatal(d)
	}
	for _, verb := range []string{"weights", "resume", "optimizer"} {
		t.Run(verb, func(t *testing.T) {
			m := mounted(t, store)
			if d := torch(5*time.Minute, verb, store, m.point); !d.ok() {
				t.Errorf("%v\n%s", d, d.out)
			}
		})
	}
}

// TestTorchIsSharp: a wrong bit of a weight, or of the state of an optimizer, is found.
func TestTorchIsSharp(t *testing.T) {
	needMount(t, "torch")
	store, other := folder(t, "store"), folder(t, "store")
	if d := torch(2*time.Minute, "make", store, "plain-adam"); !d.ok() {
		t.Fatal(d)
	}
	if d := torch(2*time.Minute, "make", other, "plain-adam", "nudge"); !d.ok() {
		t.Fatal(d)
	}
	m := mounted(t, store)
	for _, verb := range []string{"weights", "resume", "optimizer"} {
		if d := torch(2*time.Minute, verb, store, m.point); !d.ok() {
			t.Errorf("%s: %v\n%s", verb, d, d.out)
		}
		if d := torch(2*time.Minute, verb, other, m.point); d.code != 1 || d.hung {
			t.Errorf("%s finds nothing wrong with other bits: %v", verb, d)
		}
	}
}
