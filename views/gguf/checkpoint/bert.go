package checkpoint

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// berts read in both directions, and give embeddings.
var berts = []architecture{
	{
		classes: []string{"BertModel", "BertForMaskedLM", "BertForSequenceClassification", "CamembertModel"}, name: "bert", strip: []string{"bert."}, drop: bertDrop,
		rename: oldNorms, rows: bertRows, keys: (*converter).bertKeys, tokens: (*converter).wordPiece,
	},
	{
		classes: []string{"DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification"}, name: "bert", strip: []string{"distilbert."},
		drop: slices.Concat([]string{"vocab_*"}, bertDrop), rename: oldNorms, rows: rows(bertRows, []row{
			{from: "transformer.layer.*.attention.q_lin", to: "blk.*.attn_q"}, {from: "transformer.layer.*.attention.k_lin", to: "blk.*.attn_k"},
			{from: "transformer.layer.*.attention.v_lin", to: "blk.*.attn_v"}, {from: "transformer.layer.*.attention.out_lin", to: "blk.*.attn_output"},
			{from: "transformer.layer.*.sa_layer_norm", to: "blk.*.attn_output_norm"}, {from: "transformer.layer.*.ffn.lin1", to: "blk.*.ffn_up"},
			{from: "transformer.layer.*.ffn.lin2", to: "blk.*.ffn_down"}, {from: "transformer.layer.*.output_layer_norm", to: "blk.*.layer_output_norm"},
		}),
		keys: func(c *converter) error {
			if err := c.float("attention.layer_norm_epsilon", 1e-12); err != nil {
				return err
			}
			return c.bertKeys()
		},
		tokens: (*converter).wordPiece,
	},
	{
		classes: []string{"RobertaModel", "RobertaForSequenceClassification"}, name: "bert", strip: []string{"roberta.", "bert."}, drop: bertDrop,
		rename: oldNorms, rows: bertRows, prepare: (*converter).padded, keys: (*converter).bertKeys,
		tokens: func(c *converter) error {
			if !c.folder.Has(hf.TokenizerFile) {
				return c.wordPiece()
			}
			if err := c.bpe(); err != nil {
				return err
			}
			return c.typeCount()
		},
	},
	{
		classes: []string{"XLMRobertaModel", "XLMRobertaForSequenceClassification"}, name: "bert", strip: []string{"roberta.", "bert."}, drop: bertDrop,
		rename: oldNorms, rows: bertRows, prepare: func(c *converter) error {
			if _, ok := c.h.Get("lora_adaptations"); ok {
				return fault.New(fault.Unsupported, "embeddings with adapters of their own are not converted to GGUF here")
			}
			return c.padded()
		}, keys: (*converter).bertKeys, tokens: (*converter).unigram,
	},
	{
		classes: []string{"NomicBertModel"}, name: "nomic-bert", strip: []string{"bert."}, drop: bertDrop, rename: oldNorms, rows: rows(bertRows, []row{
			{from: "emb_ln", to: "token_embd_norm"}, {from: "encoder.layers.*.attn.Wqkv", to: "blk.*.attn_qkv"}, {from: "encoder.layers.*.attn.out_proj", to: "blk.*.attn_output"},
			{from: "encoder.layers.*.norm1", to: "blk.*.attn_output_norm"}, {from: "encoder.layers.*.mlp.fc11", to: "blk.*.ffn_up"}, {from: "encoder.layers.*.mlp.fc12", to: "blk.*.ffn_gate"},
			{from: "encoder.layers.*.mlp.fc2", to: "blk.*.ffn_down"}, {from: "encoder.layers.*.norm2", to: "blk.*.layer_output_norm"},
		}),
		prepare: (*converter).nomic, keys: (*converter).bertKeys, tokens: (*converter).wordPiece,
	},
}

