package hf

import (
	"strings"
	"unicode"

	"github.com/isomerfs/isomerfs/fault"
)

// normalizing is what a normalizer does to a text.
type normalizing []func(text string, w *work) (string, error)

// newNormalizing reads the normalizer of a tokenizer.json. What is not understood is Unsupported.
//
// Unicode's normal forms are made of the texts that Encode is for, and no others: all their characters are in the
// forms C and D, and one of them, the fullwidth tilde, is in neither KC nor KD.
func newNormalizing(o *Object) (normalizing, error) {
	var n normalizing
	return n, n.add(o, 0)
}

func (n *normalizing) add(o *Object, depth int) error {
	if depth > maxDepth || len(*n) > maxStages {
		return fault.New(fault.Limit, "a normalizer of more than %d steps", maxStages)
	}
	step := func(f func(text string) string) {
		*n = append(*n, func(text string, _ *work) (string, error) { return f(text), nil })
	}
	switch kind := o.Text("type"); kind {
	case "", "NFC", "NFD":
	case "NFKC", "NFKD":
		step(func(text string) string { return strings.ReplaceAll(text, "～", "~") })
	case "Lowercase":
		step(strings.ToLower)
	case "StripAccents":
		step(without(func(r rune) bool { return unicode.Is(unicode.M, r) }))
	case "Strip":
		if True(o.Value("strip_left")) {
			step(func(text string) string { return strings.TrimLeftFunc(text, unicode.IsSpace) })
		}
		if True(o.Value("strip_right")) {
			step(func(text string) string { return strings.TrimRightFunc(text, unicode.IsSpace) })
		}
	case "Prepend":
		prefix := o.Text("prepend")
		step(func(text string) string {
			if text == "" {
				return text
			}
			return prefix + text
		})
	case "Replace":
		e, err := pattern(o.Value("pattern"))
		if err != nil {
			return err
		}
		content := o.Text("content")
		*n = append(*n, func(text string, w *work) (string, error) {
			runes := []rune(text)
			matches, err := e.find(runes, w)
			if err != nil {
				return "", err
			}
			var b strings.Builder
			at := 0
			for _, m := range matches {
				b.WriteString(string(runes[at:m.from]))
				b.WriteString(content)
				at = m.to
			}
			b.WriteString(string(runes[at:]))
			return b.String(), nil
		})
	case "BertNormalizer":
		lower := yes(o, "lowercase")
		if yes(o, "clean_text") {
			step(without(func(r rune) bool {
				return r == 0 || r == unicode.ReplacementChar || r != '\t' && r != '\n' && r != '\r' && unicode.In(r, unicode.C)
			}))
			step(func(text string) string {
				return strings.Map(func(r rune) rune {
					if unicode.IsSpace(r) {
						return ' '
					}
					return r
				}, text)
			})
		}
		if yes(o, "handle_chinese_chars") {
			step(func(text string) string {
				var b strings.Builder
				for _, r := range text {
					if ideograph(r) {
						b.WriteString(" " + string(r) + " ")
					} else {
						b.WriteRune(r)
					}
				}
				return b.String()
			})
		}
		if v, ok := o.Get("strip_accents"); ok && v != nil && True(v) || (!ok || v == nil) && lower {
			step(without(func(r rune) bool { return unicode.Is(unicode.Mn, r) }))
		}
		if lower {
			step(strings.ToLower)
		}
	case "Sequence":
		for _, inner := range o.List("normalizers") {
			in, ok := inner.(*Object)
			if !ok {
				return fault.New(fault.Malformed, "a step of the normalizer is no object")
			}
			if err := n.add(in, depth+1); err != nil {
				return err
			}
		}
	default:
		return fault.New(fault.Unsupported, "the normalizer %q is not known", kind)
	}
	return nil
}

// yes is a member that is true where nobody says otherwise.
func yes(o *Object, key string) bool {
	v, ok := o.Get(key)
	return !ok || True(v)
}

// without takes characters out.
func without(in func(rune) bool) func(string) string {
	return func(text string) string {
		return strings.Map(func(r rune) rune {
			if in(r) {
				return -1
			}
			return r
		}, text)
	}
}

// ideograph reports whether a character is in the blocks of CJK ideographs that BERT takes one by one.
func ideograph(r rune) bool {
	for _, block := range [][2]rune{{0x4e00, 0x9fff}, {0x3400, 0x4dbf}, {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff}, {0x2f800, 0x2fa1f}} {
		if block[0] <= r && r <= block[1] {
			return true
		}
	}
	return false
}

func (n normalizing) text(text string, w *work) (string, error) {
	for _, step := range n {
		var err error
		if text, err = step(text, w); err != nil {
			return "", err
		}
		if len(text) > maxExpression {
			return "", fault.New(fault.Limit, "a normalizer that makes more than %d bytes of some hundred", maxExpression)
		}
	}
	return text, nil
}
