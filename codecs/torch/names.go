package torch

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
)

const (
	maxTensors = 1 << 20 // of a model, as everywhere
	maxName    = 64 << 10

	// A value that is shared is visited under each of its names, of which there may be 2^40 in a pickle of 300 bytes:
	// layers that are shared many times over are visited some ten times each, and a few values more often.
	maxVisits  = 64 // for each value of the pickle
	freeVisits = 1 << 12
)

// child is a value that another holds, under a name.
type child struct {
	name  string
	value pickle.Value
}

// children are the values that v holds, where those have names that tensors below them are called by: the keys of a
// dict, the numbers of a list, the names that a module gives to its parameters and its parts, the attributes of any
// other object. No tensor holds any.
func (r *reading) children(v pickle.Value) []child {
	switch v := v.(type) {
	case *pickle.List:
		return numbered(v.Items)
	case *pickle.Tuple:
		return numbered(v.Items)
	case *pickle.Dict:
		return keyed(v.Entries)
	case *pickle.Object:
		if r.tensors[v] != nil {
			return nil
		}
		return r.attributes(v)
	}
	return nil
}

func (r *reading) attributes(o *pickle.Object) []child {
	g := classOf(o)
	switch {
	case g == nil:
	case g.Module == "torch._tensor" && strings.HasPrefix(g.Name, "_rebuild_from_type"):
		return r.children(item(o.Args.Items, 3)) // of a tensor that has its elements in the tensors of its state
	case strings.HasPrefix(g.Module, "torch.optim"), g.Module == "torch._C" && g.Name == "Generator":
		return nil
	}
	if in := r.inner[o]; in != nil {
		return nil // a storage by itself: what is in it belongs to whoever uses it
	}
	if entries, ok := pickle.Entries(o); ok && o.State == nil {
		return keyed(entries)
	}
	if parts, ok := moduleParts(o); ok {
		return parts
	}
	var list []child
	switch state := o.State.(type) {
	case *pickle.Tuple: // attributes, and those in __slots__
		for _, part := range state.Items {
			if entries, ok := pickle.Entries(part); ok {
				list = append(list, keyed(entries)...)
			}
		}
	default:
		if entries, ok := pickle.Entries(state); ok {
			list = append(list, keyed(entries)...)
		}
	}
	if entries, ok := pickle.Entries(o); ok {
		list = append(list, keyed(entries)...)
	}
	list = append(list, numbered(o.Items)...)
	if len(list) == 0 {
		list = numbered(o.Args.Items)
	}
	return list
}

// moduleParts are the tensors and the parts of a torch.nn.Module, in the order and under the names of its state_dict:
// its parameters, its persistent buffers, its submodules. ok is false for an object that is no module.
func moduleParts(o *pickle.Object) (parts []child, ok bool) {
	state := o.State
	if _, isModule := pickle.Get(state, "_modules"); !isModule {
		if len(o.Args.Items) == 0 {
			return nil, false
		}
		state = o.Args.Items[0] // torch.fx: reduce_graph_module(state, imports)
		if _, isModule := pickle.Get(state, "_modules"); !isModule {
			return nil, false
		}
	}
	passing := map[string]bool{} // buffers that no state_dict holds
	if v, ok := pickle.Get(state, "_non_persistent_buffers_set"); ok {
		if set, ok := v.(*pickle.Set); ok {
			for _, v := range set.Items {
				name, _ := text(v)
				passing[name] = true
			}
		}
	}
	for _, kind := range []string{"_parameters", "_buffers", "_modules"} {
		v, _ := pickle.Get(state, kind)
		entries, _ := pickle.Entries(v)
		for _, c := range keyed(entries) {
			if c.value != nil && !(kind == "_buffers" && passing[c.name]) {
				parts = append(parts, c)
			}
		}
	}
	return parts, true
}

func numbered(items []pickle.Value) []child {
	list := make([]child, len(items))
	for i, v := range items {
		list[i] = child{strconv.Itoa(i), v}
	}
	return list
}

func keyed(entries []pickle.Entry) []child {
	list := make([]child, len(entries))
	for i, e := range entries {
		list[i] = child{keyName(e.Key), e.Value}
	}
	return list
}

