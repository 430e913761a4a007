package safetensors

import (
	"context"
	"io"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// maxDepth is how deep arrays and objects may nest: what serde_json, the reference reader's parser, allows.
const maxDepth = 128

// maxName is the longest name in bytes.
const maxName = 64 << 10

// window is how much of the source is held at a time.
const window = 256 << 10

// scanner reads RFC 8259 JSON from a source, piece by piece. It takes what the reference reader's parser takes:
// no comments, no byte order mark, no trailing commas, no text after the value; UTF-8 throughout, surrogates only in
// pairs. encoding/json is no help here: it keeps the last of two equal names, turns bytes that are no UTF-8 into
// U+FFFD, so that two names can become one, and holds the whole text with a tree of it.
type scanner struct {
	ctx   context.Context
	src   layout.Source
	buf   []byte // the window
	pos   int    // of the next byte in buf
	base  int64  // offset of buf[0] in the source
	end   int64  // offset of the end of the text
	depth int
	text  []byte // the last string
}

func newScanner(ctx context.Context, src layout.Source, off, size int64) *scanner {
	return &scanner{ctx: ctx, src: src, base: off, end: off + size, buf: make([]byte, 0, min(window, size))}
}

// off is the offset of the next byte in the source.
func (s *scanner) off() int64 { return s.base + int64(s.pos) }

// more makes the next byte available; false at the end of the text.
func (s *scanner) more() (bool, error) {
	if s.pos < len(s.buf) {
		return true, nil
	}
	s.base += int64(len(s.buf))
	s.buf, s.pos = s.buf[:0], 0
	n := min(int64(cap(s.buf)), s.end-s.base)
	if n <= 0 {
		return false, nil
	}
	if err := readFull(s.ctx, s.src, s.buf[:n], s.base); err != nil {
		return false, err
	}
	s.buf = s.buf[:n]
	return true, nil
}

// readFull fills p. A source that ends early has changed since its size was taken.
func readFull(ctx context.Context, src layout.Source, p []byte, off int64) error {
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := src.ReadAt(ctx, p, off)
		if n == len(p) {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if n <= 0 {
			return fault.At(fault.Changed, off, "the file ended where it had %d bytes before", src.Size())
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// next takes a byte; the text must not end here.
func (s *scanner) next() (byte, error) {
	ok, err := s.more()
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fault.At(fault.Malformed, s.off(), "the JSON text ends too early")
	}
	c := s.buf[s.pos]
	s.pos++
	return c, nil
}

// peek is the first byte that is no white space; false at the end of the text.
func (s *scanner) peek() (byte, bool, error) {
	for {
		for s.pos < len(s.buf) {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
				s.pos++
			default:
				return c, true, nil
			}
		}
		if ok, err := s.more(); !ok || err != nil {
			return 0, false, err
		}
	}
}

// expect takes the byte c after any white space.
func (s *scanner) expect(c byte, after string) error {
	got, ok, err := s.peek()
	if err != nil {
		return err
	}
	if !ok || got != c {
		return s.unexpected(got, ok, "%q %s", c, after)
	}
	s.pos++
	return nil
}

// unexpected is the fault that something else stands at the next byte than what is described.
func (s *scanner) unexpected(got byte, ok bool, want string, args ...any) error {
	err := fault.At(fault.Malformed, s.off(), "expected "+want, args...)
	if ok {
		err.Reason += " and found " + quoteByte(got)
	} else {
		err.Reason += " and found the end of the text"
	}
	return err
}

func quoteByte(c byte) string {
	if c >= 0x20 && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	const hex = "0123456789abcdef"
	return "byte 0x" + string([]byte{hex[c>>4], hex[c&15]})
}

// finish checks that nothing but white space follows.
func (s *scanner) finish() error {
	c, ok, err := s.peek()
	if err == nil && ok {
		err = s.unexpected(c, ok, "nothing after the JSON value")
	}
	return err
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return fault.At(fault.Limit, s.off(), "arrays and objects nest deeper than %d", maxDepth)
	}
	return nil
}

// object reads an object; member is called with each name, before its value, which it must read. The name is valid
// until then.
func (s *scanner) object(member func(name []byte, at int64) error) error {
	if err := s.expect('{', "to begin an object"); err != nil {
		return err
	}
	return s.members('}', func() error {
		at := s.off()
		name, err := s.string(maxName)
		if err != nil {
			return err
		}
		if err := s.expect(':', "after a name"); err != nil {
			return err
		}
		return member(name, at)
	})
}

// array reads an array; element must read one value.
func (s *scanner) array(element func() error) error {
	if err := s.expect('[', "to begin an array"); err != nil {
		return err
	}
	return s.members(']', element)
}

// members reads what stands between brackets, of which the first was read.
func (s *scanner) members(closing byte, member func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	c, ok, err := s.peek()
	if err != nil {
		return err
	}
	if ok && c == closing {
		s.pos++
		s.depth--
		return nil
	}
	for {
		if _, _, err := s.peek(); err != nil {
			return err
		}
		if err := member(); err != nil {
			return err
		}
		c, ok, err := s.peek()
		if err != nil {
			return err
		}
		switch {
		case ok && c == ',':
			s.pos++
		case ok && c == closing:
			s.pos++
			s.depth--
			return nil
		default:
			return s.unexpected(c, ok, "',' or %q", closing)
		}
	}
}

// string reads a string of at most limit bytes, escapes decoded. The bytes are valid until the next call.
func (s *scanner) string(limit int64) ([]byte, error) {
	if err := s.expect('"', "to begin a string"); err != nil {
		return nil, err
	}
	start := s.off()
	s.text = s.text[:0]
	for {
		if ok, err := s.more(); err != nil {
			return nil, err
		} else if !ok {
			return nil, fault.At(fault.Malformed, s.off(), "the text ends within a string")
		}
		i := s.pos
		for i < len(s.buf) && s.buf[i] != '"' && s.buf[i] != '\\' && s.buf[i] >= 0x20 {
			i++
		}
		s.text = append(s.text, s.buf[s.pos:i]...)
		s.pos = i
		if int64(len(s.text)) > limit {
			return nil, fault.At(fault.Limit, start, "a name of more than %d bytes", limit)
		}
		if i == len(s.buf) {
			continue
		}
		switch c := s.buf[i]; c {
		case '"':
			s.pos++
			if !utf8.Valid(s.text) {
				return nil, fault.At(fault.Malformed, start, "the string is not UTF-8")
			}
			return s.text, nil
		case '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, fault.At(fault.Malformed, s.off(), "control character 0x%02x in a string", c)
		}
	}
}

// escape reads an escape and appends what it stands for to s.text.
func (s *scanner) escape() error {
	at := s.off()
	s.pos++ // the backslash
	c, err := s.next()
	if err != nil {
		return err
	}
	switch c {
	case '"', '\\', '/':
		s.text = append(s.text, c)
	case 'b':
		s.text = append(s.text, '\b')
	case 'f':
		s.text = append(s.text, '\f')
	case 'n':
		s.text = append(s.text, '\n')
	case 'r':
		s.text = append(s.text, '\r')
	case 't':
		s.text = append(s.text, '\t')
	case 'u':
		r, err := s.hex4()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			for _, want := range []byte{'\\', 'u'} {
				if c, err := s.next(); err != nil {
					return err
				} else if c != want {
					return fault.At(fault.Malformed, at, "a surrogate escape stands alone")
				}
			}
			if low, err = s.hex4(); err != nil {
				return err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return fault.At(fault.Malformed, at, "two surrogate escapes are no pair")
			}
		}
		s.text = utf8.AppendRune(s.text, r)
	default:
		return fault.At(fault.Malformed, at, "unknown escape '\\' %s", quoteByte(c))
	}
	return nil
}

