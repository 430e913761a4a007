package gguf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/model"
)

// llama is the folder of llama.cpp's programs.
func llama(t *testing.T) string {
	t.Helper()
	home := os.Getenv("ISOMERFS_TEST_LLAMACPP")
	if home == "" {
		if slices.Contains(strings.Split(os.Getenv("ISOMERFS_TEST_REQUIRE"), ","), "llamacpp") {
			t.Fatal("ISOMERFS_TEST_LLAMACPP names no llama.cpp (ISOMERFS_TEST_REQUIRE says that this machine has llamacpp)")
		}
		t.Skip("ISOMERFS_TEST_LLAMACPP names no llama.cpp to compare with")
	}
	return filepath.Join(home, "bin")
}

// llamaQuantize is what llama-quantize makes of a file, or its reason to make nothing.
func llamaQuantize(t *testing.T, bin, dir string, src []byte, precision string, flags ...string) ([]byte, string) {
	t.Helper()
	in, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(in, src, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(out)
	cmd := exec.Command(filepath.Join(bin, "llama-quantize"), append(flags, in, out, precision, "1")...)
	cmd.Dir = dir // names of files given in flags go into the output
	said, err := cmd.CombinedOutput()
	if err != nil {
		for line := range strings.Lines(string(said)) {
			if _, why, ok := strings.Cut(line, "failed to quantize: "); ok {
				return nil, strings.TrimSpace(why)
			}
		}
		return nil, string(said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b, ""
}

// difference is where two files differ, in words.
func difference(t *testing.T, got, want []byte) string {
	t.Helper()
	if bytes.Equal(got, want) {
		return ""
	}
	var two [2]*gguf.Header
	for i, b := range [][]byte{got, want} {
		h, err := gguf.Decode(ctx, file(b))
		if err != nil {
			return err.Error()
		}
		two[i] = h
	}
	for i, e := range two[1].Entries {
		if i >= len(two[0].Entries) {
			return "missing " + e.Name
		}
		g := two[0].Entries[i]
		if g.Name != e.Name || g.Type != e.Type || !slices.Equal(g.Shape, e.Shape) {
			return g.Name + " " + g.Type.String() + " instead of " + e.Name + " " + e.Type.String()
		}
		if !bytes.Equal(got[g.Off:g.Off+g.Size], want[e.Off:e.Off+e.Size]) {
			return "the data of " + e.Name + " " + e.Type.String()
		}
	}
	for i, kv := range two[1].KVs {
		if i >= len(two[0].KVs) || two[0].KVs[i].Key != kv.Key || two[0].KVs[i].Type != kv.Type || two[0].KVs[i].Shown() != kv.Shown() {
			return "the key " + kv.Key
		}
	}
	return "padding or size"
}

// typesOf are the names and types of a file's tensors, sorted.
func typesOf(t *testing.T, b []byte) []string {
	h, err := gguf.Decode(ctx, file(b))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range h.Entries {
		list = append(list, e.Name+" "+e.Type.String())
	}
	slices.Sort(list)
	return list
}

var some = []string{"F32", "F16", "Q8_0", "Q4_K_M"}

// TestLlamaQuantize: what is made of a GGUF model is llama-quantize's file, byte for byte.
func TestLlamaQuantize(t *testing.T) {
	bin := llama(t)
	everyKey := []gguf.KV{
		gguf.Key("x.u8", uint8(255)), gguf.Key("x.i8", int8(-128)), gguf.Key("x.u16", uint16(65535)), gguf.Key("x.i16", int16(-5)), gguf.Key("x.i32", int32(-1<<31)), gguf.Key("x.f32", float32(0.5)),
		gguf.Key("x.true", true), gguf.Key("x.false", false), gguf.Key("x.text", "naïve 你好 \n\t\"quoted\""), gguf.Key("x.empty", ""), gguf.Key("x.u64", uint64(1)<<63), gguf.Key("x.i64", int64(-1)<<63), gguf.Key("x.f64", 1e300),
		gguf.List("x.words", []string{"a", "", "ü b"}), gguf.List("x.bytes", []uint8{1, 2, 3}), gguf.List("x.bools", []bool{true, false}), gguf.List("x.doubles", []float64{0.1, -2.5}), gguf.List("x.none", []int32{}),
		gguf.Key("split.no", uint16(0)), gguf.Key("split.count", uint16(1)), gguf.Key("split.tensors.count", int32(9)),
	}
	for name, c := range map[string]struct {
		made  made
		types []string // nil: every one
		flags []string
		more  string // a modifier
	}{
		"f32":               {made: made{arch: "llama", layers: 2, heads: 4, kv: 4, width: 512, count: 8, kind: ggml.F32, keys: everyKey}},
		"f16":               {made: made{arch: "llama", layers: 2, heads: 4, kv: 4, count: 8, kind: ggml.F16}},
		"bf16":              {made: made{arch: "llama", layers: 2, heads: 4, kv: 4, count: 8, kind: ggml.BF16}},
		"32 layers, tied":   {made: made{arch: "llama", layers: 32, heads: 8, kv: 2, tied: true, kind: ggml.F16, count: 2}},
		"33 layers":         {made: made{arch: "llama", layers: 33, heads: 8, kv: 8, kind: ggml.F16, count: 2}, types: []string{"Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_M", "IQ4_XS"}},
		"70B":               {made: made{arch: "llama", layers: 80, heads: 64, kv: 8, kind: ggml.F16, count: 2}, types: []string{"Q5_K_M", "Q4_K_M", "Q3_K_M", "Q3_K_S", "Q2_K", "IQ4_XS"}},
		"80 layers, alike":  {made: made{arch: "llama", layers: 80, heads: 8, kv: 8, kind: ggml.F16, count: 2}, types: []string{"Q3_K_S", "Q4_K_M"}},
		"qwen2, 80 layers":  {made: made{arch: "qwen2", layers: 80, heads: 8, kv: 8, kind: ggml.F16, count: 2}, types: []string{"Q3_K_S", "Q4_K_M"}},
		"8 experts":         {made: made{arch: "llama", layers: 16, heads: 8, kv: 2, experts: 8, kind: ggml.BF16, count: 2}},
		"4 experts":         {made: made{arch: "qwen2moe", layers: 17, heads: 8, kv: 8, experts: 4, shared: true, kind: ggml.F16, count: 2}},
		"falcon":            {made: made{arch: "falcon", layers: 32, heads: 8, kv: 8, fused: true, kind: ggml.F16, count: 2}},
		"phi3":              {made: made{arch: "phi3", layers: 16, heads: 8, kv: 8, fused: true, kind: ggml.F16, count: 2}, types: []string{"Q5_K_M", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q2_K"}},
		"positions":         {made: made{arch: "gpt2", layers: 3, heads: 8, kv: 8, fused: true, positions: true, kind: ggml.F32, count: 2}, types: some},
		"rows of 160":       {made: made{arch: "llama", layers: 9, heads: 5, kv: 5, width: 160, down: 336, kind: ggml.F32, count: 2}},
		"rows of 160, tied": {made: made{arch: "llama", layers: 2, heads: 5, kv: 5, width: 160, down: 336, kind: ggml.BF16, tied: true, count: 2}},
		"pure":              {made: made{arch: "llama", layers: 4, heads: 4, kv: 1, kind: ggml.BF16}, types: []string{"Q4_K_M", "Q3_K_L", "Q2_K", "MXFP4_MOE"}, flags: []string{"--pure"}, more: "-pure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, src := stored(t, c.made.content(t), nil)
			types := c.types
			if types == nil {
				types = Precisions
			}
			for _, precision := range types {
				check(t, bin, m, src, precision, c.more, c.flags...)
			}
		})
	}
}

// check compares one view with llama-quantize's file.
func check(t *testing.T, bin string, m *model.Model, src []byte, precision, more string, flags ...string) {
	t.Helper()
	want, refused := llamaQuantize(t, bin, t.TempDir(), src, precision, flags...)
	files, err := Plan(m, precision+more)
	switch {
	case refused != "" && err == nil:
		t.Errorf("%s: llama-quantize refuses: %s", precision, refused)
	case refused != "":
	case err != nil:
		t.Errorf("%s: %v", precision, err)
	default:
		if got := bytesOf(t, files[0].File); files[0].File.Identical() != nil {
			if !bytes.Equal(got, src) || !slices.Equal(typesOf(t, src), typesOf(t, want)) {
				t.Errorf("%s: is the stored file", precision)
			}
		} else if d := difference(t, got, want); d != "" {
			t.Errorf("%s: %s", precision, d)
		}
	}
}

// TestRequantize: of blocks, other blocks, by the values that they mean.
func TestRequantize(t *testing.T) {
	bin := llama(t)
	c := made{arch: "llama", layers: 2, heads: 4, kv: 4, width: 512, count: 8, kind: ggml.F32}.content(t)
	_, src := stored(t, c, nil)
	for _, from := range []string{"Q8_0", "Q4_K_M", "Q2_K", "IQ4_NL"} {
		b, refused := llamaQuantize(t, bin, t.TempDir(), src, from)
		if refused != "" {
			t.Fatal(refused)
		}
		m, err := gguf.Read(ctx, folder{"m.gguf": file(b)}, "m.gguf")
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K_M", "Q6_K"} {
			check(t, bin, m, b, to, "", "--allow-requantize")
		}
	}
}

// TestImatrix: every type is weighed by the matrix that lies beside the model, in either of its forms.
func TestImatrix(t *testing.T) {
	bin := llama(t)
	for name, c := range map[string]struct {
		made made
		dat  bool
	}{
		"imatrix.gguf": {made{arch: "qwen2moe", layers: 9, heads: 8, kv: 2, experts: 4, shared: true, kind: ggml.BF16, count: 4}, false},
		"imatrix.dat":  {made{arch: "llama", layers: 9, heads: 4, kv: 4, width: 512, count: 8, kind: ggml.F16}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := c.made.content(t)
			x := importances(t, content, c.dat)
			m, src := stored(t, content, folder{name: file(x)})
			for _, precision := range append(slices.Clone(Precisions), More(m)...) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, name), x, 0o600); err != nil {
					t.Fatal(err)
				}
				want, refused := llamaQuantize(t, bin, dir, src, precision, "--imatrix", name)
				if refused != "" {
					t.Errorf("%s: llama-quantize refuses: %s", precision, refused)
					continue
				}
				files, err := Plan(m, precision)
				if err != nil {
					t.Errorf("%s: %v", precision, err)
					continue
				}
				if got := bytesOf(t, files[0].File); files[0].File.Identical() != nil {
					if !slices.Equal(typesOf(t, src), typesOf(t, want)) {
						t.Errorf("%s: is the stored file", precision)
					}
				} else if d := difference(t, got, want); d != "" {
					t.Errorf("%s: %s", precision, d)
				}
			}
		})
	}
}

