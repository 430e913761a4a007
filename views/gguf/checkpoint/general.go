package checkpoint

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/codecs/hf"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// general puts what the file says of the model, whatever its architecture: from the model card, from the names that
// config.json and the store have for it, and from its size.
func (c *converter) general() error {
	total, shared, expert, experts, err := c.parameters()
	if err != nil {
		return err
	}
	card, err := c.folder.Card(c.ctx)
	if err != nil {
		return err
	}
	c.put(gguf.Key("general.architecture", c.arch.name))
	c.put(gguf.Key("general.type", "model"))
	if err := c.sampling(); err != nil {
		return err
	}
	said := func(keys ...string) string { // the first that the card has
		for _, key := range keys {
			if v := card.Value(key); v != nil {
				return scalar(v)
			}
		}
		return ""
	}
	x := identity{
		name: said("name", "model_name"), organization: said("organization", "model_organization"), basename: said("basename", "model_basename", "model_type"),
		finetune: said("finetune", "model_finetune"), version: said("version", "model_version"), sizeLabel: said("size_label", "model_size_label"),
	}
	for _, id := range []string{c.storedName(), c.folder.Name} {
		y := identify(id, total)
		y.name, y.organization = title(y.name), title(y.organization)
		for _, part := range []struct{ own, other *string }{
			{&x.name, &y.name}, {&x.organization, &y.organization}, {&x.basename, &y.basename},
			{&x.finetune, &y.finetune}, {&x.version, &y.version}, {&x.sizeLabel, &y.sizeLabel},
		} {
			if *part.own == "" {
				*part.own = *part.other
			}
		}
	}
	if x.name == "" {
		x.name = c.folder.Name
	}
	if stored, ok := c.config.Raw.Value("_name_or_path").(string); ok && stored == "" && said("name", "model_name") == "" {
		x.name = "" // the reference takes it for the name
	}
	if x.sizeLabel == "" && total > 0 {
		x.sizeLabel = sizeLabel(total, shared, expert, experts)
	}
	for _, kv := range [][2]string{
		{"name", x.name}, {"author", said("author", "model_author", "model_creator")}, {"version", x.version}, {"organization", x.organization},
		{"finetune", x.finetune}, {"basename", x.basename}, {"description", said("description", "model_description")}, {"size_label", x.sizeLabel},
		{"license", said("license")}, {"license.name", said("license_name")}, {"license.link", said("license_link")},
		{"source.url", said("url", "model_url")}, {"source.doi", said("doi", "model_doi")}, {"source.uuid", said("uuid", "model_uuid")},
		{"source.repo_url", said("repo_url", "model_repo_url")},
	} {
		c.text("general."+kv[0], kv[1])
	}
	c.others("base_model", card, total, "base_model", "base_models", "base_model_sources")
	c.others("dataset", card, total, "datasets", "dataset", "dataset_sources")
	c.listed("general.tags", card, "tags", "pipeline_tag")
	c.listed("general.languages", card, "languages", "language")
	return nil
}

// storedName is the name that config.json has for the model, where it is one and no path of some machine.
func (c *converter) storedName() string {
	name := c.config.Raw.Text("_name_or_path")
	if strings.Count(name, "/") > 1 {
		return ""
	}
	return name
}

// scalar is a value of a card as text; several are joined by commas.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		list := make([]string, len(v))
		for i, x := range v {
			list[i] = scalar(x)
		}
		return strings.Join(list, ",")
	}
	return ""
}

