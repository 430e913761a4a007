package hf

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// longestToken is the longest token in characters that Encode looks for.
const longestToken = 64

// maxWords bounds the pieces that a text of some hundred characters may come in.
const maxWords = 1 << 12

// Pieces are what the pre-tokenizer makes of a text that holds no added token: the pieces within which tokens lie, as
// the model takes them. What is not understood is Unsupported.
func (t *Tokenizer) Pieces(text string) ([]string, error) {
	s, err := newSplitting(t.Rest.Object("pre_tokenizer"))
	if err != nil {
		return nil, err
	}
	runes, err := s.pieces([]rune(text), true, &work{maxSteps})
	if err != nil {
		return nil, err
	}
	list := make([]string, len(runes))
	for i, p := range runes {
		list[i] = string(p)
	}
	return list, nil
}

// Encode is the ids of a short text, special tokens around it included, as the tokenizers library gives them. It is for
// a BPE or WordPiece model and for texts whose characters are in Unicode's normal forms, but for the fullwidth tilde.
// What is not understood is Unsupported.
func (t *Tokenizer) Encode(ctx context.Context, text string) ([]int64, error) {
	around, err := t.around()
	if err != nil {
		return nil, err
	}
	words, err := t.words(text)
	if err != nil {
		return nil, err
	}
	if len(words) > maxWords {
		return nil, fault.New(fault.Limit, "a text of %d characters in %d pieces", utf8.RuneCountInString(text), len(words))
	}
	var ids []int64
	switch t.Kind {
	case "BPE":
		ids, err = t.bpe(ctx, words)
	case "WordPiece":
		ids, err = t.wordPiece(words)
	default:
		return nil, fault.New(fault.Unsupported, "a tokenizer with a model of type %q", t.Kind)
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(around[0], ids, around[1]), nil
}

// wordOf is a piece of a text, as the model takes it, or an added token.
type wordOf struct {
	text  string
	added bool
	id    int64 // of an added token
}

// words takes a text apart: added tokens, and between them what normalizer and pre-tokenizer make.
func (t *Tokenizer) words(text string) ([]wordOf, error) {
	w := &work{maxSteps}
	n, err := newNormalizing(t.Rest.Object("normalizer"))
	if err != nil {
		return nil, err
	}
	s, err := newSplitting(t.Rest.Object("pre_tokenizer"))
	if err != nil {
		return nil, err
	}
	var raw, normal []Added
	for _, a := range t.Added {
		if a.Content == "" {
			continue
		}
		if !a.Normalized {
			raw = append(raw, a)
		} else if a.Content, err = n.text(a.Content, w); err != nil {
			return nil, err
		} else if a.Content != "" {
			normal = append(normal, a)
		}
	}
	var out []wordOf
	for _, part := range apart(text, raw) {
		if part.added {
			out = append(out, part)
			continue
		}
		clean, err := n.text(part.text, w)
		if err != nil {
			return nil, err
		}
		for _, part := range apart(clean, normal) {
			if part.added {
				out = append(out, part)
				continue
			}
			pieces, err := s.pieces([]rune(part.text), len(out) == 0, w)
			if err != nil {
				return nil, err
			}
			for _, p := range pieces {
				out = append(out, wordOf{text: string(p)})
			}
		}
	}
	return out, nil
}

// apart cuts a text at added tokens: the leftmost first, of those that begin at one place the longest.
func apart(text string, tokens []Added) []wordOf {
	first := map[rune][]Added{}
	for _, a := range tokens {
		r, _ := utf8.DecodeRuneInString(a.Content)
		first[r] = append(first[r], a)
	}
	var out []wordOf
	begin := 0
	plain := func(end int) {
		if end > begin {
			out = append(out, wordOf{text: text[begin:end]})
		}
	}
	for at, size := 0, 0; at < len(text); at += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[at:])
		best := -1
		for i, a := range first[r] {
			if strings.HasPrefix(text[at:], a.Content) && (best < 0 || len(a.Content) > len(first[r][best].Content)) {
				best = i
			}
		}
		if best < 0 {
			continue
		}
		a := first[r][best]
		from, to := at, at+len(a.Content)
		if before, _ := utf8.DecodeLastRuneInString(text[:from]); a.SingleWord && from > 0 && word(before) {
			continue
		}
		if after, _ := utf8.DecodeRuneInString(text[to:]); a.SingleWord && to < len(text) && word(after) {
			continue
		}
		if a.LStrip {
			from = max(begin, len(strings.TrimRightFunc(text[:from], unicode.IsSpace)))
		}
		if a.RStrip {
			to = len(text) - len(strings.TrimLeftFunc(text[to:], unicode.IsSpace))
		}
		plain(from)
		out = append(out, wordOf{text: a.Content, added: true, id: a.ID})
		begin, size = to, to-at
	}
	plain(len(text))
	return out
}

