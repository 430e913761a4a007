package pickle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// visits is what a walk visits: the way to each value, its kind, and whether it was entered before.
func visits(root Value, enter func(again bool) bool) ([]string, error) {
	var list []string
	err := Walk(root, 100, func(path []Step, v Value, again bool) (bool, error) {
		var words []string
		for _, s := range path {
			switch s.Role {
			case Item:
				words = append(words, fmt.Sprintf("[%d]", s.Index))
			case Arg:
				words = append(words, fmt.Sprintf("(%d)", s.Index))
			case ItemKey:
				words = append(words, fmt.Sprintf("{%v}", s.Key))
			case Kwarg:
				words = append(words, fmt.Sprintf("(%v=)", s.Key))
			case State:
				words = append(words, "<-")
			}
		}
		line := strings.Join(words, "") + " " + kindOf(v)
		if again {
			line += " again"
		}
		list = append(list, line)
		return enter(again), nil
	})
	return list, err
}

func TestWalk(t *testing.T) {
	shared := &List{Items: []Value{int64(1)}}
	object := &Object{
		Class: &Global{Module: "m", Name: "C"}, New: true, Args: &Tuple{Items: []Value{shared}}, Kwargs: &Dict{Entries: []Entry{{"k", "v"}}},
		Items: []Value{nil}, Entries: []Entry{{int64(7), shared}}, Built: true, State: &Persistent{ID: shared},
	}
	root := &Dict{Entries: []Entry{{"o", object}, {"s", &Set{Items: []Value{true}}}}}
	root.Entries = append(root.Entries, Entry{"self", root})

	common := []string{
		" a dict", `{o} an object of "m.C"`, "{o}(0) a list", "{o}(0)[0] an int", "{o}(k=) a str", "{o}[0] None", "{o}{7} a list again",
	}
	rest := []string{"{o}<- a persistent id", "{s} a set", "{s}[0] a bool", "{self} a dict again"}
	got, err := visits(root, func(again bool) bool { return true })
	if want := slices.Concat(common, []string{"{o}{7}[0] an int"}, rest); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	got, err = visits(root, func(again bool) bool { return !again })
	if want := slices.Concat(common, rest); err != nil || !slices.Equal(got, want) {
		t.Errorf("each once: %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWalkBudget: a tree of shared pairs is as large as its budget allows, and small for who enters each pair once.
func TestWalkBudget(t *testing.T) {
	pairs := decode(t, "\x80\x02]"+strings.Repeat("q\x00h\x00\x86", 40)+".")
	all := func([]Step, Value, bool) (bool, error) { return true, nil }
	if err := Walk(pairs, 1_000_000, all); !errors.Is(err, fault.Limit) {
		t.Errorf("%v: want a limit", err)
	}
	once := 0
	if err := Walk(pairs, 1000, func(_ []Step, _ Value, again bool) (bool, error) { once++; return !again, nil }); err != nil || once != 81 {
		t.Errorf("%d visits, %v", once, err)
	}
	stop := errors.New("enough")
	if err := Walk(pairs, 1000, func([]Step, Value, bool) (bool, error) { return true, stop }); err != stop {
		t.Errorf("%v: want the visitor's error", err)
	}
}

func TestEntries(t *testing.T) {
	for _, c := range []struct{ python, data, want string }{
		{"dict(a=1)", "\x80\x02}X\x01\x00\x00\x00aK\x01s.", "a=1"},
		{"OrderedDict(a=1)", "\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00aK\x01s.", "a=1"},
		{"Python 2's OrderedDict([['a', 1]])", "\x80\x02ccollections\nOrderedDict\n]]X\x01\x00\x00\x00aaK\x01aa\x85R.", "a=1"},
		{"defaultdict(list, a=1)", "\x80\x02ccollections\ndefaultdict\ncbuiltins\nlist\n\x85RX\x01\x00\x00\x00aK\x01s.", "a=1"},
		{"a class of one's own that is a dict", "\x80\x02cm\nD\n)\x81X\x01\x00\x00\x00aK\x01s.", "a=1"},
		{"another", "\x80\x02cm\nC\n)\x81.", ""},
		{"a list", "].", ""},
	} {
		v, _, err := Decode([]byte(c.data), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.python, err)
			continue
		}
		var words []string
		entries, _ := Entries(v)
		for _, e := range entries {
			words = append(words, fmt.Sprintf("%v=%v", e.Key, e.Value))
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.python, got, c.want)
		}
		if got, ok := Get(v, "a"); ok != (c.want != "") || ok && got != Value(int64(1)) {
			t.Errorf("%s: a is %v, %v", c.python, got, ok)
		}
	}
}
