package safetensors

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

var ctx = context.Background()

// stored is a file in memory. size, where it is not 0, is that of a larger file whose rest is zeros.
type stored struct {
	name string
	data []byte
	size int64
	read int64 // bytes that were read
	most int   // the largest read
}

func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	s.most = max(s.most, len(p))
	n := int(max(0, min(int64(len(p)), s.Size()-off)))
	clear(p[:n])
	if off < int64(len(s.data)) {
		copy(p[:n], s.data[off:])
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (s *stored) Size() int64    { return max(s.size, int64(len(s.data))) }
func (s *stored) ID() layout.ID  { return sha256.Sum256([]byte(s.name)) }
func (s *stored) String() string { return s.name }

// folder is the files of a version.
type folder map[string]*stored

func (f folder) List() []string { return slices.Sorted(maps.Keys(f)) }
func (f folder) Open(name string) (layout.Source, error) {
	if s := f[name]; s != nil {
		return s, nil
	}
	return nil, fault.In(name, fault.New(fault.Missing, "no such file"))
}

// file is a safetensors file of a header as given and so many bytes of data, each a function of its offset.
func file(header string, data int) *stored {
	p := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	p = append(p, header...)
	for i := range data {
		p = append(p, byte(i*7+1))
	}
	return &stored{name: "model.safetensors", data: p}
}
