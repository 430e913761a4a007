package torch

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// ZeROFormat is a folder of DeepSpeed's, in which the weights are partitioned over the processes of a training.
const ZeROFormat = "deepspeed"

// zeroModel is the file of the first process, by which the folder is known: of stages 1 and 2, and of stage 3.
var zeroModel = regexp.MustCompile(`^(zero_pp_rank_0_)?mp_rank_00_model_states\.pt$`)

// MatchZeRO reports whether a file of this name is the first of a folder of DeepSpeed's.
func MatchZeRO(name string) bool { return zeroModel.MatchString(path.Base(name)) }

// ReadZeRO reads the float32 master weights of a folder of DeepSpeed's ZeRO, stages 1 to 3, by the model states of its
// first process. Each process has a flat vector of its part of every group of parameters, in *_optim_states.pt; the
// parameters' names, shapes and order stand in the model states. Of stages 1 and 2 the vectors of a group, one after
// another, are its parameters one after another; of stage 3 each parameter is split over the processes, and padded, by
// itself. A parameter is put together from its slices as it is read. Buffers and frozen parameters come from the model
// states. It gives what DeepSpeed's own zero_to_fp32.py does, but that buffers of integers stay integers. A folder without
// partitions is Unsupported: its model states are a checkpoint like any other.
func ReadZeRO(ctx context.Context, files layout.Files, name string) (*model.Model, error) {
	z := &zero{ctx: ctx, files: files, imports: &pickle.Imports{}, m: &model.Model{Metadata: map[string]string{}}}
	dir := path.Dir(name)
	var models, optims []string
	for _, file := range files.List() {
		if path.Dir(file) != dir {
			continue
		}
		switch base := path.Base(file); {
		case strings.HasSuffix(base, "_optim_states.pt"):
			optims = append(optims, file)
		case strings.HasSuffix(base, "_model_states.pt"):
			models = append(models, file)
		}
	}
	if len(optims) == 0 {
		return nil, fault.In(name, fault.New(fault.Unsupported, "no *_optim_states.pt lies beside it: nothing is partitioned"))
	}
	for _, file := range models {
		if !strings.HasSuffix(file, "mp_rank_00_model_states.pt") {
			return nil, fault.In(file, fault.New(fault.Unsupported, "the tensors are split between processes too (model parallelism), which ZeRO's partitions do not tell how"))
		}
	}
	slices.SortFunc(models, natural)
	slices.SortFunc(optims, natural)
	if err := z.read(name, models, optims); err != nil {
		return nil, fault.In(name, err)
	}
	for _, i := range z.imports.List() {
		z.m.Imports = append(z.m.Imports, model.Import{File: name, Module: i.Module, Name: i.Name, Verdict: i.Verdict.String(), Reason: i.Reason})
	}
	for _, file := range models { // of processes that have nothing of their own
		if slices.Contains(z.m.Files, file) {
			continue
		}
		src, err := files.Open(file)
		if err != nil {
			return nil, err
		}
		z.m.Files, z.m.Sources = append(z.m.Files, file), append(z.m.Sources, src)
	}
	z.m.Format, z.m.File = ZeROFormat, name
	return z.m, nil
}

