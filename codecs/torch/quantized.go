package torch

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var le = binary.LittleEndian

// packs is how many numbers one stored element holds.
func (e *element) packs() int64 {
	switch e.name {
	case "quint4x2":
		return 2
	case "quint2x4":
		return 4
	}
	return 1
}

// quantized is _rebuild_qtensor(storage, offset, size, stride, parameters, requires_grad, hooks). parameters are
//
//	(torch.per_tensor_affine, scale, zero point)
//	(torch.per_channel_affine, scales, zero points, axis)
//
// with tensors, or in older files lists, of one number for each index of an axis. What the numbers stand for is
// (q - zero point) * scale. PyTorch computes it in ways that differ in the last bits, which are kept here: with one
// scale the difference is one of int32 and the product one of float32; with a scale for each channel the difference is
// one of float32, and the product one of float64, rounded; where the zero points are floats all is float32.
func (r *reading) quantized(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	if err := r.args(o, args, 5, 7); err != nil {
		return nil, err
	}
	params, ok := args[4].(*pickle.Tuple)
	if !ok || len(params.Items) < 3 {
		return nil, r.at(fault.Malformed, o.Off, "a quantized tensor without the parameters of its quantization")
	}
	codes, err := r.view(o, []pickle.Value{args[0], args[1], args[2], args[3], item(args, 5)}, nil, nil)
	if err != nil {
		return nil, err
	}
	if codes.Left != "" {
		return codes, nil
	}
	if !codes.elem.quantized() {
		return nil, r.at(fault.Malformed, o.Off, "a quantized tensor of %s", codes.elem.name)
	}
	q, reason, err := r.codes(codes, o.Off)
	if err != nil || reason != "" {
		return left(reason), err
	}
	t := &Tensor{DType: model.F32, Shape: codes.Shape, RequiresGrad: codes.RequiresGrad, stored: model.Stored{Type: codes.elem.name, Bytes: q.Size() / codes.elem.packs()}}
	scheme, _ := params.Items[0].(*pickle.Global)
	switch {
	case scheme == nil:
		return nil, r.at(fault.Malformed, o.Off, "a quantized tensor whose scheme is %s", named(params.Items[0]))
	case scheme.Is("torch", "per_tensor_affine"):
		scale, ok := number(params.Items[1])
		zero, okZero := number(params.Items[2])
		if !ok || !okZero {
			return nil, r.at(fault.Malformed, o.Off, "the scale and the zero point of a quantized tensor are no numbers")
		}
		t.Data, err = layout.New(layout.Coded{Op: dequantize{q: codeOf(codes.elem), scale: float32(scale), zero: int32(int64(zero))}, In: []*layout.File{q}})
		return t, err
	case scheme.Is("torch", "per_channel_affine") || scheme.Is("torch", "per_channel_affine_float_qparams"):
		return r.perChannel(o, t, q, codeOf(codes.elem), params.Items)
	}
	return left("its quantization is " + scheme.String() + ", which is not known here"), nil
}

// codes are the numbers that a quantized tensor stores, one after another: of a packed type a byte for each.
func (r *reading) codes(t *Tensor, at int64) (f *layout.File, reason string, err error) {
	raw := t.Storage.Data
	if n := t.elem.packs(); n > 1 {
		if !contiguous(t.Shape, t.Strides) {
			return nil, "its numbers of " + t.elem.name + " are not stored one after another", nil
		}
		count, err := model.Elements(t.Shape)
		if err != nil {
			return nil, "", err
		}
		have, ok := product(raw.Size(), n)
		if !ok || t.Offset > have-count {
			return nil, "", r.at(fault.Extent, at, "a tensor of shape %v from number %d ends past the %d in storage %s", t.Shape, t.Offset, have, quoted(t.Storage.Key))
		}
		first, end := t.Offset/n, (t.Offset+count+n-1)/n
		if raw, err = raw.Slice(first, end-first); err != nil {
			return nil, "", err
		}
		if raw, err = layout.New(layout.Coded{Op: unpack(n), In: []*layout.File{raw}}); err != nil {
			return nil, "", err
		}
		f, err = raw.Slice(t.Offset-first*n, count)
		return f, "", err
	}
	f, err = walked(raw, t.Shape, t.Strides, t.Offset, t.elem.bytes)
	return f, "", err
}

