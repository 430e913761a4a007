package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"path"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// fact is something that a version's files say of the model, and where.
type fact struct {
	Name  string `json:"name"`  // licence, framework, dataset, hyper-parameter learning_rate ...
	Value string `json:"value"` // as the file has it; JSON where it is no text
	From  string `json:"from"`  // the file, below the version's folder, and the place in it
}

// Bounds of what is carried over: a card is a page, not a book.
const (
	maxFacts     = 400
	maxFactBytes = 2000
	maxFactFile  = 1 << 20
)

// described is what the source knows of itself, read when it is first asked for. No tensor is read for it.
func (c *contents) described(ctx context.Context) []fact {
	return c.facts.get(func() []fact {
		g := &gathering{}
		ctx := context.WithoutCancel(ctx)
		for _, f := range c.v.Files {
			if f.Err != nil {
				continue
			}
			var take func(g *gathering, text []byte)
			switch path.Base(f.Name) {
			case "README.md":
				take = (*gathering).card
			case "config.json":
				take = (*gathering).config
			case "preprocessor_config.json":
				take = func(g *gathering, text []byte) { g.object(text, "preprocessing ", nil) }
			case "training_args.json", "hyperparameters.json", "hparams.json":
				take = func(g *gathering, text []byte) { g.object(text, "hyper-parameter ", nil) }
			case "requirements.txt":
				take = (*gathering).requirements
			default:
				continue
			}
			text, err := read(ctx, f, maxFactFile)
			if err != nil {
				continue // the file itself says why, in source/
			}
			g.from = "source/" + f.Name
			take(g, text)
		}
		for _, m := range c.components {
			for _, x := range m.variants {
				if x.model == nil {
					continue
				}
				g.from = "source/" + x.file + ", its metadata"
				keys := make([]string, 0, len(x.model.Metadata))
				for key := range x.model.Metadata {
					keys = append(keys, key)
				}
				sort.Strings(keys)
				for _, key := range keys {
					g.add(metadataName(key), x.model.Metadata[key])
				}
			}
		}
		return g.facts
	})
}

// gathering collects facts from one file after another.
type gathering struct {
	from  string
	facts []fact
}

func (g *gathering) add(name, value string) {
	value = strings.TrimSpace(strings.ToValidUTF8(value, "\ufffd"))
	if value == "" || len(g.facts) >= maxFacts || len(name) > 200 {
		return
	}
	if len(value) > maxFactBytes {
		cut := maxFactBytes
		for !utf8.RuneStart(value[cut]) {
			cut--
		}
		value = value[:cut] + "…"
	}
	g.facts = append(g.facts, fact{strings.ToValidUTF8(name, "\ufffd"), value, g.from})
}

// metadataName is the fact that a key of a file's own metadata tells.
func metadataName(key string) string {
	switch strings.ToLower(key) {
	case "license", "licence":
		return "licence"
	case "format": // of safetensors: pt, tf, flax, mlx
		return "framework"
	}
	return "metadata " + key
}

// cardNames are the keys of a model card's front matter that are carried over, and what they tell.
var cardNames = []struct{ key, name string }{
	{"license", "licence"}, {"license_name", "licence"}, {"license_link", "licence text"}, {"library_name", "framework"}, {"base_model", "base model"},
	{"datasets", "dataset"}, {"metrics", "metric"}, {"pipeline_tag", "task"}, {"language", "language"}, {"tags", "tag"},
}

// card takes a model card: its front matter, and the lists that the Trainer writes below it.
func (g *gathering) card(text []byte) {
	file := g.from
	matter, body := frontMatter(string(text))
	g.from = file + ", front matter"
	for _, k := range cardNames {
		for _, value := range matter.get(k.key).texts() {
			g.add(k.name, value)
		}
	}
	for _, entry := range matter.get("model-index").list {
		for _, result := range entry.get("results").list {
			on := strings.Join(slices.DeleteFunc([]string{result.get("dataset", "name").text, result.get("dataset", "split").text}, func(s string) bool { return s == "" }), ", ")
			for _, metric := range result.get("metrics").list {
				name := metric.get("type").text
				if name == "" {
					name = metric.get("name").text
				}
				if on != "" {
					name += " on " + on
				}
				g.add("metric "+name, metric.get("value").text)
			}
		}
	}
	g.from = file
	section := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if heading := strings.TrimLeft(line, "#"); heading != line {
			section = strings.ToLower(strings.TrimSpace(heading))
			continue
		}
		item, ok := strings.CutPrefix(line, "- ")
		if !ok {
			continue
		}
		switch section {
		case "training hyperparameters", "hyperparameters", "training parameters":
			if key, value, ok := strings.Cut(item, ":"); ok {
				g.add("hyper-parameter "+strings.TrimSpace(key), value)
			}
		case "framework versions":
			g.add("framework", strings.Replace(item, ":", "", 1))
		}
	}
}

// configNames are the keys of config.json that tell something else than a hyper-parameter of the architecture.
var configNames = map[string]string{
	"license": "licence", "architectures": "architecture", "model_type": "architecture", "torch_dtype": "trained in", "dtype": "trained in",
	"_name_or_path": "base model", "transformers_version": "framework", "_diffusers_version": "framework", "_class_name": "architecture",
}

// config takes a config.json: what it is, and the numbers it was built with.
func (g *gathering) config(text []byte) {
	g.object(text, "hyper-parameter ", func(key, value string) bool {
		name, ok := configNames[key]
		switch key {
		case "transformers_version":
			value = "transformers " + value
		case "_diffusers_version":
			value = "diffusers " + value
		}
		if ok {
			g.add(name, value)
		}
		return ok
	})
}

// object takes the members of a JSON object, each by first, else under prefix. Large inner objects are left out: they
// are in the file.
func (g *gathering) object(text []byte, prefix string, first func(key, value string) bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return
	}
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		var short bytes.Buffer
		if json.Compact(&short, members[key]) != nil || short.Len() > 300 {
			continue
		}
		value := short.String()
		var plain string
		var list []string
		switch {
		case value == "null":
			continue
		case json.Unmarshal(members[key], &plain) == nil:
			value = plain
		case json.Unmarshal(members[key], &list) == nil:
			value = strings.Join(list, ", ")
		}
		if first == nil || !first(key, value) {
			g.add(prefix+key, value)
		}
	}
}

// requirements takes a requirements.txt.
func (g *gathering) requirements(text []byte) {
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			g.add("requirement", line)
		}
	}
}
