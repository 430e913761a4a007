package hf

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// shown is a value as testdata/fixtures.py writes it.
func shown(v any) any {
	switch v := v.(type) {
	case float64:
		return map[string]any{"float": v}
	case int64:
		return float64(v)
	case *Object:
		m := map[string]any{}
		for _, key := range v.Keys() {
			m[key] = shown(v.Value(key))
		}
		return m
	case []any:
		list := []any{}
		for _, item := range v {
			list = append(list, shown(item))
		}
		return list
	}
	return v
}

// TestYAML: what PyYAML makes of the front matter of cards (testdata/fixtures.py).
func TestYAML(t *testing.T) {
	b, err := os.ReadFile("testdata/card.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text, Error string
		Value       any
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	var floats func(any) any // {"float": text} with the number
	floats = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			if text, ok := v["float"].(string); ok && len(v) == 1 {
				f, _ := strconv.ParseFloat(text, 64)
				return map[string]any{"float": f}
			}
			for key := range v {
				v[key] = floats(v[key])
			}
		case []any:
			for i := range v {
				v[i] = floats(v[i])
			}
		}
		return v
	}
	for _, c := range cases {
		got, err := yamlText(c.Text)
		switch {
		case (err != nil) != (c.Error != ""):
			t.Errorf("%s: %v, want %q", c.Text, err, c.Error)
		case err == nil && !reflect.DeepEqual(shown(got), floats(c.Value)):
			t.Errorf("%s:\n got %v\nwant %v", c.Text, shown(got), c.Value)
		}
	}
}

// TestCard: where the front matter is found, and what is no card.
func TestCard(t *testing.T) {
	for text, want := range map[string]string{ // the license, "" where the card says nothing that is understood
		"---\nlicense: mit\n---\n# Title":                "mit",
		"---\r\nlicense: mit\r\n---\r\n":                 "mit",
		"# Title\n---\nlicense: mit\n---\n":              "",
		"":                                               "",
		"---\nlicense: mit\n":                            "mit",
		"---\n- a list\n---\n":                           "",
		"---\nlicense: !!python/name:os\n---\n":          "",
		"---\nlicense: &a mit\n---\n":                    "",
		"---\n" + strings.Repeat("[", 10000) + "\n---\n": "",
	} {
		card, err := folder{"README.md": text}.beside().Card(ctx)
		got := card.Text("license")
		if err != nil {
			got = fault.KindOf(err).String()
		}
		if got != want {
			t.Errorf("%.40q: %q (%v), want %q", text, got, err, want)
		}
	}
	if card, err := (folder{}).beside().Card(ctx); err != nil || len(card.Keys()) > 0 {
		t.Errorf("no card: %v, %v", card, err)
	}
}

// FuzzYAML: any text ends as a value or as a fault, and JSON of the plainer kind is what JSON says.
func FuzzYAML(f *testing.F) {
	if b, err := os.ReadFile("testdata/card.json"); err == nil {
		var cases []struct{ Text string }
		_ = json.Unmarshal(b, &cases)
		for _, c := range cases {
			f.Add(c.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := yamlText(text)
		if err != nil {
			if fault.KindOf(err) != fault.Malformed && fault.KindOf(err) != fault.Limit && fault.KindOf(err) != fault.Unsupported && fault.KindOf(err) != fault.Duplicate {
				t.Errorf("%v", err)
			}
			return
		}
		depth := 0
		var walk func(any)
		walk = func(v any) {
			if depth++; depth > 10*maxDepth {
				t.Fatal("deeper than is read")
			}
			switch v := v.(type) {
			case nil, bool, int64, string:
			case float64:
				_ = math.IsNaN(v)
			case []any:
				for _, item := range v {
					walk(item)
				}
			case *Object:
				for _, key := range v.Keys() {
					walk(v.Value(key))
				}
			default:
				if reflect.TypeOf(v).String() != "*big.Int" {
					t.Errorf("a %T", v)
				}
			}
			depth--
		}
		walk(v)
	})
}
