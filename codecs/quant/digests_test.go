package quant

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/model"
)

// The digests that testdata/digests.py made with PyTorch and NumPy.
func TestDigests(t *testing.T) {
	text, err := os.ReadFile("testdata/digests.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, digest, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name+"/1"] = digest
	}
	if len(want) != len(Encodings)-1 { // without f64→bf16
		t.Fatalf("%d digests for %d encodings", len(want), len(Encodings))
	}
	everywhere(t, func(t *testing.T, e Encoding) {
		c := e.Op.(*cast)
		if e.From == model.F64 && e.To == model.BF16 {
			return
		}
		v := elements(e.From)
		src, dst := make([]byte, len(v)*c.from), make([]byte, len(v)*c.to)
		for i, b := range v {
			put(src, i, c.from, b)
		}
		if err := c.Apply(dst, [][]byte{src}); err != nil {
			t.Fatal(err)
		}
		f := formats[e.To]
		infinity := uint64(1<<f.exponent-1) << f.fraction
		for i := range v {
			if get(dst, i, c.to)&^(1<<(f.exponent+f.fraction)) > infinity {
				put(dst, i, c.to, infinity|1<<(f.fraction-1))
			}
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(dst)); got != want[c.name] {
			t.Errorf("the results' digest is %s, PyTorch's %s", got, want[c.name])
		}
	})
}

// elements is what the function elements in testdata/digests.py gives.
func elements(d model.DType) []uint64 {
	v := make([]uint64, 1<<20)
	switch d {
	case model.F64:
		for i := range uint64(len(v)) {
			v[i] = i*0x9e3779b97f4a7c15&^(0x7ff<<52) | (1023-30+i%50)<<52
		}
	case model.F32:
		for i := range uint64(len(v)) {
			v[i] = i * 2654435761 & (1<<32 - 1)
		}
	default:
		return values(d)
	}
	return v
}
