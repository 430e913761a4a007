package layout

import (
	"context"
	"slices"
	"sort"
)

// page is the run of input bytes below which a walk costs more in calls, or in pages touched, than in bytes.
const page = 4096

// axis is one dimension of a block of elements that is walked in the order of the input.
type axis struct{ n, in, out int64 } // count; distance of neighbours in the input, in the output

func (s Box) read(ctx context.Context, ev eval, p []byte, off int64) error {
	s = s.simplify()
	w := walk{ctx: ctx, ev: ev, in: s.In, elem: s.Elem}
	sub := make([]int64, len(s.Shape)+1) // sub[i] is the size of one index of dimension i-1
	sub[len(s.Shape)] = s.Elem
	for i := len(s.Shape) - 1; i >= 0; i-- {
		sub[i] = sub[i+1] * s.Shape[i]
	}
	return w.part(s, sub, 0, s.Off, p, off)
}

// walk reads parts of a box.
type walk struct {
	ctx  context.Context
	ev   eval
	in   *File
	elem int64
}

// part fills p with the bytes from off of the sub-box that begins at dimension d and at byte base of the input: whole
// hyper-rectangles in the middle, by recursion at both ends.
func (w *walk) part(s Box, sub []int64, d int, base int64, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if d == len(s.Shape) {
		return w.in.read(w.ctx, w.ev, p, base+off)
	}
	one, stride := sub[d+1], s.Strides[d]
	i := off / one
	if head := off - i*one; head > 0 {
		n := min(int64(len(p)), one-head)
		if err := w.part(s, sub, d+1, base+i*stride, p[:n], head); err != nil {
			return err
		}
		p = p[n:]
		i++
	}
	if whole := int64(len(p)) / one; whole > 0 {
		axes := []axis{{whole, stride, one}}
		for k := d + 1; k < len(s.Shape); k++ {
			axes = append(axes, axis{s.Shape[k], s.Strides[k], sub[k+1]})
		}
		if err := w.block(axes, base+i*stride, p[:whole*one]); err != nil {
			return err
		}
		p = p[whole*one:]
		i += whole
	}
	return w.part(s, sub, d+1, base+i*stride, p, 0)
}

// block fills p, a whole hyper-rectangle. Repeated axes are read once and copied.
func (w *walk) block(axes []axis, base int64, p []byte) error {
	var moving, still []axis
	for _, a := range axes {
		switch {
		case a.n == 1:
		case a.in == 0:
			still = append(still, a)
		default:
			moving = append(moving, a)
		}
	}
	sort.SliceStable(moving, func(i, j int) bool { return moving[i].in > moving[j].in })
	if err := w.rect(moving, base, p, 0); err != nil {
		return err
	}
	for len(still) > 0 { // what stands at index 0 of a repeated axis, at every other index
		a := still[len(still)-1]
		still = still[:len(still)-1]
		for i := int64(1); i < a.n; i++ {
			w.repeat(moving, p, i*a.out)
		}
		moving = append(moving, a)
	}
	return nil
}

// repeat copies the elements at axes of p to the same places shifted by shift.
func (w *walk) repeat(axes []axis, p []byte, shift int64) {
	scatter(p[shift:], p, outOnly(axes), w.elem)
}

// outOnly are axes for a copy within the output.
func outOnly(axes []axis) []axis {
	same := slices.Clone(axes)
	for i := range same {
		same[i].in = same[i].out
	}
	return same
}

// span is the distance in the input from the first byte of a block to just past its last, and the bytes it uses.
func (w *walk) span(axes []axis) (span, used int64) {
	span, used = w.elem, w.elem
	for _, a := range axes {
		span += (a.n - 1) * a.in
		used *= a.n
	}
	return span, used
}

