package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// rule is a way of cutting text into the pieces within which tokens lie, as the tokenizers library describes it, and
// the names that llama.cpp has for it. One rule has several names where vocabularies are treated differently otherwise.
type rule struct {
	pre   string // a pre_tokenizer of tokenizer.json
	names []name
}

// name is one of a rule's names, and the tokenizers that it is the name of.
type name struct {
	name string
	of   func(t *hf.Tokenizer, kind string) bool // kind is the model_type of the model; nil: of all
}

// wholeWords: a piece that is a token is one, whatever the merges say.
func wholeWords(t *hf.Tokenizer, _ string) bool {
	return hf.True(t.Rest.Object("model").Value("ignore_merges"))
}

// model makes a name one of the tokenizers of certain kinds of models.
func models(kinds ...string) func(*hf.Tokenizer, string) bool {
	return func(_ *hf.Tokenizer, kind string) bool { return slices.Contains(kinds, kind) }
}

const contractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`

// split is a pre_tokenizer that splits at one expression after another, and then writes bytes as characters.
func split(expressions ...string) string {
	var steps []string
	for _, e := range expressions {
		steps = append(steps, fmt.Sprintf(`{"type": "Split", "pattern": {"Regex": %s}, "behavior": "Isolated", "invert": false}`, quote(e)))
	}
	return sequence(append(steps, `{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}`)...)
}

// sequence is a pre_tokenizer of several steps.
func sequence(steps ...string) string {
	return `{"type": "Sequence", "pretokenizers": [` + strings.Join(steps, ", ") + `]}`
}

// quote is a text of JSON.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

const (
	gpt2Bytes = `{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}`
	digit     = `{"type": "Digits", "individual_digits": true}`

	lettered = `[^\r\n\p{L}\p{N}]?\p{L}+|`
	spaces   = `|\s*[\r\n]+|\s+(?!\S)|\s+`
	signs    = `| ?[^\s\p{L}\p{N}]+[\r\n]*`
	upper    = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
	lowerSet = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	asia     = `[一-龥぀-ゟ゠-ヿ]+`
	deepseek = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*" + spaces
)

// rules are those that are known. Of the names of a rule the first fitting one counts.
var rules = []rule{
	{split(contractions + `|` + lettered + `\p{N}{1,3}` + signs + spaces), []name{
		{"glm4", func(t *hf.Tokenizer, kind string) bool { return wholeWords(t, kind) && strings.HasPrefix(kind, "glm") }},
		{"llama-bpe", wholeWords}, {"chatglm-bpe", models("chatglm", "glm")}, {"dbrx", nil},
	}},
	{split(contractions + `|` + lettered + `\p{N}` + signs + spaces), []name{{"stablelm2", models("stablelm")}, {"qwen2", nil}}},
	{split(contractions + `|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + spaces), []name{{"qwen35", nil}}},
	{
		split(`[^\r\n\p{L}\p{N}]?` + upper + `*` + lowerSet + `+` + contractions + `?|[^\r\n\p{L}\p{N}]?` + upper + `+` + lowerSet + `*` + contractions + `?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*` + spaces),
		[]name{{"llama4", models("llama4", "llama4_text")}, {"gpt-4o", nil}},
	},
	{
		split(`[^\r\n\p{L}\p{N}]?` + upper + `*` + lowerSet + `+|[^\r\n\p{L}\p{N}]?` + upper + `+` + lowerSet + `*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*` + spaces),
		[]name{{"tekken", nil}},
	},
	{split(`\p{N}{1,3}`, asia, deepseek), []name{{"deepseek-v3", nil}}},
	{
		sequence(`{"type": "Split", "pattern": {"Regex": "[\r\n]"}, "behavior": "Isolated", "invert": false}`,
			`{"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated", "invert": false}`,
			`{"type": "Split", "pattern": {"Regex": "\\s?\\p{P}+"}, "behavior": "Isolated", "invert": false}`,
			`{"type": "Split", "pattern": {"Regex": "[一-龥ࠀ-一가-퟿]+"}, "behavior": "Isolated", "invert": false}`,
			digit, `{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}`),
		[]name{{"deepseek-coder", nil}},
	},
	{sequence(digit, gpt2Bytes), []name{
		{"command-r", models("cohere")}, {"starcoder", models("starcoder2", "gpt_bigcode")}, {"refact", models("granite", "granitemoe")},
		{"exaone", models("exaone")}, {"smollm", models("llama", "smollm3")}, {"starcoder", nil},
	}},
	{gpt2Bytes, []name{{"roberta-bpe", models("roberta", "xlm-roberta")}, {"olmo", models("olmo", "gpt_neox")}, {"phi-2", models("phi")}, {"gpt-2", nil}}},
	{
		sequence(`{"type": "Punctuation", "behavior": "Contiguous"}`, gpt2Bytes, `{"type": "Digits", "individual_digits": false}`,
			`{"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": false}`),
		[]name{{"falcon", nil}},
	},
	{split(` ?[^(\s|.,!?…。，、।۔،)]+`), []name{{"bloom", models("bloom")}, {"poro-chat", nil}}},
	{split(`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`), []name{{"bailingmoe", nil}}},
	{split(contractions + `|` + lettered + `\p{N}{1}| ?[^\s\p{L}\p{N}` + "\r\n" + `]+` + spaces), []name{{"seed-coder", nil}}},
}

