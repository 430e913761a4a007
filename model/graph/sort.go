package graph

import (
	"container/heap"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Sort puts every node behind those whose outputs it uses, in subgraphs and functions too, and otherwise keeps their
// order. Nodes that use each other's outputs are fault.Malformed.
func Sort(g *model.Graph) (*model.Graph, error) {
	g = g.Clone()
	if err := sortBlock(g.Main); err != nil {
		return nil, err
	}
	for _, f := range g.Functions {
		nodes, err := sorted(f.Nodes)
		if err != nil {
			return nil, err
		}
		f.Nodes = nodes
	}
	return g, nil
}

func sortBlock(b *model.Body) error {
	for _, n := range b.Nodes {
		for _, inner := range n.Bodies() {
			if err := sortBlock(inner); err != nil {
				return err
			}
		}
	}
	nodes, err := sorted(b.Nodes)
	b.Nodes = nodes
	return err
}

// sorted is nodes in order. Of those that may come next it takes the first.
func sorted(nodes []*model.Node) ([]*model.Node, error) {
	maker := map[string]int{}
	for i, n := range nodes {
		for _, out := range n.Outputs {
			if out != "" {
				maker[out] = i
			}
		}
	}
	waits := make([]int, len(nodes)) // how many nodes must come before
	then := make([][]int, len(nodes))
	inOrder := true
	for i, n := range nodes {
		seen := map[int]bool{}
		reads(n, func(name *string) {
			if j, ok := maker[*name]; ok && !seen[j] {
				seen[j] = true
				waits[i]++
				then[j] = append(then[j], i)
				inOrder = inOrder && j < i
			}
		})
	}
	if inOrder {
		return nodes, nil
	}
	var ready places
	for i := range nodes {
		if waits[i] == 0 {
			heap.Push(&ready, i)
		}
	}
	list := make([]*model.Node, 0, len(nodes))
	for len(ready) > 0 {
		i := heap.Pop(&ready).(int)
		list = append(list, nodes[i])
		for _, j := range then[i] {
			if waits[j]--; waits[j] == 0 {
				heap.Push(&ready, j)
			}
		}
	}
	if len(list) < len(nodes) {
		var stuck []string
		for i, n := range nodes {
			if waits[i] > 0 && len(stuck) < 3 {
				stuck = append(stuck, nodeName(n))
			}
		}
		return nil, fault.New(fault.Malformed, "%d nodes wait for each other's outputs: %s", len(nodes)-len(list), strings.Join(stuck, ", "))
	}
	return list, nil
}

// reads calls visit with where a node says each name that it uses from around it: its inputs, and what its subgraphs do not define.
func reads(n *model.Node, visit func(name *string)) {
	for i, in := range n.Inputs {
		if in != "" {
			visit(&n.Inputs[i])
		}
	}
	for _, b := range n.Bodies() {
		captures(b, visit)
	}
}

// captures calls visit with where a block says each name that it uses and does not define, once for each use.
func captures(b *model.Body, visit func(name *string)) {
	own := map[string]bool{}
	for _, v := range b.Inputs {
		own[v.Name] = true
	}
	for _, c := range b.Initializers {
		own[c.Name] = true
	}
	for _, s := range b.Sparse {
		if s.Values != nil {
			own[s.Values.Name] = true
		}
	}
	for _, n := range b.Nodes {
		for _, out := range n.Outputs {
			own[out] = true
		}
	}
	outside := func(name *string) {
		if !own[*name] {
			visit(name)
		}
	}
	for _, n := range b.Nodes {
		reads(n, outside)
	}
	for _, v := range b.Outputs {
		outside(&v.Name)
	}
}

// places is the places of nodes that may come next: a heap with the least on top.
type places []int

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return p[i] < p[j] }
func (p places) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *places) Push(x any)        { *p = append(*p, x.(int)) }

func (p *places) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	*p = (*p)[:last]
	return x
}

// nodeName is how people find a node: its operator with its name, or with its first output where it has none.
func nodeName(n *model.Node) string {
	op := n.Op
	if !model.Standard(n.Domain) {
		op = n.Domain + "." + op
	}
	if n.Name != "" {
		return op + " " + quoted(n.Name)
	}
	return op + " of " + quoted(n.Output(0))
}
