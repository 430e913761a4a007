package checkpoint

import (
	"regexp"
	"strconv"

	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// deepseeks have attention with compressed keys and values.
var deepseeks = []architecture{
	{
		classes: []string{"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "KimiVLForConditionalGeneration"}, name: "deepseek2",
		rows: rows(ends, layerNorms, gated, router, routed, []row{
			{from: "model.layers.*.self_attn.q_proj", to: "blk.*.attn_q"},
			{from: "model.layers.*.self_attn.q_a_proj", to: "blk.*.attn_q_a"},
			{from: "model.layers.*.self_attn.q_a_layernorm", to: "blk.*.attn_q_a_norm"},
			{from: "model.layers.*.self_attn.q_b_proj", to: "blk.*.attn_q_b"},
			{from: "model.layers.*.self_attn.kv_a_proj_with_mqa", to: "blk.*.attn_kv_a_mqa"},
			{from: "model.layers.*.self_attn.kv_a_layernorm", to: "blk.*.attn_kv_a_norm"},
			{from: "model.layers.*.self_attn.kv_b_proj", to: "blk.*.attn_k_b", do: []step{keysOf, transposed}},
			{from: "model.layers.*.self_attn.kv_b_proj", to: "blk.*.attn_v_b", do: []step{valuesOf}},
			{from: "model.layers.*.self_attn.o_proj", to: "blk.*.attn_output"},
			{from: "model.layers.*.mlp.gate.e_score_correction", to: "blk.*.exp_probs_b"},
			{from: "model.layers.*.mlp.shared_experts.gate_proj", to: "blk.*.ffn_gate_shexp"},
			{from: "model.layers.*.mlp.shared_experts.up_proj", to: "blk.*.ffn_up_shexp"},
			{from: "model.layers.*.mlp.shared_experts.down_proj", to: "blk.*.ffn_down_shexp"},
		}),
		skip: (*converter).beyond, keys: (*converter).deepseekKeys,
	},
}

var layerOf = regexp.MustCompile(`^model.layers.(\d+)`)

// beyond reports whether a tensor is of the layers behind the last, which predict further tokens, or a head that is the
// embedding.
func (c *converter) beyond(name string) bool {
	if hf.True(c.h.Value("tie_word_embeddings")) && (name == "lm_head.weight" || name == "model.lm_head.weight") {
		return true
	}
	m := layerOf.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return err == nil && n >= c.blocks
}

// heads is a projection of compressed keys and values as one matrix a head: the first rows of each make its key, the
// others its value.
func (c *converter) heads(t tensor) (tensor, int64, int64, error) {
	heads, err := c.whole("num_key_value_heads")
	if err != nil {
		return t, 0, 0, err
	}
	values, err := c.whole("v_head_dim")
	if err != nil {
		return t, 0, 0, err
	}
	keys, err := c.whole("qk_nope_head_dim")
	if err != nil {
		return t, 0, 0, err
	}
	if len(t.shape) != 2 || heads < 1 || t.shape[0] != heads*(keys+values) {
		return t, 0, 0, t.wrongShape("%d heads with keys of %d and values of %d", heads, keys, values)
	}
	t.shape = []int64{heads, keys + values, t.shape[1]}
	return t, keys, values, nil
}

func keysOf(c *converter, t tensor) (tensor, error) {
	t, keys, _, err := c.heads(t)
	if err != nil {
		return t, err
	}
	return t.rows(1, 0, keys, 1)
}

func valuesOf(c *converter, t tensor) (tensor, error) {
	t, keys, values, err := c.heads(t)
	if err != nil {
		return t, err
	}
	return t.rows(1, keys, values, 1)
}

func (c *converter) deepseekKeys() error {
	c.h = withValues(c.h, map[string]any{"num_key_value_heads": int64(1)}) // all heads have the compressed ones
	c.h.Default("rms_norm_eps", 1e-6)
	if err := c.usual(); err != nil {
		return err
	}
	h := c.h.Clone()
	h.Default("kv_lora_rank", int64(512))
	h.Default("n_shared_experts", int64(0))
	if h.Value("first_k_dense_replace") == nil {
		dense := int64(0)
		if h.Value("n_routed_experts") == nil {
			dense = c.blocks
		}
		h.Set("first_k_dense_replace", dense)
	}
	c.h = h
	rank, err := c.whole("kv_lora_rank")
	if err != nil {
		return err
	}
	rotated, err := c.whole("qk_rope_head_dim")
	if err != nil {
		return err
	}
	keys, err := c.whole("qk_nope_head_dim")
	if err != nil {
		return err
	}
	c.h = withValues(c.h, map[string]any{"key": rank + rotated, "mla": keys + rotated})
	if !hf.True(c.h.Value("norm_topk_prob")) {
		c.h.Set("norm_topk_prob", nil)
	}
	if err := c.all([]putting{
		{name: "leading_dense_block_count", from: []string{"first_k_dense_replace"}, put: putUint, must: true},
		{name: "vocab_size", from: []string{"vocab_size"}, put: putUint, must: true},
		{name: "attention.q_lora_rank", from: []string{"q_lora_rank"}, put: putUint},
		{name: "attention.kv_lora_rank", from: []string{"kv_lora_rank"}, put: putUint, must: true},
		{name: "attention.key_length", from: []string{"key"}, put: putUint, must: true},
		{name: "attention.value_length", from: []string{"kv_lora_rank"}, put: putUint, must: true},
		{name: "attention.key_length_mla", from: []string{"mla"}, put: putUint, must: true},
		{name: "attention.value_length_mla", from: []string{"v_head_dim"}, put: putUint, must: true},
		{name: "expert_feed_forward_length", from: []string{"moe_intermediate_size", "intermediate_size"}, put: putUints, must: true},
		{name: "expert_count", from: []string{"n_routed_experts"}, put: putUint},
		{name: "expert_shared_count", from: []string{"n_shared_experts"}, put: putUint, must: true},
		{name: "expert_weights_scale", from: []string{"routed_scaling_factor"}, put: putFloat},
		{name: "expert_weights_norm", from: []string{"norm_topk_prob"}, put: putBool},
		{name: "rope.dimension_count", from: []string{"qk_rope_head_dim"}, put: putUint, must: true},
	}); err != nil {
		return err
	}
	if v := c.rope.Value("mscale_all_dim"); v != nil {
		f, ok := hf.Float(v)
		if !ok {
			return fault.New(fault.Malformed, "config.json gives %s for mscale_all_dim", shown(v))
		}
		return c.float("rope.scaling.yarn_log_multiplier", 0.1*f)
	}
	return nil
}
