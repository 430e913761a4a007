package npy

import (
	"math"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// maxDepth is how deep tuples, lists and dicts may nest.
const maxDepth = 128

// kind is the type of a literal.
type kind uint8

const (
	other kind = iota // a float, None, a negative number: no header needs it
	text
	integer
	truth
	tuple
	list
	dict
)

// value is a Python literal.
type value struct {
	kind kind
	at   int64 // offset in the file
	text string
	n    int64 // of an integer; -1 where it does not fit 63 bits
	true bool
	of   []value // elements; of a dict, keys and values in turn
}

// literal reads the part of Python's literals that NumPy's header is made of: strings without escapes, integers (with
// the L that Python 2 wrote), True and False, tuples, lists and dicts. Numbers of other kinds and None are read as
// other. Comments, prefixes, and strings side by side are refused: NumPy writes none.
type literal struct {
	text  string
	pos   int
	base  int64 // offset of the text in the file
	depth int
}

func (l *literal) off() int64 { return l.base + int64(l.pos) }

// peek is the first byte that is no white space; 0 at the end.
func (l *literal) peek() byte {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; c {
		case ' ', '\t', '\n', '\r', '\f':
			l.pos++
		case 0: // a NUL is no Python, and must not look like the end
			return 0xff
		default:
			return c
		}
	}
	return 0
}

func (l *literal) malformed(format string, args ...any) error {
	return fault.At(fault.Malformed, l.off(), format, args...)
}

func (l *literal) value() (value, error) {
	c := l.peek()
	at := l.off()
	switch {
	case c == '(' || c == '[' || c == '{':
		if l.depth++; l.depth > maxDepth {
			return value{}, fault.At(fault.Limit, at, "brackets nest deeper than %d", maxDepth)
		}
		v, err := l.bracket()
		l.depth--
		v.at = at
		return v, err
	case c == '\'' || c == '"':
		l.pos++
		n := strings.IndexByte(l.text[l.pos:], c)
		if n < 0 {
			return value{}, l.malformed("a string has no end")
		}
		s := l.text[l.pos : l.pos+n]
		if strings.ContainsAny(s, "\\\n") {
			return value{}, l.malformed("a string with an escape or a line break")
		}
		l.pos += n + 1
		return value{kind: text, at: at, text: s}, nil
	case '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.':
		return l.number()
	}
	for word, v := range map[string]value{"True": {kind: truth, true: true}, "False": {kind: truth}, "None": {}} {
		if rest, ok := strings.CutPrefix(l.text[l.pos:], word); ok && (rest == "" || !wordByte(rest[0])) {
			l.pos += len(word)
			v.at = at
			return v, nil
		}
	}
	if c == 0 {
		return value{}, l.malformed("the header ends where a value is expected")
	}
	return value{}, l.malformed("expected a value and found %q", c)
}

func wordByte(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// number reads 0|[1-9][0-9]*L? as an integer, and everything else that begins like a number as other.
func (l *literal) number() (value, error) {
	v := value{at: l.off()}
	from := l.pos
	for l.pos < len(l.text) && (wordByte(l.text[l.pos]) || strings.IndexByte(".+-", l.text[l.pos]) >= 0) {
		l.pos++
	}
	digits := strings.TrimSuffix(strings.TrimSuffix(l.text[from:l.pos], "L"), "l")
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(l.text[from:l.pos])-len(digits) > 1 {
		return v, nil
	}
	if len(digits) > 1 && digits[0] == '0' {
		return v, l.malformed("the number %s begins with 0 and goes on", digits)
	}
	v.kind = integer
	for _, c := range []byte(digits) {
		if v.n > (math.MaxInt64-int64(c-'0'))/10 {
			v.n = -1
			break
		}
		v.n = v.n*10 + int64(c-'0')
	}
	return v, nil
}

// bracket reads a tuple, a list or a dict. A value in parentheses without a comma is that value.
func (l *literal) bracket() (value, error) {
	var v value
	var closing byte
	switch l.text[l.pos] {
	case '(':
		v.kind, closing = tuple, ')'
	case '[':
		v.kind, closing = list, ']'
	default:
		v.kind, closing = dict, '}'
	}
	l.pos++
	commas := 0
	for {
		if l.peek() == closing {
			l.pos++
			if v.kind == tuple && commas == 0 && len(v.of) == 1 {
				return v.of[0], nil
			}
			return v, nil
		}
		items := len(v.of)
		if v.kind == dict {
			items /= 2
		}
		if commas < items {
			return v, l.malformed("expected ',' or %q", closing)
		}
		x, err := l.value()
		if err != nil {
			return v, err
		}
		v.of = append(v.of, x)
		if v.kind == dict {
			if l.peek() != ':' {
				return v, l.malformed("expected ':' after a key")
			}
			l.pos++
			if x, err = l.value(); err != nil {
				return v, err
			}
			v.of = append(v.of, x)
		}
		if l.peek() == ',' {
			l.pos++
			commas++
		}
	}
}
