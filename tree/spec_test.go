package tree

import (
	"context"
	"flag"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

var update = flag.Bool("update", false, "write what was found into testdata")

// TestSpecification: what stores show. A file of testdata is a small store (store/...), what `find` would say of its
// mount (want/list: each listed path, folders with a slash, links with their target, modes other than 0444, views that
// are a stored file with its name; depth: the most names of a path), what unlisted names lead to (lookup, want/lookup), and what `why` says (why, want/why).
func TestSpecification(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no specification", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a := readArchive(t, file)
			root := t.TempDir()
			parts := map[string]string{}
			for _, f := range a.files {
				if name, ok := strings.CutPrefix(f.name, "store/"); ok {
					put(t, root, name, f.text)
				} else {
					parts[f.name] = f.text
				}
			}
			tr := openTree(t, root)
			depth := 99
			if text, ok := parts["depth"]; ok {
				depth, _ = strconv.Atoi(strings.TrimSpace(text))
			}
			got := map[string]string{"want/list": listing(t, tr, "", depth)}
			if paths, ok := parts["lookup"]; ok {
				got["want/lookup"] = lookups(t, tr, paths)
			}
			if paths, ok := parts["why"]; ok {
				got["want/why"] = strings.ReplaceAll(whys(t, tr, paths), root, "STORE")
			}
			if *update {
				rewrite(t, file, a, got)
				return
			}
			for name, text := range got {
				if text != parts[name] {
					t.Errorf("%s:\n%s\nwant:\n%s", name, text, parts[name])
				}
			}
		})
	}
}

func rewrite(t *testing.T, file string, a *archive, got map[string]string) {
	kept := a.files[:0:0]
	for _, f := range a.files {
		if !strings.HasPrefix(f.name, "want/") {
			kept = append(kept, f)
		}
	}
	for _, name := range []string{"want/list", "want/lookup", "want/why"} {
		if text, ok := got[name]; ok {
			kept = append(kept, archived{name, text})
		}
	}
	a.files = kept
	a.write(t, file)
}

// listing is every listed path of at most depth names below n, and what it is; the root's own files are left out.
func listing(t *testing.T, tr *Tree, p string, depth int) string {
	t.Helper()
	ctx := context.Background()
	var b strings.Builder
	err := tr.Walk(ctx, resolve(t, tr, p), func(n *Node) error {
		dir := path.Dir(n.Path)
		if n.Path == "" || dir == "." && n.Kind == Regular || strings.Count(n.Path, "/") >= depth {
			return nil
		}
		if n.File != nil && n.File.Document != nil { // on one line
			if n.Name != documents[0].name {
				return nil
			}
			list, err := tr.List(ctx, resolve(t, tr, dir))
			if err != nil {
				t.Fatal(err)
			}
			var docs []string
			for _, e := range list {
				if slices.ContainsFunc(documents[:], func(d document) bool { return d.name == e.Name }) {
					docs = append(docs, e.Name)
				}
			}
			fmt.Fprintf(&b, "%s/{%s}", dir, strings.Join(docs, ","))
			if n.Attr.Mode != 0o444 {
				fmt.Fprintf(&b, " %04o", n.Attr.Mode)
			}
			b.WriteString("\n")
			return nil
		}
		b.WriteString(n.Path)
		switch n.Kind {
		case Folder:
			b.WriteString("/")
			if n.Attr.Mode != 0o555 {
				fmt.Fprintf(&b, " %04o", n.Attr.Mode)
			}
		case Link:
			fmt.Fprintf(&b, " -> %s", n.Target)
		default:
			if n.Attr.Mode != 0o444 {
				fmt.Fprintf(&b, " %04o", n.Attr.Mode)
			}
			if n.File.Source != nil && !strings.Contains(n.Path, "/source/") {
				b.WriteString(" = " + n.File.XAttr["source"])
			}
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// lookups is what paths lead to: the target of a link, the canonical path of anything else, or the kind of the fault.
func lookups(t *testing.T, tr *Tree, paths string) string {
	t.Helper()
	ctx := context.Background()
	var b strings.Builder
	for p := range strings.Lines(paths) {
		p = strings.TrimSpace(p)
		dir, name := path.Split(p)
		d, err := tr.Resolve(ctx, dir)
		var n *Node
		if err == nil {
			n, err = tr.Lookup(ctx, d, name)
		}
		switch {
		case err != nil:
			fmt.Fprintf(&b, "%s: %s\n", p, fault.KindOf(err))
		case n.Kind == Link:
			fmt.Fprintf(&b, "%s -> %s\n", p, n.Target)
		default:
			fmt.Fprintf(&b, "%s is there\n", p)
		}
	}
	return b.String()
}

func whys(t *testing.T, tr *Tree, paths string) string {
	t.Helper()
	var b strings.Builder
	for p := range strings.Lines(paths) {
		a, err := tr.Why(context.Background(), strings.TrimSpace(p))
		if err != nil {
			t.Fatal(err)
		}
		word := "absent"
		if a.Available {
			word = "there"
		}
		fmt.Fprintf(&b, "%s\n\t%s: %s\n", a.Path, word, a.Reason)
		if a.Remedy != "" {
			fmt.Fprintf(&b, "\t%s\n", a.Remedy)
		}
	}
	return b.String()
}
