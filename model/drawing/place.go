package drawing

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Boxes stand in layers, each below those it takes values from. The steps are those of Sugiyama, Tagawa and Toda
// (1981): layers; places in them by the mean of their neighbours; then columns, as near to the neighbours as their
// widths allow. Everything is whole numbers of pixels, so that the same graph has the same drawing on every machine.

const (
	maxSpan   = 12 // layers that a line crosses; of one that would cross more the name is written where it is taken
	sweeps    = 6  // over the layers, to order them
	gapX      = 14
	gapY      = 30
	margin    = 10
	charWidth = 6 // of the font that boxes are written in, about
	rowHeight = 13
	textPad   = 10
)

// placed is a box with its place, or a bend of a line that crosses a layer.
type placed struct {
	box          *box // nil of a bend
	text         []string
	inner        []*sheet
	layer        int
	x, y         int   // the middle of its upper edge
	w, h         int   // of the box
	room         int   // width that is kept for it and what is written below it
	up, down     []int // neighbours in the layers above and below
	ports        []out // values that leave it, in order
	order, above int   // places in their layer: now, and while it is ordered
}

// out is a value that leaves a box: each is a line of its own, with branches.
type out struct {
	value, kind string
	x           int // from the middle of the box
	width       int
}

// strand is the part of a line between two layers.
type strand struct {
	from, to int
	port     int // of from where that is a box; -1 of a bend
	value    string
	last     bool // it ends in a box
	fromX    int
	toX      int
}

// sheet is a plate with everything in its place.
type sheet struct {
	plate   *plate
	things  []*placed
	layers  [][]int
	strands []strand
	top     []int // of each layer its upper edge
	high    []int // and its height
	x, y    int   // where it lies in the box around
	w, h    int
}

// edge is a line between two boxes of one plate.
type edge struct {
	from, to    int
	value, kind string
}

// place finds the places of what is on a plate. edges are the lines between its boxes, by plate.
func place(p *plate, edges map[*plate][]edge) *sheet {
	s := &sheet{plate: p}
	for _, b := range p.boxes {
		s.things = append(s.things, &placed{box: b, text: b.text})
	}
	list := s.layering(edges[p])
	for _, t := range s.things {
		for _, inner := range t.box.inner {
			t.inner = append(t.inner, place(inner, edges))
		}
	}
	s.connect(list)
	s.sizes()
	s.ordering()
	s.columns()
	s.finish()
	return s
}

