package packed

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// looked is table[code] * scale + offset in float32, with a scale for each run of codes. It implements layout.Op: a block
// is several runs, and an input says the table once for each block. The last block may be short. Codes of four bits lie
// two to a byte.
type looked struct {
	bits   int64 // 4 or 8
	high   bool  // the first of two codes is in the upper half of the byte
	run    int64
	runs   int64 // to a block
	offset float32
}

func (l looked) String() string {
	order := ""
	if l.high {
		order = " high first"
	}
	return fmt.Sprintf("table[u%d%s]·f32[%d]%+g→f32/1", l.bits, order, l.run, l.offset)
}

func (l looked) codes() int64 { return l.run * l.runs }

func (l looked) Block() (int64, []int64) {
	return 4 * l.codes(), []int64{l.codes() * l.bits / 8, 4 * l.runs, 4 << l.bits}
}

// Size is that of whole codes: a last byte may be of one code alone, which Box or Slice cuts off.
func (l looked) Size(in ...int64) (int64, error) {
	if len(in) != 3 || in[0] > math.MaxInt64/8 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes", l, in)
	}
	codes := in[0] * 8 / l.bits
	if in[1] != (codes+l.run-1)/l.run*4 || in[2] != (codes+l.codes()-1)/l.codes()*(4<<l.bits) {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: not a scale for each %d codes", l, in, l.run)
	}
	return 4 * codes, nil
}

func (l looked) Apply(dst []byte, src [][]byte) error {
	codes, scales, tables := src[0], src[1], src[2]
	n := int64(len(dst) / 4)
	blocks := (n + l.codes() - 1) / l.codes()
	if len(dst)%4 != 0 || int64(len(codes))*8/l.bits < n || int64(len(scales)/4) < (n+l.run-1)/l.run || int64(len(tables)) < blocks*(4<<l.bits) {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d, %d and %d", l, len(dst), len(codes), len(scales), len(tables))
	}
	le := binary.LittleEndian
	var table [256]float32
	for b := range blocks {
		for i := range int64(1) << l.bits {
			table[i] = math.Float32frombits(le.Uint32(tables[(b<<l.bits+i)*4:]))
		}
		end := min(n, (b+1)*l.codes())
		for lo := b * l.codes(); lo < end; lo += l.run {
			scale := math.Float32frombits(le.Uint32(scales[lo/l.run*4:]))
			l.apply(dst[4*lo:4*min(end, lo+l.run)], codes[lo*l.bits/8:], &table, scale)
		}
	}
	return nil
}

// apply is Apply of codes that have one scale. It begins with the first code of a byte.
func (l looked) apply(dst, codes []byte, table *[256]float32, scale float32) {
	le := binary.LittleEndian
	n := len(dst) / 4
	for i := range n {
		var c byte
		switch {
		case l.bits == 8:
			c = codes[i]
		case l.high == (i&1 == 0):
			c = codes[i/2] >> 4
		default:
			c = codes[i/2] & 15
		}
		v := float32(table[c] * scale)
		if l.offset != 0 {
			v = float32(v + l.offset)
		}
		le.PutUint32(dst[4*i:4*i+4], math.Float32bits(v))
	}
}

// blockCodes is how many codes a block of looked has at least, where a run is shorter.
const blockCodes = 1 << 12

// look makes looked's tensor of n codes of a file.
func look(l looked, label string, n int64, codes, scales, table *layout.File) (*layout.File, error) {
	l.runs = max(1, blockCodes/l.run)
	if table.Size() != 4<<l.bits {
		return nil, fault.New(fault.Mismatch, "a table of %d bytes for codes of %d bits", table.Size(), l.bits)
	}
	all := codes.Size() * 8 / l.bits
	tables, err := repeated(table, (all+l.codes()-1)/l.codes())
	if err != nil {
		return nil, err
	}
	made, err := coded(l, label, codes, scales, tables)
	if err != nil || n == all {
		return made, err
	}
	return made.Slice(0, 4*n)
}

// state is what bitsandbytes says of a weight, as JSON in a tensor of bytes.
type state struct {
	Type      string   `json:"quant_type"`
	Shape     []int64  `json:"shape"`
	Block     int64    `json:"blocksize"`
	NestBlock int64    `json:"nested_blocksize"`
	NestType  string   `json:"nested_dtype"`
	Offset    *float64 `json:"nested_offset"`
}

