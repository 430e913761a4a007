package checkpoint

import (
	"math"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// phis are Microsoft's.
var phis = []architecture{
	{
		classes: []string{"PhiForCausalLM"}, name: "phi2",
		rows: rows(ends[:1], attention, []row{
			{from: "model.final_layernorm", to: "output_norm"}, {from: "lm_head", to: "output"},
			{from: "model.layers.*.input_layernorm", to: "blk.*.attn_norm"},
			{from: "model.layers.*.self_attn.dense", to: "blk.*.attn_output"},
			{from: "model.layers.*.mlp.fc1", to: "blk.*.ffn_up"}, {from: "model.layers.*.mlp.fc2", to: "blk.*.ffn_down"},
		}),
		keys: func(c *converter) error {
			width, err := c.whole("hidden_size", "n_embd")
			if err != nil {
				return err
			}
			dims, err := c.rotaryDims(c.rope.Value("partial_rotary_factor"))
			if err != nil {
				return err
			}
			c.h = withValues(c.h, map[string]any{"feed": 4 * width, "dims": dims})
			if err := c.all2([]putting{
				{name: "context_length", from: []string{"n_positions", "max_position_embeddings"}, put: putUint, must: true},
				{name: "embedding_length", from: []string{"hidden_size", "n_embd"}, put: putUint, must: true},
				{name: "feed_forward_length", from: []string{"feed"}, put: putUint, must: true},
				{name: "attention.head_count", from: []string{"num_attention_heads", "n_head"}, put: putUint, must: true},
				{name: "attention.head_count_kv", from: []string{"num_attention_heads", "n_head"}, put: putUint, must: true},
				{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_epsilon", "layer_norm_eps"}, put: putFloat, must: true},
				{name: "rope.dimension_count", from: []string{"dims"}, put: putUint, must: true},
			}); err != nil {
				return err
			}
			c.put(gguf.Key("tokenizer.ggml.add_bos_token", false))
			return nil
		},
	},
	{
		classes: []string{"Phi3ForCausalLM"}, name: "phi3",
		rows: rows(ends, layerNorms, []row{
			{from: "model.layers.*.self_attn.qkv_proj", to: "blk.*.attn_qkv"}, {from: "model.layers.*.self_attn.o_proj", to: "blk.*.attn_output"},
			{from: "model.layers.*.mlp.gate_up_proj", to: "blk.*.ffn_up"}, {from: "model.layers.*.mlp.down_proj", to: "blk.*.ffn_down"},
		}),
		extra: (*converter).longFactors, keys: (*converter).phi3Keys,
		tokens: func(c *converter) error {
			config, err := c.folder.Object(c.ctx, tokenizerConfig)
			if err != nil {
				return err
			}
			if config.Text("tokenizer_class") == "GPT2Tokenizer" {
				return c.bpe()
			}
			done, err := c.sentencePiece(true)
			if err == nil && !done {
				err = fault.New(fault.Missing, "there is no tokenizer.model beside the model").Remedied("put the repository's tokenizer.model beside the weights")
			}
			return err
		},
	},
}

// withValues is hyper-parameters with values that were computed of them.
func withValues(h *hf.Object, values map[string]any) *hf.Object {
	h = h.Clone()
	for key, v := range values {
		h.Set(key, v)
	}
	return h
}

// rotaryDims is how many elements of a head are rotated, where a part of them is.
func (c *converter) rotaryDims(part any) (int64, error) {
	f, ok := hf.Float(part)
	if !ok || f < 0 || f > 1 {
		return 0, fault.New(fault.Malformed, "config.json says that %s of each head is rotated", shown(part))
	}
	width, err := c.whole("hidden_size", "n_embd")
	if err != nil {
		return 0, err
	}
	heads, err := c.whole("num_attention_heads", "n_head")
	if err != nil {
		return 0, err
	}
	if heads == 0 {
		return 0, fault.New(fault.Malformed, "config.json says that there are no heads")
	}
	return int64(f*float64(width)) / heads, nil
}

// phi3Rotary is the rotated part of a head, and the context that the model was trained with.
func (c *converter) phi3Rotary() (dims int64, trained any, err error) {
	part, ok := c.rope.Get("partial_rotary_factor")
	if !ok {
		part = 1.0
	}
	if dims, err = c.rotaryDims(part); err != nil {
		return 0, nil, err
	}
	if trained = c.rope.Value("original_max_position_embeddings"); trained == nil {
		err = fault.New(fault.Missing, "config.json does not say original_max_position_embeddings")
	}
	return dims, trained, err
}

func (c *converter) phi3Keys() error {
	dims, trained, err := c.phi3Rotary()
	if err != nil {
		return err
	}
	window := c.h.Value("sliding_window")
	if window == nil { // Phi-4
		window = int64(0)
	}
	c.h = withValues(c.h, map[string]any{"dims": dims, "trained": trained, "window": window, "theta": c.ropeFull().Value("rope_theta")})
	return c.all2([]putting{
		{name: "context_length", from: []string{"n_positions", "max_position_embeddings"}, put: putUint, must: true},
		{name: "rope.scaling.original_context_length", from: []string{"trained"}, put: putUint, must: true},
		{name: "embedding_length", from: []string{"hidden_size", "n_embd"}, put: putUint, must: true},
		{name: "feed_forward_length", from: []string{"intermediate_size"}, put: putUints, must: true},
		{name: "attention.head_count", from: []string{"num_attention_heads", "n_head"}, put: putUints, must: true},
		{name: "attention.head_count_kv", from: []string{"num_key_value_heads", "n_head_kv"}, put: putUints, must: true},
		{name: "attention.layer_norm_rms_epsilon", from: []string{"rms_norm_eps"}, put: putFloat, must: true},
		{name: "rope.dimension_count", from: []string{"dims"}, put: putUint, must: true},
		{name: "rope.freq_base", from: []string{"theta"}, put: putFloat, must: true},
		{name: "attention.sliding_window", from: []string{"window"}, put: putUint, must: true},
	})
}

// longFactors are what the frequencies of a Phi for long contexts are divided by, in long and in short ones.
func (c *converter) longFactors() error {
	long := c.rope.List("long_factor")
	if len(long) == 0 {
		return nil
	}
	dims, trained, err := c.phi3Rotary()
	if err != nil {
		return err
	}
	most, err := c.real("n_positions", "max_position_embeddings")
	if err != nil {
		return err
	}
	original, ok := hf.Float(trained)
	if !ok || original <= 1 {
		return fault.New(fault.Malformed, "config.json says that original_max_position_embeddings is %s", shown(trained))
	}
	scale, attention := most/original, 1.0
	switch kind := c.rope.Text("rope_type"); {
	case scale <= 1:
	case kind == "su" || kind == "longrope":
		attention = math.Sqrt(1 + math.Log(scale)/math.Log(original))
	case kind == "yarn":
		attention = 0.1*math.Log(scale) + 1
	default:
		return fault.New(fault.Unsupported, "config.json scales the rotary embedding by %q", kind)
	}
	if err := c.float("rope.scaling.attn_factor", attention); err != nil {
		return err
	}
	for _, x := range []struct {
		name string
		list []any
	}{{"rope_factors_long.weight", long}, {"rope_factors_short.weight", c.rope.List("short_factor")}} {
		if int64(len(x.list)) != dims/2 || dims%2 != 0 {
			return fault.New(fault.Mismatch, "config.json has %d factors for long and %d for short contexts, and heads need %d", len(long), len(c.rope.List("short_factor")), dims/2)
		}
		values := make([]float32, len(x.list))
		for i, v := range x.list {
			f, ok := hf.Float(v)
			if !ok {
				return fault.New(fault.Malformed, "config.json has %s for a factor", shown(v))
			}
			values[i] = float32(f)
		}
		if err := c.literal(x.name, values); err != nil {
			return err
		}
	}
	return nil
}
