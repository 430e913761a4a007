package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// maxCards bounds how many cards of one version are read.
const maxCards = 64

// card is an isomerfs.json of the version.
type card struct {
	file string      // below the version's folder
	text []byte      // as it is stored; nil where err is set
	card *model.Card // nil where err is set
	err  error       // why it is not used
}

// readCards reads the cards of the version, in the order of its files. What is wrong with one is kept with it.
func (c *contents) readCards(ctx context.Context) {
	for _, f := range c.v.Files {
		if path.Base(f.Name) != model.CardName {
			continue
		}
		x := &card{file: f.Name}
		switch {
		case f.Err != nil:
			x.err = f.Err
		case len(c.cards) >= maxCards:
			x.err = fault.New(fault.Limit, "the version has more than %d cards; this one was not read", maxCards)
		default:
			x.err = c.t.guard(f.Name, func() (err error) {
				if x.text, err = read(ctx, f, maxCardFile); err == nil {
					x.card, err = model.ParseCard(f.Name, x.text)
				}
				return err
			})
		}
		c.cards = append(c.cards, x)
	}
}

// maxCardFile bounds the bytes of a card that are read; model.ParseCard says how many it takes.
const maxCardFile = 1 << 20

// deal gives each model the card that is its: the one in its folder, or in the nearest folder around it. A card that
// names what is not there is not used.
func (c *contents) deal(variants []*variant) {
	for _, x := range c.cards {
		if x.card != nil {
			if x.err = c.sources(x.card, variants); x.err != nil {
				x.card = nil
			}
		}
		if x.card == nil {
			x.text = nil
		}
	}
	for _, v := range variants {
		for dir := path.Dir(v.file); v.model != nil; dir = path.Dir(dir) {
			i := slices.IndexFunc(c.cards, func(x *card) bool { return path.Dir(x.file) == dir })
			if i >= 0 {
				v.model.Card = c.cards[i].card
			}
			if i >= 0 || dir == "." {
				break
			}
		}
	}
}

// sources reports what a card names as the source of a view and cannot be one.
func (c *contents) sources(of *model.Card, variants []*variant) error {
	for key, file := range of.Source {
		format, _, _ := strings.Cut(key, "/")
		if key != "*" && !slices.ContainsFunc(c.t.formatsOf(), func(name string) bool { return name == format }) {
			return fault.New(fault.Malformed, "source.%s: isomerfs makes no %s", key, format).Remedied("it makes %s", strings.Join(c.t.formatsOf(), ", "))
		}
		if slices.ContainsFunc(variants, func(x *variant) bool { return x.is(file) }) {
			continue
		}
		at := "source"
		if key != "*" || len(of.Source) > 1 {
			at += "." + key
		}
		if _, ok := c.v.byName[file]; ok {
			return fault.New(fault.Malformed, "%s: %s is no model that is read here", at, file)
		}
		return fault.New(fault.Missing, "%s: there is no file %s", at, file)
	}
	return nil
}

// formatsOf are the names of the views.
func (t *Tree) formatsOf() []string {
	names := make([]string, len(t.views))
	for i := range t.views {
		names[i] = t.views[i].Name
	}
	return names
}

// is reports whether a stored file is the variant's, or part of it.
func (v *variant) is(file string) bool {
	return v.file == file || v.model != nil && slices.Contains(v.model.Files, file)
}

// named reports whether a variant is what its card names as the source of a view.
func (v *variant) named(format, precision string) bool {
	if v.model == nil {
		return false
	}
	file, _ := v.model.Card.SourceOf(format, precision)
	return file != "" && v.is(file)
}

// first reports whether a variant is what its card names for all views.
func (v *variant) first() bool {
	return v.model != nil && v.model.Card != nil && v.is(v.model.Card.Source["*"])
}

// badCards lists the cards that are not used.
func (c *contents) badCards() []*card {
	return slices.DeleteFunc(slices.Clone(c.cards), func(x *card) bool { return x.err == nil })
}

// row is a card as metadata.json shows it.
func (x *card) row() []byte {
	var b bytes.Buffer
	b.WriteString(`{"path": ` + string(jsonText("source/"+x.file)) + `, "card": `)
	if json.Compact(&b, x.text) != nil { // it was read
		b.WriteString("null")
	}
	b.WriteByte('}')
	return b.Bytes()
}

// descriptor takes what a card says of the model.
func (g *gathering) descriptor(d model.Descriptor) {
	for _, x := range []struct{ name, value string }{
		{"name", d.Name}, {"title", d.Title}, {"description", d.Description}, {"family", d.Family}, {"version", d.Version}, {"revision", d.Revision}, {"vendor", d.Vendor},
		{"created at", d.CreatedAt}, {"documentation", d.DocURL}, {"source", d.SourceURL}, {"dataset", d.DatasetsURL},
	} {
		g.add(x.name, x.value)
	}
	for _, a := range d.Authors {
		g.add("author", a)
	}
	for _, l := range d.Licenses {
		g.add("licence", l)
	}
}
