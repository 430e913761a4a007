package torch

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
)

// The members of torch.export's archives. The first ones (PyTorch 2.1 to 2.7) have no folder, and in them the weights
// are a file of torch.save's; then (torch/csrc/export/pt2_archive_constants.h) a list in JSON says of each weight which
// member is its storage, and how it lies there.
const (
	firstProgram = "serialized_exported_program.json"
	firstWeights = "serialized_state_dict.pt"
	olderWeights = "serialized_state_dict.json" // what PyTorch 2.1 called it

	weightsFolder = "data/weights/"
	weightsSuffix = "_weights_config.json"
	olderSuffix   = "_model_param_config.json"
)

// exported reads the weights of a program that torch.export saved, of its one model or, under their names, of several.
func (a *archive) exported() ([]found, *reading, error) {
	if a.top == "" {
		return a.firstExported()
	}
	switch format, err := a.small("archive_format"); {
	case err != nil:
		return nil, nil, err
	case format != "pt2":
		return nil, nil, fault.New(fault.Unsupported, "the member archive_format says %s, and only pt2 is known", quoted(format))
	}
	var models []string
	lists := map[string]*zip.Member{}
	for i := range a.zip.Members {
		m := &a.zip.Members[i]
		name, ok := strings.CutPrefix(m.Name, a.top+weightsFolder)
		if !ok {
			continue
		}
		for _, suffix := range []string{weightsSuffix, olderSuffix} {
			if model, ok := strings.CutSuffix(name, suffix); ok {
				models = append(models, model)
				lists[model] = m
			}
		}
	}
	if len(models) == 0 {
		return nil, nil, fault.New(fault.Unsupported, "the archive of torch.export has no list of weights")
	}
	r := newReading(a.file, nil, -1)
	r.big = a.big
	var all []found
	for _, model := range models {
		list, err := a.weights(r, lists[model])
		if err != nil {
			return nil, nil, err
		}
		if len(models) > 1 {
			for i := range list {
				list[i].path = append([]string{model}, list[i].path...)
			}
		}
		all = append(all, list...)
	}
	return all, r, nil
}

// firstExported reads the archives without a folder.
func (a *archive) firstExported() ([]found, *reading, error) {
	for _, name := range []string{firstWeights, olderWeights} {
		m := a.find(name)
		if m == nil {
			continue
		}
		f := a.within(m)
		if f == nil {
			data, err := a.zip.Bytes(a.ctx, m, maxPickle)
			if err != nil {
				return nil, nil, err
			}
			f = &file{ctx: a.ctx, src: inline(data), size: m.Size, inline: data, nested: a.nested + 1, imports: a.imports}
		}
		r, _, err := f.read()
		if err != nil {
			return nil, nil, err
		}
		s := r.search(nil)
		if err := s.below(r.root, nil, nil); err != nil {
			return nil, nil, err
		}
		return s.list, r, nil
	}
	return nil, nil, fault.New(fault.Missing, "the archive of torch.export has no member %s", firstWeights)
}

// within is a member that is stored as it is, as a file; nil for any other.
func (a *archive) within(m *zip.Member) *file {
	if m.Method != zip.Stored {
		return nil
	}
	return a.part(m.Off-a.off, m.Size)
}

// payload is what a list of weights says of one.
type payload struct {
	Path   string `json:"path_name"`
	Pickle bool   `json:"use_pickle"`
	Param  bool   `json:"is_param"`
	Tensor *struct {
		DType   int    `json:"dtype"`
		Sizes   []size `json:"sizes"`
		Strides []size `json:"strides"`
		Offset  size   `json:"storage_offset"`
		Grad    bool   `json:"requires_grad"`
		Layout  int    `json:"layout"`
	} `json:"tensor_meta"`
}

// size is a number, or what stands for one.
type size struct {
	Int *int64 `json:"as_int"`
}

// scalarTypes are the types by their numbers in torch/_export/serde/schema.py.
var scalarTypes = map[int]string{
	1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 9: "complex32", 10: "complex64", 11: "complex128",
	12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}

const stridedLayout = 7

// weights reads a list of weights.
func (a *archive) weights(r *reading, m *zip.Member) ([]found, error) {
	text, err := a.zip.Bytes(a.ctx, m, maxConfig)
	if err != nil {
		return nil, err
	}
	wrong := func(kind fault.Kind, format string, args ...any) error {
		e := fault.New(kind, format, args...)
		return a.at(kind, m.Off-a.off, "%s: %s", m.Name, e.Reason)
	}
	var list []found
	err = members(text, func(key string, d *json.Decoder) error {
		if key != "config" {
			return skip(d)
		}
		return object(d, func(name string) error {
			var p payload
			if err := d.Decode(&p); err != nil {
				return err
			}
			t, err := a.weight(r, &p, name, wrong)
			if err != nil {
				return err
			}
			if len(list) == maxTensors {
				return wrong(fault.Limit, "more than %d tensors", maxTensors)
			}
			list = append(list, found{[]string{name}, t})
			return nil
		})
	})
	if err != nil && fault.KindOf(err) == fault.Unknown {
		err = wrong(fault.Malformed, "%s", err)
	}
	return list, err
}

