package packed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

type stored []byte

func (s stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[min(off, int64(len(s))):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s stored) Size() int64    { return int64(len(s)) }
func (s stored) ID() layout.ID  { return sha256.Sum256(s) }
func (s stored) String() string { return "stored" }

type folder map[string]stored

func (f folder) List() []string { return nil }
func (f folder) Open(name string) (layout.Source, error) {
	if s, ok := f[name]; ok {
		return s, nil
	}
	if name == "away/config.json" {
		return nil, fault.New(fault.Unsafe, "it leads outside the store")
	}
	return nil, fault.New(fault.Missing, "no such file")
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{ // the method, "none", or the kind of the fault
		`{}`:                            "none",
		`{"architectures": ["X"]}`:      "none",
		`{"quantization_config": null}`: "none",
		`{"quantization_config": {}}`:   "none",
		`[1, 2]`:                        "none",
		`7`:                             "none",
		`{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}`:                        "fp8",
		`{"quantization_config": {"quant_method": "gptq"}, "a": NaN, "b": [-Infinity, Infinity], "c": "NaN\"NaN"}`: "gptq",
		`{"quantization_config": {"group_size": 64}}`:                                                              "",
		`{"quantization_config": {"quant_method": 7}}`:                                                             "",
		`{"quantization_config": "fp8"}`:                                                                           "malformed",
		`{"quantization_config": [1]}`:                                                                             "malformed",
		`{"quantization_config": {}`:                                                                               "malformed",
		`not JSON`:                                                                                                 "malformed",
		``:                                                                                                         "malformed",
		"{\"a\": Nope}":                                                                                            "malformed",
		strings.Repeat(" ", maxConfig+1):                                                                           "limit",
	} {
		q := Config(ctx, folder{"x/config.json": stored(text)}, "x/model.safetensors")
		got := "none"
		if q != nil {
			got = q.Method
			if q.Err != nil {
				got = fault.KindOf(q.Err).String()
				if !strings.HasPrefix(q.Err.Error(), "x/config.json: ") {
					t.Errorf("%.80q: %v does not name the file", text, q.Err)
				}
			}
		}
		if got != want {
			t.Errorf("%.80q: %s, want %s (%+v)", text, got, want, q)
		}
	}
	if q := Config(ctx, folder{"config.json": stored(`{"quantization_config": {"quant_method": "fp8"}}`)}, "model.safetensors"); q == nil || q.Method != "fp8" || q.File != "config.json" {
		t.Errorf("beside a file at the top: %+v", q)
	}
	if q := Config(ctx, folder{"config.json": stored(`{"quantization_config": {"quant_method": "fp8"}}`)}, "x/model.safetensors"); q != nil {
		t.Errorf("in another folder: %+v", q)
	}
	if q := Config(ctx, folder{}, "away/model.safetensors"); q == nil || fault.KindOf(q.Err) != fault.Unsafe {
		t.Errorf("that cannot be opened: %+v", q)
	}
}

// tensor is a tensor of these bytes.
func tensor(name string, dtype model.DType, data []byte, shape ...int64) model.Tensor {
	return model.Tensor{Name: name, DType: dtype, Shape: shape, Data: layout.Stored(stored(data))}
}

func floats(values ...float32) []byte {
	var p []byte
	for _, v := range values {
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(v))
	}
	return p
}

// e4m3 is the value of a code, by the definition.
func e4m3(c byte) float32 {
	exponent, fraction := int(c>>3&15), float64(c&7)
	v := math.Ldexp(1+fraction/8, exponent-7)
	switch {
	case c&0x7f == 0x7f:
		v = math.NaN()
	case exponent == 0:
		v = math.Ldexp(fraction/8, -6)
	}
	if c&0x80 != 0 {
		v = -v
	}
	return float32(v)
}

// e5m2 is the value of a code, by the definition.
func e5m2(c byte) float32 {
	exponent, fraction := int(c>>2&31), float64(c&3)
	v := math.Ldexp(1+fraction/4, exponent-15)
	switch {
	case exponent == 31 && fraction > 0:
		v = math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(fraction/4, -14)
	}
	if c&0x80 != 0 {
		v = -v
	}
	return float32(v)
}

func quantized(method string, settings map[string]any, tensors ...model.Tensor) *model.Model {
	return &model.Model{File: "model.safetensors", Tensors: tensors, Quantization: &model.Quantization{File: "config.json", Method: method, Settings: settings}}
}

