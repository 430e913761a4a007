package checkpoint

import (
	"math"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// fileType is the key of the number of the file type. Its value here is that of Content's choice.
const fileType = "general.file_type"

// hyper puts the hyper-parameters.
func (c *converter) hyper() error {
	if c.arch.keys != nil {
		return c.arch.keys(c)
	}
	return c.usual()
}

// key is a key of the architecture.
func (c *converter) key(name string) string { return c.arch.name + "." + name }

// uint puts a whole number.
func (c *converter) uint(name string, v any) error {
	n, ok := hf.Int(v)
	if b, is := v.(bool); is { // Python takes them for numbers
		ok = true
		if b {
			n = 1
		}
	}
	if !ok || n < 0 || n > math.MaxUint32 {
		return fault.New(fault.Malformed, "config.json gives %s for %s", shown(v), name)
	}
	c.put(gguf.Key(c.key(name), uint32(n)))
	return nil
}

// uints puts a whole number, or a list of them, one a layer.
func (c *converter) uints(name string, v any) error {
	list, ok := v.([]any)
	if !ok {
		return c.uint(name, v)
	}
	numbers := make([]int32, len(list))
	for i, v := range list {
		n, ok := hf.Int(v)
		if !ok || n < math.MinInt32 || n > math.MaxInt32 {
			return fault.New(fault.Malformed, "config.json gives %s for %s of layer %d", shown(v), name, i)
		}
		numbers[i] = int32(n)
	}
	if len(numbers) > 0 {
		c.put(gguf.List(c.key(name), numbers))
	}
	return nil
}

// float puts a number.
func (c *converter) float(name string, v any) error {
	f, ok := hf.Float(v)
	if !ok || !math.IsInf(f, 0) && math.IsInf(float64(float32(f)), 0) {
		return fault.New(fault.Malformed, "config.json gives %s for %s", shown(v), name)
	}
	c.put(gguf.Key(c.key(name), float32(f)))
	return nil
}

// bool puts a truth value.
func (c *converter) bool(name string, v any) { c.put(gguf.Key(c.key(name), hf.True(v))) }

// word puts a word.
func (c *converter) word(name, v string) { c.text(c.key(name), v) }

// putting is one key: its name without the architecture's, where its value stands in the configuration (the first of
// the names that is there), and how it is put. Where must is not set, a configuration that has none of the names has
// not the key.
type putting struct {
	name string
	from []string
	put  func(c *converter, name string, v any) error
	must bool
}

// all puts keys in turn.
func (c *converter) all(list []putting) error {
	for _, p := range list {
		v := c.find(p.from...)
		if v == nil {
			if p.must {
				return fault.New(fault.Missing, "config.json does not say %s", p.from[0])
			}
			continue
		}
		if err := p.put(c, p.name, v); err != nil {
			return err
		}
	}
	return nil
}

func putUint(c *converter, name string, v any) error  { return c.uint(name, v) }
func putUints(c *converter, name string, v any) error { return c.uints(name, v) }
func putFloat(c *converter, name string, v any) error { return c.float(name, v) }
func putBool(c *converter, name string, v any) error  { c.bool(name, v); return nil }

// file puts the number of the file type.
func (c *converter) file() { c.put(gguf.Key(fileType, uint32(0))) }

// usualSizes and usualRest are what most architectures have, before and behind the rotary embedding.
var (
	usualSizes = []putting{
		{name: "context_length", from: []string{"max_position_embeddings", "n_ctx", "n_positions", "max_length", "max_sequence_length", "model_max_length"}, put: putUint},
		{name: "embedding_length", from: []string{"hidden_size", "n_embd", "dim"}, put: putUint},
		{name: "feed_forward_length", from: []string{"prefix_dense_intermediate_size", "dense_intermediate_size", "intermediate_size", "n_inner", "hidden_dim"}, put: putUints},
		{name: "attention.head_count", from: []string{"num_attention_heads", "n_head", "n_heads"}, put: putUints},
		{name: "attention.head_count_kv", from: []string{"num_key_value_heads", "n_kv_heads"}, put: putUints},
	}
	usualRest = []putting{
		{name: "attention.layer_norm_rms_epsilon", from: []string{"rms_norm_eps", "norm_eps"}, put: putFloat},
		{name: "attention.layer_norm_epsilon", from: []string{"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"}, put: putFloat},
		{name: "expert_count", from: []string{"num_local_experts", "num_experts", "n_routed_experts"}, put: putUint},
		{name: "expert_used_count", from: []string{"num_experts_per_tok", "num_experts_per_token", "top_k_experts"}, put: putUints},
		{name: "expert_group_count", from: []string{"n_group"}, put: putUint},
		{name: "expert_group_used_count", from: []string{"topk_group"}, put: putUint},
		{name: "expert_gating_func", from: []string{"score_function", "scoring_func", "score_func", "moe_router_activation", "moe_router_activation_func", "expert_selection_fn"}, put: putGating},
		{name: "attention.key_length", from: []string{"head_dim"}, put: putUint},
		{name: "attention.value_length", from: []string{"head_dim"}, put: putUint},
	}
)

// gatings are how routers weigh experts (enum llama_expert_gating_func_type).
var gatings = map[string]int64{"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}

func putGating(c *converter, name string, v any) error {
	word, _ := v.(string)
	n, ok := gatings[word]
	if !ok {
		return fault.New(fault.Unsupported, "config.json says that routers weigh experts by %s", shown(v))
	}
	return c.uint(name, n)
}

// usual puts the hyper-parameters that most architectures have.
func (c *converter) usual() error {
	if err := c.uint("block_count", c.blocks); err != nil {
		return err
	}
	if err := c.all(usualSizes); err != nil {
		return err
	}
	if v, ok := c.h.Value("is_causal").(bool); ok && !v {
		c.bool("attention.causal", false)
	}
	if err := c.scaling(); err != nil {
		return err
	}
	if err := c.all(usualRest); err != nil {
		return err
	}
	c.file()
	return nil
}

// scaling puts what is said of the rotary embedding.
func (c *converter) scaling() error {
	rope := c.ropeFull()
	factor := rope.Value("factor")
	switch kind := rope.Text("rope_type"); {
	case (kind == "linear" || kind == "yarn") && factor != nil:
		c.word("rope.scaling.type", kind)
		if err := c.float("rope.scaling.factor", factor); err != nil {
			return err
		}
		if kind == "linear" {
			break
		}
		if err := c.uint("rope.scaling.original_context_length", rope.Value("original_max_position_embeddings")); err != nil {
			return err
		}
		attention, ok := rope.Get("attention_factor")
		if !ok {
			attention = rope.Value("attn_factor")
		}
		for _, x := range []struct {
			name string
			v    any
		}{
			{"yarn_ext_factor", rope.Value("extrapolation_factor")}, {"yarn_attn_factor", attention},
			{"yarn_beta_fast", rope.Value("beta_fast")}, {"yarn_beta_slow", rope.Value("beta_slow")},
		} {
			if x.v == nil {
				continue
			}
			if err := c.float("rope.scaling."+x.name, x.v); err != nil {
				return err
			}
		}
	case kind == "su" || kind == "longrope":
		c.word("rope.scaling.type", "longrope")
	}
	if theta := rope.Value("rope_theta"); theta != nil {
		if err := c.float("rope.freq_base", theta); err != nil {
			return err
		}
	}
	if theta := c.rope.Object("sliding_attention").Value("rope_theta"); theta != nil {
		return c.float("rope.freq_base_swa", theta)
	}
	return nil
}

// headDim is the size of a head, as it is said or as the width divided by the heads.
func (c *converter) headDim() (int64, error) {
	if n := c.h.Value("head_dim"); n != nil {
		return c.whole("head_dim")
	}
	width, err := c.whole("hidden_size", "n_embd")
	if err != nil {
		return 0, err
	}
	heads, err := c.whole("num_attention_heads", "n_head")
	if err == nil && heads == 0 {
		err = fault.New(fault.Malformed, "config.json says that there are no heads")
	}
	if err != nil {
		return 0, err
	}
	return width / heads, nil
}
