// Package graph holds passes over model.Graph: each takes a graph and gives another, or says why it can't.
//
// A pass is a file and a line in Passes. It leaves the graph that it is given as it is, reads no tensor, and gives
// nodes in order and names that are used once. Print shows a graph before and after one.
package graph

import (
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// Ops are the computations that passes put between a stored tensor and the one a graph then holds.
type Ops struct {
	F16  layout.Op // F32 to F16
	BF16 layout.Op // F32 to BF16
}

// Pass is one line of the table.
type Pass struct {
	Name  string
	About string // a clause
	Run   func(g *model.Graph, ops Ops) (*model.Graph, error)
}

// Passes is the table, in the order of their names.
var Passes = []Pass{
	{"bfloat16", "narrows float32 to bfloat16 where the operators take it", func(g *model.Graph, ops Ops) (*model.Graph, error) { return Half(g, model.BF16, ops.BF16) }},
	{"check", "gives the graph as it is, or says what keeps it from being one", func(g *model.Graph, _ Ops) (*model.Graph, error) { return g, Check(g) }},
	{"float16", "narrows float32 to float16 where the operators take it", func(g *model.Graph, ops Ops) (*model.Graph, error) { return Half(g, model.F16, ops.F16) }},
	{"sort", "puts every node behind those whose outputs it uses", func(g *model.Graph, _ Ops) (*model.Graph, error) { return Sort(g) }},
}

// Run is the result of the passes of these names, one after another. An unknown name is fault.Absent.
func Run(g *model.Graph, ops Ops, names ...string) (*model.Graph, error) {
next:
	for _, name := range names {
		for _, p := range Passes {
			if p.Name != name {
				continue
			}
			made, err := p.Run(g, ops)
			if err != nil {
				return nil, err
			}
			g = made
			continue next
		}
		return nil, fault.New(fault.Absent, "there is no pass %q", name)
	}
	return g, nil
}
