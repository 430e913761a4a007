package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// CardName is the name of a card.
const CardName = "isomerfs.json"

// CardSchema is the version of cards that is read.
const CardSchema = 1

// Card is what an isomerfs.json beside a model's files says that their bytes cannot. Every part of it is optional.
//
//	{
//	  "schema": 1,
//	  "descriptor": {"title": "A small one", "family": "llama", "licenses": ["Apache-2.0"]},
//	  "source": {"onnx": "model_fp32.onnx", "*": "model.safetensors"},
//	  "quantize": {
//	    "output_tensor_type": "Q8_0",
//	    "tensor_types": [{"pattern": "attn_v", "type": "Q8_0"}],
//	    "imatrix": "calibration/imatrix.gguf"
//	  }
//	}
//
// A key that is not known is an error, so that a misspelt one is not passed over in silence.
type Card struct {
	File       string // the stored file, below the version's folder
	Descriptor Descriptor

	// Source says which stored form views are made from: a stored file below the version's folder, by "FORMAT/PRECISION",
	// "FORMAT", or "*" for all views. The most exact key counts.
	Source map[string]string

	Quantize Quantize
}

// Descriptor says what a model is called and whose it is, in the words of the ModelPack specification
// (https://github.com/modelpack/model-spec/blob/main/docs/config.md). It is for people: no view is made otherwise for it.
type Descriptor struct {
	Name, Title, Description       string
	Family, Version, Revision      string
	Vendor, CreatedAt              string
	DocURL, SourceURL, DatasetsURL string
	Authors, Licenses              []string
}

// Quantize is how quantized views are made where it is not the usual way: the options of llama-quantize. Types bear
// its names, in either case; whoever makes the view knows which there are.
type Quantize struct {
	Pure          bool         // every tensor in the type that is asked for
	LeaveOutput   bool         // the output tensor as it is
	OutputType    string       // of the output tensor; "" as usual
	EmbeddingType string       // of the embeddings of tokens; "" as usual
	TensorTypes   []TensorType // of tensors by their names: the first that matches counts
	Imatrix       string       // the importance matrix, a stored file below the version's folder; "" the one beside the model
}

// TensorType is a type for the tensors whose names a pattern is found in.
type TensorType struct {
	Pattern *regexp.Regexp
	Type    string
}

// maxCard is the most bytes of a card, and maxCardDepth how deep its values lie in one another.
const (
	maxCard      = 256 << 10
	maxCardDepth = 16
)

