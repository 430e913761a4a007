package optimizer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// How it is known which parameter a number of an optimizer means.
const (
	byNames = "names" // the optimizer says so
	byOrder = "order" // the weights, in their order, have the shapes of the states in one way
	byShape = "shape" // one weight has the shape of the state, and one state that of the weight
	byGuess = "guess" // the weights have the shapes of the states in several ways, of which this is the first
	unknown = ""      // it is not known
)

// slot is a parameter of an optimizer.
type slot struct {
	optimizer, group int
	id               pickle.Value
	state            []pickle.Entry
	settings         []pickle.Entry
	shape            []int64 // of the parameter, as far as the state tells
	known            bool    // whether it does

	name string // found out; also what the optimizer itself stores
	at   int    // the weight's place in the model
	how  string // the name was found; unknown where it was not
}

// weights is what a model has for an optimizer.
type weights struct {
	tensors []model.Tensor
	marked  []bool // those that are marked as parameters; nil where none is
	ordered bool   // they stand in the order of the module: a file that sorts them by name says nothing about that
}

// name finds the names of the parameters of all optimizers, whose groups together take parameters of one model, each
// in the order of the model. It reports whether it found any.
//
// Numbers are given in the order of all groups, so a group says nothing but the order of its own: state and weights are
// brought together by their shapes. Weights that no optimizer has (buffers, what is frozen) are passed over.
func (w *weights) name(slots [][]*slot) bool {
	if w.byStored(slots) {
		return true
	}
	if !w.ordered {
		return w.byShape(slots)
	}
	total, blind := 0, false
	for _, g := range slots {
		total += len(g)
		for _, s := range g {
			blind = blind || !s.known
		}
	}
	for _, all := range []bool{false, true} {
		candidates := w.parameters(all)
		if len(candidates) < total {
			continue
		}
		shapes := make([][]int64, len(candidates))
		for i, at := range candidates {
			shapes[i] = w.tensors[at].Shape
		}
		places, how := match(shapes, slots)
		if how == nil || blind && len(candidates) > total && slices.Contains(slices.Concat(how...), byGuess) {
			continue // a guess at states of no shape is none
		}
		for g := range places {
			for i, place := range places[g] {
				s := slots[g][i]
				s.at, s.name, s.how = candidates[place], w.tensors[candidates[place]].Name, how[g][i]
			}
		}
		return true
	}
	return w.byShape(slots)
}

// byShape finds the names of the states that no other is confused with.
func (w *weights) byShape(slots [][]*slot) bool {
	states, of := map[string]int{}, map[string][]int{}
	for _, g := range slots {
		for _, s := range g {
			if !s.known {
				return false
			}
			states[fmt.Sprint(s.shape)]++
		}
	}
	for _, at := range w.parameters(true) {
		key := fmt.Sprint(w.tensors[at].Shape)
		of[key] = append(of[key], at)
	}
	any := false
	for _, g := range slots {
		for _, s := range g {
			if key := fmt.Sprint(s.shape); states[key] == 1 && len(of[key]) == 1 {
				s.at, s.how, any = of[key][0], byShape, true
				s.name = w.tensors[s.at].Name
			}
		}
	}
	return any
}

// byStored takes the names that a group stores beside its parameters, or that are what it calls them.
func (w *weights) byStored(slots [][]*slot) bool {
	at := map[string]int{}
	for i, t := range w.tensors {
		at[t.Name] = i
	}
	any := false
	for _, g := range slots {
		for _, s := range g {
			name, ok := s.id.(string)
			if !ok && s.name == "" {
				return false
			}
			if s.name == "" {
				s.name = name
			}
			any = true
		}
	}
	for _, g := range slots {
		for _, s := range g {
			s.at, s.how = len(w.tensors), byNames
			for _, prefix := range []string{"", "module.", "_orig_mod.", "model."} {
				if i, known := at[strings.TrimPrefix(s.name, prefix)]; known {
					s.name, s.at = w.tensors[i].Name, i
					break
				}
			}
		}
	}
	return any
}

// buffers are the last parts of names that PyTorch's own modules and the usual ones beside them give to tensors that
// are no parameters.
var buffers = []string{"running_mean", "running_var", "num_batches_tracked", "position_ids", "inv_freq", "relative_position_index",
	"attn_mask", "masked_bias", "relative_coords_table", "mask", "anchor_grid", "anchors", "stride"}

// parameters are the places of the tensors that an optimizer may have: floats, each once however many names it has. all
// takes those whose names are buffers' too.
func (w *weights) parameters(all bool) []int {
	var list []int
	seen := map[*layout.File]bool{}
	for i, t := range w.tensors {
		last := t.Name[strings.LastIndexByte(t.Name, '.')+1:]
		switch {
		case !t.DType.Float() && t.DType != model.C64 && t.DType != model.C128:
		case w.marked != nil && !w.marked[i], !all && slices.Contains(buffers, last):
		case t.Data.Size() > 0 && seen[t.Data]:
		default:
			seen[t.Data] = true
			list = append(list, i)
		}
	}
	return list
}

// match finds places in shapes for the slots of each group, in order within each group, and how sure each is. Where
// there is more than one way it takes the first: the groups' own order if that will do, else the earliest places of the
// first group that fits. how is nil where there is no way.
func match(shapes [][]int64, groups [][]*slot) (places [][]int, how [][]string) {
	total := 0
	for _, g := range groups {
		total += len(g)
	}
	places, straight := inOrder(shapes, groups)
	straight = straight && total == len(shapes)
	if len(groups) > mostGroups || len(shapes) > mostShapes {
		if straight {
			return places, sure(groups, byGuess)
		}
		return nil, nil
	}
	m := matcher{shapes: shapes, groups: groups, spare: len(shapes) - total, pos: make([]int, len(groups)), ways: map[string]int8{}}
	ways := m.count(0)
	if ways == 0 && m.steps <= mostSteps {
		return nil, nil
	}
	result := byGuess
	if ways == 1 && m.steps <= mostSteps {
		result = byOrder
	}
	if !straight {
		var ok bool
		if places, ok = m.first(); !ok {
			return nil, nil
		}
	}
	how = sure(groups, result)
	if result == byGuess && len(groups) == 1 { // some are at the same place in the first way and in the last
		last := latest(shapes, groups[0])
		for i, place := range places[0] {
			if last != nil && last[i] == place {
				how[0][i] = byOrder
			}
		}
	}
	return places, how
}

