package tree

import (
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/views"
)

// format is one FORMAT folder of a version.
type format struct {
	c     *contents
	view  *views.View
	names []string // its precisions: those of the table, those of these models, then those that are only stored; {""} for a folder without

	mu    sync.Mutex
	plans map[string]*memo[*plan] // by precision, with modifiers too; guarded by mu
}

// plan is the files of one FORMAT/PRECISION.
type plan struct {
	files  []made
	root   *tier // the same as folders
	absent []absence
}

// made is one file of a view.
type made struct {
	path string // below FORMAT/PRECISION
	out  views.Output
	of   *component
	from *variant
	why  string // why it is made from that variant
}

// absence is a view that can't be made, or the part of one that belongs to a component.
type absence struct {
	of    *component // nil: there is no model at all
	cause *fault.Error
}

func newFormat(c *contents, view *views.View) *format {
	f := &format{c: c, view: view, names: []string{""}, plans: map[string]*memo[*plan]{}}
	if view.Precisions == nil {
		return f
	}
	f.names = slices.Clone(view.Precisions)
	var stored []string
	for _, m := range c.components {
		if main := m.main().model; main != nil {
			for _, name := range view.PrecisionsOf(main) {
				if !slices.Contains(f.names, name) {
					f.names = append(f.names, name)
				}
			}
		}
		for _, x := range m.variants {
			if _, ok := samePrecision(x.label, f.names); x.label != "" && !ok && f.ready(m, x) && !slices.Contains(stored, x.label) {
				stored = append(stored, x.label)
			}
		}
	}
	sort.Strings(stored)
	f.names = append(f.names, stored...)
	return f
}

// ready reports whether a variant is a view of this format as it is stored: model_int8.onnx beside model.onnx. A label
// of a model that has no other form is part of its name.
func (f *format) ready(m *component, x *variant) bool {
	return len(m.variants) > 1 && x.label != "" && x.format.Name == f.view.Name && x.model != nil && x.model.Source != nil
}

// plan is the files of one precision, planned when it is first asked for.
func (f *format) plan(precision string) *plan {
	f.mu.Lock()
	m := f.plans[precision]
	if m == nil {
		m = &memo[*plan]{}
		f.plans[precision] = m
	}
	f.mu.Unlock()
	return m.get(func() *plan {
		p := f.make(precision)
		f.c.t.charge(f.c.v, p.cost())
		return p
	})
}

// forget drops the plan of a precision that came to nothing, so that guessed names take no memory.
func (f *format) forget(precision string) {
	f.mu.Lock()
	delete(f.plans, precision)
	f.mu.Unlock()
}

func (f *format) make(precision string) *plan {
	p := &plan{root: newTier()}
	if len(f.c.components) == 0 {
		p.absent = append(p.absent, absence{cause: f.c.nothing()})
	}
	for _, m := range f.c.components {
		if f.c.v.withheld {
			p.absent = append(p.absent, absence{m, f.c.withheld()})
			continue
		}
		files, err := f.of(m, precision)
		if err != nil {
			p.absent = append(p.absent, absence{m, err})
			continue
		}
		for _, x := range files {
			if !p.root.add(x.path, item{made: &x}) {
				err := fault.New(fault.Duplicate, "%s would be a file of two models", x.path).Remedied("put them into versions of their own")
				p.absent = append(p.absent, absence{m, err})
				continue
			}
			p.files = append(p.files, x)
		}
	}
	return p
}

// nothing is why a version without a model has no views.
func (c *contents) nothing() *fault.Error {
	if c.failed != nil {
		return &fault.Error{Kind: fault.KindOf(c.failed), Off: -1, Reason: fault.Reason(c.failed), Remedy: fault.Remedy(c.failed), Err: c.failed}
	}
	if len(c.v.Files) == 0 {
		return fault.New(fault.Missing, "the version has no files")
	}
	for _, f := range c.v.Files {
		if f.Err != nil {
			return c.v.told(f.Name, f.Err)
		}
	}
	return fault.New(fault.Unsupported, "none of the stored files is a model in a format that isomerfs reads (%s)", c.t.formatNames())
}

// of is the files that one component gives, from the nearest of its variants that can give them.
func (f *format) of(m *component, precision string) ([]made, *fault.Error) {
	var first *fault.Error
	sources := f.sources(m, precision)
	if len(sources) == 0 {
		return nil, f.c.why(m.main())
	}
	for i, x := range sources {
		var files []views.Output
		err := f.c.t.guard(x.file, func() (err error) {
			if stored, ok := f.stored(m, x, precision); ok {
				files = stored
				return nil
			}
			files, err = f.view.Plan(x.model, precision)
			return err
		})
		if err == nil && len(files) == 0 {
			err = fault.New(fault.Unsupported, "the model has nothing that %s could hold", f.view.Name)
		}
		if err != nil {
			if first == nil {
				first = &fault.Error{Kind: fault.KindOf(err), Off: -1, Reason: fault.Reason(err), Remedy: fault.Remedy(err), Err: err}
			}
			continue
		}
		why := f.because(m, x, precision)
		if i > 0 {
			why = "the nearest form that can be made into it"
		}
		list := make([]made, len(files))
		for j, out := range files {
			list[j] = made{path: f.named(m, files, out.Path), out: out, of: m, from: x, why: why}
		}
		return list, nil
	}
	return nil, first
}

