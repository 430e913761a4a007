package pickle

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// FuzzDecode: a pickle is a value or a fault with a kind and an offset within it; a value that Encode takes comes back
// as the same graph, and is written alike again; nothing makes more values than its bytes allow; and what would be
// imported does not depend on how the pickle is read.
func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pkl")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4096 {
			f.Add(data)
		}
	}
	for _, seed := range []string{
		"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "\x80\x04\x8f\x94(K\x01K\x02\x90.", "\x80\x02c__builtin__\ngetattr\ncm\nE\nX\x01\x00\x00\x00a\x86R.",
		"\x80\x03ctorch.storage\n_load_from_bytes\nC\x05cos\n.\x85R.", "cm\nC\n]h\x00\x85R.", "\x80\x02]q\x00h\x00\x85q\x01a0h\x01.", "(lp0\n(g0\nimy\nC\nag0\n.",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { obey(t, data) })
}

// FuzzProgram is FuzzDecode of programs that are mostly legal: each byte chooses an opcode that the stack has what for.
func FuzzProgram(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(choices(r))
	}
	f.Fuzz(func(t *testing.T, data []byte) { obey(t, program(data)) })
}

// TestPrograms is some thousand programs of FuzzProgram.
func TestPrograms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	read, written := 0, 0
	for range 5_000 {
		decoded, encoded := obey(t, program(choices(r)))
		if decoded {
			read++
		}
		if encoded {
			written++
		}
	}
	if read < 3_750 || written < 2_500 {
		t.Errorf("of 5,000 programs %d are read and %d written: they try too little", read, written)
	}
}

