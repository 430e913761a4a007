package torch

import (
	"math/big"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// The first two pickles of a file before PyTorch 1.6 (torch/serialization.py).
var (
	legacyMagic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)
	legacyVersion  = int64(1001)
)

// sequence reads a file that begins with a pickle:
//
//	pickle  0x1950a86a20f9469cfc6c
//	pickle  1001
//	pickle  what machine wrote it, which does not matter: numbers are little-endian whatever it was
//	pickle  the object
//	pickle  the keys of its storages
//	for each key: int64 elements, and they
//
// A file that is one pickle and nothing else is the object itself, by Python's pickle module.
func (f *file) sequence() (*reading, Container, error) {
	first, off, err := f.pickle(0)
	if err != nil {
		return nil, "", err
	}
	if n, ok := first.(*big.Int); !ok || n.Cmp(legacyMagic) != 0 {
		if off != f.size {
			return nil, "", f.at(fault.Malformed, 0, "a pickle that is not the magic number of a PyTorch file, and %d bytes after it", f.size-off)
		}
		r := newReading(f, first, f.base(0))
		r.legacy = true
		return r, Bare, r.read(func(s *Storage) (*layout.File, error) {
			return nil, f.at(fault.Missing, 0, "the pickle names storage %s, and there is no place for storages in its file", quoted(s.Key))
		})
	}
	version, off, err := f.pickle(off)
	if err != nil {
		return nil, "", err
	}
	if version != legacyVersion {
		return nil, "", fault.New(fault.Unsupported, "a version of PyTorch's files before zip that is not %d", legacyVersion)
	}
	if _, off, err = f.pickle(off); err != nil {
		return nil, "", err
	}
	at := off
	root, off, err := f.pickle(off)
	if err != nil {
		return nil, "", err
	}
	keysAt := off
	v, off, err := f.pickle(off)
	if err != nil {
		return nil, "", err
	}
	keys, ok := v.(*pickle.List)
	if !ok {
		return nil, "", f.at(fault.Malformed, keysAt, "the list of storages is no list")
	}
	r := newReading(f, root, f.base(at))
	r.legacy = true
	places, err := f.places(r, keys, keysAt, off)
	if err != nil {
		return nil, "", err
	}
	return r, Legacy, r.read(func(s *Storage) (*layout.File, error) {
		p, ok := places[s.Key]
		if !ok {
			return nil, f.at(fault.Missing, keysAt, "storage %s is not among those of the file", quoted(s.Key))
		}
		return f.bytes(p.off, p.size)
	})
}

// extent is a run of bytes of a file.
type extent struct{ off, size int64 }

// places finds the storages behind the pickles, which end at off. The pickle of the object says of what size their
// elements are.
func (f *file) places(r *reading, keys *pickle.List, keysAt, off int64) (map[string]extent, error) {
	known := map[string]*Storage{}
	probe := newReading(f, r.root, r.base)
	probe.legacy = true
	err := each(r.root, func(v pickle.Value) error {
		p, ok := v.(*pickle.Persistent)
		if !ok || isContainer(p) {
			return nil
		}
		_, err := probe.persistent(p)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, s := range probe.order {
		known[s.Key] = s
	}
	places := make(map[string]extent, len(known))
	for _, v := range keys.Items {
		key, ok := text(v)
		if !ok {
			return nil, f.at(fault.Malformed, keysAt, "the key of a storage is no text")
		}
		s := known[key]
		if s == nil {
			return nil, f.at(fault.Malformed, keysAt, "storage %s is listed, and no tensor names it", quoted(key))
		}
		if _, twice := places[key]; twice {
			return nil, f.at(fault.Duplicate, keysAt, "storage %s is listed twice", quoted(key))
		}
		if s.elem == nil {
			return nil, f.at(fault.Unsupported, keysAt, "storage %s is a %s, whose elements are of no known size, so that nobody knows where the next begins", quoted(key), quoted(s.Class))
		}
		size, err := f.storage(off, s.Numel, s.elem.bytes, key)
		if err != nil {
			return nil, err
		}
		places[key] = extent{off + 8, size}
		off += 8 + size
	}
	if off != f.size {
		return nil, f.at(fault.Extent, off, "%d bytes follow the last storage", f.size-off)
	}
	return places, nil
}

// storage checks a storage at off, of which the pickle says that it has numel elements, and returns its bytes' number.
func (f *file) storage(off, numel, elem int64, key string) (int64, error) {
	if off > f.size-8 {
		return 0, f.at(fault.Truncated, off, "storage %s begins %d bytes before the end of the file", quoted(key), f.size-off)
	}
	var head [8]byte
	if err := f.full(head[:], off); err != nil {
		return 0, err
	}
	have := int64(le.Uint64(head[:]))
	if numel >= 0 && have != numel {
		return 0, f.at(fault.Mismatch, off, "storage %s has %d elements, and the pickle says %d", quoted(key), have, numel)
	}
	size, ok := product(max(0, have), elem)
	switch {
	case have < 0:
		return 0, f.at(fault.Malformed, off, "storage %s has %d elements", quoted(key), have)
	case !ok:
		return 0, f.at(fault.Overflow, off, "storage %s has %d elements of %d bytes, more than fit 63 bits", quoted(key), have, elem)
	case size > f.size-off-8:
		return 0, f.at(fault.Truncated, off, "storage %s has %d bytes, and the file ends after %d", quoted(key), size, f.size-off-8)
	}
	return size, nil
}
