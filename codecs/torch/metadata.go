package torch

import (
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
)

// Bounds of what a checkpoint tells of itself.
const (
	maxFacts     = 256
	maxFactBytes = 1000
	maxFactDepth = 3
)

// metadata is what a checkpoint tells of itself beside its tensors: numbers and words under the keys of the saved dict,
// and of the dicts and plain objects in it (hyper_parameters, args, config), joined by dots.
func (r *reading) metadata(sel *selection) map[string]string {
	facts := map[string]string{}
	r.facts(facts, r.root, nil, sel)
	return facts
}

func (r *reading) facts(facts map[string]string, v pickle.Value, path []string, sel *selection) {
	var entries []pickle.Entry
	if list, ok := pickle.Entries(v); ok {
		entries = list
	} else if o, ok := v.(*pickle.Object); ok && len(path) > 0 { // argparse.Namespace, a dataclass, an OmegaConf
		if _, isModule := moduleParts(o); isModule {
			return
		}
		entries, _ = pickle.Entries(o.State)
	}
	for _, c := range keyed(entries) {
		if len(facts) >= maxFacts {
			return
		}
		at := append(path[:len(path):len(path)], c.name)
		if len(path) == 0 && (slices.Contains(containers, c.name) || isAverage(c.name) || slices.Contains(sel.path, c.name)) {
			continue
		}
		switch value := c.value.(type) {
		case *pickle.Dict, *pickle.Object:
			if len(at) < maxFactDepth && !r.isTensor(value) && !isState(c.name, value) {
				r.facts(facts, value, at, sel)
			}
		default:
			name, text := strings.Join(at, "."), fact(value)
			if _, known := facts[name]; text != "" && len(name) <= maxFactBytes && !known {
				facts[name] = text
			}
		}
	}
}

// fact is a number, a word or a short list of them as text; "" of any other value.
func fact(v pickle.Value) string {
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case bool:
		text = keyName(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case *big.Int:
		text = v.String()
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	case *pickle.List:
		text = facts(v.Items)
	case *pickle.Tuple:
		text = facts(v.Items)
	}
	if len(text) > maxFactBytes {
		return ""
	}
	return text
}

// facts is a list of numbers and words, separated by commas; "" where there is anything else in it.
func facts(items []pickle.Value) string {
	if len(items) > 64 {
		return ""
	}
	parts := make([]string, len(items))
	for i, v := range items {
		switch v.(type) {
		case string, bool, int64, float64:
			parts[i] = fact(v)
		default:
			return ""
		}
	}
	return strings.Join(parts, ", ")
}
