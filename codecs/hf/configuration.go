package hf

import (
	"context"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Config is the configuration of a model.
type Config struct {
	// Raw is config.json as it stands.
	Raw *Object

	// Values is what transformers makes of it: names of old times in their present form, and its class's defaults for
	// what is not said. Where transformers has no class, or refuses, it is Raw.
	Values *Object

	// Completed says that Values is what transformers makes.
	Completed bool
}

// Config reads the config.json of a folder; nil where there is none.
func (f *Folder) Config(ctx context.Context) (*Config, error) {
	raw, err := f.Object(ctx, "config.json")
	if raw == nil || err != nil {
		return nil, err
	}
	c := &Config{Raw: raw, Values: raw}
	if values, ok := complete(raw, raw.Text("model_type")); ok {
		c.Values, c.Completed = values, true
	}
	return c, nil
}

// Architecture is the class that the model was saved as; "" where nobody says. What a configuration of several models
// says of the one for text comes first.
func (c *Config) Architecture() string {
	for _, o := range []*Object{c.Values.Object("text_config"), c.Values} {
		if list := o.List("architectures"); len(list) > 0 {
			name, _ := list[0].(string)
			return name
		}
	}
	return ""
}

// configuration is a class of configuration of transformers.
type configuration struct {
	model    string // its model_type
	defaults string // JSON: those of its fields' defaults that somebody may ask for
	names    map[string]string
	theta    float64              // the default base of its rotary embedding; 0: it has none
	finish   func(o *Object) bool // what else it does with the fields; false where it refuses
	text     string               // the model_type of its text_config, where it is of several models
}

// complete is what the class of a model_type makes of a configuration; false where there is none, or where it refuses.
func complete(raw *Object, kind string) (*Object, bool) {
	for i := range classes {
		c := &classes[i]
		if c.model != kind {
			continue
		}
		o := c.made(raw)
		if c.finish != nil && !c.finish(o) {
			return nil, false
		}
		if c.theta != 0 {
			rotary(o, c.theta)
		}
		if c.text != "" {
			text := o.Object("text_config")
			if text == nil {
				text = &Object{}
			}
			made, ok := complete(text, c.text)
			if !ok {
				return nil, false
			}
			o.Set("text_config", made)
		}
		return o, true
	}
	return nil, false
}

// made is the fields of a configuration, before the class finishes them.
func (c *configuration) made(raw *Object) *Object {
	v, err := Parse(context.Background(), layout.Bytes([]byte(c.defaults)))
	o, ok := v.(*Object)
	if err != nil || !ok {
		panic(fault.New(fault.Malformed, "the defaults of %s: %v", c.model, err))
	}
	for _, key := range raw.Keys() {
		name := key
		if own, ok := c.names[key]; ok {
			name = own
		}
		if key != "max_length" { // a setting of generation, which configurations no longer have
			o.Set(name, raw.Value(key))
		}
	}
	return o
}

// rotary brings the settings of a rotary embedding into one object, rope_parameters, as transformers has them since
// version 5: with rope_type, rope_theta, and what scales it.
func rotary(o *Object, theta float64) {
	p := pop(o, "rope_scaling")
	if !True(p) {
		p = o.Value("rope_parameters")
	}
	given, _ := p.(*Object)
	rope := given.Clone()
	base := pop(o, "rope_theta")
	if base == nil {
		base = theta
	}
	partial := pop(o, "partial_rotary_factor")
	kinds := map[string]bool{}
	for _, kind := range o.List("layer_types") {
		if name, ok := kind.(string); ok {
			kinds[name] = true
		}
	}
	nested := false
	for _, key := range rope.Keys() {
		if inner := rope.Object(key); kinds[key] {
			nested = true
			if inner != nil {
				inner = inner.Clone()
				standard(o, inner, base, partial)
				rope.Set(key, inner)
			}
		}
	}
	if !nested {
		standard(o, rope, base, partial)
	}
	o.Set("rope_parameters", rope)
}

// standard fills in what one set of rotary settings lacks.
func standard(o, rope *Object, base, partial any) {
	rope.Default("rope_theta", base)
	if partial != nil {
		rope.Default("partial_rotary_factor", partial)
	}
	kind := any("default")
	if v, ok := rope.Get("type"); ok {
		kind = v
	}
	rope.Default("rope_type", kind)
	switch rope.Text("rope_type") {
	case "llama3", "yarn", "longrope":
		rope.Default("original_max_position_embeddings", o.Value("max_position_embeddings"))
	}
}

// pop takes a member out; nil where there is none.
func pop(o *Object, key string) any {
	v, ok := o.values[key]
	if !ok {
		return nil
	}
	delete(o.values, key)
	for i, k := range o.keys {
		if k == key {
			o.keys = append(o.keys[:i:i], o.keys[i+1:]...)
			break
		}
	}
	return v
}
