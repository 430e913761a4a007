package cache

import (
	"math/rand/v2"
	"testing"
)

// TestRanges compares the set with the slow, obvious one.
func TestRanges(t *testing.T) {
	const size = 200
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var set ranges
		var is [size]bool
		for range 30 {
			lo := r.Int64N(size)
			hi := lo + r.Int64N(size-lo+1)/4
			overlaps := false
			for i := lo; i < hi; i++ {
				overlaps = overlaps || is[i]
			}
			if got := set.overlaps(lo, hi); got != overlaps {
				t.Fatalf("seed %d: overlaps(%d, %d) is %v: %v", seed, lo, hi, got, set.list)
			}
			set.add(lo, hi)
			var total int64
			for i := range is {
				if int64(i) >= lo && int64(i) < hi {
					is[i] = true
				}
				if is[i] {
					total++
				}
			}
			if set.total != total {
				t.Fatalf("seed %d: total %d and not %d", seed, set.total, total)
			}
			for i := 1; i < len(set.list); i++ {
				if set.list[i-1].hi >= set.list[i].lo {
					t.Fatalf("seed %d: spans touch: %v", seed, set.list)
				}
			}
			for i := range int64(size) {
				end := i
				for end < size && is[end] {
					end++
				}
				if got := set.end(i); got != end {
					t.Fatalf("seed %d: end(%d) is %d and not %d: %v", seed, i, got, end, set.list)
				}
				if is[i] {
					continue
				}
				g := set.gap(i)
				lo, hi := i, i
				for lo > 0 && !is[lo-1] {
					lo--
				}
				for hi < size && !is[hi] {
					hi++
				}
				if g.lo != lo || min(g.hi, size) != hi {
					t.Fatalf("seed %d: gap(%d) is %v and not %d to %d", seed, i, g, lo, hi)
				}
			}
		}
	}
}
