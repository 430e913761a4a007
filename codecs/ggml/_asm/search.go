package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// weights writes the kernels that compute the weights of the elements in lanes.
func weights(i isa) {
	function("weighMean"+i.suffix, "func(l *float32, n int)",
		"gives each element the root of the mean of its group's squares, plus its own magnitude.")
	r := walk()
	sum := i.copy(i.zero())
	r.each("squares", func() {
		x := i.load(r.row(lanesX))
		i.accumulate(sum, i.mul(x, x))
	})
	count := GP64() // 16 or 32, which divides exactly
	MOVQ(r.end, count)
	SUBQ(r.base, count)
	SHRQ(Imm(6), count)
	n := i.register()
	VCVTSI2SSQ(count, n.AsX(), n.AsX())
	VBROADCASTSS(n.AsX(), n)
	mean := i.sqrt(i.div(sum, uniform{n}))
	abs := i.constant(magnitude)
	r.each("weights", func() {
		i.store(i.add(i.and(abs, r.row(lanesX)), mean), r.row(lanesW))
	})
	VZEROUPPER()
	RET()

	function("weighMagnitude"+i.suffix, "func(l *float32, n int)", "gives each element its magnitude.")
	r = walk()
	abs = i.constant(magnitude)
	r.each("weights", func() { i.store(i.and(abs, r.row(lanesX)), r.row(lanesW)) })
	VZEROUPPER()
	RET()

	function("weighSquare"+i.suffix, "func(l *float32, n int)", "gives each element its square.")
	r = walk()
	r.each("weights", func() {
		x := i.load(r.row(lanesX))
		i.store(i.mul(x, x), r.row(lanesW))
	})
	VZEROUPPER()
	RET()

	function("weighImportance"+i.suffix, "func(l *float32, n int)",
		"multiplies each importance with the root of sigma plus the element's square, and adds them up.")
	r = walk()
	sum = i.copy(i.zero())
	sigma := i.load(r.field(lanesSigma))
	r.each("weights", func() {
		x := i.load(r.row(lanesX))
		w := i.mul(i.sqrt(i.add(sigma, i.mul(x, x))), r.row(lanesW))
		i.store(w, r.row(lanesW))
		i.accumulate(sum, w)
	})
	i.store(sum, r.field(lanesWeight))
	VZEROUPPER()
	RET()
}

// A problem is sixteen groups at a place of their own. Two problems that know nothing of each other take turns, so that
// the processor has the long sums of one to do while the other waits for a division.
type problem struct {
	rows
	name string
	bad  GPVirtual

	highest, lowest, sumW, sumX, flat Mem
	best                              Mem // the least error
	low, scale                        Mem // where it was; low has its sign turned: then x - low is a sum
	try, move, valid, inverse         Mem // a scale, with what is added to its products, and the inverse it came from
}