const (
	mostGroups = 64
	mostShapes = 1 << 16
	mostSteps  = 1 << 18 // of a search
)

// sure is one word for all slots.
func sure(groups [][]*slot, word string) [][]string {
	all := make([][]string, len(groups))
	for i, g := range groups {
		all[i] = slices.Repeat([]string{word}, len(g))
	}
	return all
}

// latest puts a group at the last places that it fits.
func latest(shapes [][]int64, group []*slot) []int {
	places := make([]int, len(group))
	at := len(shapes)
	for i := len(group) - 1; i >= 0; i-- {
		for at--; at >= 0 && !fits(group[i], shapes[at]); at-- {
		}
		if at < 0 {
			return nil
		}
		places[i] = at
	}
	return places
}

// inOrder puts the groups one after another over all shapes.
func inOrder(shapes [][]int64, groups [][]*slot) (places [][]int, ok bool) {
	at := 0
	for _, g := range groups {
		var list []int
		for _, s := range g {
			if at == len(shapes) || !fits(s, shapes[at]) {
				return nil, false
			}
			list = append(list, at)
			at++
		}
		places = append(places, list)
	}
	return places, true
}

func fits(s *slot, shape []int64) bool { return !s.known || slices.Equal(s.shape, shape) }

// matcher counts the ways in which groups can be woven into shapes, and finds the first.
type matcher struct {
	shapes [][]int64
	groups [][]*slot
	spare  int             // shapes that no slot takes
	pos    []int           // how many of each group have a place
	ways   map[string]int8 // by place and pos: none, one, or two for more
	steps  int
}

// key is where the search stands.
func (m *matcher) key(at int) string {
	b := binary.AppendUvarint(nil, uint64(at))
	for _, n := range m.pos {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return string(b)
}

// skipped is how many shapes before at no slot took.
func (m *matcher) skipped(at int) int {
	for _, n := range m.pos {
		at -= n
	}
	return at
}

// count is the ways from place at, up to two.
func (m *matcher) count(at int) int8 {
	if m.skipped(at) > m.spare {
		return 0
	}
	if at == len(m.shapes) {
		return 1
	}
	key := m.key(at)
	if n, ok := m.ways[key]; ok {
		return n
	}
	if m.steps++; m.steps > mostSteps {
		return 0
	}
	var n int8
	for g, slots := range m.groups {
		if m.pos[g] < len(slots) && fits(slots[m.pos[g]], m.shapes[at]) {
			m.pos[g]++
			n += m.count(at + 1)
			m.pos[g]--
			if n > 1 {
				break
			}
		}
	}
	if n < 2 && m.skipped(at) < m.spare {
		n += m.count(at + 1)
	}
	n = min(n, 2)
	m.ways[key] = n
	return n
}

// first follows the first way that count found.
func (m *matcher) first() (places [][]int, ok bool) {
	places = make([][]int, len(m.groups))
next:
	for at := range m.shapes {
		for g, slots := range m.groups {
			if m.pos[g] == len(slots) || !fits(slots[m.pos[g]], m.shapes[at]) {
				continue
			}
			m.pos[g]++
			if m.leads(at + 1) {
				places[g] = append(places[g], at)
				continue next
			}
			m.pos[g]--
		}
		if m.skipped(at+1) > m.spare {
			return nil, false
		}
	}
	for g, slots := range m.groups {
		if m.pos[g] < len(slots) {
			return nil, false
		}
	}
	return places, true
}

// leads reports whether there is a way from here, as far as count looked.
func (m *matcher) leads(at int) bool {
	if at == len(m.shapes) {
		return m.skipped(at) == m.spare
	}
	n, ok := m.ways[m.key(at)]
	return n > 0 || !ok && m.steps > mostSteps
}

// stateShape is the shape of the parameter that a state belongs to: that of the largest of its tensors, which is of the
// parameter's own shape in nearly all optimizers.
func stateShape(c *torch.Checkpoint, state []pickle.Entry) (shape []int64, known bool) {
	const mostKept = 256 // no optimizer keeps so much of one parameter
	if len(state) > mostKept {
		return nil, false
	}
	var row, col []int64
	most := int64(-1)
	for _, e := range state {
		t := c.Tensor(e.Value)
		key, _ := e.Key.(string)
		if t == nil || t.Left != "" || key == "step" {
			continue
		}
		switch key {
		case "d", "prev_flat_grad": // LBFGS keeps all parameters in one
			return nil, false
		case "row_var", "exp_avg_sq_row": // Adafactor keeps a number for each row and for each column
			row = t.Shape
			continue
		case "col_var", "exp_avg_sq_col":
			col = t.Shape
			continue
		}
		if n, err := model.Elements(t.Shape); err == nil && n > most {
			shape, known, most = t.Shape, true, n
		}
	}
	switch n := len(col); {
	case n == 0:
		return shape, known
	case len(row) == n && row[n-1] == 1: // PyTorch's: [rows, 1] and [1, columns]
		return append(slices.Clone(row[:n-1]), col[n-1]), true
	}
	return append(slices.Clone(row), col[len(col)-1]), true
}
