package torch

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Full is the whole saved object, its weights as float tensors of a type: what a training resumes from. Strides,
// shared storages and what marks parameters are kept. The tensors that are no weights stay bit for bit, those of the
// optimizer first of all: the squares of gradients underflow in half precision, and an optimizer that loads its state
// turns it into the type of the parameters itself.
//
// torch.load opens it with weights_only=True. What that does not make is left out, and listed under the keys that lead
// to it: an item of a dict is missing then, one of a list is None. NumPy's arrays become tensors and its scalars
// numbers, a defaultdict a dict, a TorchVersion text.
//
// The file is nil where torch.load takes the stored one as it stands and nothing changes in it. It is Unsupported where
// nothing is left of the object.
func (c *Checkpoint) Full(to model.DType, metadata map[string]string) (*layout.File, []model.Left, error) {
	f := full{c: c, to: to, weights: map[*layout.File]bool{}, made: map[fullKey]pickle.Value{}, storages: map[storageKey]Written{}, wholes: map[pickle.Value]bool{}}
	for _, t := range c.Tensors {
		if t.Data != nil {
			f.weights[t.Data] = true
		}
	}
	root, ok, err := f.value(c.Root, false)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fault.New(fault.Unsupported, "the checkpoint is %s, which takes code to make", f.left[0].Reason)
	}
	if !f.changed && c.r.plain && c.Container == Zip {
		return nil, nil, nil
	}
	file, err := f.w.File(root, pickle.EncodeOptions{}, metadata)
	return file, f.left, err
}

// full is the object being made anew. Values are made in the order in which a pickle writes them, so that storages are
// numbered in that order.
type full struct {
	c        *Checkpoint
	to       model.DType
	weights  map[*layout.File]bool // the data of the tensors that are cast
	w        Writer
	made     map[fullKey]pickle.Value
	storages map[storageKey]Written
	wholes   map[pickle.Value]bool // see whole
	left     []model.Left
	changed  bool // something is not as it was
	path     []string
}

type fullKey struct {
	v    pickle.Value
	cast bool
}

type storageKey struct {
	s    *Storage
	cast bool
}

// maxFullDepth bounds how deep values nest. Decode bounds them too, so that this is never met.
const maxFullDepth = 1 << 14

// value is what stands for v; false where nothing does, which is listed. cast says that v is part of a weight.
func (f *full) value(v pickle.Value, cast bool) (pickle.Value, bool, error) {
	if len(f.path) > maxFullDepth {
		return nil, false, fault.New(fault.Limit, "values nest more than %d deep", maxFullDepth)
	}
	switch v := v.(type) {
	case *pickle.List, *pickle.Tuple, *pickle.Dict, *pickle.Set, *pickle.Object, *pickle.Persistent:
	case pickle.Bytes:
		if len(v) == 0 { // else the call of bytes, which torch.load does not know
			return call("_codecs", "encode", "", "latin1"), true, nil
		}
		return v, true, nil
	case *pickle.Global:
		if !loadable(v) {
			return f.leave("the global " + v.String())
		}
		return v, true, nil
	default:
		return v, true, nil
	}
	key := fullKey{v, cast}
	if made, ok := f.made[key]; ok {
		_, gone := made.(absent)
		return made, !gone, nil
	}
	made, ok, err := f.make(key)
	if err != nil {
		return nil, false, err
	}
	if !ok {
		made = absent{}
	}
	f.made[key] = made
	return made, ok, nil
}

// absent stands in the table of what was made for what was left out.
type absent struct{}

// leave lists what is left out.
func (f *full) leave(what string) (pickle.Value, bool, error) {
	f.left = append(f.left, model.Left{Name: strings.Join(f.path, "."), Reason: what})
	f.changed = true
	return nil, false, nil
}

// below is the value that stands for v under a key.
func (f *full) below(key string, v pickle.Value, cast bool) (pickle.Value, bool, error) {
	f.path = append(f.path, key)
	made, ok, err := f.value(v, cast)
	f.path = f.path[:len(f.path)-1]
	return made, ok, err
}

func (f *full) make(key fullKey) (pickle.Value, bool, error) {
	switch v := key.v.(type) {
	case *pickle.List:
		made := &pickle.List{}
		f.made[key] = made
		var err error
		made.Items, err = f.items(v.Items, key.cast)
		return made, true, err
	case *pickle.Tuple:
		made := &pickle.Tuple{}
		f.made[key] = made
		var err error
		made.Items, err = f.items(v.Items, key.cast)
		return made, true, err
	case *pickle.Set:
		made := &pickle.Set{}
		f.made[key] = made
		var err error
		made.Items, err = f.items(v.Items, key.cast)
		return made, true, err
	case *pickle.Dict:
		made := &pickle.Dict{}
		f.made[key] = made
		var err error
		made.Entries, err = f.entries(v.Entries, key.cast)
		return made, true, err
	case *pickle.Persistent:
		if t := f.c.Tensor(v); t != nil {
			return f.tensor(t, f.isWeight(t))
		}
		return f.storage(v, key.cast)
	}
	return f.object(key.v.(*pickle.Object), key.cast)
}

