package ggml

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var le = binary.LittleEndian

// MaxRow is the most elements of a row that a quantizer takes whose blocks depend on their whole row.
const MaxRow = 1 << 22

// Quantize is the op that makes blocks of t from elements of from, which is F32, F16 or BF16. It reports false for a
// type that is not made (I8, IQ2_XS ...), and where the elements are of type t already.
//
// The narrowing to F16 and BF16 is that of llama-quantize: it rounds as package quant does, and fails on what is not
// finite afterwards.
func Quantize(t Type, from model.DType) (layout.Op, bool) { return active.quantize(t, from) }

func (k *kernels) quantize(t Type, from model.DType) (layout.Op, bool) {
	widen, ok := toSingle(from)
	if !ok || t.DType() == from {
		return nil, false
	}
	if t == F16 || t == BF16 {
		cast, ok := quant.Cast(from, t.DType())
		return narrow{cast, t}, ok
	}
	run, ok := k.plain[t]
	return &blocks{op{k, t, from, widen}, run}, ok
}

// QuantizeWeighted is Quantize with a second input: the importance of each element, as float32, as many as elements.
// The importances of a tensor are one row (of an imatrix) that is repeated for each row of the tensor: a
// [layout.Box] with stride 0. They must be finite and not negative.
//
// Rows have row elements, a whole number of blocks; Q4_0, Q4_1, Q5_0 and Q5_1 depend on their whole row. It reports
// false for a type whose blocks do not depend on importance (Q8_0, MXFP4, TQ1_0, TQ2_0, F16, BF16), and where Quantize
// does.
func QuantizeWeighted(t Type, from model.DType, row int64) (layout.Op, bool) {
	return active.quantizeWeighted(t, from, row)
}

func (k *kernels) quantizeWeighted(t Type, from model.DType, row int64) (layout.Op, bool) {
	widen, ok := toSingle(from)
	if !ok || row <= 0 {
		return nil, false
	}
	if run, ok := k.weightedRow[t]; ok {
		return &weightedRows{op{k, t, from, widen}, row, run}, true
	}
	run, ok := k.weighted[t]
	return &weightedBlocks{op{k, t, from, widen}, run}, ok
}

// toSingle is the op that turns elements of from into float32, nil for float32 itself.
func toSingle(from model.DType) (layout.Op, bool) {
	switch from {
	case model.F32:
		return nil, true
	case model.F16, model.BF16:
		return quant.Cast(from, model.F32)
	}
	return nil, false
}

// op is what the quantizers have in common.
type op struct {
	*kernels
	to    Type
	from  model.DType
	widen layout.Op // nil where from is F32
}

// name is the types, what else there is to say, and the version of the bytes that come out.
func (o op) name(more string) string {
	return fmt.Sprintf("%s→%s%s/1", strings.ToLower(o.from.String()), strings.ToLower(o.to.String()), more)
}

// sizeOf is the size of the blocks of the elements in so many bytes, units of so many elements each.
func (o op) sizeOf(name string, in, unit int64) (int64, error) {
	elem := o.from.Block().Bytes
	if in < 0 || in%(unit*elem) != 0 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes are no whole number of %d elements of %d bytes", name, in, unit, elem)
	}
	return o.to.Bytes(in / elem)
}

// load are the elements of src as float32, in buf or where they are. A value that is not finite is Malformed.
func (o op) load(buf []float32, src []byte) ([]float32, error) {
	x := buf
	if o.widen != nil {
		if err := o.widen.Apply(bytesOf(x), [][]byte{src}); err != nil {
			return nil, err
		}
	} else if x = singles(src); x == nil {
		x = buf
		copy(bytesOf(x), src)
	}
	if !o.finite(x) {
		return nil, notFinite(o.to, x)
	}
	return x, nil
}

// notFinite is the fault of the first value of x that is not.
func notFinite(t Type, x []float32) error {
	for _, v := range x {
		if v-v != 0 {
			return fault.New(fault.Malformed, "a value is not finite (%v), which no block of %s holds", v, t).
				Remedied("the tensor's training has diverged; its stored type can still be read")
		}
	}
	return nil
}

