package optimizer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// tensors are weights of one letter each, whose numbers are their shapes: "w34 b3". A * marks a second name of the
// tensor before it, ! an integer.
func tensors(list string) []model.Tensor {
	var all []model.Tensor
	for i, word := range strings.Fields(list) {
		t := model.Tensor{Name: strings.Trim(word, "0123456789*!"), DType: model.F32, Data: layout.Bytes([]byte{byte(i)})}
		for _, c := range word {
			switch {
			case c >= '0' && c <= '9':
				t.Shape = append(t.Shape, int64(c-'0'))
			case c == '*':
				t.Data = all[i-1].Data
			case c == '!':
				t.DType = model.I64
			}
		}
		all = append(all, t)
	}
	return all
}

// slots are groups of an optimizer, by the shapes of its states: "34 56 | 3 ?"; ? is a parameter without a state.
func slots(list string) [][]*slot {
	var groups [][]*slot
	id := int64(0)
	for _, g := range strings.Split(list, "|") {
		var group []*slot
		for _, word := range strings.Fields(g) {
			s := &slot{id: id, known: word != "?"}
			for _, c := range strings.Trim(word, "?s") {
				s.shape = append(s.shape, int64(c-'0'))
			}
			group = append(group, s)
			id++
		}
		groups = append(groups, group)
	}
	return groups
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		what, weights, states, want string
	}{
		{"one group, all weights", "a34 b3 c53 d5", "34 3 53 5", "a:order b:order c:order d:order"},
		{"alike, but all of them", "a3 b3 c3", "3 3 3", "a:order b:order c:order"},
		{"buffers by name", "a34 running_mean3 b3 running_var3 num_batches_tracked!", "34 3", "a:order b:order"},
		{"a parameter named like a buffer", "a34 mask3", "34 3", "a:order mask:order"},
		{"integers", "a34 n3! b3", "34 3", "a:order b:order"},
		{"a tied weight", "a34 b34* c3", "34 3", "a:order c:order"},
		{"a scalar", "a s b3", "s s 3", "a:order s:order b:order"},
		{"two groups that take turns", "a34 b3 c56 d5 e78 f7", "34 56 78 | 3 5 7", "a:order c:order e:order | b:order d:order f:order"},
		{"the second part first", "a34 b3 c56 d5", "56 5 | 34 3", "c:order d:order | a:order b:order"},
		{"a frozen layer of its own shape", "a34 f99 b3", "34 3", "a:order b:order"},
		{"a frozen layer of a shape that others have", "a34 b3 f3 c5", "34 3 5", "a:order b:guess c:order"},
		{"groups of layers that are alike", "a3 b3 c3 d3", "3 3 | 3 3", "a:guess b:guess | c:guess d:guess"},
		{"no states", "a34 b3", "? ?", "a:order b:order"},
		{"no states, and a layer that is frozen", "a34 b3 f3", "? ?", "? ?"},
		{"some without a state", "a34 b3 c3", "34 ? 3", "a:order b:order c:order"},
		{"more states than weights", "a34", "34 3", "a:shape ?"},
		{"another model's", "a34 b3", "78 7", "? ?"},
		{"another order than the model's", "a34 b3", "3 34", "b:shape a:shape"},
		{"one group for each", "a3 b3 c45", "3 | 3 | 45", "a:guess | b:guess | c:guess"},
	} {
		groups := slots(c.states)
		w := weights{tensors: tensors(c.weights), ordered: true}
		w.name(groups)
		if got := spelt(groups); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func spelt(groups [][]*slot) string {
	var parts []string
	for _, g := range groups {
		var list []string
		for _, s := range g {
			if s.how == unknown {
				list = append(list, "?")
			} else {
				list = append(list, s.name+":"+s.how)
			}
		}
		parts = append(parts, strings.Join(list, " "))
	}
	return strings.Join(parts, " | ")
}

// TestNamesUnordered: a file that sorts its weights says nothing about their order.
func TestNamesUnordered(t *testing.T) {
	groups := slots("3 3 45 6")
	w := weights{tensors: tensors("a3 b3 c45 d6 e6")}
	w.name(groups)
	if got, want := spelt(groups), "? ? c:shape ?"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNamesStored: the optimizer's own names stand, without a wrapper's prefix.
func TestNamesStored(t *testing.T) {
	groups := slots("34 3")
	groups[0][0].name, groups[0][1].id = "module.b", "a"
	w := weights{tensors: tensors("a34 b3"), ordered: true}
	w.name(groups)
	if got, want := spelt(groups), "b:names a:names"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	groups = slots("34 3")
	groups[0][0].name = "b" // the other has none: numbers, then
	if w.name(groups); groups[0][1].how == byNames {
		t.Error("a name that is not stored is taken for stored")
	}
}

// TestNamesMarked: where parameters are marked there are no others.
func TestNamesMarked(t *testing.T) {
	groups := slots("3 3")
	w := weights{tensors: tensors("a3 b3 c3"), ordered: true, marked: []bool{true, false, true}}
	w.name(groups)
	if got, want := spelt(groups), "a:order c:order"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNamesMany: a model of many layers that are alike, in many groups, takes no time.
func TestNamesMany(t *testing.T) {
	var shapes []string
	var turns [2][]string
	var list strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&list, "w34 ")
		shapes = append(shapes, "34")
		turns[i%2] = append(turns[i%2], "34")
	}
	for _, states := range []string{strings.Join(shapes, " "), strings.Join(turns[0], " ") + " | " + strings.Join(turns[1], " "), strings.Join(shapes, " | "), strings.Join(shapes[:3000], " ")} {
		groups := slots(states)
		w := weights{tensors: tensors(list.String()), ordered: true}
		if !w.name(groups) {
			t.Error("no names")
		}
	}
}

// TestMatchLaw: whatever is found is a weaving: each weight once, each group in order, each shape right; and the one
// that there was is found where it is the only one.
func TestMatchLaw(t *testing.T) {
	for seed := range uint64(500) {
		r := random(seed)
		var shapes [][]int64
		groups := make([][]*slot, 1+r.IntN(3))
		truth := make([][]int, len(groups))
		for at := range 1 + r.IntN(9) {
			shape := []int64{int64(r.IntN(3))}
			shapes = append(shapes, shape)
			if r.IntN(4) == 0 {
				continue // frozen
			}
			g := r.IntN(len(groups))
			groups[g] = append(groups[g], &slot{shape: shape, known: r.IntN(5) > 0})
			truth[g] = append(truth[g], at)
		}
		places, how := match(shapes, groups)
		if how == nil {
			t.Fatalf("seed %d: there is a way and none was found", seed)
		}
		used := map[int]bool{}
		for g := range groups {
			if len(places[g]) != len(groups[g]) || !slices.IsSorted(places[g]) {
				t.Fatalf("seed %d: %v", seed, places)
			}
			for i, at := range places[g] {
				if used[at] || !fits(groups[g][i], shapes[at]) {
					t.Fatalf("seed %d: %v", seed, places)
				}
				used[at] = true
				if how[g][i] == byOrder && at != truth[g][i] {
					t.Fatalf("seed %d: slot %d of group %d is said to be %d for sure, and is %d", seed, i, g, at, truth[g][i])
				}
			}
		}
	}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 394)) }
