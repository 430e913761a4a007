package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/model"
)

// aliasRoom is how many bytes of metadata.json are kept for the names that lead to the version: they come and go while
// its files stay.
const aliasRoom = 512

// jsonObject writes an object a member a line, and a list of rows a row a line: a file that people and programs read.
type jsonObject struct{ b bytes.Buffer }

func (o *jsonObject) member(key string, value []byte) {
	if o.b.Len() == 0 {
		o.b.WriteString("{\n  ")
	} else {
		o.b.WriteString(",\n  ")
	}
	o.b.Write(jsonText(key))
	o.b.WriteString(": ")
	o.b.Write(value)
}

func (o *jsonObject) put(key string, value any) { o.member(key, jsonText(value)) }

// rows puts a list.
func (o *jsonObject) rows(key string, rows [][]byte) {
	if len(rows) == 0 {
		o.member(key, []byte("[]"))
		return
	}
	o.member(key, slices.Concat([]byte("[\n    "), bytes.Join(rows, []byte(",\n    ")), []byte("\n  ]")))
}

func (o *jsonObject) end() []byte {
	o.b.WriteString("\n}\n")
	return o.b.Bytes()
}

// jsonText is value as JSON on one line, with < > and & as they are.
func jsonText(value any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // of our own types none fails
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// jsonRows is each of a list as JSON on one line.
func jsonRows[T any](list []T) [][]byte {
	rows := make([][]byte, len(list))
	for i := range list {
		rows[i] = jsonText(list[i])
	}
	return rows
}

type fileRow struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

type viewRow struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Exact bool   `json:"exact"`
}

type sourceRow struct {
	View string   `json:"view"`
	From []string `json:"from"` // the stored files of the form that it is made from
	Why  string   `json:"why"`
}

type modelRow struct {
	Name       string   `json:"name"` // "" for the only one
	Format     string   `json:"format"`
	Files      []string `json:"files"`
	Tensors    int      `json:"tensors"`
	Parameters int64    `json:"parameters"`
}

type brokenRow struct {
	Path   string `json:"path"`
	Fault  string `json:"fault"`
	Reason string `json:"reason"`
	Remedy any    `json:"remedy"`
}

type leftRow struct {
	Model  string `json:"model"`
	View   string `json:"view"` // "" where no view shows it
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// metadata is metadata.json.
func metadata(ctx context.Context, c *contents, measure bool) ([]byte, error) {
	var o jsonObject
	o.put("model", c.v.Model)
	o.put("version", c.v.Name)
	aliases := []string{}
	if !measure {
		var err error
		if aliases, err = c.t.aliases(ctx, c.v); err != nil {
			return nil, err
		}
		for len(jsonText(aliases))-len("[]") > aliasRoom { // those that fit: what is left out still leads here
			aliases = aliases[:len(aliases)-1]
		}
	}
	o.put("aliases", aliases)
	o.put("format", c.format())
	o.put("parameters", c.parameters())
	var files []fileRow
	for _, f := range c.v.Files {
		if f.Err == nil {
			files = append(files, fileRow{"source/" + f.Name, f.Source.Size()})
		}
	}
	o.rows("files", jsonRows(files))
	var made []viewRow
	for p, m := range c.all() {
		made = append(made, viewRow{p, m.out.File.Size(), true})
	}
	o.rows("views", jsonRows(made))
	o.rows("unavailable", jsonRows(c.unavailable()))
	o.rows("models", jsonRows(c.modelRows()))
	o.rows("sources", jsonRows(c.sourceRows()))
	broken := []brokenRow{}
	for _, x := range c.broken() {
		e := c.why(x)
		row := brokenRow{Path: strings.TrimPrefix(e.Path, c.v.path+"/"), Fault: e.Kind.String(), Reason: e.Reason}
		if e.Remedy != "" {
			row.Remedy = e.Remedy
		}
		broken = append(broken, row)
	}
	var cards [][]byte
	for _, x := range c.cards {
		if x.err == nil {
			cards = append(cards, x.row())
			continue
		}
		e := c.v.told(x.file, x.err)
		row := brokenRow{Path: "source/" + x.file, Fault: e.Kind.String(), Reason: e.Reason}
		if e.Remedy != "" {
			row.Remedy = e.Remedy
		}
		broken = append(broken, row)
	}
	o.rows("broken", jsonRows(broken))
	o.rows("cards", cards)
	var left []leftRow
	for _, m := range c.components {
		if x := m.main(); x.model != nil {
			for _, l := range x.model.Left {
				left = append(left, leftRow{m.name, "", l.Name, l.Reason})
			}
			for _, f := range c.formats {
				for _, l := range f.left(x) {
					left = append(left, leftRow{m.name, f.view.Name, l.Name, l.Reason})
				}
			}
		}
	}
	o.rows("left_out", jsonRows(left))
	o.rows("facts", jsonRows(c.described(ctx)))
	return o.end(), nil
}

// left lists the tensors of a model that a view leaves out while it shows the others.
func (f *format) left(x *variant) (list []model.Left) {
	if f.view.Left == nil || !f.any() {
		return nil
	}
	_ = f.c.t.guard(x.file, func() error { list = f.view.Left(x.model); return nil })
	return list
}

// saves is how many bytes of a stored model the weight views leave to this one.
func (f *format) saves(x *variant) (n int64) {
	if f.view.Saves == nil || x.model == nil {
		return 0
	}
	_ = f.c.t.guard(x.file, func() error { n = f.view.Saves(x.model); return nil })
	return n
}

// format is what the version is stored as: the format of its first model, or of what is broken where none can be read.
func (c *contents) format() string {
	if models := c.models(); len(models) > 0 {
		best := models[0]
		for _, x := range models {
			if x.order < best.order {
				best = x
			}
		}
		return best.model.Format
	}
	for _, x := range c.broken() {
		return x.format.Name
	}
	return ""
}

// parameters counts the elements of all models, null where there is none.
func (c *contents) parameters() any {
	models := c.models()
	if len(models) == 0 {
		return nil
	}
	var sum int64
	for _, x := range models {
		sum += x.model.Parameters()
	}
	return sum
}

func (c *contents) modelRows() []modelRow {
	var rows []modelRow
	for _, m := range c.components {
		for _, x := range m.variants {
			if x.model != nil {
				rows = append(rows, modelRow{m.name, x.model.Format, storedPaths(x.model), len(x.model.Tensors), x.model.Parameters()})
			}
		}
	}
	return rows
}

func storedPaths(m *model.Model) []string {
	paths := make([]string, len(m.Files))
	for i, name := range m.Files {
		paths[i] = "source/" + name
	}
	return paths
}

// sourceRows says which stored form each view is made from, and why that one: a row for each precision, or for each
// model of one.
func (c *contents) sourceRows() []sourceRow {
	var rows []sourceRow
	for _, f := range c.formats {
		for _, precision := range f.names {
			var last *component
			for _, m := range f.plan(precision).files {
				if m.of != last {
					last = m.of
					view := join(join(f.view.Name, precision), m.of.name)
					rows = append(rows, sourceRow{view, storedPaths(m.from.model), m.why})
				}
			}
		}
	}
	return rows
}