// checkScales looks at the scales of the blocks in dst, that are those of x.
func (o op) checkScales(dst []byte, x []float32) error {
	size, elems := int(o.to.Block().Bytes), int(o.to.Block().Elems)
	var bad uint32 // bit 15, once an exponent is all ones
	for _, at := range scalesAt[o.to] {
		for b := at; b < len(dst); b += size {
			bad |= uint32(le.Uint16(dst[b:]))&0x7c00 + 0x400
		}
	}
	if o.to == MXFP4 {
		for b := 0; b < len(dst); b += size {
			bad |= uint32(dst[b])<<7 + 0x80
		}
	}
	if bad&0x8000 == 0 {
		return nil
	}
	for b := 0; b < len(dst); b += size { // which it was
		block := dst[b : b+size]
		bad := o.to == MXFP4 && block[0] == 0xff
		for _, at := range scalesAt[o.to] {
			bad = bad || le.Uint16(block[at:])&0x7c00 == 0x7c00
		}
		if bad {
			_, most := largest(x[b/size*elems:][:elems])
			return fault.New(fault.Malformed, "a block with values up to %g has no scale that %s could store", most, o.to)
		}
	}
	return nil
}

// scalesAt is where the float16 of a block are that must be finite.
var scalesAt = [...][]int{
	Q4_0: {0}, Q4_1: {0, 2}, Q5_0: {0}, Q5_1: {0, 2}, Q8_0: {0}, Q2_K: {80, 82}, Q3_K: {108}, Q4_K: {0, 2}, Q5_K: {0, 2}, Q6_K: {208},
	IQ4_NL: {0}, IQ4_XS: {0}, TQ1_0: {52}, TQ2_0: {64}, MXFP4: nil,
}

// blocks makes blocks of one input. It implements [layout.Op].
type blocks struct {
	op
	run plainKernel
}

func (p *blocks) String() string { return p.name("") }

func (p *blocks) Block() (out int64, in []int64) {
	b := p.to.Block()
	return b.Bytes, []int64{b.Elems * p.from.Block().Bytes}
}

func (p *blocks) Size(in ...int64) (int64, error) {
	if len(in) != 1 {
		return 0, fault.New(fault.Mismatch, "%s takes one input, not %d", p, len(in))
	}
	return p.sizeOf(p.String(), in[0], p.to.Block().Elems)
}

func (p *blocks) Apply(dst []byte, src [][]byte) error {
	b, elem := p.to.Block(), int(p.from.Block().Bytes)
	count := len(dst) / int(b.Bytes)
	if len(src) != 1 || len(dst)%int(b.Bytes) != 0 || len(src[0])/elem < count*int(b.Elems) {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from these inputs", p, len(dst))
	}
	in := src[0]
	s := scratch()
	defer s.free()
	for count > 0 {
		k := min(count, chunk/int(b.Elems))
		n := k * int(b.Elems)
		out := dst[:k*int(b.Bytes)]
		x, err := p.load(s.x[:n], in[:n*elem])
		if err != nil {
			return err
		}
		p.run(out, x)
		if err := p.checkScales(out, x); err != nil {
			return err
		}
		dst, in, count = dst[len(out):], in[n*elem:], count-k
	}
	return nil
}

// weightedBlocks makes blocks of two inputs, each block of its own elements alone. It implements [layout.Op].
type weightedBlocks struct {
	op
	run weightedKernel
}

func (q *weightedBlocks) String() string { return q.name(" weighted") }

func (q *weightedBlocks) Block() (out int64, in []int64) {
	b := q.to.Block()
	return b.Bytes, []int64{b.Elems * q.from.Block().Bytes, b.Elems * 4}
}

func (q *weightedBlocks) Size(in ...int64) (int64, error) {
	return q.sizeWeighted(q.String(), q.to.Block().Elems, in)
}

// sizeWeighted is sizeOf where the second input must have an importance for each element.
func (o op) sizeWeighted(name string, unit int64, in []int64) (int64, error) {
	if len(in) != 2 {
		return 0, fault.New(fault.Mismatch, "%s takes two inputs, not %d", name, len(in))
	}
	elem := o.from.Block().Bytes
	if in[1]%4 != 0 || in[0]%elem != 0 || in[0]/elem != in[1]/4 {
		return 0, fault.New(fault.Mismatch, "%s: %d bytes of elements have %d bytes of importances", name, in[0], in[1])
	}
	return o.sizeOf(name, in[0], unit)
}

func (q *weightedBlocks) Apply(dst []byte, src [][]byte) error {
	b, elem := q.to.Block(), int(q.from.Block().Bytes)
	count := len(dst) / int(b.Bytes)
	if len(src) != 2 || len(dst)%int(b.Bytes) != 0 || len(src[0])/elem < count*int(b.Elems) || len(src[1])/4 < count*int(b.Elems) {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from these inputs", q, len(dst))
	}
	in, weights := src[0], src[1]
	s := scratch()
	defer s.free()
	for count > 0 {
		k := min(count, chunk/int(b.Elems))
		n := k * int(b.Elems)
		out := dst[:k*int(b.Bytes)]
		x, err := q.load(s.x[:n], in[:n*elem])
		if err != nil {
			return err
		}
		w, err := loadWeights(s.w[:n], weights[:4*n])
		if err != nil {
			return err
		}
		q.run(out, x, w)
		if err := q.checkScales(out, x); err != nil {
			return err
		}
		dst, in, weights, count = dst[len(out):], in[n*elem:], weights[4*n:], count-k
	}
	return nil
}

