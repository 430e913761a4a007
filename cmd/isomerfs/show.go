package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

// shown is what `isomerfs show` says of a model.
type shown struct {
	Path     string            `json:"path"`
	Format   string            `json:"format"`
	Tensors  []shownTensor     `json:"tensors"`
	Inputs   []shownPort       `json:"inputs"`
	Outputs  []shownPort       `json:"outputs"`
	Metadata map[string]string `json:"metadata"`

	// BitsPerWeight is over all tensors, of a format that stores weights in blocks.
	BitsPerWeight float64 `json:"bits_per_weight,omitempty"`
}

type shownTensor struct {
	Model  string  `json:"model,omitempty"` // whose it is, where a version has several
	Name   string  `json:"name"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	NBytes int64   `json:"nbytes"`
}

// shownPort is an input or output of a graph. A dimension is a number, a name, or null.
type shownPort struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []any  `json:"shape"`
}

func showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show PATH",
		Short:   "what a model, a view or a plain model file is: tensors, inputs and outputs, metadata",
		GroupID: groupModel,
		Example: `  isomerfs show model.safetensors
  isomerfs show /srv/models/resnet50                                     its latest version
  isomerfs show /mnt/models/resnet50/v3/onnx/fp16/model.onnx --json`,
		Args: arguments(1, "PATH"),
	}
	f := formatFlags(cmd, "the names of the tensors (of a store: the paths of the models)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return show(cmd.Context(), args[0], f) }
	return cmd
}

func show(ctx context.Context, path string, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, path, asOneModel)
	if err != nil {
		return err
	}
	node, err := t.node(ctx)
	if err != nil {
		return t.absent(ctx, err)
	}
	if d, err := t.store.Dir(ctx, node.Path); err == nil && !d.Model {
		return t.showAll(ctx, node, f)
	}
	s, err := t.tree.Model(ctx, node)
	if err != nil {
		return replaced(t.given, err)
	}
	return newShown(s).print(f)
}

// showAll prints every model of a store or namespace: its latest version. Those that can't be shown are told on stderr.
func (t *target) showAll(ctx context.Context, root *tree.Node, f *format) error {
	rows := listing[shown]{
		format: f,
		name:   func(s shown) string { return s.Path },
		head:   []string{"MODEL", "FORMAT", "TENSORS", "BYTES"},
		cells: func(s shown) []string {
			var sum int64
			for _, t := range s.Tensors {
				sum += t.NBytes
			}
			return []string{s.Path, s.Format, fmt.Sprint(len(s.Tensors)), size(sum)}
		},
	}
	failed := 0
	err := t.tree.Models(ctx, root, func(path string, s *tree.Shown, err error) error {
		if err != nil {
			failed++
			tell(replaced(path, err))
			return nil
		}
		return rows.add(newShown(s))
	})
	if closed := rows.close(); err == nil {
		err = closed
	}
	if err == nil && failed > 0 {
		err = fault.In(t.given, fault.New(fault.Unsupported, "%s can't be shown", plural(failed, "model")))
	}
	return err
}

func newShown(s *tree.Shown) shown {
	out := shown{Path: s.Path, Format: s.Format, Tensors: []shownTensor{}, Inputs: ports(s.Inputs), Outputs: ports(s.Outputs), Metadata: s.Metadata}
	for _, t := range s.Tensors {
		out.Tensors = append(out.Tensors, shownTensor{t.Model, t.Name, t.DType, list(t.Shape), t.NBytes})
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if elements, bytes := out.sums(); s.Format == "gguf" && elements > 0 {
		out.BitsPerWeight = math.Round(800*float64(bytes)/float64(elements)) / 100
	}
	return out
}

func ports(from []tree.Port) []shownPort {
	to := []shownPort{}
	for _, p := range from {
		to = append(to, shownPort{p.Name, p.DType, list(p.Shape)})
	}
	return to
}

// sums are the elements and the bytes of all tensors.
func (s shown) sums() (elements, bytes int64) {
	for _, t := range s.Tensors {
		bytes += t.NBytes
		n := int64(1)
		for _, d := range t.Shape {
			n *= d
		}
		elements += n
	}
	return elements, bytes
}

func (s shown) print(f *format) error {
	switch {
	case f.json:
		return printJSON(os.Stdout, s)
	case f.quiet:
		for _, t := range s.Tensors {
			if _, err := fmt.Println(t.Name); err != nil {
				return err
			}
		}
		return nil
	}
	elements, bytes := s.sums()
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(out, "path\t%s\n", printable(s.Path))
	fmt.Fprintf(out, "format\t%s\n", printable(s.Format))
	fmt.Fprintf(out, "tensors\t%s, %s, %s\n", plural(len(s.Tensors), "tensor"), plural(int(elements), "element"), size(bytes))
	if s.BitsPerWeight > 0 {
		fmt.Fprintf(out, "bits per weight\t%.2f\n", s.BitsPerWeight)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		fmt.Fprintf(out, "metadata\t%s: %s\n", printable(key), printable(s.Metadata[key]))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(s.Inputs)+len(s.Outputs) > 0 {
		fmt.Fprintln(out)
		for _, p := range s.Inputs {
			fmt.Fprintf(out, "input\t%s\t%s\t%s\n", printable(p.Name), p.DType, shape(p.Shape))
		}
		for _, p := range s.Outputs {
			fmt.Fprintf(out, "output\t%s\t%s\t%s\n", printable(p.Name), p.DType, shape(p.Shape))
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if len(s.Tensors) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	fmt.Fprintln(out, "TENSOR\tDTYPE\tSHAPE\tBYTES")
	for _, t := range s.Tensors {
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\n", printable(t.Name), t.DType, shape(t.Shape), t.NBytes)
	}
	return out.Flush()
}

// shape is [2, 3] for people; a dimension that nobody knows is "?".
func shape[T any](dims []T) string {
	words := make([]string, len(dims))
	for i, d := range dims {
		if words[i] = fmt.Sprint(d); any(d) == nil {
			words[i] = "?"
		}
	}
	return "[" + printable(strings.Join(words, ", ")) + "]"
}
