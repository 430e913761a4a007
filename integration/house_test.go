package integration

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/isomerfs/isomerfs"

// arrows is the house: which packages each may import, and why the others are not among them. A package that ends in
// /* stands for every folder right below. The list is a decision: change the house before changing it.
var arrows = []struct {
	pkg     string
	may     []string // packages of this module
	ext     []string // prefixes of packages of other modules
	because string
}{
	{"fault", nil, nil, "everything stands on the vocabulary of faults, so it stands on nothing"},
	{"layout", []string{"fault"}, []string{}, "a layout knows no model, no format and no disk: that is what makes it testable alone"},
	{"model", []string{"layout", "fault"}, nil, "what a model is does not depend on any file format"},
	{"model/graph", []string{"codecs/quant", "model", "layout", "fault"}, nil, "a pass knows graphs, and no format that they are read from or written to"},
	{"model/drawing", []string{"model"}, nil, "a drawing shows a graph as it is, whatever passes it went through"},
	{"codecs/quant", []string{"model", "layout", "fault"}, []string{"golang.org/x/sys/cpu", "github.com/x448/float16"}, "an encoding is a computation on bytes: no file format, no view"},
	{"codecs/ggml", []string{"codecs/quant", "model", "layout", "fault"}, []string{"golang.org/x/sys/cpu"}, "ggml's blocks are encodings like any others: no file format, no view"},
	{"codecs/zip", []string{"layout", "fault"}, nil, "an archive knows its members and not what is in them"},
	{"codecs/pickle", []string{"fault"}, nil, "the pickle machine makes values, and knows neither tensors nor files"},
	{"codecs/*", []string{"codecs/quant", "codecs/ggml", "codecs/zip", "codecs/pickle", "model/graph", "model", "layout", "fault"}, []string{"google.golang.org/protobuf/encoding/protowire"}, "a codec knows its specification, not its siblings and not what views want"},
	{"codecs", []string{"codecs/*", "model", "layout", "fault"}, nil, "the table of formats lists its rows and knows nothing above them"},
	{"views/gguf/*", []string{"codecs/*", "codecs/quant", "model", "layout", "fault"}, nil, "the parts of the view that make llama.cpp's names, keys and tokens of a checkpoint know nothing of quantization"},
	{"views/gguf", []string{"views/gguf/*", "codecs/*", "codecs/quant", "model", "layout", "fault"}, nil, "the view of GGUF is a house of its own: architectures and tokenizers below it"},
	{"views/*", []string{"codecs/*", "codecs/quant", "model/graph", "model", "layout", "fault"}, nil, "a view is taste on top of codecs; views do not know each other"},
	{"views", []string{"views/*", "codecs", "codecs/*", "codecs/quant", "model", "layout", "fault"}, nil, "the table of views lists its rows and knows nothing above them"},
	{"store", []string{"layout", "fault"}, []string{"github.com/fsnotify/fsnotify", "golang.org/x/sys", "github.com/Masterminds/semver"}, "a store knows files and versions, not what is in them"},
	{"tree", []string{"views", "codecs", "codecs/quant", "store", "model/drawing", "model", "layout", "fault"}, []string{"golang.org/x/sync"}, "what a path means is the same with and without a mount, so no FUSE and no cache here"},
	{"cache", []string{"layout", "fault"}, []string{"golang.org/x/sys", "golang.org/x/sync"}, "the cache keeps bytes by their identity and knows nothing of models"},
	{"fs", []string{"tree", "cache", "layout", "fault"}, []string{"github.com/hanwen/go-fuse/v2", "golang.org/x/sys", "github.com/moby/sys/mountinfo"}, "the only package that speaks FUSE; it shows what tree says"},
	{"cmd/isomerfs/roff", nil, nil, "a page of a manual is text"},
	{"cmd/isomerfs", []string{"cmd/isomerfs/roff", "fs", "tree", "cache", "store", "views", "codecs", "layout", "fault", "model"}, []string{"*"}, "flags and words"},
	{"integration", nil, []string{"*"}, "drives the built binary and nothing else"},
}

// folders that hold programs of their own module or of the bench, which nothing imports.
var apart = []string{"tools", "bench", "demo"}

