package npy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

// stored is a file in memory. size, where it is not 0, is that of a larger file whose rest is zeros.
type stored struct {
	data []byte
	size int64
}

func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), s.Size()-off)))
	clear(p[:n])
	if off < int64(len(s.data)) {
		copy(p[:n], s.data[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (s *stored) Size() int64    { return max(s.size, int64(len(s.data))) }
func (s *stored) ID() layout.ID  { return sha256.Sum256(s.data) }
func (s *stored) String() string { return "array.npy" }

type folder map[string]*stored

func (f folder) List() []string { return nil }
func (f folder) Open(name string) (layout.Source, error) {
	if s := f[name]; s != nil {
		return s, nil
	}
	return nil, fault.New(fault.Missing, "no such file")
}

// file is an array file of version 1 with a header as given, ended by a line feed.
func file(header string, data []byte) *stored {
	p := append([]byte(magic), 1, 0)
	p = binary.LittleEndian.AppendUint16(p, uint16(len(header)+1))
	p = append(p, header+"\n"...)
	return &stored{data: append(p, data...)}
}

// dictOf is a header of these three values.
func dictOf(descr, fortran, shape string) string {
	return "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }"
}

// TestRefused: each way a file can be wrong, and what it is called. Four float32 of data follow each header.
func TestRefused(t *testing.T) {
	deep := strings.Repeat("(", 4000)
	for header, kind := range map[string]fault.Kind{
		``:                                     fault.Malformed,
		`4`:                                    fault.Malformed,
		`()`:                                   fault.Malformed,
		`{`:                                    fault.Malformed,
		`{}`:                                   fault.Malformed,
		`{'descr'}`:                            fault.Malformed,
		`{'descr': }`:                          fault.Malformed,
		`{'descr' '<f4'}`:                      fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4,)`) + `x`: fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4,)`) + "\x00":                                   fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4,)`) + `# four`:                                 fault.Malformed,
		`{'descr': '<f4', 'shape': (4,)}`:                                           fault.Malformed,
		`{'descr': '<f4', 'fortran_order': False}`:                                  fault.Malformed,
		`{'fortran_order': False, 'shape': (4,)}`:                                   fault.Malformed,
		`{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': 1}`:           fault.Malformed,
		`{1: '<f4', 'fortran_order': False, 'shape': (4,)}`:                         fault.Malformed,
		`{'descr': '<f4' 'fortran_order': False, 'shape': (4,)}`:                    fault.Malformed,
		`{'descr': '<f4',, 'fortran_order': False, 'shape': (4,)}`:                  fault.Malformed,
		`{, 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}`:                 fault.Malformed,
		`{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'shape': (4,)}`:    fault.Duplicate,
		`{'descr': '<f4', 'descr': '<i4', 'fortran_order': False, 'shape': (4,)}`:   fault.Duplicate,
		dictOf(`'<f4'`, `false`, `(4,)`):                                            fault.Malformed,
		dictOf(`'<f4'`, `0`, `(4,)`):                                                fault.Malformed,
		dictOf(`'<f4'`, `None`, `(4,)`):                                             fault.Malformed,
		dictOf(`'<f4'`, `Falsehood`, `(4,)`):                                        fault.Malformed,
		dictOf(`4`, `False`, `(4,)`):                                                fault.Malformed,
		dictOf(`'<f4`, `False`, `(4,)`):                                             fault.Malformed,
		dictOf(`'<\x664'`, `False`, `(4,)`):                                         fault.Malformed,
		dictOf(`u'<f4'`, `False`, `(4,)`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `4`):                                               fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4)`):                                             fault.Malformed,
		dictOf(`'<f4'`, `False`, `[4]`):                                             fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4, 1`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4 1)`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `(,)`):                                             fault.Malformed,
		dictOf(`'<f4'`, `False`, `(-4,)`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `(+4,)`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4.0,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4e0,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `(04,)`):                                           fault.Malformed,
		dictOf(`'<f4'`, `False`, `(0x4,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `(1_0,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `(4LL,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `('4',)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `(True,)`):                                         fault.Malformed,
		dictOf(`'<f4'`, `False`, `(2*2,)`):                                          fault.Malformed,
		dictOf(`'<f4'`, `False`, `((4,),)`):                                         fault.Malformed,
		dictOf(`'<f4'`, `False`, deep):                                              fault.Limit,
		dictOf(`'<f4'`, `False`, strings.Repeat("[", 130)+strings.Repeat("]", 130)): fault.Limit,
		dictOf(`'<f4'`, `False`, `(`+strings.Repeat("1, ", 65)+`)`):                 fault.Limit,
		dictOf(`'<f4'`, `False`, `(9223372036854775808,)`):                          fault.Overflow,
		dictOf(`'<f4'`, `False`, `(99999999999999999999999999999L,)`):               fault.Overflow,
		dictOf(`'<f4'`, `False`, `(1099511627776, 1099511627776)`):                  fault.Overflow,
		dictOf(`'<f4'`, `False`, `(4294967296, 4294967296)`):                        fault.Overflow,
		dictOf(`'<f4'`, `False`, `(0, 4294967296, 4294967296)`):                     fault.Overflow,
		dictOf(`'<f8'`, `False`, `(2305843009213693952,)`):                          fault.Overflow,
		dictOf(`'<f4'`, `False`, `(5,)`):                                            fault.Truncated,
		dictOf(`'<f4'`, `False`, `(3,)`):                                            fault.Extent,
		dictOf(`'<f4'`, `False`, `()`):                                              fault.Extent,
		dictOf(`'<f4'`, `False`, `(0,)`):                                            fault.Extent,
		dictOf(`'|O'`, `False`, `(4,)`):                                             fault.Unsafe,
		dictOf(`'O'`, `False`, `(4,)`):                                              fault.Unsafe,
		dictOf(`'|O8'`, `False`, `(2,)`):                                            fault.Unsafe,
		dictOf(`'<U4'`, `False`, `(1,)`):                                            fault.Unsupported,
		dictOf(`'|S4'`, `False`, `(4,)`):                                            fault.Unsupported,
		dictOf(`'|V2'`, `False`, `(8,)`):                                            fault.Unsupported,
		dictOf(`'<M8[ns]'`, `False`, `(2,)`):                                        fault.Unsupported,
		dictOf(`'<f16'`, `False`, `(1,)`):                                           fault.Unsupported,
		dictOf(`'<q9'`, `False`, `(4,)`):                                            fault.Unsupported,
		dictOf(`''`, `False`, `(4,)`):                                               fault.Unsupported,
		dictOf(`'<<f4'`, `False`, `(4,)`):                                           fault.Unsupported,
		dictOf(`[('x', '<f4')]`, `False`, `(4,)`):                                   fault.Unsupported,
		dictOf(`('<f4', (2,))`, `False`, `(2,)`):                                    fault.Unsupported,
	} {
		h, err := Decode(ctx, file(header, make([]byte, 16)))
		if got := fault.KindOf(err); err == nil || got != kind {
			t.Errorf("%.80s: %v %v (%v), want %v", header, h, err, got, kind)
		} else if !strings.Contains(err.Error(), "offset ") {
			t.Errorf("%.80s: no offset in %q", header, err)
		}
	}
}

// TestStart: what the bytes before the header can say.
func TestStart(t *testing.T) {
	good := file(dictOf(`'<f4'`, `False`, `(4,)`), make([]byte, 16)).data
	at := func(i int, b ...byte) []byte {
		p := slices.Clone(good)
		copy(p[i:], b)
		return p
	}
	for name, c := range map[string]struct {
		data []byte
		kind fault.Kind
	}{
		"empty":            {nil, fault.Truncated},
		"four bytes":       {good[:4], fault.Truncated},
		"nine bytes":       {good[:9], fault.Truncated},
		"no magic":         {at(0, 'N'), fault.Malformed},
		"magic cut wrong":  {[]byte("\x93NUX"), fault.Malformed},
		"version 0":        {at(6, 0), fault.Unsupported},
		"version 4":        {at(6, 4), fault.Unsupported},
		"version 1.1":      {at(7, 1), fault.Unsupported},
		"version 2 cut":    {append(slices.Clone(good[:6]), 2, 0, 1, 0, 0), fault.Truncated},
		"header of 10,001": {at(8, 0x11, 0x27), fault.Limit},
		"header cut":       {good[:30], fault.Truncated},
		"header of 4 GiB":  {append(slices.Clone(good[:6]), 3, 0, 0xff, 0xff, 0xff, 0xff), fault.Limit},
		"last byte":        {good[:len(good)-1], fault.Truncated},
		"one byte more":    {append(slices.Clone(good), 0), fault.Extent},
	} {
		if _, err := Decode(ctx, &stored{data: c.data}); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// TestTaken: what writers have written, and what it means.
func TestTaken(t *testing.T) {
	f4 := Header{DType: model.F32, Shape: []int64{4}}
	for header, want := range map[string]Header{
		dictOf(`'<f4'`, `False`, `(4,)`):                                      f4,
		`{'shape': (4,), 'descr': '<f4', 'fortran_order': False}`:             f4,
		`{"descr":"<f4","fortran_order":False,"shape":(4,)}`:                  f4,
		"{\n'descr'\t:'<f4' ,\r\n'fortran_order':False,'shape':( 4 , )\f}   ": f4,
		dictOf(`'<f4'`, `False`, `(4L,)`):                                     f4,
		dictOf(`'=f4'`, `False`, `(4,)`):                                      f4,
		dictOf(`'f4'`, `False`, `(4,)`):                                       f4,
		dictOf(`('<f4')`, `False`, `((4),)`):                                  f4,
		dictOf(`'>f4'`, `False`, `(4,)`):                                      {DType: model.F32, Shape: []int64{4}, Big: true},
		dictOf(`'<f4'`, `True`, `(2, 2)`):                                     {DType: model.F32, Shape: []int64{2, 2}, Fortran: true},
		dictOf(`'<f8'`, `False`, `(2, 1)`):                                    {DType: model.F64, Shape: []int64{2, 1}},
		dictOf(`'<f2'`, `False`, `(8,)`):                                      {DType: model.F16, Shape: []int64{8}},
		dictOf(`'<c8'`, `False`, `(2,)`):                                      {DType: model.C64, Shape: []int64{2}},
		dictOf(`'>c16'`, `False`, `()`):                                       {DType: model.C128, Shape: []int64{}, Big: true},
		dictOf(`'|b1'`, `False`, `(16,)`):                                     {DType: model.Bool, Shape: []int64{16}},
		dictOf(`'?'`, `False`, `(16,)`):                                       {DType: model.Bool, Shape: []int64{16}},
		dictOf(`'|i1'`, `False`, `(16,)`):                                     {DType: model.I8, Shape: []int64{16}},
		dictOf(`'>u1'`, `False`, `(16,)`):                                     {DType: model.U8, Shape: []int64{16}},
		dictOf(`'<i2'`, `False`, `(8,)`):                                      {DType: model.I16, Shape: []int64{8}},
		dictOf(`'>u2'`, `False`, `(8,)`):                                      {DType: model.U16, Shape: []int64{8}, Big: true},
		dictOf(`'<i4'`, `False`, `(4,)`):                                      {DType: model.I32, Shape: []int64{4}},
		dictOf(`'<u4'`, `False`, `(4,)`):                                      {DType: model.U32, Shape: []int64{4}},
		dictOf(`'<i8'`, `False`, `(2,)`):                                      {DType: model.I64, Shape: []int64{2}},
		dictOf(`'<u8'`, `False`, `(1, 2, 1)`):                                 {DType: model.U64, Shape: []int64{1, 2, 1}},
	} {
		src := file(header, make([]byte, 16))
		h, err := Decode(ctx, src)
		if err != nil {
			t.Errorf("%s: %v", header, err)
			continue
		}
		want.Start = int64(len(src.data) - 16)
		if !reflect.DeepEqual(*h, want) {
			t.Errorf("%s: %+v, want %+v", header, *h, want)
		}
	}
	for version := range byte(2) {
		header := dictOf(`'<f4'`, `False`, `(0, 3)`)
		data := append([]byte(magic), 2+version, 0, byte(len(header)), 0, 0, 0)
		if h, err := Decode(ctx, &stored{data: append(data, header...)}); err != nil || h.Start != int64(12+len(header)) {
			t.Errorf("version %d: %v", 2+version, err)
		}
	}
}

// slow is an array in C order, little-endian, element by element.
func slow(h *Header, data []byte) []byte {
	size := h.DType.Block().Bytes
	n, _ := model.Elements(h.Shape)
	part := size
	if h.DType == model.C64 || h.DType == model.C128 {
		part /= 2
	}
	out := make([]byte, 0, n*size)
	for i := range n {
		at := i
		if h.Fortran {
			at = 0
			rest, stride := i, n
			var digits []int64
			for _, d := range h.Shape {
				stride /= d
				digits = append(digits, rest/stride)
				rest %= stride
			}
			for k := len(h.Shape) - 1; k >= 0; k-- {
				at = at*h.Shape[k] + digits[k]
			}
		}
		elem := slices.Clone(data[at*size : (at+1)*size])
		if h.Big {
			for lo := int64(0); lo < size; lo += part {
				slices.Reverse(elem[lo : lo+part])
			}
		}
		out = append(out, elem...)
	}
	return out
}

// types are those that NumPy has, from the table of descriptions.
func types() []model.DType {
	var list []model.DType
	for d := model.Bool; d < model.String; d++ {
		if _, ok := Descr(d); ok {
			list = append(list, d)
		}
	}
	return list
}

// TestRead: arrays of every type, order and byte order, read whole and in pieces.
func TestRead(t *testing.T) {
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := types()
		h := &Header{DType: all[r.IntN(len(all))], Shape: []int64{}, Fortran: r.IntN(2) == 0}
		h.Big = r.IntN(2) == 0 && h.DType.Block().Bytes > 1
		for range r.IntN(5) {
			h.Shape = append(h.Shape, 1+r.Int64N(7))
		}
		if r.IntN(10) == 0 {
			h.Shape = append(h.Shape, 0)
		}
		n, _ := h.Bytes()
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		head, err := Encode(h)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(ctx, folder{"a.npy": {data: append(head, data...)}}, "a.npy")
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		x := m.Tensors[0]
		if len(m.Tensors) != 1 || x.Name != "a" || x.DType != h.DType || !slices.Equal(x.Shape, h.Shape) || x.Data.Size() != n {
			t.Fatalf("seed %d: %+v", seed, x)
		}
		want, got := slow(h, data), make([]byte, n)
		for lo := int64(0); lo < n; {
			k := min(n-lo, 1+r.Int64N(n))
			if _, err := x.Data.ReadAt(ctx, nil, got[lo:lo+k], lo); err != nil {
				t.Fatal(err)
			}
			lo += k
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %+v: other bytes", seed, h)
		}
		if plain := !h.Fortran && !h.Big; plain && n > 0 {
			if e, ok := x.Data.Spans()[0].(layout.Extent); !ok || e.Off != int64(len(head)) {
				t.Fatalf("seed %d: an array that is as it should be is %s", seed, x.Data)
			}
		}
	}
}

// TestEncode: headers byte for byte as numpy.save wrote them (NumPy 2.4).
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		h    Header
		want string
	}{
		{Header{DType: model.F32, Shape: []int64{2, 3}}, "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + strings.Repeat(" ", 58) + "\n"},
		{Header{DType: model.F64}, "\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (), }" + strings.Repeat(" ", 62) + "\n"},
		{Header{DType: model.Bool, Shape: []int64{0}}, "\x93NUMPY\x01\x00v\x00{'descr': '|b1', 'fortran_order': False, 'shape': (0,), }" + strings.Repeat(" ", 60) + "\n"},
		{Header{DType: model.I64, Shape: []int64{10, 200}, Big: true, Fortran: true}, "\x93NUMPY\x01\x00v\x00{'descr': '>i8', 'fortran_order': True, 'shape': (10, 200), }" + strings.Repeat(" ", 56) + "\n"},
	} {
		got, err := Encode(&c.h)
		if err != nil || string(got) != c.want {
			t.Errorf("%q, want %q (%v)", got, c.want, err)
		}
	}
	for _, d := range []model.DType{model.BF16, model.F8E4M3, model.F4, model.String, model.Invalid} {
		if _, err := Encode(&Header{DType: d}); fault.KindOf(err) != fault.Unsupported {
			t.Errorf("%v: %v", d, err)
		}
	}
	if _, err := Encode(&Header{DType: model.U8, Shape: make([]int64, 65)}); fault.KindOf(err) != fault.Limit {
		t.Errorf("65 dimensions: %v", err)
	}
	if p, err := Encode(&Header{DType: model.U8, Shape: slices.Repeat([]int64{1 << 62}, 64)}); err != nil || len(p)%align != 0 || len(p) > maxHeader {
		t.Errorf("64 long dimensions: %d bytes, %v", len(p), err)
	}
}

// FuzzDecode: whatever is taken is taken again when it is written anew, and then writing changes nothing.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{dictOf(`'<f4'`, `False`, `(4,)`), dictOf(`'>c16'`, `True`, `(1, 0L, 3)`), dictOf(`'|O'`, `False`, `()`), `{"a":[(1,),{}],'b':None}`} {
		f.Add([]byte(s), uint16(16))
	}
	f.Fuzz(func(t *testing.T, header []byte, data uint16) {
		if len(header) > 0xffff {
			return
		}
		p := append([]byte(magic), 1, 0)
		p = binary.LittleEndian.AppendUint16(p, uint16(len(header)))
		p = append(p, header...)
		h, err := Decode(ctx, &stored{data: p, size: int64(len(p)) + int64(data)})
		if err != nil {
			if fault.KindOf(err) == fault.Unknown {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		head, err := Encode(h)
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := Decode(ctx, &stored{data: head, size: int64(len(head)) + int64(data)})
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, head[10:])
		}
		if int64(len(head)) != again.Start || again.Start%align != 0 {
			t.Fatalf("data at %d after a header of %d", again.Start, len(head))
		}
		if twice, err := Encode(again); err != nil || !bytes.Equal(twice, head) {
			t.Fatalf("written twice, it differs: %v", err)
		}
		if h.Start = again.Start; fmt.Sprint(*h) != fmt.Sprint(*again) {
			t.Fatalf("%+v was written as %+v", h, again)
		}
	})
}
