package tree

import (
	"bytes"
	"context"
	"slices"
)

// provenance is provenance.json: an in-toto Statement v1 (https://in-toto.io/Statement/v1) with the SLSA provenance
// predicate v1 (https://slsa.dev/spec/v1.0/provenance) about every file that can be made of the version. A digest is
// there once it is known, and none is invented: a file that was never computed is no subject yet, and its line is
// blank.
func provenance(ctx context.Context, c *contents, _ bool) ([]byte, error) {
	var o jsonObject
	o.put("_type", "https://in-toto.io/Statement/v1")
	var subjects digestRows
	type view struct {
		Name   string `json:"name"`
		Recipe string `json:"recipe"`
	}
	var views []view
	for p, m := range c.all() {
		subjects.add(p, c.digest(ctx, m), "")
		views = append(views, view{p, m.out.File.Recipe().String()})
	}
	o.member("subject", subjects.rows(false))
	o.put("predicateType", "https://slsa.dev/provenance/v1")

	recorded := c.digests(ctx)
	var stored digestRows
	for _, f := range c.v.Files {
		if f.Err == nil {
			d := recorded.of[f.Name]
			by := "the store's name of the bytes"
			if d.by != "" {
				by = "source/" + d.by
			}
			stored.add("source/"+f.Name, d.sha256, by)
		}
	}
	var b bytes.Buffer
	b.WriteString(`{"buildDefinition": {"buildType": "https://github.com/isomerfs/isomerfs/derive/v1",` + "\n")
	b.WriteString(`    "externalParameters": {"model": ` + string(jsonText(c.v.Model)) + `, "version": ` + string(jsonText(c.v.Name)) + `, "views": [` + "\n      ")
	b.Write(bytes.Join(jsonRows(views), []byte(",\n      ")))
	b.WriteString("]},\n    \"internalParameters\": {},\n    \"resolvedDependencies\": ")
	b.Write(stored.rows(true))
	b.WriteString("},\n    \"runDetails\": {\"builder\": {\"id\": \"https://github.com/isomerfs/isomerfs\", \"version\": {\"isomerfs\": " + string(jsonText(c.t.o.Program)) + "}}}}")
	o.member("predicate", b.Bytes())
	return o.end(), nil
}

// digestRows is a list of resource descriptors whose length does not depend on which digests are known.
type digestRows struct{ list []digestRow }

type digestRow struct{ name, sha256, by string }

func (r *digestRows) add(name, sha256, by string) {
	r.list = append(r.list, digestRow{name, sha256, by})
}

// rows is the list as JSON, a row a line. A row whose digest is unknown is blank, or with keep has none.
func (r *digestRows) rows(keep bool) []byte {
	b := []byte("[\n")
	comma := byte(' ')
	for _, row := range r.list {
		full := descriptor(row, true)
		text := full
		if row.sha256 == "" {
			row.sha256 = string(bytes.Repeat([]byte("0"), 64))
			full = descriptor(row, true)
			text = nil
			if keep {
				text = descriptor(row, false)
			}
		}
		mark := byte(' ')
		if text != nil {
			mark, comma = comma, ','
		}
		b = append(b, "     "...)
		b = append(b, mark)
		b = append(b, text...)
		b = append(b, bytes.Repeat([]byte(" "), len(full)-len(text))...)
		b = append(b, '\n')
	}
	return append(b, "    ]"...)
}

// descriptor is one in-toto ResourceDescriptor.
func descriptor(row digestRow, known bool) []byte {
	type annotations struct {
		Recorded string `json:"recorded"`
	}
	type resource struct {
		Name        string            `json:"name"`
		Digest      map[string]string `json:"digest,omitempty"`
		Annotations *annotations      `json:"annotations,omitempty"`
	}
	d := resource{Name: row.name}
	if known {
		d.Digest = map[string]string{"sha256": row.sha256}
		if row.by != "" {
			d.Annotations = &annotations{row.by}
		}
	}
	return slices.Clip(jsonText(d))
}
