package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

const (
	sumA = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of abc
	sumB = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
)

func TestParseSums(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       map[string]string
	}{
		{"text", sumA + "  model.onnx\n", map[string]string{"model.onnx": sumA}},
		{"binary", sumA + " *model.onnx\n", map[string]string{"model.onnx": sumA}},
		{"no line feed at the end", sumA + "  a b  c", map[string]string{"a b  c": sumA}},
		{"carriage returns", sumA + "  a\r\n" + sumB + "  b\r\n", map[string]string{"a": sumA, "b": sumB}},
		{"upper case", strings.ToUpper(sumA) + "  a\n", map[string]string{"a": sumA}},
		{"bsd", "SHA256 (a (1) = b) = " + sumA + "\n", map[string]string{"a (1) = b": sumA}},
		{"other digests", "MD5 (a) = 00\nSHA512/256 (a) = 00\nSHA256 (a) = " + sumA + "\n", map[string]string{"a": sumA}},
		{"comments", "# not computed yet: x\n\n" + sumA + "  a\n", map[string]string{"a": sumA}},
		{"escapes", "\\" + sumA + "  a\\nb\\\\c\\rd\n", map[string]string{"a\nb\\c\rd": sumA}},
		{"escapes of bsd", "\\SHA256 (a\\nb) = " + sumA + "\n", map[string]string{"a\nb": sumA}},
		{"a backslash without an escape", sumA + "  a\\nb\n", map[string]string{"a\\nb": sumA}},
		{"below", sumA + "  ./sub//x\n", map[string]string{"sub/x": sumA}},
		{"twice the same", sumA + "  a\n" + sumA + "  a\n", map[string]string{"a": sumA}},
		{"empty", "", map[string]string{}},
		{"invalid UTF-8", sumA + "  a\xff\n", map[string]string{"a\xff": sumA}},
	} {
		got, err := ParseSums([]byte(test.text))
		if err != nil || !maps.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	for _, test := range []struct {
		name, text string
		kind       fault.Kind
		off        int64
	}{
		{"one blank", sumA + " model.onnx\n", fault.Malformed, 0},
		{"short digest", sumA + "  a\n" + sumA[1:] + "  b\n", fault.Malformed, 68},
		{"no digits", strings.Repeat("x", 64) + "  a\n", fault.Malformed, 0},
		{"no name", sumA + "  \n", fault.Malformed, 0},
		{"prose", "these are my digests\n", fault.Malformed, 0},
		{"absolute", sumA + "  /etc/passwd\n", fault.Unsafe, 0},
		{"up behind a dot", sumA + "  .//etc/passwd\n" + sumA + "  ./../a\n", fault.Unsafe, 80},
		{"up", sumA + "  a/../../b\n", fault.Unsafe, 0},
		{"unknown escape", "\\" + sumA + "  a\\t\n", fault.Malformed, 0},
		{"half an escape", "\\" + sumA + "  a\\\n", fault.Malformed, 0},
		{"two digests", sumA + "  a\n" + sumB + "  a\n", fault.Duplicate, 68},
		{"bsd without its end", "SHA256 (a\n", fault.Malformed, 0},
		{"bsd with too short a digest", "SHA256 (a) = 00\n", fault.Malformed, 0},
		{"a zero byte", sumA + "  a\x00b\n", fault.Malformed, 0},
	} {
		_, err := ParseSums([]byte(test.text))
		e, ok := err.(*fault.Error)
		if !ok || e.Kind != test.kind || e.Off != test.off {
			t.Errorf("%s: got %v, want %v at %d", test.name, err, test.kind, test.off)
		}
	}
}

// FuzzParseSums checks that whatever is read names files below, and that writing it out, as sha256sum would, and
// reading it again changes nothing.
func FuzzParseSums(f *testing.F) {
	f.Add([]byte(sumA + "  a\n\\" + sumB + " *b\\n\nSHA256 (c) = " + sumA + "\n# x\n"))
	f.Add([]byte("\\SHA256 (\\\\) = " + sumA))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := ParseSums(text)
		if err != nil {
			if e, ok := err.(*fault.Error); !ok || e.Off < 0 || e.Off > int64(len(text)) || e.Kind == fault.Unknown {
				t.Fatalf("%#v", err)
			}
			return
		}
		var gnu, bsd strings.Builder
		for name, sum := range sums {
			if name == "" || path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "../") || name == ".." || len(sum) != 64 {
				t.Fatalf("read the name %q with %q", name, sum)
			}
			quoted := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(name)
			fmt.Fprintf(&gnu, "\\%s  %s\n", sum, quoted)
			fmt.Fprintf(&bsd, "\\SHA256 (%s) = %s\n", quoted, sum)
		}
		for _, written := range []string{gnu.String(), bsd.String()} {
			again, err := ParseSums([]byte(written))
			if err != nil || !maps.Equal(again, sums) {
				t.Fatalf("%q was written as %q and read as %q, %v", sums, written, again, err)
			}
		}
	})
}

func TestDigests(t *testing.T) {
	root := t.TempDir()
	ctx := context.Background()
	v1 := filepath.Join(root, "m/v1")
	for name, text := range map[string]string{
		"a": "abc", "sub/b": "", "SHA256SUMS": sumA + "  a\n" + sumB + "  sub/b\n" + sumA + "  gone\n", "sub/SHA256SUMS": sumB + "  b\n",
	} {
		makeFile(t, root, "m/v1/"+name, text)
	}
	digests := func() (map[string]string, error) {
		t.Helper()
		s, err := Open(root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Version(ctx, "m", "v1")
		if err != nil {
			t.Fatal(err)
		}
		return Digests(ctx, v)
	}
	got, err := digests()
	if want := map[string]string{"a": sumA, "sub/b": sumB}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	makeFile(t, root, "m/v1/sub/SHA256SUMS", sumA+"  b\n")
	if _, err := digests(); fault.KindOf(err) != fault.Mismatch {
		t.Errorf("two digests of one file: %v", err)
	}
	makeFile(t, root, "m/v1/sub/SHA256SUMS", "nonsense\n")
	if _, err := digests(); fault.KindOf(err) != fault.Malformed || !strings.Contains(err.Error(), "sub/SHA256SUMS") {
		t.Errorf("a broken file: %v", err)
	}
	if err := os.Truncate(filepath.Join(v1, "sub/SHA256SUMS"), maxSums+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(v1, "sub/SHA256SUMS"), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := digests(); fault.KindOf(err) != fault.Limit {
		t.Errorf("a file of 32 MiB and a byte: %v", err)
	}
}