// sampling puts how generation_config.json would have tokens chosen.
func (c *converter) sampling() error {
	v, err := c.folder.JSON(c.ctx, "generation_config.json")
	if err != nil && !fault.KindOf(err).Broken() { // one that is broken says nothing
		return err
	}
	config, _ := v.(*hf.Object)
	for _, x := range []struct {
		key  string
		from []string
		int  bool
	}{
		{"top_k", []string{"top_k"}, true}, {"top_p", []string{"top_p"}, false}, {"min_p", []string{"min_p"}, false},
		{"xtc_probability", []string{"xtc_probability"}, false}, {"xtc_threshold", []string{"xtc_threshold"}, false}, {"temp", []string{"temperature"}, false},
		{"penalty_last_n", []string{"penalty_last_n"}, true}, {"penalty_repeat", []string{"penalty_repeat", "repetition_penalty"}, false},
		{"mirostat", []string{"mirostat"}, true}, {"mirostat_tau", []string{"mirostat_tau"}, false}, {"mirostat_eta", []string{"mirostat_eta"}, false},
	} {
		var v any
		for _, from := range x.from {
			if said, ok := config.Get(from); ok {
				v = said
				break
			}
		}
		if v == nil {
			continue
		}
		n, whole := hf.Int(v)
		f, number := hf.Float(v)
		switch {
		case x.int && whole && int64(int32(n)) == n:
			c.put(gguf.Key("general.sampling."+x.key, int32(n)))
		case !x.int && number:
			c.put(gguf.Key("general.sampling."+x.key, float32(f)))
		default:
			return fault.New(fault.Malformed, "generation_config.json gives %s for %s", shown(v), x.from[0])
		}
	}
	if s := config.Text("sequence"); s != "" {
		c.put(gguf.Key("general.sampling.sequence", s))
	}
	return nil
}

// maxOthers bounds how many models, data sets or words a card may name.
const maxOthers = 1 << 12

var hubAddress = regexp.MustCompile(`^https?://huggingface.co/([^/]+/[^/]+)$`)

// others puts the models or data sets that a card says the model is made of.
func (c *converter) others(what string, card *hf.Object, total int64, keys ...string) {
	var value any
	named := false
	for i := len(keys) - 1; i >= 0; i-- {
		if v, ok := card.Get(keys[i]); ok {
			value, named = v, true
		}
	}
	if !named {
		return
	}
	list, ok := value.([]any)
	if s, is := value.(string); is {
		list, ok = []any{s}, true
	}
	if !ok {
		list = nil
	}
	list = list[:min(len(list), maxOthers)]
	c.put(gguf.Key("general."+what+".count", uint32(len(list))))
	for i, v := range list {
		put := func(key, value string) { c.text(fmt.Sprintf("general.%s.%d.%s", what, i, key), value) }
		switch v := v.(type) {
		case string:
			address := ""
			id := v
			if strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://") || strings.HasPrefix(v, "ssh://") {
				address, id = v, ""
				if m := hubAddress.FindStringSubmatch(v); m != nil {
					id = m[1]
				}
			}
			x := identify(id, total)
			if address == "" && x.organization != "" && x.name != "" {
				address = "https://huggingface.co/" + x.organization + "/" + x.name
			}
			put("name", title(x.name))
			put("version", x.version)
			put("organization", title(x.organization))
			put("repo_url", address)
		case *hf.Object:
			for _, key := range []string{"name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url"} {
				put(key, scalar(v.Value(key)))
			}
		}
	}
}

// listed puts the words that a card lists under keys.
func (c *converter) listed(key string, card *hf.Object, from ...string) {
	var list []string
	for _, name := range from {
		switch v := card.Value(name).(type) {
		case string:
			list = append(list, v)
		case []any:
			for _, x := range v[:min(len(v), maxOthers)] {
				if s := scalar(x); s != "" {
					list = append(list, s)
				}
			}
		}
	}
	if len(list) > 0 {
		c.put(gguf.List(key, list))
	}
}

// parameters counts the elements of the file's tensors: all, those outside experts, those of one expert of each layer,
// and how many experts a layer has.
func (c *converter) parameters() (total, shared, expert, experts int64, err error) {
	var sum, count int64
	for i := range c.tensors {
		t := &c.tensors[i]
		n, err := model.Elements(t.shape)
		if err != nil || total+n < total {
			return 0, 0, 0, 0, fault.New(fault.Overflow, "the tensors have more elements than fit 63 bits")
		}
		total += n
		switch dims := len(t.shape); {
		case strings.Contains(t.name, "_exps.") && dims >= 3 && !strings.Contains(t.name, ".bias") && t.shape[dims-3] > 0:
			expert += n / t.shape[dims-3]
			sum += t.shape[dims-3]
			count++
		case strings.Contains(t.name, "_exps.") && dims >= 3 && strings.Contains(t.name, ".bias") && t.shape[dims-2] > 0:
			expert += n / t.shape[dims-2]
			sum += t.shape[dims-2]
			count++
		default:
			shared += n
		}
	}
	if count > 0 {
		experts = sum / count
	}
	return total, shared, expert, experts, nil
}
