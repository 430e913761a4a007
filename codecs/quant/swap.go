package quant

import (
	"fmt"
	"math/bits"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Swap turns big-endian elements of so many bytes, 2, 4 or 8, into little-endian ones, and back. Of complex numbers the
// real and the imaginary part are elements.
func Swap(bytes int) layout.Op { return swap(bytes) }

// swap implements [layout.Op].
type swap int64

func (s swap) String() string          { return fmt.Sprintf("swap%d/1", 8*int64(s)) }
func (s swap) Block() (int64, []int64) { return int64(s), []int64{int64(s)} }

func (s swap) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%int64(s) != 0 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: no whole number of elements", s, in)
	}
	return in[0], nil
}

func (s swap) Apply(dst []byte, src [][]byte) error {
	in := src[0]
	if len(in) < len(dst) || len(dst)%int(s) != 0 {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d", s, len(dst), len(in))
	}
	in = in[:len(dst)]
	switch s {
	case 2:
		for ; len(dst) >= 2; dst, in = dst[2:], in[2:] {
			le.PutUint16(dst, bits.ReverseBytes16(le.Uint16(in)))
		}
	case 4:
		for ; len(dst) >= 4; dst, in = dst[4:], in[4:] {
			le.PutUint32(dst, bits.ReverseBytes32(le.Uint32(in)))
		}
	case 8:
		for ; len(dst) >= 8; dst, in = dst[8:], in[8:] {
			le.PutUint64(dst, bits.ReverseBytes64(le.Uint64(in)))
		}
	default:
		return fault.New(fault.Unsupported, "elements of %d bytes", int64(s))
	}
	return nil
}
