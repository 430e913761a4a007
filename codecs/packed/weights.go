package packed

import (
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// methods are the schemes that are known, by their quant_method.
var methods = []struct {
	name   string
	decode func([]model.Tensor, map[string]any) ([]model.Tensor, error)
}{
	{"fp8", fp8},
	{"gptq", gptq},
	{"awq", awq},
	{"compressed-tensors", compressed},
	{"bitsandbytes", bitsandbytes},
	{"mxfp4", mxfp4},
}

// Weights are the tensors that a model means, under their plain names: those of m.Tensors, but where the model is
// quantized, one F32 tensor for each weight that is stored as several. The names have no wrapper's prefix (see
// model.Unwrapped), and the order is that of the stored tensors.
//
// Nothing is read but what some schemes have in small tensors of its own about each weight, such as its shape. A scheme
// that is not known is Unsupported; tensors that do not fit each other are Mismatch.
func Weights(m *model.Model) ([]model.Tensor, error) {
	if m.Quantization == nil {
		return model.Unwrapped(m.Tensors), nil
	}
	known, err := m.Memo.Get(memo{}, func() (any, error) { return weights(m) })
	if err != nil {
		return nil, err
	}
	return slices.Clone(known.([]model.Tensor)), nil
}

// memo is the key of a quantized model's weights.
type memo struct{}

func weights(m *model.Model) ([]model.Tensor, error) {
	tensors := model.Unwrapped(m.Tensors)
	q := m.Quantization
	if q.Err != nil {
		return nil, q.Err
	}
	for _, method := range methods {
		if method.name == q.Method {
			weights, err := method.decode(tensors, q.Settings)
			if fault.KindOf(err) == fault.Unsupported && fault.Remedy(err) == "" {
				err = fault.New(fault.Unsupported, "%s", fault.Reason(err)).Remedied(remedy)
			}
			return weights, fault.In(m.File, err)
		}
	}
	what := "a quantization without a quant_method"
	if q.Method != "" {
		what = "the quantization " + q.Method
	}
	return nil, fault.In(q.File, fault.New(fault.Unsupported, "%s says that the weights are stored by %s, which is not decoded here", q.File, what).
		Remedied(remedy))
}

const remedy = "tensors/ and npy/ show what is stored"