// layering gives each box its layer, and leaves out the lines that would cross too many.
func (s *sheet) layering(edges []edge) []edge {
	n := len(s.things)
	waits, then := make([]int, n), make([][]int, n)
	for _, e := range edges {
		waits[e.to]++
		then[e.from] = append(then[e.from], e.to)
	}
	var ready []int
	for i := range n {
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	done := make([]bool, n)
	for at := 0; at < n; at++ {
		if at == len(ready) { // a cycle: from any of its boxes on
			for i := range n {
				if !done[i] && waits[i] > 0 {
					waits[i] = 0
					ready = append(ready, i)
					break
				}
			}
		}
		i := ready[at]
		done[i] = true
		for _, j := range then[i] {
			if done[j] {
				continue
			}
			s.things[j].layer = max(s.things[j].layer, s.things[i].layer+1)
			if waits[j] > 0 {
				if waits[j]--; waits[j] == 0 {
					ready = append(ready, j)
				}
			}
		}
	}
	for i, t := range s.things { // what takes nothing stands right above what takes it
		if t.layer == 0 && len(then[i]) > 0 {
			next := s.things[then[i][0]].layer
			for _, j := range then[i] {
				next = min(next, s.things[j].layer)
			}
			t.layer = max(0, next-1)
		}
	}
	var kept []edge
	for _, e := range edges {
		from, to := s.things[e.from], s.things[e.to]
		switch span := to.layer - from.layer; {
		case span > maxSpan:
			to.text = append(slices.Clone(to.text), "from "+tail(e.value, mostName-5))
		case span > 0:
			kept = append(kept, e)
		}
	}
	return kept
}

// connect makes ports, bends and strands of the lines. The branches of one value share their bends.
func (s *sheet) connect(edges []edge) {
	type key struct {
		from  int
		value string
	}
	ports := map[key]int{}
	type place struct{ port, layer int }
	for _, e := range edges {
		from := s.things[e.from]
		k := key{e.from, e.value}
		if _, ok := ports[k]; !ok {
			ports[k] = len(from.ports)
			from.ports = append(from.ports, out{value: e.value, kind: e.kind})
		}
	}
	bends := map[int]map[place]int{} // by box
	for _, e := range edges {
		port := ports[key{e.from, e.value}]
		at, via := e.from, port
		for layer := s.things[e.from].layer + 1; layer < s.things[e.to].layer; layer++ {
			if bends[e.from] == nil {
				bends[e.from] = map[place]int{}
			}
			next, ok := bends[e.from][place{port, layer}]
			if !ok {
				next = len(s.things)
				bends[e.from][place{port, layer}] = next
				s.things = append(s.things, &placed{layer: layer})
				s.strand(strand{from: at, to: next, port: via, value: e.value})
			}
			at, via = next, -1
		}
		s.strand(strand{from: at, to: e.to, port: via, value: e.value, last: true})
	}
	for i, t := range s.things {
		for t.layer >= len(s.layers) {
			s.layers = append(s.layers, nil)
		}
		t.order = len(s.layers[t.layer])
		s.layers[t.layer] = append(s.layers[t.layer], i)
	}
}

func (s *sheet) strand(x strand) {
	s.strands = append(s.strands, x)
	s.things[x.from].down = append(s.things[x.from].down, x.to)
	s.things[x.to].up = append(s.things[x.to].up, x.from)
}

// sizes are those of boxes, by what is written on them and stands in them.
func (s *sheet) sizes() {
	for _, t := range s.things {
		if t.box == nil {
			t.room = 6
			continue
		}
		for _, line := range t.text {
			t.w = max(t.w, textWidth(line)+2*textPad)
		}
		t.h = len(t.text)*rowHeight + textPad
		if len(t.inner) > 0 {
			x, high := margin, 0
			for _, in := range t.inner {
				in.x, in.y = x, t.h
				x += in.w + margin
				high = max(high, in.h)
			}
			t.w, t.h = max(t.w, x), t.h+high+margin
		}
		all := 0
		for i := range t.ports {
			t.ports[i].width = textWidth(t.ports[i].kind) + gapX
			all += t.ports[i].width
		}
		t.room = max(t.w, all)
		x := -t.room / 2
		for i := range t.ports {
			p := &t.ports[i]
			p.width += (t.room - all) / len(t.ports)
			p.x = x + p.width/2
			x += p.width
		}
		if len(t.ports) == 1 { // in the middle, so that a chain is straight
			t.ports[0].x = 0
		}
		if all > t.w && len(t.ports) > 1 { // each line leaves the box
			t.w = all
		}
	}
}

// textWidth is the width of a line, about.
func textWidth(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r >= 0x1100 { // most of those are twice as wide
			n++
		}
	}
	return n * charWidth
}

// ordering orders each layer by the middle of the neighbours' places.
func (s *sheet) ordering() {
	for k := range sweeps {
		if k%2 == 0 {
			for i := 1; i < len(s.layers); i++ {
				s.order(s.layers[i], func(t *placed) []int { return t.up })
			}
		} else {
			for i := len(s.layers) - 2; i >= 0; i-- {
				s.order(s.layers[i], func(t *placed) []int { return t.down })
			}
		}
	}
}

func (s *sheet) order(layer []int, near func(*placed) []int) {
	for _, i := range layer {
		t := s.things[i]
		sum, n := 0, 0
		for _, j := range near(t) {
			sum += s.things[j].order
			n++
		}
		t.above = t.order << 10 // one without neighbours stays where it is
		if n > 0 {
			t.above = sum << 10 / n
		}
	}
	slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(s.things[a].above, s.things[b].above) })
	for at, i := range layer {
		s.things[i].order = at
	}
}