// TestArrows: imports run one way, and only along the arrows.
func TestArrows(t *testing.T) {
	root := ".."
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			name := d.Name()
			if rel != "." && (strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || name == "testdata" || slices.Contains(apart, rel)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		seen[pkg] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			to, _ := strconv.Unquote(spec.Path.Value)
			if why, ok := allowed(pkg, to); !ok {
				t.Errorf("%s imports %s: %s", rel, to, why)
			}
			if spec.Name != nil && (spec.Name.Name == "_" || spec.Name.Name == ".") && to != "embed" {
				t.Errorf("%s imports %s as %s: what runs is listed in a table, never registered by an import", rel, to, spec.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"fault", "layout", "model", "codecs", "codecs/quant", "views", "store", "tree", "cache", "fs", "cmd/isomerfs"} {
		if !seen[pkg] {
			t.Errorf("there is no package %s: a room of the house is missing, or this list is out of date", pkg)
		}
	}
}

// allowed reports whether pkg may import to, and why not.
func allowed(pkg, to string) (why string, ok bool) {
	for _, a := range arrows {
		if !match(a.pkg, pkg) {
			continue
		}
		inside, own := strings.CutPrefix(to, module+"/")
		if own {
			if inside == pkg || slices.ContainsFunc(a.may, func(p string) bool { return match(p, inside) && !sibling(pkg, inside) }) {
				return "", true
			}
			return a.because, false
		}
		if first, _, _ := strings.Cut(to, "/"); !strings.Contains(first, ".") {
			return "", true // the standard library
		}
		if slices.ContainsFunc(a.ext, func(p string) bool { return p == "*" || to == p || strings.HasPrefix(to, p) }) {
			return "", true
		}
		return a.because, false
	}
	return "the package is in no row of the table of arrows: say in which room it lives", false
}

// match reports whether pkg is pattern, or lies right below it where it ends in /*.
func match(pattern, pkg string) bool {
	if above, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, below := strings.CutPrefix(pkg, above+"/")
		return below && !strings.Contains(rest, "/")
	}
	return pattern == pkg
}

// shared are the rooms that the leaves of codecs have in common: encodings and containers, no formats of models.
var shared = []string{"codecs/quant", "codecs/ggml", "codecs/zip", "codecs/pickle"}

// sibling reports whether two packages are leaves of one table: those do not import each other.
func sibling(a, b string) bool {
	dir := filepath.Dir(a)
	return strings.Contains(a, "/") && dir == filepath.Dir(b) && !slices.Contains(shared, b)
}

// TestArrowsAreSharp: the rule refuses what it should.
func TestArrowsAreSharp(t *testing.T) {
	for _, c := range []struct {
		pkg, to string
		ok      bool
	}{
		{"layout", module + "/model", false}, {"layout", module + "/fault", true}, {"layout", "os", true}, {"layout", "github.com/spf13/cobra", false},
		{"codecs/npy", module + "/codecs/quant", true}, {"codecs/npy", module + "/codecs/safetensors", false}, {"codecs/npy", module + "/views/npy", false},
		{"codecs/quant", module + "/codecs/npy", false}, {"codecs/torch", module + "/codecs/zip", true}, {"codecs/zip", module + "/codecs/pickle", false}, {"views/tensors", module + "/views/npy", false}, {"views/safetensors", module + "/codecs/safetensors", true},
		{"tree", module + "/cache", false}, {"tree", "github.com/hanwen/go-fuse/v2/fuse", false}, {"fs", "github.com/hanwen/go-fuse/v2/fuse", true},
		{"cache", module + "/model", false}, {"cache", module + "/tree", false}, {"unheard/of", "os", false},
	} {
		if _, ok := allowed(c.pkg, c.to); ok != c.ok {
			t.Errorf("%s importing %s: allowed %v, want %v", c.pkg, c.to, ok, c.ok)
		}
	}
}

// TestNoUtils: a helper lives with its only user, or is a noun.
func TestNoUtils(t *testing.T) {
	for _, name := range []string{"util", "utils", "common", "helpers", "misc"} {
		for _, pattern := range []string{"../%s", "../*/%s", "../%s.go", "../*/%s.go", "../*/*/%s.go"} {
			if found, _ := filepath.Glob(strings.ReplaceAll(pattern, "%s", name)); len(found) > 0 {
				t.Errorf("%v: name the thing", found)
			}
		}
	}
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Fatal("not run from the module:", err)
	}
}