// affine writes the kernel that is searchAffine for two problems.
//
// The nearest level is found by rounding, which is what the reference computes as long as what is rounded stays below
// 4194304 in magnitude: it lies between what the least and the greatest element give. Where that is not so, in the lanes
// of a group with a range, the problem's bit of the result is set, and nothing is found. Levels are clamped as integers,
// which order as the float32 of the same bits do, negative ones below all others.
func affine(i isa, linear bool) {
	name := "searchAffine"
	if linear {
		name = "searchLinear"
	}
	function(name+i.suffix, "func(a, b *float32, n int, steps float32, numerators *float32, tries int) (failed uint32)",
		"is searchAffine for the groups at two places in lanes, with the numerators of the grid's inverse scales.")
	places := twoPlaces()
	numerators, tries := argument("numerators"), argument("tries")
	stepsAt := NewParamAddr("steps", 24)
	sign := func() uniform { return i.constant(signBit) }

	for _, p := range places { // the range, and the sums of the weights and of the weighted elements
		x, w := i.load(p.field(lanesX)), i.load(p.field(lanesW))
		lo, hi, sw, sx := i.copy(x), i.copy(x), i.copy(w), i.mul(w, x)
		p.after(p.name+"range", func() {
			x, w := i.load(p.row(lanesX)), i.load(p.row(lanesW))
			i.op2To(lo, VMINPS, x, lo)
			i.op2To(hi, VMAXPS, x, hi)
			i.accumulate(sw, w)
			i.accumulate(sx, i.mul(w, x))
		})
		i.op2To(lo, VMINPS, i.zero(), lo)
		i.store(lo, p.lowest)
		i.store(hi, p.highest)
		i.store(sw, p.sumW)
		i.store(sx, p.sumX)
		i.storeMask(i.compare(equal, lo, hi), p.flat)
		i.store(i.xor(lo, sign()), p.low)
		XORL(p.bad, p.bad)
	}

	// inverse is a numerator over the range; what it makes of the ends of the elements tells whether rounding will do.
	inverse := func(p *problem, numerator any) (inv, low vec) {
		low = i.load(p.low)
		span := i.add(low, p.highest)
		inv = i.div(numerator, span)
		abs, limit := i.constant(magnitude), i.constant(0x4a7ffffc) // 4194303
		upper := i.and(i.mul(inv, span), abs)
		lower := i.and(i.mul(inv, i.add(low, p.lowest)), abs)
		out := i.either(i.compare(notLessEqual, upper, limit), i.compare(notLessEqual, lower, limit))
		ORL(i.any(i.butNot(out, i.loadMask(p.flat))), p.bad)
		return inv, low
	}
	// level is the nearest level of the current row's elements, which it keeps.
	level := func(p *problem, inv, low vec, zero, steps uniform) vec {
		l := i.add(low, p.row(lanesX))
		i.op2To(l, VMULPS, l, inv)
		i.roundTo(l)
		i.op2To(l, VPMAXSD, l, zero)
		i.op2To(l, VPMINSD, l, steps)
		i.store(l, p.row(lanesT))
		return l
	}
	// miss is the error of the levels that are kept.
	miss := func(p *problem, label string) vec {
		e, scale, move := i.copy(i.zero()), i.load(p.try), i.load(p.move)
		var abs uniform
		if linear {
			abs = i.constant(magnitude)
		}
		p.each(p.name+label, func() {
			d := i.mul(scale, p.row(lanesT))
			i.accumulate(d, move)
			i.op2To(d, VSUBPS, d, p.row(lanesX))
			if linear {
				i.op2To(d, VANDPS, d, abs)
			} else {
				i.op2To(d, VMULPS, d, d)
			}
			i.op2To(d, VMULPS, d, p.row(lanesW))
			i.accumulate(e, d)
		})
		return e
	}

	for _, p := range places { // the scale that spans the range
		inv, low := inverse(p, i.broadcast(stepsAt))
		zero, steps := i.zero(), i.broadcast(stepsAt)
		p.each(p.name+"levels", func() { level(p, inv, low, zero, steps) })
		s := i.div(i.constant(one), inv)
		i.store(s, p.scale)
		i.store(s, p.try)
		i.store(i.load(p.lowest), p.move)
		i.store(inv, p.field(lanesInverse))
		i.store(low, p.field(lanesFrom))
		i.store(miss(p, "first"), p.best)
	}

	Label("try")
	for _, p := range places {
		inv, low := inverse(p, i.broadcast(Mem{Base: numerators}))
		i.store(inv, p.inverse)
		sumL, sumL2, sumLX := i.copy(i.zero()), i.copy(i.zero()), i.copy(i.zero())
		zero, steps := i.zero(), i.broadcast(stepsAt)
		p.each(p.name+"sums", func() {
			l := level(p, inv, low, zero, steps)
			for part := range l { // one register at a time: there are few
				wl := i.register()
				VMULPS(i.part(p.row(lanesW), part), l[part], wl)
				VADDPS(wl, sumL[part], sumL[part])
				VMULPS(l[part], wl, l[part])
				VADDPS(l[part], sumL2[part], sumL2[part])
				VMULPS(i.part(p.row(lanesX), part), wl, wl)
				VADDPS(wl, sumLX[part], sumLX[part])
			}
		})
		det := i.sub(i.mul(sumL2, p.sumW), i.mul(sumL, sumL))
		i.storeMask(i.compare(greater, det, i.zero()), p.valid)
		s := i.div(i.sub(i.mul(sumLX, p.sumW), i.mul(sumL, p.sumX)), det)
		m := i.div(i.sub(i.mul(sumL2, p.sumX), i.mul(sumL, sumLX)), det)
		above := i.compare(greater, m, i.zero())
		some := i.any(above)
		TESTL(some, some)
		JZ(LabelRef(p.name + "below")) // which weights on both sides of zero are
		above = i.compare(greater, m, i.zero())
		i.choose(s, above, i.div(sumLX, sumL2))
		i.choose(m, above, i.zero())
		Label(p.name + "below")
		i.store(s, p.try)
		i.store(m, p.move)
	}
	for _, p := range places {
		e, least := miss(p, "error"), i.load(p.best)
		better := i.both(i.loadMask(p.valid), i.compare(less, e, least))
		i.choose(least, better, e)
		i.store(least, p.best)
		v := i.load(p.field(lanesInverse))
		i.choose(v, better, p.inverse)
		i.store(v, p.field(lanesInverse))
		i.loadTo(v, p.field(lanesFrom))
		i.choose(v, better, p.low)
		i.store(v, p.field(lanesFrom))
		i.loadTo(v, p.low)
		i.choose(v, better, i.xor(i.load(p.move), sign()))
		i.store(v, p.low)
		i.loadTo(v, p.scale)
		i.choose(v, better, p.try)
		i.store(v, p.scale)
	}
	ADDQ(Imm(4), numerators)
	DECQ(tries)
	JNZ(LabelRef("try"))

	for k, p := range places { // groups without a range
		f, v := i.loadMask(p.flat), i.load(p.scale)
		i.choose(v, f, i.zero())
		i.store(v, p.scale)
		i.loadTo(v, p.field(lanesInverse))
		i.choose(v, f, i.zero())
		i.store(v, p.field(lanesInverse))
		i.loadTo(v, p.low)
		i.choose(v, f, i.xor(i.load(p.lowest), sign()))
		i.store(v, p.low)
		failed := GP8()
		TESTL(p.bad, p.bad)
		SETNE(failed)
		MOVBLZX(failed, p.bad)
		if k > 0 {
			SHLL(Imm(uint64(k)), p.bad)
			ORL(p.bad, places[0].bad)
		}
	}
	VZEROUPPER()
	Store(places[0].bad, ReturnIndex(0))
	RET()
}

