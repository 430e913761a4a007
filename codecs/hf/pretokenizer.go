package hf

import (
	"slices"
	"strings"
	"unicode"

	"github.com/isomerfs/isomerfs/fault"
)

// maxStages bounds how many steps a normalizer or a pre-tokenizer has; published ones have less than ten.
const maxStages = 64

// gpt2Words is the expression that the ByteLevel pre-tokenizer splits with.
const gpt2Words = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// splitting is what a pre-tokenizer does to a text: steps that cut each piece further.
type splitting struct {
	steps []stage
}

// stage is one step. first says that the piece is where the text begins.
type stage func(piece []rune, first bool, w *work) ([][]rune, error)

// newSplitting reads the pre_tokenizer of a tokenizer.json. What is not understood is Unsupported.
func newSplitting(o *Object) (*splitting, error) {
	s := &splitting{}
	return s, s.add(o, 0)
}

func (s *splitting) add(o *Object, depth int) error {
	if depth > maxDepth || len(s.steps) > maxStages {
		return fault.New(fault.Limit, "a pre-tokenizer of more than %d steps", maxStages)
	}
	step := func(f stage) { s.steps = append(s.steps, f) }
	switch kind := o.Text("type"); kind {
	case "": // none at all
	case "Sequence":
		for _, inner := range o.List("pretokenizers") {
			in, ok := inner.(*Object)
			if !ok {
				return fault.New(fault.Malformed, "a step of the pre-tokenizer is no object")
			}
			if err := s.add(in, depth+1); err != nil {
				return err
			}
		}
	case "ByteLevel":
		if True(o.Value("add_prefix_space")) {
			step(prefixed(" "))
		}
		if v, ok := o.Get("use_regex"); !ok || True(v) {
			e, err := compile(gpt2Words)
			if err != nil {
				return err
			}
			step(cut(e, "Isolated", false))
		}
		step(func(piece []rune, _ bool, _ *work) ([][]rune, error) {
			return [][]rune{[]rune(ByteText(string(piece)))}, nil
		})
	case "Split":
		e, err := pattern(o.Value("pattern"))
		if err != nil {
			return err
		}
		behavior := o.Text("behavior")
		if !slices.Contains(behaviors, behavior) {
			return fault.New(fault.Unsupported, "a pre-tokenizer that splits %q", behavior)
		}
		step(cut(e, behavior, True(o.Value("invert"))))
	case "Digits":
		behavior := "Contiguous"
		if True(o.Value("individual_digits")) {
			behavior = "Isolated"
		}
		step(cut(&expression{class{func(r rune) bool { return unicode.Is(unicode.N, r) }}}, behavior, false))
	case "Punctuation":
		behavior := o.Text("behavior")
		if behavior == "" {
			behavior = "Isolated"
		}
		if !slices.Contains(behaviors, behavior) {
			return fault.New(fault.Unsupported, "a pre-tokenizer that splits %q", behavior)
		}
		step(cut(&expression{class{punctuation}}, behavior, false))
	case "Whitespace":
		e, err := compile(`\w+|[^\w\s]+`)
		if err != nil {
			return err
		}
		step(cut(e, "Removed", true))
	case "WhitespaceSplit":
		step(cut(&expression{class{unicode.IsSpace}}, "Removed", false))
	case "BertPreTokenizer":
		step(cut(&expression{class{unicode.IsSpace}}, "Removed", false))
		step(cut(&expression{class{punctuation}}, "Isolated", false))
	case "CharDelimiterSplit":
		step(cut(literal(o.Text("delimiter")), "Removed", false))
	case "Metaspace":
		mark := o.Text("replacement")
		if mark == "" {
			mark = "▁"
		}
		scheme := o.Text("prepend_scheme")
		if v, ok := o.Get("add_prefix_space"); scheme == "" && (!ok || True(v)) {
			scheme = "always"
		}
		step(func(piece []rune, first bool, _ *work) ([][]rune, error) {
			text := strings.ReplaceAll(string(piece), " ", mark)
			if (scheme == "always" || scheme == "first" && first) && !strings.HasPrefix(text, mark) {
				text = mark + text
			}
			return [][]rune{[]rune(text)}, nil
		})
		if v, ok := o.Get("split"); !ok || True(v) {
			step(cut(literal(mark), "MergedWithNext", false))
		}
	default:
		return fault.New(fault.Unsupported, "the pre-tokenizer %q is not known", kind)
	}
	return nil
}

