package pickle

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
)

// same says where two values differ, as graphs: what is shared in one is shared in the other. It is "" where they do
// not. Offsets are not compared.
func same(a, b Value) string {
	c := comparison{ab: map[Value]Value{}, ba: map[Value]Value{}}
	return c.value("", a, b)
}

type comparison struct{ ab, ba map[Value]Value }

func (c *comparison) value(at string, a, b Value) string {
	differ := fmt.Sprintf("%s: %s and %s", at, described(a), described(b))
	if marked(a) != nil && marked(b) != nil {
		if _, isPersistent := a.(*Persistent); !isPersistent && !emptyTuple(a) {
			x, met := c.ab[a]
			y, met2 := c.ba[b]
			if met || met2 {
				if x == b && y == a {
					return ""
				}
				return at + ": shared otherwise"
			}
			c.ab[a], c.ba[b] = b, a
		}
	}
	switch a := a.(type) {
	case nil, bool, int64, string:
		if a != b {
			return differ
		}
	case float64:
		if b, ok := b.(float64); !ok || math.Float64bits(a) != math.Float64bits(b) {
			return differ
		}
	case *big.Int:
		if b, ok := b.(*big.Int); !ok || a.Cmp(b) != 0 {
			return differ
		}
	case Bytes:
		if b, ok := b.(Bytes); !ok || !bytes.Equal(a, b) {
			return differ
		}
	case *List:
		if b, ok := b.(*List); ok {
			return c.items(at, a.Items, b.Items)
		}
		return differ
	case *Tuple:
		if b, ok := b.(*Tuple); ok {
			return c.items(at, a.Items, b.Items)
		}
		return differ
	case *Set:
		if b, ok := b.(*Set); ok && a.Frozen == b.Frozen {
			return c.items(at, a.Items, b.Items)
		}
		return differ
	case *Dict:
		if b, ok := b.(*Dict); ok {
			return c.entries(at, a.Entries, b.Entries)
		}
		return differ
	case *Global:
		if b, ok := b.(*Global); !ok || a.Module != b.Module || a.Name != b.Name {
			return differ
		}
	case *Persistent:
		if b, ok := b.(*Persistent); ok {
			return c.value(at+".id", a.ID, b.ID)
		}
		return differ
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.New != b.New || a.Built != b.Built || (a.Kwargs == nil) != (b.Kwargs == nil) {
			return differ
		}
		for _, what := range []string{
			c.value(at+".class", a.Class, b.Class),
			c.value(at+".args", a.Args, b.Args),
			c.items(at, a.Items, b.Items),
			c.entries(at, a.Entries, b.Entries),
			c.value(at+".state", a.State, b.State),
		} {
			if what != "" {
				return what
			}
		}
		if a.Kwargs != nil {
			return c.value(at+".kwargs", a.Kwargs, b.Kwargs)
		}
	default:
		return differ
	}
	return ""
}

// emptyTuple reports whether v is (): Python has one, and its pickles do not share it.
func emptyTuple(v Value) bool { t, ok := v.(*Tuple); return ok && len(t.Items) == 0 }

func (c *comparison) items(at string, a, b []Value) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%s: %d items and %d", at, len(a), len(b))
	}
	for i := range a {
		if what := c.value(fmt.Sprintf("%s[%d]", at, i), a[i], b[i]); what != "" {
			return what
		}
	}
	return ""
}

func (c *comparison) entries(at string, a, b []Entry) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%s: %d items and %d", at, len(a), len(b))
	}
	for i := range a {
		if what := c.value(at+".key", a[i].Key, b[i].Key); what != "" {
			return what
		}
		if what := c.value(fmt.Sprintf("%s[%s]", at, described(a[i].Key)), a[i].Value, b[i].Value); what != "" {
			return what
		}
	}
	return ""
}