func (s *scanner) hex4() (rune, error) {
	var r rune
	for range 4 {
		at := s.off()
		c, err := s.next()
		if err != nil {
			return 0, err
		}
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, fault.At(fault.Malformed, at, "expected four hexadecimal digits and found %s", quoteByte(c))
		}
	}
	return r, nil
}

// integer reads a whole number of at most 63 bits: no sign, no fraction, no exponent.
func (s *scanner) integer(what string) (int64, error) {
	c, ok, err := s.peek()
	if err != nil {
		return 0, err
	}
	at := s.off()
	if !ok || c < '0' || c > '9' {
		return 0, s.unexpected(c, ok, "%s to be a whole number", what)
	}
	var n int64
	digits, over := 0, false
	for {
		ok, err := s.more()
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		c := s.buf[s.pos]
		if c == '.' || c == 'e' || c == 'E' {
			return 0, fault.At(fault.Malformed, at, "%s is not a whole number", what)
		}
		if c < '0' || c > '9' {
			break
		}
		if digits == 1 && n == 0 {
			return 0, fault.At(fault.Malformed, at, "%s begins with 0 and goes on", what)
		}
		if over = over || n > (math.MaxInt64-int64(c-'0'))/10; !over {
			n = n*10 + int64(c-'0')
		}
		digits++
		s.pos++
	}
	if over {
		return 0, fault.At(fault.Overflow, at, "%s does not fit 63 bits", what)
	}
	return n, nil
}

// null reads the word null if it stands here.
func (s *scanner) null() (bool, error) {
	c, ok, err := s.peek()
	if err != nil || !ok || c != 'n' {
		return false, err
	}
	return true, s.word("null")
}

func (s *scanner) word(w string) error {
	at := s.off()
	for i := range len(w) {
		if c, err := s.next(); err != nil {
			return err
		} else if c != w[i] {
			return fault.At(fault.Malformed, at, "expected %s", w)
		}
	}
	return nil
}

// skip reads any value.
func (s *scanner) skip() error {
	c, ok, err := s.peek()
	if err != nil {
		return err
	}
	switch {
	case !ok:
	case c == '{':
		return s.object(func([]byte, int64) error { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == '"':
		_, err := s.string(s.end)
		return err
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	return s.unexpected(c, ok, "a value")
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() error {
	at := s.off()
	take := func(set string) (bool, error) {
		ok, err := s.more()
		if err != nil || !ok || strings.IndexByte(set, s.buf[s.pos]) < 0 {
			return false, err
		}
		s.pos++
		return true, nil
	}
	digits := func() (n int, err error) {
		for {
			ok, err := take("0123456789")
			if !ok || err != nil {
				return n, err
			}
			n++
		}
	}
	if _, err := take("-"); err != nil {
		return err
	}
	zero, err := take("0")
	if err != nil {
		return err
	}
	n, err := digits()
	if err != nil {
		return err
	}
	if zero == (n > 0) {
		return fault.At(fault.Malformed, at, "this is no number")
	}
	for _, part := range []struct{ mark, sign string }{{".", ""}, {"eE", "+-"}} {
		ok, err := take(part.mark)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if part.sign != "" {
			if _, err := take(part.sign); err != nil {
				return err
			}
		}
		if n, err = digits(); err != nil {
			return err
		}
		if n == 0 {
			return fault.At(fault.Malformed, at, "this is no number")
		}
	}
	return nil
}
