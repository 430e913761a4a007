package tree

import (
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/codecs"
	"github.com/isomerfs/isomerfs/model"
)

// component is one model of a version.
type component struct {
	name     string     // "" for the only one; else its path and stem below the version's folder
	variants []*variant // its stored forms, the preferred one first
}

// variant is one stored form of a component.
type variant struct {
	format *codecs.Format
	order  int    // of the format in the table
	file   string // the stored file, or the index of its shards
	dir    string // the folder it lies in, "" for the version's own
	stem   string // its name without the ending
	base   string // the stem without label
	label  string // the precision that the stem ends in, "" where there is none

	model *model.Model // nil where fault is set
	fault error        // why it can't be read

	refused *model.Model // what was read and is not shown: fault says what policy keeps it back
}

// main is the variant that the component is known by: of the preferred ones the first that can be read.
func (c *component) main() *variant {
	for _, v := range c.variants {
		if v.model != nil {
			return v
		}
	}
	return c.variants[0]
}

// part is the name of one file of a sharded model: STEM-00001-of-00003.EXT.
var part = regexp.MustCompile(`^(.+)-(\d{5,})-of-(\d{5,})(\.[^/]+)$`)

const indexSuffix = ".index.json"

// isIndex reports whether a file of this name says which shards make up a model.
func isIndex(name string) bool { return strings.HasSuffix(strings.ToLower(name), indexSuffix) }

// newVariant takes a stored file's name apart.
func newVariant(f *codecs.Format, order int, file string) *variant {
	v := &variant{format: f, order: order, file: file, dir: path.Dir(file)}
	if v.dir == "." {
		v.dir = ""
	}
	name := path.Base(file)
	if isIndex(name) {
		name = name[:len(name)-len(indexSuffix)]
	}
	if m := part.FindStringSubmatch(name); m != nil {
		name = m[1] + m[4]
	}
	v.stem = strings.TrimSuffix(name, path.Ext(name))
	if inner := path.Ext(v.stem); inner == ".pth" || inner == ".pt" { // model.pth.tar
		v.stem = strings.TrimSuffix(v.stem, inner)
	}
	if v.stem == "" {
		v.stem = name
	}
	v.base, v.label = label(v.stem, f.Labels)
	return v
}

// key is what the variants of one component have in common when a version has several.
func (v *variant) key() string { return join(v.dir, v.base) }

// components groups the stored forms of a version. Different formats are one model; different stems in one format are
// components, and then forms of one path and stem belong together.
//
// Arrays (.npz, .npy) beside a model of another format are data that goes with it (means, labels, inputs and outputs to
// try it with), not another form of it, unless they bear the model's name; so is an array of its own beside archives of
// them. Those are returned as beside.
func components(variants []*variant) (list []*component, beside []*variant) {
	for _, arrays := range [][]string{{"npz", "npy"}, {"npy"}} {
		data := func(v *variant) bool { return slices.Contains(arrays, v.format.Name) }
		models := slices.DeleteFunc(slices.Clone(variants), data)
		if len(models) == 0 {
			continue
		}
		keys := map[string]bool{}
		for _, v := range models {
			keys[v.key()] = true
		}
		variants = slices.DeleteFunc(slices.Clone(variants), func(v *variant) bool {
			if data(v) && !keys[v.key()] {
				beside = append(beside, v)
				return true
			}
			return false
		})
		break
	}
	stems := map[string]map[string]bool{} // by format
	several := false
	for _, v := range variants {
		if stems[v.format.Name] == nil {
			stems[v.format.Name] = map[string]bool{}
		}
		stems[v.format.Name][v.key()] = true
		several = several || len(stems[v.format.Name]) > 1
	}
	at := map[string]*component{}
	for _, v := range variants {
		key := ""
		if several {
			key = v.key()
		}
		c := at[key]
		if c == nil {
			c = &component{name: key}
			at[key] = c
			list = append(list, c)
		}
		c.variants = append(c.variants, v)
	}
	for _, c := range list {
		sort.SliceStable(c.variants, func(i, j int) bool { return slices.Compare(c.variants[i].preference(), c.variants[j].preference()) < 0 })
		sort.SliceStable(c.variants, func(i, j int) bool { return c.variants[i].first() && !c.variants[j].first() })
		if several && len(c.variants) == 1 { // nothing to tell it from: the label stays part of its name
			c.name = join(c.variants[0].dir, c.variants[0].stem)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list, beside
}

// preference orders the variants of a component: the unlabelled one, then the widest, then the table's order, then one
// file before shards of the same.
func (v *variant) preference() []int {
	sharded := 0
	if isIndex(v.file) {
		sharded = 1
	}
	width := slices.Index(labels, v.label)
	if i := slices.Index(v.format.Labels, v.label); i >= 0 {
		width = len(labels) + i
	}
	return []int{width, v.order, sharded}
}

// quantized reports whether the variant holds less than the model was trained in.
func (v *variant) quantized() bool {
	switch v.label {
	case "fp8", "int8", "int4":
		return true
	}
	if v.model == nil {
		return false
	}
	if v.model.Quantization != nil || len(v.model.Stored) > 0 {
		return true
	}
	return slices.ContainsFunc(v.model.Tensors, func(t model.Tensor) bool {
		switch t.DType {
		case model.F4, model.F6E2M3, model.F6E3M2, model.F8E4M3, model.F8E5M2, model.F8E4M3FNUZ, model.F8E5M2FNUZ:
			return true
		}
		return false
	})
}

// parts are the files of a version that look like shards of one model.
type parts struct {
	files []string
	of    int
	stem  string // with its folder
	ext   string
}

// partsOf groups the names that look like shards, in order of the names.
func partsOf(names []string) []*parts {
	at := map[string]*parts{}
	var list []*parts
	for _, name := range names {
		m := part.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		of, err := strconv.Atoi(m[3])
		if err != nil {
			continue
		}
		key := m[1] + "\x00" + m[3] + "\x00" + m[4]
		if at[key] == nil {
			at[key] = &parts{of: of, stem: m[1], ext: m[4]}
			list = append(list, at[key])
		}
		at[key].files = append(at[key].files, name)
	}
	return list
}

// index is the usual name of the index of these shards.
func (p *parts) index() string { return p.stem + p.ext + indexSuffix }