// pattern is {"Regex": expression} or {"String": text}.
func pattern(v any) (*expression, error) {
	if text, ok := v.(string); ok {
		return literal(text), nil
	}
	o, _ := v.(*Object)
	if text, ok := o.Value("Regex").(string); ok {
		return compile(text)
	}
	if text, ok := o.Value("String").(string); ok {
		return literal(text), nil
	}
	return nil, fault.New(fault.Malformed, "a tokenizer splits at a pattern that is neither Regex nor String")
}

var behaviors = []string{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"}

// prefixed puts a text before a piece that does not begin with it.
func prefixed(text string) stage {
	return func(piece []rune, _ bool, _ *work) ([][]rune, error) {
		if !strings.HasPrefix(string(piece), text) {
			piece = append([]rune(text), piece...)
		}
		return [][]rune{piece}, nil
	}
}

// cut splits a piece at what an expression matches, or, where invert, at what it does not. behavior says what becomes
// of the matches.
func cut(e *expression, behavior string, invert bool) stage {
	return func(piece []rune, _ bool, w *work) ([][]rune, error) {
		matches, err := e.find(piece, w)
		if err != nil {
			return nil, err
		}
		type part struct {
			text []rune
			hit  bool
		}
		var parts []part
		at := 0
		for _, m := range matches {
			if m.from > at {
				parts = append(parts, part{piece[at:m.from], invert})
			}
			parts = append(parts, part{piece[m.from:m.to], !invert})
			at = m.to
		}
		if at < len(piece) {
			parts = append(parts, part{piece[at:], invert})
		}
		var out [][]rune
		switch behavior {
		case "Removed":
			for _, p := range parts {
				if !p.hit {
					out = append(out, p.text)
				}
			}
		case "Contiguous", "MergedWithPrevious":
			for i, p := range parts {
				if i > 0 && (behavior == "Contiguous" && p.hit == parts[i-1].hit || behavior == "MergedWithPrevious" && p.hit && !parts[i-1].hit) {
					out[len(out)-1] = slices.Concat(out[len(out)-1], p.text)
				} else {
					out = append(out, p.text)
				}
			}
		case "MergedWithNext":
			for i := len(parts) - 1; i >= 0; i-- {
				if p := parts[i]; p.hit && i+1 < len(parts) && !parts[i+1].hit {
					out[len(out)-1] = slices.Concat(p.text, out[len(out)-1])
				} else {
					out = append(out, p.text)
				}
			}
			slices.Reverse(out)
		default:
			for _, p := range parts {
				out = append(out, p.text)
			}
		}
		return slices.DeleteFunc(out, func(p []rune) bool { return len(p) == 0 }), nil
	}
}

// pieces are those of a text; first says that nothing stands before it.
func (s *splitting) pieces(text []rune, first bool, w *work) ([][]rune, error) {
	list := [][]rune{text}
	for _, step := range s.steps {
		var next [][]rune
		for i, p := range list {
			parts, err := step(p, first && i == 0, w)
			if err != nil {
				return nil, err
			}
			next = append(next, parts...)
		}
		list = next
	}
	return list, nil
}

// punctuation reports whether a character is one of ASCII's signs or of Unicode's punctuation.
func punctuation(r rune) bool {
	return r < 0x80 && r > ' ' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != 0x7f || unicode.IsPunct(r)
}
