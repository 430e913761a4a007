package packed

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// unpacked is the codes in words of 32 bits, a byte each: as many of so many bits as fit, the first lowest. It implements
// layout.Op: a block is a word.
type unpacked struct{ bits int64 }

func (u unpacked) per() int64              { return 32 / u.bits }
func (u unpacked) String() string          { return fmt.Sprintf("u%d in 32→u8/1", u.bits) }
func (u unpacked) Block() (int64, []int64) { return u.per(), []int64{4} }

func (u unpacked) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%4 != 0 || in[0] > math.MaxInt64/8 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes", u, in)
	}
	return in[0] / 4 * u.per(), nil
}

func (u unpacked) Apply(dst []byte, src [][]byte) error {
	words, per := src[0], int(u.per())
	if len(words)/4*per < len(dst) {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d", u, len(dst), len(words))
	}
	mask := uint32(1)<<u.bits - 1
	for len(dst) > 0 {
		w := binary.LittleEndian.Uint32(words)
		words = words[4:]
		out := dst[:min(per, len(dst))]
		dst = dst[len(out):]
		for i := range out {
			out[i] = byte(w & mask)
			w >>= u.bits
		}
	}
	return nil
}

// affine is (code - zero - bias) * scale in float32, with a zero point and a scale for each run of codes. It implements
// layout.Op: a block is a run.
type affine struct{ run, bias int64 }

func (a affine) String() string          { return fmt.Sprintf("(u8-u8-%d)·f32[%d]→f32/1", a.bias, a.run) }
func (a affine) Block() (int64, []int64) { return 4 * a.run, []int64{a.run, 1, 4} }

func (a affine) Size(in ...int64) (int64, error) {
	if len(in) != 3 || in[0] > math.MaxInt64/4 || in[0]%a.run != 0 || in[1] != in[0]/a.run || in[2] != 4*in[1] {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes", a, in)
	}
	return 4 * in[0], nil
}

func (a affine) Apply(dst []byte, src [][]byte) error {
	codes, zeros, scales := src[0], src[1], src[2]
	runs := len(dst) / 4 / int(a.run)
	if len(dst)%int(4*a.run) != 0 || len(codes) < len(dst)/4 || len(zeros) < runs || len(scales) < 4*runs {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d, %d and %d", a, len(dst), len(codes), len(zeros), len(scales))
	}
	le := binary.LittleEndian
	for r := range runs {
		scale := math.Float32frombits(le.Uint32(scales[4*r:]))
		zero := int(zeros[r]) + int(a.bias)
		out := dst[4*r*int(a.run):][:4*a.run]
		for i, c := range codes[r*int(a.run):][:a.run] {
			le.PutUint32(out[4*i:4*i+4], math.Float32bits(float32(float32(int(c)-zero)*scale)))
		}
	}
	return nil
}

// indexed is affine for codes whose group stands in an index. It implements layout.Op: a block is a row of codes, with
// the zero points and scales of its groups and an int32 for each code, the group's number.
type indexed struct{ row, groups, bias int64 }

func (x indexed) String() string {
	return fmt.Sprintf("(u8-u8-%d)·f32[i32 of %d, %d]→f32/1", x.bias, x.groups, x.row)
}

func (x indexed) Block() (int64, []int64) {
	return 4 * x.row, []int64{x.row, x.groups, 4 * x.groups, 4 * x.row}
}

func (x indexed) Size(in ...int64) (int64, error) {
	if len(in) != 4 || in[0] > math.MaxInt64/4 || in[0]%x.row != 0 || in[1] != in[0]/x.row*x.groups || in[2] != 4*in[1] || in[3] != 4*in[0] {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes", x, in)
	}
	return 4 * in[0], nil
}

func (x indexed) Apply(dst []byte, src [][]byte) error {
	codes, zeros, scales, index := src[0], src[1], src[2], src[3]
	row, groups := int(x.row), int(x.groups)
	rows := len(dst) / 4 / row
	if len(dst)%(4*row) != 0 || len(codes) < rows*row || len(zeros) < rows*groups || len(scales) < 4*rows*groups || len(index) < 4*rows*row {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d, %d, %d and %d", x, len(dst), len(codes), len(zeros), len(scales), len(index))
	}
	le := binary.LittleEndian
	zero, scale := make([]int, groups), make([]float32, groups)
	for r := range rows {
		for g := range groups {
			zero[g] = int(zeros[r*groups+g]) + int(x.bias)
			scale[g] = math.Float32frombits(le.Uint32(scales[4*(r*groups+g):]))
		}
		out, of := dst[4*r*row:][:4*row], index[4*r*row:][:4*row]
		for i, c := range codes[r*row:][:row] {
			g := le.Uint32(of[4*i:])
			if g >= uint32(groups) {
				return fault.New(fault.Malformed, "column %d is of group %d, and there are %d groups", i, int32(g), groups)
			}
			le.PutUint32(out[4*i:4*i+4], math.Float32bits(float32(float32(int(c)-zero[g])*scale[g])))
		}
	}
	return nil
}

// fromRows is the codes of a matrix of words, each of which is codes of one column, below each other: a row for each of
// those columns.
func fromRows(words *layout.File, bits, down, across int64) (*layout.File, error) {
	per := 32 / bits
	codes, err := coded(unpacked{bits}, "", words)
	if err != nil {
		return nil, err
	}
	return moved(codes, per, []int64{across, down}, []int64{1, across})
}

// transposed is a matrix of bytes, or of wider elements, with its rows as columns.
func transposed(in *layout.File, elem, rows, columns int64) (*layout.File, error) {
	return moved(in, elem, []int64{columns, rows}, []int64{1, columns})
}
