package packed

import (
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// gptq decodes what GPTQ and its like publish: for a weight of [out, in], codes in words of 32 bits down the columns of
// qweight [in·bits/32, out], zero points along the rows of qzeros [groups, out·bits/32], scales [groups, out], and the
// group of each column of the weight in g_idx [in]; without it groups follow each other. The zero points of the first
// version of the format are stored less one.
func gptq(tensors []model.Tensor, settings map[string]any) ([]model.Tensor, error) {
	bits, _ := number(settings, "bits")
	if bits != 2 && bits != 4 && bits != 8 {
		return nil, fault.New(fault.Unsupported, "GPTQ codes of %v bits are not decoded here", settings["bits"]).Remedied("codes of 2, 4 and 8 bits are")
	}
	a := affine{bias: 1}
	switch format := settings["checkpoint_format"]; format {
	case nil, "gptq":
	case "gptq_v2":
		a.bias = 0
	default:
		return nil, fault.New(fault.Unsupported, "the checkpoint_format %v of GPTQ is not decoded here", format)
	}
	r := rule{codes: ".qweight", sign: ".qweight", weight: ".weight", needed: []string{".qzeros", ".scales"}, others: []string{".g_idx"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		codes, down, out, err := g.matrix(".qweight", model.I32, model.U32)
		if err != nil {
			return weight{}, err
		}
		wide, err := fromRows(codes.Data, bits, down, out)
		if err != nil {
			return weight{}, err
		}
		zeros, groups, words, err := g.matrix(".qzeros", model.I32, model.U32)
		if err != nil {
			return weight{}, err
		}
		if words*(32/bits) != out {
			return weight{}, fault.New(fault.Mismatch, "%s of shape %v holds %d columns of zero points, not %d", zeros.Name, zeros.Shape, words*(32/bits), out)
		}
		zero, err := coded(unpacked{bits}, "", zeros.Data)
		if err == nil {
			zero, err = transposed(zero, 1, groups, out)
		}
		if err != nil {
			return weight{}, err
		}
		return g.scaled(a, wide, zero, out, down*(32/bits), groups, settings)
	})
}

// awq decodes what AutoAWQ's GEMM version publishes: for a weight of [out, in], codes of four bits along the rows of
// qweight [in, out/8] and zero points along those of qzeros [groups, out/8], both with the columns of a word in the order
// 0, 2, 4, 6, 1, 3, 5, 7, and scales [groups, out].
func awq(tensors []model.Tensor, settings map[string]any) ([]model.Tensor, error) {
	if bits, ok := number(settings, "bits", "w_bit"); ok && bits != 4 {
		return nil, fault.New(fault.Unsupported, "AWQ codes of %d bits are not decoded here", bits).Remedied("codes of 4 bits are")
	}
	if version, ok := settings["version"].(string); ok && !strings.EqualFold(version, "gemm") {
		return nil, fault.New(fault.Unsupported, "the version %s of AWQ is not decoded here", version).Remedied("the version gemm is")
	}
	r := rule{codes: ".qweight", sign: ".qweight", weight: ".weight", needed: []string{".qzeros", ".scales"}}
	return assembled(tensors, r, func(g group) (weight, error) {
		codes, in, words, err := g.matrix(".qweight", model.I32, model.U32)
		if err != nil {
			return weight{}, err
		}
		zeros, groups, words2, err := g.matrix(".qzeros", model.I32, model.U32)
		if err != nil {
			return weight{}, err
		}
		if words2 != words {
			return weight{}, fault.New(fault.Mismatch, "%s of shape %v and %s of shape %v", codes.Name, codes.Shape, zeros.Name, zeros.Shape)
		}
		wide, err := interleaved(codes.Data, in, words)
		if err != nil {
			return weight{}, err
		}
		zero, err := interleaved(zeros.Data, groups, words)
		if err != nil {
			return weight{}, err
		}
		return g.scaled(affine{}, wide, zero, 8*words, in, groups, settings)
	})
}

// interleaved is the codes of a matrix of AWQ's words, transposed.
func interleaved(words *layout.File, rows, across int64) (*layout.File, error) {
	codes, err := coded(unpacked{4}, "", words)
	if err != nil {
		return nil, err
	}
	return moved(codes, 1, []int64{across, 4, 2, rows}, []int64{8, 1, 4, 8 * across})
}

// scaled is the weight of codes [out, in] and zero points [out, groups], with the part .scales [groups, out], and .g_idx
// where there is one.
func (g group) scaled(a affine, codes, zeros *layout.File, out, in, groups int64, settings map[string]any) (weight, error) {
	scales, rows, columns, err := g.matrix(".scales")
	if err != nil {
		return weight{}, err
	}
	if rows != groups || columns != out {
		return weight{}, fault.New(fault.Mismatch, "%s has the shape %v instead of %d by %d", scales.Name, scales.Shape, groups, out)
	}
	made := weight{shape: []int64{out, in}}
	if out == 0 || in == 0 {
		made.data, err = layout.New()
		return made, err
	}
	each, err := floats32(scales)
	if err == nil {
		each, err = transposed(each, 4, groups, out)
	}
	if err != nil {
		return weight{}, err
	}
	if index := g.parts[".g_idx"]; index != nil {
		if index.DType != model.I32 || len(index.Shape) != 1 || index.Shape[0] != in {
			return weight{}, fault.New(fault.Mismatch, "%s is %s of shape %v, and %d columns have groups", index.Name, index.DType, index.Shape, in)
		}
		if in > maxRow || groups < 1 || groups > in {
			return weight{}, fault.New(fault.Limit, "%d columns in %d groups", in, groups)
		}
		of, err := repeated(index.Data, out)
		if err != nil {
			return weight{}, err
		}
		made.data, err = coded(indexed{in, groups, a.bias}, g.name, codes, zeros, each, of)
		return made, err
	}
	if size, ok := number(settings, "group_size", "q_group_size"); groups < 1 || in%groups != 0 || ok && size > 0 && in/groups != size {
		return weight{}, fault.New(fault.Mismatch, "%d columns are not %d groups of %v", in, groups, settings["group_size"])
	}
	a.run = in / groups
	made.data, err = coded(a, g.name, codes, zeros, each)
	return made, err
}

// maxRow bounds the columns of a weight that is computed a row at a time.
const maxRow = 1 << 20
