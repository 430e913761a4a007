package hf

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// expression is a regular expression as tokenizer.json files have them: in Oniguruma's syntax, with look-ahead and
// possessive repetition, which package regexp has not. It matches by trying: alternatives in their order, repetitions
// the longest first. What it may try is bounded, and so is what it may be.
type expression struct{ root node }

// Bounds of an expression and of its work: those of published tokenizers are some hundred characters, and find the
// pieces of a text in some ten steps a character.
const (
	maxExpression = 1 << 14 // bytes
	maxGroups     = 64      // within one another
	maxRepeat     = 1 << 12
	maxSteps      = 1 << 22 // of all searches of one tokenizer
)

// node is a part of an expression. match calls then with each end of a match from at, until then says that the rest
// matches too.
type node interface {
	match(m *matching, at int, then func(end int) bool) bool
}

// work is what searches may still try.
type work struct{ steps int }

// matching is one search.
type matching struct {
	text []rune
	*work
}

// spent reports whether the searches have tried enough.
func (m *matching) spent() bool {
	m.steps--
	return m.steps < 0
}

type (
	// class is one character of a set.
	class struct{ in func(rune) bool }
	// sequence is its parts one after another.
	sequence []node
	// choice is the first of its parts that leads on.
	choice []node
	// repeat is its part, so many times.
	repeat struct {
		of               node
		min, max         int // max < 0: any number
		lazy, possessive bool
	}
	// look is a part that must, or must not, match here; it takes nothing.
	look struct {
		of           node
		behind, deny bool
	}
	// edge is a place: the beginning or the end of the text or of a line, a boundary of words.
	edge byte
)

func (c class) match(m *matching, at int, then func(int) bool) bool {
	return !m.spent() && at < len(m.text) && c.in(m.text[at]) && then(at+1)
}

func (s sequence) match(m *matching, at int, then func(int) bool) bool {
	if len(s) == 0 {
		return then(at)
	}
	return s[0].match(m, at, func(end int) bool { return s[1:].match(m, end, then) })
}

func (c choice) match(m *matching, at int, then func(int) bool) bool {
	return slices.ContainsFunc(c, func(n node) bool { return n.match(m, at, then) })
}

func (r repeat) match(m *matching, at int, then func(int) bool) bool {
	if r.possessive {
		end := at
		for n := 0; r.max < 0 || n < r.max; n++ {
			next := -1
			if !r.of.match(m, end, func(e int) bool { next = e; return true }) || next == end {
				if n < r.min && next != end {
					return false
				}
				break
			}
			end = next
		}
		return then(end)
	}
	if c, ok := r.of.(class); ok && !r.lazy { // by far the most frequent: no call within a call for each character
		end := at
		for end < len(m.text) && (r.max < 0 || end-at < r.max) && c.in(m.text[end]) {
			end++
		}
		for ; end-at >= r.min; end-- {
			if m.spent() {
				return false
			}
			if then(end) {
				return true
			}
		}
		return false
	}
	return r.from(m, at, 0, then)
}

// from matches what is left of a repetition after n times.
func (r repeat) from(m *matching, at, n int, then func(int) bool) bool {
	if m.spent() {
		return false
	}
	again := func() bool {
		return (r.max < 0 || n < r.max) && r.of.match(m, at, func(end int) bool {
			return (end > at || n < r.min) && r.from(m, end, n+1, then)
		})
	}
	if n < r.min {
		return again()
	}
	if r.lazy {
		return then(at) || again()
	}
	return again() || then(at)
}

func (l look) match(m *matching, at int, then func(int) bool) bool {
	ok := false
	if l.behind {
		for from := at; from >= 0 && !ok && !m.spent(); from-- {
			ok = l.of.match(m, from, func(end int) bool { return end == at })
		}
	} else {
		ok = l.of.match(m, at, func(int) bool { return true })
	}
	return ok != l.deny && then(at)
}

