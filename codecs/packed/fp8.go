package packed

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// scaleSuffix follows the name of a weight in the name of its scales. They are multiplied with, whatever they are
// called: the inverse of what the codes were divided by.
const scaleSuffix = "_scale_inv"

// fp8 decodes the scheme that DeepSeek-V3 is published in: float8 codes, and a scale for each block of
// weight_block_size rows and columns, the last ones smaller; without a block size, one scale for the tensor. The
// weight is the product in float32.
//
// Tensors of more than two dimensions are as many matrices, each with its own scales.
func fp8(tensors []model.Tensor, settings map[string]any) ([]model.Tensor, error) {
	rows, columns, err := blockSize(settings["weight_block_size"])
	if err != nil {
		return nil, err
	}
	scales := map[string]*model.Tensor{}
	for i := range tensors {
		if of, ok := strings.CutSuffix(tensors[i].Name, scaleSuffix); ok {
			scales[of] = &tensors[i]
		}
	}
	used := map[string]bool{}
	for i := range tensors {
		if scales[tensors[i].Name] != nil {
			used[tensors[i].Name+scaleSuffix] = true
		}
	}
	weights := make([]model.Tensor, 0, len(tensors)-len(used))
	for _, t := range tensors {
		if used[t.Name] {
			continue
		}
		if scale := scales[t.Name]; scale != nil {
			if t.DType == model.I8 {
				return nil, fault.New(fault.Unsupported, "tensor %q: %s with scales is not decoded here", t.Name, t.DType)
			}
			data, err := product(t, *scale, rows, columns)
			if err != nil {
				return nil, err
			}
			t.DType, t.Data = model.F32, data
		}
		weights = append(weights, t)
	}
	return weights, nil
}

// blockSize is the rows and columns of a block; 0, 0 where one scale stands for all.
func blockSize(setting any) (rows, columns int64, err error) {
	if setting == nil {
		return 0, 0, nil
	}
	sides, _ := setting.([]any)
	if len(sides) == 2 {
		r, rok := sides[0].(float64)
		c, cok := sides[1].(float64)
		if rok && cok && r >= 1 && c >= 1 && r < 1<<31 && c < 1<<31 && r == math.Trunc(r) && c == math.Trunc(c) {
			return int64(r), int64(c), nil
		}
	}
	return 0, 0, fault.New(fault.Unsupported, "weight_block_size is %v instead of two whole numbers", setting)
}

// product is the float32 products of a tensor's codes and its scales.
func product(codes, scales model.Tensor, rows, columns int64) (*layout.File, error) {
	n, err := model.Elements(codes.Shape)
	if err != nil {
		return nil, err
	}
	have, err := model.Elements(scales.Shape)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return layout.New()
	}
	scale, err := quant.Tensor(scales, model.F32)
	if err != nil {
		return nil, err
	}
	each, run, err := spread(scale.Data, have, codes, n, rows, columns)
	if err != nil {
		return nil, err
	}
	op, err := newScaled(codes.DType, run)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "tensor %q: %s", codes.Name, fault.Reason(err))
	}
	return layout.New(layout.Coded{Op: op, Label: codes.Name, In: []*layout.File{codes.Data, each}})
}

// longest is the most codes to a scale where one scale stands for a whole tensor.
const longest = 1 << 10

