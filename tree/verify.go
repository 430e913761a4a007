package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/store"
)

// Finding is what Verify found of one stored file by one check.
type Finding struct {
	Path    string // MODEL/VERSION/source/FILE
	OK      bool   // nothing is wrong with it; also where it is legal and we do not read it
	Check   string // structure, digest or pickle; signature where it is checked
	Detail  string
	Globals []Global // of a pickle: what it would import. nil for every other file
}

// Global is a name that a pickle asks for.
type Global struct {
	Module  string `json:"module"`
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
}

// The checks that a Finding names.
const (
	checkStructure = "structure"
	checkDigest    = "digest"
	checkPickle    = "pickle"
)

// Verify checks the stored files of what n is: a stored file, a version, everything below a model or namespace; of a
// view the files that it is made from. The structure of each model is read by its codec, and each file whose SHA-256
// was recorded is read whole. What Python would import to load a file's pickles is listed, and wrong where it is
// dangerous, whatever the policy. report is told of each check in the order of the files.
func (t *Tree) Verify(ctx context.Context, n *Node, report func(Finding)) error {
	switch n.in.place {
	case space, aModel:
		return t.children(ctx, n, func(p string, child *Node, err error) error {
			if err != nil {
				report(Finding{Path: p, Check: checkStructure, Detail: fault.Reason(err)})
				return nil
			}
			return t.Verify(ctx, child, report)
		})
	case control:
		return fault.In(n.Path, fault.New(fault.Usage, "it is no model"))
	}
	v := n.in.v
	if v == nil || n.File != nil && n.File.Document != nil {
		return fault.In(n.Path, fault.New(fault.Usage, "it is no model and nothing that is made of one"))
	}
	file, stored := strings.CutPrefix(n.in.below, "source/")
	if stored && n.File != nil {
		return t.verifyOne(ctx, v, file, report)
	}
	c, err := t.contents(ctx, v)
	if err != nil {
		return err
	}
	switch {
	case n.in.below == "" || n.in.below == "source":
		return c.verify(ctx, func(string) bool { return true }, true, report)
	case stored:
		return c.verify(ctx, func(name string) bool { return strings.HasPrefix(name, file+"/") }, false, report)
	}
	it, err := c.at(ctx, n.in.below)
	if err != nil {
		return fault.In(n.Path, err)
	}
	var files []made
	switch f := it.folder.(type) {
	case precisions:
		for _, name := range f.f.available() {
			files = append(files, f.f.plan(name).files...)
		}
	case planned:
		files = f.plan.files
	default:
		files = []made{*it.made}
	}
	from := map[string]bool{}
	for _, x := range c.badCards() {
		from[x.file] = true
	}
	for _, m := range files {
		for _, name := range m.from.model.Files {
			from[name] = true
		}
		if m.from.model.Card != nil {
			from[m.from.model.Card.File] = true
		}
	}
	return c.verify(ctx, func(name string) bool { return from[name] }, false, report)
}

func (v *version) finding(name, check string, err error, detail string) Finding {
	f := Finding{Path: join(v.path, "source/"+name), OK: err == nil, Check: check, Detail: detail}
	if err == nil {
		return f
	}
	f.Detail = fault.Reason(err)
	switch fault.KindOf(err) {
	case fault.Unsupported, fault.Limit: // nothing is wrong with such a file
		f.OK, f.Detail = true, "not read: "+f.Detail
	}
	return f
}

