package torch

import (
	"context"
	"slices"
	"strconv"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// Load reads a file of torch.save whatever it holds: one that holds the state of an optimizer and no weights, for one.
func Load(ctx context.Context, files layout.Files, name string) (*Checkpoint, error) {
	src, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	r, container, err := newFile(ctx, src).read()
	if err != nil {
		return nil, fault.In(name, err)
	}
	return &Checkpoint{Container: container, Root: r.root, r: r}, nil
}

// Training is what a checkpoint knows of its training beside the weights.
type Training struct {
	Optimizers []Optimizer

	// Rest are the items of the saved dict that are neither weights, averaged or not, nor nothing but optimizers: the
	// epoch, the schedule, the random numbers. Where such a value holds weights or an optimizer, Skip tells.
	Rest []pickle.Entry

	skip map[pickle.Value]bool

	// What was taken apart, so that values which a pickle holds many times cost no more than once.
	groups map[pickle.Value][]Group
	states map[pickle.Value]map[any][]pickle.Entry
}

// Optimizer is what an optimizer's state_dict holds (torch/optim/optimizer.py, Optimizer.state_dict).
type Optimizer struct {
	Path   []string // the keys that lead to it; empty where it is the whole saved object
	Groups []Group

	state map[any][]pickle.Entry // by what Params calls a parameter: int64 or string
}

// Group is one of an optimizer's param_groups.
type Group struct {
	// Params is what State calls the parameters: their numbers in the order of all groups, names in checkpoints of
	// sharded training, or numbers without a meaning in those of the oldest PyTorch.
	Params   []pickle.Value
	Names    []string       // of Params, where the optimizer was given named parameters; else nil
	Settings []pickle.Entry // the hyperparameters
}

// State is the state of a parameter by what Params calls it: exp_avg, step ... ; nil where it has none yet.
func (o *Optimizer) State(param pickle.Value) []pickle.Entry {
	switch param.(type) {
	case int64, string:
		return o.state[param]
	}
	return nil
}

// KeyName is the key of a dict as names have it: text as it is, others as Python's str() has them.
func KeyName(v pickle.Value) string { return keyName(v) }

// Skip reports whether a value below Rest is part of the weights or an optimizer.
func (t *Training) Skip(v pickle.Value) bool { return holder(v) && t.skip[v] }

const (
	trainingDepth  = 8 // of the keys that lead to an optimizer
	trainingVisits = 1 << 16
)

// Training is what the checkpoint knows of its training. It costs no tensor byte.
func (c *Checkpoint) Training() *Training {
	t := &Training{skip: map[pickle.Value]bool{}, groups: map[pickle.Value][]Group{}, states: map[pickle.Value]map[any][]pickle.Entry{}}
	root, ok := pickle.Entries(c.Root)
	if !ok {
		return t
	}
	var weights pickle.Value = c.Root
	for _, key := range c.Weights {
		weights, _ = pickle.Get(weights, key)
	}
	if len(c.Weights) > 0 && holder(weights) {
		t.skip[weights] = true
	}
	own := map[*Tensor]bool{}
	for _, tensor := range c.Tensors {
		own[tensor] = true
	}
	if o, ok := t.optimizer(nil, c.Root); ok { // a file of its own
		t.Optimizers = []Optimizer{o}
		return t
	}
	f := finder{c: c, t: t, left: trainingVisits}
	for _, e := range root {
		name := keyName(e.Key)
		if t.Skip(e.Value) || isAverage(name) {
			continue
		}
		if tensor := c.Tensor(e.Value); tensor != nil {
			if !own[tensor] {
				t.Rest = append(t.Rest, e)
			}
			continue
		}
		f.find(e.Value, []string{name})
		if t.Skip(e.Value) {
			continue
		}
		t.Rest = append(t.Rest, e)
	}
	return t
}

// finder looks for optimizers.
type finder struct {
	c    *Checkpoint
	t    *Training
	left int // visits
}

func (f *finder) find(v pickle.Value, path []string) {
	if f.left--; f.left < 0 || len(path) > trainingDepth || !holder(v) || f.t.Skip(v) || f.c.Tensor(v) != nil {
		return
	}
	if o, ok := f.t.optimizer(path, v); ok {
		f.t.Optimizers = append(f.t.Optimizers, o)
		f.t.skip[v] = true
		return
	}
	in := len(f.t.Optimizers)
	whole := true // nothing but optimizers
	visit := func(name string, v pickle.Value) {
		f.find(v, append(slices.Clone(path), name))
		whole = whole && f.t.Skip(v)
	}
	if entries, ok := pickle.Entries(v); ok {
		for _, e := range entries {
			visit(keyName(e.Key), e.Value)
		}
	} else {
		var items []pickle.Value
		switch v := v.(type) {
		case *pickle.List:
			items = v.Items
		case *pickle.Tuple:
			items = v.Items
		}
		for i, item := range items {
			visit(strconv.Itoa(i), item)
		}
	}
	if whole && len(f.t.Optimizers) > in {
		f.t.skip[v] = true
	}
}

// holder reports whether a value holds others, so that it is one of its kind.
func holder(v pickle.Value) bool {
	switch v.(type) {
	case *pickle.List, *pickle.Tuple, *pickle.Dict, *pickle.Object:
		return true
	}
	return false
}

// optimizer is an optimizer's state_dict, by its two keys.
func (t *Training) optimizer(path []string, v pickle.Value) (o Optimizer, ok bool) {
	state, hasState := pickle.Get(v, "state")
	groups, hasGroups := pickle.Get(v, "param_groups")
	list, isList := groups.(*pickle.List)
	if !hasState || !hasGroups || !isList || !holder(state) {
		return o, false
	}
	o = Optimizer{Path: path, state: t.states[state]}
	if o.state == nil {
		entries, ok := pickle.Entries(state)
		if !ok {
			return o, false
		}
		o.state = map[any][]pickle.Entry{}
		for _, e := range entries {
			switch e.Key.(type) {
			case int64, string:
				o.state[e.Key], _ = pickle.Entries(e.Value)
			}
		}
		t.states[state] = o.state
	}
	if o.Groups, ok = t.groups[list]; ok {
		return o, true
	}
	known := map[pickle.Value]Group{}
	for _, v := range list.Items {
		if !holder(v) {
			return o, false
		}
		g, ok := known[v]
		if !ok {
			if g, ok = group(v); !ok {
				return o, false
			}
			known[v] = g
		}
		o.Groups = append(o.Groups, g)
	}
	t.groups[list] = o.Groups
	return o, true
}

// group is one of param_groups.
func group(v pickle.Value) (g Group, ok bool) {
	entries, ok := pickle.Entries(v)
	if !ok {
		return g, false
	}
	for _, e := range entries {
		switch e.Key {
		case "params":
			params, ok := e.Value.(*pickle.List)
			if !ok {
				return g, false
			}
			g.Params = params.Items
		case "param_names":
			names, _ := e.Value.(*pickle.List)
			if names == nil {
				continue
			}
			for _, name := range names.Items {
				if name, ok := name.(string); ok {
					g.Names = append(g.Names, name)
				}
			}
		default:
			g.Settings = append(g.Settings, e)
		}
	}
	if len(g.Names) != len(g.Params) {
		g.Names = nil
	}
	return g, true
}
