package packed

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// words packs codes of so many bits, per to a word, each row by itself.
func words(codes [][]byte, bits int, order []int) (p []byte) {
	per := 32 / bits
	for _, row := range codes {
		for lo := 0; lo < len(row); lo += per {
			w := uint32(0)
			for i := range per {
				at := lo + i
				if order != nil {
					at = lo + order[i]
				}
				if at < len(row) {
					w |= uint32(row[at]) << (bits * i)
				}
			}
			p = binary.LittleEndian.AppendUint32(p, w)
		}
	}
	return p
}

// matrix is random codes below a limit.
func matrix(r *rand.Rand, rows, columns int64, below uint32) [][]byte {
	m := make([][]byte, rows)
	for i := range m {
		m[i] = make([]byte, columns)
		for j := range m[i] {
			m[i][j] = byte(r.Uint32N(below))
		}
	}
	return m
}

// turned is a matrix with its rows as columns.
func turned(m [][]byte, columns int64) [][]byte {
	t := make([][]byte, columns)
	for j := range t {
		for i := range m {
			t[j] = append(t[j], m[i][j])
		}
	}
	return t
}

// flat is the bytes of a matrix of words turned back: the word at [i][j] of a [rows, columns] matrix moves to [j][i].
func flat(p []byte, rows, columns int64) []byte {
	out := make([]byte, len(p))
	for i := range rows {
		for j := range columns {
			copy(out[4*(j*rows+i):], p[4*(i*columns+j):][:4])
		}
	}
	return out
}

// halves are random scales in bfloat16, and what they are.
func halves(r *rand.Rand, n int64) (p []byte, values []float32) {
	for range n {
		v := math.Float32bits(float32(math.Exp(r.NormFloat64()*2))) &^ 0xffff
		p = binary.LittleEndian.AppendUint16(p, uint16(v>>16))
		values = append(values, math.Float32frombits(v))
	}
	return p, values
}

// expect compares the only weight of a model with what it must be, read whole and in pieces.
func expect(t *testing.T, r *rand.Rand, what string, m *model.Model, shape []int64, want []float32) {
	t.Helper()
	weights, err := Weights(m)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if len(weights) != 2 || weights[0].Name != "a.norm" || weights[1].Name != "b.weight" {
		t.Fatalf("%s: %v", what, weights)
	}
	w := weights[1]
	if w.DType != model.F32 || !slices.Equal(w.Shape, shape) || w.Data.Size() != int64(4*len(want)) {
		t.Fatalf("%s: %s %v, want shape %v", what, w.DType, w.Shape, shape)
	}
	got := make([]byte, w.Data.Size())
	for _, whole := range []bool{true, false} {
		clear(got)
		for lo := int64(0); lo < w.Data.Size(); {
			n := w.Data.Size() - lo
			if !whole {
				n = min(n, 1+r.Int64N(w.Data.Size()))
			}
			if _, err := w.Data.ReadAt(ctx, nil, got[lo:lo+n], lo); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			lo += n
		}
		for i := range want {
			if have := binary.LittleEndian.Uint32(got[4*i:]); have != math.Float32bits(want[i]) {
				t.Fatalf("%s: element %d is %v, want %v", what, i, math.Float32frombits(have), want[i])
			}
		}
	}
}

var norm = tensor("a.norm", model.F32, floats(1), 1)

