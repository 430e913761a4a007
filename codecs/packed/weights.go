package packed

import (
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// methods are the schemes that are known, by their quant_method.
var methods = []struct {
	name   string
	decode func([]model.Tensor, map[string]any) ([]model.Tensor, error)
}{
	{"fp8", fp8},
}

// Weights are the tensors that a model means, under their plain names: those of m.Tensors, but where the model is
// quantized, one F32 tensor for each weight that is stored as several. The names have no wrapper's prefix (see
// model.Unwrapped), and the order is that of the stored tensors.
//
// A scheme that is not known is Unsupported; tensors that do not fit each other are Mismatch.
func Weights(m *model.Model) ([]model.Tensor, error) {
	tensors := model.Unwrapped(m.Tensors)
	q := m.Quantization
	if q == nil {
		return tensors, nil
	}
	if q.Err != nil {
		return nil, q.Err
	}
	for _, method := range methods {
		if method.name == q.Method {
			weights, err := method.decode(tensors, q.Settings)
			return weights, fault.In(m.File, err)
		}
	}
	what := "a quantization without a quant_method"
	if q.Method != "" {
		what = "the quantization " + q.Method
	}
	return nil, fault.In(q.File, fault.New(fault.Unsupported, "%s says that the weights are stored by %s, which is not decoded here", q.File, what).
		Remedied("tensors/ and npy/ show what is stored"))
}
