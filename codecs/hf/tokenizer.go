package hf

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// TokenizerFile is the name of the file that the tokenizers library reads and writes.
const TokenizerFile = "tokenizer.json"

// maxTokenizer is the largest tokenizer.json that is read, in bytes; the largest published ones have some forty
// megabytes.
const maxTokenizer = 256 << 20

// maxAdded bounds how many tokens are added to a vocabulary; published tokenizers add up to some thousand.
const maxAdded = 1 << 17

// Tokenizer is a tokenizer.json, as the tokenizers library writes it.
type Tokenizer struct {
	Kind       string      // the type of its model: BPE, WordPiece, Unigram, WordLevel
	Rest       *Object     // the file's object, without the vocabulary and the merges of its model
	Vocabulary *Vocabulary // of the model: added tokens may be part of it or not
	Added      []Added     // in the order of the file
	Merges     int64       // how many pairs a BPE merges

	file *layout.File
}

// Added is a token that is found in the text before anything else is.
type Added struct {
	ID         int64
	Content    string
	Special    bool
	Normalized bool // it is found in the normalized text
	SingleWord bool // only between the edges of words
	LStrip     bool // with the white space before it
	RStrip     bool // with the white space behind it
}

// Tokenizer reads the tokenizer.json of a folder; nil where there is none.
func (f *Folder) Tokenizer(ctx context.Context) (*Tokenizer, error) {
	file, err := f.File(TokenizerFile)
	if file == nil || err != nil {
		return nil, err
	}
	t, err := ReadTokenizer(ctx, nil, file)
	return t, fault.In(f.path(TokenizerFile), err)
}

// ReadTokenizer reads a tokenizer.json.
func ReadTokenizer(ctx context.Context, ws layout.Workspace, file *layout.File) (*Tokenizer, error) {
	if file.Size() > maxTokenizer {
		return nil, fault.New(fault.Limit, "%d bytes, and the most that is read of a tokenizer is %d", file.Size(), maxTokenizer)
	}
	t := &Tokenizer{Vocabulary: newVocabulary(), Rest: &Object{}, file: file}
	s := newScanner(ctx, ws, file)
	if err := t.scan(s, t.Vocabulary, func([]byte, []byte) error { t.Merges++; return nil }); err != nil {
		return nil, err
	}
	t.Vocabulary.done()
	if t.Kind = t.Rest.Object("model").Text("type"); t.Kind == "" { // files of the first years do not say
		switch m := t.Rest.Object("model"); {
		case t.Merges > 0:
			t.Kind = "BPE"
		case t.Vocabulary.Scores != nil:
			t.Kind = "Unigram"
		case m.Value("max_input_chars_per_word") != nil:
			t.Kind = "WordPiece"
		}
	}
	if t.Vocabulary.Scores != nil && t.Kind != "Unigram" {
		return nil, fault.New(fault.Mismatch, "a model of type %q whose tokens have scores", t.Kind)
	}
	return t, t.added()
}

// scan reads the whole file: its members into t.Rest where that is empty, tokens into v, and pairs to be merged to
// merge. v may be nil.
func (t *Tokenizer) scan(s *scanner, v *Vocabulary, merge func(left, right []byte) error) error {
	keep := v != nil
	err := s.object(func(name string) error {
		if name == "model" {
			if c, err := s.space(); err != nil || c != '{' {
				return s.pass()
			}
			m := &Object{}
			if keep {
				if _, ok := t.Rest.Get(name); ok {
					return fault.At(fault.Duplicate, s.off, "a second model")
				}
				t.Rest.Set(name, m)
			}
			return s.object(func(name string) error {
				c, err := s.space()
				switch {
				case err != nil:
					return err
				case name == "merges" && c == '[':
					return scanMerges(s, merge)
				case name == "vocab" && !keep:
					return s.pass()
				case name == "vocab" && v.Len() > 0:
					return fault.At(fault.Duplicate, s.off, "a second vocabulary")
				case name == "vocab" && c == '{':
					return scanVocabulary(s, v)
				case name == "vocab" && c == '[':
					return scanUnigram(s, v)
				case !keep:
					return s.pass()
				}
				inner, err := s.value()
				m.Set(name, inner)
				return err
			})
		}
		if !keep {
			return s.pass()
		}
		inner, err := s.value()
		t.Rest.Set(name, inner)
		return err
	})
	if err != nil {
		return err
	}
	return s.end()
}

