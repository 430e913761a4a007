package tree

import (
	"context"

	"github.com/isomerfs/isomerfs/fault"
)

// Fit is what a precision takes in memory: its files, and what a reader needs beside them for a context.
type Fit struct {
	View   string // FORMAT/PRECISION
	Size   int64  // of the files
	Memory int64  // beside them
	Tokens int64  // of the context
}

// Fits lists the precisions of a model's views of which it is known what memory they take, in order of listing, for a
// context of so many tokens, 0 for the usual. n is a model, whose latest version counts, or a version, or something in
// one. Nothing but headers is read.
func (t *Tree) Fits(ctx context.Context, n *Node, tokens int64) ([]Fit, error) {
	if n.in.place == aModel {
		latest, err := t.latestOf(ctx, n)
		if err != nil {
			return nil, err
		}
		n = latest
	}
	v := n.in.v
	if v == nil {
		return nil, fault.In(n.Path, fault.New(fault.Usage, "it is no model"))
	}
	c, err := t.contents(ctx, v)
	if err != nil {
		return nil, err
	}
	var list []Fit
	var first error
	for _, f := range c.formats {
		if f.view.Memory == nil {
			continue
		}
		for _, name := range f.names {
			p := f.plan(name)
			if len(p.files) == 0 {
				if first == nil && len(p.absent) > 0 {
					first = absentFor(v.path, p.absent[0].cause)
				}
				continue
			}
			fit := Fit{View: join(f.view.Name, name)}
			for i := range p.files {
				m := &p.files[i]
				fit.Size += m.out.File.Size()
				memory, tokens, err := f.view.Memory(m.from.model, tokens)
				if err != nil {
					return nil, v.told(m.from.file, err)
				}
				fit.Memory, fit.Tokens = fit.Memory+memory, tokens
			}
			list = append(list, fit)
		}
	}
	if list == nil {
		if first == nil {
			first = fault.In(v.path, fault.New(fault.Absent, "no view of it is one of which it is known what memory it takes"))
		}
		return nil, first
	}
	return list, nil
}