// ParseCard reads the card file, a path below the version's folder. What is wrong is fault.Malformed, with the key and
// its place; a newer schema is fault.Unsupported.
func ParseCard(file string, data []byte) (*Card, error) {
	if len(data) > maxCard {
		return nil, fault.New(fault.Limit, "%d bytes are more than the %d of the longest card that is read", len(data), maxCard)
	}
	p := &cardParser{dir: path.Dir(file), data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	root, err := p.value(0)
	if err == nil {
		if _, more := p.dec.Token(); more != io.EOF {
			err = fault.At(fault.Malformed, p.dec.InputOffset(), "something stands behind the card's object")
		}
	}
	if err != nil {
		return nil, err
	}
	c := &Card{File: file}
	if schema, ok := root.at["schema"]; ok { // first: a newer one may have keys that are not known here
		if n, ok := schema.v.(json.Number); ok && n.String() != fmt.Sprint(CardSchema) {
			return nil, fault.At(fault.Unsupported, schema.off, "schema %s, and %d is read", n, CardSchema)
		}
	}
	d, q := &c.Descriptor, &c.Quantize
	err = p.object("", root, keys{
		"schema": func(at string, v cardValue) error {
			if _, ok := v.v.(json.Number); !ok {
				return v.wrong(at, "the number %d", CardSchema)
			}
			return nil
		},
		"descriptor": within(keys{
			"name": text(&d.Name), "title": text(&d.Title), "description": text(&d.Description), "family": text(&d.Family), "version": text(&d.Version), "revision": text(&d.Revision),
			"vendor": text(&d.Vendor), "createdAt": text(&d.CreatedAt), "docURL": text(&d.DocURL), "sourceURL": text(&d.SourceURL), "datasetsURL": text(&d.DatasetsURL),
			"authors": texts(&d.Authors), "licenses": texts(&d.Licenses),
		}, p),
		"source": func(at string, v cardValue) error { return p.source(c, at, v) },
		"quantize": within(keys{
			"pure": flag(&q.Pure), "leave_output_tensor": flag(&q.LeaveOutput), "output_tensor_type": text(&q.OutputType), "token_embedding_type": text(&q.EmbeddingType),
			"tensor_types": func(at string, v cardValue) error { return p.tensorTypes(q, at, v) },
			"imatrix":      func(at string, v cardValue) error { return p.file(&q.Imatrix, at, v) },
		}, p),
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// SourceOf is the stored file that the card names for a view, "" where it names none, and the key that does.
func (c *Card) SourceOf(format, precision string) (file, key string) {
	if c == nil {
		return "", ""
	}
	for _, key := range []string{format + "/" + precision, format, "*"} {
		if file := c.Source[key]; file != "" {
			return file, key
		}
	}
	return "", ""
}

// cardValue is a value of a card with its place in the text.
type cardValue struct {
	off  int64
	v    any // nil, bool, string, json.Number, []cardValue, or the keys of an object in order
	at   map[string]cardValue
	offs map[string]int64 // of an object's keys
}

func (v cardValue) wrong(at, format string, args ...any) error {
	return fault.At(fault.Malformed, v.off, "%s must be %s", at, fmt.Sprintf(format, args...))
}

type cardParser struct {
	dir  string // the folder of the card
	data []byte
	dec  *json.Decoder
}

// token is the next token and where it begins.
func (p *cardParser) token() (json.Token, int64, error) {
	off := p.dec.InputOffset()
	for off < int64(len(p.data)) && strings.IndexByte(" \t\r\n,:", p.data[off]) >= 0 {
		off++
	}
	t, err := p.dec.Token()
	if err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, off, fault.At(fault.Malformed, int64(len(p.data)), "the text ends where a value is due")
		}
		return nil, off, fault.At(fault.Malformed, off, "this is no JSON: %w", err)
	}
	return t, off, nil
}

func (p *cardParser) value(depth int) (cardValue, error) {
	t, off, err := p.token()
	v := cardValue{off: off, v: t}
	if err != nil {
		return v, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return v, nil
	}
	if depth == maxCardDepth {
		return v, fault.At(fault.Limit, off, "values lie more than %d deep in one another", maxCardDepth)
	}
	if open == '[' {
		list := []cardValue{}
		for p.dec.More() {
			x, err := p.value(depth + 1)
			if err != nil {
				return v, err
			}
			list = append(list, x)
		}
		_, _, err := p.token()
		v.v = list
		return v, err
	}
	names := []string{}
	v.at, v.offs = map[string]cardValue{}, map[string]int64{}
	for p.dec.More() {
		t, at, err := p.token()
		if err != nil {
			return v, err
		}
		key, _ := t.(string)
		if _, twice := v.at[key]; twice {
			return v, fault.At(fault.Duplicate, at, "key %s is there twice", quoted(key))
		}
		if v.at[key], err = p.value(depth + 1); err != nil {
			return v, err
		}
		v.offs[key] = at
		names = append(names, key)
	}
	_, _, err = p.token()
	v.v = names
	return v, err
}

// keys are those of an object, each with what takes its value; at is the key with those around it.
type keys map[string]func(at string, v cardValue) error

// object gives each key of an object to what takes it.
func (p *cardParser) object(at string, v cardValue, known keys) error {
	if v.at == nil {
		if at == "" {
			return fault.At(fault.Malformed, v.off, "a card is an object, {...}")
		}
		return v.wrong(at, "an object")
	}
	for _, key := range v.v.([]string) {
		full := key
		if at != "" {
			full = at + "." + key
		}
		take := known[key]
		if take == nil {
			return fault.At(fault.Malformed, v.offs[key], "a card has no key %s", quoted(full)).
				Remedied("%s", strings.TrimSpace("it has "+strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
		if err := take(full, v.at[key]); err != nil {
			return err
		}
	}
	return nil
}

func within(known keys, p *cardParser) func(string, cardValue) error {
	return func(at string, v cardValue) error { return p.object(at, v, known) }
}

func text(to *string) func(string, cardValue) error {
	return func(at string, v cardValue) error {
		s, ok := v.v.(string)
		if !ok || s == "" {
			return v.wrong(at, "a text")
		}
		*to = s
		return nil
	}
}

func texts(to *[]string) func(string, cardValue) error {
	return func(at string, v cardValue) error {
		list, ok := v.v.([]cardValue)
		if !ok {
			return v.wrong(at, "a list of texts")
		}
		for i, x := range list {
			var s string
			if err := text(&s)(fmt.Sprintf("%s[%d]", at, i), x); err != nil {
				return err
			}
			*to = append(*to, s)
		}
		return nil
	}
}

func flag(to *bool) func(string, cardValue) error {
	return func(at string, v cardValue) error {
		b, ok := v.v.(bool)
		if !ok {
			return v.wrong(at, "true or false")
		}
		*to = b
		return nil
	}
}

// file takes a path below the card's folder.
func (p *cardParser) file(to *string, at string, v cardValue) error {
	s, ok := v.v.(string)
	if !ok || s == "" || path.IsAbs(s) || path.Clean(s) != s || s == "." || s == ".." || strings.HasPrefix(s, "../") || strings.ContainsAny(s, "\\\x00") {
		return v.wrong(at, "the path of a file below the card's folder")
	}
	*to = path.Join(p.dir, s)
	return nil
}

// source takes a file for all views, or files by view.
func (p *cardParser) source(c *Card, at string, v cardValue) error {
	c.Source = map[string]string{}
	if v.at == nil {
		var file string
		err := p.file(&file, at, v)
		c.Source["*"] = file
		return err
	}
	for _, key := range v.v.([]string) {
		parts := strings.Split(key, "/")
		if key != "*" && (len(parts) > 2 || slices.Contains(parts, "") || strings.ContainsAny(key, "*?")) {
			return fault.At(fault.Malformed, v.offs[key], "%s.%s must be FORMAT, FORMAT/PRECISION or *", at, key)
		}
		var file string
		if err := p.file(&file, at+"."+key, v.at[key]); err != nil {
			return err
		}
		c.Source[key] = file
	}
	return nil
}

func (p *cardParser) tensorTypes(q *Quantize, at string, v cardValue) error {
	list, ok := v.v.([]cardValue)
	if !ok {
		return v.wrong(at, `a list of objects like {"pattern": "attn_v", "type": "Q8_0"}`)
	}
	for i, x := range list {
		var t TensorType
		var pattern string
		here := fmt.Sprintf("%s[%d]", at, i)
		if err := p.object(here, x, keys{"pattern": text(&pattern), "type": text(&t.Type)}); err != nil {
			return err
		}
		if pattern == "" || t.Type == "" {
			return x.wrong(here, "an object of pattern and type")
		}
		var err error
		if t.Pattern, err = regexp.Compile(pattern); err != nil {
			return x.at["pattern"].wrong(here+".pattern", "a regular expression: %v", err)
		}
		q.TensorTypes = append(q.TensorTypes, t)
	}
	return nil
}

// quoted is a key as errors name it: cut where it is long.
func quoted(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
