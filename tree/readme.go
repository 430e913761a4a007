package tree

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/isomerfs/isomerfs/model"
)

// uses says in a line of code how a view is read. The line works in the version's folder; %q is the path of a file
// there.
var uses = []struct {
	format string
	lang   string
	line   string
}{
	{"safetensors", "python", "import safetensors.torch; weights = safetensors.torch.load_file(%q)"},
	{"pytorch", "python", "import torch; weights = torch.load(%q, weights_only=True, mmap=True)"},
	{"npy", "python", "import numpy; tensor = numpy.load(%q, mmap_mode=\"r\")"},
	{"npz", "python", "import numpy; weights = numpy.load(%q)"},
	{"onnx", "python", "import onnxruntime; session = onnxruntime.InferenceSession(%q)"},
}

// numpyNames are the types that numpy.fromfile takes.
var numpyNames = map[model.DType]string{
	model.Bool: "?", model.U8: "u1", model.I8: "i1", model.U16: "<u2", model.I16: "<i2", model.F16: "<f2", model.U32: "<u4", model.I32: "<i4",
	model.F32: "<f4", model.U64: "<u8", model.I64: "<i8", model.F64: "<f8", model.C64: "<c8", model.C128: "<c16",
}

// readme is README.md of a version: what is here, how to use it, and what is not available and why.
func readme(ctx context.Context, c *contents, _ bool) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s %s\n\n", cell(c.v.Model), cell(c.v.Name))
	c.opening(&b)
	b.WriteString("\n## Here\n\n| path | size | |\n|---|---:|---|\n")
	for _, f := range c.v.Files {
		if f.Err == nil {
			fmt.Fprintf(&b, "| %s | %s | stored |\n", code("source/"+f.Name), bytesText(f.Source.Size()))
		}
	}
	for _, f := range c.formats {
		for _, precision := range f.names {
			c.here(&b, f, precision)
		}
	}
	b.WriteString("\nSizes are exact before a byte is computed; the first read of a view computes it. `tensors/index.json` has every\n" +
		"tensor's true name, type and shape, `metadata.json` all of this for programs, `SHA256SUMS` the digests known so far.\n")
	c.use(&b)
	b.WriteString("\n## Not available here\n\n")
	if rows := c.unavailable(); len(rows) == 0 {
		b.WriteString("Nothing that isomerfs makes is missing.\n")
	} else {
		b.WriteString("| view | why | what would help |\n|---|---|---|\n")
		for _, row := range rows {
			remedy := ""
			if row.Remedy != nil {
				remedy = fmt.Sprint(row.Remedy)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", code(row.View), cell(row.Reason), cell(remedy))
		}
	}
	if facts := c.described(ctx); len(facts) > 0 {
		b.WriteString("\n## What the source says of itself\n\n| | | found in |\n|---|---|---|\n")
		for _, f := range facts {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(f.Name), cell(f.Value), cell(f.From))
		}
	}
	return b.Bytes(), nil
}

// opening says in a sentence or two what the version is.
func (c *contents) opening(b *bytes.Buffer) {
	for _, m := range c.components {
		x := m.main()
		if m.name != "" {
			fmt.Fprintf(b, "%s: ", code(m.name))
		}
		if x.model == nil {
			fmt.Fprintf(b, "%s can't be read, so nothing is made of it. %s\n", code("source/"+x.file), cell(c.why(x).Reason))
			continue
		}
		var types []string
		for _, s := range byDType(x.model) {
			types = append(types, s.dtype)
		}
		fmt.Fprintf(b, "%s tensors (%s) of %s parameters in all, stored as %s in %s.\n", countText(int64(len(x.model.Tensors))), strings.Join(types, ", "),
			countText(x.model.Parameters()), x.model.Format, code("source/"+x.file))
		for _, f := range c.formats {
			c.training(b, f, x)
		}
	}
	for _, x := range c.broken() {
		if of := c.componentOf(x); of != nil && of.main().model != nil {
			fmt.Fprintf(b, "Another stored form of it, %s, can't be read. %s\n", code("source/"+x.file), cell(c.why(x).Reason))
		}
	}
	for _, x := range c.badCards() {
		fmt.Fprintf(b, "The card %s is not used. %s\n", code("source/"+x.file), cell(c.v.told(x.file, x.err).Reason))
	}
	if len(c.components) == 0 {
		fmt.Fprintf(b, "There is no model here: %s.\n", cell(c.nothing().Reason))
	}
	if len(c.beside) > 0 {
		var names []string
		for _, x := range c.beside {
			names = append(names, code("source/"+x.file))
		}
		fmt.Fprintf(b, "Beside it: %s.\n", strings.Join(names, ", "))
	}
	for _, name := range c.strays {
		fmt.Fprintf(b, "%s is named by no index, so it is no part of the model.\n", code("source/"+name))
	}
}

