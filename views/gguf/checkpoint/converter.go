package checkpoint

import (
	"context"
	"math"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/codecs/packed"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// converter is a checkpoint on its way.
type converter struct {
	ctx    context.Context
	model  *model.Model
	folder *hf.Folder
	config *hf.Config
	class  string        // what config.json calls the architecture
	arch   *architecture // its table
	h      *hf.Object    // the hyper-parameters: config.json as transformers completes it, of several models the text's
	rope   *hf.Object    // those of the rotary embedding; with full_attention and sliding_attention where layers differ
	blocks int64         // how many layers there are

	positions int64 // how many embeddings of positions are those of padding

	stored  map[string]model.Tensor // what the checkpoint holds, by its names, as far as the table has use for it
	order   []string                // those names
	names   map[string]bool         // those of tensors
	kvs     []gguf.KV
	tensors []tensor

	json  *hf.Tokenizer // tokenizer.json, where it was asked for
	asked bool
}

// configure reads config.json, and finds the table.
func (c *converter) configure() error {
	config, err := c.folder.Config(c.ctx)
	if err != nil {
		return err
	}
	if config == nil {
		return fault.New(fault.Missing, "there is no config.json beside the model, which says what architecture it is of").
			Remedied("put the repository's config.json and tokenizer files beside the weights")
	}
	c.config = config
	if c.class = config.Architecture(); c.class == "" {
		return fault.New(fault.Unsupported, "config.json names no architecture")
	}
	for i := range architectures {
		if slices.Contains(architectures[i].classes, c.class) {
			c.arch = &architectures[i]
		}
	}
	if c.arch == nil {
		return fault.New(fault.Unsupported, "the architecture %s is not one that is converted to GGUF here", c.class).
			Remedied("llama.cpp's convert_hf_to_gguf.py may know it; a GGUF in the store is served in every type")
	}
	values := config.Values
	if c.arch.plain {
		values = config.Raw
	}
	c.h = values.Clone()
	if text := values.Object("text_config"); text != nil {
		for _, key := range text.Keys() {
			c.h.Set(key, text.Value(key))
		}
	}
	if c.blocks, err = c.whole("n_layers", "num_hidden_layers", "n_layer", "num_layers"); err != nil {
		return err
	}
	if c.blocks < 0 || c.blocks > maxBlocks {
		return fault.New(fault.Limit, "config.json says that there are %d layers, and at most %d are taken", c.blocks, maxBlocks)
	}
	c.rotary()
	if c.arch.prepare != nil {
		return c.arch.prepare(c)
	}
	return nil
}

// maxBlocks bounds the layers of a model; llama.cpp takes 512.
const maxBlocks = 512

// rotary gathers what is said of the rotary embedding, under the names that it has had over time.
func (c *converter) rotary() {
	given := c.h.Object("rope_parameters")
	if _, ok := c.h.Get("rope_parameters"); !ok {
		given = c.h.Object("rope_scaling")
	}
	c.rope = given.Clone()
	_, full := c.rope.Get("full_attention")
	_, sliding := c.rope.Get("sliding_attention")
	if full || sliding {
		return
	}
	if local := c.find("local_rope_theta", "rope_local_theta", "rope_theta_local", "swa_rope_theta", "rope_local_base_freq"); local != nil {
		inner := &hf.Object{}
		inner.Set("rope_theta", local)
		c.rope.Set("sliding_attention", inner)
	}
	for _, x := range []struct {
		key string
		v   any
	}{
		{"rope_theta", c.find("global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta", "rotary_emb_base")},
		{"rope_type", c.rope.Value("type")},
		{"partial_rotary_factor", c.find("partial_rotary_factor", "rope_pct", "rope_percent")},
		{"original_max_position_embeddings", c.find("original_max_position_embeddings")},
	} {
		if x.v != nil {
			c.rope.Default(x.key, x.v)
		}
	}
}

// ropeFull is the settings of the rotary embedding of layers that see everything.
func (c *converter) ropeFull() *hf.Object {
	if full := c.rope.Object("full_attention"); full != nil {
		return full
	}
	return c.rope
}

// find is the first of the keys that the hyper-parameters have; nil where they have none, and where the first that they
// have is null.
func (c *converter) find(keys ...string) any {
	for _, key := range keys {
		if v, ok := c.h.Get(key); ok {
			return v
		}
	}
	return nil
}

// whole is a hyper-parameter that must be a whole number.
func (c *converter) whole(keys ...string) (int64, error) {
	v := c.find(keys...)
	n, ok := hf.Int(v)
	switch {
	case v == nil:
		return 0, fault.New(fault.Missing, "config.json does not say %s", keys[0])
	case !ok || n < 0 || n > math.MaxInt32:
		return 0, fault.New(fault.Malformed, "config.json says that %s is %v", keys[0], shown(v))
	}
	return n, nil
}

// real is a hyper-parameter that must be a number.
func (c *converter) real(keys ...string) (float64, error) {
	v := c.find(keys...)
	f, ok := hf.Float(v)
	switch {
	case v == nil:
		return 0, fault.New(fault.Missing, "config.json does not say %s", keys[0])
	case !ok:
		return 0, fault.New(fault.Malformed, "config.json says that %s is %v", keys[0], shown(v))
	}
	return f, nil
}

// shown is a value of a configuration as people are told of it.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v[:min(len(v), 40)])
	case *hf.Object:
		return "an object"
	case []any:
		return "a list"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *big.Int:
		return "a number of " + strconv.Itoa(v.BitLen()) + " bits"
	}
	return "of another kind"
}