var (
	bertDrop = []string{"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "cls.predictions*", "cls.seq_relationship*"}
	bertRows = []row{
		{from: "embeddings.word_embeddings", to: "token_embd"},
		{from: "embeddings.token_type_embeddings", to: "token_types"},
		{from: "embeddings.position_embeddings", to: "position_embd", do: []step{unpadded}},
		{from: "embeddings.LayerNorm", to: "token_embd_norm"},
		{from: "encoder.layer.*.attention.self.query", to: "blk.*.attn_q"},
		{from: "encoder.layer.*.attention.self.key", to: "blk.*.attn_k"},
		{from: "encoder.layer.*.attention.self.value", to: "blk.*.attn_v"},
		{from: "encoder.layer.*.attention.output.dense", to: "blk.*.attn_output"},
		{from: "encoder.layer.*.attention.output.LayerNorm", to: "blk.*.attn_output_norm"},
		{from: "encoder.layer.*.intermediate.dense", to: "blk.*.ffn_up"},
		{from: "encoder.layer.*.output.dense", to: "blk.*.ffn_down"},
		{from: "encoder.layer.*.output.LayerNorm", to: "blk.*.layer_output_norm"},
		{from: "classifier", to: "cls", do: []step{namedLabels}},
		{from: "classifier.dense", to: "cls"},
		{from: "classifier.out_proj", to: "cls.output"},
	}
)

// oldNorms gives norms their present names.
func oldNorms(name string) string {
	if bare, ok := strings.CutSuffix(name, ".gamma"); ok {
		return bare + ".weight"
	}
	if bare, ok := strings.CutSuffix(name, ".beta"); ok {
		return bare + ".bias"
	}
	return name
}

// padded takes the positions of padding off: the first that stands for a token follows that of the padding's id.
func (c *converter) padded() error {
	if c.h.Value("pad_token_id") == nil {
		return nil
	}
	id, err := c.whole("pad_token_id")
	if err != nil {
		return err
	}
	c.positions = id + 1
	if _, ok := c.h.Get("max_position_embeddings"); ok {
		n, err := c.whole("max_position_embeddings")
		if err != nil {
			return err
		}
		c.h = withValues(c.h, map[string]any{"max_position_embeddings": n - c.positions})
	}
	return nil
}

// unpadded is an embedding of positions without those of padding.
func unpadded(c *converter, t tensor) (tensor, error) {
	if c.positions == 0 {
		return t, nil
	}
	if len(t.shape) != 2 || t.shape[0] < c.positions {
		return t, t.wrongShape("%d positions of padding", c.positions)
	}
	return t.rows(0, c.positions, t.shape[0]-c.positions, 1)
}

// labels are those of a classifier, by their numbers; nil where they have no names of their own.
func (c *converter) labels() []string {
	o := c.h.Object("id2label")
	type pair struct {
		n    int
		text string
	}
	var list []pair
	for _, key := range o.Keys() {
		n, err := strconv.Atoi(key)
		if err != nil {
			return nil
		}
		list = append(list, pair{n, o.Text(key)})
	}
	slices.SortFunc(list, func(a, b pair) int { return a.n - b.n })
	if len(list) == 2 && list[0].n == 0 && list[0].text == "LABEL_0" {
		return nil
	}
	var names []string
	for _, p := range list {
		names = append(names, p.text)
	}
	return names
}

// namedLabels: a classifier of one layer is the output where its labels have names.
func namedLabels(c *converter, t tensor) (tensor, error) {
	if c.labels() != nil {
		t.name = "cls.output" + strings.TrimPrefix(t.name, "cls")
	}
	return t, nil
}

func (c *converter) bertKeys() error {
	if err := c.usual(); err != nil {
		return err
	}
	c.bool("attention.causal", false)
	if err := c.pooling(); err != nil {
		return err
	}
	if names := c.labels(); names != nil {
		c.put(gguf.List(c.key("classifier.output_labels"), names))
	}
	return nil
}

// poolings are how an embedding is made of those of a text's tokens (enum llama_pooling_type).
var poolings = map[string]int64{"mean": 1, "cls": 2, "lasttoken": 3}

// pooling puts how an embedding is made of those of a text's tokens, as sentence-transformers says it beside a model.
func (c *converter) pooling() error {
	v, err := c.folder.JSON(c.ctx, "modules.json")
	if err != nil {
		return err
	}
	list, _ := v.([]any)
	for _, v := range list {
		o, _ := v.(*hf.Object)
		if !strings.HasSuffix(o.Text("type"), "Pooling") {
			continue
		}
		dir := path.Clean(o.Text("path"))
		if dir == ".." || strings.HasPrefix(dir, "../") || path.IsAbs(dir) {
			return fault.In("modules.json", fault.New(fault.Unsafe, "the path %.80q leads out of the folder", o.Text("path")))
		}
		config, err := c.folder.Object(c.ctx, path.Join(dir, "config.json"))
		if err != nil {
			return err
		}
		if config == nil {
			return fault.New(fault.Missing, "modules.json names %s/config.json, which is not there", dir)
		}
		kind := int64(0)
		switch {
		case hf.True(config.Value("pooling_mode_mean_tokens")):
			kind = poolings["mean"]
		case hf.True(config.Value("pooling_mode_cls_token")):
			kind = poolings["cls"]
		case hf.True(config.Value("pooling_mode_lasttoken")):
			kind = poolings["lasttoken"]
		default:
			if kind = poolings[config.Text("pooling_mode")]; kind == 0 {
				return fault.New(fault.Unsupported, "%s/config.json pools neither the mean nor the first nor the last token", dir)
			}
		}
		if err := c.uint("pooling_type", kind); err != nil {
			return err
		}
		break
	}
	switch v := c.h.Value("classifier_pooling"); {
	case v == nil:
	case v == "cls" || v == "mean":
		return c.uint("classifier.pooling_type", poolings[v.(string)])
	default:
		return fault.New(fault.Unsupported, "config.json pools by %s before its classifier", shown(v))
	}
	return nil
}

// typeCount puts how many kinds of texts there are embeddings for.
func (c *converter) typeCount() error {
	n := int64(1)
	if c.h.Value("type_vocab_size") != nil {
		var err error
		if n, err = c.whole("type_vocab_size"); err != nil {
			return err
		}
	}
	c.put(gguf.Key("tokenizer.ggml.token_type_count", uint32(n)))
	return nil
}

// wordPiece puts a tokenizer of words and what goes on with them.
func (c *converter) wordPiece() error {
	l, err := c.words("WordPiece", true)
	if err != nil {
		return err
	}
	if err := c.typeCount(); err != nil {
		return err
	}
	c.put(gguf.Key("tokenizer.ggml.model", "bert"))
	s, err := c.special(l.count)
	if err != nil {
		return err
	}
	s.put(c)
	return nil
}

// nomic sets what nomic-embed-text does otherwise than its configuration says, and refuses what llama.cpp has not.
func (c *converter) nomic() error {
	if hf.True(c.h.Value("moe_every_n_layers")) {
		return fault.New(fault.Unsupported, "a nomic-bert with experts is not converted to GGUF here")
	}
	t, err := c.tokenizerJSON()
	if err != nil {
		return err
	}
	if t != nil && t.Kind == "Unigram" {
		return fault.New(fault.Unsupported, "a nomic-bert with a tokenizer of XLM-RoBERTa is not converted to GGUF here")
	}
	positions, err := c.whole("n_positions")
	if err != nil {
		return err
	}
	trained := int64(2048)
	if c.h.Value("max_trained_positions") != nil {
		if trained, err = c.whole("max_trained_positions"); err != nil {
			return err
		}
	}
	switch {
	case positions == 8192 && trained == 2048:
		positions = 2048
	case positions == 2048 && trained == 2048:
		positions = 512
	default:
		return fault.New(fault.Unsupported, "a nomic-bert for %d positions, trained with %d", positions, trained)
	}
	c.h = withValues(c.h, map[string]any{"n_positions": positions})
	for key, want := range map[string]any{
		"activation_function": "swiglu", "causal": false, "qkv_proj_bias": false, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "prenorm": false,
		"rotary_emb_interleaved": false, "rotary_emb_scale_base": nil,
	} {
		if v, ok := c.h.Get(key); !ok || v != want {
			return fault.New(fault.Unsupported, "config.json says that %s is %s, and llama.cpp's nomic-bert has %s", key, shown(v), shown(want))
		}
	}
	if f, ok := hf.Float(c.h.Value("rotary_emb_fraction")); !ok || f != 1 {
		return fault.New(fault.Unsupported, "config.json says that rotary_emb_fraction is %s, and llama.cpp's nomic-bert has 1", shown(c.h.Value("rotary_emb_fraction")))
	}
	return nil
}
