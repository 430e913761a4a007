package ggml

import (
	"fmt"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Checked is the op that copies elements of F32, F16 or BF16 and fails as [fault.Malformed] on one that is not finite:
// what llama-quantize does to the tensors that it leaves as they are. It reports false for any other type.
func Checked(t Type) (layout.Op, bool) {
	switch t {
	case F32:
		return checked{t, 4, 0x7f800000}, true
	case F16:
		return checked{t, 2, 0x7c00}, true
	case BF16:
		return checked{t, 2, 0x7f80}, true
	}
	return nil, false
}

// checked copies. It implements [layout.Op].
type checked struct {
	t        Type
	size     int
	exponent uint32 // all of whose bits are set in what is not finite
}

func (c checked) String() string {
	return fmt.Sprintf("%s finite/1", strings.ToLower(c.t.String()))
}

func (c checked) Block() (int64, []int64) { return int64(c.size), []int64{int64(c.size)} }

func (c checked) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%int64(c.size) != 0 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: no whole number of elements", c, in)
	}
	return in[0], nil
}

func (c checked) Apply(dst []byte, src [][]byte) error {
	if len(src[0]) < len(dst) || len(dst)%c.size != 0 {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d", c, len(dst), len(src[0]))
	}
	copy(dst, src[0])
	for ; len(dst) > 0; dst = dst[c.size:] {
		bits := uint32(le.Uint16(dst))
		if c.size == 4 {
			bits = le.Uint32(dst)
		}
		if bits&c.exponent == c.exponent {
			return fault.New(fault.Malformed, "a value of %s is not finite", c.t).
				Remedied("the tensor's training has diverged; its stored type can still be read")
		}
	}
	return nil
}
