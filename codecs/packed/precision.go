package packed

import (
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Precision are the tensors that a model means (see Weights), those of floats of at least 16 bits cast to target. Strings
// are left out. holds says why the container that they are for cannot hold one.
func Precision(m *model.Model, target model.DType, holds func(t *model.Tensor) error) ([]model.Tensor, error) {
	meant, err := Weights(m)
	if err != nil {
		return nil, err
	}
	tensors := make([]model.Tensor, 0, len(meant))
	for _, t := range meant {
		if t.DType == model.String {
			continue
		}
		if t.DType.Float() {
			if t, err = quant.Tensor(t, target); err != nil {
				return nil, fault.In(m.File, err)
			}
		}
		if err := holds(&t); err != nil {
			return nil, fault.In(m.File, err)
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}
