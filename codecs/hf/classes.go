package hf

// classes are transformers' classes of configuration (version 5), by their model_type: defaults for what config.json
// does not say, and what they compute of what it says. Only fields that conversions ask for are listed.
var classes = []configuration{
	{
		model: "llama", theta: 10000, finish: all(ownHeads, headDim, dividedHeads),
		defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "head_dim": null}`,
	},
	{
		model: "mistral", theta: 10000, finish: all(ownHeads, headDim),
		defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
			"max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "sliding_window": 4096, "head_dim": null}`,
	},
	{
		model: "mixtral", theta: 1000000, finish: ownHeads, names: map[string]string{"num_experts": "num_local_experts"},
		defaults: `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
			"head_dim": null, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "sliding_window": null, "num_experts_per_tok": 2, "num_local_experts": 8}`,
	},
	{
		model: "qwen2", theta: 10000, finish: all(window(nil), ownHeads),
		defaults: `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
			"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096}`,
	},
	{
		model: "qwen3", theta: 10000, finish: all(window(nil), ownHeads),
		defaults: `{"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128,
			"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096}`,
	},
	{
		model: "qwen2_moe", theta: 10000, finish: window(int64(0)),
		defaults: `{"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
			"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096,
			"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "num_experts": 60, "norm_topk_prob": false}`,
	},
	{
		model: "qwen3_moe", theta: 10000, finish: window(nil), names: map[string]string{"num_experts": "num_local_experts"},
		defaults: `{"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": 4,
			"max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "use_sliding_window": false, "sliding_window": 4096,
			"moe_intermediate_size": 768, "num_experts_per_tok": 8, "num_local_experts": 128, "norm_topk_prob": false}`,
	},
	{
		model: "gemma", theta: 10000,
		defaults: `{"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256,
			"max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "tie_word_embeddings": true}`,
	},
	{
		model: "gemma2", theta: 10000, finish: dividedHeads,
		defaults: `{"vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
			"max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "sliding_window": 4096, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0}`,
	},
	{
		model: "gemma3_text", finish: all(twoRopes, dividedHeads),
		defaults: `{"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
			"max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "sliding_window": 4096, "final_logit_softcapping": null, "attn_logit_softcapping": null}`,
	},
	{
		model: "gemma3", text: "gemma3_text",
		defaults: `{"tie_word_embeddings": true}`,
	},
	{
		model: "phi", theta: 10000, finish: all(ownHeads, partialRotary(0.5)),
		defaults: `{"vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "tie_word_embeddings": false}`,
	},
	{
		model: "phi3", finish: all(ownHeads, phi3Rope),
		defaults: `{"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "sliding_window": null}`,
	},
	{
		model: "gpt_oss", theta: 150000, finish: all(ownHeads, headDim, func(o *Object) bool {
			if o.Value("rope_parameters") == nil && !True(o.Value("rope_scaling")) {
				rope := &Object{}
				rope.Set("rope_type", "yarn")
				rope.Set("factor", 32.0)
				rope.Set("beta_fast", 32.0)
				rope.Set("beta_slow", 1.0)
				rope.Set("truncate", false)
				rope.Set("original_max_position_embeddings", int64(4096))
				o.Set("rope_scaling", rope)
			}
			return true
		}), names: map[string]string{"num_experts": "num_local_experts"},
		defaults: `{"num_hidden_layers": 36, "num_local_experts": 128, "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "head_dim": 64, "num_attention_heads": 64,
			"num_key_value_heads": 8, "sliding_window": 128, "tie_word_embeddings": false, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "num_experts_per_tok": 4}`,
	},
	{
		model: "deepseek_v2", theta: 10000, finish: all(ownHeads, ropeHeads, dividedHeads), names: map[string]string{"num_experts": "n_routed_experts"},
		defaults: `{"vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "first_k_dense_replace": 0, "kv_lora_rank": 512, "q_lora_rank": 1536, "n_group": null,
			"n_routed_experts": 64, "n_shared_experts": 2, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "routed_scaling_factor": 1.0, "topk_group": null, "norm_topk_prob": false,
			"v_head_dim": 128, "num_experts_per_tok": null, "moe_intermediate_size": 1407}`,
	},
	{
		model: "deepseek_v3", theta: 10000, finish: all(ownHeads, ropeHeads), names: map[string]string{"num_local_experts": "n_routed_experts", "num_mtp_layers": "num_nextn_predict_layers"},
		defaults: `{"vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128,
			"num_key_value_heads": 128, "n_shared_experts": 1, "n_routed_experts": 256, "routed_scaling_factor": 2.5, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
			"v_head_dim": 128, "qk_nope_head_dim": 128, "n_group": 8, "topk_group": 4, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "norm_topk_prob": true,
			"max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "tie_word_embeddings": false}`,
	},
	{model: "bert", defaults: bertDefaults + `"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0}`},
	{model: "roberta", defaults: bertDefaults + `"vocab_size": 50265, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1}`},
	{model: "camembert", defaults: bertDefaults + `"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1}`},
	{model: "xlm-roberta", defaults: bertDefaults + `"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1}`},
	{
		model: "nomic_bert", theta: 1000, finish: headDim,
		defaults: bertDefaults + `"vocab_size": 30528, "max_position_embeddings": 2048, "type_vocab_size": 2, "pad_token_id": 0, "head_dim": null}`,
	},
	{
		model: "distilbert", names: map[string]string{"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
		defaults: `{"vocab_size": 30522, "max_position_embeddings": 512, "n_layers": 6, "n_heads": 12, "dim": 768, "hidden_dim": 3072, "pad_token_id": 0}`,
	},
	{model: "granite", theta: 10000, finish: ownHeads, defaults: graniteDefaults + `}`},
	{model: "granitemoe", theta: 10000, finish: ownHeads, defaults: graniteDefaults + `, "num_local_experts": 8, "num_experts_per_tok": 2}`},
	{
		model: "olmo", theta: 10000, finish: ownHeads,
		defaults: `{"vocab_size": 50304, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 2048, "tie_word_embeddings": false, "clip_qkv": null}`,
	},
	{
		model: "olmo2", theta: 10000, finish: ownHeads,
		defaults: `{"vocab_size": 50304, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
			"max_position_embeddings": 2048, "tie_word_embeddings": false, "rms_norm_eps": 1e-5}`,
	},
	{
		model: "cohere", theta: 500000, finish: ownHeads,
		defaults: `{"vocab_size": 256000, "hidden_size": 8192, "intermediate_size": 22528, "logit_scale": 0.0625, "num_hidden_layers": 40, "num_attention_heads": 64,
			"num_key_value_heads": null, "max_position_embeddings": 8192, "layer_norm_eps": 1e-5, "tie_word_embeddings": true}`,
	},
	{
		model: "starcoder2", theta: 10000,
		defaults: `{"vocab_size": 49152, "hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30, "num_attention_heads": 24, "num_key_value_heads": 2,
			"max_position_embeddings": 4096, "norm_epsilon": 1e-5, "tie_word_embeddings": true, "sliding_window": null}`,
	},
	{
		model: "stablelm", theta: 10000, finish: partialRotary(0.25),
		defaults: `{"vocab_size": 50304, "intermediate_size": 6912, "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
			"max_position_embeddings": 4096, "layer_norm_eps": 1e-5, "tie_word_embeddings": false, "use_parallel_residual": false}`,
	},
	{
		model: "falcon", theta: 10000, finish: func(o *Object) bool {
			if n := pop(o, "n_embed"); n != nil {
				o.Set("hidden_size", n)
			}
			if o.Value("num_kv_heads") == nil {
				o.Set("num_kv_heads", o.Value("num_attention_heads"))
			}
			return true
		},
		defaults: `{"vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "layer_norm_epsilon": 1e-5, "num_kv_heads": null,
			"new_decoder_architecture": false, "multi_query": true, "max_position_embeddings": 2048, "tie_word_embeddings": true}`,
	},
	{
		model: "gpt2", names: gpt2Names,
		defaults: `{"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": null, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true}`,
	},
	{
		model: "gpt_bigcode", names: gpt2Names,
		defaults: `{"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": null, "layer_norm_epsilon": 1e-5, "multi_query": true, "tie_word_embeddings": true}`,
	},
	{
		model: "gpt_neox", theta: 10000, finish: dividedHeads,
		defaults: `{"vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64, "intermediate_size": 24576, "max_position_embeddings": 2048,
			"layer_norm_eps": 1e-5, "tie_word_embeddings": false, "use_parallel_residual": true}`,
	},
}