// TestBlocks: the product of each code and the scale of its block, for shapes that blocks fit and do not fit.
func TestBlocks(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		lead := int64(1)
		shape := []int64{1 + r.Int64N(40), 1 + r.Int64N(40)}
		rows, columns := 1+r.Int64N(20), 1+r.Int64N(20)
		if r.IntN(2) == 0 { // as published: the height of a block is its width, and columns are a multiple of something
			columns = 8 << r.IntN(2)
			shape[1] = columns/2*r.Int64N(6) + columns
		}
		if r.IntN(4) == 0 {
			lead = 1 + r.Int64N(3)
			shape = append([]int64{lead}, shape...)
		}
		height, width := shape[len(shape)-2], shape[len(shape)-1]
		down, across := (height+rows-1)/rows, (width+columns-1)/columns
		codes := make([]byte, lead*height*width)
		for i := range codes {
			codes[i] = byte(r.Uint32())
		}
		scales := make([]float32, lead*down*across)
		for i := range scales {
			scales[i] = float32(math.Exp(r.NormFloat64() * 5))
		}
		dtype, value := model.F8E4M3, e4m3
		if r.IntN(2) == 0 {
			dtype, value = model.F8E5M2, e5m2
		}
		m := quantized("fp8", map[string]any{"weight_block_size": []any{float64(rows), float64(columns)}},
			tensor("a", model.U8, []byte{1}, 1),
			tensor("w", dtype, codes, shape...),
			tensor("w_scale_inv", model.F32, floats(scales...), lead*down, across),
			tensor("alone_scale_inv", model.F32, floats(1), 1))
		weights, err := Weights(m)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(weights) != 3 || weights[0].Name != "a" || weights[1].Name != "w" || weights[2].Name != "alone_scale_inv" {
			t.Fatalf("seed %d: %v", seed, weights)
		}
		w := weights[1]
		if w.DType != model.F32 || !slices.Equal(w.Shape, shape) || w.Data.Size() != int64(4*len(codes)) {
			t.Fatalf("seed %d: %+v", seed, w)
		}
		got := make([]byte, w.Data.Size())
		for lo := int64(0); lo < w.Data.Size(); {
			n := min(w.Data.Size()-lo, 1+r.Int64N(w.Data.Size()))
			if _, err := w.Data.ReadAt(ctx, nil, got[lo:lo+n], lo); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			lo += n
		}
		for i, c := range codes {
			matrix, row, column := int64(i)/(height*width), int64(i)/width%height, int64(i)%width
			want := float32(value(c) * scales[(matrix*down+row/rows)*across+column/columns])
			have := math.Float32frombits(binary.LittleEndian.Uint32(got[4*i:]))
			if have != want && !(have != have && want != want) {
				t.Fatalf("seed %d: shape %v, blocks of %d by %d: element %d is %v, want %v", seed, shape, rows, columns, i, have, want)
			}
		}
	}
}

// TestOneScale: a scale for the whole tensor, of any float type, with or without a block size.
func TestOneScale(t *testing.T) {
	codes := make([]byte, 3000)
	for i := range codes {
		codes[i] = byte(i * 37)
	}
	half := []byte{0x00, 0x3e} // 1.5
	for name, scale := range map[string]model.Tensor{
		"scalar":   tensor("w_scale_inv", model.F32, floats(1.5)),
		"one":      tensor("w_scale_inv", model.F32, floats(1.5), 1),
		"bfloat16": tensor("w_scale_inv", model.BF16, []byte{0xc0, 0x3f}, 1, 1),
		"float16":  tensor("w_scale_inv", model.F16, half),
	} {
		for _, settings := range []map[string]any{{}, {"weight_block_size": nil}, {"weight_block_size": []any{128.0, 4096.0}}} {
			weights, err := Weights(quantized("fp8", settings, tensor("w", model.F8E4M3, codes, 1, 3000), scale))
			if err != nil || len(weights) != 1 {
				t.Fatalf("%s: %v %v", name, weights, err)
			}
			got, want := make([]byte, 12000), []byte{}
			if _, err := weights[0].Data.ReadAt(ctx, nil, got, 0); err != nil {
				t.Fatal(err)
			}
			for _, c := range codes {
				want = append(want, floats(float32(e4m3(c)*1.5))...)
			}
			for i := range codes {
				if c := codes[i]; c&0x7f != 0x7f && !bytes.Equal(got[4*i:4*i+4], want[4*i:4*i+4]) {
					t.Fatalf("%s: element %d is % x, want % x", name, i, got[4*i:4*i+4], want[4*i:4*i+4])
				}
			}
		}
	}
}

func TestPlainWeights(t *testing.T) {
	m := &model.Model{Tensors: []model.Tensor{tensor("module.a", model.F8E4M3, []byte{1}, 1), tensor("module.a_scale_inv", model.F32, floats(2), 1)}}
	weights, err := Weights(m)
	if err != nil || len(weights) != 2 || weights[0].Name != "a" || weights[0].DType != model.F8E4M3 {
		t.Errorf("without a config.json nothing is quantized: %v, %v", weights, err)
	}
	m.Quantization = &model.Quantization{Method: "fp8"}
	if weights, err = Weights(m); err != nil || len(weights) != 1 || weights[0].Name != "a" || weights[0].DType != model.F32 {
		t.Errorf("names are unwrapped first: %v, %v", weights, err)
	}
	if empty, err := Weights(quantized("fp8", nil, tensor("w", model.F8E4M3, nil, 0, 4), tensor("w_scale_inv", model.F32, nil, 0, 1))); err != nil || len(empty) != 1 || empty[0].Data.Size() != 0 {
		t.Errorf("no elements: %v, %v", empty, err)
	}
}

