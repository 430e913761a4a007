package torch

import (
	"regexp"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/fault"
)

// script reads a TorchScript archive (torch/csrc/jit/docs/serialization.md):
//
//	data.pkl              the module: an object of a class of its own, whose attributes are its state
//	data/KEY              the storages of data.pkl
//	code/__torch__/*.py   the classes, which say which attributes are parameters and which are buffers
//	constants.pkl         a tuple of the tensors that stand in the code, in frozen modules all of the weights
//	constants/KEY         its storages
//
// Its weights are the parameters and buffers of its modules, under the names of the module's state_dict. Those of a
// frozen module, which has none, are its constants.
func (a *archive) script() ([]found, *reading, error) {
	if a.find("data.pkl") == nil {
		return nil, nil, fault.New(fault.Unsupported, "a TorchScript archive of PyTorch 1.0 to 1.3, which describes its module in model.json").
			Remedied("load it with a PyTorch of its time and save it again")
	}
	r, err := a.pickle("data.pkl", "data/")
	if err != nil {
		return nil, nil, err
	}
	s := &scripted{a: a, r: r, classes: map[string]*declared{}, open: map[*pickle.Object]bool{}}
	if root, ok := r.root.(*pickle.Object); ok {
		if err := s.module(root, nil); err != nil {
			return nil, nil, err
		}
	}
	if len(s.list) > 0 || a.find("constants.pkl") == nil {
		return s.list, r, nil
	}
	constants, err := a.pickle("constants.pkl", "constants/")
	if err != nil {
		return nil, nil, err
	}
	if list, ok := constants.root.(*pickle.Tuple); ok {
		for i, v := range list.Items {
			t, err := constants.tensorOf(v)
			if err != nil {
				return nil, nil, err
			}
			if t != nil {
				s.list = append(s.list, found{[]string{"CONSTANTS", "c" + numbered(list.Items)[i].name}, t})
			}
		}
	}
	return s.list, r, nil
}

// scripted walks the modules of an archive.
type scripted struct {
	a       *archive
	r       *reading
	classes map[string]*declared // by module and name
	open    map[*pickle.Object]bool
	visits  int
	list    []found
}

// declared is what the code of a class says of its attributes.
type declared struct {
	module              bool // it is a class of modules
	parameters, buffers []string
	whole               bool // it says which of them are buffers: since PyTorch 1.7
}

// module adds the tensors of a module and of its parts: parameters, buffers, and then submodules, as a state_dict has
// them.
func (s *scripted) module(o *pickle.Object, path []string) error {
	if s.open[o] {
		return nil
	}
	if s.visits++; s.visits > maxVisits*s.r.values+freeVisits {
		return fault.New(fault.Limit, "more than %d names lead to the tensors of a pickle of %d values", s.visits-1, s.r.values)
	}
	d, err := s.class(classOf(o))
	if err != nil || !d.module {
		return err
	}
	s.open[o] = true
	defer delete(s.open, o)
	entries, _ := pickle.Entries(o.State)
	attributes := keyed(entries)
	add := func(c child) error {
		t, err := s.r.tensorOf(c.value)
		if t == nil || err != nil {
			return err
		}
		if len(s.list) == maxTensors {
			return fault.New(fault.Limit, "more than %d tensors", maxTensors)
		}
		s.list = append(s.list, found{append(path[:len(path):len(path)], c.name), t})
		return nil
	}
	parameter := map[string]bool{}
	for _, name := range d.parameters {
		parameter[name] = true
	}
	buffer := map[string]bool{}
	for _, name := range d.buffers {
		buffer[name] = true
	}
	for _, c := range attributes {
		if parameter[c.name] {
			if err := add(c); err != nil {
				return err
			}
		}
	}
	for _, c := range attributes {
		if !parameter[c.name] && (buffer[c.name] || !d.whole) {
			if err := add(c); err != nil {
				return err
			}
		}
	}
	for _, c := range attributes {
		if inner, ok := c.value.(*pickle.Object); ok && s.r.tensors[inner] == nil {
			if err := s.module(inner, append(path[:len(path):len(path)], c.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	classLine = regexp.MustCompile(`(?m)^class (\w+)\((\w+)\):\n((?:  __\w+__ = \[[^\]]*\]\n)*)`)
	listLine  = regexp.MustCompile(`__(parameters|buffers)__ = \[([^\]]*)\]`)
	listItem  = regexp.MustCompile(`"([^"]*)"`)
)

// class is what the code says of a class. One that the code does not have is taken for one of modules whose tensors
// are all its own.
func (s *scripted) class(g *pickle.Global) (*declared, error) {
	if g == nil || !strings.HasPrefix(g.Module, "__torch__") {
		return &declared{}, nil
	}
	key := g.Module + "." + g.Name
	if d := s.classes[key]; d != nil {
		return d, nil
	}
	m := s.a.find("code/" + strings.ReplaceAll(g.Module, ".", "/") + ".py")
	if m == nil {
		d := &declared{module: true}
		s.classes[key] = d
		return d, nil
	}
	code, err := s.a.zip.Bytes(s.a.ctx, m, maxCode)
	if err != nil {
		return nil, err
	}
	for _, c := range classLine.FindAllSubmatch(code, -1) {
		d := &declared{module: string(c[2]) == "Module"}
		for _, l := range listLine.FindAllSubmatch(c[3], -1) {
			var list []string
			for _, item := range listItem.FindAllSubmatch(l[2], -1) {
				list = append(list, string(item[1]))
			}
			if string(l[1]) == "parameters" {
				d.parameters = list
			} else {
				d.buffers, d.whole = list, true
			}
		}
		s.classes[g.Module+"."+string(c[1])] = d
	}
	if s.classes[key] == nil {
		s.classes[key] = &declared{module: true}
	}
	return s.classes[key], nil
}
