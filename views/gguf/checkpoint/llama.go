package checkpoint

import (
	"errors"
	"math"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// llamas are LLaMA and what shares its graph.
var llamas = []architecture{
	{
		classes: []string{"LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "IQuestCoderForCausalLM", "LlamaModel"}, name: "llama", rename: withModel,
		rows: rows(ends, rotated, layerNorms, gated, []row{
			{from: "model.layers.*.block_sparse_moe.gate", to: "blk.*.ffn_gate_inp"},
			{from: "model.layers.*.block_sparse_moe.experts.#.w1", to: "blk.*.ffn_gate_exps"},
			{from: "model.layers.*.block_sparse_moe.experts.#.w2", to: "blk.*.ffn_down_exps"},
			{from: "model.layers.*.block_sparse_moe.experts.#.w3", to: "blk.*.ffn_up_exps"},
		}),
		prepare: noDraft, extra: (*converter).ropeFactors, keys: (*converter).llamaKeys, tokens: (*converter).llamaTokens,
	},
	{
		classes: []string{"GraniteForCausalLM"}, name: "granite", rows: rows(ends, rotated, layerNorms, gated),
		extra: (*converter).ropeFactors, keys: (*converter).graniteKeys, tokens: (*converter).llamaTokens,
	},
	{
		classes: []string{"GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"}, name: "granitemoe",
		rows: rows(ends, rotated, layerNorms, []row{
			{from: "model.layers.*.block_sparse_moe.router.layer", to: "blk.*.ffn_gate_inp"},
			{from: "model.layers.*.block_sparse_moe.input_linear", to: "blk.*.ffn_gate_exps", do: []step{half(-2, 0)}},
			{from: "model.layers.*.block_sparse_moe.input_linear", to: "blk.*.ffn_up_exps", do: []step{half(-2, 1)}},
			{from: "model.layers.*.block_sparse_moe.output_linear", to: "blk.*.ffn_down_exps"},
			{from: "model.layers.*.shared_mlp.input_linear", to: "blk.*.ffn_gate_shexp", do: []step{half(-2, 0)}},
			{from: "model.layers.*.shared_mlp.input_linear", to: "blk.*.ffn_up_shexp", do: []step{half(-2, 1)}},
			{from: "model.layers.*.shared_mlp.output_linear", to: "blk.*.ffn_down_shexp"},
		}),
		extra: (*converter).ropeFactors, tokens: (*converter).llamaTokens,
		keys: func(c *converter) error {
			if err := c.graniteKeys(); err != nil {
				return err
			}
			return c.all([]putting{{name: "expert_shared_feed_forward_length", from: []string{"shared_intermediate_size"}, put: putUint}})
		},
	},
}

// rows is lists of rows as one.
func rows(lists ...[]row) []row {
	var all []row
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// noDraft refuses models that only draft for another.
func noDraft(c *converter) error {
	if _, ok := c.h.Get("draft_vocab_size"); ok && c.blocks == 1 {
		return fault.New(fault.Unsupported, "this is a draft model, which is converted together with the model that it drafts for")
	}
	return nil
}

func (c *converter) llamaKeys() error {
	if err := c.usual(); err != nil {
		return err
	}
	if err := c.all([]putting{{name: "vocab_size", from: []string{"vocab_size"}, put: putUint, must: true}}); err != nil {
		return err
	}
	dim, err := c.headDim()
	if err != nil {
		return err
	}
	return c.uint("rope.dimension_count", dim)
}

func (c *converter) graniteKeys() error {
	if _, ok := c.h.Get("head_dim"); ok { // Granite has none of its own
		h := c.h.Clone()
		h.Set("head_dim", nil)
		c.h = h
	}
	if err := c.llamaKeys(); err != nil {
		return err
	}
	for _, x := range [][2]string{
		{"attention.scale", "attention_multiplier"}, {"embedding_scale", "embedding_multiplier"}, {"residual_scale", "residual_multiplier"}, {"logit_scale", "logits_scaling"},
	} {
		if v := c.h.Value(x[1]); v != nil && v != 0.0 && v != int64(0) {
			if err := c.float(x[0], v); err != nil {
				return err
			}
		}
	}
	return nil
}

// ropeFactors are what the frequencies of Llama 3's rotary embedding are divided by, for contexts longer than those it
// was trained with. All is computed in float32, in the order in which PyTorch does.
func (c *converter) ropeFactors() error {
	rope := c.ropeFull()
	if kind := rope.Text("rope_type"); kind != "llama3" && kind != "LLAMA3" && kind != "Llama3" {
		return nil
	}
	number := func(key string, otherwise float64) float64 {
		v, ok := rope.Get(key)
		if !ok {
			return otherwise
		}
		f, ok := hf.Float(v)
		if !ok {
			return math.NaN()
		}
		return f
	}
	base, factor := number("rope_theta", 10000), number("factor", 8)
	low, high := number("low_freq_factor", 1), number("high_freq_factor", 4)
	context := number("original_max_position_embeddings", 8192)
	for _, f := range []float64{base, factor, low, high, context} {
		if !(f > 0) || math.IsInf(f, 0) {
			return fault.New(fault.Malformed, "config.json's rotary embedding of type llama3 has settings that are no positive numbers")
		}
	}
	dim, err := c.headDim()
	if err != nil {
		return err
	}
	if dim > 1<<16 {
		return fault.New(fault.Limit, "heads of %d", dim)
	}
	var factors []float32
	for i := int64(0); i < dim; i += 2 {
		frequency := 1 / float32(math.Pow(float64(float32(base)), float64(float32(i)/float32(dim))))
		wave := float32(float32(1/frequency) * float32(2*math.Pi))
		switch {
		case wave < float32(context/high):
			factors = append(factors, 1)
		case wave > float32(context/low):
			factors = append(factors, float32(factor))
		default:
			part := float32(float32(1/wave) * float32(context))
			smooth := float32(part-float32(low)) / float32(high-low)
			factors = append(factors, 1/float32(float32(float32(1-smooth)/float32(factor))+smooth))
		}
	}
	return c.literal("rope_freqs.weight", factors)
}

func (c *converter) llamaTokens() error {
	config, err := c.folder.Object(c.ctx, tokenizerConfig)
	if err != nil {
		return err
	}
	if v, ok := config.Value("add_prefix_space").(bool); ok {
		c.put(gguf.Key("tokenizer.ggml.add_space_prefix", v))
	}
	done, err := c.sentencePiece(false)
	if err == nil && !done {
		done, err = c.sentencePieceJSON()
	}
	if err == nil && !done {
		err = c.bpe()
	}
	if err != nil {
		if !c.folder.Has(pieces) && !c.folder.Has("tokenizer.json") && c.folder.Has("tekken.json") {
			return errors.Join(fault.New(fault.Unsupported, "the tokenizer is a tekken.json, which is not read here"), err)
		}
		return err
	}
	size, _ := c.vocabularySize()
	switch size {
	case 32016: // Code Llama
		s, err := c.special(0, "prefix", "suffix", "middle", "eot")
		if err != nil {
			return err
		}
		s.set("eot", 32010)
		s.put(c)
	case 49152: // the small models of Granite
		c.put(gguf.Key("tokenizer.ggml.add_bos_token", false))
	}
	return nil
}