// loadWeights are the importances in src, in buf or where they are.
func loadWeights(buf []float32, src []byte) ([]float32, error) {
	w := singles(src)
	if w == nil {
		w = buf
		copy(bytesOf(w), src)
	}
	for _, v := range w {
		if !(v >= 0 && v <= math.MaxFloat32) {
			return nil, fault.New(fault.Malformed, "an importance is %v: neither infinite nor negative ones mean anything", v)
		}
	}
	return w, nil
}

// weightedRows makes blocks of two inputs that depend on the sum of their row's squares. It implements [layout.Op].
type weightedRows struct {
	op
	row int64
	run weightedRowKernel
}

func (q *weightedRows) String() string { return q.name(fmt.Sprintf(" weighted rows of %d", q.row)) }

func (q *weightedRows) Block() (out int64, in []int64) {
	b := q.to.Block()
	return max(1, q.row/b.Elems) * b.Bytes, []int64{q.row * q.from.Block().Bytes, q.row * 4}
}

func (q *weightedRows) Size(in ...int64) (int64, error) {
	if b := q.to.Block(); q.row%b.Elems != 0 {
		return 0, fault.New(fault.Mismatch, "%s: a row is no whole number of blocks of %d", q, b.Elems)
	}
	if q.row > MaxRow {
		return 0, fault.New(fault.Limit, "%s: a row longer than %d is not quantized by importance", q, int64(MaxRow))
	}
	return q.sizeWeighted(q.String(), q.row, in)
}

func (q *weightedRows) Apply(dst []byte, src [][]byte) error {
	out, in := q.Block()
	rows := int64(len(dst)) / out
	if len(src) != 2 || int64(len(dst)) != rows*out || int64(len(src[0])) < rows*in[0] || int64(len(src[1])) < rows*in[1] {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from these inputs", q, len(dst))
	}
	s := scratch()
	defer s.free()
	for r := range rows {
		if err := q.applyRow(s, dst[r*out:(r+1)*out], src[0][r*in[0]:(r+1)*in[0]], src[1][r*in[1]:(r+1)*in[1]]); err != nil {
			return err
		}
	}
	return nil
}

// applyRow goes over the row twice, for the sum and for the blocks.
func (q *weightedRows) applyRow(s *buffers, dst, in, weights []byte) error {
	b, elem := q.to.Block(), int(q.from.Block().Bytes)
	var sum float32
	for rest := in; len(rest) > 0; {
		n := min(chunk, len(rest)/elem)
		x, err := q.load(s.x[:n], rest[:n*elem])
		if err != nil {
			return err
		}
		sum = sumSquares(sum, x)
		rest = rest[n*elem:]
	}
	sigma2 := sum / float32(q.row)
	for len(in) > 0 {
		n := min(chunk, len(in)/elem)
		out := dst[:n/int(b.Elems)*int(b.Bytes)]
		x, err := q.load(s.x[:n], in[:n*elem])
		if err != nil {
			return err
		}
		w, err := loadWeights(s.w[:n], weights[:4*n])
		if err != nil {
			return err
		}
		q.run(out, x, w, sigma2)
		if err := q.checkScales(out, x); err != nil {
			return err
		}
		dst, in, weights = dst[len(out):], in[n*elem:], weights[4*n:]
	}
	return nil
}

// narrow is a cast to F16 or BF16 whose results must be finite.
type narrow struct {
	layout.Op
	to Type
}

func (n narrow) String() string { return n.Op.String() + " finite" }

func (n narrow) Apply(dst []byte, src [][]byte) error {
	if err := n.Op.Apply(dst, src); err != nil {
		return err
	}
	exponent := uint16(0x7c00)
	if n.to == BF16 {
		exponent = 0x7f80
	}
	for i := 0; i+2 <= len(dst); i += 2 {
		if le.Uint16(dst[i:])&exponent == exponent {
			return fault.New(fault.Malformed, "a value is not finite in %s", n.to)
		}
	}
	return nil
}

// chunk is how many elements are worked on at a time: with their importances they stay in the first cache.
const chunk = 4096

// buffers are the elements of a chunk and their importances.
type buffers struct{ x, w [chunk]float32 }

var pool = sync.Pool{New: func() any { return new(buffers) }}

func scratch() *buffers  { return pool.Get().(*buffers) }
func (s *buffers) free() { pool.Put(s) }
