package hf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestTokenizer: what is kept of a tokenizer.json, of any age.
func TestTokenizer(t *testing.T) {
	for name, text := range map[string]string{
		"pairs": `{"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": true, "lstrip": true}, {"id": 1, "content": "b"}], "model": {"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"], ["ab", "a"]]}}`,
		"texts": `{"model": {"merges": ["a b", "ab a"], "vocab": {"a": 0, "b": 1, "ab": 2}, "ignore_merges": true, "type": "BPE"}, "added_tokens": [{"content": "<s>", "id": 3, "special": true, "lstrip": true}, {"id": 1, "content": "b"}]}`,
		"old":   `{"model": {"merges": ["a b", "ab a"], "vocab": {"a": 0, "b": 1, "ab": 2}, "ignore_merges": true}, "added_tokens": [{"content": "<s>", "id": 3, "special": true, "lstrip": true}, {"id": 1, "content": "b"}]}`,
	} {
		tok, err := ReadTokenizer(ctx, nil, file(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if tok.Kind != "BPE" || tok.Merges != 2 || tok.Vocabulary.Len() != 3 || string(tok.Vocabulary.Token(2)) != "ab" || !True(tok.Rest.Object("model").Value("ignore_merges")) {
			t.Errorf("%s: %+v", name, tok)
		}
		want := []Added{{ID: 3, Content: "<s>", Special: true, LStrip: true}, {ID: 1, Content: "b", Normalized: true}}
		if !slices.Equal(tok.Added, want) {
			t.Errorf("%s: %+v", name, tok.Added)
		}
		for range 2 {
			var merges []string
			if err := tok.EachMerge(ctx, nil, func(l, r []byte) error { merges = append(merges, string(l)+"+"+string(r)); return nil }); err != nil || !slices.Equal(merges, []string{"a+b", "ab+a"}) {
				t.Errorf("%s: %v, %v", name, merges, err)
			}
		}
	}
	tok, err := ReadTokenizer(ctx, nil, file(`{"model": {"vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2]], "unk_id": 0}}`))
	if err != nil || tok.Kind != "Unigram" || !slices.Equal(tok.Vocabulary.Scores, []float32{0, -1.5, -2}) || tok.Vocabulary.ID(2) != 2 {
		t.Errorf("%+v, %v", tok, err)
	}
	tok, err = ReadTokenizer(ctx, nil, file(`{"model": {"vocab": {"[UNK]": 0}, "max_input_chars_per_word": 100}}`))
	if err != nil || tok.Kind != "WordPiece" {
		t.Errorf("%+v, %v", tok, err)
	}
}

func TestTokenizerRefuses(t *testing.T) {
	model := func(inner string) string { return `{"model": {"type": "BPE", ` + inner + `}}` }
	for name, c := range map[string]struct {
		text string
		kind fault.Kind
	}{
		"no JSON":                       {`{`, fault.Malformed},
		"a list":                        {`[]`, fault.Malformed},
		"two tokens of one id":          {model(`"vocab": {"a": 1, "b": 1}, "merges": []`), fault.Duplicate},
		"a token twice":                 {model(`"vocab": {"a": 1, "a": 2}, "merges": []`), fault.Duplicate},
		"an id below zero":              {model(`"vocab": {"a": -1}, "merges": []`), fault.Malformed},
		"an id that is half":            {model(`"vocab": {"a": 1.5}, "merges": []`), fault.Malformed},
		"an id out of reach":            {model(`"vocab": {"a": 999999999}, "merges": []`), fault.Limit},
		"an id of many digits":          {model(`"vocab": {"a": 99999999999999999999}, "merges": []`), fault.Malformed},
		"two vocabularies":              {model(`"vocab": {"a": 0}, "vocab": {"b": 0}`), fault.Duplicate},
		"two models":                    {`{"model": {}, "model": {}}`, fault.Duplicate},
		"a merge of one":                {model(`"vocab": {"a": 0}, "merges": ["a"]`), fault.Malformed},
		"a merge of three":              {model(`"vocab": {"a": 0}, "merges": ["a b c"]`), fault.Malformed},
		"a merge of one in a list":      {model(`"vocab": {"a": 0}, "merges": [["a"]]`), fault.Malformed},
		"a merge of three in a list":    {model(`"vocab": {"a": 0}, "merges": [["a", "b", "c"]]`), fault.Malformed},
		"a merge of numbers":            {model(`"vocab": {"a": 0}, "merges": [[1, 2]]`), fault.Malformed},
		"scores of another model":       {model(`"vocab": [["a", 0]]`), fault.Mismatch},
		"a score that is a text":        {`{"model": {"type": "Unigram", "vocab": [["a", "b"]]}}`, fault.Malformed},
		"a piece without a score":       {`{"model": {"type": "Unigram", "vocab": [["a"]]}}`, fault.Malformed},
		"a piece of three":              {`{"model": {"type": "Unigram", "vocab": [["a", 1, 2]]}}`, fault.Malformed},
		"a token added without a text":  {`{"added_tokens": [{"id": 1}], "model": {"type": "BPE", "vocab": {}}}`, fault.Malformed},
		"a token added without a place": {`{"added_tokens": [{"content": "a"}], "model": {"type": "BPE", "vocab": {}}}`, fault.Malformed},
		"a token added far away":        {`{"added_tokens": [{"content": "a", "id": 99999999}], "model": {"type": "BPE", "vocab": {}}}`, fault.Malformed},
		"a token added after a gap":     {`{"added_tokens": [{"content": "b", "id": 2}], "model": {"type": "BPE", "vocab": {"a": 0}}}`, fault.Mismatch},
		"a token added over another":    {`{"added_tokens": [{"content": "b", "id": 0}], "model": {"type": "BPE", "vocab": {"a": 0}}}`, fault.Mismatch},
		"a known token with another id": {`{"added_tokens": [{"content": "a", "id": 1}], "model": {"type": "BPE", "vocab": {"a": 0}}}`, fault.Mismatch},
		"an added token twice":          {`{"added_tokens": [{"content": "b", "id": 1}, {"content": "b", "id": 2}], "model": {"type": "BPE", "vocab": {"a": 0}}}`, fault.Mismatch},
		"too many added":                {`{"added_tokens": [` + strings.Repeat("1,", maxAdded) + `1], "model": {}}`, fault.Limit},
	} {
		if _, err := ReadTokenizer(ctx, nil, file(c.text)); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

func TestVocabulary(t *testing.T) {
	v := newVocabulary()
	for i, token := range []string{"b", "", "aé", "日"} {
		if err := v.add(int64(5000*i+1), []byte(token)); err != nil {
			t.Fatal(err)
		}
	}
	v.done()
	wanted := map[string]int64{"日": -1, "": -1, "x": -1, "a": -1}
	v.Find(wanted)
	if fmt.Sprint(wanted) != fmt.Sprint(map[string]int64{"日": 15001, "": 5001, "x": -1, "a": -1}) {
		t.Error(wanted)
	}
	if v.Bound() != 15002 || v.Index(15001) != 3 || v.Index(5001) != 1 || v.Index(0) != -1 || v.Index(-1) != -1 || v.Index(1<<40) != -1 || newVocabulary().Bound() != 0 {
		t.Errorf("bound %d, index %d", v.Bound(), v.Index(15001))
	}
}

func TestAddedTokens(t *testing.T) {
	v, err := Parse(ctx, file(`{"10": {"content": "x", "special": true}, "9": {"content": "y", "normalized": false}}`))
	if err != nil {
		t.Fatal(err)
	}
	list, err := AddedTokens(v.(*Object))
	if err != nil || !slices.Equal(list, []Added{{ID: 9, Content: "y"}, {ID: 10, Content: "x", Special: true}}) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, text := range []string{`{"x": {"content": "x"}}`, `{"-1": {"content": "x"}}`, `{"1": {}}`, `{"1": 7}`} {
		v, _ := Parse(ctx, file(text))
		if _, err := AddedTokens(v.(*Object)); fault.KindOf(err) != fault.Malformed {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzTokenizer: any text ends; what is taken is read again alike, and encodes or says why not.
func FuzzTokenizer(f *testing.F) {
	f.Add(`{"added_tokens": [{"id": 2, "content": "<s>"}], "pre_tokenizer": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}`, "ab <s>")
	f.Add(`{"normalizer": {"type": "BertNormalizer"}, "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "##b": 2}, "unk_token": "[UNK]"}}`, "ab")
	f.Add(`{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?i:'s)|\\p{L}+(?!\\S)|[^a-z&&\\w]"}, "behavior": "Removed"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "a's B")
	f.Fuzz(func(t *testing.T, text, words string) {
		if len(words) > 200 {
			return
		}
		tok, err := ReadTokenizer(ctx, nil, file(text))
		if err != nil {
			return
		}
		n := int64(0)
		if err := tok.EachMerge(ctx, nil, func(_, _ []byte) error { n++; return nil }); err != nil || n != tok.Merges {
			t.Fatalf("%d merges, %v, first there were %d", n, err, tok.Merges)
		}
		ids, err := tok.Encode(ctx, words)
		if err != nil {
			return
		}
		again, err := tok.Encode(ctx, words)
		if err != nil || !slices.Equal(ids, again) {
			t.Fatalf("%v, then %v, %v", ids, again, err)
		}
	})
}
