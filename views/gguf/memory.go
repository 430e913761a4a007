package gguf

import (
	"context"
	"math/bits"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// usualContext is for how many tokens memory is counted where nobody says: most chats fit.
const usualContext = 8192

// llama.cpp rounds the cache up to so many tokens, and works on so many at once.
const (
	cells = 256
	batch = 512
)

// windows are the architectures in which only each so manyth layer looks at all tokens, the others at a window of them
// (attention.sliding_window).
var windows = map[string]int{"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4}

// Memory is the bytes that llama.cpp takes beside the file for the keys and values of so many tokens, in float16 as it
// does by default, and for how many tokens that is: for context 0 the usual number, or what the model was made for where
// that is less. Scratch memory, some hundred megabytes, is not in it. A model whose keys do not say is Unsupported.
func Memory(m *model.Model, context int64) (size, tokens int64, err error) {
	f, _ := ftypeOf("Q8_0") // of any quantized type the keys are the same
	c, _, err := content(m, f, knobs{})
	if err != nil {
		return 0, 0, fault.In(m.File, err)
	}
	p := &parameters{c, c.Get("general.architecture").Text()}
	if context <= 0 {
		context = usualContext
		if most, ok := p.one("context_length"); ok && most > 0 {
			context = int64(min(most, usualContext))
		}
	}
	if causal := c.Get(p.arch + ".attention.causal"); causal != nil && causal.Value == false {
		return 0, context, nil // nothing is generated, so nothing is kept
	}
	sum, ok := p.cache(context)
	if !ok {
		return 0, 0, fault.In(m.File, fault.New(fault.Unsupported, "the keys of the model do not say how large its attention is"))
	}
	return sum, context, nil
}

// parameters are the hyper-parameters of a content.
type parameters struct {
	*gguf.Content
	arch string
}

func (p *parameters) one(key string) (uint64, bool) { return p.Get(p.arch + "." + key).Uint() }

// each is a parameter of a layer: the key's, or the layer's where it is a list.
func (p *parameters) each(key string) func(layer uint64) uint64 {
	list, ok := p.Get(p.arch + "." + key).Uints(context.Background())
	return func(layer uint64) uint64 {
		switch {
		case !ok || len(list) > 1 && layer >= uint64(len(list)):
			return 0
		case len(list) == 1:
			return list[0]
		}
		return list[layer]
	}
}

// maxLayers is the most layers of a model: llama.cpp's.
const maxLayers = 1024

// cache is the bytes of the cache.
func (p *parameters) cache(tokens int64) (int64, bool) {
	layers, _ := p.one("block_count")
	width, _ := p.one("embedding_length")
	heads, shared := p.each("attention.head_count"), p.each("attention.head_count_kv")
	if p.Get(p.arch+".attention.head_count_kv") == nil {
		shared = heads
	}
	if layers == 0 || layers > maxLayers || tokens > 1<<40 {
		return 0, false
	}
	if last, ok := p.one("nextn_predict_layers"); ok && last < layers {
		layers -= last
	}
	key, keyed := p.one("attention.key_length")
	value, valued := p.one("attention.value_length")
	_, latent := p.one("attention.key_length_mla")
	window, sliding := p.one("attention.sliding_window")
	period := uint64(windows[p.arch])
	all := uint64(tokens+cells-1) / cells * cells
	near := min(all, (window+batch+cells-1)/cells*cells)
	var sum uint64
	for i := range layers {
		k, v := key, value
		if h := heads(i); h > 0 {
			if !keyed {
				k = width / h
			}
			if !valued {
				v = width / h
			}
		}
		if latent {
			v = 0 // the values are part of the keys
		}
		n := all
		if sliding && window > 0 && period > 0 && i%period < period-1 {
			n = near
		}
		hi, bytes := bits.Mul64(2*n, shared(i))
		hi2, bytes := bits.Mul64(bytes, k+v)
		if sum += bytes; hi > 0 || hi2 > 0 || sum > 1<<62 || k > 1<<32 || v > 1<<32 {
			return 0, false
		}
	}
	return int64(sum), sum > 0
}
