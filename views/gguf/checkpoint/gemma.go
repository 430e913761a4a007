package checkpoint

import (
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// gemmas are Google's: their norms are stored as the difference to 1.
var gemmas = []architecture{
	{
		classes: []string{"GemmaForCausalLM"}, name: "gemma", drop: []string{"lm_head.weight"},
		rows: rows(ends[:1], doing(shifted, ends[1]), attention, doing(shifted, layerNorms...), gated),
		keys: func(c *converter) error { return c.all2(gemmaSizes) },
		tokens: func(c *converter) error {
			if err := c.gemmaTokens(); err != nil {
				return err
			}
			s, err := c.special(0, "prefix", "suffix", "middle", "fsep", "eot")
			if err != nil {
				return err
			}
			s.set("eot", 107)
			s.template, s.templates = "", nil
			s.put(c)
			return nil
		},
	},
	{
		classes: []string{"Gemma2ForCausalLM"}, name: "gemma2", drop: []string{"lm_head.weight"},
		rows: rows(ends[:1], doing(shifted, ends[1]), attention, gemmaNorms, gated),
		keys: func(c *converter) error {
			if err := c.all2(gemmaSizes); err != nil {
				return err
			}
			return c.all([]putting{
				{name: "attn_logit_softcapping", from: []string{"attn_logit_softcapping"}, put: putFloat, must: true},
				{name: "final_logit_softcapping", from: []string{"final_logit_softcapping"}, put: putFloat, must: true},
				{name: "attention.sliding_window", from: []string{"sliding_window"}, put: putUint, must: true},
			})
		},
		tokens: (*converter).gemmaTokens,
	},
	{
		classes: []string{"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"}, name: "gemma3",
		rows: gemma3Rows, keys: (*converter).gemma3Keys, tokens: (*converter).gemma3Tokens,
	},
	{
		classes: []string{"Gemma3TextModel"}, name: "gemma-embedding", rows: gemma3Rows, rename: withModel, tokens: (*converter).gemma3Tokens,
		keys: func(c *converter) error {
			if err := c.gemma3Keys(); err != nil {
				return err
			}
			if err := c.uint("attention.sliding_window", c.config.Raw.Value("sliding_window")); err != nil {
				return err
			}
			return c.pooling()
		},
	},
}

var gemmaNorms = doing(shifted,
	row{from: "model.layers.*.input_layernorm", to: "blk.*.attn_norm"},
	row{from: "model.layers.*.post_attention_layernorm", to: "blk.*.post_attention_norm"},
	row{from: "model.layers.*.pre_feedforward_layernorm", to: "blk.*.ffn_norm"},
	row{from: "model.layers.*.post_feedforward_layernorm", to: "blk.*.post_ffw_norm"},
)

var gemma3Rows = rows([]row{{from: "model.embed_tokens", to: "token_embd", do: []step{realTokens}}}, doing(shifted, ends[1]), ends[2:],
	attention, doing(shifted, attentionNorms...), gemmaNorms, gated)

var gemmaSizes = []putting{
	{name: "context_length", from: []string{"max_position_embeddings"}, put: putUint, must: true},
	{name: "embedding_length", from: []string{"hidden_size"}, put: putUint, must: true},
	{name: "feed_forward_length", from: []string{"intermediate_size"}, put: putUints, must: true},
	{name: "attention.head_count", from: []string{"num_attention_heads"}, put: putUints, must: true},
	{name: "attention.head_count_kv", from: []string{"num_key_value_heads", "num_attention_heads"}, put: putUints, must: true},
	{name: "attention.layer_norm_rms_epsilon", from: []string{"rms_norm_eps"}, put: putFloat, must: true},
	{name: "attention.key_length", from: []string{"head_dim"}, put: putUint, must: true},
	{name: "attention.value_length", from: []string{"head_dim"}, put: putUint, must: true},
}

// all2 puts keys, the number of layers and that of the file type: what architectures have that do not have the usual.
func (c *converter) all2(list []putting) error {
	if err := c.uint("block_count", c.blocks); err != nil {
		return err
	}
	c.file()
	return c.all(list)
}

func (c *converter) gemmaTokens() error {
	done, err := c.sentencePiece(false)
	if err == nil && !done {
		err = fault.New(fault.Missing, "there is no tokenizer.model beside the model").Remedied("put the repository's tokenizer.model beside the weights")
	}
	c.put(gguf.Key("tokenizer.ggml.add_space_prefix", false))
	return err
}

func (c *converter) gemma3Tokens() error {
	if c.folder.Has(pieces) {
		return c.gemmaTokens()
	}
	return c.bpe()
}

func (c *converter) gemma3Keys() error {
	if err := c.usual(); err != nil {
		return err
	}
	h := c.h.Clone()
	for key, v := range map[string]any{
		"max_position_embeddings": int64(131072), "num_attention_heads": int64(8), "rms_norm_eps": 1e-6, "head_dim": int64(256), "num_key_value_heads": int64(4),
	} {
		h.Default(key, v)
	}
	c.h = h
	theta, ok := c.ropeFull().Get("rope_theta")
	if !ok {
		theta = 1000000.0
	}
	if err := c.float("rope.freq_base", theta); err != nil {
		return err
	}
	if c.h.Value("attn_logit_softcapping") != nil {
		return fault.New(fault.Unsupported, "config.json caps the attention's logits, which llama.cpp's gemma3 does not")
	}
	if v := c.h.Value("final_logit_softcapping"); hf.True(v) {
		if err := c.float("final_logit_softcapping", v); err != nil {
			return err
		}
	}
	list := []putting{
		gemmaSizes[0], gemmaSizes[3], gemmaSizes[5], gemmaSizes[6], gemmaSizes[7],
		{name: "attention.head_count_kv", from: []string{"num_key_value_heads"}, put: putUints, must: true},
	}
	if n, ok := hf.Int(c.h.Value("sliding_window_pattern")); !ok || n != 1 {
		list = append(list, putting{name: "attention.sliding_window", from: []string{"sliding_window"}, put: putUint, must: true})
	}
	return c.all(list)
}

// realTokens are the rows of an embedding that stand for tokens: those behind them are there for alignment.
func realTokens(c *converter, t tensor) (tensor, error) {
	var count int64
	if c.folder.Has(pieces) {
		size, err := c.vocabularySize()
		if err != nil {
			return t, err
		}
		if count = size; size == 0 {
			m, err := c.folder.SentencePiece(c.ctx, pieces)
			if err != nil {
				return t, err
			}
			count = int64(m.Vocabulary.Len())
		}
	} else {
		j, err := c.tokenizerJSON()
		if err == nil && j == nil {
			j, err = needTokenizerJSON(c.ctx, c.folder)
		}
		if err != nil {
			return t, err
		}
		count = int64(j.Vocabulary.Len() + len(j.Added))
	}
	if len(t.shape) == 0 || t.shape[0] <= count {
		return t, nil
	}
	return t.rows(0, 0, count, 1)
}
