package drawing

import (
	"hash/fnv"
	"io"
	"strconv"

	"github.com/isomerfs/isomerfs/model"
)

// fold is a block of nodes that stands several times in a row.
type fold struct {
	first, period, times int

	inner *plate       // where the first of them is drawn
	taken map[int]*box // what comes from outside, by the node and its input
}

// end is just past the last node.
func (f *fold) end() int { return f.first + f.period*f.times }

// like is the node of the first block that a node is like.
func (f *fold) like(i int) int { return f.first + (i-f.first)%f.period }

const (
	mostPeriod = 2000    // nodes of a block that is looked for
	mostFolds  = 64      // blocks that are folded
	mostEffort = 1 << 25 // comparisons of two nodes
	leastSaved = 6       // nodes: to fold fewer helps nobody
)

// repeats finds the blocks that repeat in a sequence of nodes, none of which overlap, in order. tensors are what each
// node takes that is a tensor. Nodes that are not in order have none.
func repeats(nodes []*model.Node, tensors [][]string) []fold {
	maker := make(map[string]int, len(nodes))
	for i, n := range nodes {
		for _, name := range n.Outputs {
			if name != "" {
				maker[name] = i
			}
		}
	}
	from := make([][]int, len(nodes)) // of each input the node that gives it; -1 where none does
	for i, n := range nodes {
		from[i] = make([]int, len(n.Inputs))
		for j, name := range n.Inputs {
			from[i][j] = -1
			if k, ok := maker[name]; ok && name != "" {
				if k >= i {
					return nil
				}
				from[i][j] = k
			}
		}
	}
	r := &repeater{sort: make([]uint64, len(nodes)), from: from, effort: mostEffort}
	for i, n := range nodes {
		r.sort[i] = sortOf(n, tensors[i])
	}
	r.search(0, len(nodes))
	return r.found
}

type repeater struct {
	sort   []uint64 // nodes that may stand for one another have the same
	from   [][]int
	effort int
	found  []fold
}

// search finds blocks among the nodes lo to hi: the one that saves most, then those on both sides of it.
func (r *repeater) search(lo, hi int) {
	if len(r.found) >= mostFolds || hi-lo < 2 {
		return
	}
	best, saved := fold{}, leastSaved-1
	for p := 1; p <= min((hi-lo)/2, mostPeriod) && r.effort > 0; p++ {
		r.effort -= hi - lo
		for i := lo; i < hi-p; {
			run := 0 // nodes from i on that are like those a period further
			for i+run < hi-p && r.sort[i+run] == r.sort[i+run+p] {
				run++
			}
			for at, end := i, i+run+p; (end-at)/p > 1 && r.effort > 0; {
				f := fold{first: at, period: p, times: (end - at) / p}
				if f.times*p-p <= saved {
					break
				}
				r.effort -= p * f.times
				f.times = r.alike(f)
				if n := (f.times - 1) * p; n > saved {
					best, saved = f, n
				}
				at = f.end()
			}
			i += run + 1
		}
	}
	if best.times < 2 {
		return
	}
	r.search(lo, best.first)
	r.found = append(r.found, best)
	r.search(best.end(), hi)
}

// alike is how many of the blocks are wired within as the first is.
func (r *repeater) alike(f fold) int {
	for k := 1; k < f.times; k++ {
		base := f.first + k*f.period
		for j := range f.period {
			a, b := r.from[f.first+j], r.from[base+j]
			if len(a) != len(b) {
				return k
			}
			for x := range a {
				inA, inB := a[x] >= f.first, b[x] >= base
				if inA != inB || inA && a[x]-f.first != b[x]-base {
					return k
				}
			}
		}
	}
	return f.times
}

// sortOf is a digest of what a node does: its operator, its attributes, and what tensors it takes at which inputs.
func sortOf(n *model.Node, tensors []string) uint64 {
	h := fnv.New64a()
	put := func(s string) {
		io.WriteString(h, strconv.Itoa(len(s)))
		io.WriteString(h, " ")
		io.WriteString(h, s)
	}
	domain := n.Domain
	if model.Standard(domain) {
		domain = ""
	}
	put(domain)
	put(n.Op)
	put(strconv.Itoa(len(n.Outputs)))
	for _, t := range tensors {
		put(t)
	}
	for _, a := range n.Attributes {
		put(a.Name)
		put(valueText(a))
		for _, b := range a.Bodies() {
			put(strconv.Itoa(len(b.Nodes)))
		}
	}
	return h.Sum64()
}