// scanVocabulary reads {token: id}.
func scanVocabulary(s *scanner, v *Vocabulary) error {
	var token []byte
	if err := s.expect('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := s.space()
		if err != nil {
			return err
		}
		if first && c == '}' {
			break
		}
		if err := s.string(); err != nil {
			return err
		}
		token = append(token[:0], s.text...)
		if err := s.expect(':'); err != nil {
			return err
		}
		if _, err := s.space(); err != nil {
			return err
		}
		at := s.off
		w, err := s.word()
		if err != nil {
			return err
		}
		id, ok := natural(w)
		if !ok {
			return fault.At(fault.Malformed, at, "the token %.80q has no whole number as its id", token)
		}
		if err := v.add(id, token); err != nil {
			return placed(err, at)
		}
		if c, err = s.space(); err != nil {
			return err
		}
		if c == '}' {
			break
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
	s.skip(1)
	return nil
}

// natural is a whole number that is not negative, of at most nine digits.
func natural(w []byte) (int64, bool) {
	n := int64(0)
	for _, c := range w {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(w) > 0 && len(w) < 10
}

// placed is a fault at a byte of the file.
func placed(err error, off int64) error {
	if e, ok := err.(*fault.Error); ok && e.Off < 0 {
		at := *e
		at.Off = off
		return &at
	}
	return err
}

// scanUnigram reads [[token, score], ...]: the id of a token is its place.
func scanUnigram(s *scanner, v *Vocabulary) error {
	v.Scores = []float32{}
	return s.array(func() error {
		at, part := s.off, 0
		var token []byte
		score := 0.0
		err := s.array(func() error {
			part++
			if c, err := s.space(); err != nil {
				return err
			} else if part == 1 && c == '"' {
				err := s.string()
				token = append(token, s.text...)
				return err
			}
			s.values--
			x, err := s.value()
			f, ok := Float(x)
			if err == nil && (part != 2 || !ok) {
				err = fault.At(fault.Malformed, at, "a token that is no pair of a text and a number")
			}
			score = f
			return err
		})
		if err == nil && part != 2 {
			err = fault.At(fault.Malformed, at, "a token that is no pair of a text and a number")
		}
		if err != nil {
			return err
		}
		v.Scores = append(v.Scores, float32(score))
		return placed(v.add(int64(v.Len()), token), at)
	})
}

// maxMerges bounds how many pairs a BPE merges; the largest published ones have some 500,000.
const maxMerges = 1 << 23

// scanMerges reads ["left right", ...] or [["left", "right"], ...].
func scanMerges(s *scanner, merge func(left, right []byte) error) error {
	var left []byte
	count := 0
	return s.array(func() error {
		if count++; count > maxMerges {
			return fault.At(fault.Limit, s.off, "more than %d merges", maxMerges)
		}
		c, err := s.space()
		if err != nil {
			return err
		}
		at := s.off
		if c == '"' {
			if err := s.string(); err != nil {
				return err
			}
			l, r, ok := bytes.Cut(s.text, []byte(" "))
			if !ok || bytes.IndexByte(r, ' ') >= 0 {
				return fault.At(fault.Malformed, at, "the merge %.80q is no pair", s.text)
			}
			return merge(l, r)
		}
		part := 0
		err = s.array(func() error {
			if part++; part > 2 {
				return fault.At(fault.Malformed, at, "a merge of more than two")
			}
			if c, err := s.space(); err != nil || c != '"' {
				return fault.At(fault.Malformed, at, "a merge of other things than texts")
			}
			if err := s.string(); err != nil || part == 2 {
				return err
			}
			left = append(left[:0], s.text...)
			return nil
		})
		if err == nil && part != 2 {
			err = fault.At(fault.Malformed, at, "a merge of %d", part)
		}
		if err != nil {
			return err
		}
		return merge(left, s.text)
	})
}

// EachMerge calls merge with each pair that the model merges, the first first.
func (t *Tokenizer) EachMerge(ctx context.Context, ws layout.Workspace, merge func(left, right []byte) error) error {
	return t.scan(newScanner(ctx, ws, t.file), nil, merge)
}

// added reads the added tokens.
func (t *Tokenizer) added() error {
	list := t.Rest.List("added_tokens")
	if len(list) > maxAdded {
		return fault.New(fault.Limit, "%d added tokens, and at most %d are read", len(list), maxAdded)
	}
	for _, v := range list {
		o, _ := v.(*Object)
		a, err := added(o)
		if err != nil {
			return err
		}
		id, ok := Int(o.Value("id"))
		if !ok || id < 0 || id >= maxTokens {
			return fault.New(fault.Malformed, "the added token %.80q has the id %v", a.Content, o.Value("id"))
		}
		a.ID = id
		t.Added = append(t.Added, a)
	}
	return t.numbered()
}

// numbered reports an added token whose id is not the one that it gets when it is added: that of its text in the
// vocabulary, or else the next one after all others. The tokenizers library warns of those and gives them the latter, so
// that nobody knows which of the two a model was trained with.
func (t *Tokenizer) numbered() error {
	known := make(map[string]int64, len(t.Added))
	for _, a := range t.Added {
		known[a.Content] = -1
	}
	t.Vocabulary.Find(known)
	next := int64(t.Vocabulary.Len())
	for _, a := range t.Added {
		if a.Content == "" {
			continue // is never added
		}
		id := known[a.Content]
		if id < 0 {
			id, known[a.Content] = next, next
		}
		if id != a.ID {
			return fault.New(fault.Mismatch, "the added token %.80q has the id %d, and adding it gives it %d", a.Content, a.ID, id)
		}
		next = max(next, id+1)
	}
	return nil
}

// added is an added token as files describe it, but for its id.
func added(o *Object) (Added, error) {
	content, ok := o.Value("content").(string)
	if !ok {
		return Added{}, fault.New(fault.Malformed, "an added token without its text")
	}
	a := Added{Content: content, Special: True(o.Value("special")), SingleWord: True(o.Value("single_word")), LStrip: True(o.Value("lstrip")), RStrip: True(o.Value("rstrip"))}
	if v, ok := o.Get("normalized"); ok {
		a.Normalized = True(v)
	} else {
		a.Normalized = !a.Special
	}
	return a, nil
}

// AddedTokens reads the added_tokens_decoder of a tokenizer_config.json: {id: token}, in the order of the ids.
func AddedTokens(o *Object) ([]Added, error) {
	if len(o.Keys()) > maxAdded {
		return nil, fault.New(fault.Limit, "%d added tokens, and at most %d are read", len(o.Keys()), maxAdded)
	}
	var list []Added
	for _, key := range o.Keys() {
		id, ok := natural([]byte(key))
		if !ok {
			return nil, fault.New(fault.Malformed, "an added token with the id %.40q", key)
		}
		a, err := added(o.Object(key))
		if err != nil {
			return nil, err
		}
		a.ID = id
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}
