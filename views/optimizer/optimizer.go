// Package optimizer is the view of what a training checkpoint knows beside the weights: index.json says of each
// parameter, by its name, what state the optimizer keeps of it and with which hyperparameters it steps; the tensors of
// the state are files, bare bytes as in tensors/; state.json is the rest: the schedule, the epoch, the random numbers.
//
//	{
//	"optimizers": [{"key": "optimizer_state_dict", "groups": [{"lr": 0.001, ...}]}],
//	"parameters": {
//	"fc.weight": {"optimizer": 0, "group": 0, "id": 4, "named_by": "order", "step": 3.0,
//	  "hyperparameters": {"lr": 0.001, ...},
//	  "state": {"exp_avg": {"file": "fc.weight.exp_avg", "dtype": "F32", "shape": [10, 4], "nbytes": 160}, ...}},
//	...
//	},
//	"unnamed": []
//	}
//
// An optimizer stores its state by numbers. named_by says how a name was found: names (the optimizer has them), order
// (the order of the weights and the shapes of the states leave one way), shape (no other weight or state has it) or
// guess (the first of several ways). Where there is no way a parameter stands in unnamed, under its number.
package optimizer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	index     = "index.json"
	state     = "state.json"
	jsonEnds  = ".json"
	escapeDot = "%2E"
	stepKey   = "step" // of a parameter's state: how many steps it took
)

// Plan is the files: index.json, state.json, and a file for each tensor. It fails as Absent for a model that was stored
// without an optimizer.
func Plan(m *model.Model, precision string) ([]model.Output, error) {
	if precision != "" {
		return nil, fault.New(fault.Absent, "optimizer has no precisions: its files have the stored types")
	}
	parts, err := find(m)
	if err != nil {
		return nil, err
	}
	p := plan{m: m, taken: map[string]bool{index: true, state: true}, again: map[string]int{}}
	if err := p.name(parts); err != nil {
		return nil, fault.In(m.File, err)
	}
	if err := p.index(); err != nil {
		return nil, err
	}
	if err := p.state(parts); err != nil {
		return nil, err
	}
	return p.outputs, nil
}

// Saves is how many bytes the weight views save because they leave out what this one holds; 0 of a model without.
func Saves(m *model.Model) int64 {
	parts, err := find(m)
	if err != nil {
		return 0
	}
	var sum int64
	seen := map[*layout.File]bool{}
	left := mostSlots // of what a pickle holds many times there may be any number
	for _, part := range parts {
		if part.file != "" { // beside the weights: nothing has to leave it out
			continue
		}
		for i := range part.training.Optimizers {
			o := &part.training.Optimizers[i]
			for _, g := range o.Groups {
				for _, id := range g.Params {
					for _, e := range o.State(id) {
						if left--; left < 0 {
							return sum
						}
						if t := part.c.Tensor(e.Value); t != nil && t.Data != nil && !seen[t.Data] {
							seen[t.Data] = true
							sum += t.Data.Size()
						}
					}
				}
			}
		}
	}
	return sum
}

// part is a checkpoint, or one of the files that trainers put beside the weights.
type part struct {
	file     string // "" of the checkpoint that the weights are in
	c        *torch.Checkpoint
	training *torch.Training
}

