package hf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/big"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Bounds of a JSON text. Real configurations have some hundred values, the tokenizers that are held as values (their
// added tokens, not their vocabularies) some ten thousand.
const (
	maxDepth  = 256
	maxValues = 1 << 20  // that one text makes, vocabularies apart
	maxText   = 64 << 20 // bytes of all their strings
)

// Object is a JSON object, its members in their order. Values are nil, bool, int64, *big.Int where that is too small,
// float64, string, []any and *Object. Of a member that is given twice the last counts, as for Python's json, which
// reads these files everywhere else. A nil Object has no members.
type Object struct {
	keys   []string
	values map[string]any
}

// Keys are the names of the members.
func (o *Object) Keys() []string {
	if o == nil {
		return nil
	}
	return o.keys
}

// Get is a member's value, and whether there is one.
func (o *Object) Get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.values[key]
	return v, ok
}

// Value is a member's value; nil where there is none.
func (o *Object) Value(key string) any {
	v, _ := o.Get(key)
	return v
}

// Object is a member that is an object; nil where it is none.
func (o *Object) Object(key string) *Object {
	v, _ := o.Value(key).(*Object)
	return v
}

// List is a member that is an array; nil where it is none.
func (o *Object) List(key string) []any {
	v, _ := o.Value(key).([]any)
	return v
}

// Text is a member that is a string; "" where it is none.
func (o *Object) Text(key string) string {
	v, _ := o.Value(key).(string)
	return v
}

// Set gives a member a value, in its old place or at the end.
func (o *Object) Set(key string, v any) {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// Default gives a member a value where it has none.
func (o *Object) Default(key string, v any) {
	if _, ok := o.Get(key); !ok {
		o.Set(key, v)
	}
}

// Clone is a copy with members of its own; their values are shared.
func (o *Object) Clone() *Object {
	c := &Object{}
	for _, key := range o.Keys() {
		c.Set(key, o.values[key])
	}
	return c
}

// Int is a value that is a whole number.
func Int(v any) (int64, bool) {
	n, ok := v.(int64)
	return n, ok
}

// Float is a value that is a number.
func Float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case *big.Int:
		f, _ := v.Float64()
		return f, true
	}
	return 0, false
}

// True reports whether Python takes a value for true.
func True(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case *Object:
		return len(v.Keys()) > 0
	}
	return true
}

// scanner reads a JSON text from a file in pieces. It takes what Python's json takes: NaN, Infinity and -Infinity are
// numbers.
type scanner struct {
	ctx  context.Context
	ws   layout.Workspace
	file *layout.File

	buf    []byte // what was read and not used: bytes from off
	off    int64  // of buf[0] in the file
	depth  int
	values int    // made so far
	size   int64  // of their strings
	text   []byte // the string that was read last
}

// pieceSize is how much of a text is read at once.
const pieceSize = 128 << 10

func newScanner(ctx context.Context, ws layout.Workspace, f *layout.File) *scanner {
	return &scanner{ctx: ctx, ws: ws, file: f}
}

