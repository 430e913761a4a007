package tree

import "testing"

func TestPrecisionName(t *testing.T) {
	weights := []string{"fp32", "fp16", "bf16", "int8"}
	gguf := []string{"F32", "F16", "BF16", "Q8_0", "Q4_K_M"}
	for _, c := range []struct {
		name string
		of   []string
		want string // "" for none
	}{
		{"fp16", weights, "fp16"}, {"FP16", weights, "fp16"}, {"half", weights, "fp16"}, {"f16", weights, "fp16"}, {"Float16", weights, "fp16"},
		{"f32", weights, "fp32"}, {"float", weights, "fp32"}, {"FP32", weights, "fp32"}, {"single", weights, "fp32"},
		{"BF16", weights, "bf16"}, {"bfloat16", weights, "bf16"}, {"i8", weights, "int8"}, {"INT8", weights, "int8"},
		{"q4_k_m", gguf, "Q4_K_M"}, {"q8_0", gguf, "Q8_0"}, {"f16", gguf, "F16"}, {"half", gguf, "F16"}, {"fp16", gguf, "F16"}, {"F16", gguf, "F16"},
		{"fp16-merged", weights, "fp16-merged"}, {"half-merged", weights, "fp16-merged"}, {"FP16-Sparse50-opset13", weights, "fp16-sparse50-opset13"},
		{"fp99", weights, ""}, {"", weights, ""}, {"-merged", weights, ""}, {"fp16-", weights, ""}, {"fp 16", weights, ""}, {"fp64", weights, ""}, {"fp99-merged", weights, ""},
	} {
		got, ok := precisionName(c.name, c.of)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q: %q %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func TestLabel(t *testing.T) {
	for _, c := range []struct{ stem, base, label string }{
		{"model", "model", ""}, {"model_fp16", "model", "fp16"}, {"model.fp16", "model", "fp16"}, {"model-bf16", "model", "bf16"}, {"model_INT8", "model", "int8"},
		{"diffusion_pytorch_model.fp16", "diffusion_pytorch_model", "fp16"}, {"model_float16", "model", "fp16"}, {"model_f32", "model", "fp32"},
		{"the-other-half", "the-other-half", ""}, {"fp16", "fp16", ""}, {"_fp16", "_fp16", ""}, {"model_", "model_", ""}, {"model_fp17", "model_fp17", ""}, {"model_single", "model_single", ""},
		{"Model-1B-Q4_K_M", "Model-1B", "Q4_K_M"}, {"model.q4_k_m", "model", "Q4_K_M"}, {"Q4_K_M", "Q4_K_M", ""}, {"model-XQ4_K_M", "model-XQ4_K_M", ""}, {"m_iq4_xs", "m", "IQ4_XS"},
	} {
		if base, l := label(c.stem, []string{"Q4_K_M", "IQ4_XS"}); base != c.base || l != c.label {
			t.Errorf("%s: %s %s, want %s %s", c.stem, base, l, c.base, c.label)
		}
	}
}

func TestVersionName(t *testing.T) {
	plain := []string{"v1", "v2", "v10"}
	semver := []string{"1.2.0", "1.2.3-rc1", "1.2.3", "1.2.4-rc1", "1.10.0", "2.0.0-beta", "2.0.0-beta.2"}
	both := []string{"1.0.0", "v1", "2"}
	for _, c := range []struct {
		name string
		of   []string
		want string
	}{
		{"3", plain, ""}, {"10", plain, "v10"}, {"1", plain, "v1"}, {"V2", plain, "v2"}, {"1.0", plain, ""}, {"", plain, ""}, {"v", plain, ""}, {"latest", plain, ""},
		{"1.2", semver, "1.2.3"}, {"v1.2", semver, "1.2.3"}, {"1", semver, "1.10.0"}, {"2", semver, "2.0.0-beta.2"}, {"1.3", semver, ""}, {"1.2.3", semver, "1.2.3"}, {"v1.10.0", semver, "1.10.0"}, {"1.2.", semver, ""},
		{"1", both, "v1"}, {"v2", both, "2"}, {"1.0", both, "1.0.0"},
	} {
		got, ok := versionName(c.name, c.of)
		if ok != (c.want != "") || got != c.want {
			t.Errorf("%q: %q %v, want %q", c.name, got, ok, c.want)
		}
	}
}

func TestNewest(t *testing.T) {
	got := newest([]string{"1.0.0", "2.0.0-rc1", "2.0.0", "3.0.0-beta", "3.1.0-beta"})
	want := []string{"2.0.0", "1.0.0", "3.1.0-beta", "3.0.0-beta", "2.0.0-rc1"}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	for v, want := range map[string]bool{"v3-rc1": true, "1.0-1": true, "2026-05-01": false, "step-1000": false, "checkpoint-5": false, "v3": false, "main": false} {
		if early(v) != want {
			t.Errorf("early(%s) = %v", v, !want)
		}
	}
}

func TestNear(t *testing.T) {
	names := []string{"resnet50", "bert-base", "m", "layer.weight"}
	for name, want := range map[string]string{"resnet5": "resnet50", "Resnet50": "resnet50", "bert_base": "bert-base", "layer.wieght": "layer.weight", "gpt2": "", "x": "m", "mm": "m", "": "m"} {
		if got := near(name, names); got != want {
			t.Errorf("near(%q) = %q, want %q", name, got, want)
		}
	}
}
