package views

import (
	"fmt"
	"testing"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/model"
)

// BenchmarkEnter reads a model's header and plans one view of it: what stat of a view costs when nothing is known yet.
func BenchmarkEnter(b *testing.B) {
	for _, count := range []int{12, 4500} {
		var all []tensor
		for i := range count {
			all = append(all, fill(fmt.Sprintf("model.layers.%d.mlp.up_proj.weight", i), model.F32, 2, 3))
		}
		files := folder{"m.safetensors": container("m", nil, all...)}
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := codecs.Formats[0].Read(ctx, files, "m.safetensors")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Table[0].Plan(m, "fp16"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
