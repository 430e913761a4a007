package onnx

import (
	"math"
	"slices"

	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// group is what the fields of one number are to say in a message that is written, or those of several numbers that
// say one thing.
type group struct {
	nums uint64 // as bits of a set
	n    int    // how many fields there are to be

	// same reports whether the stored field f says what field k is to say. nil: put decides, and may put what is stored.
	same func(k int, t *text, f field) bool

	// all, where it is set, reports whether the stored fields together say what is to be said. Then they stay, or all
	// of them give way to those that put writes.
	all func(t *text, stored []field) bool

	put func(k int, out *pieces)

	zero   bool // the value is that of a field that is not there
	always bool // a new message has the field all the same
}

// merge is the content of a message: what the groups say, and of the stored one everything that they do not
// contradict, in its order. New fields follow the stored ones of their number, or else all others.
func merge(w *wire, groups []group) pieces {
	var out pieces
	if w == nil {
		for i := range groups {
			g := &groups[i]
			for k := range g.n {
				if !g.zero || g.always {
					g.put(k, &out)
				}
			}
		}
		return out
	}
	var stored []field
	w.t.fields(w.body, w.end, func(f field) { stored = append(stored, f) })
	of := func(f field) int {
		if f.num > 63 {
			return -1
		}
		return slices.IndexFunc(groups, func(g group) bool { return g.nums&(1<<f.num) != 0 })
	}
	last := make([]int, len(groups)) // of the stored fields of each group, one more than its index
	for i, f := range stored {
		if g := of(f); g >= 0 {
			last[g] = i + 1
		}
	}
	next := make([]int, len(groups))
	keeps := make([]bool, len(groups))
	for i, f := range stored {
		at := of(f)
		if at < 0 {
			out.stored(w.t, f.head, f.end)
			continue
		}
		g := &groups[at]
		if g.all != nil {
			if next[at] == 0 {
				next[at] = 1
				var mine []field
				for _, other := range stored[i:] {
					if of(other) == at {
						mine = append(mine, other)
					}
				}
				if keeps[at] = g.all(w.t, mine); !keeps[at] {
					for k := range g.n {
						g.put(k, &out)
					}
				}
			}
			if keeps[at] {
				out.stored(w.t, f.head, f.end)
			}
			continue
		}
		if k := next[at]; k < g.n {
			next[at]++
			switch {
			case g.same != nil && g.same(k, w.t, f):
				out.stored(w.t, f.head, f.end)
			case !g.zero || g.always:
				g.put(k, &out)
			}
		}
		if i+1 == last[at] {
			for ; next[at] < g.n; next[at]++ {
				g.put(next[at], &out)
			}
		}
	}
	for i := range groups {
		g := &groups[i]
		if last[i] > 0 || g.zero {
			continue
		}
		for k := range g.n {
			g.put(k, &out)
		}
	}
	return out
}

// child appends a message as a field: the stored one where it is the same.
func child(out *pieces, num protowire.Number, w *wire, content pieces) {
	if w != nil && w.num == num && content.is(w.t, w.body, w.end) {
		out.stored(w.t, w.head, w.end)
		return
	}
	out.message(num, content)
}

// wireOf is where an element was stored; nil for one that is new.
func wireOf(w any) *wire {
	switch w := w.(type) {
	case *wire:
		return w
	case *tensorWire:
		return w.wire
	}
	return nil
}

func text1(num protowire.Number, s string) group {
	return group{
		nums: 1 << num, n: 1, zero: s == "",
		same: func(_ int, t *text, f field) bool { return t.str(f) == s },
		put:  func(_ int, out *pieces) { out.string(num, s) },
	}
}

func texts(num protowire.Number, list []string) group {
	return group{
		nums: 1 << num, n: len(list),
		same: func(k int, t *text, f field) bool { return t.str(f) == list[k] },
		put:  func(k int, out *pieces) { out.string(num, list[k]) },
	}
}

func number(num protowire.Number, v int64) group {
	return group{
		nums: 1 << num, n: 1, zero: v == 0,
		same: func(_ int, _ *text, f field) bool { return int64(f.value) == v },
		put:  func(_ int, out *pieces) { out.number(num, uint64(v)) },
	}
}

func float(num protowire.Number, v float32) group {
	bits := math.Float32bits(v)
	return group{
		nums: 1 << num, n: 1, zero: bits == 0,
		same: func(_ int, _ *text, f field) bool { return uint32(f.value) == bits },
		put:  func(_ int, out *pieces) { out.fixed32(num, bits) },
	}
}

func numbers(num protowire.Number, list []int64) group {
	return group{
		nums: 1 << num, n: len(list),
		all: func(t *text, stored []field) bool {
			var was []int64
			for _, f := range stored {
				was = t.ints(was, f)
			}
			return slices.Equal(was, list)
		},
		put: func(k int, out *pieces) { out.number(num, uint64(list[k])) },
	}
}

func floats(num protowire.Number, list []float32) group {
	return group{
		nums: 1 << num, n: len(list),
		all: func(t *text, stored []field) bool {
			var was []float32
			for _, f := range stored {
				was = t.floats(was, f)
			}
			return slices.EqualFunc(was, list, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
		},
		put: func(k int, out *pieces) { out.fixed32(num, math.Float32bits(list[k])) },
	}
}

func entries(num protowire.Number, list []model.Entry) group {
	return group{
		nums: 1 << num, n: len(list),
		same: func(k int, t *text, f field) bool { return t.entry(f) == list[k] },
		put:  func(k int, out *pieces) { out.message(num, entry(list[k])) },
	}
}

func entry(e model.Entry) pieces {
	var p pieces
	p.string(1, e.Key)
	p.string(2, e.Value)
	return p
}

func opsets(num protowire.Number, list []model.Opset) group {
	return group{
		nums: 1 << num, n: len(list),
		same: func(k int, t *text, f field) bool { return t.opset(f) == list[k] },
		put: func(k int, out *pieces) {
			var p pieces
			if list[k].Domain != "" {
				p.string(1, list[k].Domain)
			}
			p.number(2, uint64(list[k].Version))
			out.message(num, p)
		},
	}
}

func annotations(num protowire.Number, list []model.Annotation) group {
	return group{
		nums: 1 << num, n: len(list),
		same: func(k int, t *text, f field) bool {
			was := t.annotation(f)
			return was.Tensor == list[k].Tensor && slices.Equal(was.Parameters, list[k].Parameters)
		},
		put: func(k int, out *pieces) {
			var p pieces
			p.string(1, list[k].Tensor)
			for _, e := range list[k].Parameters {
				p.message(2, entry(e))
			}
			out.message(num, p)
		},
	}
}

func types(num protowire.Number, list ...*model.Type) group {
	if len(list) == 1 && list[0] == nil {
		list = nil
	}
	return group{
		nums: 1 << num, n: len(list),
		same: func(k int, t *text, f field) bool { return t.typeOf(f).Equal(list[k]) },
		put:  func(k int, out *pieces) { out.message(num, typeProto(list[k])) },
	}
}

// typeProto is a type as a TypeProto.
func typeProto(t *model.Type) pieces {
	var p, in pieces
	switch t.Form {
	case model.TensorForm, model.SparseForm:
		in.number(1, codeOf(t.DType))
		if t.Ranked {
			var shape pieces
			for _, d := range t.Shape {
				var dim pieces
				switch {
				case d.Fixed:
					dim.number(1, uint64(d.Size))
				case d.Param != "":
					dim.string(2, d.Param)
				}
				if d.Denotation != "" {
					dim.string(3, d.Denotation)
				}
				shape.message(1, dim)
			}
			in.message(2, shape)
		}
	case model.MapForm:
		in.number(1, codeOf(t.Key))
		if t.Elem != nil {
			in.message(2, typeProto(t.Elem))
		}
	case model.SequenceForm, model.OptionalForm:
		if t.Elem != nil {
			in.message(1, typeProto(t.Elem))
		}
	case model.OpaqueForm:
		if t.Domain != "" {
			in.string(1, t.Domain)
		}
		if t.Name != "" {
			in.string(2, t.Name)
		}
	}
	for num, form := range forms {
		if form == t.Form {
			p.message(protowire.Number(num), in)
		}
	}
	if t.Denotation != "" {
		p.string(6, t.Denotation)
	}
	return p
}
