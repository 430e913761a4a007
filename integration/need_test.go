//go:build linux

package integration

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// need skips a test where this machine cannot run it, saying why; what ISOMERFS_TEST_REQUIRE lists must be there.
func need(t *testing.T, what ...string) {
	t.Helper()
	required := strings.Split(os.Getenv("ISOMERFS_TEST_REQUIRE"), ",")
	for _, name := range what {
		lack := missing(name)
		switch {
		case lack == "":
		case name == "binary" && binaryPath() != "":
			t.Fatal(lack)
		case slices.Contains(required, name):
			t.Fatalf("%s (ISOMERFS_TEST_REQUIRE says that this machine has %s)", lack, name)
		default:
			t.Skip(lack)
		}
	}
}

// missing says why this machine lacks something, or nothing.
func missing(name string) string {
	switch name {
	case "binary":
		if binaryPath() == "" {
			return "ISOMERFS_TEST_BINARY names no binary to test"
		}
		if _, err := os.Stat(binaryPath()); err != nil {
			return "ISOMERFS_TEST_BINARY: " + err.Error()
		}
	case "fuse":
		if file, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err == nil {
			file.Close()
		} else if os.Geteuid() == 0 {
			return err.Error()
		} else if _, err := exec.LookPath("fusermount3"); err != nil {
			return "no mount without root and without fusermount3"
		}
	case "root":
		if os.Geteuid() != 0 {
			return "needs root"
		}
	case "python":
		python := os.Getenv("ISOMERFS_TEST_PYTHON")
		if python == "" {
			return "ISOMERFS_TEST_PYTHON names no interpreter"
		}
		if said, err := exec.Command(python, "-c", "import numpy, ml_dtypes, safetensors").CombinedOutput(); err != nil {
			return python + " lacks packages of requirements.txt: " + strings.TrimSpace(string(said))
		}
	case "scanners":
		python := os.Getenv("ISOMERFS_TEST_SCANNERS")
		if python == "" {
			return "ISOMERFS_TEST_SCANNERS names no interpreter (./integration/python.sh --scanners --path)"
		}
		if said, err := exec.Command(python, "-c", "import picklescan, fickling, modelscan").CombinedOutput(); err != nil {
			return python + " lacks packages of requirements-scanners.txt: " + strings.TrimSpace(string(said))
		}
	case "torch":
		if lack := missing("python"); lack != "" {
			return lack
		}
		if said, err := exec.Command(os.Getenv("ISOMERFS_TEST_PYTHON"), "-c", "import torch").CombinedOutput(); err != nil {
			return os.Getenv("ISOMERFS_TEST_PYTHON") + " has no PyTorch (./integration/python.sh --torch): " + strings.TrimSpace(string(said))
		}
	default:
		if _, err := exec.LookPath(name); err != nil {
			return "there is no " + name
		}
	}
	return ""
}

// needMount is need of everything that a mount needs.
func needMount(t *testing.T, more ...string) {
	t.Helper()
	need(t, "binary", "fuse")
	need(t, more...)
}

// binaryPath is the program under test.
func binaryPath() string { return os.Getenv("ISOMERFS_TEST_BINARY") }
