package pickle

import "github.com/isomerfs/isomerfs/fault"

// Role is what a value is to the one that holds it.
type Role uint8

const (
	Item    Role = iota // of a list, tuple or set, or appended to an object
	ItemKey             // the value under a key of a dict, or of an object that items were set in
	Arg                 // an argument of the call that made an object
	Kwarg               // a keyword argument of it
	State               // what BUILD gave an object
)

// Step is a way from a value to one that it holds.
type Step struct {
	Role  Role
	Key   Value // of an ItemKey or a Kwarg
	Index int   // of an Item or an Arg
}

// Walk visits root and what it holds, from the top down and in the pickle's order: the items of lists, tuples and
// sets, the values of dicts, and of objects the arguments, items and state. It does not go into keys, the classes of
// objects, and persistent ids.
//
// A value that is held twice is visited twice, by each of its ways, and entered as often as visit says; again tells
// that it was entered before. So a tree of 40 levels of pairs has 2^40 leaves for a visitor that enters all of them:
// budget is how many visits there may be, and the next is a Limit. A value is never entered within itself.
//
// The path leads from root to v, and holds until visit returns. An error of visit ends the walk.
func Walk(root Value, budget int, visit func(path []Step, v Value, again bool) (enter bool, err error)) error {
	w := walker{visit: visit, left: budget, budget: budget, known: map[Value]bool{}}
	if err := w.meet(root); err != nil {
		return err
	}
	for n := len(w.open); n > 0; n = len(w.open) {
		top := &w.open[n-1]
		step, v, ok := held(top.v, top.next)
		if !ok {
			w.known[top.v] = false
			w.open = w.open[:n-1]
			continue
		}
		top.next++
		w.path = append(w.path[:n-1], step)
		if err := w.meet(v); err != nil {
			return err
		}
	}
	return nil
}

type walker struct {
	visit        func(path []Step, v Value, again bool) (bool, error)
	left, budget int
	open         []progress     // the values on the way to the one that is visited
	path         []Step         // from each of open to the next, and to the one that is visited
	known        map[Value]bool // the values that were entered; true where they are open
}

type progress struct {
	v    Value
	next int
}

func (w *walker) meet(v Value) error {
	if w.left--; w.left < 0 {
		return fault.New(fault.Limit, "more than %d values, of which some are held many times", w.budget)
	}
	holds := marked(v) != nil
	again, open := false, false
	if holds {
		open, again = w.known[v]
	}
	enter, err := w.visit(w.path, v, again)
	if err != nil || !enter || !holds || open {
		return err
	}
	w.known[v] = true
	w.open = append(w.open, progress{v: v})
	return nil
}

// held is the i-th value that Walk finds in v.
func held(v Value, i int) (Step, Value, bool) {
	list := func(role Role, items []Value) (Step, Value, bool) {
		if i < len(items) {
			return Step{Role: role, Index: i}, items[i], true
		}
		i -= len(items)
		return Step{}, nil, false
	}
	dict := func(role Role, entries []Entry) (Step, Value, bool) {
		if i < len(entries) {
			return Step{Role: role, Key: entries[i].Key}, entries[i].Value, true
		}
		i -= len(entries)
		return Step{}, nil, false
	}
	switch v := v.(type) {
	case *List:
		return list(Item, v.Items)
	case *Tuple:
		return list(Item, v.Items)
	case *Set:
		return list(Item, v.Items)
	case *Dict:
		return dict(ItemKey, v.Entries)
	case *Object:
		if step, c, ok := list(Arg, items(v.Args)); ok {
			return step, c, ok
		}
		if v.Kwargs != nil {
			if step, c, ok := dict(Kwarg, v.Kwargs.Entries); ok {
				return step, c, ok
			}
		}
		if step, c, ok := list(Item, v.Items); ok {
			return step, c, ok
		}
		if step, c, ok := dict(ItemKey, v.Entries); ok {
			return step, c, ok
		}
		if v.Built && i == 0 {
			return Step{Role: State}, v.State, true
		}
	}
	return Step{}, nil, false
}