func TestWeightsRefused(t *testing.T) {
	blocks := map[string]any{"weight_block_size": []any{128.0, 128.0}}
	w := tensor("w", model.F8E4M3, make([]byte, 600), 2, 300)
	for name, c := range map[string]struct {
		m    *model.Model
		kind fault.Kind
		says string
	}{
		"a method of another time": {quantized("vq3", nil, w), fault.Unsupported, "vq3"},
		"gptq":                     {quantized("gptq", nil, w), fault.Unsupported, "GPTQ"},
		"no method":                {quantized("", map[string]any{"bits": 4}, w), fault.Unsupported, "quant_method"},
		"a config that is broken":  {&model.Model{Quantization: &model.Quantization{Err: fault.New(fault.Malformed, "broken")}}, fault.Malformed, "broken"},
		"too few scales":           {quantized("fp8", blocks, w, tensor("w_scale_inv", model.F32, floats(1, 2), 1, 2)), fault.Mismatch, "need 3"},
		"too many scales":          {quantized("fp8", blocks, w, tensor("w_scale_inv", model.F32, floats(1, 2, 3, 4), 1, 4)), fault.Mismatch, "need 3"},
		"scales and no size":       {quantized("fp8", nil, w, tensor("w_scale_inv", model.F32, floats(1, 2, 3), 1, 3)), fault.Mismatch, "3 scales"},
		"a vector with blocks":     {quantized("fp8", blocks, tensor("w", model.F8E4M3, make([]byte, 300), 300), tensor("w_scale_inv", model.F32, floats(1, 2, 3), 3)), fault.Mismatch, "3 scales"},
		"no scales":                {quantized("fp8", blocks, w, tensor("w_scale_inv", model.F32, nil, 0)), fault.Mismatch, "0 scales"},
		"block size of one":        {quantized("fp8", map[string]any{"weight_block_size": []any{128.0}}, w), fault.Unsupported, "weight_block_size"},
		"block size of 0":          {quantized("fp8", map[string]any{"weight_block_size": []any{0.0, 128.0}}, w), fault.Unsupported, "weight_block_size"},
		"block size of text":       {quantized("fp8", map[string]any{"weight_block_size": "128"}, w), fault.Unsupported, "weight_block_size"},
		"block size of 1.5":        {quantized("fp8", map[string]any{"weight_block_size": []any{1.5, 128.0}}, w), fault.Unsupported, "weight_block_size"},
		"scales that are integers": {quantized("fp8", blocks, w, tensor("w_scale_inv", model.I32, floats(1, 2, 3), 1, 3)), fault.Unsupported, "I32"},
		"codes that are integers":  {quantized("fp8", blocks, tensor("w", model.I8, make([]byte, 600), 2, 300), tensor("w_scale_inv", model.F32, floats(1, 2, 3), 1, 3)), fault.Unsupported, "I8"},
	} {
		weights, err := Weights(c.m)
		if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v %v, want %v and %q", name, weights, err, c.kind, c.says)
		}
	}
}

// TestLargeBlocks: a weight as published: the last blocks smaller, more than one piece of evaluation.
func TestLargeBlocks(t *testing.T) {
	const height, width = 576, 7168
	codes := make([]byte, height*width)
	for i := range codes {
		codes[i] = byte(i>>3) & 0x7e
	}
	var scales []float32
	for i := range (height + 127) / 128 * (width / 128) {
		scales = append(scales, 1+float32(i)/64)
	}
	m := quantized("fp8", map[string]any{"weight_block_size": []any{128.0, 128.0}},
		tensor("w", model.F8E4M3, codes, height, width), tensor("w_scale_inv", model.F32, floats(scales...), (height+127)/128, width/128))
	weights, err := Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4*len(codes))
	if _, err := weights[0].Data.ReadAt(ctx, nil, got, 0); err != nil {
		t.Fatal(err)
	}
	for i, c := range codes {
		want := float32(e4m3(c) * scales[i/width/128*(width/128)+i%width/128])
		if have := math.Float32frombits(binary.LittleEndian.Uint32(got[4*i:])); have != want {
			t.Fatalf("element %d is %v, want %v", i, have, want)
		}
	}
}

func BenchmarkBlocks(b *testing.B) {
	const side = 4096
	m := quantized("fp8", map[string]any{"weight_block_size": []any{128.0, 128.0}},
		tensor("w", model.F8E4M3, make([]byte, side*side), side, side), tensor("w_scale_inv", model.F32, make([]byte, 4*side/128*side/128), side/128, side/128))
	weights, err := Weights(m)
	if err != nil {
		b.Fatal(err)
	}
	got := make([]byte, 4*side*side)
	b.SetBytes(side * side)
	for b.Loop() {
		if _, err := weights[0].Data.ReadAt(ctx, nil, got, 0); err != nil {
			b.Fatal(err)
		}
	}
}
