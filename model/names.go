package model

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// maxFileName is the longest file name in bytes that Linux, macOS and most file systems take.
const maxFileName = 255

const upperHex = "0123456789ABCDEF"

// FileName is the name of a tensor's file, suffix included. The bytes A-Z a-z 0-9 . _ - + = @ , : stand for
// themselves, every other byte is %XX, and so is a leading . or -, so that no name is hidden, a path, or an option.
// The empty name is %_. A name that would be longer than 255 bytes is cut between two escapes and ends in %~ and the
// first 32 hexadecimal digits of the SHA-256 of the tensor's name. Different tensors have different files.
//
// The suffix is not escaped; it is ASCII, like ".npy".
func FileName(tensor, suffix string) string {
	if tensor == "" {
		return "%_" + suffix
	}
	var b strings.Builder
	cut := 0 // where a name that becomes too long is cut: the last boundary at which mark and suffix still fit
	room := maxFileName - len("%~") - 32 - len(suffix)
	for i := range len(tensor) {
		c := tensor[i]
		if plain(c) && (i > 0 || c != '.' && c != '-') {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
		if b.Len() <= room {
			cut = b.Len()
		}
		if b.Len()+len(suffix) > maxFileName {
			sum := sha256.Sum256([]byte(tensor))
			return b.String()[:cut] + "%~" + hex.EncodeToString(sum[:16]) + suffix
		}
	}
	return b.String() + suffix
}

// TensorName is the inverse of FileName. It reports false for what FileName never gives, and for a name that was cut:
// only tensors/index.json knows those.
func TensorName(file, suffix string) (string, bool) {
	escaped, ok := strings.CutSuffix(file, suffix)
	if !ok || len(file) > maxFileName {
		return "", false
	}
	if escaped == "%_" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) {
				return "", false
			}
			hi, lo := strings.IndexByte(upperHex, escaped[i+1]), strings.IndexByte(upperHex, escaped[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		b.WriteByte(c)
	}
	name := b.String()
	return name, name != "" && FileName(name, suffix) == file
}

func plain(c byte) bool {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("._-+=@,:", c) >= 0
}

// wrappers are what training wrappers put before every name: DataParallel and torch.compile.
var wrappers = []string{"module.", "_orig_mod."}

// Wrapper is what a training wrapper put before every one of these names, as often as every name has one; "" where that
// is nothing. also are prefixes that count as a wrapper's here.
func Wrapper(names []string, also ...string) string {
	prefixes := append(wrappers[:len(wrappers):len(wrappers)], also...)
	cut := ""
next:
	for len(names) > 0 {
		for _, w := range prefixes {
			if !slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, cut+w) }) {
				cut += w
				continue next
			}
		}
		break
	}
	return cut
}

// Unwrapped are the tensors under the names that the model itself gives them: without their Wrapper. It returns a copy,
// whose elements are the caller's.
func Unwrapped(tensors []Tensor) []Tensor {
	bare := slices.Clone(tensors)
	names := make([]string, len(bare))
	for i := range bare {
		names[i] = bare[i].Name
	}
	cut := len(Wrapper(names))
	for i := range bare {
		bare[i].Name = bare[i].Name[cut:]
	}
	return bare
}