// TestGPTQ: with an index and without, both versions, all widths, against the definition.
func TestGPTQ(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		bits := []int{2, 4, 8}[r.IntN(3)]
		per := int64(32 / bits)
		groups, size := 1+r.Int64N(4), per*(1+r.Int64N(4))
		in, out := groups*size, per*(1+r.Int64N(5))
		codes, zeros := matrix(r, out, in, 1<<bits), matrix(r, groups, out, 1<<bits)
		scale, scales := halves(r, groups*out)
		settings := map[string]any{"bits": float64(bits), "group_size": float64(size)}
		bias := 1
		if r.IntN(2) == 0 {
			settings["checkpoint_format"], bias = "gptq_v2", 0
		} else if r.IntN(2) == 0 {
			settings["checkpoint_format"] = "gptq"
		}
		tensors := []model.Tensor{norm,
			tensor("b.qweight", model.I32, flat(words(codes, bits, nil), out, in/per), in/per, out),
			tensor("b.qzeros", model.I32, words(zeros, bits, nil), groups, out/per),
			tensor("b.scales", model.BF16, scale, groups, out)}
		of := func(i int64) int64 { return i / size }
		if r.IntN(3) > 0 {
			index := make([]int32, in)
			var p []byte
			for i := range index {
				index[i] = r.Int32N(int32(groups))
				p = binary.LittleEndian.AppendUint32(p, uint32(index[i]))
			}
			of = func(i int64) int64 { return int64(index[i]) }
			tensors = append(tensors, tensor("b.g_idx", model.I32, p, in))
		}
		var want []float32
		for o := range out {
			for i := range in {
				g := of(i)
				want = append(want, float32(scales[g*out+o]*float32(int(codes[o][i])-int(zeros[g][o])-bias)))
			}
		}
		expect(t, r, fmt.Sprintf("seed %d, %d bits, %d by %d", seed, bits, out, in), quantized("gptq", settings, tensors...), []int64{out, in}, want)
	}
}

// TestAWQ: against the definition: column 8w+order[i] of the codes is nibble i of word w.
func TestAWQ(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		groups, size := 1+r.Int64N(4), 1+r.Int64N(20)
		in, out := groups*size, 8*(1+r.Int64N(5))
		codes, zeros := matrix(r, in, out, 16), matrix(r, groups, out, 16)
		scale, scales := halves(r, groups*out)
		order := []int{0, 2, 4, 6, 1, 3, 5, 7}
		settings := map[string]any{"bits": 4.0, "group_size": float64(size), "version": "GEMM"}
		if r.IntN(2) == 0 {
			settings = map[string]any{"w_bit": 4.0, "q_group_size": -1.0}
		}
		var want []float32
		for o := range out {
			for i := range in {
				g := i / size
				want = append(want, float32(float32(int(codes[i][o])-int(zeros[g][o]))*scales[g*out+o]))
			}
		}
		expect(t, r, fmt.Sprintf("seed %d, %d by %d", seed, out, in), quantized("awq", settings, norm,
			tensor("b.qweight", model.I32, words(codes, 4, order), in, out/8),
			tensor("b.qzeros", model.I32, words(zeros, 4, order), groups, out/8),
			tensor("b.scales", model.BF16, scale, groups, out)), []int64{out, in}, want)
	}
}

func numbers(n ...int64) (p []byte) {
	for _, n := range n {
		p = binary.LittleEndian.AppendUint64(p, uint64(n))
	}
	return p
}

// weightsOf is a quantization_config of compressed-tensors.
func weightsOf(format string, how map[string]any) map[string]any {
	return map[string]any{"format": format, "config_groups": map[string]any{"group_0": map[string]any{"targets": []any{"Linear"}, "weights": how}}}
}

// TestPackQuantized: all widths, symmetric or not, rows that do not fill their words.
func TestPackQuantized(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 4))
		bits := 1 + r.IntN(8)
		per := int64(32 / bits)
		groups, size := 1+r.Int64N(4), 1+r.Int64N(20)
		in, out := groups*size, 1+r.Int64N(20)
		codes := matrix(r, out, in, 1<<bits)
		scale, scales := halves(r, out*groups)
		how := map[string]any{"num_bits": float64(bits), "group_size": float64(size), "strategy": "group", "type": "int"}
		if groups == 1 {
			how = map[string]any{"num_bits": float64(bits), "group_size": nil, "strategy": "channel"}
		}
		tensors := []model.Tensor{norm,
			tensor("b.weight_packed", model.I32, words(codes, bits, nil), out, (in+per-1)/per),
			tensor("b.weight_scale", model.BF16, scale, out, groups),
			tensor("b.weight_shape", model.I64, numbers(out, in), 2)}
		zero := func(o, g int64) int { return 1 << (bits - 1) }
		if r.IntN(2) == 0 {
			zeros := matrix(r, out, groups, 1<<bits)
			down := (out + per - 1) / per
			tensors = append(tensors, tensor("b.weight_zero_point", model.I32, flat(words(turned(zeros, groups), bits, nil), groups, down), down, groups))
			zero = func(o, g int64) int { return int(zeros[o][g]) }
		}
		var want []float32
		for o := range out {
			for i := range in {
				want = append(want, float32(float32(int(codes[o][i])-zero(o, i/size))*scales[o*groups+i/size]))
			}
		}
		expect(t, r, fmt.Sprintf("seed %d, %d bits, %d by %d in groups of %d", seed, bits, out, in, size),
			quantized("compressed-tensors", weightsOf("pack-quantized", how), tensors...), []int64{out, in}, want)
	}
}

