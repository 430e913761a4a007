package checkpoint

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// architecture is the table of one architecture.
type architecture struct {
	classes []string // what config.json calls it
	name    string   // what llama.cpp calls it
	rows    []row

	// strip are beginnings of names that are taken off, and drop names of tensors that have no place in the file: whole
	// names, beginnings that end in *, endings that begin with *, or what stands between two of them.
	strip, drop []string
	rename      func(name string) string // what else a name becomes before it is looked up; nil: nothing

	plain   bool                                 // config.json is read as it stands
	skip    func(c *converter, name string) bool // tensors that are left out besides; nil: none
	prepare func(c *converter) error             // what is done to the hyper-parameters first; nil: nothing
	extra   func(c *converter) error             // tensors that the configuration makes, before all others; nil: none
	keys    func(c *converter) error             // the hyper-parameters; nil: those that most have
	tokens  func(c *converter) error             // the tokenizer
}

// row is where one tensor of the checkpoint goes. A tensor may have several rows: then it is cut in as many.
type row struct {
	// from is its name without .weight or .bias. * is the number of its layer, # that of an expert: those of all experts
	// are stacked.
	from string
	to   string // llama.cpp's name; * is the number of the layer
	do   []step // what becomes of its elements, in order
}

// everywhere are names of tensors that no text model has use for: parts for images and sound, and masks.
var everywhere = []string{
	"mlp*", "vit.*", "vpm.*", "siglip2.*", "conformer.*", "merger.*", "resampler.*", "sound_encoder.*", "sound_projection.*", "speech_embeddings.*",
	"*visual.*", "*vision.*", "*audio.*", "*talker.*", "*vision_*", "*audio_*", "*token2wav.*", "*code2wav.*", "*projector.*", "*pre_mm_projector_norm*",
	"*image_newline*", "*view_seperator*", "*patch_embed*", "*patch_merger.*", "*patch_merge_mlp.*", "*model.connector.*",
	"*.attention.masked_bias", "*.attention.bias", "*.rotary_emb.inv_freq",
}

// like reports whether a name is one of a list of patterns.
func like(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		front, back := strings.HasPrefix(p, "*"), strings.HasSuffix(p, "*")
		bare := strings.Trim(p, "*")
		switch {
		case front && back:
			return strings.Contains(name, bare)
		case front:
			return strings.HasSuffix(name, bare)
		case back:
			return strings.HasPrefix(name, bare)
		}
		return name == p
	})
}

// known is the name that a tensor is looked up by; false where it has no use.
func (a *architecture) known(name string) (string, bool) {
	for _, prefix := range a.strip {
		name = strings.TrimPrefix(name, prefix)
	}
	if a.rename != nil {
		name = a.rename(name)
	}
	if like(name, a.drop) || like(name, everywhere) {
		return "", false
	}
	if bare, ok := strings.CutSuffix(name, "e_score_correction_bias"); ok {
		name = bare + "e_score_correction.bias"
	}
	return strings.ReplaceAll(name, "language_model.", ""), true
}

// matched is a row that a name matches, and the numbers in it.
type matched struct {
	*row
	block, expert int64 // -1 where it has none
	suffix        string
}

