package tree

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/store"
)

// requirementsName is the name of the stored file, and of the document, that pip reads.
const requirementsName = "requirements.txt"

// maxRequirements bounds the bytes of the stored file. pip's longest are some hundred lines.
const maxRequirements = 256 << 10

// requirements is requirements.txt: the stored one where there is one in the version's folder, else what reads the
// views, each package once, with the views that need it.
func requirements(ctx context.Context, c *contents, _ bool) ([]byte, error) {
	if f := c.storedRequirements(); f != nil {
		return read(ctx, *f, maxRequirements)
	}
	type need struct {
		least string
		views []string
	}
	needs := map[string]*need{}
	for _, f := range c.formats {
		if f.view.Readers == nil || !f.any() {
			continue
		}
		for _, x := range c.models() {
			for _, line := range f.view.Readers(x.model) {
				name, least, _ := strings.Cut(line, ">=")
				n := needs[name]
				if n == nil {
					n = &need{}
					needs[name] = n
				}
				if !slices.Contains(n.views, f.view.Name) {
					n.views = append(n.views, f.view.Name)
				}
				if newer(least, n.least) {
					n.least = least
				}
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What reads the views of this version: install what you use. No %s is stored with the model.\n", requirementsName)
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		n := needs[name]
		line := name
		if n.least != "" {
			line += ">=" + n.least
		}
		fmt.Fprintf(&b, "%s  # %s\n", line, strings.Join(n.views, ", "))
	}
	return b.Bytes(), nil
}

// storedRequirements is the stored requirements.txt of the version; nil where there is none that could be shown.
func (c *contents) storedRequirements() *store.File {
	i, ok := c.v.byName[requirementsName]
	if !ok {
		return nil
	}
	if f := &c.v.Files[i]; f.Err == nil && f.Source.Size() > 0 && f.Source.Size() <= maxRequirements {
		return f
	}
	return nil
}

// unneeded is why a version has no requirements.txt; nil where it has one.
func unneeded(c *contents) *fault.Error {
	if c.storedRequirements() != nil {
		return nil
	}
	if len(c.models()) == 0 {
		if broken := c.broken(); len(broken) > 0 {
			return c.why(broken[0])
		}
		return c.nothing()
	}
	return nil
}

// newer reports whether a version is above another, number by number. "" is below all.
func newer(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m, _ = strconv.Atoi(x[i])
		}
		if i < len(y) {
			n, _ = strconv.Atoi(y[i])
		}
		if c := cmp.Compare(m, n); c != 0 {
			return c > 0
		}
	}
	return len(a) > 0 && b == ""
}
