package hf

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

func TestParse(t *testing.T) {
	large, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	for text, want := range map[string]any{
		`null`: nil, ` true `: true, "\r\n\tfalse": false, `0`: int64(0), `-0`: int64(0), `12`: int64(12), `9223372036854775807`: int64(math.MaxInt64), `-9223372036854775808`: int64(math.MinInt64),
		`-123456789012345678901234567890`: large, `1.0`: 1.0, `1e3`: 1000.0, `-2.5E-1`: -0.25, `1e999`: math.Inf(1), `Infinity`: math.Inf(1), `-Infinity`: math.Inf(-1), `0.1`: 0.1, `5e-324`: 5e-324,
		`"a\"\\\/\b\f\n\r\tü\u00e9\ud83d\ude00é"`: "a\"\\/\b\f\n\r\tüé😀é", `""`: "", `[]`: []any{}, `[1, [2, "x"], null]`: []any{int64(1), []any{int64(2), "x"}, nil},
	} {
		got, err := Parse(ctx, file(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v, want %#v", text, got, err, want)
		}
	}
	if v, err := Parse(ctx, file("NaN")); err != nil || !math.IsNaN(v.(float64)) {
		t.Errorf("NaN: %v, %v", v, err)
	}
	v, err := Parse(ctx, file(`{"z": 1, "a": {"b": [true]}, "z": 2, "t": "x", "l": [1]}`))
	o, _ := v.(*Object)
	if err != nil || !slices.Equal(o.Keys(), []string{"z", "a", "t", "l"}) || o.Value("z") != int64(2) || o.Text("t") != "x" || len(o.List("l")) != 1 || !True(o.Object("a").Value("b")) {
		t.Errorf("%v, %v", o, err)
	}
	if o.Object("t") != nil || o.List("t") != nil || o.Text("l") != "" || (*Object)(nil).Value("x") != nil || len((*Object)(nil).Clone().Keys()) != 0 {
		t.Error("members of other kinds")
	}
	c := o.Clone()
	c.Set("z", nil)
	c.Default("z", 3)
	c.Default("y", 4)
	if o.Value("z") != int64(2) || c.Value("z") != nil || c.Value("y") != 4 {
		t.Errorf("%v and its copy %v", o, c)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]struct {
		kind fault.Kind
		off  int64
	}{
		``: {fault.Malformed, 0}, ` `: {fault.Malformed, 1}, `[1, 2`: {fault.Malformed, 5}, `[1,]`: {fault.Malformed, 3}, `[1 2]`: {fault.Malformed, 3}, `{"a" 1}`: {fault.Malformed, 5}, `{"a": 1,}`: {fault.Malformed, 8}, `{a: 1}`: {fault.Malformed, 1},
		`01`: {fault.Malformed, 0}, `1.`: {fault.Malformed, 0}, `.5`: {fault.Malformed, 0}, `+1`: {fault.Malformed, 0}, `1e`: {fault.Malformed, 0}, `nul`: {fault.Malformed, 0}, `nan`: {fault.Malformed, 0}, `-NaN`: {fault.Malformed, 0}, `0x10`: {fault.Malformed, 0},
		`"a`: {fault.Malformed, 2}, "\"a\nb\"": {fault.Malformed, 2}, `"\x"`: {fault.Malformed, 1}, `"\u12g4"`: {fault.Malformed, 1}, `"\u12`: {fault.Malformed, 1}, `"\ud800"`: {fault.Malformed, 7}, `"\ude00\ud83d"`: {fault.Malformed, 13}, "\"\xff\"": {fault.Malformed, 3},
		`1 2`: {fault.Malformed, 2}, "1\x00": {fault.Malformed, 1}, `{}]`: {fault.Malformed, 2},
		strings.Repeat("[", 100000): {fault.Limit, maxDepth + 1}, strings.Repeat(`{"a":`, 1000): {fault.Limit, 5*maxDepth + 1},
		strings.Repeat("1", maxNumber+1): {fault.Limit, maxNumber + 1}, "[" + strings.Repeat("1,", maxValues) + "1]": {fault.Limit, -2},
	} {
		_, err := Parse(ctx, file(text))
		e, _ := err.(*fault.Error)
		if e == nil || e.Kind != want.kind || want.off >= 0 && e.Off != want.off {
			t.Errorf("%.40q: %v, want %v at %d", text, err, want.kind, want.off)
		}
	}
}

// TestReadInPieces: a text is the same wherever the pieces end in which it is read.
func TestReadInPieces(t *testing.T) {
	const inner = `{"ké\u00e9\ud83d\ude00\n": [-12.5e+1, true, "ü"]}`
	for back := range len(inner) + 2 {
		v, err := Parse(ctx, file(strings.Repeat(" ", pieceSize-back)+inner))
		o, _ := v.(*Object)
		list := o.List("kéé😀\n")
		if err != nil || len(list) != 3 || list[0] != -125.0 || list[1] != true || list[2] != "ü" {
			t.Fatalf("%d bytes before the end of a piece: %v, %v", back, v, err)
		}
	}
}

// FuzzParse: what encoding/json takes, with the same values, and nothing that it does not, but Python's numbers.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"a": [1, 2.5, null, true, "\u00e9"], "a": 1e5}`, `[]`, `"\ud83d\ude00"`, `{"": {"": []}}`, `-0.0`, `NaN`, `[1e400]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(ctx, file(text))
		if err != nil && fault.KindOf(err) == fault.Limit {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		valid := utf8.ValidString(text) && json.Valid([]byte(text)) && d.Decode(&want) == nil
		switch {
		case err != nil && valid && !strings.Contains(text, `\u`): // half of a pair
			t.Fatalf("%q: %v", text, err)
		case err == nil && !valid && !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity"):
			t.Fatalf("%q is %v", text, got)
		case err == nil && valid && !alike(got, want):
			t.Fatalf("%q is %v, want %v", text, got, want)
		}
	})
}

func alike(got, want any) bool {
	switch want := want.(type) {
	case json.Number:
		f, _ := strconv.ParseFloat(string(want), 64)
		g, ok := Float(got)
		return ok && f == g
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, alike)
	case map[string]any:
		o, ok := got.(*Object)
		if !ok || len(o.Keys()) != len(want) {
			return false
		}
		for key, v := range want {
			if !alike(o.Value(key), v) {
				return false
			}
		}
		return true
	}
	return got == want
}