// bitsandbytes decodes its codes of four bits: in a weight of bytes two numbers of a table, quant_map, the first in the
// upper half, with a size in absmax for each block of the flattened weight. Where sizes are quantized too, absmax holds
// codes of eight bits of nested_quant_map, with a size in nested_absmax for each block of those, and an offset.
func bitsandbytes(tensors []model.Tensor, settings map[string]any) ([]model.Tensor, error) {
	kind, _ := settings["bnb_4bit_quant_type"].(string)
	if four, _ := settings["load_in_4bit"].(bool); !four {
		return nil, fault.New(fault.Unsupported, "bitsandbytes with codes of eight bits is not decoded here")
	}
	if kind == "" {
		kind = "fp4" // its default
	}
	sign := ".quant_state.bitsandbytes__" + kind
	r := rule{codes: "", sign: sign, needed: []string{".absmax", ".quant_map"}, others: []string{".nested_absmax", ".nested_quant_map"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		text, err := small(g.parts[sign])
		if err != nil {
			return weight{}, err
		}
		var s state
		if err := json.Unmarshal(text, &s); err != nil {
			return weight{}, fault.New(fault.Malformed, "%s is not the JSON that bitsandbytes writes: %v", g.parts[sign].Name, err)
		}
		n, err := model.Elements(s.Shape)
		if err != nil {
			return weight{}, err
		}
		if s.Block < 2 || s.Block > maxRow || s.Block%2 != 0 {
			return weight{}, fault.New(fault.Malformed, "%s speaks of blocks of %d", g.parts[sign].Name, s.Block)
		}
		codes := g.parts[""]
		if codes.Data.Size() != n/2+n%2 {
			return weight{}, fault.New(fault.Mismatch, "%d bytes for the %d numbers of a weight of shape %v", codes.Data.Size(), n, s.Shape)
		}
		made := weight{shape: s.Shape}
		if n == 0 {
			made.data, err = layout.New()
			return made, err
		}
		sizes, err := g.sizes(s, (n+s.Block-1)/s.Block)
		if err != nil {
			return weight{}, err
		}
		table, err := floats32(g.parts[".quant_map"])
		if err != nil {
			return weight{}, err
		}
		made.data, err = look(looked{bits: 4, high: true, run: s.Block}, g.name, n, codes.Data, sizes, table)
		return made, err
	})
}

// sizes is the n sizes of a weight's blocks.
func (g group) sizes(s state, n int64) (*layout.File, error) {
	absmax := g.parts[".absmax"]
	have, err := model.Elements(absmax.Shape)
	if err != nil {
		return nil, err
	}
	if have != n {
		return nil, fault.New(fault.Mismatch, "%s has %d sizes for %d blocks", absmax.Name, have, n)
	}
	if s.NestBlock == 0 && s.Offset == nil {
		return floats32(absmax)
	}
	nested, table := g.parts[".nested_absmax"], g.parts[".nested_quant_map"]
	if nested == nil || table == nil || s.Offset == nil {
		return nil, fault.New(fault.Mismatch, "the sizes are quantized, and nested_absmax, nested_quant_map or nested_offset is missing")
	}
	if absmax.DType != model.U8 || s.NestBlock < 1 || s.NestBlock > maxRow {
		return nil, fault.New(fault.Mismatch, "%s is %s, in blocks of %d", absmax.Name, absmax.DType, s.NestBlock)
	}
	have, err = model.Elements(nested.Shape)
	if err != nil {
		return nil, err
	}
	if blocks := (n + s.NestBlock - 1) / s.NestBlock; have != blocks {
		return nil, fault.New(fault.Mismatch, "%s has %d sizes for %d blocks", nested.Name, have, blocks)
	}
	sizes, err := floats32(nested)
	if err != nil {
		return nil, err
	}
	values, err := floats32(table)
	if err != nil {
		return nil, err
	}
	return look(looked{bits: 8, run: s.NestBlock, offset: float32(*s.Offset)}, absmax.Name, n, absmax.Data, sizes, values)
}

// fp4 are the numbers of OCP's FP4, E2M1.
var fp4 = [16]float32{0, 0.5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -0.5, -1, -1.5, -2, -3, -4, -6}

// mxfp4 decodes what gpt-oss is published in: for a weight of [experts, in, out], codes of FP4 in NAME_blocks
// [experts, out, in/32, 16], the first in the lower half of a byte, and for each 32 an exponent in NAME_scales
// [experts, out, in/32].
func mxfp4(tensors []model.Tensor, _ map[string]any) ([]model.Tensor, error) {
	var values []byte
	for _, v := range fp4 {
		values = binary.LittleEndian.AppendUint32(values, math.Float32bits(v))
	}
	table := layout.Bytes(values)
	r := rule{codes: "_blocks", sign: "_blocks", needed: []string{"_scales"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		codes, scales := g.parts["_blocks"], g.parts["_scales"]
		rank := len(codes.Shape)
		if codes.DType != model.U8 || rank < 3 || codes.Shape[rank-1] != 16 {
			return weight{}, fault.New(fault.Mismatch, "%s is %s of shape %v", codes.Name, codes.DType, codes.Shape)
		}
		n, err := model.Elements(codes.Shape)
		if err != nil {
			return weight{}, err
		}
		have, err := model.Elements(scales.Shape)
		if err != nil {
			return weight{}, err
		}
		if scales.DType != model.U8 && scales.DType != model.F8E8M0 || have != n/16 {
			return weight{}, fault.New(fault.Mismatch, "%s is %s of shape %v, and there are %d blocks", scales.Name, scales.DType, scales.Shape, n/16)
		}
		lead, out, blocks := codes.Shape[:rank-3], codes.Shape[rank-3], codes.Shape[rank-2]
		made := weight{shape: append(append([]int64{}, lead...), 32*blocks, out)}
		if n == 0 {
			made.data, err = layout.New()
			return made, err
		}
		each, err := floats32(&model.Tensor{Name: scales.Name, DType: model.F8E8M0, Shape: scales.Shape, Data: scales.Data})
		if err != nil {
			return weight{}, err
		}
		data, err := look(looked{bits: 4, run: 32}, g.name, 2*n, codes.Data, each, table)
		if err != nil {
			return weight{}, err
		}
		in := 32 * blocks
		made.data, err = moved(data, 4, []int64{n / 16 / blocks / out, in, out}, []int64{out * in, 1, in})
		return made, err
	})
}
