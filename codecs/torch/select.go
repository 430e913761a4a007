package torch

import (
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/model"
)

// containers are the keys under which checkpoints keep the weights, in the order in which they are looked for.
var containers = []string{"model_state_dict", "state_dict", "model", "module", "net", "network"}

// lightning is the key by which a checkpoint says that Lightning wrote it.
const lightning = "pytorch-lightning_version"

// selection is what of a saved object are the weights.
type selection struct {
	weights  []found
	path     []string // of keys to where their names begin
	averaged []found
	wrapper  string // what begins every name and is none of the model's
}

// selected says which tensors of a saved object are the weights: those in the dict or the module under the first of
// containers; where there is none all but the state of a training and averages of the weights. Averages stand beside
// the weights, and are the weights where there are no others.
func (r *reading) selected() (*selection, error) {
	sel := &selection{}
	at, key, empty := r.container(r.root)
	var err error
	if key != "" {
		sel.path = []string{key}
		sel.weights, err = r.found(at, 1)
	}
	var averageKey string
	if err == nil {
		sel.averaged, averageKey, err = r.averages()
	}
	if err == nil && key == "" && !(empty && len(sel.averaged) > 0) {
		sel.weights, err = r.found(r.root, 0)
	}
	if err != nil {
		return nil, err
	}
	if len(sel.weights) == 0 && len(sel.averaged) > 0 {
		sel.weights, sel.path, sel.averaged = sel.averaged, []string{averageKey}, nil
	}
	var also []string
	if _, ok := pickle.Get(r.root, lightning); ok && slices.Equal(sel.path, []string{"state_dict"}) {
		also = []string{"model."}
	}
	sel.wrapper = model.Wrapper(names(sel.weights), also...)
	return sel, nil
}

// container is the value that holds the weights of a checkpoint and its key; "" where there is none. empty says that a
// key for it is there, and nothing under it.
func (r *reading) container(root pickle.Value) (at pickle.Value, key string, empty bool) {
	s := r.search(nil)
	for _, key := range containers {
		v, ok := pickle.Get(root, key)
		if !ok {
			continue
		}
		if v == nil {
			empty = true
		}
		if isHolder(v) && !r.isTensor(v) && s.any(v) {
			return v, key, false
		}
	}
	return nil, "", empty
}

// found are the tensors below a value, except the state of a training. depth is how many keys lead to it.
func (r *reading) found(v pickle.Value, depth int) ([]found, error) {
	s := r.search(func(key string, v pickle.Value, below int) bool {
		if r.isTensor(v) {
			return depth+below == 0 && strings.Contains(strings.ToLower(key), "rng_state")
		}
		return isState(key, v) || depth == 0 && isHolder(v) && isAverage(key)
	})
	err := s.below(v, nil, nil)
	return s.list, err
}

// averages are the averaged weights of a checkpoint and the key that they stand under.
func (r *reading) averages() ([]found, string, error) {
	entries, _ := pickle.Entries(r.root)
	for _, c := range keyed(entries) {
		if !isHolder(c.value) || r.isTensor(c.value) || !isAverage(c.name) || isState(c.name, c.value) || slices.Contains(containers, c.name) {
			continue
		}
		v := c.value
		if inner, key, _ := r.container(v); key != "" {
			v = inner
		}
		list, err := r.found(v, 1)
		if err != nil || len(list) > 0 {
			return list, c.name, err
		}
	}
	return nil, "", nil
}

func (r *reading) isTensor(v pickle.Value) bool {
	t, _ := r.tensorOf(v)
	return t != nil
}

// isHolder reports whether a value may hold tensors under names.
func isHolder(v pickle.Value) bool {
	switch v.(type) {
	case *pickle.Dict, *pickle.Object, *pickle.List, *pickle.Tuple:
		return true
	}
	return false
}