// bytesAsText is the character that stands for each byte in the vocabularies of byte-level models: those of Latin-1
// that can be seen for themselves, and for the others those from U+0100.
var bytesAsText = func() (table [256]rune) {
	next := rune(256)
	for b := range table {
		r := rune(b)
		if '!' <= r && r <= '~' || '¡' <= r && r <= '¬' || '®' <= r && r <= 'ÿ' {
			table[b] = r
		} else {
			table[b] = next
			next++
		}
	}
	return table
}()

// ByteText is a text with each of its bytes as the character that stands for it in byte-level vocabularies.
func ByteText(text string) string {
	b := make([]rune, len(text))
	for i := range len(text) {
		b[i] = bytesAsText[text[i]]
	}
	return string(b)
}

// TextBytes is the inverse of ByteText; false where a character stands for no byte.
func TextBytes(text string) (string, bool) {
	var b []byte
	for _, r := range text {
		i := slices.Index(bytesAsText[:], r)
		if i < 0 {
			return "", false
		}
		b = append(b, byte(i))
	}
	return string(b), true
}

// candidates are the runs of characters within words that could be tokens, each with -1 for its id.
func candidates(words []wordOf, longest int, prefix string) map[string]int64 {
	found := map[string]int64{}
	for _, w := range words {
		if w.added {
			continue
		}
		var starts []int
		for i := range w.text {
			starts = append(starts, i)
		}
		starts = append(starts, len(w.text))
		for i := range starts {
			for j := i + 1; j < len(starts) && j-i <= longest; j++ {
				found[w.text[starts[i]:starts[j]]] = -1
				if prefix != "" && i > 0 {
					found[prefix+w.text[starts[i]:starts[j]]] = -1
				}
			}
		}
	}
	return found
}