// stored is a ready view of a precision that nothing is made in, or that is taken as it is stored.
func (f *format) stored(m *component, x *variant, precision string) ([]views.Output, bool) {
	if precisionKey(x.label) != precisionKey(precision) || !f.ready(m, x) || !f.view.Ready && slices.Contains(f.view.Precisions, precision) {
		return nil, false
	}
	return []views.Output{{Path: "model" + path.Ext(x.file), File: layout.Stored(x.model.Source)}}, true
}

// sources lists the variants that can be read, the nearest to a view first: what the card names, what is stored in this very format and
// precision, then the unquantized, then those of the view's format, then the preferred.
func (f *format) sources(m *component, precision string) []*variant {
	var list []*variant
	ranks := map[*variant][]int{}
	one := func(no bool) int {
		if no {
			return 1
		}
		return 0
	}
	for _, x := range m.variants {
		if x.model == nil {
			continue
		}
		list = append(list, x)
		ranks[x] = append([]int{one(!x.named(f.view.Name, precision)), one(!f.exact(m, x, precision)), one(x.quantized()), one(x.format.Name != f.view.Name)}, x.preference()...)
	}
	sort.SliceStable(list, func(i, j int) bool { return slices.Compare(ranks[list[i]], ranks[list[j]]) < 0 })
	return list
}

// exact reports whether a variant is stored in the view's format and precision.
func (f *format) exact(m *component, x *variant, precision string) bool {
	return len(m.variants) > 1 && x.label != "" && x.format.Name == f.view.Name && precisionKey(precision) == precisionKey(x.label)
}

// because says why a variant is the source of a view.
func (f *format) because(m *component, x *variant, precision string) string {
	readable := 0
	quantized := false
	for _, y := range m.variants {
		if y.model != nil {
			readable++
			quantized = quantized || y.quantized()
		}
	}
	switch {
	case len(m.variants) == 1:
		return "the only stored form"
	case readable == 1:
		return "the only stored form that can be read"
	case x.named(f.view.Name, precision):
		return "named by the card source/" + x.model.Card.File
	case f.exact(m, x, precision):
		return "stored in this format and precision"
	case x.format.Name == f.view.Name:
		return "stored in this format"
	case quantized && !x.quantized():
		return "stored unquantized"
	}
	return "the preferred of the stored forms"
}

// named is the place of a file below FORMAT/PRECISION. One model in a version is model.EXT. Of several each keeps its
// path and stem: a view of one file as the file's name, a view of more as a folder, unless the files bear the stem.
func (f *format) named(m *component, all []views.Output, p string) string {
	if m.name == "" {
		return p
	}
	if len(all) == 1 && all[0].Tensor == nil && !strings.Contains(p, "/") && path.Ext(p) != ".json" { // not a list of no tensors
		return m.name + path.Ext(p)
	}
	if f.view.Precisions != nil {
		stem := path.Base(m.name)
		if !slices.ContainsFunc(all, func(o views.Output) bool { return !strings.HasPrefix(path.Base(o.Path), stem) }) {
			return path.Join(path.Dir(m.name), p)
		}
	}
	return join(m.name, p)
}

// available lists the precisions that can be made, {""} for a folder without precisions.
func (f *format) available() []string {
	var list []string
	for _, name := range f.names {
		if len(f.plan(name).files) > 0 {
			list = append(list, name)
		}
	}
	return list
}

// any reports whether any precision can be made; it plans no more of them than it must.
func (f *format) any() bool {
	return slices.ContainsFunc(f.names, func(name string) bool { return len(f.plan(name).files) > 0 })
}

// cause is why there is no such precision, or why there is none at all where precision is "".
func (f *format) cause(precision string) *fault.Error {
	for _, name := range f.names {
		if precision == "" || name == precision {
			if a := f.plan(name).absent; len(a) > 0 {
				return a[0].cause
			}
		}
	}
	return fault.New(fault.Absent, "%s is not made", join(f.view.Name, precision))
}

// unavailable is one row of what a version lacks.
type unavailable struct {
	View   string `json:"view"`
	Reason string `json:"reason"`
	Remedy any    `json:"remedy"` // null where nothing helps
}

// unavailable lists what can't be made and why: a format as one row where all its precisions fail alike.
func (c *contents) unavailable() []unavailable {
	list := []unavailable{}
	add := func(view string, cause *fault.Error) {
		row := unavailable{View: view, Reason: cause.Reason}
		if cause.Off >= 0 {
			row.Reason = fault.Reason(cause)
		}
		if cause.Remedy != "" {
			row.Remedy = cause.Remedy
		}
		list = append(list, row)
	}
	for _, f := range c.formats {
		if reason, ok := f.alike(); ok {
			add(f.view.Name, reason)
			continue
		}
		for _, name := range f.expected() {
			p := f.plan(name)
			view := join(f.view.Name, name)
			for _, a := range p.absent {
				if len(p.files) == 0 {
					add(view, a.cause)
					break
				}
				add(join(view, a.of.name), a.cause)
			}
		}
	}
	for _, file := range c.v.Files {
		if file.Err != nil {
			add("source/"+file.Name, c.v.told(file.Name, file.Err))
		}
	}
	return list
}

// expected lists the precisions that every model should have.
func (f *format) expected() []string {
	if f.view.Precisions == nil {
		return []string{""}
	}
	return f.view.Precisions
}

// alike reports whether nothing of a format can be made, for one reason.
func (f *format) alike() (*fault.Error, bool) {
	var cause *fault.Error
	for _, name := range f.expected() {
		p := f.plan(name)
		if len(p.files) > 0 || len(p.absent) == 0 {
			return nil, false
		}
		if cause != nil && p.absent[0].cause.Reason != cause.Reason {
			return nil, false
		}
		cause = p.absent[0].cause
	}
	return cause, cause != nil
}