func choices(r *rand.Rand) []byte {
	data := make([]byte, r.IntN(200))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// program is a pickle that choices make.
func program(choices []byte) []byte {
	var out []byte
	var stack []byte // kinds: v a value, m a MARK, l a list, d a dict, s a set, t a tuple, g a global, o an object, k a str
	memo := []byte{} // kinds of what was memoised
	next := func() int {
		if len(choices) == 0 {
			return 0
		}
		c := choices[0]
		choices = choices[1:]
		return int(c)
	}
	push := func(kind byte, code ...byte) {
		out, stack = append(out, code...), append(stack, kind)
	}
	// above is how many values lie above the last MARK; marked, whether there is one
	above := func() (n int, marked bool) {
		for n < len(stack) {
			if stack[len(stack)-1-n] == 'm' {
				return n, true
			}
			n++
		}
		return n, false
	}
	top := func(i int) byte {
		if n, _ := above(); i < n {
			return stack[len(stack)-1-i]
		}
		return 0
	}
	drop := func(n int) { stack = stack[:len(stack)-n] }
	if next()%2 == 0 {
		out = append(out, 0x80, byte(next()%6))
	}
	for len(choices) > 0 {
		n, marked := above()
		switch c := next(); c % 36 {
		case 0:
			push('v', opNone)
		case 1:
			push('v', []byte{opNewtrue, opNewfalse}[next()%2])
		case 2:
			push('v', opBinint1, byte(next()))
		case 3:
			push('v', opLong1, 2, byte(next()), byte(next()))
		case 4:
			push('k', opShortBinunicode, 1, byte('a'+next()%4))
		case 5:
			push('v', opShortBinbytes, 2, byte(next()), 0xff)
		case 6:
			push('t', opEmptyTuple)
		case 7:
			push('l', opEmptyList)
		case 8:
			push('d', opEmptyDict)
		case 9:
			push('s', opEmptySet)
		case 10:
			push('m', opMark)
		case 11, 12:
			push('g', []byte([]string{"cm\nC\n", "ccollections\nOrderedDict\n", "c__builtin__\nset\n", "c__builtin__\ngetattr\n", "cbuiltins\nbytes\n", "c_codecs\nencode\n"}[next()%6])...)
		case 13, 14, 15:
			if m := 1 + next()%3; n >= m {
				out = append(out, opTuple1+byte(m-1))
				drop(m)
				stack = append(stack, 't')
			}
		case 16:
			if marked {
				kind := []byte{opTuple, opList, opFrozenset}[next()%3]
				out = append(out, kind)
				drop(n + 1)
				stack = append(stack, map[byte]byte{opTuple: 't', opList: 'l', opFrozenset: 's'}[kind])
			}
		case 17, 18:
			if (top(1) == 'l' || top(1) == 'o') && n >= 2 {
				out = append(out, opAppend)
				drop(1)
			}
		case 19:
			if marked && n < len(stack)-1 {
				switch stack[len(stack)-n-2] {
				case 'l', 'o':
					out = append(out, opAppends)
					drop(n + 1)
				case 's':
					out = append(out, opAdditems)
					drop(n + 1)
				case 'd':
					if n%2 == 0 {
						out = append(out, opSetitems)
						drop(n + 1)
					}
				}
			}
		case 20, 21, 22:
			if k := top(2); n >= 3 && (k == 'd' || k == 'o') && strings.IndexByte("kvgo", top(1)) >= 0 {
				out = append(out, opSetitem)
				drop(2)
			}
		case 23, 24, 25:
			if top(0) == 't' && (top(1) == 'g' || top(1) == 'o') {
				out = append(out, []byte{opReduce, opNewobj}[next()%2])
				drop(2)
				stack = append(stack, 'o')
			}
		case 26:
			if n >= 2 && top(1) == 'o' {
				out = append(out, opBuild)
				drop(1)
			}
		case 27:
			if n >= 3 && top(0) == 'd' && top(1) == 't' && top(2) == 'g' {
				out = append(out, opNewobjEx)
				drop(3)
				stack = append(stack, 'o')
			}
		case 28:
			if n >= 1 {
				out = append(out, opBinpersid)
				drop(1)
				stack = append(stack, 'v')
			}
		case 29:
			if n >= 1 && next()%4 == 0 {
				out = append(out, opPop)
				drop(1)
			}
		case 30:
			if n >= 1 {
				push(top(0), opDup)
			}
		case 31, 32:
			if n >= 1 && len(memo) < 256 {
				out = append(out, opBinput, byte(len(memo)))
				memo = append(memo, top(0))
			}
		default:
			if len(memo) > 0 {
				i := next() % len(memo)
				push(memo[i], opBinget, byte(i))
			}
		}
	}
	for { // what is left becomes one value
		n, marked := above()
		if !marked {
			break
		}
		out = append(out, opTuple)
		drop(n + 1)
		stack = append(stack, 't')
	}
	for len(stack) > 1 {
		m := min(len(stack), 3)
		out = append(out, opTuple1+byte(m-1))
		drop(m)
		stack = append(stack, 't')
	}
	if len(stack) == 0 {
		out = append(out, opNone)
	}
	return append(out, opStop)
}

// obey tests the laws of FuzzDecode, and says whether data was decoded, and encoded.
func obey(t *testing.T, data []byte) (decoded, encoded bool) {
	t.Helper()
	var found Imports
	v, n, err := Decode(data, Options{Imports: &found})
	if err != nil {
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind == fault.Unknown || e.Off < 0 || e.Off > int64(len(data)) {
			t.Fatalf("%v (%v)", err, fault.KindOf(err))
		}
		return decoded, encoded
	}
	if n > len(data) {
		t.Fatalf("%d of %d bytes", n, len(data))
	}
	decoded = true
	nodes := 0
	if err := Walk(v, 4*maxObjects*n, func(path []Step, v Value, again bool) (bool, error) { nodes++; return !again, nil }); err != nil {
		t.Fatal(err)
	}

	var apart Imports
	w, next, err := Read(bytes.NewReader(data), 0, int64(len(data)), int64(len(data)), Options{Imports: &apart})
	if err != nil || next != int64(n) {
		t.Fatalf("read from a file it ends at %d, not %d: %v", next, n, err)
	}
	if what := same(v, w); what != "" {
		t.Fatal("read from a file it is another value: ", what)
	}
	if a, b := found.List(), apart.List(); len(a) != len(b) || found.Worst() != apart.Worst() {
		t.Fatalf("imports %v, and from a file %v", a, b)
	}

	raw, err := Encode(v, EncodeOptions{})
	if err != nil {
		if kind := fault.KindOf(err); kind != fault.Limit && kind != fault.Unsupported {
			t.Fatal(err)
		}
		return decoded, encoded
	}
	if len(raw) > 64*n+64 {
		t.Fatalf("%d bytes are written as %d", n, len(raw))
	}
	again, used, err := Decode(raw, Options{})
	if err != nil || used != len(raw) {
		t.Fatalf("%q is written as %q, of which %d bytes are read: %v", data, raw, used, err)
	}
	if what := same(v, again); what != "" {
		t.Fatalf("%q is written as %q: %s", data, raw, what)
	}
	twice, err := Encode(again, EncodeOptions{})
	if err != nil || !bytes.Equal(raw, twice) {
		t.Fatalf("%q, and again %q: %v", raw, twice, err)
	}
	return true, true
}
