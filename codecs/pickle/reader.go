package pickle

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// reader takes opcodes and their arguments from a pickle.
type reader struct {
	data  []byte
	base  int64 // of data in its file
	pos   int   // of the next byte
	start int   // of the opcode that is executed
	fixed bool  // base is where all of data lies
}

// off is where the opcode that is executed lies in the file.
func (r *reader) off() int64 {
	if r.fixed {
		return r.base
	}
	return r.base + int64(r.start)
}

func (r *reader) left() int { return len(r.data) - r.pos }

// fault is a fault at the opcode that is executed.
func (r *reader) fault(kind fault.Kind, format string, args ...any) error {
	return fault.At(kind, r.off(), format, args...)
}

func (r *reader) byte() (byte, error) {
	raw, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return raw[0], nil
}

// take is the next n bytes.
func (r *reader) take(n int) ([]byte, error) {
	if n > r.left() {
		return nil, r.fault(fault.Truncated, "an argument of %d bytes, and the pickle ends after %d", n, r.left())
	}
	raw := r.data[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return raw, nil
}

// uint is the next number of width bytes, little-endian.
func (r *reader) uint(width int) (uint64, error) {
	raw, err := r.take(width)
	if err != nil {
		return 0, err
	}
	var n uint64
	for i, b := range raw {
		n |= uint64(b) << (8 * i)
	}
	return n, nil
}

func bigEndian(raw []byte) uint64 { return binary.BigEndian.Uint64(raw) }

// counted is the bytes behind a length of width bytes.
func (r *reader) counted(width int) ([]byte, error) {
	n, err := r.uint(width)
	if err != nil {
		return nil, err
	}
	if n > uint64(r.left()) {
		return nil, r.fault(fault.Truncated, "an argument of %d bytes, and the pickle ends after %d", n, r.left())
	}
	return r.take(int(n))
}

// signed is counted, for the opcodes whose length of 4 bytes is signed: LONG4 and BINSTRING.
func (r *reader) signed() ([]byte, error) {
	if r.left() >= 4 && r.data[r.pos+3]&0x80 != 0 {
		return nil, r.fault(fault.Malformed, "a length of %d", int32(binary.LittleEndian.Uint32(r.data[r.pos:])))
	}
	return r.counted(4)
}

// line is the text up to the next newline, which is taken too.
func (r *reader) line() (string, error) {
	n := bytes.IndexByte(r.data[r.pos:], '\n')
	if n < 0 {
		return "", r.fault(fault.Truncated, "an argument that is a line, and the pickle ends without a newline")
	}
	text := string(r.data[r.pos : r.pos+n])
	r.pos += n + 1
	return text, nil
}

// decimal is the value of an INT, LONG or FLOAT.
func (r *reader) decimal(op byte, line string) (Value, error) {
	if len(line) > maxDigits {
		return nil, r.fault(fault.Limit, "a number of %d characters, more than %d", len(line), maxDigits)
	}
	switch {
	case op == opFloat:
		// Go's own spellings of numbers go beyond Python's
		if x, err := strconv.ParseFloat(line, 64); !strings.ContainsAny(line, "xXpP_") && (err == nil || math.IsInf(x, 0)) {
			if math.IsNaN(x) {
				x = math.Float64frombits(0x7ff8 << 48) // Python's; Go's has another payload
			}
			return x, nil
		}
		return nil, r.fault(fault.Malformed, "%s is no float", quoted(line))
	case op == opInt && line == "00": // as protocols 0 and 1 spell False
		return false, nil
	case op == opInt && line == "01":
		return true, nil
	}
	digits := line
	if op == opLong {
		digits = strings.TrimSuffix(line, "L")
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n, nil
	}
	if n, ok := new(big.Int).SetString(digits, 10); ok {
		return whole(n), nil
	}
	return nil, r.fault(fault.Malformed, "%s is no int", quoted(line))
}

// utf8 is raw as a string, where it is what Python encodes a str as.
func (r *reader) utf8(raw []byte) (string, error) {
	text := string(raw)
	if at := invalid(text); at >= 0 {
		return "", r.fault(fault.Malformed, "byte %d of a str of %d bytes is no UTF-8", at, len(raw))
	}
	return text, nil
}

// invalid is where text is not UTF-8 in which surrogates may stand alone, -1 where it is.
func invalid(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		if c == utf8.RuneError && n == 1 {
			if !surrogate(text[i:]) {
				return i
			}
			n = 3
		}
		i += n
	}
	return -1
}

// surrogate reports whether text begins with the three bytes that UTF-8's rule would make of U+D800 to U+DFFF.
func surrogate(text string) bool {
	return len(text) >= 3 && text[0] == 0xed && text[1] >= 0xa0 && text[1] <= 0xbf && text[2] >= 0x80 && text[2] <= 0xbf
}

// quoted is text for a message: short, and in quotes.
func quoted(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