// The files that Hugging Face's Trainer and Accelerate put beside the weights.
var besides = []string{"optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "scaler.pt", "scaler.bin", "rng_state.pth", "random_states_0.pkl"}

// find is what holds the state of a model's training, the optimizer first of all.
func find(m *model.Model) ([]part, error) {
	none := fault.New(fault.Absent, "the model is stored without the state of an optimizer")
	if c := torch.Of(m); c != nil {
		if t := c.Training(); len(t.Optimizers) > 0 {
			return []part{{c: c, training: t}}, nil
		}
	}
	if m.Beside == nil {
		return nil, none
	}
	var parts []part
	optimizers := 0
	for _, name := range besides {
		file := path.Join(path.Dir(m.File), name)
		if _, err := m.Beside.Open(file); err != nil {
			continue
		}
		c, err := torch.Load(context.Background(), m.Beside, file)
		if err != nil {
			if strings.HasPrefix(name, "optimizer.") {
				return nil, fault.In(file, err)
			}
			continue
		}
		t := c.Training()
		optimizers += len(t.Optimizers)
		parts = append(parts, part{name, c, t})
	}
	if optimizers == 0 {
		return nil, none
	}
	return parts, nil
}

// trainerState is what Hugging Face's Trainer knows of the training itself: the epoch, the step, the log.
const (
	trainerState = "trainer_state.json"
	mostDocument = 1 << 20
)

// document is a stored file of JSON, without its blanks; "" where there is none, or a large one.
func document(files layout.Files, name string) string {
	src, err := files.Open(name)
	if err != nil || src.Size() > mostDocument {
		return ""
	}
	raw := make([]byte, src.Size())
	if n, _ := src.ReadAt(context.Background(), raw, 0); n < len(raw) {
		return ""
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}

// plan is the view in the making.
type plan struct {
	m          *model.Model
	optimizers []*optimizer
	slots      [][]*slot       // of all groups of all optimizers
	taken      map[string]bool // files that there are
	again      map[string]int  // by name, how many other files bear it
	outputs    []model.Output  // the two documents first
	files      []model.Output
}

type optimizer struct {
	*torch.Optimizer
	c     *torch.Checkpoint
	key   string
	slots [][]*slot
}

// name brings the parameters of all optimizers and the weights together: first of all at once, since together they
// take the whole model, and where that does not come out of each by itself.
func (p *plan) name(parts []part) error {
	left := mostSlots
	for _, part := range parts {
		for i := range part.training.Optimizers {
			o := &optimizer{Optimizer: &part.training.Optimizers[i], c: part.c}
			o.key = strings.Join(o.Path, ".")
			if part.file != "" {
				o.key = below(part.file, o.key)
				if len(o.Path) == 0 {
					o.key = part.file
				}
			}
			for g, group := range o.Groups {
				if left -= 1 + len(group.Params); left < 0 {
					return fault.New(fault.Limit, "the optimizers have more than %d parameters and groups", mostSlots)
				}
				list := make([]*slot, len(group.Params))
				for k, id := range group.Params {
					s := &slot{optimizer: len(p.optimizers), group: g, id: id, state: o.State(id), settings: group.Settings}
					if group.Names != nil {
						s.name = group.Names[k]
					}
					s.shape, s.known = stateShape(o.c, s.state)
					list[k] = s
				}
				o.slots = append(o.slots, list)
			}
			p.optimizers = append(p.optimizers, o)
			p.slots = append(p.slots, o.slots...)
		}
	}
	w := weights{tensors: model.Unwrapped(p.m.Tensors), marked: p.marked(), ordered: p.m.Format == torch.Format}
	if !w.name(p.slots) && len(p.optimizers) > 1 {
		for _, o := range p.optimizers {
			w.name(o.slots)
		}
	}
	return nil
}

// mostSlots bounds how many parameters and groups all optimizers of a model have together.
const mostSlots = 1 << 20

// marked are the tensors that the checkpoint marks as parameters; nil where it marks none.
func (p *plan) marked() []bool {
	c := torch.Of(p.m)
	if c == nil || len(c.Tensors) != len(p.m.Tensors) {
		return nil
	}
	any := false
	list := make([]bool, len(c.Tensors))
	for i, t := range c.Tensors {
		list[i] = t.Parameter
		any = any || t.Parameter
	}
	if !any {
		return nil
	}
	return list
}

// index adds index.json and the files of the states.
func (p *plan) index() error {
	var t text
	t.add("{\n\"optimizers\": [")
	for i, o := range p.optimizers {
		if i > 0 {
			t.add(",")
		}
		t.add("\n{\"key\": ")
		t.string(o.key)
		t.add(", \"groups\": [")
		for g, group := range o.Groups {
			if t.size > mostText {
				break
			}
			if g > 0 {
				t.add(", ")
			}
			p.values(&t, o.c, below(o.key, "param_groups")).dict(group.Settings, "")
		}
		t.add("]}")
	}
	t.add("\n],\n\"parameters\": {")
	named, rest := p.sorted()
	names := map[string]bool{}
	for i, s := range named {
		if t.size > mostText {
			break
		}
		if i > 0 {
			t.add(",")
		}
		t.add("\n")
		key := s.name
		for n := s.optimizer; names[key]; n++ { // of one that two optimizers have
			key = fmt.Sprintf("%s (%s %d)", s.name, p.optimizers[s.optimizer].key, n)
		}
		names[key] = true
		t.string(key)
		t.add(": ")
		p.slot(&t, s, s.name)
	}
	t.add("\n},\n\"unnamed\": [")
	for i, s := range rest {
		if t.size > mostText {
			break
		}
		if i > 0 {
			t.add(",")
		}
		t.add("\n")
		p.slot(&t, s, below(p.optimizers[s.optimizer].key, torch.KeyName(s.id)))
	}
	t.add("]\n}\n")
	if t.size > mostText {
		return fault.In(p.m.File, fault.New(fault.Limit, "%s would be longer than %d bytes", index, mostText))
	}
	f, err := t.layout()
	if err != nil {
		return fault.In(p.m.File, err)
	}
	p.outputs = append([]model.Output{{Path: index, File: f}}, p.files...)
	return nil
}

// sorted are the parameters with a name, in the order of the weights, and those without.
func (p *plan) sorted() (named, rest []*slot) {
	at := make([][]*slot, len(p.m.Tensors)+1)
	for _, g := range p.slots {
		for _, s := range g {
			if s.how != unknown {
				at[s.at] = append(at[s.at], s)
			} else {
				rest = append(rest, s)
			}
		}
	}
	for _, list := range at {
		named = append(named, list...)
	}
	return named, rest
}

// slot adds what is known of a parameter.
func (p *plan) slot(t *text, s *slot, name string) {
	o := p.optimizers[s.optimizer]
	w := p.values(t, o.c, name)
	w.bare = true
	t.add(fmt.Sprintf("{\"optimizer\": %d, \"group\": %d, \"id\": ", s.optimizer, s.group))
	w.any(s.id, "")
	t.add(", \"named_by\": ")
	if s.how == unknown {
		t.add("null")
	} else {
		t.string(s.how)
	}
	t.add(", \"step\": ")
	var step pickle.Value
	for _, e := range s.state {
		if e.Key == stepKey {
			step = e.Value
		}
	}
	w.any(step, stepKey)
	t.add(", \"hyperparameters\": ")
	w.dict(s.settings, "")
	t.add(", \"state\": ")
	w.dict(s.state, "")
	t.add("}")
}

// values writes values of a checkpoint, whose tensors are files that begin with prefix.
func (p *plan) values(t *text, c *torch.Checkpoint, prefix string) *values {
	return &values{t: t, c: c, left: mostValues, tensor: func(tensor *torch.Tensor, name string) {
		if tensor.Left != "" || tensor.Data == nil {
			t.json(map[string]string{"left_out": "a tensor: " + tensor.Left})
			return
		}
		t.json(p.file(below(prefix, name), tensor))
	}}
}

// file adds the file of a tensor.
func (p *plan) file(name string, t *torch.Tensor) known {
	file := model.FileName(name, "")
	if file == index || file == state {
		file = strings.TrimSuffix(file, jsonEnds) + escapeDot + jsonEnds[1:]
	}
	for p.taken[file] { // names that come to one, such as a.b of c and a of b.c
		p.again[name]++
		file = model.FileName(fmt.Sprintf("%s.%d", name, 1+p.again[name]), "")
	}
	p.taken[file] = true
	shape := t.Shape
	if shape == nil {
		shape = []int64{}
	}
	p.files = append(p.files, model.Output{Path: file, File: t.Data, Tensor: &model.Tensor{Name: name, DType: t.DType, Shape: shape, Data: t.Data}})
	return known{file, t.DType.String(), shape, t.Data.Size()}
}

// state adds state.json.
func (p *plan) state(parts []part) error {
	var t text
	t.add("{")
	first := true
	add := func(key string) {
		if !first {
			t.add(",")
		}
		first = false
		t.add("\n")
		t.string(key)
		t.add(": ")
	}
	p.files = nil
	for _, part := range parts {
		w := p.values(&t, part.c, part.file)
		w.skip = part.training.Skip
		if part.file == "" {
			for _, e := range part.training.Rest {
				name := torch.KeyName(e.Key)
				add(name)
				w.any(e.Value, name)
			}
			continue
		}
		if len(part.training.Optimizers) > 0 && len(part.training.Rest) == 0 {
			continue
		}
		add(part.file)
		w.dict(part.training.Rest, "")
	}
	if parts[0].file != "" {
		if said := document(p.m.Beside, path.Join(path.Dir(p.m.File), trainerState)); said != "" {
			add(trainerState)
			t.add(said)
		}
	}
	t.add("\n}\n")
	f, err := t.layout()
	if err != nil {
		return fault.In(p.m.File, err)
	}
	p.outputs = append(p.outputs, model.Output{})
	copy(p.outputs[2:], p.outputs[1:])
	p.outputs[1] = model.Output{Path: state, File: f}
	p.outputs = append(p.outputs, p.files...)
	return nil
}