// training says where the state of a training is that the weight views leave out.
func (c *contents) training(b *bytes.Buffer, f *format, x *variant) {
	n := f.saves(x)
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "The weight views leave out %s of training state, which %s has by the names of the parameters", bytesText(n), code(f.view.Name+"/"))
	for _, g := range c.formats {
		var whole []string
		for _, name := range g.view.Asked {
			if strings.HasSuffix(name, "-full") && len(g.plan(name).files) > 0 {
				whole = append(whole, code(join(g.view.Name, name)))
			}
		}
		if len(whole) > 0 {
			fmt.Fprintf(b, "; %s (not listed) keep all of the checkpoint, to resume from", strings.Join(whole, ", "))
		}
	}
	b.WriteString(".\n")
}

func (c *contents) componentOf(x *variant) *component {
	for _, m := range c.components {
		for _, y := range m.variants {
			if x == y {
				return m
			}
		}
	}
	return nil
}

// maxHere is how many files of one view a README lists one by one.
const maxHere = 8

// here lists the files of one precision, or the folder where they are many.
func (c *contents) here(b *bytes.Buffer, f *format, precision string) {
	files := f.plan(precision).files
	if len(files) == 0 {
		return
	}
	folder := join(f.view.Name, precision)
	if many := f.view.Precisions == nil && tensorFiles(files) > 0; many || len(files) > maxHere {
		var sum int64
		for _, m := range files {
			sum += m.out.File.Size()
		}
		fmt.Fprintf(b, "| %s | %s | %s files |\n", code(folder+"/"), bytesText(sum), countText(int64(len(files))))
		return
	}
	for _, m := range files {
		note := ""
		if s := m.out.File.Identical(); s != nil {
			if stored := c.v.stored(s); stored != nil {
				note = "the stored " + code("source/"+stored.Name)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(join(folder, m.path)), bytesText(m.out.File.Size()), note)
	}
}

func tensorFiles(files []made) int {
	n := 0
	for _, m := range files {
		if m.out.Tensor != nil {
			n++
		}
	}
	return n
}

// use is the lines to copy.
func (c *contents) use(b *bytes.Buffer) {
	var lines []string
	add := func(lang, line string) { lines = append(lines, "```"+lang+"\n"+line+"\n```\n") }
	for _, f := range c.formats {
		precision, m := c.first(f)
		if m == nil {
			continue
		}
		p := join(join(f.view.Name, precision), m.path)
		for _, u := range uses {
			if u.format == f.view.Name && quotable(p) {
				add(u.lang, fmt.Sprintf(u.line, p))
			}
		}
		if t := m.out.Tensor; f.view.Name == "tensors" && t != nil && numpyNames[t.DType] != "" && quotable(p) {
			add("python", fmt.Sprintf("import numpy; tensor = numpy.fromfile(%q, dtype=%q).reshape(%s)", p, numpyNames[t.DType], tuple(t.Shape)))
		}
	}
	if len(lines) > 0 {
		b.WriteString("\n## Use it\n\nFrom this folder:\n\n" + strings.Join(lines, "\n"))
	}
}

// first is the file of a format that an example reads: of fp16 where there is one; of a model in shards the one file;
// of many tensors one that NumPy can read.
func (c *contents) first(f *format) (string, *made) {
	names := f.available()
	if len(names) == 0 {
		return "", nil
	}
	precision := names[0]
	for _, name := range names {
		if precisionKey(name) == "fp16" {
			precision = name
		}
	}
	files := f.plan(precision).files
	if f.view.Precisions != nil && len(files) > 1 {
		if merged := f.plan(precision + "-merged").files; len(merged) == 1 {
			precision, files = precision+"-merged", merged
		}
	}
	var best *made
	for i := range files {
		m := &files[i]
		switch {
		case strings.HasSuffix(m.path, ".json"):
		case best == nil, files[i].out.Tensor != nil && best.out.Tensor != nil && numpyNames[best.out.Tensor.DType] == "" && numpyNames[m.out.Tensor.DType] != "":
			best = m
		}
	}
	return precision, best
}

// quotable reports whether a path reads the same in every language's quotes.
func quotable(p string) bool {
	return strings.IndexFunc(p, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\"\\'$`", r) }) < 0
}

// tuple is a shape as Python spells it.
func tuple(shape []int64) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, n := range shape {
		fmt.Fprintf(&b, "%d,", n)
	}
	b.WriteByte(')')
	return b.String()
}

// cell is untrusted text in a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(lineText(s))
}

// code is untrusted text as code in a cell of a Markdown table.
func code(s string) string {
	s = strings.ReplaceAll(lineText(s), "|", "\\|")
	if strings.Contains(s, "`") {
		return "`` " + s + " ``"
	}
	return "`" + s + "`"
}