// verifyOne checks one stored file by itself.
func (t *Tree) verifyOne(ctx context.Context, v *version, name string, report func(Finding)) error {
	f := v.Files[v.byName[name]]
	m, order, err := t.readModel(ctx, v, name)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	orders := t.matching(name)
	if len(orders) == 0 {
		orders, _ = t.sniffing(ctx, v, name)
	}
	switch {
	case path.Base(name) == model.CardName: // with what lies beside it, which it names
		c, err := t.contents(ctx, v)
		if err != nil {
			return err
		}
		return c.verify(ctx, func(other string) bool { return other == name }, false, report)
	case len(orders) == 0: // no model: only its digest can be known
	case err != nil:
		report(v.finding(v.blamed(name, err), checkStructure, err, ""))
	default:
		sums, err := checksums(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		at := name
		if err != nil {
			at = v.blamed(name, err)
		}
		report(v.finding(at, checkStructure, err, sound(t.formats[order].Name, m, sums)))
	}
	if err := v.verifyPickles(ctx, name, len(orders) > 0, report); err != nil {
		return err
	}
	recorded := v.digests(ctx)
	if err := recorded.wrong[name]; err != nil {
		report(v.finding(name, checkDigest, err, ""))
	}
	return v.verifyDigest(ctx, f, recorded, report)
}

// checksums compares what a model's files state of their own bytes with these. known: they state something.
func checksums(ctx context.Context, m *model.Model) (known bool, err error) {
	if m.Verify != nil {
		return true, fault.In(m.File, m.Verify(ctx))
	}
	for _, t := range m.Tensors {
		known = known || t.Data.Unverified() > 0
		if err := t.Data.Verify(ctx); err != nil {
			return true, fault.In(m.File, err)
		}
	}
	return known, nil
}

// sound is what a model is in which nothing wrong was found.
func sound(format string, m *model.Model, sums bool) string {
	text := fmt.Sprintf("%s, %d tensors", format, len(m.Tensors))
	if sums {
		text += ", checksums match"
	}
	return text
}

// blamed is the stored file that a fault found with another names: a broken shard of an index.
func (v *version) blamed(name string, err error) string {
	return strings.TrimPrefix(v.told(name, err).Path, v.path+"/source/")
}

// verify checks the stored files that want asks for; with whole also that the lists of digests name nothing that is
// missing.
func (c *contents) verify(ctx context.Context, want func(string) bool, whole bool, report func(Finding)) error {
	v := c.v
	structure := map[string][]Finding{}
	for _, one := range c.components {
		for _, x := range one.variants {
			m := x.model
			if x.refused != nil { // its structure is sound, and its pickles are checked by themselves
				m = x.refused
			}
			if m == nil {
				name := v.blamed(x.file, x.fault)
				if want(name) || want(x.file) {
					structure[name] = append(structure[name], v.finding(name, checkStructure, x.fault, ""))
				}
				continue
			}
			var wrong error
			var blamed string
			sums := false
			if slices.ContainsFunc(m.Files, want) {
				if sums, wrong = checksums(ctx, m); wrong != nil {
					blamed = v.blamed(x.file, wrong)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			for _, name := range m.Files {
				detail := sound(x.format.Name, m, sums)
				if name != x.file {
					detail = "of " + x.file
				}
				if name != blamed {
					structure[name] = append(structure[name], v.finding(name, checkStructure, nil, detail))
				}
			}
			if wrong != nil {
				structure[blamed] = append(structure[blamed], v.finding(blamed, checkStructure, wrong, ""))
			}
		}
	}
	for _, x := range c.beside {
		structure[x.file] = append(structure[x.file], v.finding(x.file, checkStructure, x.fault, x.format.Name))
	}
	for _, x := range c.cards {
		if want(x.file) && c.v.Files[c.v.byName[x.file]].Err == nil { // else it is told with the file
			structure[x.file] = append(structure[x.file], v.finding(x.file, checkStructure, x.err, "a card"))
		}
	}
	recorded := v.digests(ctx)
	for _, f := range v.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !want(f.Name) && len(structure[f.Name]) == 0 {
			continue
		}
		if f.Err != nil {
			report(v.finding(f.Name, checkStructure, f.Err, ""))
			continue
		}
		for _, found := range structure[f.Name] {
			if want(f.Name) || !found.OK {
				report(found)
			}
		}
		if !want(f.Name) {
			continue
		}
		if err := v.verifyPickles(ctx, f.Name, len(structure[f.Name]) > 0, report); err != nil {
			return err
		}
		if err := recorded.wrong[f.Name]; err != nil {
			report(v.finding(f.Name, checkDigest, err, ""))
		}
		if err := v.verifyDigest(ctx, f, recorded, report); err != nil {
			return err
		}
	}
	if whole {
		for _, name := range recorded.missing(v) {
			report(Finding{Path: join(v.path, "source/"+name), Check: checkDigest, Detail: fmt.Sprintf("%s names it, and it is not there", recorded.of[name].by)})
		}
	}
	return nil
}

// verifyPickles reports what Python would import to load a file's pickles, if it has any. judged says that the file's
// structure is reported already.
func (v *version) verifyPickles(ctx context.Context, name string, judged bool, report func(Finding)) error {
	if f := v.Files[v.byName[name]]; f.Err != nil {
		return nil
	}
	found, err := codecs.Pickles(ctx, v, name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		report(v.finding(name, checkPickle, err, ""))
		return nil
	}
	globals := []Global{}
	var worst []model.Import
	opaque := 0
	for _, i := range found.Imports {
		globals = append(globals, Global{i.Module, i.Name, i.Verdict})
		switch i.Verdict {
		case model.VerdictDangerous:
			worst = append(worst, i)
		case model.VerdictOpaque:
			opaque++
		}
	}
	switch {
	case len(worst) > 0:
		var words []string
		for _, i := range worst[:min(len(worst), 8)] {
			words = append(words, fmt.Sprintf("%s.%s: %s", i.Module, i.Name, i.Reason))
		}
		if n := len(worst) - len(words); n > 0 {
			words = append(words, fmt.Sprintf("%d more", n))
		}
		report(Finding{Path: join(v.path, "source/"+name), Check: checkPickle, Detail: strings.Join(words, "; "), Globals: globals})
	case found.Err != nil:
		if !judged || len(globals) > 0 {
			check := checkPickle
			if len(globals) == 0 { // nothing is known of it but that it is broken
				check, globals = checkStructure, nil
			}
			f := v.finding(name, check, found.Err, "")
			f.Globals = globals
			report(f)
		}
	case found.Pickles > 0:
		detail := "imports nothing"
		if n := len(globals); n > 0 {
			detail = fmt.Sprintf("imports: %d safe, %d opaque", n-opaque, opaque)
		}
		report(Finding{Path: join(v.path, "source/"+name), OK: true, Check: checkPickle, Detail: detail, Globals: globals})
	}
	return nil
}

// verifyDigest reads a file whole and compares its digest with the recorded one, if there is one.
func (v *version) verifyDigest(ctx context.Context, f store.File, recorded digests, report func(Finding)) error {
	want, ok := recorded.of[f.Name]
	if !ok || f.Err != nil {
		return nil
	}
	by := "the store's name of it"
	if want.by != "" {
		by = want.by
	}
	got, err := hash(ctx, f.Source)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		report(v.finding(f.Name, checkDigest, err, ""))
	case got != want.sha256:
		report(Finding{Path: join(v.path, "source/"+f.Name), Check: checkDigest, Detail: fmt.Sprintf("its SHA-256 is %s, and %s says %s", got, by, want.sha256)})
	default:
		report(Finding{Path: join(v.path, "source/"+f.Name), OK: true, Check: checkDigest, Detail: "its SHA-256 is that of " + by})
	}
	return nil
}

// hash is the SHA-256 of a source in hexadecimal.
func hash(ctx context.Context, s layout.Source) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < s.Size(); {
		n, err := s.ReadAt(ctx, buf[:min(int64(len(buf)), s.Size()-off)], off)
		if n == 0 && (err != nil && err != io.EOF) {
			return "", err
		}
		if n == 0 {
			return "", fault.At(fault.Changed, off, "the file ended where it had %d bytes", s.Size())
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
