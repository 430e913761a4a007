package torch

import (
	"fmt"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// block is a rectangle of a tensor: where it begins in it, its size, and its bytes, row-major.
type block struct {
	lo, size []int64
	data     *layout.File
}

// joined is the bytes of a rectangle that blocks make up, elem bytes an element. The blocks must tile it, so that it can
// be cut from side to side between them, and each part again: as every plan of distributing tensors has it. Missing and
// Extent are the faults of those that leave a hole, or overlap.
func joined(parts []block, whole block, elem int64) (*layout.File, error) {
	if len(parts) == 1 && slices.Equal(parts[0].lo, whole.lo) && slices.Equal(parts[0].size, whole.size) {
		return parts[0].data, nil
	}
	if len(parts) == 0 {
		return nil, fault.New(fault.Missing, "nothing holds the %v elements from %v", whole.size, whole.lo)
	}
	for axis := range whole.lo {
		cuts := []int64{whole.lo[axis], whole.lo[axis] + whole.size[axis]}
		for _, p := range parts {
			cuts = append(cuts, p.lo[axis], p.lo[axis]+p.size[axis])
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		clean := cuts[:0:0]
		for _, at := range cuts {
			if !slices.ContainsFunc(parts, func(p block) bool { return p.lo[axis] < at && at < p.lo[axis]+p.size[axis] }) {
				clean = append(clean, at)
			}
		}
		if len(clean) <= 2 {
			continue
		}
		byStart := make([][]block, len(clean)-1)
		for _, p := range parts {
			i, found := slices.BinarySearch(clean, p.lo[axis])
			if !found {
				i--
			}
			byStart[i] = append(byStart[i], p)
		}
		pieces := make([]*layout.File, len(clean)-1)
		for i := range pieces {
			in := block{lo: slices.Clone(whole.lo), size: slices.Clone(whole.size)}
			in.lo[axis], in.size[axis] = clean[i], clean[i+1]-clean[i]
			var err error
			if pieces[i], err = joined(byStart[i], in, elem); err != nil {
				return nil, err
			}
		}
		rows := int64(1)
		for _, n := range whole.size[:axis] {
			rows *= n
		}
		if rows == 1 {
			return layout.Concat(pieces...)
		}
		return layout.New(layout.Coded{Op: sideBySide(rows, pieces), In: pieces})
	}
	return nil, fault.New(fault.Extent, "%d parts of the %v elements from %v overlap, or leave a hole", len(parts), whole.size, whole.lo)
}

// beside puts a run of each input next to each other, row after row: parts of a tensor along an axis that is not the
// first.
type beside struct{ runs []int64 }

// sideBySide is the op for inputs of so many rows.
func sideBySide(rows int64, in []*layout.File) beside {
	var op beside
	for _, f := range in {
		op.runs = append(op.runs, f.Size()/rows)
	}
	return op
}

// String implements layout.Op.
func (b beside) String() string { return fmt.Sprintf("beside%v/1", b.runs) }

// Block implements layout.Op.
func (b beside) Block() (out int64, in []int64) {
	for _, n := range b.runs {
		out += n
	}
	return out, b.runs
}

// Size implements layout.Op: all inputs have as many rows.
func (b beside) Size(in ...int64) (int64, error) {
	out, _ := b.Block()
	if len(in) != len(b.runs) || out == 0 || b.runs[0] == 0 {
		return 0, fault.New(fault.Mismatch, "%d inputs of %d", len(in), len(b.runs))
	}
	rows := in[0] / b.runs[0]
	for i, n := range in {
		if b.runs[i] == 0 || n%b.runs[i] != 0 || n/b.runs[i] != rows {
			return 0, fault.New(fault.Mismatch, "input %d has %d bytes, which are no %d rows of %d", i, n, rows, b.runs[i])
		}
	}
	n, ok := product(rows, out)
	if !ok {
		return 0, fault.New(fault.Overflow, "%d rows of %d bytes", rows, out)
	}
	return n, nil
}

// Apply implements layout.Op.
func (b beside) Apply(dst []byte, src [][]byte) error {
	for row := 0; len(dst) > 0; row++ {
		for i, n := range b.runs {
			from := src[i][int64(row)*n:]
			k := copy(dst, from[:min(n, int64(len(from)), int64(len(dst)))])
			dst = dst[k:]
		}
	}
	return nil
}