// bpe is the ids of words under a model that merges pairs. It looks up the tokens and pairs that these words could
// need, and holds no others.
func (t *Tokenizer) bpe(ctx context.Context, words []wordOf) ([]int64, error) {
	m := t.Rest.Object("model")
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if m.Text(key) != "" {
			return nil, fault.New(fault.Unsupported, "a BPE with %s", key)
		}
	}
	ids := candidates(words, longestToken, "")
	unknown, hasUnknown := m.Value("unk_token").(string)
	if hasUnknown {
		ids[unknown] = -1
	}
	fallback := True(m.Value("byte_fallback"))
	if fallback {
		for b := range 256 {
			ids[byteToken(byte(b))] = -1
		}
	}
	t.Vocabulary.Find(ids)
	ranks := map[[2]int64]int64{}
	rank := int64(0)
	err := t.EachMerge(ctx, nil, func(left, right []byte) error {
		rank++
		l, lok := ids[string(left)]
		r, rok := ids[string(right)]
		if lok && rok && l >= 0 && r >= 0 {
			ranks[[2]int64{l, r}] = rank
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	whole := True(m.Value("ignore_merges"))
	fuse := True(m.Value("fuse_unk"))
	var out []int64
	for _, w := range words {
		if w.added {
			out = append(out, w.id)
			continue
		}
		if id, ok := ids[w.text]; ok && id >= 0 && whole {
			out = append(out, id)
			continue
		}
		type symbol struct {
			id   int64
			text string
		}
		var list []symbol
		lost := false // the last character is unknown
		for _, r := range w.text {
			c := string(r)
			if id := ids[c]; id >= 0 {
				list, lost = append(list, symbol{id, c}), false
				continue
			}
			if fallback {
				all := true
				for i := range len(c) {
					all = all && ids[byteToken(c[i])] >= 0
				}
				if all {
					for i := range len(c) {
						list = append(list, symbol{ids[byteToken(c[i])], byteToken(c[i])})
					}
					lost = false
					continue
				}
			}
			if id, ok := ids[unknown]; hasUnknown && ok && id >= 0 && !(lost && fuse) {
				list, lost = append(list, symbol{id, unknown}), true
			}
		}
		for {
			best, at := int64(-1), -1
			for i := 0; i+1 < len(list); i++ {
				if r, ok := ranks[[2]int64{list[i].id, list[i+1].id}]; ok && (best < 0 || r < best) {
					best, at = r, i
				}
			}
			if at < 0 {
				break
			}
			joined := list[at].text + list[at+1].text
			id, ok := ids[joined]
			if !ok || id < 0 {
				return nil, fault.New(fault.Unsupported, "a merge makes %.80q, which is longer than %d characters or no token", joined, longestToken)
			}
			list[at] = symbol{id, joined}
			list = slices.Delete(list, at+1, at+2)
		}
		for _, s := range list {
			out = append(out, s.id)
		}
	}
	return out, nil
}

// byteToken is the token of a byte in vocabularies that fall back on them.
func byteToken(b byte) string {
	const digits = "0123456789ABCDEF"
	return "<0x" + string(digits[b>>4]) + string(digits[b&15]) + ">"
}

// wordPiece is the ids of words under a model that takes the longest token first.
func (t *Tokenizer) wordPiece(words []wordOf) ([]int64, error) {
	m := t.Rest.Object("model")
	prefix := m.Text("continuing_subword_prefix")
	longest := int64(100)
	if n, ok := Int(m.Value("max_input_chars_per_word")); ok {
		longest = n
	}
	ids := candidates(words, longestToken, prefix)
	unknown := m.Text("unk_token")
	ids[unknown] = -1
	t.Vocabulary.Find(ids)
	if ids[unknown] < 0 {
		return nil, fault.New(fault.Mismatch, "the model's unk_token %.80q is no token", unknown)
	}
	var out []int64
	for _, w := range words {
		if w.added {
			out = append(out, w.id)
			continue
		}
		if int64(utf8.RuneCountInString(w.text)) > longest {
			out = append(out, ids[unknown])
			continue
		}
		var list []int64
		for at := 0; at < len(w.text); {
			end := len(w.text)
			for ; end > at; end-- {
				key := w.text[at:end]
				if at > 0 {
					key = prefix + key
				}
				if id, ok := ids[key]; ok && id >= 0 {
					list = append(list, id)
					break
				}
			}
			if end == at {
				list = []int64{ids[unknown]}
				break
			}
			at = end
		}
		out = append(out, list...)
	}
	return out, nil
}

// around is the ids that the post-processor puts before and behind a single text.
func (t *Tokenizer) around() (around [2][]int64, err error) {
	steps := []any{t.Rest.Value("post_processor")}
	for i := 0; i < len(steps) && i < maxStages; i++ {
		o, _ := steps[i].(*Object)
		switch kind := o.Text("type"); kind {
		case "", "ByteLevel":
		case "Sequence":
			steps = append(steps, o.List("processors")...)
		case "BertProcessing", "RobertaProcessing":
			for at, key := range []string{"cls", "sep"} {
				pair := o.List(key)
				if len(pair) != 2 {
					return around, fault.New(fault.Malformed, "the post-processor's %s is no pair of a text and an id", key)
				}
				id, _ := Int(pair[1])
				around[at] = append(around[at], id)
			}
		case "TemplateProcessing":
			at := 0
			for _, v := range o.List("single") {
				item, _ := v.(*Object)
				if item.Object("Sequence") != nil {
					at = 1
					continue
				}
				special := o.Object("special_tokens").Object(item.Object("SpecialToken").Text("id"))
				for _, v := range special.List("ids") {
					id, _ := Int(v)
					around[at] = append(around[at], id)
				}
			}
		default:
			return around, fault.New(fault.Unsupported, "the post-processor %q is not known", kind)
		}
	}
	return around, nil
}