// keyName is a key as Python's str() has it, as far as people use others than text.
func keyName(v pickle.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case pickle.Bytes:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	case bool:
		if v {
			return "True"
		}
		return "False"
	case nil:
		return "None"
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *pickle.Tuple:
		parts := make([]string, len(v.Items))
		for i, item := range v.Items {
			parts[i] = keyName(item)
			if _, ok := item.(string); ok {
				parts[i] = "'" + parts[i] + "'"
			}
		}
		if len(parts) == 1 {
			return "(" + parts[0] + ",)"
		}
		return "(" + strings.Join(parts, ", ") + ")"
	case *pickle.Global:
		return v.String()
	}
	return fmt.Sprintf("%T", v)
}

// isState reports whether what a dict has under a key is the state of a training that no model consists of: the
// optimizer's, the schedule's, the random numbers'. It is asked of dicts, lists and objects.
func isState(key string, v pickle.Value) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"optimizer", "scheduler", "rng_state", "random_state", "grad_scaler"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	if slices.Contains([]string{"optim", "rng", "scaler", "sched"}, key) {
		return true
	}
	return isOptimizer(v)
}

// isOptimizer reports whether v is the state_dict of an optimizer, by its two keys.
func isOptimizer(v pickle.Value) bool {
	_, groups := pickle.Get(v, "param_groups")
	_, state := pickle.Get(v, "state")
	return groups && state
}

// averages are the words by which keys say that what stands under them is an average of the weights.
var averages = []string{"ema", "swa", "averaged", "shadow"}

// isAverage reports whether a key is that of averaged weights: ema, model_ema, ema_state_dict, swa_model ...
func isAverage(key string) bool {
	words := strings.FieldsFunc(strings.ToLower(key), func(c rune) bool { return c == '_' || c == '-' || c == '.' || c == ' ' })
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(averages, word) })
}

// found is a tensor and the keys that lead to it.
type found struct {
	path   []string
	tensor *Tensor
}

// search looks for the tensors below a value.
type search struct {
	r      *reading
	skip   func(key string, v pickle.Value, depth int) bool // what is not looked into
	holds  map[any]bool                                     // whether there is a tensor below; false while it is being asked
	visits int
	list   []found
}

func (r *reading) search(skip func(key string, v pickle.Value, depth int) bool) *search {
	return &search{r: r, skip: skip, holds: map[any]bool{}}
}

// any reports whether there is a tensor at v or below it, of any depth. Each value is asked once, so that this costs
// what the pickle's length costs, however its values are shared.
func (s *search) any(v pickle.Value) bool {
	if t, _ := s.r.tensorOf(v); t != nil {
		return true
	}
	switch v.(type) {
	case *pickle.List, *pickle.Tuple, *pickle.Dict, *pickle.Object:
	default:
		return false
	}
	if known, ok := s.holds[v]; ok {
		return known
	}
	s.holds[v] = false // a value that holds itself holds no more for it
	for _, c := range s.r.children(v) {
		if s.any(c.value) {
			s.holds[v] = true
			// The others are asked too, so that no answer below was given while this one was open.
		}
	}
	return s.holds[v]
}

// below adds the tensors at v and below it to the list. path leads to v.
func (s *search) below(v pickle.Value, path []string, open []pickle.Value) error {
	if s.visits++; s.visits > maxVisits*s.r.values+freeVisits {
		return fault.New(fault.Limit, "more than %d names lead to the tensors of a pickle of %d values", s.visits-1, s.r.values)
	}
	if t, _ := s.r.tensorOf(v); t != nil {
		if len(s.list) == maxTensors {
			return fault.New(fault.Limit, "more than %d tensors", maxTensors)
		}
		s.list = append(s.list, found{slices.Clone(path), t})
		return nil
	}
	if !s.any(v) || slices.Contains(open, v) {
		return nil
	}
	open = append(open, v)
	for _, c := range s.r.children(v) {
		if s.skip != nil && s.skip(c.name, c.value, len(path)) {
			continue
		}
		if len(c.name) > maxName {
			return fault.New(fault.Limit, "a name of %d bytes, and the most is %d", len(c.name), maxName)
		}
		if err := s.below(c.value, append(path, c.name), open); err != nil {
			return err
		}
	}
	return nil
}
