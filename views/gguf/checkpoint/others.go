package checkpoint

import (
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// others are families of one or two.
var others = []architecture{
	{
		classes: []string{"GptOssForCausalLM"}, name: "gpt-oss",
		rows: rows(ends, attention, []row{
			{from: "model.layers.*.input_layernorm", to: "blk.*.attn_norm"},
			{from: "model.layers.*.post_attention_layernorm", to: "blk.*.post_attention_norm"},
			{from: "model.layers.*.self_attn.sinks", to: "blk.*.attn_sinks", do: []step{asWeight}},
			{from: "model.layers.*.mlp.router", to: "blk.*.ffn_gate_inp"},
			{from: "model.layers.*.mlp.experts.down_proj", to: "blk.*.ffn_down_exps", do: []step{transposed, asWeight}},
			{from: "model.layers.*.mlp.experts.down_proj_bias", to: "blk.*.ffn_down_exps", do: []step{asBias}},
			{from: "model.layers.*.mlp.experts.gate_up_proj", to: "blk.*.ffn_gate_exps", do: []step{transposed, alternate(1, 0), asWeight}},
			{from: "model.layers.*.mlp.experts.gate_up_proj", to: "blk.*.ffn_up_exps", do: []step{transposed, alternate(1, 1), asWeight}},
			{from: "model.layers.*.mlp.experts.gate_up_proj_bias", to: "blk.*.ffn_gate_exps", do: []step{alternate(-1, 0), asBias}},
			{from: "model.layers.*.mlp.experts.gate_up_proj_bias", to: "blk.*.ffn_up_exps", do: []step{alternate(-1, 1), asBias}},
		}),
		extra: (*converter).packedExperts,
		keys: func(c *converter) error {
			if err := c.usual(); err != nil {
				return err
			}
			return c.all([]putting{
				{name: "attention.sliding_window", from: []string{"sliding_window"}, put: putUint, must: true},
				{name: "expert_feed_forward_length", from: []string{"intermediate_size"}, put: putUints, must: true},
			})
		},
	},
	{
		classes: []string{"OlmoForCausalLM", "OLMoForCausalLM"}, name: "olmo", rows: rows(ends, rotated, gated),
		keys: func(c *converter) error {
			if err := c.usual(); err != nil {
				return err
			}
			if err := c.float("attention.layer_norm_epsilon", 1e-5); err != nil {
				return err
			}
			return c.all([]putting{{name: "attention.clamp_kqv", from: []string{"clip_qkv"}, put: putFloat}})
		},
	},
	{
		classes: []string{"Olmo2ForCausalLM"}, name: "olmo2",
		rows: rows(ends, attention, attentionNorms, gated, []row{
			{from: "model.layers.*.post_attention_layernorm", to: "blk.*.post_attention_norm"},
			{from: "model.layers.*.post_feedforward_layernorm", to: "blk.*.post_ffw_norm"},
		}),
	},
	{
		classes: []string{"CohereForCausalLM"}, name: "command-r",
		rows: rows(ends, attention, attentionNorms, gated, []row{{from: "model.layers.*.input_layernorm", to: "blk.*.attn_norm"}}),
		prepare: func(c *converter) error { // the model was trained with longer contexts than max_position_embeddings says
			if v := c.find("model_max_length", "max_position_embeddings"); v != nil {
				c.h = withValues(c.h, map[string]any{"max_position_embeddings": v})
			}
			return nil
		},
		keys: func(c *converter) error {
			if err := c.usual(); err != nil {
				return err
			}
			c.word("rope.scaling.type", "none")
			return c.all([]putting{{name: "logit_scale", from: []string{"logit_scale"}, put: putFloat, must: true}})
		},
	},
	{
		classes: []string{"Starcoder2ForCausalLM"}, name: "starcoder2",
		rows: rows(ends, attention, layerNorms, []row{{from: "model.layers.*.mlp.c_fc", to: "blk.*.ffn_up"}, {from: "model.layers.*.mlp.c_proj", to: "blk.*.ffn_down"}}),
	},
	{
		classes: []string{"StableLmForCausalLM", "StableLMEpochForCausalLM"}, name: "stablelm", rows: rows(ends, attention, layerNorms, gated),
		keys: func(c *converter) error {
			part, ok := hf.Float(c.rope.Value("partial_rotary_factor"))
			if !ok {
				return fault.New(fault.Missing, "config.json does not say partial_rotary_factor")
			}
			if err := c.rotated(part); err != nil {
				return err
			}
			return c.all2([]putting{
				{name: "context_length", from: []string{"max_position_embeddings"}, put: putUint, must: true},
				{name: "embedding_length", from: []string{"hidden_size"}, put: putUint, must: true},
				{name: "feed_forward_length", from: []string{"intermediate_size"}, put: putUints, must: true},
				{name: "rope.dimension_count", from: []string{"dims"}, put: putUint, must: true},
				{name: "attention.head_count", from: []string{"num_attention_heads"}, put: putUints, must: true},
				{name: "attention.head_count_kv", from: []string{"num_key_value_heads"}, put: putUints, must: true},
				{name: "use_parallel_residual", from: []string{"use_parallel_residual"}, put: putBool, must: true},
				{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_eps", "norm_eps"}, put: putFloat, must: true},
			})
		},
	},
	{
		classes: []string{"FalconForCausalLM", "RWForCausalLM"}, name: "falcon",
		rows: []row{
			{from: "transformer.word_embeddings", to: "token_embd"}, {from: "transformer.ln_f", to: "output_norm"}, {from: "lm_head", to: "output"},
			{from: "transformer.h.*.input_layernorm", to: "blk.*.attn_norm"}, {from: "transformer.h.*.ln_mlp", to: "blk.*.attn_norm"}, {from: "transformer.h.*.ln_attn", to: "blk.*.attn_norm_2"},
			{from: "transformer.h.*.self_attention.query_key_value", to: "blk.*.attn_qkv", do: []step{ungrouped}},
			{from: "transformer.h.*.self_attention.dense", to: "blk.*.attn_output"},
			{from: "transformer.h.*.mlp.dense_h_to_4h", to: "blk.*.ffn_up"}, {from: "transformer.h.*.mlp.dense_4h_to_h", to: "blk.*.ffn_down"},
		},
		prepare: falconHeads,
		keys: func(c *converter) error {
			width, err := c.whole("hidden_size")
			if err != nil {
				return err
			}
			c.h = withValues(c.h, map[string]any{"feed": 4 * width, "context": int64(2048)})
			c.word("tensor_data_layout", "jploski")
			return c.all2([]putting{
				{name: "context_length", from: []string{"context"}, put: putUint, must: true},
				{name: "embedding_length", from: []string{"hidden_size"}, put: putUint, must: true},
				{name: "feed_forward_length", from: []string{"feed"}, put: putUint, must: true},
				{name: "attention.head_count", from: []string{"heads"}, put: putUint, must: true},
				{name: "attention.head_count_kv", from: []string{"heads_kv"}, put: putUint, must: true},
				{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_epsilon"}, put: putFloat, must: true},
			})
		},
	},
	{
		classes: []string{"GPT2LMHeadModel"}, name: "gpt2", strip: []string{"transformer."}, drop: []string{"*.attn.bias", "*.attn.masked_bias"},
		rows: []row{
			{from: "wte", to: "token_embd"}, {from: "wpe", to: "position_embd"}, {from: "ln_f", to: "output_norm"}, {from: "lm_head", to: "output"},
			{from: "h.*.ln_1", to: "blk.*.attn_norm"}, {from: "h.*.ln_2", to: "blk.*.ffn_norm"},
			{from: "h.*.attn.c_attn", to: "blk.*.attn_qkv", do: []step{unconv}}, {from: "h.*.attn.c_proj", to: "blk.*.attn_output", do: []step{unconv}},
			{from: "h.*.mlp.c_fc", to: "blk.*.ffn_up", do: []step{unconv}}, {from: "h.*.mlp.c_proj", to: "blk.*.ffn_down", do: []step{unconv}},
		},
		keys: func(c *converter) error {
			width, err := c.whole("n_embd")
			if err != nil {
				return err
			}
			c.h = withValues(c.h, map[string]any{"feed": 4 * width})
			return c.all2([]putting{
				{name: "context_length", from: []string{"n_ctx", "n_positions"}, put: putUint, must: true},
				{name: "embedding_length", from: []string{"n_embd"}, put: putUint, must: true},
				{name: "feed_forward_length", from: []string{"feed"}, put: putUint, must: true},
				{name: "attention.head_count", from: []string{"n_head"}, put: putUint, must: true},
				{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_epsilon"}, put: putFloat, must: true},
			})
		},
	},
	{
		classes: []string{"GPTNeoXForCausalLM"}, name: "gptneox",
		rows: []row{
			{from: "gpt_neox.embed_in", to: "token_embd"}, {from: "gpt_neox.final_layer_norm", to: "output_norm"}, {from: "embed_out", to: "output"}, {from: "lm_head", to: "output"},
			{from: "gpt_neox.layers.*.input_layernorm", to: "blk.*.attn_norm"}, {from: "gpt_neox.layers.*.post_attention_layernorm", to: "blk.*.ffn_norm"},
			{from: "gpt_neox.layers.*.attention.query_key_value", to: "blk.*.attn_qkv", do: []step{unmixed}},
			{from: "gpt_neox.layers.*.attention.dense", to: "blk.*.attn_output"},
			{from: "gpt_neox.layers.*.mlp.dense_h_to_4h", to: "blk.*.ffn_up"}, {from: "gpt_neox.layers.*.mlp.dense_4h_to_h", to: "blk.*.ffn_down"},
		},
		keys: func(c *converter) error {
			part := c.config.Raw.Value("rotary_pct")
			if part == nil {
				part = c.rope.Value("partial_rotary_factor")
			}
			if part == nil {
				part = 0.25
			}
			f, ok := hf.Float(part)
			if !ok || f < 0 || f > 1 {
				return fault.New(fault.Malformed, "config.json says that %s of each head is rotated", shown(part))
			}
			if err := c.rotated(f); err != nil {
				return err
			}
			if err := c.uint("block_count", c.blocks); err != nil {
				return err
			}
			return c.all([]putting{
				{name: "context_length", from: []string{"max_position_embeddings"}, put: putUint, must: true},
				{name: "embedding_length", from: []string{"hidden_size"}, put: putUint, must: true},
				{name: "feed_forward_length", from: []string{"intermediate_size"}, put: putUint, must: true},
				{name: "rope.dimension_count", from: []string{"dims"}, put: putUint, must: true},
				{name: "attention.head_count", from: []string{"num_attention_heads"}, put: putUint, must: true},
				{name: "use_parallel_residual", from: []string{"use_parallel_residual"}, put: putBool, must: true},
				{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_eps"}, put: putFloat, must: true},
			})
		},
	},
}

// asBias gives a tensor that is called a bias its ending.
func asBias(_ *converter, t tensor) (tensor, error) {
	t.name += ".bias"
	return t, nil
}

// unconv transposes weights that are stored as those of a convolution, and leaves their biases.
func unconv(c *converter, t tensor) (tensor, error) {
	if len(t.shape) != 2 {
		return t, nil
	}
	return transposed(c, t)
}

// packedExperts are the experts of gpt-oss as they are published: blocks of codes and their scales, which go into the
// file as they are, all layers before everything else.
func (c *converter) packedExperts() error {
	for _, name := range c.order {
		base, ok := strings.CutSuffix(name, "_scales")
		if !ok {
			continue
		}
		codes, ok := c.stored[base+"_blocks"]
		if !ok {
			return fault.New(fault.Missing, "there is %s and no %s_blocks", name, base)
		}
		scales := c.stored[name]
		delete(c.stored, name)
		delete(c.stored, base+"_blocks")
		for _, r := range c.arch.find(base) {
			made := tensor{name: r.name() + ".weight", shape: scales.Shape}
			if len(codes.Shape) != 4 || len(scales.Shape) != 3 || codes.DType != model.U8 || scales.DType != model.U8 || codes.Shape[3] != 16 || !same(codes.Shape[:3], scales.Shape) {
				return fault.New(fault.Mismatch, "tensor %q: %s %v of codes with %s %v of scales", base, codes.DType, codes.Shape, scales.DType, scales.Shape)
			}
			parts := [2]tensor{{dtype: model.U8, shape: codes.Shape, data: codes.Data}, {dtype: model.U8, shape: scales.Shape, data: scales.Data}}
			for i := range parts {
				for which := range 2 {
					if r.to != map[int]string{0: "blk.*.ffn_gate_exps", 1: "blk.*.ffn_up_exps"}[which] {
						continue
					}
					var err error
					if parts[i], err = alternate(1, which)(c, parts[i]); err != nil {
						return fault.New(fault.KindOf(err), "tensor %q: %s", base, fault.Reason(err))
					}
				}
			}
			data, err := layout.New(layout.Coded{Op: mxfp4{}, Label: made.name, In: []*layout.File{parts[0].data, parts[1].data}})
			if err != nil {
				return err
			}
			made.data, made.block = data, ggml.MXFP4
			made.shape = []int64{parts[1].shape[0], parts[1].shape[1], 32 * parts[1].shape[2]}
			if err := c.add(made); err != nil {
				return err
			}
		}
	}
	return nil
}

// falconHeads finds how many heads there are for keys and values. transformers fills in as many as for queries where
// config.json does not say, which the older models have not.
func falconHeads(c *converter) error {
	heads, err := c.whole("num_attention_heads", "n_head")
	if err != nil {
		return err
	}
	raw := c.config.Raw
	kv := int64(1)
	for _, key := range []string{"num_kv_heads", "n_head_kv"} {
		if n, ok := hf.Int(raw.Value(key)); ok {
			kv = n
			break
		}
	}
	if _, said := hf.Int(raw.Value("num_kv_heads")); !said && hf.True(raw.Value("new_decoder_architecture")) {
		kv = heads
	}
	if multi, ok := raw.Value("multi_query").(bool); ok && !multi && !hf.True(raw.Value("new_decoder_architecture")) {
		kv = heads
	}
	if heads < 1 || kv < 1 || heads%kv != 0 {
		return fault.New(fault.Mismatch, "config.json says that there are %d heads, and %d for keys and values", heads, kv)
	}
	c.h = withValues(c.h, map[string]any{"heads": heads, "heads_kv": kv})
	return nil
}

// ungrouped brings Falcon's groups of heads, each with its queries, one key and one value, into the order of all
// queries, all keys, all values.
func ungrouped(c *converter, t tensor) (tensor, error) {
	heads, _ := hf.Int(c.h.Value("heads"))
	kv, _ := hf.Int(c.h.Value("heads_kv"))
	queries := heads / kv
	if len(t.shape) == 0 || t.shape[0]%(kv*(queries+2)) != 0 {
		return t, t.wrongShape("%d heads, and %d for keys and values", heads, kv)
	}
	dim := t.shape[0] / (kv * (queries + 2))
	groups := t
	groups.shape = append([]int64{kv, queries + 2, dim}, t.shape[1:]...)
	return parted(t, groups, [][2]int64{{0, queries}, {queries, 1}, {queries + 1, 1}})
}

// unmixed brings rows that are stored as query, key and value of each head into the order of all queries, all keys, all
// values.
func unmixed(c *converter, t tensor) (tensor, error) {
	heads, err := c.whole("n_head", "num_attention_heads")
	if err != nil {
		return t, err
	}
	if len(t.shape) == 0 || heads < 1 || t.shape[0]%(3*heads) != 0 {
		return t, t.wrongShape("%d heads", heads)
	}
	groups := t
	groups.shape = append([]int64{heads, 3, t.shape[0] / 3 / heads}, t.shape[1:]...)
	return parted(t, groups, [][2]int64{{0, 1}, {1, 1}, {2, 1}})
}

// parted is t with the slices of the second dimension of groups, which are t in another shape, one range behind the
// other.
func parted(t, groups tensor, ranges [][2]int64) (tensor, error) {
	var files []*layout.File
	for _, r := range ranges {
		part, err := groups.rows(1, r[0], r[1], 1)
		if err != nil {
			return t, err
		}
		files = append(files, part.data)
	}
	var err error
	t.data, err = layout.Concat(files...)
	return t, err
}

// rotated sets how many dimensions of each head are rotated, where a part of them is.
func (c *converter) rotated(part float64) error {
	width, err := c.whole("hidden_size")
	if err != nil {
		return err
	}
	heads, err := c.whole("num_attention_heads")
	if err != nil || heads == 0 {
		return fault.New(fault.Malformed, "config.json says that there are %d heads", heads)
	}
	c.h = withValues(c.h, map[string]any{"dims": int64(float64(part * float64(width/heads)))})
	c.h.Default("use_parallel_residual", true)
	return nil
}
