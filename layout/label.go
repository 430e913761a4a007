package layout

import "fmt"

// labels are those of computations that became one run: a list from the last to the first, so that one more is one
// node, which the runs before share.
type labels struct {
	before *labels
	end    int64 // offset in the run's output just past what bears the label
	label  string
}

// joined is the labels of a, of so many bytes, with those of b behind it; nil where one label stands for all.
func joined(a, b Coded, size int64) *labels {
	if a.parts == nil && b.parts == nil && a.Label == b.Label {
		return nil
	}
	list := a.parts
	if list == nil {
		list = &labels{nil, size, a.Label}
	}
	if b.parts == nil {
		return &labels{list, size + b.Size(), b.Label}
	}
	for _, p := range b.parts.ordered() {
		list = &labels{list, size + p.end, p.label}
	}
	return list
}

// ordered is the list from the first to the last.
func (l *labels) ordered() []*labels {
	var list []*labels
	for ; l != nil; l = l.before {
		list = append(list, l)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// cut is the labels of bytes off to off+n, from there on.
func (l *labels) cut(off, n int64) *labels {
	var list *labels
	for _, p := range l.ordered() {
		if p.end > off && (list == nil || list.end < n) {
			list = &labels{list, min(p.end-off, n), p.label}
		}
	}
	return list
}

// apply computes the blocks that begin at byte lo of the span's output. An error bears the label of what it is about.
func (s Coded) apply(dst []byte, src [][]byte, lo int64) error {
	err := s.Op.Apply(dst, src)
	if err == nil {
		return nil
	}
	if s.parts == nil {
		return labelled(s.Label, err)
	}
	out, in := s.Op.Block() // of a single input: others do not become one
	hi := lo + int64(len(dst))
	begin := lo
	for _, p := range s.parts.ordered() { // again, part by part: where parts meet blocks do
		if end := min(p.end, hi); end > begin {
			from, to := begin-lo, end-lo
			first, last := from/out*in[0], min((to+out-1)/out*in[0], int64(len(src[0])))
			if again := s.Op.Apply(dst[from:to], [][]byte{src[0][first:last]}); again != nil {
				return labelled(p.label, again)
			}
			begin = end
		}
	}
	return err
}

func labelled(label string, err error) error {
	if label == "" {
		return err
	}
	return fmt.Errorf("%s: %w", label, err)
}
