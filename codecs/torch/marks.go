package torch

import (
	"fmt"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// marked is the computation that does what a tensor is only marked with: its elements as their conjugates, as their
// negatives. Of floating-point numbers both only turn signs round, of zeros and NaNs too.
func marked(e *element, conj, neg bool) (layout.Op, error) {
	complexes := e.dtype == model.C64 || e.dtype == model.C128
	switch {
	case conj && !complexes:
		return nil, fault.New(fault.Malformed, "a tensor of %s is marked as a conjugate", e.name)
	case complexes || e.dtype.Float():
		s := signs{part: int(e.part), real: neg, imag: conj != neg}
		if !complexes {
			s.imag = s.real
		}
		return s, nil
	}
	switch e.dtype {
	case model.I8, model.U8, model.I16, model.U16, model.I32, model.U32, model.I64, model.U64:
		return negated(e.bytes), nil
	}
	return nil, fault.New(fault.Malformed, "a tensor of %s is marked as a negative", e.name)
}

// signs turns signs of little-endian floating-point numbers of part bytes round: real of those at even places, imag of
// those at odd ones. It implements layout.Op.
type signs struct {
	part       int
	real, imag bool
}

func (s signs) String() string          { return fmt.Sprintf("signs%d %t %t/1", 8*s.part, s.real, s.imag) }
func (s signs) Block() (int64, []int64) { n := int64(s.step()); return n, []int64{n} }

// step is the bytes of a pair of numbers, of one where both are done alike.
func (s signs) step() int {
	if s.real == s.imag {
		return s.part
	}
	return 2 * s.part
}

func (s signs) Size(in ...int64) (int64, error) { return same(s, s.step(), in) }

func (s signs) Apply(dst []byte, src [][]byte) error {
	copy(dst, src[0])
	for i := s.part - 1; i < len(dst); i += s.part {
		odd := i/s.part%2 == 1
		if odd && s.imag || !odd && s.real {
			dst[i] ^= 0x80
		}
	}
	return nil
}

// negated makes negatives of little-endian integers of so many bytes, in two's complement. It implements layout.Op.
type negated int64

func (s negated) String() string                  { return fmt.Sprintf("negated%d/1", 8*int64(s)) }
func (s negated) Block() (int64, []int64)         { return int64(s), []int64{int64(s)} }
func (s negated) Size(in ...int64) (int64, error) { return same(s, int(s), in) }

func (s negated) Apply(dst []byte, src [][]byte) error {
	in := src[0]
	for at := 0; at < len(dst); at += int(s) {
		carry := byte(1)
		for i := at; i < at+int(s); i++ {
			dst[i] = ^in[i] + carry
			if dst[i] != 0 {
				carry = 0
			}
		}
	}
	return nil
}

// same is the size of what a computation makes of one input, element by element of so many bytes.
func same(op layout.Op, elem int, in []int64) (int64, error) {
	if len(in) != 1 || in[0]%int64(elem) != 0 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: no whole number of elements", op, in)
	}
	return in[0], nil
}
