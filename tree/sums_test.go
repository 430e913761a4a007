package tree

import (
	"path"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/store"
)

// FuzzSums: a line of SHA256SUMS is read back whatever the name, and is as long as one that says nothing yet.
func FuzzSums(f *testing.F) {
	f.Add("model.safetensors")
	f.Add("a\nb\\c\r")
	f.Add("SHA256 (x) = ")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) || path.Clean(name) != name || strings.HasPrefix(name, "../") {
			return // no name of a stored file
		}
		sum := strings.Repeat("ab", 32)
		line, unknown := sumsText(name, sum), sumsText(name, "")
		if len(line) != len(unknown) || !strings.HasPrefix(unknown, notYet) || strings.Count(line, "\n") != 1 {
			t.Errorf("%q and %q", line, unknown)
		}
		if sums, err := store.ParseSums([]byte(line)); err != nil || sums[name] != sum {
			t.Errorf("%q is read as %q %v", line, sums, err)
		}
		if sums, err := store.ParseSums([]byte(unknown)); err != nil || len(sums) != 0 {
			t.Errorf("%q is read as %q %v", unknown, sums, err)
		}
	})
}
