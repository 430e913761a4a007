package pickle

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestEncodeAsPython: what CPython 3.11's pickle.dumps(x, 2) writes is what is written here. python is the expression.
func TestEncodeAsPython(t *testing.T) {
	pair := &Tuple{Items: []Value{int64(1), int64(2)}}
	cycle := &List{}
	cycle.Items = []Value{&Tuple{Items: []Value{cycle}}}
	deep := &List{}
	inner := &Tuple{Items: []Value{deep}}
	deep.Items = []Value{inner}
	for _, c := range []struct {
		python string
		v      Value
		want   string
	}{
		{"None", nil, "N."},
		{"[True, False]", &List{Items: []Value{true, false}}, "]q\x00(\x88\x89e."},
		{"[255, 256, 65535, 65536, -1]", &List{Items: []Value{int64(255), int64(256), int64(65535), int64(65536), int64(-1)}},
			"]q\x00(K\xffM\x00\x01M\xff\xffJ\x00\x00\x01\x00J\xff\xff\xff\xffe."},
		{"[2**31-1, 2**31, -2**31, -2**31-1]", &List{Items: []Value{int64(1<<31 - 1), int64(1 << 31), int64(-1 << 31), int64(-1<<31 - 1)}},
			"]q\x00(J\xff\xff\xff\x7f\x8a\x05\x00\x00\x00\x80\x00J\x00\x00\x00\x80\x8a\x05\xff\xff\xff\x7f\xffe."},
		{"[2**63, -2**63, -2**63-1]", &List{Items: []Value{new(big.Int).Lsh(big.NewInt(1), 63), int64(-1 << 63), new(big.Int).Sub(big.NewInt(-1<<63), big.NewInt(1))}},
			"]q\x00(\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\xffe."},
		{"1.5", 1.5, "G?\xf8\x00\x00\x00\x00\x00\x00."},
		{"'é'", "é", "X\x02\x00\x00\x00\xc3\xa9q\x00."},
		{"b'\\x80a'", Bytes("\x80a"), "c_codecs\nencode\nq\x00X\x03\x00\x00\x00\xc2\x80aq\x01X\x06\x00\x00\x00latin1q\x02\x86q\x03Rq\x04."},
		{"b''", Bytes{}, "c__builtin__\nbytes\nq\x00)Rq\x01."},
		{"[(), (1, 2), t, (1, 2, 3, 4)] with t the second", &List{Items: []Value{&Tuple{}, pair, pair, &Tuple{Items: []Value{int64(1), int64(2), int64(3), int64(4)}}}},
			"]q\x00()K\x01K\x02\x86q\x01h\x01(K\x01K\x02K\x03K\x04tq\x02e."},
		{"{'a': 1}", &Dict{Entries: []Entry{{"a", int64(1)}}}, "}q\x00X\x01\x00\x00\x00aq\x01K\x01s."},
		{"l = []; l.append((l,)); l", deep, "]q\x00h\x00\x85q\x01a."},
		{"l = []; t = (l,); l.append(t); t", inner, "]q\x00h\x00\x85q\x01a0h\x01."},
		{"{1}", &Set{Items: []Value{int64(1)}}, "c__builtin__\nset\nq\x00]q\x01K\x01a\x85q\x02Rq\x03."},
		{"collections.OrderedDict(a=1)", &Object{Class: &Global{Module: "collections", Name: "OrderedDict"}, Args: &Tuple{}, Entries: []Entry{{"a", int64(1)}}},
			"ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00aq\x02K\x01s."},
		{"types.SimpleNamespace(a=1)", &Object{Class: &Global{Module: "types", Name: "SimpleNamespace"}, Args: &Tuple{}, Built: true, State: &Dict{Entries: []Entry{{"a", int64(1)}}}},
			"ctypes\nSimpleNamespace\nq\x00)Rq\x01}q\x02X\x01\x00\x00\x00aq\x03K\x01sb."},
		{"argparse.Namespace(a=1)", &Object{Class: &Global{Module: "argparse", Name: "Namespace"}, New: true, Args: &Tuple{}, Built: true, State: &Dict{Entries: []Entry{{"a", int64(1)}}}},
			"cargparse\nNamespace\nq\x00)\x81q\x01}q\x02X\x01\x00\x00\x00aq\x03K\x01sb."},
		{"ValueError", &Global{Module: "builtins", Name: "ValueError"}, "cexceptions\nValueError\nq\x00."},
		{"queue.Queue", &Global{Module: "queue", Name: "Queue"}, "cQueue\nQueue\nq\x00."},
	} {
		got, err := Encode(c.v, EncodeOptions{})
		if err != nil || string(got) != "\x80\x02"+c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.python, err, got, "\x80\x02"+c.want)
			continue
		}
		if same(decode(t, string(got)), c.v) == "" {
			continue
		}
		t.Errorf("%s is read as another value: %s", c.python, same(decode(t, string(got)), c.v))
	}
}

