package hf

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestEncode: the ids that the tokenizers library gives (testdata/fixtures.py).
func TestEncode(t *testing.T) {
	b, err := os.ReadFile("testdata/encode.json")
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Bases map[string]map[string]any
		Texts []string
		Cases []struct {
			Name, Base     string
			Changes, Model map[string]any
			IDs            [][]int64
		}
	}
	if err := json.Unmarshal(b, &fixture); err != nil {
		t.Fatal(err)
	}
	if len(fixture.Cases) < 30 {
		t.Fatalf("%d cases", len(fixture.Cases))
	}
	for _, c := range fixture.Cases {
		whole := maps.Clone(fixture.Bases[c.Base])
		maps.Copy(whole, c.Changes)
		inner := maps.Clone(whole["model"].(map[string]any))
		maps.Copy(inner, c.Model)
		whole["model"] = inner
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		tokenizer, err := ReadTokenizer(ctx, nil, file(string(text)))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		for i, text := range fixture.Texts {
			got, err := tokenizer.Encode(ctx, text)
			if err != nil || !slices.Equal(got, c.IDs[i]) {
				t.Errorf("%s: %q gives %v, %v, want %v", c.Name, text, got, err, c.IDs[i])
			}
		}
	}
}

// TestEncodeRefuses: what is not known is said, and what would take forever ends.
func TestEncodeRefuses(t *testing.T) {
	split := func(regex string) string {
		text, _ := json.Marshal(regex)
		return `{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": ` + string(text) + `}, "behavior": "Isolated"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`
	}
	long := strings.Repeat("a", 300)
	for name, c := range map[string]struct {
		tokenizer, text string
		kind            fault.Kind
	}{
		"an unknown pre-tokenizer":    {`{"pre_tokenizer": {"type": "Sudachi"}, "model": {"type": "BPE", "vocab": {}, "merges": []}}`, "a", fault.Unsupported},
		"an unknown normalizer":       {`{"normalizer": {"type": "Precompiled"}, "model": {"type": "BPE", "vocab": {}, "merges": []}}`, "a", fault.Unsupported},
		"an unknown model":            {`{"model": {"type": "WordLevel", "vocab": {"a": 0}}}`, "a", fault.Unsupported},
		"no expression":               {`{"pre_tokenizer": {"type": "Split", "pattern": 7, "behavior": "Isolated"}, "model": {"type": "BPE", "vocab": {}, "merges": []}}`, "a", fault.Malformed},
		"an unknown way to split":     {`{"pre_tokenizer": {"type": "Split", "pattern": "a", "behavior": "Doubled"}, "model": {"type": "BPE", "vocab": {}, "merges": []}}`, "a", fault.Unsupported},
		"an open group":               {split("(a"), "a", fault.Unsupported},
		"a back reference":            {split(`(a)\1`), "a", fault.Unsupported},
		"ends after too many steps":   {split(`(?:a|a)*b|(?:a*)*c`), long, fault.Limit},
		"steps within steps":          {`{"normalizer": ` + strings.Repeat(`{"type": "Sequence", "normalizers": [`, 120) + strings.Repeat(`]}`, 120) + `, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "a", fault.Unknown},
		"a text that grows":           {`{"normalizer": {"type": "Sequence", "normalizers": [` + strings.Repeat(`{"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaa"},`, 20) + `{"type": "NFC"}]}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "a", fault.Limit},
		"more steps than there are":   {`{"normalizer": {"type": "Sequence", "normalizers": [` + strings.Repeat(`{"type": "Lowercase"},`, 200) + `{"type": "NFC"}]}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "a", fault.Limit},
		"a step that is no object":    {`{"normalizer": {"type": "Sequence", "normalizers": [7]}, "model": {"type": "BPE", "vocab": {}, "merges": []}}`, "a", fault.Malformed},
		"an expression without end":   {split(strings.Repeat("a?", 1<<19)), "a", fault.Limit},
		"groups within groups":        {split(strings.Repeat("(", 5000) + strings.Repeat(")", 5000)), "a", fault.Unsupported},
		"a count that is not a count": {split(`a{99999999}`), "a", fault.Unsupported},
	} {
		tokenizer, err := ReadTokenizer(ctx, nil, file(c.tokenizer))
		if err == nil {
			_, err = tokenizer.Encode(ctx, c.text)
		}
		if fault.KindOf(err) != c.kind || c.kind == fault.Unknown && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// TestByteText: each byte is a character of its own, and back.
func TestByteText(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	text := ByteText(string(all))
	if n := len([]rune(text)); n != 256 {
		t.Errorf("%d characters", n)
	}
	seen := map[rune]bool{}
	for _, r := range text {
		if seen[r] || r <= ' ' || r == 0x7f || 0x80 <= r && r <= 0xa0 || r == 0xad {
			t.Errorf("%q is there twice, or cannot be seen", r)
		}
		seen[r] = true
	}
	if back, ok := TextBytes(text); !ok || back != string(all) {
		t.Errorf("%q", back)
	}
	if ByteText("a b\n") != "aĠbĊ" {
		t.Error(ByteText("a b\n"))
	}
	if _, ok := TextBytes("日"); ok {
		t.Error("a character that is no byte")
	}
}
