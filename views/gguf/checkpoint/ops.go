package checkpoint

import (
	"encoding/binary"
	"math"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// addOne is x + 1 in float32. It implements layout.Op: a block is one element.
type addOne struct{}

var _ layout.Op = addOne{}

func (addOne) String() string          { return "f32+1/1" }
func (addOne) Block() (int64, []int64) { return 4, []int64{4} }

func (addOne) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%4 != 0 {
		return 0, fault.New(fault.Mismatch, "f32+1: %d bytes are no whole number of elements", in)
	}
	return in[0], nil
}

func (addOne) Apply(dst []byte, src [][]byte) error {
	if len(dst)%4 != 0 || len(src) != 1 || len(src[0]) < len(dst) {
		return fault.New(fault.Mismatch, "f32+1: %d bytes cannot come from this", len(dst))
	}
	le := binary.LittleEndian
	for i := 0; i < len(dst); i += 4 {
		le.PutUint32(dst[i:], math.Float32bits(math.Float32frombits(le.Uint32(src[0][i:]))+1))
	}
	return nil
}

// mxfp4 brings blocks of 32 codes of four bits, the first of each byte in its low half, and their scales of one byte
// into the blocks of ggml's type MXFP4: the scale, and in byte j codes j and j + 16. It implements layout.Op.
type mxfp4 struct{}

var _ layout.Op = mxfp4{}

func (mxfp4) String() string          { return "mxfp4→ggml/1" }
func (mxfp4) Block() (int64, []int64) { return 17, []int64{16, 1} }

func (mxfp4) Size(in ...int64) (int64, error) {
	if len(in) != 2 || in[0]%16 != 0 || in[0]/16 != in[1] {
		return 0, fault.New(fault.Mismatch, "mxfp4: %d bytes are not 16 of codes to each of scales", in)
	}
	if in[1] > math.MaxInt64/17 {
		return 0, fault.New(fault.Overflow, "mxfp4: %d blocks", in[1])
	}
	return 17 * in[1], nil
}

func (mxfp4) Apply(dst []byte, src [][]byte) error {
	n := len(dst) / 17
	if len(dst)%17 != 0 || len(src) != 2 || len(src[0])/16 < n || len(src[1]) < n {
		return fault.New(fault.Mismatch, "mxfp4: %d bytes cannot come from this", len(dst))
	}
	for b := range n {
		codes, out := src[0][16*b:16*b+16], dst[17*b:17*b+17]
		out[0] = src[1][b]
		for j := range 8 {
			low, high := codes[j], codes[j+8]
			out[1+2*j] = low&15 | high<<4
			out[2+2*j] = low>>4 | high&0xf0
		}
	}
	return nil
}
