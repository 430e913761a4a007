package tree

import (
	"fmt"
	"strings"
	"testing"
)

// outline writes a value so that tests can read it.
func outline(v value) string {
	switch {
	case v.keys != nil:
		var parts []string
		for _, key := range v.keys {
			parts = append(parts, key+":"+outline(v.at[key]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case v.list != nil:
		var parts []string
		for _, x := range v.list {
			parts = append(parts, outline(x))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return v.text
}

func TestFrontMatter(t *testing.T) {
	for _, c := range []struct{ name, text, want, body string }{
		{"none", "# card\n", "", "# card\n"},
		{"not closed", "---\na: b\n", "", "---\na: b\n"},
		{"scalars", "---\na: b\nc: 'd: e' \nf: \"g\"\nh: 1.5 # comment\nn: null\nu: http://x/y#z\n---\nbody", "{a:b c:d: e f:g h:1.5 n: u:http://x/y#z}", "\nbody"},
		{"lists", "---\na:\n- b\n- \"c\"\nd:\n  - e\n  - f\ng: [h, 'i', j]\nk: []\n---\n", "{a:[b c] d:[e f] g:[h i j] k:}", "\n"},
		{"mappings", "---\na:\n  b: c\n  d:\n    e: f\ng: h\n---\n", "{a:{b:c d:{e:f}} g:h}", "\n"},
		{"lists of mappings", "---\na:\n- b: c\n  d:\n  - e: f\n    g: h\n  - i: j\n- k: l\nm: n\n---\n", "{a:[{b:c d:[{e:f g:h} {i:j}]} {k:l}] m:n}", "\n"},
		{"dash alone", "---\na:\n-\n  b: c\n- d\n---\n", "{a:[{b:c} d]}", "\n"},
		{"text block", "---\na: |\n  b: c\n  - d\ne: f\n---\n", "{a: e:f}", "\n"},
		{"comments and blank lines", "---\n# x\n\na: b\n  # y\nc: d\n---\n", "{a:b c:d}", "\n"},
		{"windows", "\ufeff---\r\na: b\r\nc:\r\n- d\r\n---\r\nx", "{a:b c:[d]}", "\nx"},
		{"twice", "---\na: b\na: c\n---\n", "{a:b}", "\n"},
	} {
		got, body := frontMatter(c.text)
		if outline(got) != c.want || body != c.body {
			t.Errorf("%s: %s and %q, want %s and %q", c.name, outline(got), body, c.want, c.body)
		}
	}
	deep := "---\n"
	for i := range 200 {
		deep += fmt.Sprintf("%sa:\n", strings.Repeat(" ", i))
	}
	frontMatter(deep + "---\n")
}

// FuzzFrontMatter: whatever a card holds, reading it ends, and a mapping of plain words that stands before it is read
// all the same.
func FuzzFrontMatter(f *testing.F) {
	f.Add("a: b\n- c\n", "x")
	f.Add("a:\n  - b: c\n    d: [e, f]\n  -\n", "y")
	f.Add("a: |\n  x\n b: >\n", "")
	f.Fuzz(func(t *testing.T, junk, word string) {
		if strings.Contains(junk, "\n---") || strings.ContainsFunc(word, func(r rune) bool { return r < 'a' || r > 'z' }) || word == "" || word == "null" {
			return
		}
		v, _ := frontMatter("---\nfirst: " + word + "\nzzz:\n  second: " + word + "\n" + "end: x\n" + junk + "\n---\n")
		if got := v.get("first").text; got != word {
			t.Errorf("first: %q, want %q", got, word)
		}
		if got := v.get("zzz", "second").text; got != word {
			t.Errorf("second: %q, want %q", got, word)
		}
	})
}