// items are those of a list: None for what is left out.
func (f *full) items(items []pickle.Value, cast bool) ([]pickle.Value, error) {
	made := make([]pickle.Value, len(items))
	for i, v := range items {
		m, ok, err := f.below(strconv.Itoa(i), v, cast)
		if err != nil {
			return nil, err
		}
		if ok {
			made[i] = m
		}
	}
	return made, nil
}

// entries are those of a dict, without what is left out.
func (f *full) entries(entries []pickle.Entry, cast bool) ([]pickle.Entry, error) {
	made := make([]pickle.Entry, 0, len(entries))
	for _, e := range entries {
		name := keyName(e.Key)
		k, ok, err := f.below(name, e.Key, cast)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		v, ok, err := f.below(name, e.Value, cast)
		if err != nil {
			return nil, err
		}
		if ok {
			made = append(made, pickle.Entry{Key: k, Value: v})
		}
	}
	return made, nil
}

// storage is a storage, its elements cast where they are weights.
func (f *full) storage(p *pickle.Persistent, cast bool) (pickle.Value, bool, error) {
	s := f.c.Storage(p)
	if s == nil {
		return f.leave("a reference to something outside the file")
	}
	if s.Data == nil {
		return f.leave("a storage without bytes")
	}
	cast = cast && s.DType.Float() && s.DType != f.to && s.Class != untypedClass
	key := storageKey{s, cast}
	if made, ok := f.storages[key]; ok {
		return made.Value(), true, nil
	}
	class, numel, data := s.Class, s.Numel, s.Data
	if cast {
		t, err := quant.Tensor(model.Tensor{Name: "storage " + s.Key, DType: s.DType, Shape: []int64{numel}, Data: data}, f.to)
		if err != nil {
			return nil, false, err
		}
		class, data, f.changed = typedStorages[f.to], t.Data, true
	}
	made := f.w.Storage(class, numel, data)
	f.storages[key] = made
	return made.Value(), true, nil
}

// isWeight reports whether a tensor is one that is cast.
func (f *full) isWeight(t *Tensor) bool { return t.Data != nil && f.weights[t.Data] }

// object is what stands for an object.
func (f *full) object(o *pickle.Object, cast bool) (pickle.Value, bool, error) {
	if t := f.c.Tensor(o); t != nil {
		cast = cast || f.isWeight(t)
		if f.whole(o) && f.casts(o, t, cast) {
			return f.same(o, cast)
		}
		return f.tensor(t, cast)
	}
	if f.whole(o) {
		return f.same(o, cast)
	}
	f.changed = true
	g := classOf(o)
	if g == nil {
		return f.leave("an object of a class that a call makes")
	}
	switch {
	case g.Is("collections", "defaultdict"):
		made := &pickle.Dict{}
		f.made[fullKey{o, cast}] = made
		var err error
		made.Entries, err = f.entries(o.Entries, cast)
		return made, true, err
	case g.Is("torch.torch_version", "TorchVersion"):
		if version, ok := item(o.Args.Items, 0).(string); ok {
			return version, true, nil
		}
	}
	if n, ok := Scalar(o); ok {
		return n, true, nil
	}
	return f.leave("an object of " + g.String())
}

// tensor is a tensor that is made anew, with a storage of its own.
func (f *full) tensor(t *Tensor, cast bool) (pickle.Value, bool, error) {
	if t.Left != "" || t.Data == nil {
		return f.leave("a tensor: " + t.Left)
	}
	f.changed = true
	m := model.Tensor{Name: strings.Join(f.path, "."), DType: t.DType, Shape: t.Shape, Data: t.Data}
	if cast && t.DType.Float() {
		var err error
		if m, err = quant.Tensor(m, f.to); err != nil {
			return nil, false, err
		}
	}
	if Holds("", m.DType, m.Shape) != nil {
		return f.leave("a tensor of " + m.DType.String())
	}
	made, err := f.w.Tensor(m)
	return made, err == nil, err
}

// casts reports whether a cast of the storage is one of the tensor: not where the tensor names a type of its own.
func (f *full) casts(o *pickle.Object, t *Tensor, cast bool) bool {
	return !cast || classOf(o).Name != "_rebuild_tensor_v3" || t.Storage == nil || t.Storage.Class == untypedClass
}

// whole reports whether torch.load makes a value as it stands, from the globals to the storages that it is made of:
// what items, entries or a state add to an object may still lack something.
func (f *full) whole(v pickle.Value) bool {
	all := func(items []pickle.Value) bool {
		return !slices.ContainsFunc(items, func(v pickle.Value) bool { return !f.whole(v) })
	}
	var ok bool
	switch o := v.(type) {
	case *pickle.Global:
		return loadable(o)
	case *pickle.List, *pickle.Tuple, *pickle.Set, *pickle.Dict, *pickle.Persistent, *pickle.Object:
		if known, ok := f.wholes[v]; ok {
			return known
		}
		f.wholes[v] = true // while it is asked: a value that holds itself
		switch o := o.(type) {
		case *pickle.List:
			ok = all(o.Items)
		case *pickle.Tuple:
			ok = all(o.Items)
		case *pickle.Set:
			ok = all(o.Items)
		case *pickle.Dict:
			ok = !slices.ContainsFunc(o.Entries, func(e pickle.Entry) bool { return !f.whole(e.Key) || !f.whole(e.Value) })
		case *pickle.Persistent:
			s := f.c.Storage(o)
			ok = s != nil && s.Data != nil
		case *pickle.Object:
			g, named := o.Class.(*pickle.Global)
			ok = named && o.Kwargs == nil && loadable(g) && all(o.Args.Items)
		}
	default:
		return true
	}
	f.wholes[v] = ok
	return ok
}