// perChannel is a tensor with a scale and a zero point for each index of one axis.
func (r *reading) perChannel(o *pickle.Object, t *Tensor, q *layout.File, code code, params []pickle.Value) (*Tensor, error) {
	axis, ok := item(params, 3).(int64)
	if !ok || axis < 0 || axis >= int64(len(t.Shape)) {
		return nil, r.at(fault.Malformed, o.Off, "a quantized tensor of %d dimensions whose axis is %s", len(t.Shape), described(item(params, 3)))
	}
	zeros, zero, reason, err := r.channel(o, params[2], t.Shape[axis])
	if err != nil || reason != "" {
		return left(reason), err
	}
	op := dequantizeChannels{q: code, zero: zero, scale: model.F64}
	switch zero {
	case model.I64, model.I32:
	case model.F32, model.F64, model.F16, model.BF16:
		op.zero, op.scale = model.F32, model.F32
	default:
		return left(fmt.Sprintf("the zero points of its quantization are %s", zero)), nil
	}
	scales, scale, reason, err := r.channel(o, params[1], t.Shape[axis])
	if err != nil || reason != "" {
		return left(reason), err
	}
	if !scale.Float() {
		return left(fmt.Sprintf("the scales of its quantization are %s", scale)), nil
	}
	if scales, err = floats(scales, scale, op.scale); err != nil {
		return nil, err
	}
	if zeros, err = floats(zeros, zero, op.zero); err != nil {
		return nil, err
	}
	if n, err := model.Elements(t.Shape); err != nil || n == 0 {
		t.Data, _ = layout.New()
		return t, err
	}
	repeated := func(f *layout.File, d model.DType) (*layout.File, error) {
		strides := make([]int64, len(t.Shape))
		strides[axis] = d.Block().Bytes
		return layout.New(layout.Box{In: f, Shape: t.Shape, Strides: strides, Elem: d.Block().Bytes})
	}
	if scales, err = repeated(scales, op.scale); err != nil {
		return nil, err
	}
	if zeros, err = repeated(zeros, op.zero); err != nil {
		return nil, err
	}
	t.Data, err = layout.New(layout.Coded{Op: op, In: []*layout.File{q, scales, zeros}})
	return t, err
}

// floats is numbers of type d as numbers of type to, which is d unless both are of floats.
func floats(f *layout.File, d, to model.DType) (*layout.File, error) {
	op, ok := quant.Cast(d, to)
	if !ok { // the same
		return f, nil
	}
	return layout.New(layout.Coded{Op: op, In: []*layout.File{f}})
}

// channel is the scales or the zero points of n channels: a tensor, or a list of numbers.
func (r *reading) channel(o *pickle.Object, v pickle.Value, n int64) (f *layout.File, d model.DType, reason string, err error) {
	if list, ok := v.(*pickle.List); ok {
		f, d, err = r.listed(o, list, n)
		return f, d, "", err
	}
	t, err := r.tensorOf(v)
	if err != nil {
		return nil, d, "", err
	}
	if t == nil {
		return nil, d, "the numbers of its quantization are " + named(v) + ", which is not known here", nil
	}
	if t.Left != "" {
		return nil, d, t.Left, nil
	}
	count, err := model.Elements(t.Shape)
	if err != nil {
		return nil, d, "", err
	}
	if count != n {
		return nil, d, "", r.channels(o, count, n)
	}
	return t.Data, t.DType, "", nil
}

// listed is a list of ints as I64, of anything else as F64.
func (r *reading) listed(o *pickle.Object, list *pickle.List, n int64) (*layout.File, model.DType, error) {
	if int64(len(list.Items)) != n {
		return nil, model.Invalid, r.channels(o, int64(len(list.Items)), n)
	}
	d := model.I64
	for _, x := range list.Items {
		if _, ok := x.(int64); !ok {
			d = model.F64
		}
	}
	raw := make([]byte, 0, 8*len(list.Items))
	for _, x := range list.Items {
		value, ok := number(x)
		switch {
		case !ok:
			return nil, model.Invalid, r.at(fault.Malformed, o.Off, "a scale or zero point of a quantized tensor is no number")
		case d == model.F64:
			raw = le.AppendUint64(raw, math.Float64bits(value))
		default:
			raw = le.AppendUint64(raw, uint64(x.(int64)))
		}
	}
	return layout.Bytes(raw), d, nil
}

func (r *reading) channels(o *pickle.Object, have, want int64) error {
	return r.at(fault.Malformed, o.Off, "a quantized tensor with %d scales or zero points for %d channels", have, want)
}

// number is an int or a float as a float.
func number(v pickle.Value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	}
	return 0, false
}

// code is a type of numbers that stand for others.
type code uint8

const (
	codeU8 code = iota
	codeI8
	codeI32
)