// rect fills the places of p that axes name, from at. The axes run from the largest stride of the input to the
// smallest, so that the input is read from front to back. Pieces that are at least half full are read whole and
// picked from, in calls of up to a tile: at most twice the bytes.
func (w *walk) rect(axes []axis, base int64, p []byte, at int64) error {
	if len(axes) == 0 {
		return w.in.read(w.ctx, w.ev, p[at:at+w.elem], base)
	}
	if len(axes) == 1 && axes[0].in == w.elem && axes[0].out == w.elem {
		return w.in.read(w.ctx, w.ev, p[at:at+axes[0].n*w.elem], base)
	}
	picked := len(axes) == 1 && axes[0].in <= page // every n-th element: whole pages are read anyhow
	if span, used := w.span(axes); (picked || used >= span/2) && span <= tile {
		return w.gather(axes, span, base, p, at)
	}
	first, rest := axes[0], axes[1:]
	inner, used := w.span(rest)
	step := int64(1)
	if inner < tile/2 && (picked || used >= first.in/2) { // several indices in one read, still half of it used
		step = (tile-inner)/first.in + 1
	}
	for i := int64(0); i < first.n; i += step {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		var err error
		from, to := base+i*first.in, at+i*first.out
		if n := min(step, first.n-i); n > 1 {
			err = w.gather(append([]axis{{n, first.in, first.out}}, rest...), (n-1)*first.in+inner, from, p, to)
		} else {
			err = w.rect(rest, from, p, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gather reads a span of the input and puts its elements in their places.
func (w *walk) gather(axes []axis, span, base int64, p []byte, at int64) error {
	buf := getBuffer(span)
	defer buf.put()
	if err := w.in.read(w.ctx, w.ev, buf.b, base); err != nil {
		return err
	}
	scatter(p[at:], buf.b, axes, w.elem)
	return nil
}

// scatter copies the elements that axes name from src to dst. The two axes that are fastest on either side are walked
// in squares, so that a transpose stays within the cache.
func scatter(dst, src []byte, axes []axis, elem int64) {
	axes = slices.Clone(axes)
	sort.SliceStable(axes, func(i, j int) bool { return axes[i].in > axes[j].in })
	if n := len(axes); n >= 2 { // the fastest of the output second to last
		fast := n - 1
		for i := range axes {
			if axes[i].out < axes[fast].out {
				fast = i
			}
		}
		if fast != n-1 {
			a := axes[fast]
			copy(axes[fast:], axes[fast+1:n-1])
			axes[n-2] = a
		}
	}
	scatterOuter(dst, src, axes, elem)
}

func scatterOuter(dst, src []byte, axes []axis, elem int64) {
	switch len(axes) {
	case 0:
		copy(dst[:elem], src[:elem])
	case 1:
		line(dst, src, axes[0], elem)
	case 2:
		const side = 32
		a, b := axes[0], axes[1]
		for i := int64(0); i < a.n; i += side {
			for j := int64(0); j < b.n; j += side {
				c := axis{min(side, b.n-j), b.in, b.out}
				for k := i; k < min(i+side, a.n); k++ {
					line(dst[k*a.out+j*b.out:], src[k*a.in+j*b.in:], c, elem)
				}
			}
		}
	default:
		a := axes[0]
		for i := int64(0); i < a.n; i++ {
			scatterOuter(dst[i*a.out:], src[i*a.in:], axes[1:], elem)
		}
	}
}

// line copies n elements, a.in apart in src and a.out apart in dst.
func line(dst, src []byte, a axis, elem int64) {
	if a.in == elem && a.out == elem {
		copy(dst[:a.n*elem], src[:a.n*elem])
		return
	}
	var to, from int64
	switch elem {
	case 1:
		for range a.n {
			dst[to] = src[from]
			to, from = to+a.out, from+a.in
		}
	case 2:
		for range a.n {
			*(*[2]byte)(dst[to:]) = *(*[2]byte)(src[from:])
			to, from = to+a.out, from+a.in
		}
	case 4:
		for range a.n {
			*(*[4]byte)(dst[to:]) = *(*[4]byte)(src[from:])
			to, from = to+a.out, from+a.in
		}
	case 8:
		for range a.n {
			*(*[8]byte)(dst[to:]) = *(*[8]byte)(src[from:])
			to, from = to+a.out, from+a.in
		}
	default:
		for range a.n {
			copy(dst[to:to+elem], src[from:from+elem])
			to, from = to+a.out, from+a.in
		}
	}
}

// window is the most bytes of a transposed box that are computed at once: with runs of less than a page each
// page of the input is touched by several windows, and a larger window by fewer.
const window = 32 << 20

// grain of a box whose input is walked across its rows: as many output rows as make the input's runs a page long, or
// as fit a window.
func (s Box) grain(off int64) (int64, int64) {
	s = s.simplify()
	fast := -1 // the dimension that runs fastest in the input
	for i, stride := range s.Strides {
		if stride > 0 && (fast < 0 || stride < s.Strides[fast]) {
			fast = i
		}
	}
	if fast < 0 || fast == len(s.Shape)-1 || s.Elem >= page {
		return off, off
	}
	inner := s.Elem
	for _, n := range s.Shape[fast+1:] {
		inner *= n
	}
	rows := min(s.Shape[fast], (page+s.Strides[fast]-1)/s.Strides[fast])
	rows = max(1, min(rows, window/inner))
	if rows*inner > window { // one row is more than a window: any range will do
		return off, off
	}
	block := inner * s.Shape[fast]
	start := off / block * block
	lo := start + (off-start)/(rows*inner)*(rows*inner)
	return lo, min(lo+rows*inner, start+block)
}