// twoPlaces prepares two problems of n rows.
func twoPlaces() []*problem {
	n := argument("n")
	SHLQ(Imm(6), n)
	var list []*problem
	for _, name := range []string{"a", "b"} {
		base, end := argument(name), GP64()
		LEAQ(Mem{Base: base, Index: n, Scale: 1}, end)
		p := &problem{rows: rows{base, GP64(), end, 0}, name: name, bad: GP32()}
		p.highest, p.lowest, p.sumW, p.sumX, p.flat = p.spare(0), p.spare(1), p.spare(2), p.spare(3), p.spare(4)
		p.best, p.low, p.scale = p.spare(5), p.field(lanesOffset), p.field(lanesScale)
		p.try, p.move, p.valid, p.inverse = p.spare(6), p.spare(7), p.spare(8), p.spare(9)
		list = append(list, p)
	}
	return list
}

// result returns whether bad is zero.
func result(bad GPVirtual) {
	ok := GP8()
	TESTL(bad, bad)
	SETEQ(ok)
	Store(ok, ReturnIndex(0))
	RET()
}

// roundTo is round, in place.
func (i isa) roundTo(v vec) {
	for p := range v {
		if i.size == 64 {
			VRNDSCALEPS(Imm(8), v[p], v[p])
		} else {
			VROUNDPS(Imm(8), v[p], v[p])
		}
	}
}

// storeMask and loadMask keep truths in memory.
func (i isa) storeMask(m mask, to Mem) {
	for p := range m {
		if i.size == 64 {
			KMOVW(m[p], to)
		} else {
			VMOVUPS(m[p], i.part(to, p))
		}
	}
}

func (i isa) loadMask(from Mem) mask {
	m := make(mask, i.parts)
	for p := range m {
		if i.size == 64 {
			m[p] = K()
			KMOVW(from, m[p])
		} else {
			m[p] = YMM()
			VMOVUPS(i.part(from, p), m[p])
		}
	}
	return m
}

