package quant

import (
	"math"

	"github.com/isomerfs/isomerfs/fault"
)

// cast is an encoding of one element into one element. It implements [layout.Op].
type cast struct {
	name     string
	from, to int    // bytes of an element
	pure     bulk   // the reference
	fast     vector // what the processor can do beyond it; the zero vector where that is nothing
}

// bulk computes len(dst)/to elements of dst from as many of src. The two do not overlap.
type bulk func(dst, src []byte)

// vector is a kernel in assembly. It computes n elements, a multiple of step, with no demand on alignment.
type vector struct {
	run  func(dst, src *byte, n int)
	step int // a power of two
}

// maxCall is the most bytes of input or output that one call of a kernel sees. Assembly cannot be preempted: this is
// some 50 to 100 µs, after which the scheduler and the garbage collector get their turn.
const maxCall = 1 << 20

func newCast(t Tier, name string, from, to int, pure bulk) *cast {
	return &cast{name: name, from: from, to: to, pure: pure, fast: kernels(t)[name]}
}

// String is the types, and the version of the bytes that come out.
func (c *cast) String() string { return c.name }

// Block is one element.
func (c *cast) Block() (out int64, in []int64) { return int64(c.to), []int64{int64(c.from)} }

// Size is that of as many elements. An input that is no whole number of elements is a Mismatch.
func (c *cast) Size(in ...int64) (int64, error) {
	if len(in) != 1 {
		return 0, fault.New(fault.Mismatch, "%s takes one input, not %d", c.name, len(in))
	}
	if in[0] < 0 || in[0]%int64(c.from) != 0 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes are no whole number of elements of %d bytes", c.name, in[0], c.from)
	}
	n := in[0] / int64(c.from)
	if n > math.MaxInt64/int64(c.to) {
		return 0, fault.New(fault.Overflow, "%s: %d elements are more bytes than fit 63 bits", c.name, n)
	}
	return n * int64(c.to), nil
}

// Apply computes the elements that dst has room for; src may hold more of them. The two must not overlap.
func (c *cast) Apply(dst []byte, src [][]byte) error {
	if len(src) != 1 {
		return fault.New(fault.Mismatch, "%s takes one input, not %d", c.name, len(src))
	}
	in, n := src[0], len(dst)/c.to
	if len(dst)%c.to != 0 || len(in)/c.from < n {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d", c.name, len(dst), len(in))
	}
	for n > 0 {
		k := min(n, maxCall/max(c.from, c.to))
		c.apply(dst[:k*c.to], in[:k*c.from], k)
		dst, in, n = dst[k*c.to:], in[k*c.from:], n-k
	}
	return nil
}

// apply gives the kernel the whole steps of n elements, and the reference the rest.
func (c *cast) apply(dst, src []byte, n int) {
	if c.fast.run != nil {
		if m := n &^ (c.fast.step - 1); m > 0 {
			c.fast.run(&dst[0], &src[0], m)
			dst, src = dst[m*c.to:], src[m*c.from:]
		}
	}
	c.pure(dst, src)
}
