package gguf

import (
	"errors"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// TestMemory: the cache of models whose size llama.cpp prints ("KV buffer size"), or that follows from its rules.
func TestMemory(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		arch   string
		keys   map[string]any
		tokens int64
		want   int64
		of     int64 // tokens
	}{
		"Llama-3-8B, 8192":       {"llama", map[string]any{"block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "attention.head_count_kv": 8, "context_length": 8192}, 0, 1024 * mib, 8192},
		"the same, 4096":         {"llama", map[string]any{"block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "attention.head_count_kv": 8}, 4096, 512 * mib, 4096},
		"Llama-2-7B, unshared":   {"llama", map[string]any{"block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "context_length": 4096}, 0, 2048 * mib, 4096},
		"rounded up":             {"llama", map[string]any{"block_count": 1, "embedding_length": 256, "attention.head_count": 2, "attention.head_count_kv": 1}, 257, 512 * 256 * 2, 257},
		"Qwen3, head of its own": {"qwen3", map[string]any{"block_count": 28, "embedding_length": 1024, "attention.head_count": 16, "attention.head_count_kv": 8, "attention.key_length": 128, "attention.value_length": 128}, 8192, 896 * mib, 8192},
		"DeepSeek-V3, latent":    {"deepseek2", map[string]any{"block_count": 61, "embedding_length": 7168, "attention.head_count": 128, "attention.head_count_kv": 1, "attention.key_length": 576, "attention.value_length": 512, "attention.key_length_mla": 192}, 4096, 61 * 4096 * 576 * 2, 4096},
		"Gemma-3, windows":       {"gemma3", map[string]any{"block_count": 6, "embedding_length": 1152, "attention.head_count": 4, "attention.head_count_kv": 1, "attention.key_length": 256, "attention.value_length": 256, "attention.sliding_window": 512}, 8192, (5*1024 + 8192) * 512 * 2, 8192},
		"layers that differ":     {"jamba", map[string]any{"block_count": 3, "embedding_length": 256, "attention.head_count": 4, "attention.head_count_kv": []uint32{0, 2, 0}}, 256, 256 * 2 * 128 * 2, 256},
		"an embedding model":     {"bert", map[string]any{"block_count": 12, "embedding_length": 384, "attention.head_count": 12, "attention.causal": false}, 512, 0, 512},
	} {
		kvs := []gguf.KV{gguf.Key("general.architecture", c.arch)}
		for key, v := range c.keys {
			switch v := v.(type) {
			case int:
				kvs = append(kvs, gguf.Key(c.arch+"."+key, uint32(v)))
			case bool:
				kvs = append(kvs, gguf.Key(c.arch+"."+key, v))
			case []uint32:
				kvs = append(kvs, gguf.List(c.arch+"."+key, v))
			}
		}
		got, tokens, err := Memory(&model.Model{Wire: &gguf.Content{KVs: kvs}}, c.tokens)
		if err != nil || got != c.want || tokens != c.of {
			t.Errorf("%s: %d bytes for %d tokens, want %d for %d (%v)", name, got, tokens, c.want, c.of, err)
		}
	}
	for name, kvs := range map[string][]gguf.KV{
		"no keys":         {gguf.Key("general.architecture", "llama")},
		"too many layers": {gguf.Key("general.architecture", "llama"), gguf.Key("llama.block_count", uint32(1<<31)), gguf.Key("llama.embedding_length", uint32(1)), gguf.Key("llama.attention.head_count", uint32(1))},
		"too wide":        {gguf.Key("general.architecture", "llama"), gguf.Key("llama.block_count", uint32(1)), gguf.Key("llama.attention.key_length", uint64(1)<<62), gguf.Key("llama.attention.head_count", uint32(1))},
	} {
		if _, _, err := Memory(&model.Model{Wire: &gguf.Content{KVs: kvs}}, 0); !errors.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
