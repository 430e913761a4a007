package tree

import (
	"context"
	"path"
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
	maxFactRead  = 8 << 20 // of all the files
)

// described is what the source knows of itself, read when it is first asked for. No tensor is read for it.
func (c *contents) described(ctx context.Context) []fact {
	return c.facts.get(func() []fact {
		g := &gathering{}
		ctx := context.WithoutCancel(ctx)
		room := int64(maxFactRead)
		for _, x := range c.cards {
			if x.card != nil {
				g.from = "source/" + x.file
				g.descriptor(x.card.Descriptor)
			}
		}
		for _, f := range c.v.Files {
			if f.Err != nil {
				continue
			}
			take := tellers[path.Base(f.Name)]
			if take == nil || len(g.facts) >= maxFacts {
				continue
			}
			text, err := read(ctx, f, min(room, maxFactFile))
			if err != nil {
				continue // the file itself says why, in source/
			}
			room -= int64(len(text))
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
					g.metadata(key, x.model.Metadata)
				}
			}
		}
		return g.facts
	})
}

// tellers are the files beside a model that tell of it, by their names, and what takes them.
var tellers = map[string]func(*gathering, []byte){
	"README.md": (*gathering).card,

	// Hugging Face
	"config.json":                       (*gathering).config,
	"generation_config.json":            under("generation "),
	"tokenizer_config.json":             under("tokenizer "),
	"preprocessor_config.json":          under("preprocessing "),
	"processor_config.json":             under("preprocessing "),
	"image_processor_config.json":       under("preprocessing "),
	"open_clip_config.json":             under("preprocessing "),
	"model_index.json":                  under("component "),
	"scheduler_config.json":             under("scheduler "),
	"adapter_config.json":               under("hyper-parameter "),
	"config_sentence_transformers.json": (*gathering).sentences,
	"trainer_state.json":                under("training "),
	"training_args.json":                under("hyper-parameter "),
	"all_results.json":                  under("metric "),
	"eval_results.json":                 under("metric "),
	"test_results.json":                 under("metric "),
	"train_results.json":                under("training "),

	// trainers of all kinds
	"hyperparameters.json": under("hyper-parameter "),
	"hparams.json":         under("hyper-parameter "),
	"args.json":            under("hyper-parameter "),
	"params.json":          under("hyper-parameter "),
	"metrics.json":         under("metric "),
	"hparams.yaml":         yamlUnder("hyper-parameter "),
	"args.yaml":            yamlUnder("hyper-parameter "),
	"hyp.yaml":             yamlUnder("hyper-parameter "),
	"config.yaml":          yamlUnder("hyper-parameter "),

	// what it needs, and what it may be used for
	"requirements.txt": (*gathering).requirements,
	"conda.yaml":       (*gathering).environment,
	"environment.yml":  (*gathering).environment,
	"environment.yaml": (*gathering).environment,
	"python_env.yaml":  (*gathering).environment,
	"MLmodel":          (*gathering).mlmodel,
	"CITATION.cff":     (*gathering).citation,
	"LICENSE":          (*gathering).licence,
	"LICENSE.txt":      (*gathering).licence,
	"LICENSE.md":       (*gathering).licence,
	"LICENCE":          (*gathering).licence,
	"COPYING":          (*gathering).licence,
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
