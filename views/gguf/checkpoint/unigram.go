package checkpoint

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// unigramPieces is the file with XLM-RoBERTa's model of SentencePiece.
const unigramPieces = "sentencepiece.bpe.model"

// unigram puts a tokenizer that weighs pieces, as XLM-RoBERTa has it.
func (c *converter) unigram() error {
	size, err := c.vocabularySize()
	if err != nil {
		return err
	}
	var charsmap []byte
	prefix, squeeze := false, false
	var l *lexicon
	if c.folder.Has(unigramPieces) {
		m, err := c.folder.SentencePiece(c.ctx, unigramPieces)
		if err != nil {
			return err
		}
		if !m.Unigram {
			return fault.New(fault.Unsupported, "%s is not of type unigram", unigramPieces)
		}
		charsmap, prefix, squeeze = m.Charsmap, m.AddPrefix, m.RemoveExtraSpace
		l, err = c.list(fmt.Sprintf("of unigrams, %d", size), func(ctx context.Context, f *hf.Folder) (*lexicon, error) {
			return unigramTokens(ctx, f, size)
		})
		if err != nil {
			return err
		}
	} else {
		class, err := c.tokenizerClass()
		if err != nil {
			return err
		}
		t, err := c.tokenizerJSON()
		if err == nil && t == nil {
			t, err = needTokenizerJSON(c.ctx, c.folder)
		}
		if err != nil {
			return err
		}
		if t.Kind != "Unigram" {
			return fault.New(fault.Unsupported, "the tokenizer's model is of type %q, and llama.cpp has a Unigram's tokens for this architecture", t.Kind)
		}
		config, err := c.folder.Object(c.ctx, tokenizerConfig)
		if err != nil {
			return err
		}
		prefix = class == "XLMRobertaTokenizer"
		if v, ok := config.Get("add_prefix_space"); ok {
			prefix = hf.True(v)
		}
		squeeze = hf.True(config.Value("clean_up_tokenization_spaces"))
		if charsmap, err = base64.StdEncoding.DecodeString(t.Rest.Object("normalizer").Text("precompiled_charsmap")); err != nil {
			return fault.New(fault.Malformed, "the tokenizer's precompiled_charsmap is not base64: %w", err)
		}
		l, err = c.list(fmt.Sprintf("of unigrams in JSON, %d, %s", size, class), func(ctx context.Context, f *hf.Folder) (*lexicon, error) {
			return unigramJSON(ctx, f, size, class)
		})
		if err != nil {
			return err
		}
	}
	c.put(gguf.Key("tokenizer.ggml.model", "t5"))
	c.put(gguf.Key("tokenizer.ggml.pre", "default"))
	c.put(gguf.Key("tokenizer.ggml.add_space_prefix", prefix))
	c.put(gguf.Key("tokenizer.ggml.remove_extra_whitespaces", squeeze))
	if err := c.typeCount(); err != nil {
		return err
	}
	if len(charsmap) > 0 {
		c.put(gguf.LargeList("tokenizer.ggml.precompiled_charsmap", gguf.Uint8, int64(len(charsmap)), layout.Bytes(charsmap)))
	}
	s, err := c.special(l.count)
	if err != nil {
		return err
	}
	s.put(c)
	return nil
}

// unigramTokens are those of a model of SentencePiece, after the four that XLM-RoBERTa puts before them instead of its
// own three.
func unigramTokens(ctx context.Context, f *hf.Folder, size int64) (*lexicon, error) {
	m, err := f.SentencePiece(ctx, unigramPieces)
	if err != nil {
		return nil, err
	}
	v := m.Vocabulary
	size = max(size, int64(v.Len()))
	l := &lexicon{}
	for i, token := range []string{"<s>", "<pad>", "</s>", "<unk>"} {
		kind := int32(control)
		if i == 3 {
			kind = unknown
		}
		l.scored(token, kind, 0)
	}
	for id := int64(3); id < size-1; id++ {
		if id < int64(v.Len()) {
			l.scored(string(v.Token(int(id))), kindOf(v.Kinds[id]), v.Scores[id])
		} else {
			l.scored(pad(id), unused, -10000)
		}
	}
	return l, nil
}

// unigramJSON are those of a tokenizer.json.
func unigramJSON(ctx context.Context, f *hf.Folder, size int64, class string) (*lexicon, error) {
	t, err := needTokenizerJSON(ctx, f)
	if err != nil {
		return nil, err
	}
	added, err := addedTokens(ctx, f, t, class)
	if err != nil {
		return nil, err
	}
	config, err := f.Object(ctx, tokenizerConfig)
	if err != nil {
		return nil, err
	}
	special := map[string]bool{}
	for _, name := range specialNames(config, class) {
		special[name] = true
	}
	unk, ok := hf.Int(t.Rest.Object("model").Value("unk_id"))
	if !ok {
		unk = 3
	}
	for id, a := range added {
		if a.Content == config.Text("unk_token") {
			unk = id
		}
	}
	v := t.Vocabulary
	size = max(size, int64(v.Len()))
	l := &lexicon{}
	for id := range size {
		if id >= int64(v.Len()) {
			l.scored(pad(id), unused, -10000)
			continue
		}
		text, kind := string(v.Token(int(id))), int32(normal)
		_, isAdded := added[id]
		switch {
		case id == unk:
			kind = unknown
		case special[text]:
			kind = control
		case isAdded:
			kind = userDefined
		}
		l.scored(text, kind, v.Scores[id])
	}
	return l, nil
}
