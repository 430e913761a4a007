package pickle

import (
	"fmt"
	"math"
	"math/big"

	"github.com/isomerfs/isomerfs/fault"
)

// container executes the opcodes that make tuples, lists, dicts and sets.
func (m *machine) container(op byte) error {
	switch op {
	case opEmptyTuple:
		return m.make(&Tuple{})
	case opEmptyList:
		return m.make(&List{})
	case opEmptyDict:
		return m.make(&Dict{})
	case opEmptySet:
		return m.make(&Set{})
	case opTuple1, opTuple2, opTuple3:
		n := int(op-opTuple1) + 1
		at := len(m.stack) - n
		if at < m.floor() {
			return m.underflow(fmt.Sprintf("TUPLE%d", n))
		}
		t := &Tuple{Items: append([]Value(nil), m.stack[at:]...)}
		m.stack = m.stack[:at]
		return m.make(t)
	}
	values, err := m.popMark(map[byte]string{opTuple: "TUPLE", opList: "LIST", opDict: "DICT", opFrozenset: "FROZENSET"}[op])
	if err != nil {
		return err
	}
	switch op {
	case opTuple:
		return m.make(&Tuple{Items: append([]Value(nil), values...)})
	case opList:
		return m.make(&List{Items: append([]Value(nil), values...)})
	case opFrozenset:
		return m.make(&Set{Items: append([]Value(nil), values...), Frozen: true})
	}
	d := &Dict{}
	if err := m.hold(perItem * len(values)); err != nil {
		return err
	}
	if err := m.set(d, &d.Entries, values, "DICT"); err != nil {
		return err
	}
	return m.make(d)
}

// fill executes the opcodes that put values into what lies below them.
func (m *machine) fill(op byte) error {
	name := map[byte]string{opAppend: "APPEND", opAppends: "APPENDS", opAdditems: "ADDITEMS", opSetitem: "SETITEM", opSetitems: "SETITEMS"}[op]
	var values []Value
	var err error
	switch op {
	case opAppend, opSetitem:
		n := 1
		if op == opSetitem {
			n = 2
		}
		at := len(m.stack) - n
		if at < m.floor() {
			return m.underflow(name)
		}
		values, m.stack = m.stack[at:], m.stack[:at]
	default:
		if values, err = m.popMark(name); err != nil {
			return err
		}
	}
	into, err := m.top(name)
	if err != nil {
		return err
	}
	if err := m.hold(perItem * len(values)); err != nil {
		return err
	}
	switch into := into.(type) {
	case *List:
		if op == opAppend || op == opAppends {
			into.Items = append(into.Items, values...)
			return nil
		}
	case *Set:
		if op == opAdditems && !into.Frozen {
			into.Items = append(into.Items, values...)
			return nil
		}
	case *Dict:
		if op == opSetitem || op == opSetitems {
			return m.set(into, &into.Entries, values, name)
		}
	case *Object:
		if op == opSetitem || op == opSetitems {
			return m.set(into, &into.Entries, values, name)
		}
		into.Items = append(into.Items, values...)
		return nil
	}
	return m.fault(fault.Malformed, "%s to %s", name, kindOf(into))
}

// set adds keys and values, in turn, to the entries of a dict or an object.
func (m *machine) set(owner Value, entries *[]Entry, values []Value, op string) error {
	if len(values)%2 != 0 {
		return m.fault(fault.Malformed, "%s of %d values: keys and values come in pairs", op, len(values))
	}
	_, isDict := owner.(*Dict)
	if g := ClassOf(owner); g != nil && !isDict {
		isDict = g.Is("collections", "OrderedDict")
	}
	for i := 0; i < len(values); i += 2 {
		key := values[i]
		switch key := key.(type) {
		case *List, *Dict:
			return m.fault(fault.Malformed, "%s as a key of a dict", kindOf(key))
		case *Set:
			if !key.Frozen {
				return m.fault(fault.Malformed, "a set as a key of a dict")
			}
		}
		if isDict && m.taken(owner, *entries, key) {
			return m.fault(fault.Duplicate, "a dict has the key %s twice", described(key))
		}
		if m.keys[owner] != nil {
			if err := m.hold(perKey); err != nil {
				return err
			}
		}
		*entries = append(*entries, Entry{key, values[i+1]})
	}
	return nil
}

// taken reports whether a dict has key already, and notes that it has now. Keys that are not plain values (tuples,
// objects) are not compared.
func (m *machine) taken(owner Value, entries []Entry, key Value) bool {
	key, ok := plain(key)
	if !ok {
		return false
	}
	const few = 8 // up to which looking at each is quicker
	keys := m.keys[owner]
	if keys == nil && len(entries) < few {
		for _, e := range entries {
			if k, ok := plain(e.Key); ok && k == key {
				return true
			}
		}
		return false
	}
	if keys == nil {
		keys = make(map[Value]struct{}, 2*few)
		for _, e := range entries {
			if k, ok := plain(e.Key); ok {
				keys[k] = struct{}{}
			}
		}
		if m.keys == nil {
			m.keys = map[Value]map[Value]struct{}{}
		}
		m.keys[owner] = keys
	}
	_, twice := keys[key]
	keys[key] = struct{}{}
	return twice
}

// plain is a key such that two are the same to Python's dict where they are equal to Go: 1, 1.0 and True are one key.
func plain(key Value) (Value, bool) {
	switch k := key.(type) {
	case nil:
		return nil, true
	case bool:
		if k {
			return int64(1), true
		}
		return int64(0), true
	case int64:
		return k, true
	case *big.Int:
		return "int " + k.Text(16), true
	case float64:
		if n := int64(k); float64(n) == k && math.Abs(k) < 1<<53 {
			return n, true
		}
		return k, true
	case string:
		return "str " + k, true
	case Bytes:
		return "bytes " + string(k), true
	}
	return nil, false
}

// kindOf names the type of a value.
func kindOf(v Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *big.Int:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case Bytes:
		return "bytes"
	case *List:
		return "a list"
	case *Tuple:
		return "a tuple"
	case *Dict:
		return "a dict"
	case *Set:
		if v.Frozen {
			return "a frozenset"
		}
		return "a set"
	case *Global:
		return "the global " + quoted(v.String())
	case *Object:
		if g := ClassOf(v); g != nil {
			return "an object of " + quoted(g.String())
		}
		return "an object"
	case *Persistent:
		return "a persistent id"
	}
	return fmt.Sprintf("a %T", v)
}

// described is a value for a message.
func described(v Value) string {
	switch v := v.(type) {
	case string:
		return quoted(v)
	case Bytes:
		return "b" + quoted(string(v))
	case nil, bool, int64, float64:
		return fmt.Sprint(v)
	}
	return kindOf(v)
}
