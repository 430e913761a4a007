package torch

import (
	"math/big"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Storage is a run of elements that tensors are views of. Two tensors that share one have the same *Storage.
type Storage struct {
	Key      string       // by which the pickle names it
	Class    string       // FloatStorage, UntypedStorage ...
	Location string       // cpu, cuda:0 ...
	DType    model.DType  // of its elements; U8 of an untyped one, Invalid where Class is not known
	Numel    int64        // elements
	Data     *layout.File // little-endian, whatever the file's byte order; nil where the storage has no bytes here

	elem    *element // nil where Class is not known
	left    string   // why it has no bytes
	swapped bool     // the file's byte order is not ours, and a type for its bytes is not known here
	of      *Storage // the storage that it is a part of, in legacy files
	off     int64    // where in of it begins, in elements
}

// persistent reads what the pickle says of a storage: ('storage', class, key, location, numel), and in legacy files a
// sixth field, None or (key, offset, numel) of the part that is meant.
func (r *reading) persistent(p *pickle.Persistent) (*Storage, error) {
	id, ok := p.ID.(*pickle.Tuple)
	if !ok {
		return nil, r.at(fault.Malformed, p.Off, "a persistent id that is no tuple")
	}
	fields := id.Items
	if kind, _ := item(fields, 0).(string); kind != "storage" {
		return nil, r.at(fault.Malformed, p.Off, "a persistent id that is no storage's")
	}
	if len(fields) != 5 && !(len(fields) == 6 && (r.legacy || fields[5] == nil)) { // early TorchScript has the sixth too
		return nil, r.at(fault.Malformed, p.Off, "a storage's persistent id has %d fields", len(fields))
	}
	key, ok := text(fields[2])
	if !ok {
		return nil, r.at(fault.Malformed, p.Off, "a storage's key is no text")
	}
	s := &Storage{Key: key}
	s.Location, _ = text(fields[3])
	var err error
	if s.Numel, err = r.count(fields[4], p.Off, "the elements of a storage"); err != nil {
		return nil, err
	}
	if err := r.class(s, fields[1], p.Off); err != nil {
		return nil, err
	}
	if same := r.storages[key]; same == nil {
		r.storages[key] = s
		r.order = append(r.order, s)
		if err := r.checkBytes(s, p.Off); err != nil {
			return nil, err
		}
	} else if same.Class == s.Class && same.Numel == s.Numel {
		s = same
	} else if s, err = r.retyped(same, s, p.Off); err != nil {
		return nil, err
	}
	if len(fields) == 6 && fields[5] != nil {
		return r.partOf(s, fields[5], p.Off)
	}
	return s, nil
}

// class says of what type the elements are.
func (r *reading) class(s *Storage, v pickle.Value, off int64) error {
	g, ok := v.(*pickle.Global)
	if !ok {
		return r.at(fault.Malformed, off, "the class of storage %s is no global", quoted(s.Key))
	}
	s.Class = g.Name
	name, known := storageClasses[g.Name]
	if !known || g.Module != "torch" && !strings.HasPrefix(g.Module, "torch.") {
		s.left = "its storage is a " + quoted(g.String()) + ", which is not known here"
		return nil
	}
	s.elem = elementsByName[name]
	s.DType = s.elem.dtype
	return nil
}

// checkBytes refuses a storage whose size does not fit 63 bits.
func (r *reading) checkBytes(s *Storage, off int64) error {
	if s.elem == nil {
		return nil
	}
	if _, ok := product(s.Numel, s.elem.bytes); !ok {
		return r.at(fault.Overflow, off, "storage %s has %d elements of %d bytes, more than fit 63 bits", quoted(s.Key), s.Numel, s.elem.bytes)
	}
	return nil
}

// retyped is a storage that the pickle names again as one of other elements: the same bytes as another type. PyTorch
// takes it where the bytes are as many.
func (r *reading) retyped(first, s *Storage, off int64) (*Storage, error) {
	if s.elem == nil || first.elem == nil {
		s.left = "its storage is a " + quoted(s.Class) + ", which is not known here"
		return s, nil
	}
	if err := r.checkBytes(s, off); err != nil {
		return nil, err
	}
	if s.Numel*s.elem.bytes != first.Numel*first.elem.bytes {
		return nil, r.at(fault.Mismatch, off, "storage %s has %d bytes as a %s, and %d as a %s", quoted(s.Key), s.Numel*s.elem.bytes, s.Class, first.Numel*first.elem.bytes, first.Class)
	}
	s.of = first
	return r.other(s), nil
}

// partOf is the part of a legacy file's storage that view says.
func (r *reading) partOf(s *Storage, view pickle.Value, off int64) (*Storage, error) {
	t, ok := view.(*pickle.Tuple)
	if !ok || len(t.Items) != 3 {
		return nil, r.at(fault.Malformed, off, "a part of storage %s is not (key, offset, size)", quoted(s.Key))
	}
	key, ok := text(t.Items[0])
	if !ok {
		return nil, r.at(fault.Malformed, off, "the key of a part of storage %s is no text", quoted(s.Key))
	}
	from, err := r.count(t.Items[1], off, "the offset of a part of a storage")
	if err != nil {
		return nil, err
	}
	n, err := r.count(t.Items[2], off, "the elements of a part of a storage")
	if err != nil {
		return nil, err
	}
	if from > s.Numel-n {
		return nil, r.at(fault.Extent, off, "a part of storage %s ends at element %d of %d", quoted(s.Key), from+n, s.Numel)
	}
	return r.other(&Storage{Key: key, Class: s.Class, Location: s.Location, DType: s.DType, Numel: n, elem: s.elem, left: s.left, of: s, off: from}), nil
}

// part is what tells storages that are parts of others from each other.
type part struct {
	of         *Storage
	key, class string
	off, numel int64
}

// other is the same part of another storage where it was met before, else s.
func (r *reading) other(s *Storage) *Storage {
	key := part{s.of, s.Key, s.Class, s.off, s.Numel}
	if known := r.parts[key]; known != nil {
		return known
	}
	r.parts[key] = s
	r.again = append(r.again, s)
	return s
}

// fill gives a storage its bytes as they are stored.
func (r *reading) fill(s *Storage, raw *layout.File) error {
	s.Data = raw
	if !r.big || s.elem == nil || s.elem.part == 1 {
		s.swapped = r.big && s.elem != nil && s.elem.name == untyped
		return nil
	}
	var err error
	s.Data, err = layout.New(layout.Coded{Op: quant.Swap(int(s.elem.part)), Label: "storage " + s.Key, In: []*layout.File{raw}})
	return err
}

// fillParts gives the storages that are others' their bytes.
func (r *reading) fillParts() error {
	for _, s := range r.again {
		from := s.of
		if s.left == "" {
			s.left = from.left
		}
		if s.elem == nil || from.Data == nil {
			continue
		}
		if s.elem.part != from.elem.part && r.big {
			s.left = "its storage is one of other elements too, in the byte order of another machine"
			continue
		}
		var err error
		if s.Data, err = from.Data.Slice(s.off*s.elem.bytes, s.Numel*s.elem.bytes); err != nil {
			return err
		}
	}
	return nil
}

// count is a number of the pickle that may not be negative.
func (r *reading) count(v pickle.Value, off int64, what string) (int64, error) {
	switch n := v.(type) {
	case int64:
		if n < 0 {
			return 0, r.at(fault.Malformed, off, "%s: %d", what, n)
		}
		return n, nil
	case *big.Int:
		if n.Sign() < 0 {
			return 0, r.at(fault.Malformed, off, "%s: less than 0", what)
		}
		return 0, r.at(fault.Overflow, off, "%s: more than fit 63 bits", what)
	}
	return 0, r.at(fault.Malformed, off, "%s: no number", what)
}

// text is a str, or a Python 2 one that was bytes.
func text(v pickle.Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case pickle.Bytes:
		return string(v), true
	}
	return "", false
}

// item is one of a list of values; nil past its end.
func item(items []pickle.Value, i int) pickle.Value {
	if i < len(items) {
		return items[i]
	}
	return nil
}
