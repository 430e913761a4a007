package pickle

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dumper writes a value as testdata/generate.py does: what is shared is numbered where it is first met.
type dumper struct {
	strings.Builder
	counts  map[Value]int
	numbers map[Value]int
}

func dump(v Value) string {
	d := &dumper{counts: map[Value]int{}, numbers: map[Value]int{}}
	d.count(v)
	d.write(v)
	return d.String()
}

// shared reports whether v can be told from another of its kind that is equal to it.
func shared(v Value) bool {
	switch v := v.(type) {
	case *List, *Dict, *Set, *Object:
		return true
	case *Tuple:
		return len(v.Items) > 0
	}
	return false
}

func (d *dumper) count(v Value) {
	if shared(v) {
		if d.counts[v]++; d.counts[v] > 1 {
			return
		}
	}
	for i := 0; ; i++ {
		c, ok := child(v, i)
		if !ok {
			return
		}
		if o, isObject := v.(*Object); isObject && i == 1 { // the arguments are an object's own
			for _, item := range o.Args.Items {
				d.count(item)
			}
			continue
		} else if isObject && i == 2 && o.Kwargs != nil {
			for _, e := range o.Kwargs.Entries {
				d.count(e.Value)
			}
			continue
		}
		d.count(c)
	}
}

func (d *dumper) write(v Value) {
	if shared(v) && d.counts[v] > 1 {
		if n, ok := d.numbers[v]; ok {
			fmt.Fprintf(d, "@%d", n)
			return
		}
		d.numbers[v] = len(d.numbers)
		fmt.Fprintf(d, "@%d=", d.numbers[v])
	}
	switch v := v.(type) {
	case nil:
		d.WriteString("None")
	case bool:
		d.WriteString(strings.ToUpper(fmt.Sprint(v)[:1]) + fmt.Sprint(v)[1:])
	case int64, *big.Int:
		fmt.Fprint(d, v)
	case float64:
		fmt.Fprintf(d, "float:%016x", math.Float64bits(v))
	case string:
		d.WriteString(quote(v))
	case Bytes:
		d.WriteString("b:" + hex.EncodeToString(v))
	case *List:
		d.some("[", v.Items, "]")
	case *Tuple:
		d.some("(", v.Items, ")")
	case *Set:
		begin := "set{"
		if v.Frozen {
			begin = "frozenset{"
		}
		d.some(begin, v.Items, "}")
	case *Dict:
		d.pairs("{", v.Entries, "}")
	case *Global:
		d.WriteString(v.String())
	case *Persistent:
		d.WriteString("persistent<")
		d.write(v.ID)
		d.WriteString(">")
	case *Object:
		if v.New {
			d.WriteString("new ")
		}
		d.write(v.Class)
		d.some("(", v.Args.Items, ")")
		if v.Kwargs != nil {
			d.pairs("**{", v.Kwargs.Entries, "}")
		}
		if len(v.Items) > 0 {
			d.some(" += [", v.Items, "]")
		}
		if len(v.Entries) > 0 {
			d.pairs(" |= {", v.Entries, "}")
		}
		if v.Built {
			d.WriteString(" <- ")
			d.write(v.State)
		}
	}
}

func (d *dumper) some(begin string, items []Value, end string) {
	d.WriteString(begin)
	for i, item := range items {
		if i > 0 {
			d.WriteString(", ")
		}
		d.write(item)
	}
	d.WriteString(end)
}

func (d *dumper) pairs(begin string, entries []Entry, end string) {
	d.WriteString(begin)
	for i, e := range entries {
		if i > 0 {
			d.WriteString(", ")
		}
		d.write(e.Key)
		d.WriteString(": ")
		d.write(e.Value)
	}
	d.WriteString(end)
}

// quote is text as Python's json.dumps writes it: ASCII alone.
func quote(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(text)
	var out strings.Builder
	for _, c := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(&out, "\\u%04x\\u%04x", 0xd800+c>>10, 0xdc00+c&0x3ff)
		case c > 0x7e:
			fmt.Fprintf(&out, "\\u%04x", c)
		default:
			out.WriteRune(c)
		}
	}
	return out.String()
}

// TestAsCPython: each pickle of testdata is what CPython makes of it, and comes back from Encode as the same value.
func TestAsCPython(t *testing.T) {
	names, err := filepath.Glob("testdata/*.pkl")
	if err != nil || len(names) < 15 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, ".pkl") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		v, n, err := Decode(data, Options{})
		if err != nil || n != len(data) {
			t.Errorf("%s: %d of %d bytes, %v", name, n, len(data), err)
			continue
		}
		got := dump(v) + "\n"
		if got != string(want) {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			lo := max(0, at-60)
			t.Errorf("%s: at %d\n got %s\nwant %s", name, at, got[lo:min(len(got), at+80)], want[lo:min(len(want), at+80)])
			continue
		}
		raw, err := Encode(v, EncodeOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, _, err := Decode(raw, Options{})
		if err != nil {
			t.Errorf("%s: what Encode wrote: %v", name, err)
			continue
		}
		if what := same(v, again); what != "" {
			t.Errorf("%s: %s", name, what)
		}
	}
}