// put gives a key its value, in the place it has or at the end.
func (c *converter) put(kv gguf.KV) {
	for i := range c.kvs {
		if c.kvs[i].Key == kv.Key {
			c.kvs[i] = kv
			return
		}
	}
	c.kvs = append(c.kvs, kv)
}

// text gives a key a string; an empty one is none.
func (c *converter) text(key, value string) {
	if value != "" {
		c.put(gguf.Key(key, value))
	}
}

// inputs are the checkpoint's weights in the order that the reference converter reads them: file by file in the order
// of their names, within a safetensors file in the order of the tensors' names, within another in its own. A weight
// that is stored as several tensors stands last, in the order of what it is stored as, but where it keeps the name of
// one of them.
func (c *converter) inputs() ([]model.Tensor, error) {
	stored := model.Unwrapped(c.model.Tensors)
	weights, err := slices.Clone(stored), error(nil)
	if q := c.model.Quantization; q == nil || q.Method != "mxfp4" { // which goes into the file as it is
		weights, err = packed.Weights(c.model)
	}
	if err != nil {
		return nil, err
	}
	shards := make([]int, max(1, len(c.model.Shards)))
	for i := range shards {
		shards[i] = i
	}
	sort.SliceStable(shards, func(i, j int) bool { return c.model.Shards[shards[i]] < c.model.Shards[shards[j]] })
	rank := make([]int, len(shards))
	for i, shard := range shards {
		rank[shard] = i
	}
	sort.SliceStable(stored, func(i, j int) bool {
		a, b := &stored[i], &stored[j]
		if rank[a.Shard] != rank[b.Shard] {
			return rank[a.Shard] < rank[b.Shard]
		}
		return c.model.Format == "safetensors" && a.Name < b.Name
	})
	place := make(map[string]int, len(stored))
	for i := range stored {
		place[stored[i].Name] = i
	}
	at := func(t *model.Tensor) int {
		if i, ok := place[t.Name]; ok {
			return i
		}
		base := strings.TrimSuffix(t.Name, "weight")
		if i, ok := place[base+"qweight"]; ok {
			if _, ok := place[base+"g_idx"]; !ok { // AWQ, which the reference does not read: as if the weight stood there
				return i
			}
			return len(stored) + i
		}
		if i, ok := place[t.Name+"_packed"]; ok {
			return len(stored) + i
		}
		return 2 * len(stored)
	}
	sort.SliceStable(weights, func(i, j int) bool { return at(&weights[i]) < at(&weights[j]) })
	return weights, nil
}
