package tree

import (
	"slices"
	"strings"
)

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
