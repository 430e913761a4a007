package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

// differing is what `isomerfs diff` says.
type differing struct {
	A        string          `json:"a"`
	B        string          `json:"b"`
	Step     tree.Step       `json:"step"` // none, patch, minor or major
	Added    []string        `json:"added"`
	Removed  []string        `json:"removed"`
	Reshaped []reshaped      `json:"reshaped"`
	Changed  []changedTensor `json:"changed"`
	Same     int             `json:"same"` // tensors
	Inputs   []movedPart     `json:"inputs"`
	Outputs  []movedPart     `json:"outputs"`
	Metadata []movedPart     `json:"metadata"`
}

type reshaped struct {
	Name string  `json:"name"`
	From []int64 `json:"from"`
	To   []int64 `json:"to"`
}

type changedTensor struct {
	Name     string   `json:"name"`
	From     string   `json:"from"` // dtypes
	To       string   `json:"to"`
	Elements int64    `json:"elements"`
	Differ   int64    `json:"differ"`
	Max      *float64 `json:"max"` // null: infinite, or a NaN in one of them alone
	Mean     float64  `json:"mean"`
}

// movedPart is null on the side where it is not there.
type movedPart struct {
	Name string  `json:"name"`
	From *string `json:"from"`
	To   *string `json:"to"`
}

func diffCommand() *cobra.Command {
	var code bool
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "what differs between two models, versions or views",
		GroupID: groupModel,
		Long: `Compares two models: tensors that were added, removed or reshaped; those whose values or type
changed, with the largest and the mean absolute difference; inputs, outputs and metadata. Tensors are
paired by name; those that are the same bytes of the same file are not read.

The last line says which step of a semantic version that is: major where names or shapes of tensors,
inputs or outputs differ, minor where values or types of the same tensors do, patch where only
metadata does.`,
		Example: `  isomerfs diff /srv/models/resnet50/v2 /srv/models/resnet50/v3
  isomerfs diff model.safetensors /mnt/models/resnet50/v3/onnx/fp16/model.onnx`,
		Args: arguments(2, "A", "B"),
	}
	f := formatFlags(cmd, "the names of tensors that differ")
	cmd.Flags().BoolVar(&code, "exit-code", false, "end with 1 where anything differs")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return diff(cmd.Context(), args[0], args[1], f, code) }
	return cmd
}

func diff(ctx context.Context, a, b string, f *format, code bool) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	var sides [2]*tree.Shown
	var total int64
	for i, given := range []string{a, b} {
		t, err := l.locate(ctx, given, asOneModel)
		if err != nil {
			return err
		}
		node, err := t.node(ctx)
		if err != nil {
			return t.absent(ctx, err)
		}
		if sides[i], err = t.tree.Model(ctx, node); err != nil {
			return replaced(given, err)
		}
		for _, x := range sides[i].Tensors {
			total += x.NBytes
		}
	}
	bar := newProgress(total, "comparing", f.quiet || f.json)
	d, err := tree.Diff(ctx, newWorkspace(os.TempDir()), sides[0], sides[1], bar.set)
	bar.close()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.In(a+" and "+b, err)
	}
	if err := newDiffering(a, b, d).print(f); err != nil {
		return err
	}
	if code && d.Step != tree.StepNone {
		return fault.New(fault.Absent, "%s and %s differ", a, b)
	}
	return nil
}

func newDiffering(a, b string, d *tree.Difference) *differing {
	out := &differing{A: a, B: b, Step: d.Step, Added: list(d.Added), Removed: list(d.Removed), Reshaped: []reshaped{}, Changed: []changedTensor{},
		Same: d.Same, Inputs: movedParts(d.Inputs), Outputs: movedParts(d.Outputs), Metadata: movedParts(d.Metadata)}
	for _, r := range d.Reshaped {
		out.Reshaped = append(out.Reshaped, reshaped{r.Name, list(r.From), list(r.To)})
	}
	for _, c := range d.Changed {
		x := changedTensor{Name: c.Name, From: c.From, To: c.To, Elements: c.Elements, Differ: c.Differ, Mean: c.Mean}
		if !math.IsInf(c.Max, 0) {
			x.Max = &c.Max
		}
		out.Changed = append(out.Changed, x)
	}
	return out
}

func movedParts(from []tree.Moved) []movedPart {
	to := []movedPart{}
	for _, m := range from {
		to = append(to, movedPart{m.Name, known(m.From), known(m.To)})
	}
	return to
}

func (d *differing) print(f *format) error {
	if f.json {
		return printJSON(os.Stdout, d)
	}
	if f.quiet {
		names := append(append([]string{}, d.Removed...), d.Added...)
		for _, r := range d.Reshaped {
			names = append(names, r.Name)
		}
		for _, c := range d.Changed {
			names = append(names, c.Name)
		}
		for _, name := range names {
			if _, err := fmt.Println(name); err != nil {
				return err
			}
		}
		return nil
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, name := range d.Removed {
		fmt.Fprintf(out, "removed\t%s\n", printable(name))
	}
	for _, name := range d.Added {
		fmt.Fprintf(out, "added\t%s\n", printable(name))
	}
	for _, r := range d.Reshaped {
		fmt.Fprintf(out, "reshaped\t%s\t%s to %s\n", printable(r.Name), shape(r.From), shape(r.To))
	}
	for _, c := range d.Changed {
		what := fmt.Sprintf("%d of %d elements", c.Differ, c.Elements)
		switch {
		case c.Differ == 0:
			what = "same values"
		case c.Max == nil:
			what += fmt.Sprintf(", largest difference infinite, mean %.3g", c.Mean)
		default:
			what += fmt.Sprintf(", largest difference %.3g, mean %.3g", *c.Max, c.Mean)
		}
		if c.From != c.To {
			what = c.From + " to " + c.To + ", " + what
		}
		fmt.Fprintf(out, "changed\t%s\t%s\n", printable(c.Name), what)
	}
	for _, part := range []struct {
		what string
		list []movedPart
	}{{"input", d.Inputs}, {"output", d.Outputs}, {"metadata", d.Metadata}} {
		for _, m := range part.list {
			fmt.Fprintf(out, "%s\t%s\t%s\n", part.what, printable(m.Name), m.words())
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	words := map[tree.Step]string{
		tree.StepNone: "nothing differs", tree.StepPatch: "a patch: only metadata differs", tree.StepMinor: "a minor step: the same tensors have other values or types",
		tree.StepMajor: "a major step: tensors, their shapes, inputs or outputs differ",
	}
	_, err := fmt.Printf("%s; %s alike\n", words[d.Step], plural(d.Same, "tensor"))
	return err
}

func (m movedPart) words() string {
	switch {
	case m.From == nil:
		return "added: " + printable(*m.To)
	case m.To == nil:
		return "removed: " + printable(*m.From)
	}
	return printable(*m.From) + " to " + printable(*m.To)
}