// find lists the rows of a name, all of one pattern.
func (a *architecture) find(name string) []matched {
	for _, suffix := range []string{"", ".weight", ".bias"} {
		bare, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		var list []matched
		for i := range a.rows {
			r := &a.rows[i]
			if block, expert, ok := r.numbers(bare); ok && (len(list) == 0 || list[0].from == r.from) {
				list = append(list, matched{r, block, expert, suffix})
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// numbers are those that stand for * and # in a name that the row's pattern matches.
func (r *row) numbers(name string) (block, expert int64, ok bool) {
	block, expert = -1, -1
	pattern := r.from
	for pattern != "" {
		i := strings.IndexAny(pattern, "*#")
		if i < 0 {
			return block, expert, name == pattern
		}
		rest, ok := strings.CutPrefix(name, pattern[:i])
		if !ok {
			return 0, 0, false
		}
		n := 0
		for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		number, err := strconv.ParseInt(rest[:n], 10, 32)
		if err != nil {
			return 0, 0, false
		}
		if pattern[i] == '*' {
			block = number
		} else {
			expert = number
		}
		pattern, name = pattern[i+1:], rest[n:]
	}
	return block, expert, name == ""
}

// name is llama.cpp's name of the tensor.
func (m *matched) name() string {
	return strings.ReplaceAll(m.to, "*", strconv.FormatInt(m.block, 10)) + m.suffix
}

// convert turns the checkpoint's weights into the file's tensors.
func (c *converter) convert() error {
	inputs, err := c.inputs()
	if err != nil {
		return err
	}
	c.stored = make(map[string]model.Tensor, len(inputs))
	for _, t := range inputs {
		if name, ok := c.arch.known(t.Name); ok && (c.arch.skip == nil || !c.arch.skip(c, name)) {
			if _, twice := c.stored[name]; !twice {
				c.order = append(c.order, name)
			}
			t.Name = name
			c.stored[name] = t
		}
	}
	if c.arch.extra != nil {
		if err := c.arch.extra(c); err != nil {
			return err
		}
	}
	g := gathering{}
	for _, name := range c.order {
		t, ok := c.stored[name]
		if !ok { // taken by extra
			continue
		}
		if err := c.one(t, g); err != nil {
			return fault.New(fault.KindOf(err), "tensor %q: %s", name, fault.Reason(err)).Remedied("%s", fault.Remedy(err))
		}
	}
	return g.done()
}

// one converts one tensor of the checkpoint, or puts it with those that it is stacked with.
func (c *converter) one(t model.Tensor, g gathering) error {
	rows := c.arch.find(t.Name)
	if len(rows) == 0 {
		return fault.New(fault.Unsupported, "it has no place in llama.cpp's %s", c.arch.name)
	}
	if rows[0].block >= c.blocks {
		return fault.New(fault.Mismatch, "it is of layer %d, and config.json says that there are %d", rows[0].block, c.blocks)
	}
	for i := range rows {
		r := &rows[i]
		made := tensor{name: r.name(), dtype: t.DType, shape: t.Shape, data: t.Data}
		for _, do := range r.do {
			var err error
			if made, err = do(c, made); err != nil {
				return err
			}
		}
		if r.expert >= 0 {
			if err := c.gather(g, r, made); err != nil {
				return err
			}
			continue
		}
		if err := c.add(made); err != nil {
			return err
		}
	}
	return nil
}

// add puts a tensor into the file.
func (c *converter) add(t tensor) error {
	if c.names[t.name] {
		return fault.New(fault.Duplicate, "a second tensor would be called %s", t.name)
	}
	if c.names == nil {
		c.names = map[string]bool{}
	}
	c.names[t.name] = true
	c.tensors = append(c.tensors, t)
	return nil
}

// gathering is the experts of each layer, until there are all of them.
type gathering map[int64]*experts

// experts are those of one layer: parts[name][i] is expert i of one tensor.
type experts struct {
	parts map[string][]*tensor
	names []string // in the order of the table
	left  int64    // how many parts are not there yet
}

// gather takes one expert's tensor, and adds all of the layer where it was the last.
func (c *converter) gather(g gathering, r *matched, t tensor) error {
	count, err := c.experts()
	if err != nil {
		return err
	}
	e := g[r.block]
	if e == nil {
		e = &experts{parts: map[string][]*tensor{}}
		for i := range c.arch.rows {
			if other := &c.arch.rows[i]; strings.Contains(other.from, "#") {
				m := matched{other, r.block, 0, r.suffix}
				e.names = append(e.names, m.name())
				e.parts[m.name()] = make([]*tensor, count)
			}
		}
		e.left = count * int64(len(e.names))
		g[r.block] = e
	}
	parts := e.parts[t.name]
	if r.expert >= int64(len(parts)) || parts[r.expert] != nil {
		return fault.New(fault.Mismatch, "config.json says that there are %d experts", count)
	}
	parts[r.expert] = &t
	if e.left--; e.left > 0 {
		return nil
	}
	for _, name := range e.names {
		list := make([]tensor, count)
		for i, p := range e.parts[name] {
			list[i] = *p
		}
		made, err := stack(list)
		if err != nil {
			return err
		}
		if err := c.add(made); err != nil {
			return err
		}
	}
	e.names = nil
	return nil
}

// done checks that no expert is missing.
func (g gathering) done() error {
	for block, e := range g {
		if e.left > 0 {
			return fault.New(fault.Missing, "%d tensors of experts of layer %d are missing", e.left, block)
		}
	}
	return nil
}

// maxExperts bounds the experts of a layer.
const maxExperts = 1 << 14

// experts is how many experts a layer has.
func (c *converter) experts() (int64, error) {
	n, err := c.whole("num_local_experts", "num_experts", "n_routed_experts")
	if err == nil && (n < 1 || n > maxExperts) {
		err = fault.New(fault.Limit, "config.json says that there are %d experts", n)
	}
	return n, err
}

// literal is a tensor of numbers that the configuration makes.
func (c *converter) literal(name string, values []float32) error {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return c.add(tensor{name: name, dtype: model.F32, shape: []int64{int64(len(values))}, data: layout.Bytes(b)})
}
