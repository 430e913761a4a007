package tree

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTellers: what each kind of file beside a model tells, and under which name.
func TestTellers(t *testing.T) {
	files := map[string]string{
		"m/v1/model.onnx": "meta license=mit\nmeta author=somebody\nmeta imgsz=[640, 640]\n" + chooses,
		"m/v1/model.safetensors": "meta format=pt\nmeta epoch=12\nmeta global_step=4000\nmeta pytorch-lightning_version=2.2.1\nmeta hyper_parameters.lr=0.001\nmeta hyper_parameters.optim.name=adam\nmeta args.arch=resnet50\n" +
			"meta args.batch_size=32\nmeta ss_learning_rate=1e-4\nmeta modelspec.title=T\nmeta general.license=apache-2.0\nmeta general.base_model.0.name=Parent\n" + small,
		"m/v1/config.json":                       `{"model_type": "bert", "hidden_size": 16, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "_name_or_path": "org/base", "dropout": null}`,
		"m/v1/generation_config.json":            `{"temperature": 0.6, "transformers_version": "4.41"}`,
		"m/v1/tokenizer_config.json":             `{"tokenizer_class": "BertTokenizer", "model_max_length": 512, "added_tokens_decoder": {"0": "` + strings.Repeat("x", 400) + `"}}`,
		"m/v1/preprocessor_config.json":          `{"image_mean": [0.5, 0.5, 0.5]}`,
		"m/v1/adapter_config.json":               `{"base_model_name_or_path": "org/big", "r": 8, "task_type": "CAUSAL_LM"}`,
		"m/v1/config_sentence_transformers.json": `{"__version__": {"sentence_transformers": "2.2", "pytorch": "2.1"}, "similarity_fn_name": "cosine"}`,
		"m/v1/trainer_state.json":                `{"epoch": 3.0, "global_step": 900, "best_metric": 0.91, "log_history": [` + strings.Repeat(`{"loss": 1},`, 100) + `{"loss": 0.5}]}`,
		"m/v1/eval_results.json":                 `{"eval_accuracy": 0.93}`,
		"m/v1/hparams.yaml":                      "lr: 0.01\noptimizer:\n  name: sgd\n  betas: [0.9, 0.99]\nlayers:\n- 3\n- 4\nfn: !!python/object/apply:os.system [x]\n",
		"m/v1/conda.yaml":                        "channels:\n- conda-forge\ndependencies:\n- python=3.11\n- pip:\n  - mlflow==2.9\n  - torch\n",
		"m/v1/python_env.yaml":                   "python: 3.11.4\nbuild_dependencies:\n- pip==23\ndependencies:\n- -r requirements.txt\n",
		"m/v1/MLmodel":                           "flavors:\n  pytorch:\n    model_data: data\n    pytorch_version: 2.1.0\n  python_function:\n    loader_module: mlflow.pytorch\nmlflow_version: 2.9.2\nrun_id: abc\nsignature:\n  inputs: '[{\"type\": \"tensor\"}]'\n",
		"m/v1/CITATION.cff":                      "cff-version: 1.2.0\ntitle: A network\ndoi: 10.1/2\n",
		"m/v1/LICENSE":                           "\n   ==========\n                              Apache License\n   Version 2.0\n",
		"m/v1/broken/config.json":                `{"hidden_size": `,
		"m/v1/list/config.json":                  `[1, 2]`,
	}
	tr, _ := makeTree(t, files)
	var got struct{ Facts []fact }
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/metadata.json")), &got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []fact{
		{"licence", "mit", "source/model.onnx, its metadata"},
		{"author", "somebody", "source/model.onnx, its metadata"},
		{"metadata imgsz", "[640, 640]", "source/model.onnx, its metadata"},
		{"framework", "pt", "source/model.safetensors, its metadata"},
		{"framework", "pytorch-lightning 2.2.1", "source/model.safetensors, its metadata"},
		{"training epoch", "12", "source/model.safetensors, its metadata"},
		{"training global_step", "4000", "source/model.safetensors, its metadata"},
		{"hyper-parameter lr", "0.001", "source/model.safetensors, its metadata"},
		{"hyper-parameter optim.name", "adam", "source/model.safetensors, its metadata"},
		{"architecture", "resnet50", "source/model.safetensors, its metadata"},
		{"hyper-parameter batch_size", "32", "source/model.safetensors, its metadata"},
		{"hyper-parameter learning_rate", "1e-4", "source/model.safetensors, its metadata"},
		{"metadata modelspec.title", "T", "source/model.safetensors, its metadata"},
		{"licence", "apache-2.0", "source/model.safetensors, its metadata"},
		{"base model", "Parent", "source/model.safetensors, its metadata"},
		{"architecture", "bert", "source/config.json"},
		{"hyper-parameter hidden_size", "16", "source/config.json"},
		{"trained in", "bfloat16", "source/config.json"},
		{"framework", "transformers 4.40.1", "source/config.json"},
		{"base model", "org/base", "source/config.json"},
		{"generation temperature", "0.6", "source/generation_config.json"},
		{"framework", "transformers 4.41", "source/generation_config.json"},
		{"tokenizer", "BertTokenizer", "source/tokenizer_config.json"},
		{"tokenizer model_max_length", "512", "source/tokenizer_config.json"},
		{"preprocessing image_mean", "[0.5,0.5,0.5]", "source/preprocessor_config.json"},
		{"base model", "org/big", "source/adapter_config.json"},
		{"task", "CAUSAL_LM", "source/adapter_config.json"},
		{"framework", "sentence_transformers 2.2", "source/config_sentence_transformers.json"},
		{"hyper-parameter similarity_fn_name", "cosine", "source/config_sentence_transformers.json"},
		{"training epoch", "3.0", "source/trainer_state.json"},
		{"training best_metric", "0.91", "source/trainer_state.json"},
		{"metric eval_accuracy", "0.93", "source/eval_results.json"},
		{"hyper-parameter lr", "0.01", "source/hparams.yaml"},
		{"hyper-parameter optimizer.name", "sgd", "source/hparams.yaml"},
		{"hyper-parameter optimizer.betas", "0.9, 0.99", "source/hparams.yaml"},
		{"hyper-parameter layers", "3, 4", "source/hparams.yaml"},
		{"requirement", "python=3.11", "source/conda.yaml"},
		{"requirement", "mlflow==2.9", "source/conda.yaml"},
		{"requirement", "python 3.11.4", "source/python_env.yaml"},
		{"framework", "mlflow 2.9.2", "source/MLmodel"},
		{"framework", "pytorch 2.1.0", "source/MLmodel"},
		{"inputs", `[{"type": "tensor"}]`, "source/MLmodel"},
		{"citation doi", "10.1/2", "source/CITATION.cff"},
		{"licence text", "Apache License", "source/LICENSE"},
	} {
		if !slices.Contains(got.Facts, want) {
			t.Errorf("not told: %+v", want)
		}
	}
	for _, f := range got.Facts {
		if strings.Contains(f.Name, "log_history") || strings.Contains(f.Name, "added_tokens") || strings.Contains(f.Name, "dropout") || strings.Contains(f.From, "broken") {
			t.Errorf("told: %+v", f)
		}
	}
}

// TestFactsAreBounded: a version of many talkative files says no more than a page.
func TestFactsAreBounded(t *testing.T) {
	files := map[string]string{"m/v1/model.safetensors": small}
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, "%q: %d, ", fmt.Sprint("key", i), i)
	}
	for i := range 50 {
		files[fmt.Sprintf("m/v1/%d/config.json", i)] = "{" + many.String() + `"long": "` + strings.Repeat("é", 100) + `"}`
	}
	tr, _ := makeTree(t, files)
	var got struct{ Facts []fact }
	if err := json.Unmarshal([]byte(text(t, tr, "m/v1/metadata.json")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Facts) != maxFacts {
		t.Errorf("%d facts", len(got.Facts))
	}
}