// same is an object made anew as it was made before, of arguments, items and a state that stand for its own.
func (f *full) same(o *pickle.Object, cast bool) (pickle.Value, bool, error) {
	if classOf(o).Name == "_rebuild_qtensor" {
		cast = false // scales are no weights
	}
	made := &pickle.Object{Class: o.Class, Args: &pickle.Tuple{}, New: o.New, Built: o.Built}
	var err error
	if made.Args.Items, err = f.items(o.Args.Items, cast); err != nil {
		return nil, false, err
	}
	f.made[fullKey{o, cast}] = made
	if made.Items, err = f.items(o.Items, cast); err != nil {
		return nil, false, err
	}
	if made.Entries, err = f.entries(o.Entries, cast); err != nil {
		return nil, false, err
	}
	if o.Built {
		if made.State, made.Built, err = f.value(o.State, cast); err != nil {
			return nil, false, err
		}
	}
	return made, true, nil
}

// loadables are the classes and functions that torch.load makes values by with weights_only=True (PyTorch 2.6 to 2.15,
// torch/_weights_only_unpickler.py), beside the classes of storages and tensors and the types of elements. Names are
// Python 3's.
var loadables = map[string]string{
	"collections":         "OrderedDict Counter",
	"torch.nn.parameter":  "Parameter",
	"torch.serialization": "_get_layout",
	"torch":               "Size Tensor device per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric per_channel_affine_float_qparams",
	"_codecs":             "encode",
	"builtins":            "bytearray set complex",
	"torch._utils": "_rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 " +
		"_rebuild_sparse_tensor _rebuild_meta_tensor_no_storage",
	"torch.storage": "UntypedStorage TypedStorage",
}

// loadable reports whether torch.load knows a global with weights_only=True.
func loadable(g *pickle.Global) bool {
	if slices.Contains(strings.Fields(loadables[g.Module]), g.Name) {
		return true
	}
	if g.Module != "torch" {
		return false
	}
	_, storage := storageClasses[g.Name]
	e := elementsByName[g.Name]
	return storage || e != nil && g.Name != untyped && e.name == g.Name
}

// isScalar reports whether a global makes a NumPy scalar: numpy.core.multiarray.scalar(dtype, bytes).
func isScalar(g *pickle.Global) bool {
	return g.Name == "scalar" && (g.Module == "numpy.core.multiarray" || g.Module == "numpy._core.multiarray")
}

// Scalar is a NumPy scalar as Python's own number; false where v is none, or complex.
func Scalar(v pickle.Value) (pickle.Value, bool) {
	o, ok := v.(*pickle.Object)
	if !ok {
		return nil, false
	}
	if g := classOf(o); g == nil || !isScalar(g) {
		return nil, false
	}
	d, width, big := arrayType(item(o.Args.Items, 0))
	raw, ok := bytesOf(item(o.Args.Items, 1))
	if !ok || d == model.Invalid || int64(len(raw)) != width {
		return nil, false
	}
	return Number(d, swapped(raw, big))
}

// swapped is raw in little-endian order.
func swapped(raw []byte, big bool) []byte {
	if !big {
		return raw
	}
	turned := make([]byte, len(raw))
	for i, b := range raw {
		turned[len(raw)-1-i] = b
	}
	return turned
}

// Number is one element, little-endian, as Python's own number; false where it is complex.
func Number(d model.DType, raw []byte) (pickle.Value, bool) {
	switch d {
	case model.Bool:
		return raw[0] != 0, true
	case model.I8:
		return int64(int8(raw[0])), true
	case model.U8:
		return int64(raw[0]), true
	case model.I16:
		return int64(int16(le.Uint16(raw))), true
	case model.U16:
		return int64(le.Uint16(raw)), true
	case model.I32:
		return int64(int32(le.Uint32(raw))), true
	case model.U32:
		return int64(le.Uint32(raw)), true
	case model.I64:
		return int64(le.Uint64(raw)), true
	case model.U64:
		if n := le.Uint64(raw); n > math.MaxInt64 {
			return new(big.Int).SetUint64(n), true
		}
		return int64(le.Uint64(raw)), true
	case model.F32:
		return float64(math.Float32frombits(le.Uint32(raw))), true
	case model.F64:
		return math.Float64frombits(le.Uint64(raw)), true
	}
	if op, ok := quant.Cast(d, model.F32); ok {
		var wide [4]byte
		if err := op.Apply(wide[:], [][]byte{raw}); err == nil {
			return float64(math.Float32frombits(le.Uint32(wide[:]))), true
		}
	}
	return nil, false
}