const (
	bertDefaults = `{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "tie_word_embeddings": true, `

	graniteDefaults = `{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
		"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0`
)

var gpt2Names = map[string]string{"hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}

// all does one after another.
func all(steps ...func(*Object) bool) func(*Object) bool {
	return func(o *Object) bool {
		for _, step := range steps {
			if !step(o) {
				return false
			}
		}
		return true
	}
}

// ownHeads: without a number of heads for keys and values each head has its own.
func ownHeads(o *Object) bool {
	if o.Value("num_key_value_heads") == nil {
		o.Set("num_key_value_heads", o.Value("num_attention_heads"))
	}
	return true
}

// headDim: without a size of heads they share the width of the model.
func headDim(o *Object) bool {
	if o.Value("head_dim") != nil {
		return true
	}
	width, wok := Int(o.Value("hidden_size"))
	heads, hok := Int(o.Value("num_attention_heads"))
	if !wok || !hok || heads <= 0 {
		return false
	}
	o.Set("head_dim", width/heads)
	return true
}

// dividedHeads refuses a width that heads cannot share.
func dividedHeads(o *Object) bool {
	width, wok := Int(o.Value("hidden_size"))
	heads, hok := Int(o.Value("num_attention_heads"))
	return wok && hok && heads > 0 && width%heads == 0
}

// ropeHeads: what is called the size of a head is that of its rotary part.
func ropeHeads(o *Object) bool {
	o.Set("head_dim", o.Value("qk_rope_head_dim"))
	return true
}

// window: a sliding window counts only where it is used.
func window(unused any) func(*Object) bool {
	return func(o *Object) bool {
		if !True(o.Value("use_sliding_window")) {
			o.Set("sliding_window", unused)
		}
		return true
	}
}

// partialRotary is the part of a head that is rotated, where nobody says which.
func partialRotary(part float64) func(*Object) bool {
	return func(o *Object) bool {
		o.Default("partial_rotary_factor", part)
		return true
	}
}

// twoRopes is Gemma 3's: one set of rotary settings for layers that see all, one for those that slide.
func twoRopes(o *Object) bool {
	if n, ok := Int(o.Value("sliding_window")); ok && True(o.Value("use_bidirectional_attention")) {
		o.Set("sliding_window", n/2*2) // halved, and doubled again when it is written
	}
	rope := o.Object("rope_parameters").Clone()
	sets := map[string]*Object{}
	for _, kind := range []string{"sliding_attention", "full_attention"} {
		set := rope.Object(kind).Clone()
		if rope.Object(kind) == nil {
			set.Set("rope_type", "default")
		}
		sets[kind] = set
	}
	if scaling, ok := pop(o, "rope_scaling").(*Object); ok {
		for _, key := range scaling.Keys() {
			sets["full_attention"].Set(key, scaling.Value(key))
		}
	}
	for kind, base := range map[string]struct {
		key   string
		theta float64
	}{"full_attention": {"rope_theta", 1000000}, "sliding_attention": {"rope_local_base_freq", 10000}} {
		theta := pop(o, base.key)
		if theta == nil {
			theta = base.theta
		}
		sets[kind].Default("rope_theta", theta)
		standard(o, sets[kind], nil, nil)
		rope.Set(kind, sets[kind])
	}
	o.Set("rope_parameters", rope)
	return true
}

// phi3Rope is Phi-3's: the part that is rotated stands among the settings too, and what scales it is called longrope.
func phi3Rope(o *Object) bool {
	p := pop(o, "rope_scaling")
	if !True(p) {
		p = o.Value("rope_parameters")
	}
	given, _ := p.(*Object)
	rope := given.Clone()
	theta := pop(o, "rope_theta")
	if theta == nil {
		theta = 10000.0
	}
	rope.Default("rope_theta", theta)
	partial, ok := o.Get("partial_rotary_factor")
	if !ok {
		partial = 1.0
	}
	rope.Default("partial_rotary_factor", partial)
	standard(o, rope, nil, nil)
	switch rope.Text("rope_type") {
	case "llama3", "yarn", "longrope":
		rope.Set("original_max_position_embeddings", o.Value("original_max_position_embeddings"))
	}
	switch rope.Text("rope_type") {
	case "su", "yarn":
		rope.Set("rope_type", "longrope")
	case "default", "longrope":
	default:
		return false
	}
	width, wok := Int(o.Value("hidden_size"))
	heads, hok := Int(o.Value("num_attention_heads"))
	part, pok := Float(rope.Value("partial_rotary_factor"))
	if !wok || !hok || !pok || heads <= 0 {
		return false
	}
	pairs := int64(float64(width/heads)*part) / 2
	for _, key := range []string{"short_factor", "long_factor"} {
		if v := rope.Value(key); v != nil {
			if list, ok := v.([]any); !ok || int64(len(list)) != pairs {
				return false
			}
		}
	}
	o.Set("rope_parameters", rope)
	return true
}
