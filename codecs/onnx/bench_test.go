package onnx

import (
	"strconv"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// chain is a graph of so many nodes, one behind another, each with a weight of its own.
func chain(nodes int) *model.Graph {
	data, _ := layout.New(layout.Zeros(1 << 16))
	b := &model.Body{Name: "chain", Inputs: []*model.Value{{Name: "v0", Type: &model.Type{Form: model.TensorForm, DType: model.F32, Ranked: true, Shape: []model.Dim{{Param: "batch"}, {Fixed: true, Size: 128}}}}}}
	for i := range nodes {
		in, out, w := "v"+strconv.Itoa(i), "v"+strconv.Itoa(i+1), "layer."+strconv.Itoa(i)+".weight"
		b.Nodes = append(b.Nodes, &model.Node{Name: "/layer/" + out, Op: "Gemm", Inputs: []string{in, w}, Outputs: []string{out}, Attributes: []*model.Attribute{
			{Name: "alpha", Kind: model.FloatKind, Value: float32(1)}, {Name: "transB", Kind: model.IntKind, Value: int64(1)},
		}})
		b.Initializers = append(b.Initializers, &model.Constant{Tensor: model.Tensor{Name: w, DType: model.F32, Shape: []int64{128, 128}, Data: data}})
	}
	b.Outputs = []*model.Value{{Name: "v" + strconv.Itoa(nodes)}}
	return &model.Graph{IRVersion: 8, Opsets: []model.Opset{{Version: 17}}, Main: b}
}

const benchNodes = 5000

func BenchmarkRead(b *testing.B) {
	out, err := Encode(chain(benchNodes))
	if err != nil {
		b.Fatal(err)
	}
	src := layoutSource{out[0].File}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(ctx, src, folder{}, "m.onnx"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	out, err := Encode(chain(benchNodes))
	if err != nil {
		b.Fatal(err)
	}
	m, err := decode(ctx, layoutSource{out[0].File}, folder{}, "m.onnx")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"unchanged", "changed"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g := m.Graph.Clone()
				if name == "changed" {
					for _, n := range g.Main.Nodes {
						n.Op = "Other"
					}
				}
				if _, err := Encode(g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
