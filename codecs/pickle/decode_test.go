package pickle

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// decode is the value of a pickle that is read whole.
func decode(t *testing.T, data string) Value {
	t.Helper()
	v, n, err := Decode([]byte(data), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n != len(data) {
		t.Fatalf("%d of %d bytes used", n, len(data))
	}
	return v
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, data string
		kind       fault.Kind
		off        int64
	}{
		{"no STOP", "\x80\x02}", fault.Truncated, 3},
		{"no opcode", "\x80\x02\xff.", fault.Malformed, 2},
		{"underflow", "\x80\x02N\x86.", fault.Malformed, 3},
		{"below the mark", "]N(s.", fault.Malformed, 3},
		{"no mark", "Nt.", fault.Malformed, 1},
		{"unset memo", "h\x07.", fault.Malformed, 0},
		{"string past the end", "X\xff\xff\xff\x7fab.", fault.Truncated, 0},
		{"bytes of 2^63-1", "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", fault.Truncated, 0},
		{"frame past the end", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", fault.Truncated, 2},
		{"APPEND to a dict", "}Na.", fault.Malformed, 2},
		{"extension code", "\x82\x01.", fault.Unsafe, 0},
		{"out of band", "\x97.", fault.Unsupported, 0},
		{"protocol 6", "\x80\x06N.", fault.Unsupported, 0},
		{"100,000 lists", strings.Repeat("]", 100_000) + strings.Repeat("a", 99_999) + ".", fault.Limit, -1},
		{"20,000 lists", strings.Repeat("]", 20_000) + strings.Repeat("a", 19_999) + ".", fault.Limit, 39_999},
		{"inside out", "]q\x00" + strings.Repeat("]h\x00aq\x00", 2000) + ".", fault.Limit, 12_003},
		{"a set 1,000 times", "cbuiltins\nset\n](" + strings.Repeat("N", 1000) + "e\x85q\x00" + strings.Repeat("cbuiltins\nset\nh\x00R", 1000) + ".", fault.Limit, -1},
		{"key twice", "(U\x01aNU\x01aNd.", fault.Duplicate, 9},
		{"1 and True", "}(K\x01N\x88Nu.", fault.Duplicate, 7},
		{"list as key", "}]Ns.", fault.Malformed, 3},
		{"BUILD of a class", "cos\ngetcwd\n}b.", fault.Unsafe, 12},
		{"computed name", "c_codecs\ndecode\n)Rq\x00X\x06\x00\x00\x00getcwd\x93.", fault.Unsafe, 31},
		{"REDUCE of an int", "K\x01)R.", fault.Malformed, 3},
		{"REDUCE with a list", "cos\ngetcwd\n]R.", fault.Malformed, 12},
		{"number of 5000 digits", "I" + strings.Repeat("1", 5000) + "\n.", fault.Limit, 0},
		{"number of 64 KiB and 1 byte", "\x8b\x01\x00\x01\x00" + strings.Repeat("1", 1<<16+1) + ".", fault.Limit, 0},
		{"no UTF-8", "X\x01\x00\x00\x00\xff.", fault.Malformed, 0},
		{"STRING without quotes", "Sabc\n.", fault.Malformed, 0},
	} {
		v, n, err := Decode([]byte(c.data), Options{Base: 1000})
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != c.kind || c.off >= 0 && e.Off != c.off+1000 {
			t.Errorf("%s: %v, %d, %v (%v): want %v at %d", c.name, v, n, err, fault.KindOf(err), c.kind, c.off+1000)
		}
	}
}

func TestCycle(t *testing.T) {
	d := decode(t, "\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.").(*Dict)
	if v, ok := Get(d, "a"); !ok || v != Value(d) {
		t.Errorf("a dict that holds itself holds %v", v)
	}
}

func TestHugeMemo(t *testing.T) {
	if v := decode(t, "}r\xff\xff\xff\xff0j\xff\xff\xff\xff."); !reflect.DeepEqual(v, Value(&Dict{})) {
		t.Errorf("%#v", v)
	}
}

// TestMemory: whatever is repeated, a pickle costs memory in proportion to its length.
func TestMemory(t *testing.T) {
	const length = 1 << 18
	for _, part := range []string{"]", "}", ")", "(", "N", "\x8f", "(t", "]0", "}q\x00", "}\x94", "K\x01", "I1\n", "cm\nC\n", ")\x85", "N\x85", "2", "Nr\xff\xff\xff\xff"} {
		for _, first := range []string{"", "N", "(", "](", "](N", "cbuiltins\nset\n]\x85q\x00"} {
			data := []byte(first + strings.Repeat(part, length/len(part)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			Decode(data, Options{})
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 160*length+8<<20 {
				t.Errorf("%q after %q: %d bytes for each byte", part, first, n/length)
			}
		}
	}
}