func codeOf(e *element) code {
	switch e.name {
	case "qint8":
		return codeI8
	case "qint32":
		return codeI32
	}
	return codeU8
}

func (c code) String() string { return [...]string{"u8", "i8", "i32"}[c] }

func (c code) bytes() int {
	if c == codeI32 {
		return 4
	}
	return 1
}

// at is the i-th number of p.
func (c code) at(p []byte, i int) int32 {
	switch c {
	case codeI8:
		return int32(int8(p[i]))
	case codeI32:
		return int32(le.Uint32(p[4*i:]))
	}
	return int32(p[i])
}

// dequantize is (q - zero) * scale in float32; the difference is one of int32, which wraps. It implements layout.Op.
type dequantize struct {
	q     code
	scale float32
	zero  int32
}

func (d dequantize) String() string {
	return fmt.Sprintf("(%s-%d)*%08x→f32/1", d.q, d.zero, math.Float32bits(d.scale))
}
func (d dequantize) Block() (int64, []int64) { return 4, []int64{int64(d.q.bytes())} }
func (d dequantize) Size(in ...int64) (int64, error) {
	return outOf(d, 4, []int64{int64(d.q.bytes())}, in)
}

func (d dequantize) Apply(dst []byte, src [][]byte) error {
	for i := range len(dst) / 4 {
		v := float32(d.scale * float32(d.q.at(src[0], i)-d.zero))
		le.PutUint32(dst[4*i:], math.Float32bits(v))
	}
	return nil
}

// dequantizeChannels is (q - zero) * scale with a zero point and a scale for each number. The difference is one of
// float32. The product is one of float64, rounded to float32, where the scales are float64, else one of float32. It
// implements layout.Op.
type dequantizeChannels struct {
	q           code
	zero, scale model.DType // I64, I32 or F32; F64 or F32
}

func (d dequantizeChannels) String() string {
	return fmt.Sprintf("(%s-%s)*%s→f32/1", d.q, d.zero, d.scale)
}
func (d dequantizeChannels) Block() (int64, []int64) {
	return 4, []int64{int64(d.q.bytes()), d.scale.Block().Bytes, d.zero.Block().Bytes}
}
func (d dequantizeChannels) Size(in ...int64) (int64, error) {
	out, block := d.Block()
	return outOf(d, out, block, in)
}

func (d dequantizeChannels) Apply(dst []byte, src [][]byte) error {
	for i := range len(dst) / 4 {
		var zero, v float32
		switch d.zero {
		case model.F32:
			zero = math.Float32frombits(le.Uint32(src[2][4*i:]))
		case model.I32:
			zero = float32(int32(le.Uint32(src[2][4*i:])))
		default:
			zero = float32(int64(le.Uint64(src[2][8*i:])))
		}
		difference := float32(d.q.at(src[0], i)) - zero
		if d.scale == model.F32 {
			v = float32(difference * math.Float32frombits(le.Uint32(src[1][4*i:])))
		} else {
			v = float32(float64(difference) * math.Float64frombits(le.Uint64(src[1][8*i:])))
		}
		le.PutUint32(dst[4*i:], math.Float32bits(v))
	}
	return nil
}

// unpack makes bytes of so many numbers to a byte, the first in the low bits. It implements layout.Op.
type unpack int64

func (u unpack) String() string          { return fmt.Sprintf("u%d→u8/1", 8/int64(u)) }
func (u unpack) Block() (int64, []int64) { return int64(u), []int64{1} }
func (u unpack) Size(in ...int64) (int64, error) {
	return outOf(u, int64(u), []int64{1}, in)
}

func (u unpack) Apply(dst []byte, src [][]byte) error {
	bits := 8 / int(u)
	for i := range dst {
		dst[i] = src[0][i/int(u)] >> (i % int(u) * bits) & (1<<bits - 1)
	}
	return nil
}

// outOf is the size of what a computation makes of as many blocks of each input.
func outOf(op layout.Op, out int64, block, in []int64) (int64, error) {
	if len(in) != len(block) {
		return 0, fault.New(fault.Mismatch, "%s takes %d inputs, not %d", op, len(block), len(in))
	}
	n := in[0] / block[0]
	for i := range in {
		if in[i]%block[i] != 0 || in[i]/block[i] != n {
			return 0, fault.New(fault.Mismatch, "%s of %d bytes: no whole and equal numbers of elements", op, in)
		}
	}
	size, ok := product(n, out)
	if !ok {
		return 0, fault.New(fault.Overflow, "%s: %d elements are more bytes than fit 63 bits", op, n)
	}
	return size, nil
}