// TestKnobs: llama-quantize's options.
func TestKnobs(t *testing.T) {
	bin := llama(t)
	c := made{arch: "llama", layers: 16, heads: 4, kv: 4, kind: ggml.F16, count: 2}.content(t)
	_, src := stored(t, c, nil)
	is := func(k ggml.Type) *ggml.Type { return &k }
	for name, o := range map[string]struct {
		knobs knobs
		flags []string
	}{
		"leave":       {knobs{leave: true}, []string{"--leave-output-tensor"}},
		"output":      {knobs{output: is(ggml.Q5_0)}, []string{"--output-tensor-type", "q5_0"}},
		"embeddings":  {knobs{embedding: is(ggml.Q8_0)}, []string{"--token-embedding-type", "q8_0"}},
		"tensors":     {knobs{tensors: []override{{regexp.MustCompile(`attn_v`), ggml.Q8_0}, {regexp.MustCompile(`blk\.[0-3]\.ffn_down`), ggml.F16}, {regexp.MustCompile(`.`), ggml.Q5_K}}}, []string{"--tensor-type", "attn_v=q8_0", "--tensor-type", `blk\.[0-3]\.ffn_down=f16`, "--tensor-type", ".=q5_k"}},
		"some, pure":  {knobs{pure: true, tensors: []override{{regexp.MustCompile(`^output`), ggml.Q8_0}}}, []string{"--pure", "--tensor-type", "^output=q8_0"}},
		"some counts": {knobs{tensors: []override{{regexp.MustCompile(`blk\.1\.`), ggml.Q8_0}}}, []string{"--tensor-type", `blk\.1\.=q8_0`}},
	} {
		for _, precision := range []string{"Q4_K_M", "Q3_K_M", "BF16"} {
			want, refused := llamaQuantize(t, bin, t.TempDir(), src, precision, o.flags...)
			if refused != "" {
				t.Fatal(refused)
			}
			f, _ := ftypeOf(precision)
			got, err := quantize(c, f, o.knobs, nil)
			if err != nil {
				t.Errorf("%s, %s: %v", name, precision, err)
				continue
			}
			file, err := got.File()
			if err != nil {
				t.Errorf("%s, %s: %v", name, precision, err)
				continue
			}
			if d := difference(t, bytesOf(t, file), want); d != "" {
				t.Errorf("%s, %s: %s", name, precision, d)
			}
		}
	}
}