func (e edge) match(m *matching, at int, then func(int) bool) bool {
	before := at > 0 && word(m.text[at-1])
	after := at < len(m.text) && word(m.text[at])
	ok := false
	switch e {
	case 'A':
		ok = at == 0
	case 'z':
		ok = at == len(m.text)
	case '^':
		ok = at == 0 || m.text[at-1] == '\n'
	case '$':
		ok = at == len(m.text) || m.text[at] == '\n'
	case 'b':
		ok = before != after
	case 'B':
		ok = before == after
	}
	return ok && then(at)
}

// span is the runes from..to of a text.
type span struct{ from, to int }

// find lists the matches in a text, from left to right, none over another. It fails as Limit where that takes too long.
func (e *expression) find(text []rune, w *work) ([]span, error) {
	m := &matching{text, w}
	var list []span
	for at, last := 0, -1; at <= len(text); {
		end := -1
		e.root.match(m, at, func(e int) bool { end = e; return true })
		if m.steps < 0 {
			return nil, fault.New(fault.Limit, "the tokenizer takes more than %d steps for a text of some hundred characters", maxSteps)
		}
		switch {
		case end < 0 || end == at && last == at: // nothing, or nothing again right behind a match
			at++
		default:
			list = append(list, span{at, end})
			last = end
			if end == at {
				at++
			} else {
				at = end
			}
		}
	}
	return list, nil
}

// compile reads an expression. One that is not understood is Unsupported.
func compile(text string) (*expression, error) {
	if len(text) > maxExpression {
		return nil, fault.New(fault.Limit, "an expression of %d bytes", len(text))
	}
	p := &parser{rest: text}
	n, err := p.choice()
	if err == nil && p.rest != "" {
		err = p.wrong("a ) without its (")
	}
	if err != nil {
		return nil, err
	}
	return &expression{n}, nil
}

// literal is the expression that matches just a text.
func literal(text string) *expression {
	var s sequence
	for _, r := range text {
		s = append(s, one(r, false))
	}
	return &expression{s}
}

type parser struct {
	rest  string
	fold  bool // letters of either case match
	depth int
}

func (p *parser) wrong(format string, args ...any) error {
	return fault.New(fault.Unsupported, "the expression of a tokenizer is not understood: "+format, args...)
}

func (p *parser) peek() rune {
	r, _ := utf8.DecodeRuneInString(p.rest)
	if p.rest == "" {
		return -1
	}
	return r
}

func (p *parser) next() rune {
	r, n := utf8.DecodeRuneInString(p.rest)
	if p.rest == "" {
		return -1
	}
	p.rest = p.rest[n:]
	return r
}

