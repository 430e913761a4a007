package cache

import (
	"math"
	"slices"
	"sort"
)

// span is the bytes from lo up to but not including hi.
type span struct{ lo, hi int64 }

// ranges is a set of bytes: sorted spans that do not touch.
type ranges struct {
	list  []span
	total int64 // bytes in the set
}

// at is the index of the first span that ends past off.
func (r *ranges) at(off int64) int {
	return sort.Search(len(r.list), func(i int) bool { return r.list[i].hi > off })
}

// add puts lo to hi into the set.
func (r *ranges) add(lo, hi int64) {
	if lo >= hi {
		return
	}
	i := sort.Search(len(r.list), func(i int) bool { return r.list[i].hi >= lo }) // the first that touches or follows
	j := i
	for ; j < len(r.list) && r.list[j].lo <= hi; j++ {
		lo, hi = min(lo, r.list[j].lo), max(hi, r.list[j].hi)
		r.total -= r.list[j].hi - r.list[j].lo
	}
	r.total += hi - lo
	if j == i+1 {
		r.list[i] = span{lo, hi}
		return
	}
	r.list = slices.Replace(r.list, i, j, span{lo, hi})
}

// end is where the run of bytes that begins at off ends: off when off is not in the set.
func (r *ranges) end(off int64) int64 {
	if i := r.at(off); i < len(r.list) && r.list[i].lo <= off {
		return r.list[i].hi
	}
	return off
}

// gap is the largest span around off that holds no byte of the set. off must not be in the set.
func (r *ranges) gap(off int64) span {
	g := span{0, math.MaxInt64}
	i := r.at(off)
	if i < len(r.list) {
		g.hi = r.list[i].lo
	}
	if i > 0 {
		g.lo = r.list[i-1].hi
	}
	return g
}

// overlaps reports whether a byte of lo to hi is in the set.
func (r *ranges) overlaps(lo, hi int64) bool {
	i := r.at(lo)
	return lo < hi && i < len(r.list) && r.list[i].lo < hi
}
