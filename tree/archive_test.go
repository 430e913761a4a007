package tree

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// archive is a file of testdata: words, then files, each after a line "-- NAME --". (It is the txtar format of the Go
// project.)
type archive struct {
	words string
	files []archived
}

type archived struct{ name, text string }

func readArchive(t testing.TB, file string) *archive {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{}
	into := &a.words
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- "); ok && strings.HasSuffix(name, " --") {
			a.files = append(a.files, archived{name: strings.TrimSuffix(name, " --")})
			into = &a.files[len(a.files)-1].text
			continue
		}
		*into += line
	}
	return a
}

func (a *archive) write(t testing.TB, file string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(a.words)
	for _, f := range a.files {
		fmt.Fprintf(&b, "-- %s --\n%s", f.name, f.text)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
