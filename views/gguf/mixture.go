package gguf

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/fault"
)

// Which type a tensor gets is llama-quantize's choice, and a file of a type is known by it: the rules below are those
// of the llama.cpp that integration/llamacpp.sh builds. They look at names, shapes and hyper-parameters alone.

// role is what a tensor is for, as far as the rules tell tensors apart.
type role uint8

const (
	other role = iota
	output
	embedding // of tokens
	attnQ
	attnK
	attnV
	attnQKV
	attnKVB
	attnOutput
	ffnUp
	ffnGate
	ffnDown
)

// parts are the names by which a role is known; the first that a tensor's name holds counts.
var parts = []struct {
	part string
	role role
}{
	{"attn_qkv.weight", attnQKV}, {"attn_kv_b.weight", attnKVB}, {"attn_v.weight", attnV}, {"attn_k.weight", attnK}, {"attn_q.weight", attnQ},
	{"attn_output.weight", attnOutput}, {"ffn_up", ffnUp}, {"ffn_gate", ffnGate}, {"ffn_down", ffnDown},
}

func roleOf(name string) role {
	switch name {
	case outputName:
		return output
	case embeddingName, layerEmbeddingName:
		return embedding
	}
	for _, p := range parts {
		if strings.Contains(name, p.part) {
			return p.role
		}
	}
	return other
}

const (
	outputName         = "output.weight"
	embeddingName      = "token_embd.weight"
	layerEmbeddingName = "per_layer_token_embd.weight"
)

// values reports whether the role is that of attention's values, which suffer most.
func (r role) values() bool { return r == attnV || r == attnQKV || r == attnKVB }

// kept are parts of names of weights that are small, or matter too much, and keep their type.
var kept = []string{
	"_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
	"ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight",
	"time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight",
	"time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight",
	"time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight",
	".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
}

// keptOf are further ones of an architecture.
var keptOf = map[string][]string{
	"glm5-next": {
		"hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate", "indexer_compressor_ape",
		"ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight",
	},
}

// quantizable reports whether a tensor is one whose type is chosen.
func (h *hyper) quantizable(t *gguf.Tensor) bool {
	// (llama-quantize looks for "weight" at the length of the name less 6, which a name of 5 letters passes.)
	if dims(t.Shape) < 2 || !strings.HasSuffix(t.Name, "weight") && len(t.Name) != 5 || t.Name == "position_embd.weight" || t.Name == "token_types.weight" {
		return false
	}
	holds := func(part string) bool { return strings.Contains(t.Name, part) }
	return !slices.ContainsFunc(kept, holds) && !slices.ContainsFunc(keptOf[h.arch], holds)
}

// dims is the number of dimensions without those of 1 at the outer end, and at least 1.
func dims(shape []int64) int {
	for len(shape) > 1 && shape[0] == 1 {
		shape = shape[1:]
	}
	return max(1, len(shape))
}

// dim is dimension i counted from the innermost; 1 where there are not so many.
func dim(shape []int64, i int) int64 {
	if i < len(shape) {
		return shape[len(shape)-1-i]
	}
	return 1
}

// layer is the number that stands after "blk." at the beginning of a tensor's name; false where there is none.
func layer(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "blk.")
	n := 0
	for len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9' && n < 1<<24 {
		n = 10*n + int(digits[0]-'0')
		digits = digits[1:]
	}
	return n, ok && len(digits) < len(name)-len("blk.")
}

