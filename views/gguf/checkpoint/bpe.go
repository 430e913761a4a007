package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// tokenizer puts the tokenizer.
func (c *converter) tokenizer() error {
	if c.arch.tokens != nil {
		return c.arch.tokens(c)
	}
	return c.bpe()
}

// tokenizerJSON is the folder's tokenizer.json, nil where there is none. It is read once.
func (c *converter) tokenizerJSON() (*hf.Tokenizer, error) {
	if !c.asked {
		t, err := c.folder.Tokenizer(c.ctx)
		if err != nil {
			return nil, err
		}
		c.json, c.asked = t, true
	}
	return c.json, nil
}

// needTokenizerJSON is tokenizerJSON of a folder that must have one.
func needTokenizerJSON(ctx context.Context, f *hf.Folder) (*hf.Tokenizer, error) {
	t, err := f.Tokenizer(ctx)
	if err == nil && t == nil {
		err = fault.New(fault.Missing, "there is no tokenizer.json beside the model").
			Remedied("put the repository's tokenizer files beside the weights; save_pretrained of the tokenizer writes a tokenizer.json")
	}
	return t, err
}

// vocabularySize is the number of tokens that config.json says, 0 where it does not.
func (c *converter) vocabularySize() (int64, error) {
	if c.h.Value("vocab_size") == nil {
		return 0, nil
	}
	n, err := c.whole("vocab_size")
	if err == nil && (n < 1 || n > maxVocabulary) {
		err = fault.New(fault.Limit, "config.json says that there are %d tokens, and at most %d are taken", n, maxVocabulary)
	}
	return n, err
}

// bpe puts a tokenizer that merges pairs of a byte-level vocabulary.
func (c *converter) bpe() error {
	l, err := c.words("BPE", false)
	if err != nil {
		return err
	}
	c.put(gguf.Key("tokenizer.ggml.model", "gpt2"))
	if l.merged == 0 {
		return fault.New(fault.Unsupported, "the tokenizer merges nothing, and llama.cpp needs merges")
	}
	s, err := c.special(0)
	if err != nil {
		return err
	}
	s.put(c)
	return nil
}

// words puts the tokens of a tokenizer.json, its merges where it has some, and the name of its pre-tokenizer. phantom
// marks the beginnings of words instead of what goes on with one, as llama.cpp wants those of WordPiece.
func (c *converter) words(kind string, phantom bool) (*lexicon, error) {
	size, err := c.vocabularySize()
	if err != nil {
		return nil, err
	}
	class, err := c.tokenizerClass()
	if err != nil {
		return nil, err
	}
	t, err := c.tokenizerJSON()
	if err == nil && t == nil {
		t, err = needTokenizerJSON(c.ctx, c.folder)
	}
	if err != nil {
		return nil, err
	}
	if t.Kind != kind {
		return nil, fault.New(fault.Unsupported, "the tokenizer's model is of type %q, and llama.cpp has a %s's tokens for this architecture", t.Kind, kind)
	}
	pre, err := c.preTokenizer(t)
	if err != nil {
		return nil, err
	}
	c.put(gguf.Key("tokenizer.ggml.pre", pre))
	return c.list(fmt.Sprintf("of a %s, %d, %s, phantom %t", kind, size, class, phantom), func(ctx context.Context, f *hf.Folder) (*lexicon, error) {
		t, err := needTokenizerJSON(ctx, f)
		if err != nil {
			return nil, err
		}
		added, err := addedTokens(ctx, f, t, class)
		if err != nil {
			return nil, err
		}
		bound := t.Vocabulary.Bound()
		for id := range added {
			bound = max(bound, id+1)
		}
		size := size
		if size == 0 {
			size = bound
		}
		if bound > size {
			return nil, fault.New(fault.Mismatch, "the tokenizer has a token %d, and config.json says that there are %d tokens (vocab_size)", bound-1, size)
		}
		l := &lexicon{}
		for id := range size {
			text, sort := pad(id), int32(unused)
			if a, ok := added[id]; ok {
				text, sort = a.Content, userDefined
				if !a.Normalized {
					text = decoded(t, text)
				}
				if a.Special || looksSpecial(text) {
					sort = control
				} else {
					text = strings.ReplaceAll(text, "▁", " ")
				}
			} else if i := t.Vocabulary.Index(id); i >= 0 {
				text, sort = string(t.Vocabulary.Token(i)), normal
			}
			if phantom && sort != control {
				if rest, ok := strings.CutPrefix(text, "##"); ok {
					text = rest
				} else {
					text = "▁" + text
				}
			}
			l.add(text, sort)
		}
		if phantom {
			return l, nil
		}
		var pair []byte
		err = t.EachMerge(ctx, nil, func(left, right []byte) error {
			pair = append(pair[:0], strings.ReplaceAll(string(left), " ", "Ġ")...)
			pair = append(pair, ' ')
			pair = append(pair, strings.ReplaceAll(string(right), " ", "Ġ")...)
			l.merges = gguf.AppendValue(l.merges, string(pair))
			l.merged++
			return nil
		})
		return l, err
	})
}

