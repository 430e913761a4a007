package checkpoint

import "slices"

// architectures are those that are known.
var architectures = slices.Concat(llamas, qwens, gemmas, phis, deepseeks, berts, others)

// Steps that several tables have.
var (
	queryHeads = []step{permuted("n_heads", "num_attention_heads")}
	keyHeads   = []step{permuted("n_kv_heads", "num_key_value_heads", "n_heads", "num_attention_heads")}
	shifted    = []step{plusOne}
)

// Rows that most decoders of the last years have, under the names that LLaMA gave them.
var (
	ends = []row{
		{from: "model.embed_tokens", to: "token_embd"},
		{from: "model.norm", to: "output_norm"},
		{from: "lm_head", to: "output"},
	}
	attention = []row{
		{from: "model.layers.*.self_attn.q_proj", to: "blk.*.attn_q"},
		{from: "model.layers.*.self_attn.k_proj", to: "blk.*.attn_k"},
		{from: "model.layers.*.self_attn.v_proj", to: "blk.*.attn_v"},
		{from: "model.layers.*.self_attn.o_proj", to: "blk.*.attn_output"},
	}
	attentionNorms = []row{
		{from: "model.layers.*.self_attn.q_norm", to: "blk.*.attn_q_norm"},
		{from: "model.layers.*.self_attn.k_norm", to: "blk.*.attn_k_norm"},
	}
	layerNorms = []row{
		{from: "model.layers.*.input_layernorm", to: "blk.*.attn_norm"},
		{from: "model.layers.*.post_attention_layernorm", to: "blk.*.ffn_norm"},
	}
	gated = []row{
		{from: "model.layers.*.mlp.gate_proj", to: "blk.*.ffn_gate"},
		{from: "model.layers.*.mlp.up_proj", to: "blk.*.ffn_up"},
		{from: "model.layers.*.mlp.down_proj", to: "blk.*.ffn_down"},
	}
	router = []row{{from: "model.layers.*.mlp.gate", to: "blk.*.ffn_gate_inp"}}
	routed = []row{
		{from: "model.layers.*.mlp.experts.#.down_proj", to: "blk.*.ffn_down_exps"},
		{from: "model.layers.*.mlp.experts.#.gate_proj", to: "blk.*.ffn_gate_exps"},
		{from: "model.layers.*.mlp.experts.#.up_proj", to: "blk.*.ffn_up_exps"},
	}
	// rotated is attention with the rows of heads in llama.cpp's order.
	rotated = []row{
		{from: "model.layers.*.self_attn.q_proj", to: "blk.*.attn_q", do: queryHeads},
		{from: "model.layers.*.self_attn.k_proj", to: "blk.*.attn_k", do: keyHeads},
		{from: "model.layers.*.self_attn.v_proj", to: "blk.*.attn_v"},
		{from: "model.layers.*.self_attn.o_proj", to: "blk.*.attn_output"},
	}
)

// doing is rows with steps for all of them.
func doing(steps []step, rows ...row) []row {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].do = steps
	}
	return rows
}
