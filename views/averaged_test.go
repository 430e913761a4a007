package views

import (
	"context"
	"errors"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"github.com/isomerfs/isomerfs/views/safetensors"
)

// TestAveraged: the average of the weights shows under their names in the precisions that end in -ema, where there is
// one, and nowhere else.
func TestAveraged(t *testing.T) {
	tensor := func(b byte) []model.Tensor {
		return []model.Tensor{{Name: "w", DType: model.F32, Shape: []int64{1}, Data: layout.Bytes([]byte{b, 0, 128, 63})}}
	}
	m := &model.Model{Format: "pytorch", File: "m.pt", Tensors: tensor(0), Averaged: tensor(1), Metadata: map[string]string{}}
	last := func(precision string) byte {
		files, err := safetensors.Plan(m, precision)
		if err != nil || len(files) != 1 || files[0].Path != "model.safetensors" {
			t.Fatalf("%s: %v, %v", precision, files, err)
		}
		p := make([]byte, files[0].File.Size())
		if _, err := files[0].File.ReadAt(context.Background(), nil, p, 0); err != nil {
			t.Fatal(err)
		}
		return p[len(p)-4]
	}
	if a, b := last("fp32"), last("fp32-ema"); a != 0 || b != 1 {
		t.Errorf("the weights are %d, their average is %d", a, b)
	}
	m.Averaged = nil
	if _, err := safetensors.Plan(m, "fp16-ema"); !errors.Is(err, fault.Absent) || fault.Remedy(err) == "" {
		t.Errorf("without an average: %v", err)
	}
}