func (p *parser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) choice() (node, error) {
	if p.depth++; p.depth > maxGroups {
		return nil, p.wrong("groups within more than %d others", maxGroups)
	}
	defer func() { p.depth-- }()
	fold := p.fold
	var list choice
	for {
		s, err := p.sequence()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
		if !p.take("|") {
			break
		}
	}
	p.fold = fold
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) sequence() (node, error) {
	list := sequence{}
	for p.rest != "" && p.peek() != '|' && p.peek() != ')' {
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		if n, err = p.repeated(n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

// repeated is a part with the quantifiers that follow it.
func (p *parser) repeated(n node) (node, error) {
	for {
		r := repeat{of: n, max: -1}
		switch {
		case p.take("*"):
		case p.take("+"):
			r.min = 1
		case p.take("?"):
			r.max = 1
		case p.peek() == '{':
			ok, err := p.bounds(&r)
			if err != nil || !ok {
				return n, err
			}
		default:
			return n, nil
		}
		switch {
		case p.take("?"):
			r.lazy = true
		case p.take("+"):
			r.possessive = true
		}
		n = r
	}
}

// bounds reads {n}, {n,}, {n,m} or {,m}; anything else that begins with a brace is that brace.
func (p *parser) bounds(r *repeat) (bool, error) {
	inner, rest, ok := strings.Cut(p.rest[1:], "}")
	if !ok || strings.Trim(inner, "0123456789,") != "" || strings.Count(inner, ",") > 1 || inner == "" || inner == "," {
		return false, nil
	}
	low, high, several := strings.Cut(inner, ",")
	if !several {
		high = low
	}
	var err error
	if low != "" {
		r.min, err = strconv.Atoi(low)
	}
	if high != "" && err == nil {
		r.max, err = strconv.Atoi(high)
	}
	if err != nil || r.min > maxRepeat || r.max > maxRepeat || r.max >= 0 && r.max < r.min {
		return false, p.wrong("{%s}", inner)
	}
	p.rest = rest
	return true, nil
}

// atom is what a quantifier may follow; nil for a setting.
func (p *parser) atom() (node, error) {
	switch r := p.next(); r {
	case '(':
		return p.group()
	case '[':
		in, err := p.set()
		return class{in}, err
	case '.':
		return class{func(r rune) bool { return r != '\n' }}, nil
	case '^', '$':
		return edge(r), nil
	case '*', '+', '?':
		return nil, p.wrong("%q repeats nothing", r)
	case '\\':
		switch {
		case p.take("A"):
			return edge('A'), nil
		case p.take("z"), p.take("Z"):
			return edge('z'), nil
		case p.take("b"):
			return edge('b'), nil
		case p.take("B"):
			return edge('B'), nil
		}
		in, _, err := p.escape()
		return class{in}, err
	default:
		return one(r, p.fold), nil
	}
}

// one is a certain character.
func one(r rune, fold bool) class {
	if fold {
		return class{func(c rune) bool { return unicode.ToLower(c) == unicode.ToLower(r) }}
	}
	return class{func(c rune) bool { return c == r }}
}

// group is what stands within parentheses, the first of which was read.
func (p *parser) group() (node, error) {
	fold := p.fold
	wrap := func(n node) node { return n }
	switch {
	case p.take("?:"):
	case p.take("?="):
		wrap = func(n node) node { return look{of: n} }
	case p.take("?!"):
		wrap = func(n node) node { return look{of: n, deny: true} }
	case p.take("?<="):
		wrap = func(n node) node { return look{of: n, behind: true} }
	case p.take("?<!"):
		wrap = func(n node) node { return look{of: n, behind: true, deny: true} }
	case p.take("?>"):
		wrap = func(n node) node { return repeat{of: n, min: 1, max: 1, possessive: true} }
	case p.take("?i:"):
		p.fold = true
	case p.take("?-i:"):
		p.fold = false
	case p.take("?i)"):
		p.fold = true // for what follows in the group around
		return nil, nil
	case p.take("?"):
		return nil, p.wrong("(?%c", p.peek())
	}
	n, err := p.choice()
	if err != nil {
		return nil, err
	}
	p.fold = fold
	if !p.take(")") {
		return nil, p.wrong("a ( without its )")
	}
	return wrap(n), nil
}

// escape is the characters that an escape stands for, and the one where it is one: what follows the backslash.
func (p *parser) escape() (func(rune) bool, rune, error) {
	r := p.next()
	not := func(in func(rune) bool) func(rune) bool { return func(r rune) bool { return !in(r) } }
	switch r {
	case 's':
		return unicode.IsSpace, -1, nil
	case 'S':
		return not(unicode.IsSpace), -1, nil
	case 'd':
		return unicode.IsDigit, -1, nil
	case 'D':
		return not(unicode.IsDigit), -1, nil
	case 'w':
		return word, -1, nil
	case 'W':
		return not(word), -1, nil
	case 'p', 'P':
		in, err := p.property()
		if r == 'P' && err == nil {
			in = not(in)
		}
		return in, -1, err
	case 'n':
		r = '\n'
	case 'r':
		r = '\r'
	case 't':
		r = '\t'
	case 'f':
		r = '\f'
	case 'v':
		r = '\v'
	case 'x', 'u':
		digits := p.rest
		if p.take("{") {
			var ok bool
			if digits, p.rest, ok = strings.Cut(p.rest, "}"); !ok {
				return nil, 0, p.wrong("\\%c{", r)
			}
		} else {
			n := map[rune]int{'x': 2, 'u': 4}[r]
			if len(digits) < n {
				return nil, 0, p.wrong("\\%c%s", r, digits)
			}
			digits, p.rest = digits[:n], digits[n:]
		}
		n, err := strconv.ParseUint(digits, 16, 21)
		if err != nil {
			return nil, 0, p.wrong("\\%c%s", r, digits)
		}
		r = rune(n)
	case -1:
		return nil, 0, p.wrong("a \\ at the end")
	default:
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return nil, 0, p.wrong("\\%c", r)
		}
	}
	return one(r, p.fold).in, r, nil
}

// property is the characters of \p{...}: a category or a script of Unicode.
func (p *parser) property() (func(rune) bool, error) {
	if !p.take("{") {
		return nil, p.wrong("\\p without a brace")
	}
	name, rest, ok := strings.Cut(p.rest, "}")
	if !ok {
		return nil, p.wrong("\\p{")
	}
	p.rest = rest
	bare, deny := strings.CutPrefix(name, "^")
	table := unicode.Categories[bare]
	if table == nil {
		table = unicode.Scripts[bare]
	}
	if table == nil {
		return nil, p.wrong("\\p{%.40s}", name)
	}
	return func(r rune) bool { return unicode.Is(table, r) != deny }, nil
}

// set is what stands within brackets, the first of which was read: members, and && between those that a character must
// be one of each.
func (p *parser) set() (func(rune) bool, error) {
	deny := p.take("^")
	var list []func(rune) bool
	var others [][]func(rune) bool
	for first := true; ; first = false {
		if p.rest == "" {
			return nil, p.wrong("a [ without its ]")
		}
		if !first && p.take("]") {
			break
		}
		if p.take("&&") {
			others = append(others, list)
			list = nil
			continue
		}
		low, in, err := p.member()
		if err != nil {
			return nil, err
		}
		if in == nil {
			if high, ok, err := p.through(); err != nil {
				return nil, err
			} else if ok {
				in = between(low, high, p.fold)
			} else {
				in = one(low, p.fold).in
			}
		}
		list = append(list, in)
	}
	others = append(others, list)
	return func(r rune) bool {
		outside := slices.ContainsFunc(others, func(list []func(rune) bool) bool {
			return !slices.ContainsFunc(list, func(in func(rune) bool) bool { return in(r) })
		})
		return !outside != deny
	}, nil
}

// member is one character of a set, or the characters that an escape or an inner set stands for.
func (p *parser) member() (rune, func(rune) bool, error) {
	r := p.next()
	switch {
	case r == '[' && strings.HasPrefix(p.rest, ":"):
		return 0, nil, p.wrong("[:")
	case r == '[':
		if p.depth++; p.depth > maxGroups {
			return 0, nil, p.wrong("sets within more than %d others", maxGroups)
		}
		in, err := p.set()
		p.depth--
		return 0, in, err
	case r == '\\':
		in, c, err := p.escape()
		if err != nil || c < 0 {
			return 0, in, err
		}
		return c, nil, nil
	}
	return r, nil, nil
}

// through is the other end of a range, where a dash says that there is one.
func (p *parser) through() (rune, bool, error) {
	if !strings.HasPrefix(p.rest, "-") || strings.HasPrefix(p.rest, "-]") || p.rest == "-" {
		return 0, false, nil
	}
	p.next()
	high, in, err := p.member()
	if err == nil && in != nil {
		err = p.wrong("a range that ends in a set")
	}
	return high, true, err
}

func between(low, high rune, fold bool) func(rune) bool {
	if !fold {
		return func(r rune) bool { return low <= r && r <= high }
	}
	return func(r rune) bool {
		return low <= r && r <= high || low <= unicode.ToLower(r) && unicode.ToLower(r) <= high || low <= unicode.ToUpper(r) && unicode.ToUpper(r) <= high
	}
}

// word reports whether a character is part of a word.
func word(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r) || unicode.Is(unicode.Pc, r)
}