// scale writes the kernel that is searchScale, without the levels. Several tries go over the elements together, since
// none depends on another.
//
// Levels are clamped as integers: to the highest by the order of signed ones, to the lowest, which is negative, by that
// of unsigned ones.
func scale(i isa) {
	i.parts = 1
	function("searchScale"+i.suffix, "func(l *float32, n int, steps float32, numerators *float32, tries int)",
		fmt.Sprintf("is searchScale for %d groups in lanes, with the numerators of the inverse scales, the first of them -steps, and then a multiple of %d.", i.size/4, i.together()))
	r := walk()
	numerators, tries := argument("numerators"), argument("tries")
	stepsAt := NewParamAddr("steps", 16)

	// The element of largest magnitude, and the products of the weights with the elements.
	largest, value := i.copy(i.zero()), i.copy(i.zero())
	{
		abs := i.constant(magnitude)
		r.each("largest", func() {
			x := i.load(r.row(lanesX))
			i.store(i.mul(x, r.row(lanesW)), r.row(lanesT))
			a := i.and(x, abs)
			m := i.compare(greater, a, largest)
			i.choose(value, m, x)
			i.choose(largest, m, a)
		})
	}
	zeros := i.compare(less, largest, i.constant(leastBits))
	i.storeMask(zeros, r.spare(0))
	i.store(value, r.spare(1))
	upper := i.sub(i.broadcast(stepsAt), i.constant(one))
	lower := i.xor(i.broadcast(stepsAt), i.constant(signBit))

	type sums struct{ inverse, lx, l2 vec }
	try := func(label string, n int) []sums {
		list := make([]sums, n)
		for k := range list {
			list[k] = sums{i.div(i.broadcast(Mem{Base: numerators, Disp: 4 * k}), r.spare(1)), i.copy(i.zero()), i.copy(i.zero())}
		}
		r.each(label, func() {
			x, wx, w := i.load(r.row(lanesX)), i.load(r.row(lanesT)), i.load(r.row(lanesW))
			for _, s := range list {
				l := i.mul(x, s.inverse)
				i.roundTo(l)
				i.op2To(l, VPMINUD, l, lower)
				i.op2To(l, VPMINSD, l, upper)
				t := i.mul(wx, l)
				i.accumulate(s.lx, t)
				i.op2To(t, VMULPS, w, l)
				i.op2To(t, VMULPS, t, l)
				i.accumulate(s.l2, t)
			}
		})
		ADDQ(Imm(uint64(4*n)), numerators)
		return list
	}
	{
		s := try("first", 1)[0]
		v := i.copy(i.zero())
		i.choose(v, i.compare(notEqual, s.l2, i.zero()), i.div(s.lx, s.l2))
		i.store(v, r.field(lanesScale))
		i.store(i.mul(v, s.lx), r.spare(2))
		i.store(s.inverse, r.field(lanesInverse))
	}
	DECQ(tries)
	Label("try")
	list := try("sums", i.together())
	best, found := i.load(r.spare(2)), i.load(r.field(lanesScale))
	for _, s := range list {
		better := i.both(i.compare(greater, s.l2, i.zero()), i.compare(greater, i.mul(s.lx, s.lx), i.mul(best, s.l2)))
		d := i.div(s.lx, s.l2)
		i.choose(best, better, i.mul(d, s.lx))
		i.choose(found, better, d)
		v := i.load(r.field(lanesInverse))
		i.choose(v, better, s.inverse)
		i.store(v, r.field(lanesInverse))
	}
	i.store(best, r.spare(2))
	i.store(found, r.field(lanesScale))
	SUBQ(Imm(uint64(i.together())), tries)
	JNZ(LabelRef("try"))
	zeros = i.loadMask(r.spare(0))
	i.choose(found, zeros, i.zero())
	i.store(found, r.field(lanesScale))
	i.loadTo(found, r.field(lanesInverse))
	i.choose(found, zeros, i.zero())
	i.store(found, r.field(lanesInverse))
	VZEROUPPER()
	RET()
}

// together is how many tries have room for their sums.
func (i isa) together() int {
	if i.size == 64 {
		return 6
	}
	return 3
}

const leastBits = 0x26901d7d // 1e-15

