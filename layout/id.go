package layout

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// version is hashed into every ID: a change of what spans mean changes them all.
const version = "isomerfs layout 1"

// ID identifies bytes: a SHA-256 of everything they depend on.
type ID [32]byte

// String is the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ID is the file's identity: it changes when the bytes could, and only then. However a file was assembled, the same
// sequence of bytes from the same places has the same ID.
func (f *File) ID() ID { return f.identity().id }

// Recipe is the ID without the identities of the sources: what is done, whatever it is done to. Two files that differ
// only in the stored files they come from have the same Recipe.
func (f *File) Recipe() ID { return f.identity().recipe }

// identity is both. It is computed when it is first asked for: most files are parts of others, and nobody asks.
type identity struct{ id, recipe ID }

func (f *File) identity() *identity {
	if known := f.known.Load(); known != nil {
		return known
	}
	made := identify(f.runs)
	f.known.Store(made) // two at once store the same
	return made
}

// hasher writes a canonical description of spans: each value tagged or of fixed width, so that no two descriptions
// run together.
type hasher struct {
	hash.Hash
	sources bool // whether sources are told by their identity, or only by their order of appearance
	order   map[ID]int64
}

func (h *hasher) text(s string) {
	h.number(int64(len(s)))
	h.Write([]byte(s))
}

func (h *hasher) number(n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

func (h *hasher) source(s Source) {
	id := s.ID()
	if h.sources {
		h.Write(id[:])
		return
	}
	n, ok := h.order[id]
	if !ok {
		n = int64(len(h.order))
		h.order[id] = n
	}
	h.number(n)
	h.number(s.Size())
}

func (h *hasher) file(f *File) {
	if h.sources {
		id := f.ID()
		h.Write(id[:])
		return
	}
	h.number(int64(len(f.runs)))
	for _, r := range f.runs {
		r.describe(h)
	}
}

func identify(runs []Span) *identity {
	made := &identity{}
	for _, to := range []struct {
		id      *ID
		sources bool
	}{{&made.id, true}, {&made.recipe, false}} {
		h := &hasher{Hash: sha256.New(), sources: to.sources, order: map[ID]int64{}}
		h.text(version)
		for _, r := range runs {
			r.describe(h)
		}
		h.Sum(to.id[:0])
	}
	return made
}

func (s Literal) describe(h *hasher) { h.Write([]byte{'l'}); h.text(string(s)) }
func (s Zeros) describe(h *hasher)   { h.Write([]byte{'z'}); h.number(int64(s)) }

func (s Extent) describe(h *hasher) {
	h.Write([]byte{'e'})
	h.source(s.Source)
	h.number(s.Off)
	h.number(s.Len)
}

func (s Box) describe(h *hasher) {
	h.Write([]byte{'b'})
	h.file(s.In)
	h.number(s.Off)
	h.number(s.Elem)
	h.number(int64(len(s.Shape)))
	for i := range s.Shape {
		h.number(s.Shape[i])
		h.number(s.Strides[i])
	}
}

func (s Coded) describe(h *hasher) {
	h.Write([]byte{'c'})
	h.text(s.Op.String())
	h.number(int64(len(s.In)))
	for _, in := range s.In {
		h.file(in)
	}
}

func (s Materialized) describe(h *hasher) {
	h.Write([]byte{'m'})
	h.text(s.Name)
	h.number(s.Length)
	h.number(int64(len(s.In)))
	for _, in := range s.In {
		h.file(in)
	}
}