// weight is one weight of a list.
func (a *archive) weight(r *reading, p *payload, name string, wrong func(fault.Kind, string, ...any) error) (*Tensor, error) {
	if strings.HasPrefix(p.Path, "/") || strings.Contains("/"+p.Path+"/", "/../") {
		return nil, wrong(fault.Unsafe, "weight %s is in %s, which leaves the archive's folder of weights", quoted(name), quoted(p.Path))
	}
	m := a.find(weightsFolder + p.Path)
	if m == nil {
		return nil, wrong(fault.Missing, "weight %s is in %s, which is not there", quoted(name), quoted(p.Path))
	}
	if p.Pickle {
		return a.pickled(m)
	}
	if p.Tensor == nil {
		return left("nothing is said of its type and shape"), nil
	}
	e := elementsByName[scalarTypes[p.Tensor.DType]]
	if e == nil || scalarTypes[p.Tensor.DType] == untyped {
		return left("its elements are of a type that is not known here"), nil
	}
	if p.Tensor.Layout != stridedLayout {
		return left("its layout is one that is not known here"), nil
	}
	numbers := func(list []size) ([]int64, error) {
		all := make([]int64, len(list))
		for i, n := range list {
			if n.Int == nil || *n.Int < 0 {
				return nil, wrong(fault.Malformed, "a size of weight %s is no number", quoted(name))
			}
			all[i] = *n.Int
		}
		return all, nil
	}
	shape, err := numbers(p.Tensor.Sizes)
	if err != nil {
		return nil, err
	}
	strides, err := numbers(p.Tensor.Strides)
	if err != nil {
		return nil, err
	}
	off, err := numbers([]size{p.Tensor.Offset})
	if err != nil {
		return nil, err
	}
	s := r.storages[p.Path]
	if s == nil {
		s = &Storage{Key: p.Path, Class: "UntypedStorage", DType: elementsByName[untyped].dtype, Numel: m.Size, elem: elementsByName[untyped]}
		raw, err := a.member(m)
		if err != nil {
			return nil, err
		}
		if err := r.fill(s, raw); err != nil {
			return nil, err
		}
		r.storages[p.Path] = s
	}
	t, err := r.viewOf(s, e, off[0], shape, strides, false, false, 0)
	if err != nil {
		return nil, wrong(fault.KindOf(err), "weight %s: %s", quoted(name), fault.Reason(err))
	}
	same := *t
	same.Parameter, same.RequiresGrad = p.Param, p.Tensor.Grad
	return &same, nil
}

// pickled is a weight that is a file of torch.save's in its member, as subclasses of Tensor are kept.
func (a *archive) pickled(m *zip.Member) (*Tensor, error) {
	f := a.within(m)
	if f == nil {
		return left("it is pickled, in a member that is packed"), nil
	}
	r, _, err := f.read()
	if err != nil {
		return nil, err
	}
	t, err := r.tensorOf(r.root)
	if t == nil && err == nil {
		t = left("it is pickled as an object that is not known here")
	}
	return t, err
}

// members calls each for every member of a JSON object that is the whole of text, with its value to decode next.
func members(text []byte, each func(key string, d *json.Decoder) error) error {
	if !utf8.Valid(text) {
		return fault.New(fault.Malformed, "this is no UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := object(d, func(key string) error { return each(key, d) }); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(text[d.InputOffset():]); len(rest) > 0 {
		return fault.New(fault.Malformed, "%d bytes follow the JSON value", len(rest))
	}
	return nil
}

// object calls each for every key of the JSON object that comes next, whose value it decodes.
func object(d *json.Decoder, each func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fault.New(fault.Malformed, "an object is expected at byte %d", d.InputOffset())
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok || seen[key] {
			return fault.New(fault.Duplicate, "an object names %s twice", quoted(key))
		}
		seen[key] = true
		if err := each(key); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// skip passes over the value that comes next.
func skip(d *json.Decoder) error {
	var raw json.RawMessage
	return d.Decode(&raw)
}

// names are the keys of found tensors, joined.
func names(list []found) []string {
	all := make([]string, len(list))
	for i := range list {
		all[i] = strings.Join(list[i].path, ".")
	}
	return slices.Clip(all)
}
