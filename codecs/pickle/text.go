package pickle

import (
	"strconv"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// text executes the opcodes of str, bytes and bytearray.
func (m *machine) text(op byte) error {
	switch op {
	case opUnicode:
		line, err := m.line()
		if err != nil {
			return err
		}
		text, err := m.rawUnicodeEscape(line)
		if err != nil {
			return err
		}
		return m.make(text)
	case opString:
		line, err := m.line()
		if err != nil {
			return err
		}
		raw, err := m.stringEscape(line)
		if err != nil {
			return err
		}
		return m.make(byteString(raw))
	}

	var raw []byte
	var err error
	switch op {
	case opShortBinunicode, opShortBinbytes, opShortBinstring:
		raw, err = m.counted(1)
	case opBinunicode, opBinbytes:
		raw, err = m.counted(4)
	case opBinstring:
		raw, err = m.signed()
	default: // BINUNICODE8, BINBYTES8, BYTEARRAY8
		raw, err = m.counted(8)
	}
	if err != nil {
		return err
	}
	switch op {
	case opBinstring, opShortBinstring:
		return m.make(byteString(raw))
	case opBinbytes, opShortBinbytes, opBinbytes8:
		return m.make(Bytes(raw))
	case opBytearray8: // as the older protocols write one
		return m.make(&Object{Class: &Global{Module: "builtins", Name: "bytearray", Off: int64(m.start)},
			Args: &Tuple{Items: []Value{Bytes(raw)}}, Off: int64(m.start)})
	}
	text, err := m.utf8(raw)
	if err != nil {
		return err
	}
	return m.make(text)
}

// byteString is a str of Python 2.
func byteString(raw []byte) Value {
	if utf8.Valid(raw) {
		return string(raw)
	}
	return Bytes(raw)
}

// rawUnicodeEscape is a UNICODE's line: Latin-1 in which \uXXXX and \UXXXXXXXX stand for what is not.
func (m *machine) rawUnicodeEscape(line string) (string, error) {
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); {
		digits := 0
		if line[i] == '\\' && i+1 < len(line) {
			switch line[i+1] {
			case 'u':
				digits = 4
			case 'U':
				digits = 8
			case '\\': // not the beginning of an escape, nor is what follows it
				out = append(out, '\\', '\\')
				i += 2
				continue
			}
		}
		if digits == 0 {
			out = utf8.AppendRune(out, rune(line[i]))
			i++
			continue
		}
		if i+2+digits > len(line) {
			return "", m.fault(fault.Malformed, "a \\%c that ends after %d of %d digits", line[i+1], len(line)-i-2, digits)
		}
		c, err := strconv.ParseUint(line[i+2:i+2+digits], 16, 32)
		if err != nil || c > utf8.MaxRune {
			return "", m.fault(fault.Malformed, "%s is no character", quoted(line[i:i+2+digits]))
		}
		out = appendRune(out, rune(c))
		i += 2 + digits
	}
	return string(out), nil
}

// appendRune is utf8.AppendRune that keeps lone surrogates, as Python's surrogatepass does.
func appendRune(out []byte, c rune) []byte {
	if c >= 0xd800 && c <= 0xdfff {
		return append(out, 0xe0|byte(c>>12), 0x80|byte(c>>6)&0x3f, 0x80|byte(c)&0x3f)
	}
	return utf8.AppendRune(out, c)
}

// escapes are Python's escapes of one character.
var escapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// stringEscape is a STRING's line: a quoted literal of Python 2 with its escapes. Backslashes that begin no escape
// stand for themselves.
func (m *machine) stringEscape(line string) ([]byte, error) {
	for len(line) > 0 && (line[len(line)-1] == ' ' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if len(line) < 2 || line[0] != '\'' && line[0] != '"' || line[len(line)-1] != line[0] {
		return nil, m.fault(fault.Malformed, "a STRING without its quotes: %s", quoted(line))
	}
	line = line[1 : len(line)-1]
	out := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if i++; i == len(line) {
			return nil, m.fault(fault.Malformed, "a STRING ends in a backslash")
		}
		switch c = line[i]; {
		case c == 'x':
			if i+2 >= len(line) {
				return nil, m.fault(fault.Malformed, "a \\x without its two digits")
			}
			n, err := strconv.ParseUint(line[i+1:i+3], 16, 8)
			if err != nil {
				return nil, m.fault(fault.Malformed, "a \\x without its two digits: %s", quoted(line[i+1:i+3]))
			}
			out = append(out, byte(n))
			i += 2
		case c >= '0' && c <= '7':
			n := 0
			digits := 0
			for ; digits < 3 && i+digits < len(line) && line[i+digits] >= '0' && line[i+digits] <= '7'; digits++ {
				n = n<<3 | int(line[i+digits]-'0')
			}
			out = append(out, byte(n))
			i += digits - 1
		default:
			if e, ok := escapes[c]; ok {
				out = append(out, e)
			} else {
				out = append(out, '\\', c)
			}
		}
	}
	return out, nil
}
