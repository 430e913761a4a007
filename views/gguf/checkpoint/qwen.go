package checkpoint

import (
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// qwens are Alibaba's.
var qwens = []architecture{
	{
		classes: []string{"Qwen2ForCausalLM", "Qwen2Model"}, name: "qwen2", rows: rows(ends, attention, layerNorms, gated),
		rename: withModel, keys: (*converter).qwenKeys, tokens: (*converter).qwenTokens,
	},
	{
		classes: []string{"Qwen3ForCausalLM", "Qwen3Model"}, name: "qwen3", rows: rows(ends, attention, attentionNorms, layerNorms, gated),
		rename: withModel, prepare: noReranker, keys: (*converter).qwenKeys, tokens: (*converter).qwenTokens,
	},
	{
		classes: []string{"Qwen2MoeForCausalLM"}, name: "qwen2moe",
		rows: rows(ends, attention, layerNorms, gated, router, routed, fusedExperts, []row{
			{from: "model.layers.*.mlp.shared_expert_gate", to: "blk.*.ffn_gate_inp_shexp"},
			{from: "model.layers.*.mlp.shared_expert.gate_proj", to: "blk.*.ffn_gate_shexp"},
			{from: "model.layers.*.mlp.shared_expert.up_proj", to: "blk.*.ffn_up_shexp"},
			{from: "model.layers.*.mlp.shared_expert.down_proj", to: "blk.*.ffn_down_shexp"},
		}),
		keys: (*converter).qwenMoeKeys,
	},
	{
		classes: []string{"Qwen3MoeForCausalLM"}, name: "qwen3moe",
		rows: rows(ends, attention, attentionNorms, layerNorms, gated, router, routed, fusedExperts), keys: (*converter).qwenMoeKeys,
	},
}

// fusedExperts are those of all experts in one tensor, gate and up one behind the other.
var fusedExperts = []row{
	{from: "model.layers.*.mlp.experts.down_proj", to: "blk.*.ffn_down_exps", do: []step{asWeight}},
	{from: "model.layers.*.mlp.experts.gate_up_proj", to: "blk.*.ffn_gate_exps", do: []step{half(-2, 0), asWeight}},
	{from: "model.layers.*.mlp.experts.gate_up_proj", to: "blk.*.ffn_up_exps", do: []step{half(-2, 1), asWeight}},
}

func (c *converter) qwenKeys() error {
	if err := c.usual(); err != nil {
		return err
	}
	return c.pooling()
}

func (c *converter) qwenMoeKeys() error {
	if err := c.usual(); err != nil {
		return err
	}
	return c.all([]putting{
		{name: "expert_feed_forward_length", from: []string{"moe_intermediate_size"}, put: putUints},
		{name: "expert_shared_feed_forward_length", from: []string{"shared_expert_intermediate_size"}, put: putUint},
	})
}

func (c *converter) qwenTokens() error {
	done, err := c.sentencePiece(false)
	if err == nil && !done {
		err = c.bpe()
	}
	return err
}

// withModel gives names their beginning where the model was saved without its head, and so without it.
func withModel(name string) string {
	if strings.HasPrefix(name, "model.") || strings.HasPrefix(name, "lm_head.") || strings.HasPrefix(name, "language_model.") {
		return name
	}
	return "model." + name
}

// asWeight gives a tensor the ending that some checkpoints do without.
func asWeight(_ *converter, t tensor) (tensor, error) {
	t.name = strings.TrimSuffix(t.name, ".weight") + ".weight"
	return t, nil
}

// noReranker refuses models that judge documents with two tokens of their vocabulary.
func noReranker(c *converter) error {
	for _, hint := range []string{c.folder.Name, c.h.Text("_name_or_path"), c.class} {
		if hint = strings.ToLower(hint); strings.Contains(hint, "qwen3-reranker") || strings.Contains(hint, "qwen3-vl-reranker") || strings.Contains(hint, "sequenceclassification") {
			return fault.New(fault.Unsupported, "rerankers are not converted to GGUF here")
		}
	}
	return nil
}
