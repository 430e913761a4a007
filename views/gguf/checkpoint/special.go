package checkpoint

import (
	"path"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
)

// special is what the tokenizer's files say of tokens with a meaning: their ids, whether they are put around a text,
// the templates of chats.
type special struct {
	kinds  []string // bos, eos, ...: in the order they are looked for
	ids    map[string]int64
	order  []string // the kinds in ids, in the order they were found
	add    map[string]bool
	adding []string // the kinds in add, in the order they were found

	template  string            // of chats; "" where there is none
	templates map[string]string // further ones, by name

	lowercase, stripAccents any // of the normalizer: bool, or nil where nothing is said
	bound                   int64
}

// keysOfIDs are the keys of the ids of tokens, by kind. llama.cpp has none for the others.
var keysOfIDs = map[string]string{
	"bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id", "sep": "seperator_token_id", "pad": "padding_token_id",
	"mask": "mask_token_id", "eot": "eot_token_id", "eom": "eom_token_id",
}

// special reads what the files say. kinds are those to look for, bound is one more than the largest id that counts, 0
// where all do.
func (c *converter) special(bound int64, kinds ...string) (*special, error) {
	if kinds == nil {
		kinds = []string{"bos", "eos", "unk", "sep", "pad", "cls", "mask"}
	}
	s := &special{kinds: kinds, ids: map[string]int64{}, add: map[string]bool{}, bound: bound}
	config, err := c.folder.Object(c.ctx, tokenizerConfig)
	if err != nil {
		return nil, err
	}
	tokenizer, err := c.tokenizerJSON()
	if err != nil {
		return nil, err
	}
	if config != nil {
		config = config.Clone() // what follows corrects it
	}
	if tokenizer != nil {
		s.normalizer(tokenizer.Rest.Object("normalizer"), 0)
		s.around(tokenizer.Rest.Object("post_processor"), config)
	}
	if config != nil {
		if err := s.chat(c, config); err != nil {
			return nil, err
		}
		for _, kind := range s.kinds {
			if v, ok := config.Value("add_" + kind + "_token").(bool); ok {
				if _, known := s.add[kind]; !known {
					s.adding = append(s.adding, kind)
					s.add[kind] = v
				}
			}
			content, ok := config.Value(kind + "_token").(string)
			if !ok {
				if content, ok = config.Object(kind + "_token").Value("content").(string); !ok {
					continue
				}
			}
			if tokenizer == nil {
				continue
			}
			if i := slices.IndexFunc(tokenizer.Added, func(a hf.Added) bool { return a.Content == content }); i >= 0 {
				s.set(kind, tokenizer.Added[i].ID)
			}
		}
	}
	for _, kind := range s.kinds {
		v := c.config.Raw.Value(kind + "_token_id")
		if v == nil {
			v = c.config.Raw.Object("text_config").Value(kind + "_token_id")
		}
		if id, ok := hf.Int(v); ok {
			if id < 0 || id > maxTokenID {
				return nil, fault.New(fault.Malformed, "config.json says that %s_token_id is %d", kind, id)
			}
			s.set(kind, id)
		}
	}
	return s, nil
}

const (
	tokenizerConfig = "tokenizer_config.json"
	maxTokenID      = 1<<32 - 1
)

// set gives a kind its token. The first counts.
func (s *special) set(kind string, id int64) {
	if _, ok := s.ids[kind]; ok || s.bound > 0 && id >= s.bound {
		return
	}
	s.ids[kind] = id
	s.order = append(s.order, kind)
}

func (s *special) setAdd(kind string, v bool) {
	if _, ok := s.add[kind]; !ok {
		s.adding = append(s.adding, kind)
	}
	s.add[kind] = v
}

// normalizer looks for the two flags that llama.cpp has of a normalizer.
func (s *special) normalizer(o *hf.Object, depth int) {
	if o == nil || depth > 64 {
		return
	}
	switch o.Text("type") {
	case "Lowercase":
		s.lowercase = true
	case "StripAccents":
		s.stripAccents = true
	case "BertNormalizer":
		if v, ok := o.Get("lowercase"); ok {
			s.lowercase = v
		}
		if v, ok := o.Get("strip_accents"); ok {
			s.stripAccents = v
		}
	case "Sequence":
		for _, v := range o.List("normalizers") {
			inner, _ := v.(*hf.Object)
			s.normalizer(inner, depth+1)
		}
	}
}

// content is the text of a token in a tokenizer_config.json, which is a text or an object with it.
func content(v any) any {
	if o, ok := v.(*hf.Object); ok && o == nil {
		return nil
	}
	return v
}

