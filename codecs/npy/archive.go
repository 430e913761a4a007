package npy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// ArchiveFormat is the name of the codec of archives.
const ArchiveFormat = "npz"

// MatchArchive reports whether a file of this name is an archive of NumPy arrays.
func MatchArchive(name string) bool {
	return strings.HasSuffix(strings.ToLower(path.Base(name)), ".npz")
}

// SniffArchive reports whether a file that begins like this is an archive whose first member is an array, as far as its
// name is seen.
func SniffArchive(head []byte) bool {
	const local, name = "PK\x03\x04", 30
	if len(head) < name || string(head[:4]) != local {
		return false
	}
	n := int(binary.LittleEndian.Uint16(head[26:]))
	return name+n <= len(head) && strings.HasSuffix(string(head[name:name+n]), extension)
}

const extension = ".npy"

// ReadArchive reads an archive as numpy.savez writes it: a zip of files of one array, each named as its array with .npy
// behind. Stored arrays are extents of the file; deflated ones are unpacked once, when they are first read.
//
// As NumPy does, a member is taken for an array where it begins like one, whatever its name. Others, and arrays of types
// that are not read here, are left out. An archive with an array of objects is Unsafe as a whole, and Duplicate where
// two arrays answer to one name.
func ReadArchive(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	a, err := zip.Open(ctx, src, 0, src.Size())
	if err != nil {
		return nil, fault.In(name, err)
	}
	m := &model.Model{
		Format: ArchiveFormat, File: name, Files: []string{name}, Sources: []layout.Source{src}, Source: src,
		Metadata: map[string]string{},
	}
	if a.HasCRCs() {
		m.Verify = a.Verify
	}
	for i := range a.Members {
		member := &a.Members[i]
		t, err := array(ctx, a, member)
		switch {
		case errors.Is(err, fault.Unsupported):
			m.Left = append(m.Left, model.Left{Name: key(member), Reason: fault.Reason(err)})
			continue
		case err != nil:
			return nil, fault.In(name, err)
		}
		if other := a.Find(t.Name); other != nil && other != member {
			return nil, fault.In(name, fault.At(fault.Duplicate, member.Off, "the members %q and %q are both the array %q", other.Name, member.Name, t.Name))
		}
		m.Tensors = append(m.Tensors, t)
	}
	return m, nil
}

// key is the name of a member's array.
func key(m *zip.Member) string { return strings.TrimSuffix(m.Name, extension) }

// array is a member as a tensor. One that is no array is Unsupported.
func array(ctx context.Context, a *zip.Archive, m *zip.Member) (model.Tensor, error) {
	t := model.Tensor{Name: key(m)}
	file, err := a.File(m)
	if err != nil {
		return t, err
	}
	src := &member{a: a, m: m}
	if head, err := src.upTo(ctx, int64(len(magic))); err != nil {
		return t, err
	} else if string(head) != magic && !strings.HasSuffix(m.Name, extension) {
		return t, fault.At(fault.Unsupported, m.Off, "it is no array")
	}
	h, err := Decode(ctx, src)
	if err == nil {
		t.DType, t.Shape = h.DType, h.Shape
		t.Data, err = h.data(file, t.Name)
	}
	return t, src.placed(err)
}

// member is a member of an archive as a source of its own, for its header.
type member struct {
	a    *zip.Archive
	m    *zip.Member
	head []byte // what was read of it
}

// usualHeader is where most headers end.
const usualHeader = 256

// upTo is the first n bytes.
func (s *member) upTo(ctx context.Context, n int64) ([]byte, error) {
	n = min(n, s.m.Size)
	if int64(len(s.head)) < n {
		head, err := s.a.Head(ctx, s.m, max(n, usualHeader))
		if err != nil {
			return nil, err
		}
		s.head = head
	}
	return s.head[:n], nil
}

func (s *member) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	head, err := s.upTo(ctx, off+int64(len(p)))
	if err != nil {
		return 0, err
	}
	return bytes.NewReader(head).ReadAt(p, off)
}

func (s *member) Size() int64    { return s.m.Size }
func (s *member) ID() layout.ID  { return layout.ID{} } // of nothing that is kept
func (s *member) String() string { return s.m.Name }

// placed gives the offset in the archive instead of that in the member, and names this.
func (s *member) placed(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Path != "" {
		return err
	}
	at := s.m.Off
	if s.m.Method == zip.Stored && e.Off > 0 {
		at += e.Off
	}
	placed := fault.At(e.Kind, at, "%q: %s", s.m.Name, e.Reason)
	placed.Remedy = e.Remedy
	return placed
}
