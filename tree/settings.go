package tree

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// under takes a JSON object: each member is a fact of its own name where it has one, else one under the prefix.
func under(prefix string) func(*gathering, []byte) {
	return func(g *gathering, text []byte) { g.object(text, prefix) }
}

// yamlUnder takes a YAML mapping in the same way, with the keys of inner mappings joined by dots.
func yamlUnder(prefix string) func(*gathering, []byte) {
	return func(g *gathering, text []byte) { g.mapping(yamlDocument(string(text)), prefix, "", 0) }
}

// config takes a config.json: what it is, and the numbers it was built with.
func (g *gathering) config(text []byte) { g.object(text, "hyper-parameter ") }

// shortObject is the most bytes of an inner object that is told: larger ones are in the file.
const shortObject = 300

// object takes the members of a JSON object.
func (g *gathering) object(text []byte, prefix string) {
	for _, m := range members(text) {
		g.named(m.key, m.value, prefix)
	}
}

// named adds a fact by the key that a file has for it.
func (g *gathering) named(key, value, prefix string) {
	name, value := term(key, value)
	if name == "" {
		name = prefix + key
	}
	g.add(name, value)
}

// member is a key of a JSON object and its value: the text of a string, the items of a list of strings, else JSON.
type member struct{ key, value string }

// members are those of a JSON object in order of their keys, without null and what is long; none of what is no object.
func members(text []byte) []member {
	var all map[string]json.RawMessage
	if json.Unmarshal(text, &all) != nil {
		return nil
	}
	var found []member
	for _, key := range slices.Sorted(maps.Keys(all)) {
		var short bytes.Buffer
		if json.Compact(&short, all[key]) != nil || short.Len() > shortObject {
			continue
		}
		value := short.String()
		var plain string
		var list []string
		switch {
		case value == "null":
			continue
		case json.Unmarshal(all[key], &plain) == nil:
			value = plain
		case json.Unmarshal(all[key], &list) == nil:
			value = strings.Join(list, ", ")
		}
		found = append(found, member{key, value})
	}
	return found
}

// mapping takes what a YAML mapping holds.
func (g *gathering) mapping(v value, prefix, path string, depth int) {
	if depth > maxDepth {
		return
	}
	for _, key := range v.keys {
		x := v.at[key]
		at := key
		if path != "" {
			at = path + "." + key
		}
		switch texts := x.texts(); {
		case len(x.keys) > 0:
			g.mapping(x, prefix, at, depth+1)
		case len(texts) > 0:
			g.named(at, strings.Join(texts, ", "), prefix)
		}
	}
}

// sentences takes what sentence-transformers writes: the versions of what it was made with are an object.
func (g *gathering) sentences(text []byte) {
	var versions struct {
		Of json.RawMessage `json:"__version__"`
	}
	if json.Unmarshal(text, &versions) == nil {
		for _, m := range members(versions.Of) {
			g.add("framework", m.key+" "+m.value)
		}
	}
	for _, m := range members(text) {
		if m.key != "__version__" {
			g.named(m.key, m.value, "hyper-parameter ")
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

// environment takes what conda and MLflow write: dependencies, those of pip in a list of their own.
func (g *gathering) environment(text []byte) {
	v := yamlDocument(string(text))
	if python := v.get("python").text; python != "" {
		g.add("requirement", "python "+python)
	}
	for _, x := range v.get("dependencies").list {
		if x.text != "" {
			g.add("requirement", x.text)
		}
		for _, inner := range x.get("pip").texts() {
			g.add("requirement", inner)
		}
	}
}

// mlmodel takes an MLmodel file: what made it, and in which versions.
func (g *gathering) mlmodel(text []byte) {
	v := yamlDocument(string(text))
	if version := v.get("mlflow_version").text; version != "" {
		g.add("framework", "mlflow "+version)
	}
	flavors := v.get("flavors")
	for _, name := range flavors.keys {
		for _, key := range flavors.at[name].keys {
			if what, ok := strings.CutSuffix(key, "_version"); ok && flavors.at[name].at[key].text != "" {
				g.add("framework", what+" "+flavors.at[name].at[key].text)
			}
		}
	}
	for _, key := range []string{"run_id", "utc_time_created"} {
		g.add("training "+key, v.get(key).text)
	}
	for _, key := range []string{"inputs", "outputs"} {
		g.add(key, v.get("signature", key).text)
	}
}

// citation takes a CITATION.cff.
func (g *gathering) citation(text []byte) {
	v := yamlDocument(string(text))
	for _, key := range []string{"title", "doi", "url"} {
		g.add("citation "+key, v.get(key).text)
	}
	g.add("licence", v.get("license").text)
}

// licence takes a licence's text: its title, the first line that says something.
func (g *gathering) licence(text []byte) {
	for line := range strings.Lines(string(text)) {
		if line = strings.Trim(line, " \t\r\n#=-*"); line != "" {
			g.add("licence text", line)
			return
		}
	}
}
