package tree

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/isomerfs/isomerfs/model"
)

// largest is how many tensors a summary names.
const largest = 10

// dtypeSum is the tensors of one type.
type dtypeSum struct {
	dtype          string
	tensors        int
	elements, size int64
}

// byDType counts a model's tensors by their type, the one with the most bytes first.
func byDType(m *model.Model) []dtypeSum {
	at := map[string]*dtypeSum{}
	for _, t := range m.Tensors {
		dtype, size := storedType(m, &t)
		s := at[dtype]
		if s == nil {
			s = &dtypeSum{dtype: dtype}
			at[dtype] = s
		}
		n, err := model.Elements(t.Shape)
		if err != nil {
			continue
		}
		s.tensors++
		s.elements += n
		s.size += size
	}
	var list []dtypeSum
	for _, s := range at {
		list = append(list, *s)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].size != list[j].size {
			return list[i].size > list[j].size
		}
		return list[i].dtype < list[j].dtype
	})
	return list
}

// storedType is the type that a tensor of a model is stored in, and the bytes it takes.
func storedType(m *model.Model, t *model.Tensor) (string, int64) {
	if s, ok := m.Stored[t.Name]; ok {
		return s.Type, s.Bytes
	}
	return t.DType.String(), tensorSize(*t)
}

// tensorSize is the number of bytes of a tensor.
func tensorSize(t model.Tensor) int64 {
	if t.Data == nil {
		return 0
	}
	return t.Data.Size()
}

// summary is summary.txt: what is in the models, in numbers.
func summary(ctx context.Context, c *contents, _ bool) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", c.v.Model, c.v.Name)
	for _, m := range c.components {
		x := m.main()
		if x.model == nil {
			fmt.Fprintf(&b, "\n%s can't be read: %s\n", "source/"+x.file, c.why(x).Reason)
			continue
		}
		name := ""
		if m.name != "" {
			name = m.name + ": "
		}
		fmt.Fprintf(&b, "\n%s%s, %s, %s parameters\n", name, x.model.Format, strings.Join(storedPaths(x.model), " "), countText(x.model.Parameters()))
		if of := m.graph(); of != nil {
			g := of.model.Graph
			fmt.Fprintf(&b, "\n")
			if of != x {
				fmt.Fprintf(&b, "graph of %s\n", lineText("source/"+of.file))
			}
			for _, p := range inputsOf(g) {
				fmt.Fprintf(&b, "input %s\n", portText(p))
			}
			for _, p := range portsOf(g.Main.Outputs) {
				fmt.Fprintf(&b, "output %s\n", portText(p))
			}
			facts := graphFacts(g, of.model.Parameters())
			fmt.Fprintf(&b, "opsets: %s\noperators: %s\ninitializers: %s\n", lineText(facts["opsets"]), lineText(facts["operators"]), facts["initializers"])
		}
		w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\ntype\ttensors\telements\tbytes\t\n")
		for _, s := range byDType(x.model) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", s.dtype, countText(int64(s.tensors)), countText(s.elements), countText(s.size))
		}
		w.Flush()
		if n := len(x.model.Left); n > 0 {
			fmt.Fprintf(&b, "\nleft out: %d, see left_out in metadata.json\n", n)
		}
		order := slices.Clone(x.model.Tensors)
		size := func(i int) int64 {
			_, n := storedType(x.model, &order[i])
			return n
		}
		sort.SliceStable(order, func(i, j int) bool { return size(i) > size(j) })
		order = order[:min(len(order), largest)]
		if len(order) > 0 {
			fmt.Fprintf(&b, "\nlargest\n")
		}
		w = tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		for _, t := range order {
			dtype, size := storedType(x.model, &t)
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", lineText(t.Name), dtype, shapeText(t.Shape), bytesText(size))
		}
		w.Flush()
	}
	if len(c.components) == 0 {
		fmt.Fprintf(&b, "\nno model: %s\n", c.nothing().Reason)
	}
	if facts := c.described(ctx); len(facts) > 0 {
		fmt.Fprintf(&b, "\n")
		for _, f := range facts {
			fmt.Fprintf(&b, "%s: %s (%s)\n", lineText(f.Name), lineText(f.Value), lineText(f.From))
		}
	}
	return b.Bytes(), nil
}

// lineText is untrusted text on one line: without what moves a terminal's cursor or turns the direction of reading.
func lineText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', 0x7f <= r && r < 0xa0, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
			return ' '
		}
		return r
	}, s)
}

// shapeText is a shape as people read it.
func shapeText(shape []int64) string {
	if len(shape) == 0 {
		return "scalar"
	}
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = fmt.Sprint(n)
	}
	return strings.Join(parts, "×")
}