// sorted is the tensors as llama.cpp keeps them: by layer, those of none first, then by name.
func sorted(tensors []gguf.Tensor) []gguf.Tensor {
	at := func(t *gguf.Tensor) int {
		if n, ok := layer(t.Name); ok {
			return n
		}
		return -1
	}
	list := slices.Clone(tensors)
	slices.SortFunc(list, func(a, b gguf.Tensor) int {
		return cmp.Or(cmp.Compare(at(&a), at(&b)), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// hyper is what the rules take from the keys.
type hyper struct {
	arch    string
	layers  int
	experts uint64
	gqa     uint64 // heads of queries to one of keys and values
	seventy bool   // llama.cpp calls the model one of 70 billion parameters
}

func hyperOf(c *gguf.Content) *hyper {
	h := &hyper{arch: c.Get("general.architecture").Text()}
	// number is that of a key, of a list its first.
	number := func(key string) (uint64, bool) {
		kv := c.Get(h.arch + "." + key)
		if kv != nil && kv.Type == gguf.Array && len(kv.First) > 0 {
			kv = &gguf.KV{Value: kv.First[0]}
		}
		return kv.Uint()
	}
	blocks, _ := number("block_count")
	h.experts, _ = number("expert_count")
	heads, _ := number("attention.head_count")
	shared, ok := number("attention.head_count_kv")
	if !ok {
		shared = heads
	}
	if shared > 0 {
		h.gqa = heads / shared
	}
	last, _ := number("nextn_predict_layers")
	depth := blocks - min(last, blocks)
	switch h.arch {
	case "llama", "llama-embed":
		h.seventy = depth == 80 && h.experts != 8 && heads != shared
	case "qwen2", "olmo", "deci":
		h.seventy = depth == 80
	case "jais2":
		h.seventy = depth == 68
	case "graniteswitch":
		blocks = depth + 1 // and a layer of its own for the router
	case "nanbeige":
		if loops, ok := number("num_loops"); ok && loops > 1 && depth < 1<<20 && loops < 1<<10 {
			blocks = depth * loops
		}
	}
	h.layers = int(min(blocks, 1<<24))
	return h
}

// knobs are llama-quantize's options.
type knobs struct {
	pure      bool       // all of the base type
	leave     bool       // output.weight keeps its type
	output    *ggml.Type // of output.weight
	embedding *ggml.Type // of the embeddings of tokens
	tensors   []override // the first that matches counts
	imatrix   bool       // there is an importance matrix
}

// override is a type for tensors by their names.
type override struct {
	pattern *regexp.Regexp
	to      ggml.Type
}

// mixture chooses types. The tensors are asked about in the order of sorted: some rules count.
type mixture struct {
	*hyper
	knobs
	ftype ftype

	tied                bool // the embeddings are the output's too
	values, valuesSeen  int  // tensors of attention's values: all, and those decided so far
	downs, gates, upses int  // of the feed-forward part, decided so far
}

func newMixture(tensors []gguf.Tensor, h *hyper, f ftype, k knobs) *mixture {
	m := &mixture{hyper: h, knobs: k, ftype: f, tied: true}
	for i := range tensors {
		switch r := roleOf(tensors[i].Name); {
		case r.values():
			m.values++
		case r == output:
			m.tied = false
		}
	}
	return m
}

// of is the type that a tensor gets.
func (m *mixture) of(t *gguf.Tensor) (ggml.Type, error) {
	if !m.quantizable(t) || m.leave && t.Name == outputName {
		return t.Type, nil
	}
	r := roleOf(t.Name)
	named := slices.IndexFunc(m.tensors, func(o override) bool { return o.pattern.MatchString(t.Name) })
	if m.embedding != nil && r == embedding && (named < 0 || t.Name != layerEmbeddingName) {
		return *m.embedding, nil
	}
	if m.output != nil && r == output {
		return *m.output, nil
	}
	base := m.ftype.base
	if !quantized(base) {
		return base, nil
	}
	switch {
	case named >= 0:
		base = m.tensors[named].to
	case !m.pure:
		var err error
		if base, err = m.choose(t, r, base); err != nil {
			return 0, err
		}
	}
	return fits(t, base)
}

// quantized reports whether a type is one of blocks.
func quantized(t ggml.Type) bool { return t.Block().Elems > 1 }

// fallbacks are what takes the place of types whose blocks do not fit the rows.
var fallbacks = map[ggml.Type]ggml.Type{
	ggml.IQ1_S: ggml.IQ4_NL, ggml.IQ1_M: ggml.IQ4_NL, ggml.IQ2_XXS: ggml.IQ4_NL, ggml.IQ2_XS: ggml.IQ4_NL, ggml.IQ2_S: ggml.IQ4_NL, ggml.IQ3_XXS: ggml.IQ4_NL,
	ggml.IQ3_S: ggml.IQ4_NL, ggml.IQ4_XS: ggml.IQ4_NL, ggml.Q2_0: ggml.Q4_0, ggml.Q2_K: ggml.Q4_0, ggml.Q3_K: ggml.Q4_0, ggml.TQ1_0: ggml.Q4_0, ggml.TQ2_0: ggml.Q4_0,
	ggml.Q4_K: ggml.Q5_0, ggml.Q5_K: ggml.Q5_1, ggml.Q6_K: ggml.Q8_0,
}

// fits is a type, or the one in its place where the rows are no whole number of its blocks: F16 where none fits.
func fits(t *gguf.Tensor, to ggml.Type) (ggml.Type, error) {
	row := dim(t.Shape, 0)
	if row%to.Block().Elems == 0 {
		return to, nil
	}
	less, ok := fallbacks[to]
	if !ok {
		if to.Block().Elems > 32 {
			return 0, fault.New(fault.Unsupported, "tensor %q has rows of %d elements, which are no whole number of %s blocks, and no other type is named for it", t.Name, row, to)
		}
		less = to
	}
	if row%less.Block().Elems != 0 {
		return ggml.F16, nil
	}
	return less, nil
}

// more reports whether layer i of n is one of those that get more bits: the first eighth, the last, and each third
// between.
func more(i, n int) bool { return i < n/8 || i >= 7*n/8 || (i-n/8)%3 == 2 }

// place is where a feed-forward tensor stands: how many of its kind came before, or the layer in its name where a
// layer has many experts.
func (m *mixture) place(t *gguf.Tensor, before int) (int, error) {
	if m.experts <= 1 {
		return before, nil
	}
	i, ok := layer(t.Name)
	if !ok || i >= m.layers {
		return 0, fault.New(fault.Unsupported, "tensor %q has no layer of the model's %d in its name, and llama-quantize goes by that", t.Name, m.layers)
	}
	return i, nil
}

// choose is the type of the mixture for a tensor.
func (m *mixture) choose(t *gguf.Tensor, r role, base ggml.Type) (ggml.Type, error) {
	if m.arch == "glm5-next" && (strings.Contains(t.Name, "attn_q_a") || strings.Contains(t.Name, "attn_q_b") || strings.Contains(t.Name, "nextn.eh_proj")) {
		return ggml.Q8_0, nil
	}
	switch {
	case r == output || m.tied && r == embedding:
		return m.last(t, base), nil
	case m.ftype.name == "MXFP4_MOE":
		if dim(t.Shape, 2) > 1 && (m.arch != "bailingmoe3" || r == ffnUp || r == ffnGate || r == ffnDown) {
			return ggml.MXFP4, nil
		}
		return ggml.Q8_0, nil
	case r == embedding:
		if m.ftype.name == "TQ1_0" || m.ftype.name == "TQ2_0" {
			return ggml.Q4_K, nil
		}
		return base, nil
	case r.values():
		return m.value(base), nil
	case r == attnK:
		if m.experts == 8 {
			return ggml.Q8_0, nil
		}
	case r == ffnDown:
		return m.down(t, base)
	case r == attnOutput:
		return m.attentionOutput(base), nil
	case r == ffnGate:
		_, err := m.place(t, m.gates)
		m.gates++
		return base, err
	case r == ffnUp:
		_, err := m.place(t, m.upses)
		m.upses++
		return base, err
	}
	return base, nil
}

// last is the type of the output, and of embeddings that are the output too.
func (m *mixture) last(t *gguf.Tensor, base ggml.Type) ggml.Type {
	switch {
	case m.output != nil:
		return *m.output
	case m.ftype.name == "MXFP4_MOE", m.arch == falcon, dim(t.Shape, 0)%base.Block().Elems != 0:
		return ggml.Q8_0
	case base != ggml.Q8_0:
		return ggml.Q6_K
	}
	return base
}

const falcon = "falcon"

// value is the type of a tensor of attention's values.
func (m *mixture) value(to ggml.Type) ggml.Type {
	i := m.valuesSeen
	m.valuesSeen++
	switch m.ftype.name {
	case "Q2_K":
		to = ggml.Q3_K
		if m.gqa >= 4 {
			to = ggml.Q4_K
		}
	case "Q2_K_S":
		if m.gqa >= 4 {
			to = ggml.Q4_K
		}
	case "Q3_K_M":
		to = ggml.Q4_K
		if i < 2 {
			to = ggml.Q5_K
		}
	case "Q3_K_L":
		to = ggml.Q5_K
	case "IQ4_NL", "IQ4_XS":
		if m.gqa >= 4 {
			to = ggml.Q5_K
		}
	case "Q4_K_M", "Q5_K_M":
		if more(i, m.values) {
			to = ggml.Q6_K
		}
	case "Q4_K_S":
		if i < 4 {
			to = ggml.Q5_K
		}
	}
	if m.seventy && (to == ggml.Q3_K || to == ggml.Q4_K) {
		to = ggml.Q5_K
	}
	if m.experts == 8 {
		to = ggml.Q8_0
	}
	return to
}

// down is the type of a feed-forward part's second matrix.
func (m *mixture) down(t *gguf.Tensor, to ggml.Type) (ggml.Type, error) {
	i, err := m.place(t, m.downs)
	m.downs++
	if err != nil {
		return 0, err
	}
	n := m.layers
	switch m.ftype.name {
	case "Q2_K":
		to = ggml.Q3_K
	case "Q2_K_S":
		if i < n/8 {
			to = ggml.Q4_K
		}
	case "Q3_K_M":
		switch {
		case i < n/16:
			to = ggml.Q5_K
		case m.arch != falcon || more(i, n):
			to = ggml.Q4_K
		}
	case "Q3_K_L":
		to = ggml.Q5_K
		if m.arch == falcon {
			to = ggml.Q4_K
		}
	case "Q4_K_M":
		switch {
		case m.arch != falcon:
			if more(i, n) {
				to = ggml.Q6_K
			}
		case i < n/16:
			to = ggml.Q6_K
		case more(i, n):
			to = ggml.Q5_K
		}
	case "IQ4_NL", "IQ4_XS":
		if i < n/8 && !m.imatrix {
			to = ggml.Q5_K
		}
	case "Q5_K_M":
		if more(i, n) {
			to = ggml.Q6_K
		}
	case "Q4_K_S":
		if m.arch != falcon && i < n/8 {
			to = ggml.Q5_K
		}
	case "Q4_0":
		if m.imatrix && i < n/8 {
			to = ggml.Q4_1
		}
	case "Q5_0":
		if m.imatrix && i < n/8 {
			to = ggml.Q5_1
		}
	}
	return to, nil
}

// attentionOutput is the type of attention's last matrix.
func (m *mixture) attentionOutput(to ggml.Type) ggml.Type {
	switch {
	case m.arch == falcon:
		if m.ftype.name == "Q3_K_L" {
			return ggml.Q4_K
		}
	case m.experts == 8:
		switch m.ftype.name {
		case "Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ4_XS":
			return ggml.Q5_K
		}
	default:
		switch m.ftype.name {
		case "Q2_K":
			return ggml.Q3_K
		case "Q3_K_M":
			return ggml.Q4_K
		case "Q3_K_L":
			return ggml.Q5_K
		}
	}
	return to
}