// natural orders names by the numbers in them: rank_2 before rank_10.
func natural(a, b string) int {
	for len(a) > 0 && len(b) > 0 {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, _ := strconv.ParseUint(a[:x], 10, 64)
			n, _ := strconv.ParseUint(b[:y], 10, 64)
			if m != n {
				return map[bool]int{true: -1, false: 1}[m < n]
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) (n int) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

type zero struct {
	ctx     context.Context
	files   layout.Files
	imports *pickle.Imports
	m       *model.Model
	seen    map[string]bool
}

// shaped is a parameter as param_shapes has it.
type shaped struct {
	name  string
	shape []int64
	numel int64
}

// open reads one file of the folder.
func (z *zero) open(name string) (*reading, error) {
	src, err := z.files.Open(name)
	if err != nil {
		return nil, err
	}
	z.m.Files, z.m.Sources = append(z.m.Files, name), append(z.m.Sources, src)
	f := newFile(z.ctx, src)
	f.imports = z.imports
	r, _, err := f.read()
	if err != nil {
		return nil, fault.In(name, err)
	}
	return r, nil
}

func (z *zero) read(name string, models, optims []string) error {
	first, err := z.open(name)
	if err != nil {
		return err
	}
	if _, ok := pickle.Get(first.root, "buffer_names"); !ok {
		return fault.New(fault.Unsupported, "it names no buffers, as model states of ZeRO do")
	}
	stage, vectors, err := z.vectors(optims)
	if err != nil {
		return err
	}
	z.seen = map[string]bool{}
	if err := z.buffers(first); err != nil {
		return err
	}
	if err := z.frozen(first, name, models, stage, len(optims)); err != nil {
		return err
	}
	groups, err := z.groups(first)
	if err != nil {
		return err
	}
	if stage == 3 {
		err = z.split(slices.Concat(groups...), vectors)
	} else {
		err = z.inARow(groups, vectors)
	}
	if err != nil {
		return err
	}
	z.shared(first)
	z.m.Metadata["zero_stage"] = strconv.Itoa(stage)
	if v, ok := pickle.Get(first.root, "ds_version"); ok {
		if text, ok := v.(string); ok {
			z.m.Metadata["ds_version"] = text
		}
	}
	return nil
}

// vectors are the flat vectors of each process, by group.
func (z *zero) vectors(optims []string) (stage int, vectors [][]*layout.File, err error) {
	for i, name := range optims {
		r, err := z.open(name)
		if err != nil {
			return 0, nil, err
		}
		state, _ := pickle.Get(r.root, "optimizer_state_dict")
		n, ok := pickle.Get(state, "zero_stage")
		s, isInt := n.(int64)
		if !ok || !isInt || s < 1 || s > 3 {
			return 0, nil, fault.In(name, fault.New(fault.Unsupported, "its zero_stage is none of 1, 2 and 3"))
		}
		if i == 0 {
			stage = int(s)
			if count := partitions(state); count != int64(len(optims)) {
				return 0, nil, fault.In(name, fault.New(fault.Missing, "the weights are partitioned over %d processes, and %d files *_optim_states.pt are here", count, len(optims)).
					Remedied("put the files of all processes into one folder"))
			}
		} else if int(s) != stage {
			return 0, nil, fault.In(name, fault.New(fault.Mismatch, "its zero_stage is %d, and that of the first is %d", s, stage))
		}
		key := "single_partition_of_fp32_groups"
		if stage == 3 {
			key = "fp32_flat_groups"
		}
		v, _ := pickle.Get(state, key)
		list, ok := v.(*pickle.List)
		if !ok {
			return 0, nil, fault.In(name, fault.New(fault.Malformed, "it has no list %s", key))
		}
		var groups []*layout.File
		for _, item := range list.Items {
			t, err := r.tensorOf(item)
			if err != nil {
				return 0, nil, fault.In(name, err)
			}
			if t == nil || t.Left != "" || t.DType != model.F32 || len(t.Shape) != 1 {
				return 0, nil, fault.In(name, fault.New(fault.Malformed, "%s holds what is no vector of float32", key))
			}
			groups = append(groups, t.Data)
		}
		vectors = append(vectors, groups)
	}
	return stage, vectors, nil
}

// partitions is partition_count: a number, or one for each group, of which the largest counts.
func partitions(state pickle.Value) (most int64) {
	switch v, _ := pickle.Get(state, "partition_count"); v := v.(type) {
	case int64:
		return v
	case *pickle.List:
		for _, item := range v.Items {
			if n, ok := item.(int64); ok {
				most = max(most, n)
			}
		}
	}
	return most
}

// groups are the parameters that are trained, as param_shapes has them: a dict for each group.
func (z *zero) groups(r *reading) (groups [][]shaped, err error) {
	v, _ := pickle.Get(r.root, "param_shapes")
	list, ok := v.(*pickle.List)
	if !ok {
		if _, ok := pickle.Entries(v); !ok {
			return nil, fault.New(fault.Malformed, "param_shapes is no list of dicts")
		}
		list = &pickle.List{Items: []pickle.Value{v}}
	}
	for _, item := range list.Items {
		group, err := shapesIn(item)
		if err != nil {
			return nil, err
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func shapesIn(v pickle.Value) (list []shaped, err error) {
	entries, ok := pickle.Entries(v)
	if !ok {
		return nil, fault.New(fault.Malformed, "shapes of parameters that are no dict")
	}
	for _, e := range entries {
		name, ok := e.Key.(string)
		shape, isSize := sizes(e.Value)
		if !ok || !isSize || len(shape) > maxRank {
			return nil, fault.New(fault.Malformed, "a parameter without a name or a shape")
		}
		n, err := model.Elements(shape)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "%s: %s", quoted(name), fault.Reason(err))
		}
		list = append(list, shaped{name, shape, n})
	}
	return list, nil
}

// add adds a tensor under a name that no other has.
func (z *zero) add(name string, d model.DType, shape []int64, data *layout.File) error {
	if z.seen[name] {
		return fault.New(fault.Duplicate, "two tensors are called %s", quoted(name))
	}
	z.seen[name] = true
	z.m.Tensors = append(z.m.Tensors, model.Tensor{Name: name, DType: d, Shape: shape, Data: data})
	return nil
}

// buffers are those of the module's tensors that buffer_names lists; what is narrower than float32 was float32 before.
func (z *zero) buffers(r *reading) error {
	v, _ := pickle.Get(r.root, "buffer_names")
	var names []pickle.Value
	switch v := v.(type) {
	case *pickle.List:
		names = v.Items
	case *pickle.Set:
		names = v.Items
	}
	module, _ := pickle.Get(r.root, "module")
	entries, _ := pickle.Entries(module)
	for _, e := range entries {
		name, ok := e.Key.(string)
		if !ok || !slices.Contains(names, e.Key) {
			continue
		}
		t, err := r.tensorOf(e.Value)
		if err != nil {
			return err
		}
		if t == nil || t.Left != "" {
			z.m.Left = append(z.m.Left, model.Left{Name: name, Reason: "the buffer has no bytes that a view could show"})
			continue
		}
		d, data := t.DType, t.Data
		if op, ok := quant.Cast(d, model.F32); ok && (d == model.F16 || d == model.BF16) {
			if data, err = layout.New(layout.Coded{Op: op, Label: name, In: []*layout.File{data}}); err != nil {
				return err
			}
			d = model.F32
		}
		if err := z.add(name, d, t.Shape, data); err != nil {
			return err
		}
	}
	return nil
}

// frozen are the parameters that are not trained: whole in the first process's model states, of stage 3 a fragment in
// each process's.
func (z *zero) frozen(first *reading, name string, models []string, stage, processes int) error {
	v, _ := pickle.Get(first.root, "frozen_param_shapes")
	if v == nil {
		return nil
	}
	list, err := shapesIn(v)
	if err != nil || len(list) == 0 {
		return err
	}
	ranks := []*reading{first}
	if stage == 3 {
		if len(models) != processes {
			return fault.New(fault.Missing, "%d files *_model_states.pt are here, of %d processes", len(models), processes)
		}
		for _, other := range models {
			if other == name {
				continue
			}
			r, err := z.open(other)
			if err != nil {
				return err
			}
			ranks = append(ranks, r)
		}
	}
	for _, p := range list {
		var parts []*layout.File
		var d model.DType
		for i, r := range ranks {
			fragments, _ := pickle.Get(r.root, "frozen_param_fragments")
			fragment, _ := pickle.Get(fragments, p.name)
			t, err := r.tensorOf(fragment)
			if err != nil {
				return err
			}
			if t == nil || t.Left != "" || i > 0 && t.DType != d {
				return fault.New(fault.Missing, "the frozen parameter %s has no bytes in the states of process %d", quoted(p.name), i)
			}
			d, parts = t.DType, append(parts, t.Data)
		}
		data, err := cutTo(parts, d, p)
		if err != nil {
			return err
		}
		if err := z.add(p.name, d, p.shape, data); err != nil {
			return err
		}
	}
	return nil
}

// cutTo is the first elements of parts, one after another, that a parameter has; the rest is padding.
func cutTo(parts []*layout.File, d model.DType, p shaped) (*layout.File, error) {
	whole, err := layout.Concat(parts...)
	if err != nil {
		return nil, err
	}
	return slice(whole, d, 0, p)
}

// slice is a parameter in a vector, from an element.
func slice(of *layout.File, d model.DType, from int64, p shaped) (*layout.File, error) {
	size := d.Block().Bytes
	have := of.Size() / size
	if p.numel > have || from > have-p.numel {
		return nil, fault.New(fault.Extent, "%s has %d elements from %d, and its vector has %d", quoted(p.name), p.numel, from, have)
	}
	return of.Slice(from*size, p.numel*size)
}

// inARow takes the parameters of stages 1 and 2 from their groups. What is left of a group is padding: less than
// twice the processes of elements in all, after both are rounded up to that.
func (z *zero) inARow(groups [][]shaped, vectors [][]*layout.File) error {
	for i, group := range groups {
		var parts []*layout.File
		for _, of := range vectors {
			if i >= len(of) {
				return fault.New(fault.Mismatch, "%d groups of parameters, and a process has vectors of %d", len(groups), len(of))
			}
			parts = append(parts, of[i])
		}
		whole, err := layout.Concat(parts...)
		if err != nil {
			return err
		}
		var at int64
		for _, p := range group {
			data, err := slice(whole, model.F32, at, p)
			if err != nil {
				return err
			}
			if err := z.add(p.name, model.F32, p.shape, data); err != nil {
				return err
			}
			at += p.numel
		}
		align := 2 * int64(len(vectors))
		if have := whole.Size() / 4; (at+align-1)/align != (have+align-1)/align {
			return fault.New(fault.Mismatch, "the parameters of group %d have %d elements, and its vectors %d", i, at, have)
		}
	}
	return nil
}

// split takes the parameters of stage 3: each is split over the processes by itself.
func (z *zero) split(params []shaped, vectors [][]*layout.File) error {
	ranks := make([]*layout.File, len(vectors))
	for i, groups := range vectors {
		var err error
		if ranks[i], err = layout.Concat(groups...); err != nil {
			return err
		}
	}
	world := int64(len(ranks))
	var at int64
	for _, p := range params {
		share := (p.numel + world - 1) / world
		var parts []*layout.File
		for _, r := range ranks {
			part, err := slice(r, model.F32, at, shaped{p.name, nil, share})
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
		data, err := cutTo(parts, model.F32, p)
		if err != nil {
			return err
		}
		if err := z.add(p.name, model.F32, p.shape, data); err != nil {
			return err
		}
		at += share
	}
	for i, r := range ranks {
		if have := r.Size() / 4; at > have {
			return fault.New(fault.Mismatch, "the parameters take %d elements of process %d, which has %d", at, i, have)
		}
	}
	return nil
}

// shared gives tensors the further names that shared_params has for them.
func (z *zero) shared(r *reading) {
	v, _ := pickle.Get(r.root, "shared_params")
	entries, _ := pickle.Entries(v)
	for _, e := range entries {
		alias, ok := e.Key.(string)
		of, isText := e.Value.(string)
		if !ok || !isText || z.seen[alias] {
			continue
		}
		if i := slices.IndexFunc(z.m.Tensors, func(t model.Tensor) bool { return t.Name == of }); i >= 0 {
			same := z.m.Tensors[i]
			same.Name = alias
			z.m.Tensors = append(z.m.Tensors, same)
			z.seen[alias] = true
		}
	}
}