// TestBatches: the lengths around CPython's batches of 1000 come back.
func TestBatches(t *testing.T) {
	for _, n := range []int{0, 1, 2, 999, 1000, 1001, 2000, 2001} {
		list, dict := &List{}, &Dict{}
		o := &Object{Class: &Global{Module: "m", Name: "C"}, Args: &Tuple{}}
		for i := range n {
			list.Items = append(list.Items, int64(i))
			dict.Entries = append(dict.Entries, Entry{fmt.Sprint(i), nil})
		}
		o.Items, o.Entries = list.Items, dict.Entries
		all := &Tuple{Items: []Value{list, dict, o}}
		raw, err := Encode(all, EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if what := same(decode(t, string(raw)), all); what != "" {
			t.Errorf("%d items: %s", n, what)
		}
	}
}

func TestReplace(t *testing.T) {
	old := &Object{Class: &Global{Module: "torch._utils", Name: "_rebuild_tensor_v2"}, Args: &Tuple{}}
	shared := &Dict{Entries: []Entry{{"w", old}}}
	shared.Entries = append(shared.Entries, Entry{"self", shared})
	asked := map[Value]int{}
	raw, err := Encode(&List{Items: []Value{shared, shared, old}}, EncodeOptions{Replace: func(v Value) (Value, bool) {
		asked[v]++
		if v == Value(old) {
			return &Persistent{ID: "new"}, true
		}
		return nil, false
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, string(raw)).(*List)
	d, ok := got.Items[0].(*Dict)
	if !ok || got.Items[1] != Value(d) {
		t.Fatalf("the shared dict is not shared: %q", raw)
	}
	if self, _ := Get(d, "self"); self != Value(d) {
		t.Error("the dict no longer holds itself")
	}
	if p, ok := got.Items[2].(*Persistent); !ok || p.ID != Value("new") {
		t.Errorf("%T where the replacement should be", got.Items[2])
	}
	for v, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times about %s", n, kindOf(v))
		}
	}
}

func TestEncodeRefused(t *testing.T) {
	var deep Value
	for range maxDepth + 1 {
		deep = &List{Items: []Value{deep}}
	}
	set := &Set{}
	set.Items = []Value{&Object{Class: &Global{Module: "m", Name: "C"}, Args: &Tuple{Items: []Value{set}}}}
	for _, c := range []struct {
		name string
		v    Value
		kind fault.Kind
	}{
		{"another type", 1, fault.Usage},
		{"no UTF-8", "\xff", fault.Usage},
		{"depth", deep, fault.Limit},
		{"a set in itself", set, fault.Unsupported},
		{"newline", &Global{Module: "a\nb", Name: "c"}, fault.Unsupported},
		{"Python 2's module", &Global{Module: "commands", Name: "c"}, fault.Unsupported},
	} {
		if _, err := Encode(c.v, EncodeOptions{}); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	if _, err := Encode(strings.Repeat("a", 10), EncodeOptions{}); err != nil {
		t.Error(err)
	}
}
