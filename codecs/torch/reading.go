package torch

import (
	"context"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// reading is the state of making tensors of one pickle and its storages.
type reading struct {
	ctx     context.Context
	base    int64 // where the pickle begins in the file; -1 where it has no place of its own in it
	big     bool  // the storages' byte order is big-endian
	legacy  bool  // the pickle is of the format before zip
	nested  int   // how many pickles this one lies in
	imports *pickle.Imports
	plain   bool // torch.load takes the file with weights_only=True, and maps it

	root     pickle.Value
	storages map[string]*Storage // by key
	order    []*Storage          // the same in the order in which the pickle names them
	again    []*Storage          // others of the same bytes, or of a part of them
	parts    map[part]*Storage   // the same
	persist  map[*pickle.Persistent]*Storage
	held     map[*pickle.Persistent]*Tensor // of the oldest files, where tensors stand outside the pickle
	tensors  map[*pickle.Object]*Tensor     // what each object makes; nil for what is no tensor
	views    map[view]*Tensor               // one for each view of a storage
	inner    map[*pickle.Object]*reading    // pickles within this one
	values   int                            // that the pickle holds
}

// maxNested is how deep pickles may lie in pickles: a storage that was pickled by itself lies one deep.
const maxNested = 8

func newReading(f *file, root pickle.Value, base int64) *reading {
	return &reading{
		ctx: f.ctx, base: base, root: root, nested: f.nested, imports: f.imports, storages: map[string]*Storage{}, persist: map[*pickle.Persistent]*Storage{},
		held: map[*pickle.Persistent]*Tensor{}, tensors: map[*pickle.Object]*Tensor{}, views: map[view]*Tensor{}, parts: map[part]*Storage{}, inner: map[*pickle.Object]*reading{},
	}
}

// at is a fault at an offset of the pickle.
func (r *reading) at(kind fault.Kind, off int64, format string, args ...any) *fault.Error {
	if r.base < 0 {
		return fault.New(kind, format, args...)
	}
	return fault.At(kind, r.base+off, format, args...)
}

// read makes everything that the pickle holds: first the storages that it names, for which get finds the bytes as they
// are stored, then the tensors.
func (r *reading) read(get func(*Storage) (*layout.File, error)) error {
	var objects []*pickle.Object
	err := each(r.root, func(v pickle.Value) error {
		r.values++
		switch v := v.(type) {
		case *pickle.Persistent:
			if isContainer(v) {
				return nil
			}
			s, err := r.persistent(v)
			r.persist[v] = s
			return err
		case *pickle.Object:
			objects = append(objects, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range r.order {
		raw, err := get(s)
		if err != nil {
			return err
		}
		if raw == nil {
			continue
		}
		if err := r.fill(s, raw); err != nil {
			return err
		}
	}
	if err := r.fillParts(); err != nil {
		return err
	}
	return r.make(objects)
}

// make makes the tensors that objects are.
func (r *reading) make(objects []*pickle.Object) error {
	for i, o := range objects {
		if i%1024 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if _, err := r.tensor(o); err != nil {
			return err
		}
	}
	return nil
}

// isContainer reports whether a persistent id names a class of a module with its source text, as the formats before
// zip have it: ('module', class, file, source), and (class, file, source) in the oldest.
func isContainer(p *pickle.Persistent) bool { return containerClass(p) != nil }

func containerClass(p *pickle.Persistent) *pickle.Global {
	id, ok := p.ID.(*pickle.Tuple)
	if !ok {
		return nil
	}
	fields := id.Items
	if kind, _ := text(item(fields, 0)); kind == "module" && len(fields) == 4 {
		fields = fields[1:]
	}
	if len(fields) != 3 {
		return nil
	}
	g, _ := fields[0].(*pickle.Global)
	return g
}

// classOf is the class of an object, its source text beside it or not; nil where it has none that has a name.
func classOf(v pickle.Value) *pickle.Global {
	if o, ok := v.(*pickle.Object); ok {
		if p, ok := o.Class.(*pickle.Persistent); ok {
			return containerClass(p)
		}
	}
	return pickle.ClassOf(v)
}

// each calls visit for every value that holds others, once, a value before what it holds. Values nest no deeper than
// pickle.Decode lets them.
func each(root pickle.Value, visit func(pickle.Value) error) error {
	seen := map[any]bool{}
	var walk func(v pickle.Value) error
	all := func(items []pickle.Value) error {
		for _, v := range items {
			if err := walk(v); err != nil {
				return err
			}
		}
		return nil
	}
	entries := func(list []pickle.Entry) error {
		for _, e := range list {
			if err := walk(e.Key); err != nil {
				return err
			}
			if err := walk(e.Value); err != nil {
				return err
			}
		}
		return nil
	}
	walk = func(v pickle.Value) error {
		switch v.(type) {
		case *pickle.List, *pickle.Tuple, *pickle.Dict, *pickle.Set, *pickle.Object, *pickle.Persistent:
		default:
			return nil
		}
		if seen[v] {
			return nil
		}
		seen[v] = true
		if err := visit(v); err != nil {
			return err
		}
		switch v := v.(type) {
		case *pickle.List:
			return all(v.Items)
		case *pickle.Tuple:
			return all(v.Items)
		case *pickle.Set:
			return all(v.Items)
		case *pickle.Dict:
			return entries(v.Entries)
		case *pickle.Persistent:
			return walk(v.ID)
		case *pickle.Object:
			if err := walk(v.Class); err != nil {
				return err
			}
			if v.Args != nil {
				if err := walk(v.Args); err != nil {
					return err
				}
			}
			if v.Kwargs != nil {
				if err := walk(v.Kwargs); err != nil {
					return err
				}
			}
			if err := walk(v.State); err != nil {
				return err
			}
			if err := all(v.Items); err != nil {
				return err
			}
			return entries(v.Entries)
		}
		return nil
	}
	return walk(root)
}

// product is a*b of numbers that are not negative; false where it does not fit 63 bits.
func product(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), hi == 0 && int64(lo) >= 0
}

// quoted is text for a message: short, and whatever bytes it has.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