// spread is the scales in the order of the n codes, each for a run of so many codes; the last run may be short where
// one scale stands for all.
func spread(scale *layout.File, have int64, codes model.Tensor, n, rows, columns int64) (each *layout.File, run int64, err error) {
	if have == 1 {
		run = min(n, longest)
		each, err = layout.New(layout.Box{In: scale, Shape: []int64{(n + run - 1) / run}, Strides: []int64{0}, Elem: 4})
		return each, run, err
	}
	rank := len(codes.Shape)
	if rows == 0 || rank < 2 {
		return nil, 0, fault.New(fault.Mismatch, "tensor %q of shape %v has %d scales, and nothing says what for", codes.Name, codes.Shape, have)
	}
	height, width := codes.Shape[rank-2], codes.Shape[rank-1]
	rows, columns = min(rows, height), min(columns, width)
	down, across := (height+rows-1)/rows, (width+columns-1)/columns
	matrices := n / height / width
	if have != matrices*down*across {
		return nil, 0, fault.New(fault.Mismatch, "tensor %q of shape %v has %d scales, and blocks of %d by %d need %d",
			codes.Name, codes.Shape, have, rows, columns, matrices*down*across)
	}
	run = gcd(columns, width) // lies in one block and in one row
	within, line := columns/run, width/run
	// Each scale as often as its block has runs in a row; each row of those, cut to the width, as often as its block
	// has rows; and each matrix of those, cut to the height.
	for _, b := range []layout.Box{
		{Shape: []int64{matrices * down, across, within}, Strides: []int64{across * 4, 4, 0}},
		{Shape: []int64{matrices * down, rows, line}, Strides: []int64{across * within * 4, 0, 4}},
		{Shape: []int64{matrices, height * line}, Strides: []int64{down * rows * line * 4, 4}},
	} {
		b.In, b.Elem = scale, 4
		if scale, err = layout.New(b); err != nil {
			return nil, 0, err
		}
	}
	return scale, run, nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// scaled is the products of codes of one byte and scales, each for a run of codes. It implements layout.Op: a block
// is one run.
type scaled struct {
	dtype model.DType
	run   int64
	value *[256]float32 // of a code
}

func newScaled(dtype model.DType, run int64) (scaled, error) {
	s := scaled{dtype: dtype, run: run, value: new([256]float32)}
	if dtype == model.I8 {
		for i := range s.value {
			s.value[i] = float32(int8(i))
		}
		return s, nil
	}
	op, ok := quant.Cast(dtype, model.F32)
	if b := dtype.Block(); !ok || b.Elems != 1 || b.Bytes != 1 {
		return scaled{}, fault.New(fault.Unsupported, "%s with scales is not decoded here", dtype)
	}
	var code [256]byte
	var wide [1024]byte
	for i := range code {
		code[i] = byte(i)
	}
	if err := op.Apply(wide[:], [][]byte{code[:]}); err != nil {
		return scaled{}, err
	}
	for i := range s.value {
		s.value[i] = math.Float32frombits(binary.LittleEndian.Uint32(wide[4*i:]))
	}
	return s, nil
}

func (s scaled) String() string {
	return fmt.Sprintf("%s·f32[%d]→f32/1", strings.ToLower(s.dtype.String()), s.run)
}
func (s scaled) Block() (int64, []int64) { return 4 * s.run, []int64{s.run, 4} }

func (s scaled) Size(in ...int64) (int64, error) {
	if len(in) != 2 || in[1]%4 != 0 || (in[0]+s.run-1)/s.run != in[1]/4 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: not a scale for each %d codes", s, in, s.run)
	}
	if in[0] > math.MaxInt64/4 {
		return 0, fault.New(fault.Overflow, "%s of %d codes", s, in[0])
	}
	return 4 * in[0], nil
}

// Apply is dst[i] = float32(code[i]) * scale[i / run].
func (s scaled) Apply(dst []byte, src [][]byte) error {
	codes, scales := src[0], src[1]
	n := len(dst) / 4
	if len(dst)%4 != 0 || len(codes) < n || int64(len(scales)/4)*s.run < int64(n) {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d codes and %d bytes of scales", s, len(dst), len(codes), len(scales))
	}
	le := binary.LittleEndian
	codes = codes[:n]
	for len(codes) > 0 {
		scale := math.Float32frombits(le.Uint32(scales))
		scales = scales[4:]
		run := codes[:min(s.run, int64(len(codes)))]
		codes = codes[len(run):]
		out := dst[:4*len(run)]
		dst = dst[len(out):]
		for i, c := range run {
			le.PutUint32(out[4*i:4*i+4], math.Float32bits(float32(s.value[c]*scale)))
		}
	}
	return nil
}
