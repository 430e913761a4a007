package pickle

import "github.com/isomerfs/isomerfs/fault"

// mark is the state of a container in a check of the depth.
type mark uint8

const (
	unseen mark = iota
	seen
)

// child is the i-th value that v holds, in the order in which a pickler writes them; ok is false past the last.
func child(v Value, i int) (c Value, ok bool) {
	switch v := v.(type) {
	case *List:
		return at(v.Items, i)
	case *Tuple:
		return at(v.Items, i)
	case *Set:
		return at(v.Items, i)
	case *Dict:
		return entry(v.Entries, i)
	case *Persistent:
		return v.ID, i == 0
	case *Object:
		switch i {
		case 0:
			return v.Class, true
		case 1:
			return v.Args, true
		case 2:
			if v.Kwargs == nil {
				return nil, true
			}
			return v.Kwargs, true
		case 3:
			return v.State, true
		}
		if i -= 4; i < len(v.Items) {
			return v.Items[i], true
		}
		return entry(v.Entries, i-len(v.Items))
	}
	return nil, false
}

func at(items []Value, i int) (Value, bool) {
	if i < len(items) {
		return items[i], true
	}
	return nil, false
}

func entry(entries []Entry, i int) (Value, bool) {
	if i >= 2*len(entries) {
		return nil, false
	}
	if e := entries[i/2]; i%2 == 0 {
		return e.Key, true
	} else {
		return e.Value, true
	}
}

// marked is where v keeps its mark; nil where v holds no values.
func marked(v Value) *mark {
	switch v := v.(type) {
	case *List:
		return &v.mark
	case *Tuple:
		return &v.mark
	case *Dict:
		return &v.mark
	case *Set:
		return &v.mark
	case *Object:
		return &v.mark
	case *Persistent:
		return &v.mark
	}
	return nil
}

// checkDepth refuses values that nest deeper than maxDepth, so that whoever walks them, in the order of a pickler and
// each value once, may recurse.
func (m *machine) checkDepth(root Value) error {
	type frame struct {
		v    Value
		next int
	}
	path := make([]frame, 0, 64)
	enter := func(v Value) error {
		k := marked(v)
		if k == nil || *k == seen {
			return nil
		}
		*k = seen
		if len(path) == maxDepth {
			return m.fault(fault.Limit, "values nest more than %d deep", maxDepth)
		}
		path = append(path, frame{v: v})
		return nil
	}
	if err := enter(root); err != nil {
		return err
	}
	for len(path) > 0 {
		top := &path[len(path)-1]
		c, ok := child(top.v, top.next)
		if !ok {
			path = path[:len(path)-1]
			continue
		}
		top.next++
		if err := enter(c); err != nil {
			return err
		}
	}
	return nil
}