// around looks which tokens the post-processor puts around a text, and corrects the tokenizer's configuration where
// that has others. Of a template only simple ones are understood.
func (s *special) around(post *hf.Object, config *hf.Object) {
	if post == nil || len(post.Keys()) == 0 {
		return
	}
	bos, cls := content(config.Value("bos_token")), content(config.Value("cls_token"))
	eos, sep := content(config.Value("eos_token")), content(config.Value("sep_token"))
	has := config != nil && len(config.Keys()) > 0
	if !hf.True(bos) && hf.True(cls) && has {
		bos = cls
		config.Set("bos_token", bos)
	}
	if !hf.True(eos) && hf.True(sep) && has {
		eos = sep
		config.Set("eos_token", eos)
	}
	steps := []any{post}
	if list, ok := post.Get("processors"); ok {
		steps, _ = list.([]any)
	}
	for _, v := range steps {
		o, _ := v.(*hf.Object)
		switch o.Text("type") {
		case "ByteLevel":
			for _, kind := range []string{"bos", "eos"} {
				if _, ok := s.add[kind]; !ok {
					s.setAdd(kind, false)
				}
			}
		case "RobertaProcessing":
			s.setAdd("bos", true)
			s.setAdd("eos", true)
			s.setAdd("sep", true)
			if !hf.True(cls) && has {
				if cls = bos; len(o.List("cls")) > 0 {
					cls = o.List("cls")[0]
				}
				config.Set("cls_token", cls)
			}
			if !hf.True(sep) && has {
				if sep = eos; len(o.List("sep")) > 0 {
					sep = o.List("sep")[0]
				}
				config.Set("sep_token", sep)
			}
		case "TemplateProcessing":
			single, pair := o.List("single"), o.List("pair")
			token := func(list []any, i int, kind string) string {
				item, _ := list[i].(*hf.Object)
				return item.Object(kind).Text("id")
			}
			first, last := "", ""
			if len(single) > 1 {
				if first = token(single, 0, "SpecialToken"); first != "" {
					if !has {
						bos = first
					} else if first != bos && first != cls {
						if !hf.True(bos) {
							bos = first
							config.Set("bos_token", bos)
						}
						if !hf.True(cls) {
							cls = first
							config.Set("cls_token", cls)
						}
					}
					s.setAdd("bos", first == bos || first == cls)
				}
				if last = token(single, len(single)-1, "SpecialToken"); last != "" {
					if !has {
						eos = last
					} else if last != eos {
						if !slices.Contains(s.kinds, "eot") {
							s.kinds = append(slices.Clone(s.kinds), "eot")
							config.Set("eot_token", eos)
						} else if !slices.Contains(s.kinds, "eom") {
							s.kinds = append(slices.Clone(s.kinds), "eom")
							config.Set("eom_token", eos)
						}
						eos = last
						config.Set("eos_token", eos)
					}
					s.setAdd("eos", last == eos)
				}
			}
			if len(pair) == 0 {
				break
			}
			if first != "" && token(pair, 0, "SpecialToken") == first {
				pair = pair[1:]
			}
			if last != "" && len(pair) > 0 && token(pair, len(pair)-1, "SpecialToken") == last {
				pair = pair[:len(pair)-1]
			}
			if len(pair) < 3 || token(pair, 0, "Sequence") != "A" || token(pair, len(pair)-1, "Sequence") != "B" {
				break
			}
			between := pair[1 : len(pair)-1]
			add := false
			if x := token(between, 0, "SpecialToken"); x != "" && (x == sep || x == eos) && last == "" {
				add = true
			}
			if len(between) == 2 {
				if x := token(between, 1, "SpecialToken"); x != "" && (x == sep || x == eos) {
					add = true
				}
			}
			s.setAdd("sep", add)
			if add && !hf.True(sep) && has {
				config.Set("sep_token", eos)
			}
		}
	}
}

// maxTemplates bounds how many templates of chats a model may have.
const maxTemplates = 256

// chat looks for the templates of chats: in the tokenizer's configuration, else in files of their own.
func (s *special) chat(c *converter, config *hf.Object) error {
	v, ok := config.Get("chat_template")
	if !ok {
		text, found, err := c.folder.Text(c.ctx, "chat_template.jinja")
		if err != nil {
			return err
		}
		if found {
			text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n") // as Python reads text
			v = text
			names := slices.DeleteFunc(c.folder.Names("additional_chat_templates"), func(name string) bool { return path.Ext(name) != ".jinja" })
			if len(names) > 0 {
				list := []any{named("default", text)}
				for _, name := range names[:min(len(names), maxTemplates)] {
					text, _, err := c.folder.Text(c.ctx, "additional_chat_templates/"+name)
					if err != nil {
						return err
					}
					list = append(list, named(strings.TrimSuffix(name, ".jinja"), strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")))
				}
				v = list
			}
		} else {
			o, err := c.folder.Object(c.ctx, "chat_template.json")
			if err != nil {
				return err
			}
			v = o.Value("chat_template")
		}
	}
	switch v := v.(type) {
	case string:
		s.template = v
	case []any:
		s.templates = map[string]string{}
		for _, item := range v[:min(len(v), maxTemplates)] {
			o, _ := item.(*hf.Object)
			text, ok := o.Value("template").(string)
			name := plainName(o.Text("name"))
			switch {
			case !ok || name == "":
			case name == "default":
				s.template = text
			default:
				s.templates[name] = text
			}
		}
	}
	return nil
}

// named is a template as lists of them have it.
func named(name, template string) *hf.Object {
	o := &hf.Object{}
	o.Set("name", name)
	o.Set("template", template)
	return o
}

// plainName is a name with _ for what is no letter or digit of ASCII.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// put puts what was found.
func (s *special) put(c *converter) {
	for _, kind := range s.order {
		if key := keysOfIDs[kind]; key != "" {
			c.put(gguf.Key("tokenizer.ggml."+key, uint32(s.ids[kind])))
		}
	}
	for _, kind := range s.adding {
		if kind == "bos" || kind == "eos" || kind == "sep" {
			c.put(gguf.Key("tokenizer.ggml.add_"+kind+"_token", s.add[kind]))
		}
	}
	names := []string{}
	for name, text := range s.templates {
		names = append(names, name)
		_ = text
	}
	slices.Sort(names)
	for _, name := range names {
		c.text("tokenizer.chat_template."+name, s.templates[name])
	}
	if len(names) > 0 {
		c.put(gguf.List("tokenizer.chat_templates", names))
	}
	c.text("tokenizer.chat_template", s.template)
	for _, x := range []struct {
		name string
		v    any
	}{{"lowercase", s.lowercase}, {"strip_accents", s.stripAccents}} {
		if x.v != nil {
			c.put(gguf.Key("tokenizer.ggml.normalizer."+x.name, hf.True(x.v)))
		}
	}
}
