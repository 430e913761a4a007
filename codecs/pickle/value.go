package pickle

// Value is what a pickle holds. Its dynamic type is one of
//
//	nil          None
//	bool         True, False
//	int64        an int that fits
//	*big.Int     an int that does not
//	float64      a float
//	string       a str: UTF-8, except that a lone surrogate is the three bytes that Python's surrogatepass makes of it
//	Bytes        bytes
//	*List        a list
//	*Tuple       a tuple
//	*Dict        a dict
//	*Set         a set or a frozenset
//	*Global      a name of a module: a class, a function, anything that an import would find. Nothing is imported
//	*Object      what a call would have made, with what was done to it since. Nothing is called
//	*Persistent  what stands outside the pickle and is named by an id: a storage, in torch's files
//
// Values share and repeat as the pickle says: one *List under two keys is one pointer, and a value may hold itself.
// Walk takes care of both.
//
// Python 2's str is a byte string that nearly always was meant as text: it is a string where it is UTF-8, else Bytes.
type Value any

// Bytes is Python's bytes. It lies in the slice that was decoded: neither may be changed. Of the types of a Value it
// alone can be no key of a map.
type Bytes []byte

// List is Python's list.
type List struct {
	Items []Value
	mark  mark
}

// Tuple is Python's tuple.
type Tuple struct {
	Items []Value
	mark  mark
}

// Entry is one item of a dict.
type Entry struct{ Key, Value Value }

// Dict is Python's dict, in the order in which its items were set. No key stands twice.
type Dict struct {
	Entries []Entry
	mark    mark
}

// Set is Python's set, or its frozenset, in the order in which the pickle adds the items.
type Set struct {
	Items  []Value
	Frozen bool
	mark   mark
}

// Global is a name that the pickle asks for, as Python 3 looks it up: in pickles up to protocol 2, which hold Python 2's
// names, __builtin__ is builtins and copy_reg is copyreg.
type Global struct {
	Module string
	Name   string // may be dotted: an attribute of an attribute
	Off    int64  // of the opcode that asks, from the pickle's beginning
}

// Object is what calling Class with Args would have made, and what the pickle did to it afterwards.
type Object struct {
	Class   Value  // what is called: a *Global nearly always, an *Object where a call made it
	Args    *Tuple // never nil
	Kwargs  *Dict  // of NEWOBJ_EX; else nil
	New     bool   // made by Class.__new__ (NEWOBJ, NEWOBJ_EX), not by calling Class
	Built   bool   // State was given by BUILD
	State   Value
	Items   []Value // appended or added to it
	Entries []Entry // set in it, in order
	Off     int64   // of the opcode that made it, from the pickle's beginning
	mark    mark
}

// Persistent is a reference to what lies outside the pickle.
type Persistent struct {
	ID   Value
	Off  int64 // of the opcode, from the pickle's beginning
	mark mark
}

// String is module.name.
func (g *Global) String() string { return g.Module + "." + g.Name }

// Is reports whether g is that name of that module.
func (g *Global) Is(module, name string) bool { return g.Module == module && g.Name == name }

// ClassOf is the global that v is an instance of, or the result of: an Object's class, through copyreg's constructors,
// which protocols 0 and 1 call with the class as their first argument. nil where a call computed the class, and for
// every other value.
func ClassOf(v Value) *Global {
	o, ok := v.(*Object)
	if !ok {
		return nil
	}
	g, _ := o.Class.(*Global)
	if g != nil && len(o.Args.Items) > 0 && (g.Is("copyreg", "_reconstructor") || g.Is("copyreg", "__newobj__")) {
		g, _ = o.Args.Items[0].(*Global)
	}
	return g
}

// Entries is the items of a dict, or of an object that is filled as one is (OrderedDict, defaultdict, Counter), Python
// 2's OrderedDict([[key, value], ...]) among them. ok is false where v is no such value.
func Entries(v Value) (entries []Entry, ok bool) {
	switch v := v.(type) {
	case *Dict:
		return v.Entries, true
	case *Object:
		g := ClassOf(v)
		if g == nil || !isDict(g) {
			return v.Entries, len(v.Entries) > 0
		}
		if len(v.Args.Items) == 0 || !g.Is("collections", "OrderedDict") {
			return v.Entries, true
		}
		switch first := v.Args.Items[0].(type) {
		case *Dict:
			entries = first.Entries
		case *List:
			entries = make([]Entry, 0, len(first.Items))
			for _, item := range first.Items {
				pair := items(item)
				if len(pair) != 2 {
					return nil, false
				}
				entries = append(entries, Entry{pair[0], pair[1]})
			}
		}
		return append(entries[:len(entries):len(entries)], v.Entries...), true
	}
	return nil, false
}

// Get is the item of a dict, or of what Entries takes for one, under a key that is a str.
func Get(v Value, key string) (Value, bool) {
	entries, _ := Entries(v)
	for i := len(entries) - 1; i >= 0; i-- {
		if k, ok := entries[i].Key.(string); ok && k == key {
			return entries[i].Value, true
		}
	}
	return nil, false
}

// items is what a list or a tuple holds; nil of every other value.
func items(v Value) []Value {
	switch v := v.(type) {
	case *List:
		return v.Items
	case *Tuple:
		if v != nil {
			return v.Items
		}
	}
	return nil
}

// isDict reports whether g is a class of Python's whose instances are dicts.
func isDict(g *Global) bool {
	return g.Is("collections", "OrderedDict") || g.Is("collections", "defaultdict") || g.Is("collections", "Counter") ||
		g.Is("builtins", "dict")
}
