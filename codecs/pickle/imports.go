package pickle

import "bytes"

// Import is a name that a pickle would import if Python loaded it.
type Import struct {
	Module, Name string // as Global has them; ? for a part that is computed
	Verdict      Verdict
	Reason       string // of the verdict
	Off          int64  // where it is asked for first, in the file
}

// Imports gathers what pickles would import, in the order in which they ask for it first. Give it to Decode and Read
// in Options, for as many pickles as there are; what it holds after an error is what the broken pickle imports before
// it fails. The zero value is ready.
//
// Bytes that a pickle would have loaded as another pickle (torch.storage._load_from_bytes, which is how a storage
// outside a torch file is pickled) are gone through as well.
type Imports struct {
	// Archives are the nested bytes that are zip archives: their members are not gone through here.
	Archives []Bytes

	list    []Import
	at      map[spelling]int
	getattr int // of builtins.getattr: how often it was pushed, less the calls whose attribute is known
	depth   int // of the pickle in pickles
	nested  int // bytes of nested pickles gone through so far
	met     map[bytesKey]bool
	order   []bytesKey // of met
}

// List is what was found.
func (i *Imports) List() []Import {
	list := append([]Import(nil), i.list...)
	for j := range list {
		if list[j].Module != "builtins" || list[j].Name != "getattr" {
			continue
		}
		// Pickles name an attribute of a class (a nested class, a member of an enumeration) by calling getattr. Where
		// each call's arguments stand in the pickle, the list holds what they name, and judges it.
		if i.getattr == 0 {
			list[j].Verdict, list[j].Reason = Opaque, "names attributes of globals, each of which is listed"
		}
	}
	return list
}

// Worst is the worst verdict on what was found: Safe where that is nothing.
func (i *Imports) Worst() Verdict {
	worst := Safe
	for _, found := range i.List() {
		worst = max(worst, found.Verdict)
	}
	return worst
}

// point is a state to go back to.
type point struct{ archives, list, met, getattr, nested int }

func (i *Imports) here() point {
	return point{len(i.Archives), len(i.list), len(i.order), i.getattr, i.nested}
}

// back forgets what was noted since p.
func (i *Imports) back(p point) {
	for _, found := range i.list[p.list:] {
		delete(i.at, spelling{found.Module, found.Name})
	}
	for _, key := range i.order[p.met:] {
		delete(i.met, key)
	}
	i.Archives, i.list, i.order = i.Archives[:p.archives], i.list[:p.list], i.order[:p.met]
	i.getattr, i.nested = p.getattr, p.nested
}

// add notes a global, at an offset of the file.
func (i *Imports) add(module, name string, off int64) {
	if _, known := i.at[spelling{module, name}]; known {
		return
	}
	verdict, reason := Judge(module, name)
	i.judged(Import{Module: module, Name: name, Verdict: verdict, Reason: reason, Off: off})
}

func (i *Imports) judged(found Import) {
	key := spelling{found.Module, found.Name}
	if _, known := i.at[key]; known {
		return
	}
	if i.at == nil {
		i.at = map[spelling]int{}
	}
	i.at[key] = len(i.list)
	i.list = append(i.list, found)
}

// pushed notes that v lies on the stack once more, or is called without lying there.
func (i *Imports) pushed(v Value) {
	if g, ok := v.(*Global); ok && g.Is("builtins", "getattr") {
		i.getattr++
	}
}

// chain is how many attributes of attributes are followed.
const chain = 32

// called notes a call.
func (i *Imports) called(class Value, args *Tuple, off int64) {
	g, ok := class.(*Global)
	if !ok {
		return
	}
	switch {
	case g.Is("builtins", "getattr"):
		if module, name, ok := attribute(args.Items, chain); ok {
			i.getattr--
			i.add(module, name, off)
		}
	case g.Is("torch.storage", "_load_from_bytes") || g.Is("_io", "BytesIO") || g.Is("io", "BytesIO") ||
		(g.Module == "pickle" || g.Module == "_pickle") && g.Name == "loads":
		if len(args.Items) > 0 {
			if raw, ok := args.Items[0].(Bytes); ok {
				i.within(raw, off)
			}
		}
	}
}

// attribute is what getattr(global, name) names, and getattr of that, depth times.
func attribute(args []Value, depth int) (module, name string, ok bool) {
	if len(args) != 2 || depth == 0 {
		return "", "", false
	}
	attr, ok := args[1].(string)
	if !ok {
		return "", "", false
	}
	switch of := args[0].(type) {
	case *Global:
		module, name = of.Module, of.Name
	case *Object:
		g, called := of.Class.(*Global)
		if !called || of.New || !g.Is("builtins", "getattr") {
			return "", "", false
		}
		if module, name, ok = attribute(of.Args.Items, depth-1); !ok {
			return "", "", false
		}
	default:
		return "", "", false
	}
	return module, name + "." + attr, true
}

const (
	deepest = 4        // how deep pickles in pickles are followed
	widest  = 64 << 20 // how many bytes of them in all
)

// within goes through the pickles that raw holds, if it does. Offsets within it are those of the call.
func (i *Imports) within(raw Bytes, off int64) {
	key := bytesKey{}
	if len(raw) > 0 {
		key = bytesKey{&raw[0], len(raw)}
	}
	if i.met[key] {
		return
	}
	if i.met == nil {
		i.met = map[bytesKey]bool{}
	}
	i.met[key] = true
	i.order = append(i.order, key)
	if i.nested += len(raw); i.depth >= deepest || i.nested > widest {
		i.judged(Import{Module: "?", Name: "?", Verdict: Dangerous, Reason: "pickles within pickles, more or deeper than anyone needs", Off: off})
		return
	}
	if bytes.HasPrefix(raw, []byte("PK\x03\x04")) {
		i.Archives = append(i.Archives, raw)
		return
	}
	i.depth++
	defer func() { i.depth-- }()
	i.scan(raw, off, true)
}

// Scan goes through the pickles that lie one behind the other at the beginning of data, as torch's files without a zip
// hold them, notes what they would import, and returns how many there are and how many bytes they take. err says why
// it did not go on, unless data is at its end; what was noted stands. base is where data lies in its file.
func (i *Imports) Scan(data []byte, base int64) (pickles, n int, err error) {
	return i.scan(data, base, false)
}

func (i *Imports) scan(data []byte, base int64, fixed bool) (pickles, n int, err error) {
	for n < len(data) {
		o := Options{Imports: i, Base: base + int64(n), fixed: fixed}
		if fixed {
			o.Base = base
		}
		_, used, err := Decode(data[n:], o)
		if err != nil {
			return pickles, n, err
		}
		n += used
		pickles++
	}
	return pickles, n, nil
}