// descend writes the kernel that is descend, without the levels, for two places of sixteen groups: as many problems as
// the processor needs to be busy while each waits for its own divisions.
func descend(i isa) {
	parts := i.parts
	i.parts = 1
	function("descend"+i.suffix, "func(a, b *float32, n int)", "is descend for the groups at two places in lanes.")
	places := twoPlaces()
	if parts == 2 {
		for _, p := range places[:2] {
			q := *p
			q.name += "2"
			q.rows = p.rows
			q.shift = i.size
			places = append(places, &q)
		}
	}
	for _, p := range places {
		largest, value := i.copy(i.zero()), i.copy(i.zero())
		abs := i.constant(magnitude)
		p.each(p.name+"largest", func() {
			x := i.load(p.row(lanesX))
			a := i.and(x, abs)
			m := i.compare(greater, a, largest)
			i.choose(value, m, x)
			i.choose(largest, m, a)
		})
		i.storeMask(i.compare(less, largest, i.constant(leastBits)), p.spare(0))
		inv := i.div(i.constant(0xc0800000), value) // -4
		lx, l2 := i.copy(i.zero()), i.copy(i.zero())
		p.each(p.name+"levels", func() {
			x := i.load(p.row(lanesX))
			l := i.mul(x, inv)
			i.nearestTo(l)
			i.store(l, p.row(lanesT))
			w := i.mul(x, x)
			i.accumulate(lx, i.mul(i.mul(w, x), l))
			i.accumulate(l2, i.mul(i.mul(w, l), l))
		})
		i.store(lx, p.spare(1))
		i.store(l2, p.spare(2))
	}
	rounds, changed := GP64(), GP32()
	MOVQ(U32(5), rounds)
	Label("round")
	XORL(changed, changed)
	for _, p := range places[:2] {
		MOVQ(p.base, p.at)
	}
	each("element", places[0].at, places[0].end, rowBytes, func() {
		for _, p := range places {
			lx0, l20 := i.load(p.spare(1)), i.load(p.spare(2))
			x, l := i.load(p.row(lanesX)), i.load(p.row(lanesT))
			w := i.mul(x, x)
			wx := i.mul(w, x)
			lx := i.sub(lx0, i.mul(wx, l))
			l2 := i.sub(l20, i.mul(i.mul(w, l), l))
			to := i.div(i.mul(x, l2), lx)
			i.nearestTo(to)
			m := i.both(i.compare(greater, lx, i.zero()), i.compare(notEqual, to, l))
			i.accumulate(lx, i.mul(wx, to))
			i.accumulate(l2, i.mul(i.mul(w, to), to))
			m = i.both(m, i.compare(greater, l2, i.zero()))
			m = i.both(m, i.compare(greater, i.mul(i.mul(lx, lx), l20), i.mul(i.mul(lx0, lx0), l2)))
			i.choose(l, m, to)
			i.store(l, p.row(lanesT))
			i.choose(lx0, m, lx)
			i.choose(l20, m, l2)
			i.store(lx0, p.spare(1))
			i.store(l20, p.spare(2))
			ORL(i.some(m), changed)
		}
		ADDQ(Imm(rowBytes), places[1].at)
	})
	TESTL(changed, changed)
	JZ(LabelRef("done"))
	DECQ(rounds)
	JNZ(LabelRef("round"))
	Label("done")
	for _, p := range places {
		lx, l2 := i.load(p.spare(1)), i.load(p.spare(2))
		s := i.copy(i.zero())
		i.choose(s, i.compare(greater, l2, i.zero()), i.div(lx, l2))
		i.choose(s, i.loadMask(p.spare(0)), i.zero())
		i.store(s, p.field(lanesScale))
	}
	VZEROUPPER()
	RET()
}

// some is a register that is zero where m of one register holds nowhere.
func (i isa) some(m mask) GPVirtual {
	r := GP32()
	if i.size == 64 {
		KMOVW(m[0], r)
	} else {
		VMOVMSKPS(m[0], r)
	}
	return r
}

// nearestTo is the function nearest, clamped to -4 to 3, in place: with the very bits of the reference, also where the
// value is beyond them.
func (i isa) nearestTo(v vec) {
	i.op2To(v, VADDPS, v, i.constant(magic))
	i.op2To(v, VANDPS, v, i.constant(0x7fffff))
	i.op2To(v, VPSUBD, v, i.constant(0x400000))
	i.op2To(v, VPMAXSD, v, i.constant(0xfffffffc))
	i.op2To(v, VPMINSD, v, i.constant(3))
	for p := range v {
		VCVTDQ2PS(v[p], v[p])
	}
}
