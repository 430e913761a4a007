package tree

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/store"
)

// digests are the SHA-256 of a version's stored files that somebody recorded.
type digests struct {
	of    map[string]digest // by name below the version's folder
	wrong map[string]error  // by the name of a list that says nothing we can use
}

type digest struct {
	sha256 string // hexadecimal, lower case
	by     string // who says so: a stored file's name, or "" for the store's own name of the bytes
}

// sumsName is the name of a list of digests beside the files.
const sumsName = "SHA256SUMS"

// maxSums bounds the bytes of one such list.
const maxSums = 32 << 20

// digests is what was recorded of the stored files: by the store, whose name for the bytes may be their digest, and by
// lists that lie beside them.
func (v *version) digests(ctx context.Context) digests {
	d := digests{of: map[string]digest{}, wrong: map[string]error{}}
	for _, f := range v.Files {
		if f.Err != nil || path.Base(f.Name) != sumsName {
			continue
		}
		text, err := read(ctx, f, maxSums)
		var sums map[string]string
		if err == nil {
			sums, err = store.ParseSums(text)
		}
		if err != nil {
			d.wrong[f.Name] = err
			continue
		}
		for name, sum := range sums {
			d.of[path.Join(path.Dir(f.Name), name)] = digest{sum, f.Name}
		}
	}
	for _, f := range v.Files {
		if f.SHA256 != "" {
			d.of[f.Name] = digest{strings.ToLower(f.SHA256), ""}
		}
	}
	return d
}

// read is the whole of a small stored file.
func read(ctx context.Context, f store.File, limit int64) ([]byte, error) {
	size := f.Source.Size()
	if size > limit {
		return nil, fault.In(f.Name, fault.New(fault.Limit, "%d bytes are more than the %d that are read of it", size, limit))
	}
	b := make([]byte, size)
	if n, err := f.Source.ReadAt(ctx, b, 0); n < len(b) {
		return nil, fault.In(f.Name, err)
	}
	return b, nil
}

// recorded is the digests of the stored files, read when they are first asked for.
func (c *contents) digests(ctx context.Context) digests {
	return c.recorded.get(func() digests { return c.v.digests(context.WithoutCancel(ctx)) })
}

// digest is the SHA-256 of a view's file as far as it is known.
func (c *contents) digest(ctx context.Context, m *made) string {
	if s := m.out.File.Identical(); s != nil {
		if f := c.v.stored(s); f != nil {
			return c.digests(ctx).of[f.Name].sha256
		}
		return ""
	}
	if c.t.o.Digest != nil {
		if sum, ok := c.t.o.Digest(m.out.File.ID()); ok {
			return sum
		}
	}
	return ""
}

// sumsText is a line of SHA256SUMS, as long with a digest as without.
func sumsText(name, sum string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	mark := ""
	if escaped != name {
		mark = `\`
	}
	if sum == "" {
		return notYet + escaped + strings.Repeat(" ", len(mark)+64+2-len(notYet)) + "\n"
	}
	return mark + sum + "  " + escaped + "\n"
}

const notYet = "# not computed yet: "

// sums is SHA256SUMS: a line that `sha256sum -c` takes for each file whose digest is known, a comment of the same
// length for each other.
func sums(ctx context.Context, c *contents, _ bool) ([]byte, error) {
	var b bytes.Buffer
	line := func(name, sum string) { b.WriteString(sumsText(name, sum)) }
	recorded := c.digests(ctx)
	for _, f := range c.v.Files {
		if f.Err == nil {
			line("source/"+f.Name, recorded.of[f.Name].sha256)
		}
	}
	for name, m := range c.all() {
		line(name, c.digest(ctx, m))
	}
	if b.Len() == 0 {
		b.WriteString("# the version has no files\n")
	}
	return b.Bytes(), nil
}

// missing lists the files that lists of digests name and that are not there.
func (d digests) missing(v *version) []string {
	var list []string
	for name := range d.of {
		if _, ok := v.byName[name]; !ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