// looksSpecial reports whether a token is one that steers the model, whatever the tokenizer says of it.
func looksSpecial(token string) bool {
	switch token {
	case "<pad>", "<mask>", "<2mass>", "[@BOS@]":
		return true
	}
	for _, ends := range [][2]string{{"<|", "|>"}, {"<｜", "｜>"}, {"<unused", ">"}} {
		if strings.HasPrefix(token, ends[0]) && strings.HasSuffix(token, ends[1]) {
			return true
		}
	}
	return false
}

// decoded is the text that the tokenizer's decoder makes of a token.
func decoded(t *hf.Tokenizer, token string) string {
	steps := []any{t.Rest.Value("decoder")}
	for i := 0; i < len(steps) && i < 64; i++ {
		o, _ := steps[i].(*hf.Object)
		switch o.Text("type") {
		case "Sequence":
			steps = append(steps, o.List("decoders")...)
		case "ByteLevel":
			if text, ok := hf.TextBytes(token); ok {
				token = strings.ToValidUTF8(text, "\ufffd")
			}
		case "Replace":
			if from := o.Object("pattern").Text("String"); from != "" {
				token = strings.ReplaceAll(token, from, o.Text("content"))
			}
		case "Metaspace":
			mark := o.Text("replacement")
			if rest, ok := strings.CutPrefix(token, mark); ok && mark != "" {
				token = rest
			}
			if mark != "" {
				token = strings.ReplaceAll(token, mark, " ")
			}
		}
	}
	return token
}

// addedTokens are the tokens that the tokenizer finds before others, by their ids: those of its file, those that its
// configuration adds, and the special ones that it names, which get new ids where the vocabulary has them not.
func addedTokens(ctx context.Context, f *hf.Folder, t *hf.Tokenizer, class string) (map[int64]hf.Added, error) {
	config, err := f.Object(ctx, tokenizerConfig)
	if err != nil {
		return nil, err
	}
	byID := map[int64]hf.Added{}
	byText := map[string]int64{}
	put := func(a hf.Added) {
		byID[a.ID] = a
		byText[a.Content] = a.ID
	}
	for _, a := range t.Added {
		put(a)
	}
	var further []hf.Added // without an id of their own
	decoder, listed := config.Get("added_tokens_decoder")
	if o, _ := decoder.(*hf.Object); o != nil {
		list, err := hf.AddedTokens(o)
		if err != nil {
			return nil, fault.In(tokenizerConfig, err)
		}
		for _, a := range list {
			if id, ok := byText[a.Content]; ok {
				a.ID, a.Special = id, a.Special || byID[id].Special
				put(a)
			} else {
				further = append(further, a)
			}
		}
	}
	names := config
	if !listed { // the file of old times
		old, err := f.Object(ctx, "special_tokens_map.json")
		if err != nil {
			return nil, err
		}
		if old != nil {
			names = names.Clone()
			for _, key := range old.Keys() {
				names.Set(key, old.Value(key))
			}
		}
	}
	rebuilt := classes[class] != nil // such a class makes its own tokenizer of vocabulary and merges
	for _, name := range specialNames(names, class) {
		id, ok := byText[name]
		switch {
		case ok && rebuilt:
			a := byID[id]
			a.Special = true
			put(a)
		case !ok && !slices.ContainsFunc(further, func(a hf.Added) bool { return a.Content == name }):
			further = append(further, hf.Added{Content: name, Special: true})
		}
	}
	known := map[string]int64{}
	for _, a := range further {
		known[a.Content] = -1
	}
	if len(known) > 0 {
		t.Vocabulary.Find(known)
	}
	for _, a := range further {
		if _, twice := byText[a.Content]; twice {
			continue
		}
		if a.ID = known[a.Content]; a.ID < 0 {
			a.ID = int64(t.Vocabulary.Len())
			if len(byID) > 0 {
				if top := slices.Max(slices.Collect(maps.Keys(byID))); top >= a.ID {
					a.ID = top + 1
				}
			}
		}
		put(a)
	}
	return byID, nil
}

// specialKinds are the kinds of special tokens that every tokenizer may name, in the order they are added.
var specialKinds = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// maxNamed bounds how many special tokens a configuration names.
const maxNamed = 1 << 14

// specialNames are the special tokens that a tokenizer's configuration names, or that its class has where it does not.
func specialNames(config *hf.Object, class string) []string {
	var list []string
	take := func(v any) {
		if o, ok := v.(*hf.Object); ok {
			v = o.Value("content")
		}
		if s, ok := v.(string); ok && s != "" && len(list) < maxNamed {
			list = append(list, s)
		}
	}
	for _, kind := range specialKinds {
		v, ok := config.Get(kind)
		if !ok {
			v = classes[class][kind]
		}
		take(v)
	}
	for _, key := range config.Keys() {
		if strings.HasSuffix(key, "_token") && !slices.Contains(specialKinds, key) {
			if _, ok := config.Value(key).(bool); !ok {
				take(config.Value(key))
			}
		}
	}
	for _, key := range []string{"additional_special_tokens", "extra_special_tokens"} {
		switch v := config.Value(key).(type) {
		case []any:
			for _, x := range v {
				take(x)
			}
		case *hf.Object:
			for _, name := range v.Keys() {
				take(v.Value(name))
			}
		}
	}
	return list
}
