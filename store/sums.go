package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// sumsName is the file that holds the digests of those beside and below it, as sha256sum writes it.
const sumsName = "SHA256SUMS"

// maxSums bounds the bytes of one such file: a line for each of the files that a version may have.
const maxSums = 32 << 20

// Digests reads the digests that are recorded beside a version's files: name → SHA-256 in hexadecimal, from a
// SHA256SUMS in the version's folder or in folders of it (whose names are meant from there), and those that the store
// knows from content-addressed names. What is recorded of files that are not there is left out.
//
// It reads the SHA256SUMS files and nothing else. A version with none has no digests and no error; one that is broken
// fails as ParseSums does, and two statements that differ as fault.Mismatch.
func Digests(ctx context.Context, v *Version) (map[string]string, error) {
	digests := map[string]string{}
	for _, f := range v.Files {
		if f.SHA256 != "" {
			digests[f.Name] = f.SHA256
		}
	}
	for _, f := range v.Files {
		if path.Base(f.Name) != sumsName {
			continue
		}
		if f.Err != nil {
			return nil, f.Err
		}
		if f.Source.Size() > maxSums {
			return nil, fault.In(f.Name, fault.New(fault.Limit, "has %d bytes, more than %d", f.Source.Size(), maxSums))
		}
		text := make([]byte, f.Source.Size())
		if n, err := f.Source.ReadAt(ctx, text, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(text)) {
			return nil, err
		}
		sums, err := ParseSums(text)
		if err != nil {
			return nil, fault.In(f.Name, err)
		}
		for name, sum := range sums {
			name = path.Join(path.Dir(f.Name), name)
			if v.File(name) == nil {
				continue
			}
			if was, ok := digests[name]; ok && was != sum {
				return nil, fault.In(f.Name, fault.New(fault.Mismatch, "says that %s has SHA-256 %s, which is recorded as %s elsewhere", name, sum, was))
			}
			digests[name] = sum
		}
	}
	return digests, nil
}

// ParseSums reads a file of SHA-256 digests, in the two forms of GNU coreutils' sha256sum, which may be mixed:
//
//	HEX  NAME                 64 digits, a blank, and a blank or * (text or binary, which is the same)
//	SHA256 (NAME) = HEX       with --tag, as the BSDs write it
//
// A line that begins with \ has \\, \n and \r in its name for a backslash, a line feed and a carriage return. Empty
// lines and those that begin with # are passed over, and so are BSD lines of other digests. Names are slash-separated
// and relative; ./ in front is dropped.
//
// Fails with the byte offset of the line: fault.Malformed for any other line, fault.Unsafe for a name that is absolute
// or has .. in it, fault.Duplicate for a second, different digest of one name.
func ParseSums(text []byte) (map[string]string, error) {
	sums := map[string]string{}
	for off := 0; off < len(text); {
		line := text[off:]
		next := len(text)
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, next = line[:i], off+i+1
		}
		name, sum, err := parseSum(strings.TrimSuffix(string(line), "\r"))
		if err == nil && name != "" {
			if was, ok := sums[name]; ok && was != sum {
				err = fault.New(fault.Duplicate, "%q has two digests", name)
			}
			sums[name] = sum
		}
		if err != nil {
			err.Off = int64(off)
			return nil, err
		}
		off = next
	}
	return sums, nil
}

// parseSum reads one line; the name is "" where it says nothing.
func parseSum(line string) (name, sum string, err *fault.Error) {
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	escaped := line[0] == '\\'
	if escaped {
		line = line[1:]
	}
	if algorithm, rest, ok := strings.Cut(line, " ("); ok && isAlgorithm(algorithm) {
		i := strings.LastIndex(rest, ") = ")
		if i < 0 {
			return "", "", fault.New(fault.Malformed, "a line that begins %q has no \") = \"", algorithm+" (")
		}
		if algorithm != "SHA256" {
			return "", "", nil
		}
		name, sum = rest[:i], rest[i+len(") = "):]
	} else {
		if len(line) < 67 || line[64] != ' ' || line[65] != ' ' && line[65] != '*' {
			return "", "", fault.New(fault.Malformed, "is no line of 64 hexadecimal digits, two blanks and a name")
		}
		name, sum = line[66:], line[:64]
	}
	if raw, bad := hex.DecodeString(sum); bad != nil || len(raw) != 32 {
		return "", "", fault.New(fault.Malformed, "%.80q is no SHA-256 in hexadecimal", sum)
	}
	if escaped {
		if name, err = unescape(name); err != nil {
			return "", "", err
		}
	}
	for name != "" && strings.HasPrefix(name, "./") {
		name = strings.TrimLeft(name[2:], "/")
	}
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", "", fault.New(fault.Malformed, "has no name, or a zero byte in it")
	case name[0] == '/':
		return "", "", fault.New(fault.Unsafe, "the name %q is absolute", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", "", fault.New(fault.Unsafe, "the name %q leads out of the folder", name)
		}
	}
	return path.Clean(name), strings.ToLower(sum), nil
}

// isAlgorithm reports whether a word can be the name of a digest, as in SHA512/256 or BLAKE2b-256.
func isAlgorithm(word string) bool {
	if word == "" || len(word) > 16 || word[0] < 'A' || word[0] > 'Z' {
		return false
	}
	for _, c := range []byte(word) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '/' {
			return false
		}
	}
	return true
}

// unescape undoes sha256sum's escapes.
func unescape(name string) (string, *fault.Error) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '\\' {
			i++
			if i == len(name) {
				return "", fault.New(fault.Malformed, "the name %q ends within an escape", name)
			}
			switch name[i] {
			case '\\':
				c = '\\'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			default:
				return "", fault.New(fault.Malformed, "the name %q has the unknown escape \\%c", name, name[i])
			}
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
