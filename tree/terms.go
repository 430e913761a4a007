package tree

import (
	"regexp"
	"strings"
)

// terms are the keys that files have for what is told under one name whatever the file.
var terms = map[string]string{
	"license": "licence", "licence": "licence", "license_name": "licence", "general.license": "licence", "general.license.name": "licence", "modelspec.license": "licence",
	"license_link": "licence text", "general.license.link": "licence text",
	"architectures": "architecture", "model_type": "architecture", "_class_name": "architecture", "general.architecture": "architecture", "modelspec.architecture": "architecture", "arch": "architecture",
	"torch_dtype": "trained in", "dtype": "trained in",
	"_name_or_path": "base model", "base_model": "base model", "base_model_name_or_path": "base model", "ss_sd_model_name": "base model", "ss_base_model_version": "base model",
	"author": "author", "general.author": "author", "general.organization": "author", "modelspec.author": "author",
	"description": "description", "doc_string": "description", "general.description": "description", "modelspec.description": "description",
	"general.languages": "language", "general.tags": "tag", "pipeline_tag": "task", "task": "task", "task_type": "task",
	"dataset": "dataset", "datasets": "dataset", "general.datasets": "dataset", "ss_dataset_dirs": "dataset", "dataset_name": "dataset",
	"quantize.imatrix.dataset": "calibration dataset", "quantize.imatrix.file": "calibration file",
	"tokenizer_class": "tokenizer", "tokenizer.ggml.model": "tokenizer",
}

// programs are those whose version stands under NAME_version, and what they are called.
var programs = map[string]string{
	"transformers": "transformers", "_diffusers": "diffusers", "diffusers": "diffusers", "torch": "torch", "pytorch": "torch", "pytorch-lightning": "pytorch-lightning",
	"pytorch_lightning": "pytorch-lightning", "lightning": "lightning", "timm": "timm", "keras": "keras", "tensorflow": "tensorflow", "tf": "tensorflow", "nemo": "nemo",
	"fairseq": "fairseq", "ultralytics": "ultralytics", "mlflow": "mlflow", "peft": "peft", "sentence_transformers": "sentence-transformers", "onnx": "onnx", "jax": "jax",
	"flax": "flax", "numpy": "numpy", "python": "python", "cuda": "cuda", "modelopt": "modelopt", "producer": "",
}

// nested are the prefixes under which a checkpoint keeps what it was trained with, and what that is.
var nested = []struct{ prefix, name string }{
	{"hyper_parameters.", "hyper-parameter "}, {"datamodule_hyper_parameters.", "hyper-parameter data."}, {"hparams.", "hyper-parameter "}, {"train_args.", "hyper-parameter "},
	{"args.", "hyper-parameter "}, {"cfg.", "hyper-parameter "}, {"opt.", "hyper-parameter "}, {"ss_", "hyper-parameter "}, {"train_metrics.", "metric "}, {"metrics.", "metric "},
}

// progress are the keys of how far a training went.
var progress = map[string]bool{
	"epoch": true, "global_step": true, "step": true, "steps": true, "iteration": true, "iterations": true, "iter": true, "num_updates": true, "best_fitness": true, "best_acc1": true, "best_acc": true,
	"best_loss": true, "best_metric": true, "best_epoch": true, "loss": true, "val_loss": true, "date": true,
}

// numberedTerm is a key of GGUF that stands once for each parent or data set of a model.
var numberedTerm = regexp.MustCompile(`^general\.(base_model|dataset)\.\d+\.(name|repo_url|url)$`)

// term is the name and the value of what a key says; "" where the key has no name of its own.
func term(key, value string) (string, string) {
	lower := strings.ToLower(key)
	if name := terms[lower]; name != "" {
		return name, value
	}
	if program, ok := strings.CutSuffix(lower, "_version"); ok && programs[program] != "" {
		return "framework", programs[program] + " " + value
	}
	if m := numberedTerm.FindStringSubmatch(lower); m != nil {
		return strings.ReplaceAll(m[1], "_", " "), value
	}
	return "", value
}

// metadata adds what a model file's own metadata says under a key.
func (g *gathering) metadata(key string, all map[string]string) {
	value := all[key]
	name, value := term(key, value)
	lower := strings.ToLower(key)
	switch {
	case name != "":
	case lower == "format": // of safetensors: pt, tf, flax, mlx
		name = "framework"
	case lower == "producer_name":
		name, value = "framework", strings.TrimSpace(value+" "+all["producer_version"])
	case lower == "producer_version" && all["producer_name"] != "":
		return
	case progress[lower]:
		name = "training " + key
	default:
		name = "metadata " + key
		for _, n := range nested {
			if rest, ok := strings.CutPrefix(key, n.prefix); ok && rest != "" {
				name = n.name + rest
				if own, v := term(rest, value); own != "" {
					name, value = own, v
				}
				break
			}
		}
	}
	g.add(name, value)
}
