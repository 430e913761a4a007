package layout

// appendRun adds s to runs, merged with the last one where the two are one run of bytes. What is merged here is
// computed in large pieces however many spans a planner gave: a file of 4,500 small tensors costs what one large does.
func appendRun(runs []Span, s Span) []Span {
	if b, ok := s.(Box); ok {
		s = b.simplify()
	}
	switch s := s.(type) {
	case Box:
		if inner, ok := s.contiguous(); ok {
			for _, r := range inner.runs {
				runs = appendRun(runs, r)
			}
			return runs
		}
	case Zeros:
		if s == 0 {
			return runs
		}
	}
	if len(runs) > 0 {
		if merged, ok := merge(runs[len(runs)-1], s); ok {
			runs[len(runs)-1] = merged
			return runs
		}
	}
	return append(runs, s)
}

// joinLiterals makes neighbouring literals one: all at once, for there may be many.
func joinLiterals(runs []Span) []Span {
	joined := runs[:0]
	for i := 0; i < len(runs); {
		n, size := 0, 0
		for ; i+n < len(runs); n++ {
			l, ok := runs[i+n].(Literal)
			if !ok {
				break
			}
			size += len(l)
		}
		if n < 2 {
			joined = append(joined, runs[i])
			i++
			continue
		}
		all := make(Literal, 0, size)
		for _, l := range runs[i : i+n] {
			all = append(all, l.(Literal)...)
		}
		joined = append(joined, all)
		i += n
	}
	return joined
}

func merge(a, b Span) (Span, bool) {
	switch a := a.(type) {
	case Zeros:
		if b, ok := b.(Zeros); ok && a+b > 0 {
			return a + b, true
		}
	case Extent:
		if b, ok := b.(Extent); ok && b.Off == a.Off+a.Len && a.Source.ID() == b.Source.ID() {
			return Extent{either(a.Source, b.Source), a.Off, a.Len + b.Len}, true
		}
	case Coded:
		b, ok := b.(Coded)
		if !ok || len(a.In) != 1 || len(b.In) != 1 || a.Op.String() != b.Op.String() {
			return nil, false
		}
		out, in := a.Op.Block()
		if a.Size()%out != 0 || a.In[0].Size()%in[0] != 0 || len(a.In[0].runs) != 1 || len(b.In[0].runs) != 1 {
			return nil, false
		}
		x, xok := a.In[0].runs[0].(Extent)
		y, yok := b.In[0].runs[0].(Extent)
		if !xok || !yok || y.Off != x.Off+x.Len || x.Source.ID() != y.Source.ID() {
			return nil, false
		}
		one, err := New(Extent{either(x.Source, y.Source), x.Off, x.Len + y.Len})
		if err != nil {
			return nil, false
		}
		both := Coded{Op: a.Op, In: []*File{one}, parts: joined(a, b, a.Size())}
		if both.parts == nil {
			both.Label = a.Label
		}
		if both.check() != nil || both.Size() != a.Size()+b.Size() {
			return nil, false
		}
		return both, true
	}
	return nil, false
}

// either is the one of two sources of the same bytes that knows checksums of them, if one does.
func either(a, b Source) Source {
	if summedOf(a) == nil {
		return b
	}
	return a
}

// cut is bytes off to off+n of a span.
func cut(s Span, off, n int64) Span {
	if off == 0 && n == s.Size() {
		return s
	}
	switch s := s.(type) {
	case Literal:
		return s[off : off+n]
	case Zeros:
		return Zeros(n)
	case Extent:
		return Extent{s.Source, s.Off + off, n}
	}
	if c, ok := s.(Coded); ok { // whole blocks are a shorter computation
		out, in := c.Op.Block()
		if off%out == 0 && (n%out == 0 || off+n == c.Size()) {
			first, count := off/out, (n+out-1)/out
			part := Coded{Op: c.Op, Label: c.Label, parts: c.parts.cut(off, n)}
			for i, f := range c.In {
				at := first * in[i]
				inner, err := f.Slice(at, min(count*in[i], f.Size()-at))
				if err != nil {
					break
				}
				part.In = append(part.In, inner)
			}
			if len(part.In) == len(c.In) && part.check() == nil && part.Size() == n {
				return part
			}
		}
	}
	return Box{In: must(s), Shape: []int64{n}, Strides: []int64{1}, Off: off, Elem: 1}
}

// simplify drops dimensions of 1 and joins those that one stride walks through.
func (s Box) simplify() Box {
	var shape, strides []int64
	elem := s.Elem
	for i, n := range s.Shape {
		if n == 1 {
			continue
		}
		if last := len(shape) - 1; last >= 0 && strides[last] == n*s.Strides[i] {
			shape[last] *= n
			strides[last] = s.Strides[i]
			continue
		}
		shape, strides = append(shape, n), append(strides, s.Strides[i])
	}
	for last := len(shape) - 1; last >= 0 && strides[last] == elem; last-- {
		elem *= shape[last] // a run of elements is one larger element
		shape, strides = shape[:last], strides[:last]
	}
	return Box{In: s.In, Shape: shape, Strides: strides, Off: s.Off, Elem: elem}
}

// contiguous is the part of the input that the box walks through from end to end, if it is one that can be named
// without a box.
func (s Box) contiguous() (*File, bool) {
	if len(s.Shape) != 0 {
		return nil, false
	}
	var spans []Span
	off, n := s.Off, s.Elem
	for i := s.In.find(off); n > 0; i++ {
		r := s.In.runs[i]
		start := s.In.ends[i] - r.Size()
		m := min(n, s.In.ends[i]-off)
		part := cut(r, off-start, m)
		if b, ok := part.(Box); ok && b.In.Size() == r.Size() && m < r.Size() { // only a box can say it
			return nil, false
		}
		spans = append(spans, part)
		off, n = off+m, n-m
	}
	f, err := New(spans...)
	return f, err == nil
}
