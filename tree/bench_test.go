package tree

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkEnter is the first path into a version: its header is read, one view of it is planned.
func BenchmarkEnter(b *testing.B) {
	for _, count := range []int{30, 4500} {
		var text strings.Builder
		for i := range count {
			fmt.Fprintf(&text, "model.layers.%d.mlp.weight F32 16x4\n", i)
		}
		_, root := makeTree(b, map[string]string{"m/v1/model.safetensors": text.String()})
		b.Run(fmt.Sprintf("%d tensors", count), func(b *testing.B) {
			for b.Loop() {
				tr := openTree(b, root)
				if _, err := tr.Resolve(context.Background(), "m/v1/safetensors/fp16/model.safetensors"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAgain is the same path when it is known.
func BenchmarkAgain(b *testing.B) {
	tr, _ := makeTree(b, map[string]string{"m/v1/model.safetensors": "w F32 16x4\n"})
	for b.Loop() {
		if _, err := tr.Resolve(context.Background(), "m/v1/safetensors/fp16/model.safetensors"); err != nil {
			b.Fatal(err)
		}
	}
}
