package pickle

import "github.com/isomerfs/isomerfs/fault"

// mark is what a container knows during a check of the depth; zero else.
type mark uint8

const seen mark = 1

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

// checkDepth refuses values that nest deeper than maxDepth, so that whoever goes through them in the order in which
// they are written, and into each value once, may recurse.
func (m *machine) checkDepth(root Value) error {
	path := make([]progress, 0, 64)
	var marks []*mark
	defer func() {
		for _, k := range marks {
			*k = 0
		}
	}()
	enter := func(v Value) error {
		k := marked(v)
		if k == nil || *k == seen {
			return nil
		}
		*k = seen
		marks = append(marks, k)
		if len(path) == maxDepth {
			return m.fault(fault.Limit, "values nest more than %d deep", maxDepth)
		}
		path = append(path, progress{v: v})
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

// child is the i-th value that v holds, keys and classes among them, in the order in which they are written; ok is
// false past the last.
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
		switch {
		case i == 0:
			return v.Class, true
		case i == 1:
			return v.Args, true
		case i == 2 && v.Kwargs != nil:
			return v.Kwargs, true
		case i == 2:
			return nil, true
		}
		i -= 3
		if i < len(v.Items) {
			return v.Items[i], true
		}
		i -= len(v.Items)
		if i < 2*len(v.Entries) {
			return entry(v.Entries, i)
		}
		return v.State, i == 2*len(v.Entries)
	}
	return nil, false
}

func at(items []Value, i int) (Value, bool) {
	if i < len(items) {
		return items[i], true
	}
	return nil, false
}

// entry is a key where i is even, and else the value behind it.
func entry(entries []Entry, i int) (Value, bool) {
	switch {
	case i >= 2*len(entries):
		return nil, false
	case i%2 == 0:
		return entries[i/2].Key, true
	}
	return entries[i/2].Value, true
}