// TestBytewise: float8 and integers of a byte, a scale for a tensor, a channel, a group or a block.
func TestBytewise(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		out, in := 1+r.Int64N(20), 1+r.Int64N(4)
		size := 1 + r.Int64N(9)
		in *= size
		codes := slices.Concat(matrix(r, out, in, 256)...)
		dtype, value, format := model.F8E4M3, e4m3, "float-quantized"
		if r.IntN(2) == 0 {
			dtype, format = model.I8, []string{"int-quantized", "naive-quantized"}[r.IntN(2)]
			value = func(c byte) float32 { return float32(int8(c)) }
		}
		for i, c := range codes {
			if c&0x7f == 0x7f { // no NaN
				codes[i] = 0
			}
		}
		down, across, rows := out, int64(1), int64(1)
		width := in
		how := map[string]any{"strategy": "channel", "num_bits": 8.0}
		switch r.IntN(4) {
		case 0:
			down, how["strategy"], rows = 1, "tensor", out
		case 1:
			across, width, how["strategy"], how["group_size"] = in/size, size, "group", float64(size)
		case 2:
			rows, width = 1+r.Int64N(6), size
			down, across = (out+rows-1)/rows, in/size
			how["strategy"], how["block_structure"] = "block", []any{float64(rows), float64(size)}
		}
		scale, scales := halves(r, down*across)
		var want []float32
		for o := range out {
			for i := range in {
				want = append(want, float32(value(codes[o*in+i])*scales[o/rows*across+i/width]))
			}
		}
		expect(t, r, fmt.Sprintf("seed %d, %v of %d by %d", seed, how, out, in), quantized("compressed-tensors", weightsOf(format, how), norm,
			tensor("b.weight", dtype, codes, out, in), tensor("b.weight_scale", model.BF16, scale, down, across)), []int64{out, in}, want)
	}
}

// TestBitsandbytes: both tables, sizes plain and quantized, weights that do not fill their blocks.
func TestBitsandbytes(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		shape := []int64{1 + r.Int64N(60), 1 + r.Int64N(400)}
		n := shape[0] * shape[1]
		block, nest := int64(32)<<r.IntN(3), int64(1)<<r.IntN(9)
		blocks := (n + block - 1) / block
		codes := slices.Concat(matrix(r, n, 1, 16)...)
		packed := make([]byte, n/2+n%2)
		for i, c := range codes {
			packed[i/2] |= c << (4 * (1 - i%2))
		}
		table, absmax := make([]float32, 16), make([]float32, blocks)
		for i := range table {
			table[i] = float32(r.NormFloat64())
		}
		kind := []string{"nf4", "fp4"}[r.IntN(2)]
		state := fmt.Sprintf(`{"quant_type": %q, "blocksize": %d, "dtype": "bfloat16", "shape": [%d, %d]`, kind, block, shape[0], shape[1])
		tensors := []model.Tensor{norm, tensor("b.weight", model.U8, packed, int64(len(packed)), 1), tensor("b.weight.quant_map", model.F32, floats(table...), 16)}
		if r.IntN(2) == 0 {
			for i := range absmax {
				absmax[i] = float32(r.ExpFloat64())
			}
			tensors = append(tensors, tensor("b.weight.absmax", model.F32, floats(absmax...), blocks))
		} else {
			sizes, values, of := slices.Concat(matrix(r, blocks, 1, 256)...), make([]float32, 256), make([]float32, (blocks+nest-1)/nest)
			for i := range values {
				values[i] = float32(r.NormFloat64())
			}
			for i := range of {
				of[i] = float32(r.ExpFloat64())
			}
			for i, c := range sizes {
				absmax[i] = float32(float32(values[c]*of[int64(i)/nest]) + 0.3)
			}
			tensors = append(tensors, tensor("b.weight.absmax", model.U8, sizes, blocks), tensor("b.weight.nested_quant_map", model.F32, floats(values...), 256), tensor("b.weight.nested_absmax", model.F32, floats(of...), int64(len(of))))
			state += fmt.Sprintf(`, "nested_blocksize": %d, "nested_dtype": "float32", "nested_offset": 0.30000001192092896`, nest)
		}
		state += "}"
		tensors = append(tensors, tensor("b.weight.quant_state.bitsandbytes__"+kind, model.U8, []byte(state), int64(len(state))))
		want := make([]float32, n)
		for i, c := range codes {
			want[i] = float32(table[c] * absmax[int64(i)/block])
		}
		settings := map[string]any{"load_in_4bit": true}
		if kind == "nf4" || r.IntN(2) == 0 {
			settings["bnb_4bit_quant_type"] = kind
		}
		expect(t, r, fmt.Sprintf("seed %d, %s", seed, state), quantized("bitsandbytes", settings, tensors...), shape, want)
	}
}