// more reads on, and reports whether there is anything more.
func (s *scanner) more() (bool, error) {
	at := s.off + int64(len(s.buf))
	n := min(pieceSize, s.file.Size()-at)
	if n <= 0 {
		return false, nil
	}
	kept := len(s.buf)
	if cap(s.buf)-kept < int(n) {
		s.buf = append(make([]byte, 0, kept+pieceSize), s.buf...)
	}
	m, err := s.file.ReadAt(s.ctx, s.ws, s.buf[kept:kept+int(n)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	s.buf = s.buf[:kept+m]
	return m > 0, nil
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() (byte, error) {
	if len(s.buf) == 0 {
		if ok, err := s.more(); !ok {
			return 0, err
		}
	}
	return s.buf[0], nil
}

func (s *scanner) skip(n int) {
	s.buf = s.buf[n:]
	s.off += int64(n)
}

// space skips white space; then it is peek.
func (s *scanner) space() (byte, error) {
	for {
		c, err := s.peek()
		if err != nil || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, err
		}
		i := 1
		for i < len(s.buf) && (s.buf[i] == ' ' || s.buf[i] == '\n' || s.buf[i] == '\r' || s.buf[i] == '\t') {
			i++
		}
		s.skip(i)
	}
}

func (s *scanner) wrong(format string, args ...any) error {
	return fault.At(fault.Malformed, s.off, "this is not JSON: "+format, args...)
}

// expect takes one byte after white space.
func (s *scanner) expect(want byte) error {
	c, err := s.space()
	if err != nil {
		return err
	}
	if c != want {
		return s.wrong("%s where %q should stand", found(c), want)
	}
	s.skip(1)
	return nil
}

func found(c byte) string {
	if c == 0 {
		return "the end"
	}
	return strconv.QuoteRune(rune(c))
}

func (s *scanner) deeper() error {
	if s.depth++; s.depth > maxDepth {
		return fault.At(fault.Limit, s.off, "values within more than %d others", maxDepth)
	}
	return nil
}

// object calls member for each name; it stands before the value, which member must take.
func (s *scanner) object(member func(name string) error) error {
	return s.list('{', '}', func(c byte) error {
		if c != '"' {
			return s.wrong("%s where a name should stand", found(c))
		}
		if err := s.string(); err != nil {
			return err
		}
		name := string(s.text)
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// array calls item before each item, which item must take.
func (s *scanner) array(item func() error) error {
	return s.list('[', ']', func(byte) error { return item() })
}

// list calls item, which must take it, for each of what stands between commas from open to end, with its first byte.
func (s *scanner) list(open, end byte, item func(c byte) error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if err := s.deeper(); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := s.space()
		if err != nil {
			return err
		}
		if first && c == end {
			break
		}
		if err := item(c); err != nil {
			return err
		}
		if c, err = s.space(); err != nil {
			return err
		}
		if c == end {
			break
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
	s.depth--
	s.skip(1)
	return nil
}

// string reads a string into s.text.
func (s *scanner) string() error {
	s.text = s.text[:0]
	if err := s.expect('"'); err != nil {
		return err
	}
	for {
		c, err := s.peek()
		if err != nil {
			return err
		}
		switch {
		case c == '"':
			s.skip(1)
			if !utf8.Valid(s.text) {
				return s.wrong("a string that is not UTF-8")
			}
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.wrong("%s within a string", found(c))
		default:
			i := 1
			for i < len(s.buf) && s.buf[i] != '"' && s.buf[i] != '\\' && s.buf[i] >= ' ' {
				i++
			}
			s.text = append(s.text, s.buf[:i]...)
			s.skip(i)
		}
		if len(s.text) > maxText {
			return fault.At(fault.Limit, s.off, "a string of more than %d bytes", maxText)
		}
	}
}

// need makes n bytes stand in the buffer.
func (s *scanner) need(n int) error {
	for len(s.buf) < n {
		if ok, err := s.more(); err != nil {
			return err
		} else if !ok {
			return s.wrong("the end within a string")
		}
	}
	return nil
}

func (s *scanner) escape() error {
	if err := s.need(2); err != nil {
		return err
	}
	c := s.buf[1]
	if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
		s.text = append(s.text, "\"\\/\b\f\n\r\t"[i])
		s.skip(2)
		return nil
	}
	if c != 'u' {
		return s.wrong("the escape \\%c", c)
	}
	r, err := s.unit()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if err := s.need(2); err != nil {
			return err
		}
		low := rune(-1)
		if s.buf[0] == '\\' && s.buf[1] == 'u' {
			if low, err = s.unit(); err != nil {
				return err
			}
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return s.wrong("half of a pair of UTF-16")
		}
	}
	s.text = utf8.AppendRune(s.text, r)
	return nil
}

// unit is the four digits of \uXXXX.
func (s *scanner) unit() (rune, error) {
	if err := s.need(6); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(s.buf[2:6]), 16, 16)
	if err != nil {
		return 0, s.wrong("the escape %q", s.buf[:6])
	}
	s.skip(6)
	return rune(n), nil
}

// maxNumber is the longest number in digits, signs and letters.
const maxNumber = 1 << 12

// word reads what stands up to the next punctuation: a number or a name.
func (s *scanner) word() ([]byte, error) {
	var w []byte
	for {
		c, err := s.peek()
		if err != nil {
			return nil, err
		}
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '+', c == '.':
			w = append(w, c)
			s.skip(1)
		default:
			return w, nil
		}
		if len(w) > maxNumber {
			return nil, fault.At(fault.Limit, s.off, "a number of more than %d characters", maxNumber)
		}
	}
}

// value makes the next value.
func (s *scanner) value() (any, error) {
	if s.values++; s.values > maxValues {
		return nil, fault.At(fault.Limit, s.off, "more than %d values", maxValues)
	}
	c, err := s.space()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		o := &Object{}
		err := s.object(func(name string) error {
			if err := s.count(len(name)); err != nil {
				return err
			}
			v, err := s.value()
			o.Set(name, v)
			return err
		})
		return o, err
	case '[':
		list := []any{}
		err := s.array(func() error {
			v, err := s.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		if err := s.string(); err != nil {
			return nil, err
		}
		return string(s.text), s.count(len(s.text))
	}
	at := s.off
	w, err := s.word()
	if err != nil {
		return nil, err
	}
	switch string(w) {
	case "null":
		return nil, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	whole, ok := number(w)
	if !ok {
		if len(w) == 0 {
			return nil, s.wrong("%s where a value should stand", found(c))
		}
		return nil, fault.At(fault.Malformed, at, "this is not JSON: %.40q", w)
	}
	if whole {
		if n, err := strconv.ParseInt(string(w), 10, 64); err == nil {
			return n, nil
		}
		n, _ := new(big.Int).SetString(string(w), 10)
		return n, nil
	}
	f, _ := strconv.ParseFloat(string(w), 64) // what is out of range is an infinity, as in Python
	return f, nil
}

// count counts a string that is kept.
func (s *scanner) count(n int) error {
	if s.size += int64(n); s.size > maxText {
		return fault.At(fault.Limit, s.off, "strings of more than %d bytes in all", maxText)
	}
	return nil
}

// number reports whether w is a number of JSON, and whether it is written as a whole one.
func number(w []byte) (whole, ok bool) {
	digits := func() bool {
		n := 0
		for n < len(w) && '0' <= w[n] && w[n] <= '9' {
			n++
		}
		w = w[n:]
		return n > 0
	}
	w = bytes.TrimPrefix(w, []byte("-"))
	if len(w) > 1 && w[0] == '0' && '0' <= w[1] && w[1] <= '9' || !digits() {
		return false, false
	}
	whole = true
	if len(w) > 0 && w[0] == '.' {
		w, whole = w[1:], false
		if !digits() {
			return false, false
		}
	}
	if len(w) > 0 && (w[0] == 'e' || w[0] == 'E') {
		w, whole = w[1:], false
		if len(w) > 0 && (w[0] == '-' || w[0] == '+') {
			w = w[1:]
		}
		if !digits() {
			return false, false
		}
	}
	return whole, len(w) == 0
}

// pass skips the next value.
func (s *scanner) pass() error {
	c, err := s.space()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return s.object(func(string) error { return s.pass() })
	case '[':
		return s.array(s.pass)
	case '"':
		return s.string()
	}
	s.values-- // what is passed is not kept
	_, err = s.value()
	return err
}

// end checks that nothing follows.
func (s *scanner) end() error {
	c, err := s.space()
	if err != nil {
		return err
	}
	if c != 0 || len(s.buf) > 0 {
		return s.wrong("%s behind the value", found(c))
	}
	return nil
}

// Parse is the value of a JSON text.
func Parse(ctx context.Context, f *layout.File) (any, error) {
	s := newScanner(ctx, nil, f)
	v, err := s.value()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}
