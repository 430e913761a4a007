package packed

import (
	"encoding/binary"
	"math"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// compressed decodes what compressed-tensors publishes with one group of settings for all weights: codes of a byte each
// with a scale for each channel, block or group, or codes packed in words of 32 bits.
func compressed(tensors []model.Tensor, settings map[string]any) ([]model.Tensor, error) {
	groups, _ := settings["config_groups"].(map[string]any)
	if len(groups) != 1 {
		return nil, fault.New(fault.Unsupported, "compressed-tensors with %d groups of settings is not decoded here", len(groups)).Remedied("one group is")
	}
	var how map[string]any
	for _, of := range groups {
		of, _ := of.(map[string]any)
		how, _ = of["weights"].(map[string]any)
	}
	switch format := settings["format"]; format {
	case "float-quantized", "int-quantized", "naive-quantized":
		return bytewise(tensors, how)
	case "pack-quantized":
		return wordwise(tensors, how)
	default:
		return nil, fault.New(fault.Unsupported, "the format %v of compressed-tensors is not decoded here", format)
	}
}

// bytewise decodes codes of a byte each: weight [out, in] and weight_scale, which the strategy says the shape of.
func bytewise(tensors []model.Tensor, how map[string]any) ([]model.Tensor, error) {
	var rows, columns int64
	var err error
	switch strategy := how["strategy"]; strategy {
	case "tensor", nil:
	case "channel":
		rows, columns = 1, math.MaxInt32
	case "group":
		rows = 1
		columns, _ = number(how, "group_size")
	case "block":
		rows, columns, err = blockSize(how["block_structure"])
	default:
		return nil, fault.New(fault.Unsupported, "the strategy %v of compressed-tensors is not decoded here", strategy)
	}
	if err != nil {
		return nil, err
	}
	if rows > 0 && columns < 1 {
		return nil, fault.New(fault.Unsupported, "compressed-tensors with groups of %v", how["group_size"])
	}
	r := rule{codes: ".weight", sign: ".weight_scale", weight: ".weight", others: []string{".weight_zero_point"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		if zero := g.parts[".weight_zero_point"]; zero != nil {
			return weight{}, fault.New(fault.Unsupported, "%s: zero points of codes of a byte are not decoded here", zero.Name)
		}
		codes := g.parts[".weight"]
		data, err := product(*codes, *g.parts[".weight_scale"], rows, columns)
		return weight{codes.Shape, data}, err
	})
}

// wordwise decodes codes in words: for a weight of [out, in], weight_packed [out, words] with the codes of a row, the last
// word perhaps not full, weight_scale [out, groups], weight_shape, and in asymmetric schemes weight_zero_point
// [words, groups], packed down the columns. Codes and zero points are stored as unsigned numbers.
func wordwise(tensors []model.Tensor, how map[string]any) ([]model.Tensor, error) {
	bits, _ := number(how, "num_bits")
	if bits < 1 || bits > 8 {
		return nil, fault.New(fault.Unsupported, "compressed-tensors packs codes of %v bits, which is not decoded here", how["num_bits"])
	}
	if kind, ok := how["type"]; ok && kind != "int" {
		return nil, fault.New(fault.Unsupported, "compressed-tensors packs codes of type %v, which is not decoded here", kind)
	}
	r := rule{codes: ".weight_packed", sign: ".weight_packed", weight: ".weight", needed: []string{".weight_scale", ".weight_shape"}, others: []string{".weight_zero_point", ".weight_g_idx"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		if index := g.parts[".weight_g_idx"]; index != nil {
			return weight{}, fault.New(fault.Unsupported, "%s: groups in an order of their own are not decoded here", index.Name)
		}
		codes, rows, words, err := g.matrix(".weight_packed", model.I32)
		if err != nil {
			return weight{}, err
		}
		out, in, err := g.stored()
		if err != nil {
			return weight{}, err
		}
		per := 32 / bits
		if rows != out || in > math.MaxInt32 || words != (in+per-1)/per {
			return weight{}, fault.New(fault.Mismatch, "%s of shape %v cannot hold %d by %d codes of %d bits", codes.Name, codes.Shape, out, in, bits)
		}
		scales, high, groups, err := g.matrix(".weight_scale")
		if err != nil {
			return weight{}, err
		}
		if size, ok := number(how, "group_size"); high != out || groups < 1 || in%groups != 0 || ok && size > 0 && in != groups*size {
			return weight{}, fault.New(fault.Mismatch, "%s of shape %v for %d by %d codes in groups of %v", scales.Name, scales.Shape, out, in, how["group_size"])
		}
		made := weight{shape: []int64{out, in}}
		if out == 0 || in == 0 {
			made.data, err = layout.New()
			return made, err
		}
		wide, err := coded(unpacked{bits}, "", codes.Data)
		if err == nil && in != words*per {
			wide, err = moved(wide, 1, []int64{out, in}, []int64{words * per, 1})
		}
		if err != nil {
			return weight{}, err
		}
		zeros, err := g.zeros(bits, out, groups)
		if err != nil {
			return weight{}, err
		}
		each, err := floats32(scales)
		if err != nil {
			return weight{}, err
		}
		made.data, err = coded(affine{run: in / groups}, g.name, wide, zeros, each)
		return made, err
	})
}

// stored is the shape of a weight, which a tensor holds.
func (g group) stored() (out, in int64, err error) {
	t := g.parts[".weight_shape"]
	if t.DType != model.I64 && t.DType != model.I32 || len(t.Shape) != 1 || t.Shape[0] != 2 {
		return 0, 0, fault.New(fault.Mismatch, "%s is %s of shape %v", t.Name, t.DType, t.Shape)
	}
	p, err := small(t)
	if err != nil {
		return 0, 0, err
	}
	var n [2]int64
	for i := range n {
		if t.DType == model.I64 {
			n[i] = int64(binary.LittleEndian.Uint64(p[8*i:]))
		} else {
			n[i] = int64(int32(binary.LittleEndian.Uint32(p[4*i:])))
		}
		if n[i] < 0 {
			return 0, 0, fault.New(fault.Malformed, "%s says %d", t.Name, n[i])
		}
	}
	return n[0], n[1], nil
}

// zeros is the zero points of a weight of out rows, [out, groups]; in a symmetric scheme the middle of the codes.
func (g group) zeros(bits, out, groups int64) (*layout.File, error) {
	if g.parts[".weight_zero_point"] == nil {
		return repeated(layout.Bytes([]byte{1 << (bits - 1)}), out*groups)
	}
	zeros, down, across, err := g.matrix(".weight_zero_point", model.I32)
	if err != nil {
		return nil, err
	}
	per := 32 / bits
	if across != groups || down != (out+per-1)/per {
		return nil, fault.New(fault.Mismatch, "%s of shape %v for %d rows of %d groups", zeros.Name, zeros.Shape, out, groups)
	}
	each, err := coded(unpacked{bits}, "", zeros.Data)
	if err != nil {
		return nil, err
	}
	each, err = moved(each, 1, []int64{down, per, groups}, []int64{groups * per, 1, per})
	if err != nil {
		return nil, err
	}
	return each.Slice(0, out*groups)
}