// TestMXFP4: experts as gpt-oss stores them, each transposed.
func TestMXFP4(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		experts, out, blocks := 1+r.Int64N(3), 1+r.Int64N(30), 1+r.Int64N(5)
		in := 32 * blocks
		codes, scales := slices.Concat(matrix(r, experts*out*blocks, 16, 256)...), slices.Concat(matrix(r, experts*out*blocks, 1, 252)...)
		var want []float32
		for e := range experts {
			for i := range in {
				for o := range out {
					c := codes[(e*out+o)*in/2+i/2] >> (4 * (i % 2)) & 15
					v := []float64{0, 0.5, 1, 1.5, 2, 3, 4, 6}[c&7]
					if c > 7 {
						v = -v
						if v == 0 {
							v = math.Copysign(0, -1)
						}
					}
					want = append(want, float32(math.Ldexp(v, int(scales[(e*out+o)*blocks+i/32])-127)))
				}
			}
		}
		expect(t, r, fmt.Sprintf("seed %d", seed), quantized("mxfp4", nil, norm,
			tensor("b.weight_blocks", model.U8, codes, experts, out, blocks, 16), tensor("b.weight_scales", model.U8, scales, experts, out, blocks)), []int64{experts, in, out}, want)
	}
}

// TestMethodsRefuse: parts that do not fit, and what is not decoded.
func TestMethodsRefuse(t *testing.T) {
	four := map[string]any{"bits": 4.0, "group_size": 8.0}
	i32 := func(name string, shape ...int64) model.Tensor {
		n, _ := model.Elements(shape)
		return tensor(name, model.I32, make([]byte, 4*n), shape...)
	}
	half := func(name string, shape ...int64) model.Tensor {
		n, _ := model.Elements(shape)
		return tensor(name, model.F16, make([]byte, 2*n), shape...)
	}
	bytes := func(name string, shape ...int64) model.Tensor {
		n, _ := model.Elements(shape)
		return tensor(name, model.U8, make([]byte, n), shape...)
	}
	pack := weightsOf("pack-quantized", map[string]any{"num_bits": 4.0, "group_size": 8.0, "strategy": "group", "type": "int"})
	shape := tensor("b.weight_shape", model.I64, numbers(3, 16), 2)
	nf4 := map[string]any{"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}
	told := func(text string) model.Tensor {
		return tensor("b.weight.quant_state.bitsandbytes__nf4", model.U8, []byte(text), int64(len(text)))
	}
	bnb := []model.Tensor{bytes("b.weight", 32, 1), tensor("b.weight.absmax", model.F32, floats(1), 1), tensor("b.weight.quant_map", model.F32, make([]byte, 64), 16)}
	for name, c := range map[string]struct {
		m    *model.Model
		kind fault.Kind
		says string
	}{
		"gptq of 3 bits":             {quantized("gptq", map[string]any{"bits": 3.0}), fault.Unsupported, "3 bits"},
		"gptq in marlin's order":     {quantized("gptq", map[string]any{"bits": 4.0, "checkpoint_format": "marlin"}), fault.Unsupported, "marlin"},
		"gptq without zeros":         {quantized("gptq", four, i32("b.qweight", 2, 8), half("b.scales", 2, 8)), fault.Mismatch, "b.qzeros"},
		"gptq with few zeros":        {quantized("gptq", four, i32("b.qweight", 2, 8), i32("b.qzeros", 2, 2), half("b.scales", 2, 8)), fault.Mismatch, "16 columns"},
		"gptq with few scales":       {quantized("gptq", four, i32("b.qweight", 2, 8), i32("b.qzeros", 2, 1), half("b.scales", 1, 8)), fault.Mismatch, "2 by 8"},
		"gptq in groups of others":   {quantized("gptq", four, i32("b.qweight", 2, 8), i32("b.qzeros", 1, 1), half("b.scales", 1, 8)), fault.Mismatch, "groups of 8"},
		"gptq with no groups":        {quantized("gptq", four, i32("b.qweight", 2, 8), i32("b.qzeros", 0, 1), half("b.scales", 0, 8)), fault.Mismatch, "0 groups"},
		"gptq with a short index":    {quantized("gptq", four, i32("b.qweight", 2, 8), i32("b.qzeros", 2, 1), half("b.scales", 2, 8), i32("b.g_idx", 15)), fault.Mismatch, "g_idx"},
		"gptq of floats":             {quantized("gptq", four, half("b.qweight", 2, 8), i32("b.qzeros", 2, 1), half("b.scales", 2, 8)), fault.Mismatch, "qweight"},
		"both plain and packed":      {quantized("gptq", four, half("b.weight", 1), i32("b.qweight", 2, 8), i32("b.qzeros", 2, 1), half("b.scales", 2, 8)), fault.Duplicate, "both"},
		"awq of 8 bits":              {quantized("awq", map[string]any{"bits": 8.0}), fault.Unsupported, "8 bits"},
		"awq of another version":     {quantized("awq", map[string]any{"bits": 4.0, "version": "gemv"}), fault.Unsupported, "gemv"},
		"awq with wide zeros":        {quantized("awq", four, i32("b.qweight", 16, 1), i32("b.qzeros", 2, 2), half("b.scales", 2, 8)), fault.Mismatch, "qzeros"},
		"two groups of settings":     {quantized("compressed-tensors", map[string]any{"format": "pack-quantized", "config_groups": map[string]any{"a": nil, "b": nil}}), fault.Unsupported, "2 groups"},
		"no groups of settings":      {quantized("compressed-tensors", map[string]any{"format": "pack-quantized"}), fault.Unsupported, "0 groups"},
		"a format of another time":   {quantized("compressed-tensors", weightsOf("nvfp4-pack-quantized", nil)), fault.Unsupported, "nvfp4"},
		"a strategy of another time": {quantized("compressed-tensors", weightsOf("int-quantized", map[string]any{"strategy": "token"})), fault.Unsupported, "token"},
		"groups of nothing":          {quantized("compressed-tensors", weightsOf("int-quantized", map[string]any{"strategy": "group"})), fault.Unsupported, "groups of"},
		"zero points of bytes":       {quantized("compressed-tensors", weightsOf("int-quantized", map[string]any{"strategy": "channel"}), tensor("b.weight", model.I8, []byte{1}, 1, 1), half("b.weight_scale", 1, 1), bytes("b.weight_zero_point", 1, 1)), fault.Unsupported, "zero"},
		"codes of 16 bits":           {quantized("compressed-tensors", weightsOf("pack-quantized", map[string]any{"num_bits": 16.0})), fault.Unsupported, "16 bits"},
		"codes of floats":            {quantized("compressed-tensors", weightsOf("pack-quantized", map[string]any{"num_bits": 4.0, "type": "float"})), fault.Unsupported, "float"},
		"an order of groups":         {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 2), half("b.weight_scale", 3, 2), shape, i32("b.weight_g_idx", 16)), fault.Unsupported, "g_idx"},
		"another shape":              {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 3), half("b.weight_scale", 3, 2), shape), fault.Mismatch, "3 by 16"},
		"other groups":               {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 2), half("b.weight_scale", 3, 1), shape), fault.Mismatch, "groups of 8"},
		"zero points for others":     {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 2), half("b.weight_scale", 3, 2), shape, i32("b.weight_zero_point", 2, 2)), fault.Mismatch, "zero_point"},
		"a negative shape":           {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 2), half("b.weight_scale", 3, 2), tensor("b.weight_shape", model.I64, numbers(-3, 16), 2)), fault.Malformed, "-3"},
		"a shape of three":           {quantized("compressed-tensors", pack, i32("b.weight_packed", 3, 2), half("b.weight_scale", 3, 2), tensor("b.weight_shape", model.I64, numbers(1, 3, 16), 3)), fault.Mismatch, "weight_shape"},
		"bitsandbytes of bytes":      {quantized("bitsandbytes", map[string]any{"load_in_8bit": true}), fault.Unsupported, "eight bits"},
		"no JSON":                    {quantized("bitsandbytes", nf4, append(bnb, told("shape"))...), fault.Malformed, "JSON"},
		"a state without end":        {quantized("bitsandbytes", nf4, append(bnb, told(strings.Repeat(" ", maxSmall+1)))...), fault.Limit, "quant_state"},
		"blocks of nothing":          {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [8, 8]}`))...), fault.Malformed, "blocks of 0"},
		"odd blocks":                 {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [8, 8], "blocksize": 63}`))...), fault.Malformed, "blocks of 63"},
		"numbers that are not there": {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [8, 9], "blocksize": 64}`))...), fault.Mismatch, "72 numbers"},
		"a shape below nothing":      {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [-8, -8], "blocksize": 64}`))...), fault.Malformed, ""},
		"too many blocks":            {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [8, 8], "blocksize": 32}`))...), fault.Mismatch, "2 blocks"},
		"sizes without a table":      {quantized("bitsandbytes", nf4, append(bnb, told(`{"shape": [8, 8], "blocksize": 64, "nested_blocksize": 256, "nested_offset": 0.1}`))...), fault.Mismatch, "nested"},
		"blocks of 8 bytes":          {quantized("mxfp4", nil, bytes("b_blocks", 2, 2, 8), bytes("b_scales", 2, 2)), fault.Mismatch, "b_blocks"},
		"few exponents":              {quantized("mxfp4", nil, bytes("b_blocks", 2, 2, 16), bytes("b_scales", 2, 1)), fault.Mismatch, "4 blocks"},
	} {
		weights, err := Weights(c.m)
		if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v %v, want %v and %q", name, weights, err, c.kind, c.says)
		}
		if c.kind == fault.Unsupported && fault.Remedy(err) == "" {
			t.Errorf("%s: no remedy for %v", name, err)
		}
	}
}

// TestWrongIndex: a group that is not there is told of, and nothing is read of another.
func TestWrongIndex(t *testing.T) {
	for _, g := range []int32{2, -1, math.MaxInt32, math.MinInt32} {
		index := binary.LittleEndian.AppendUint32(make([]byte, 60), uint32(g))
		m := quantized("gptq", map[string]any{"bits": 4.0}, tensor("b.qweight", model.I32, make([]byte, 64), 2, 8), tensor("b.qzeros", model.I32, make([]byte, 8), 2, 1),
			tensor("b.scales", model.F16, make([]byte, 32), 2, 8), tensor("b.g_idx", model.I32, index, 16))
		weights, err := Weights(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = weights[0].Data.ReadAt(ctx, nil, make([]byte, 512), 0)
		if fault.KindOf(err) != fault.Malformed || !strings.Contains(err.Error(), fmt.Sprintf("group %d,", g)) || !strings.Contains(err.Error(), "b.weight") {
			t.Errorf("%d: %v", g, err)
		}
	}
}