// trials are texts that rules cut differently: contractions of either case, digits in runs, signs before letters and
// line breaks, marks that combine, letters without case, white space of every kind.
var trials = []string{
	probe,
	"Hello world! It's HE'LL o'clock, we'Re I'm they'd 'tis 'S\tx\t\ty  z   \n\n a\r\n b \r c",
	"1 12 123 1234 12345 1234567890 ١٢٣٤ ½ Ⅷ 3.14 1,000 v2 x86 a1b2 é1",
	"foo/bar//baz\n/qux // comment\n/* x */ ./a/b.c http://x.y/z?q=1#f {\"k\": [1, 2]} $a_b-c+d=e<f>g^h~i|j`k\\l @m",
	"CamelCase HTTPServer iPhone ÉTÉ été Ünïcödé ΑΒΓαβγ Привет ПРИВЕТ 你好世界 こんにちは カタカナ 한국어 हिन्दी ไทย العربية ﬀ ǅ",
	"...!?… ?! -- --- ‘x’ “y” «z» 。，、！？ (a) [b] {c} !a ?b .c ,d  .e  (f",
	" \u00a0 \u2003x \u3000y\u200bz a\u0301e\u0308 x\u0301\u0302 \u0301a",
}

// preTokenizer is llama.cpp's name for how a tokenizer cuts text: that of the published one that gives the probe the
// same ids, or of a rule that cuts as it does.
func (c *converter) preTokenizer(t *hf.Tokenizer) (string, error) {
	ids, err := t.Encode(c.ctx, probe)
	if err == nil {
		text := make([]string, len(ids))
		for i, id := range ids {
			text[i] = fmt.Sprint(id)
		}
		sum := sha256.Sum256([]byte("[" + strings.Join(text, ", ") + "]"))
		if name, ok := published[hex.EncodeToString(sum[:])]; ok {
			return name, nil
		}
	} else if kind := fault.KindOf(err); kind != fault.Unsupported && kind != fault.Limit {
		return "", err
	}
	kind := c.config.Values.Text("model_type")
	if t.Kind == "WordPiece" {
		return "bert-bge", nil // llama.cpp cuts all of these alike
	}
	own, err := cuts(t.Pieces)
	for i := range rules {
		if err != nil {
			break
		}
		r := &rules[i]
		if theirs, rerr := r.cuts(c); rerr != nil {
			return "", rerr
		} else if own != theirs {
			continue
		}
		for _, n := range r.names {
			if n.of == nil || n.of(t, kind) {
				return n.name, nil
			}
		}
	}
	why := "its pre-tokenizer cuts text like none that llama.cpp has"
	if err != nil {
		why = fault.Reason(err)
	}
	return "", fault.New(fault.Unsupported, "the tokenizer is not one that llama.cpp knows: %s", why)
}

// cuts is where the trials are cut.
func cuts(pieces func(text string) ([]string, error)) (string, error) {
	var b strings.Builder
	for _, text := range trials {
		list, err := pieces(text)
		if err != nil {
			return "", err
		}
		for _, p := range list {
			b.WriteString(p)
			b.WriteByte(0)
		}
		b.WriteByte(1)
	}
	return b.String(), nil
}

// cuts is where a rule cuts the trials.
func (r *rule) cuts(c *converter) (string, error) {
	v, err := hf.Parse(c.ctx, layout.Bytes([]byte(`{"pre_tokenizer": `+r.pre+`}`)))
	if err != nil {
		return "", err
	}
	o, _ := v.(*hf.Object)
	t := &hf.Tokenizer{Rest: o}
	return cuts(t.Pieces)
}
