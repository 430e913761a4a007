package checkpoint

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// pieces is the file with a model of SentencePiece.
const pieces = "tokenizer.model"

// sentencePiece puts the tokenizer of tokenizer.model; false where there is none. plain leaves the words of added
// tokens as they stand, and looks for them in tokenizer.json too.
func (c *converter) sentencePiece(plain bool) (bool, error) {
	if !c.folder.Has(pieces) {
		return false, nil
	}
	size, err := c.vocabularySize()
	if err != nil {
		return false, err
	}
	c.put(gguf.Key("tokenizer.ggml.model", "llama"))
	c.put(gguf.Key("tokenizer.ggml.pre", "default"))
	l, err := c.list(fmt.Sprintf("of SentencePiece, %d, plain %t", size, plain), func(ctx context.Context, f *hf.Folder) (*lexicon, error) {
		return pieceTokens(ctx, f, size, plain)
	})
	if err != nil {
		return false, err
	}
	s, err := c.special(l.count)
	if err != nil {
		return false, err
	}
	s.put(c)
	return true, nil
}

// kindOf is the kind of a token that a piece is. What users define is normal: the tokens that steer stand in the
// configuration.
func kindOf(piece byte) int32 {
	switch piece {
	case hf.PieceUnknown:
		return unknown
	case hf.PieceControl:
		return control
	case hf.PieceUnused:
		return unused
	case hf.PieceByte:
		return byteToken
	}
	return normal
}

// overlay is a token that stands in place of a piece.
type overlay struct {
	text  string
	kind  int32
	score float32
}

// pieceTokens are the tokens of a tokenizer.model, with those that other files add to it.
func pieceTokens(ctx context.Context, f *hf.Folder, size int64, plain bool) (*lexicon, error) {
	m, err := f.SentencePiece(ctx, pieces)
	if err != nil {
		return nil, err
	}
	v := m.Vocabulary
	if size == 0 {
		size = int64(v.Len())
	}
	if plain && int64(v.Len()) > size {
		return nil, fault.New(fault.Mismatch, "the tokenizer has %d tokens, and config.json says that there are %d (vocab_size)", v.Len(), size)
	}
	over := map[int64]overlay{}
	put := func(id int64, o overlay) error {
		if id < 0 || id >= size {
			if plain {
				return fault.New(fault.Mismatch, "the tokenizer adds a token %d, and config.json says that there are %d (vocab_size)", id, size)
			}
			return nil // as llama.cpp's converter, which warns
		}
		over[id] = o
		return nil
	}
	added, err := f.Object(ctx, "added_tokens.json")
	if err != nil {
		return nil, err
	}
	for _, token := range added.Keys() {
		id, ok := hf.Int(added.Value(token))
		if !ok {
			return nil, fault.In("added_tokens.json", fault.New(fault.Malformed, "the token %.80q has no number", token))
		}
		if err := put(id, overlay{token, userDefined, -1000}); err != nil {
			return nil, err
		}
	}
	config, err := f.Object(ctx, tokenizerConfig)
	if err != nil {
		return nil, err
	}
	var list []hf.Added
	if decoder := config.Object("added_tokens_decoder"); decoder != nil {
		if list, err = hf.AddedTokens(decoder); err != nil {
			return nil, fault.In(tokenizerConfig, err)
		}
	}
	if plain {
		t, err := f.Tokenizer(ctx)
		if err != nil {
			return nil, err
		}
		if t != nil {
			list = append(list, t.Added...)
		}
	}
	for _, a := range list {
		o := overlay{a.Content, userDefined, -1000}
		switch {
		case a.Special || !plain && looksSpecial(a.Content):
			o.kind = control
		case !plain:
			o.text = strings.ReplaceAll(o.text, "▁", " ")
		}
		if err := put(a.ID, o); err != nil {
			return nil, err
		}
	}
	l := &lexicon{}
	for id := range size {
		switch o, ok := over[id]; {
		case ok:
			l.scored(o.text, o.kind, o.score)
		case id < int64(v.Len()):
			l.scored(string(v.Token(int(id))), kindOf(v.Kinds[id]), v.Scores[id])
		default:
			l.scored(pad(id), unused, -10000)
		}
	}
	return l, nil
}

// likeSentencePiece reports whether a tokenizer.json is a model of SentencePiece in the form of the tokenizers library.
func likeSentencePiece(t *hf.Tokenizer) bool {
	m := t.Rest.Object("model")
	return t.Kind == "BPE" && hf.True(m.Value("byte_fallback")) && t.Rest.Object("decoder").Text("type") == "Sequence"
}

var byteWord = regexp.MustCompile(`^<0x[0-9A-Fa-f]{2}>$`)

// sentencePieceJSON puts the tokenizer of a tokenizer.json that is a model of SentencePiece; false where it is none.
func (c *converter) sentencePieceJSON() (bool, error) {
	t, err := c.tokenizerJSON()
	if err != nil || t == nil || !likeSentencePiece(t) {
		return false, err
	}
	class, err := c.tokenizerClass()
	if err != nil {
		return false, err
	}
	c.put(gguf.Key("tokenizer.ggml.model", "llama"))
	c.put(gguf.Key("tokenizer.ggml.pre", "default"))
	l, err := c.list("of SentencePiece in JSON, "+class, func(ctx context.Context, f *hf.Folder) (*lexicon, error) {
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
		steering := map[string]int64{} // the special tokens' ids
		for _, name := range specialNames(config, class) {
			steering[name] = -1
		}
		t.Vocabulary.Find(steering)
		for _, a := range added {
			if _, ok := steering[a.Content]; ok {
				steering[a.Content] = a.ID
			}
		}
		special := map[int64]bool{}
		for _, id := range steering {
			special[id] = true
		}
		base := int64(t.Vocabulary.Len())
		l := &lexicon{}
		for id := range base {
			i := t.Vocabulary.Index(id)
			if i < 0 {
				return nil, fault.New(fault.Mismatch, "the tokenizer has %d tokens, and none with the id %d", base, id)
			}
			text := string(t.Vocabulary.Token(i))
			sort := int32(normal)
			switch {
			case byteWord.MatchString(text):
				sort = byteToken
			case special[id]:
				sort = control
			}
			l.scored(text, sort, -1000)
		}
		var further []hf.Added
		for id, a := range added {
			if id >= base {
				further = append(further, a)
			}
		}
		slices.SortFunc(further, func(a, b hf.Added) int { return int(a.ID - b.ID) })
		for i, a := range further {
			if a.ID != base+int64(i) {
				return nil, fault.New(fault.Mismatch, "the added token %.80q has the id %d, and the tokens before it end at %d", a.Content, a.ID, base+int64(i))
			}
			sort := int32(userDefined)
			if _, ok := steering[a.Content]; ok {
				sort = control
			}
			l.scored(a.Content, sort, -1000)
		}
		return l, nil
	})
	if err != nil {
		return false, err
	}
	s, err := c.special(l.count)
	if err != nil {
		return false, err
	}
	s.put(c)
	return true, nil
}