// columns moves everything as near to what it is connected with as the widths in its layer allow.
func (s *sheet) columns() {
	for _, layer := range s.layers {
		x := 0
		for _, i := range layer {
			t := s.things[i]
			t.x = x + t.room/2
			x += t.room + gapX
		}
	}
	for range 3 {
		for i := 1; i < len(s.layers); i++ {
			s.align(s.layers[i], func(t *placed) []int { return t.up })
		}
		for i := len(s.layers) - 2; i >= 0; i-- {
			s.align(s.layers[i], func(t *placed) []int { return t.down })
		}
	}
	for i := 1; i < len(s.layers); i++ {
		s.align(s.layers[i], func(t *placed) []int { return t.up })
	}
}

// align gives a layer the columns whose squared distances from the wished ones have the least sum, with the order and
// the widths kept: an isotonic regression of the wishes less the widths to the left.
func (s *sheet) align(layer []int, near func(*placed) []int) {
	type pool struct{ sum, weight, n int }
	var pools []pool
	left := make([]int, len(layer))
	for at, i := range layer {
		t := s.things[i]
		if at > 0 {
			before := s.things[layer[at-1]]
			left[at] = left[at-1] + (before.room+t.room+1)/2 + gapX
		}
		wish, n := 0, 0
		for _, j := range near(t) {
			wish += s.things[j].x
			n++
		}
		if n == 0 {
			wish = t.x
		} else {
			wish /= n
		}
		weight := 1
		if t.box == nil { // lines are straight rather than boxes in their middle
			weight = 4
		}
		pools = append(pools, pool{(wish - left[at]) * weight, weight, 1})
		for k := len(pools) - 1; k > 0 && pools[k-1].sum*pools[k].weight > pools[k].sum*pools[k-1].weight; k-- {
			pools[k-1] = pool{pools[k-1].sum + pools[k].sum, pools[k-1].weight + pools[k].weight, pools[k-1].n + pools[k].n}
			pools = pools[:k]
		}
	}
	at := 0
	for _, p := range pools {
		for range p.n {
			s.things[layer[at]].x = floor(p.sum, p.weight) + left[at]
			at++
		}
	}
}

// floor is a/b rounded down.
func floor(a, b int) int {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

// finish gives everything its height, moves it to the corner, and finds the ends of the lines.
func (s *sheet) finish() {
	y := margin
	if s.plate.title != "" {
		y += rowHeight + 4
		s.w = textWidth(s.plate.title) + 2*margin
	}
	least := 0
	for i, layer := range s.layers {
		high := 0
		for _, j := range layer {
			t := s.things[j]
			t.y = y
			high = max(high, t.h)
			if i == 0 && j == layer[0] || t.x-t.room/2 < least {
				least = t.x - t.room/2
			}
		}
		s.top, s.high = append(s.top, y), append(s.high, high)
		y += high + gapY
	}
	for _, t := range s.things {
		t.x += margin - least
		s.w = max(s.w, t.x+t.room/2+margin)
	}
	s.h = y
	if len(s.layers) > 0 {
		s.h += margin - gapY
	}
	incoming := map[int][]int{}
	for i := range s.strands {
		x := &s.strands[i]
		x.fromX = s.things[x.from].x
		if x.port >= 0 {
			x.fromX += s.things[x.from].ports[x.port].x
		}
		x.toX = s.things[x.to].x
		if x.last {
			incoming[x.to] = append(incoming[x.to], i)
		}
	}
	for to, t := range s.things { // side by side, in the order they come from
		list := incoming[to]
		if len(list) < 2 {
			continue
		}
		slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(s.strands[a].fromX, s.strands[b].fromX) })
		for k, i := range list {
			s.strands[i].toX = t.x - t.w/2 + t.w*(k+1)/(len(list)+1)
		}
	}
}
