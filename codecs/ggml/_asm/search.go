package main

import (
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
		i.store(i.add(mean, i.and(abs, r.row(lanesX))), r.row(lanesW))
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

// affine writes the kernel that is searchAffine for sixteen groups.
//
// The nearest level is found by rounding, which is what the reference computes as long as what is rounded stays below
// 4194304 in magnitude: it lies between what the least and the greatest element give. Where that is not so, in the lanes
// of a group with a range, the result is false, and nothing is found.
func affine(i isa, linear bool) {
	name := "searchAffine"
	if linear {
		name = "searchLinear"
	}
	function(name+i.suffix, "func(l *float32, n int, steps float32, numerators *float32, tries int) bool",
		"is searchAffine for the groups in lanes, with the numerators of the grid's inverse scales.")
	r := walk()
	numerators, tries := argument("numerators"), argument("tries")
	highest, low0, sumW, sumX, best, scale, low, flat := r.spare(0), r.spare(1), r.spare(2), r.spare(3), r.spare(4), r.field(lanesScale), r.field(lanesOffset), r.spare(5)
	stepsAt := NewParamAddr("steps", 16)
	numerators0 := Mem{Base: numerators}

	// The range, and the sums of the weights and of the weighted elements. low is kept with its sign turned: then x - low
	// is a sum.
	{
		x, w := i.load(r.field(lanesX)), i.load(r.field(lanesW))
		lo, hi, sw, sx := i.copy(x), i.copy(x), i.copy(w), i.mul(w, x)
		r.after("range", func() {
			x, w := i.load(r.row(lanesX)), i.load(r.row(lanesW))
			i.op2To(lo, VMINPS, x, lo)
			i.op2To(hi, VMAXPS, x, hi)
			i.accumulate(sw, w)
			i.accumulate(sx, i.mul(w, x))
		})
		zero := i.zero()
		i.op2To(lo, VMINPS, zero, lo)
		sign := i.constant(signBit)
		i.store(lo, low0)
		i.store(hi, highest)
		i.store(sw, sumW)
		i.store(sx, sumX)
		i.storeMask(i.compare(equal, lo, hi), flat)
		i.store(i.xor(sign, lo), low)
	}
	bad := GP32()
	XORL(bad, bad)

	// inverse is a numerator over the range; what it makes of the range's ends tells whether rounding will do.
	inverse := func(numerator any) vec {
		nlo := i.load(low)
		span := i.add(nlo, highest)
		inv := i.div(numerator, span)
		abs, limit := i.constant(magnitude), i.constant(0x4a7ffffc) // 4194303
		upper := i.and(abs, i.mul(inv, span))
		lower := i.and(abs, i.mul(inv, i.add(nlo, low0)))
		out := i.either(i.compare(notLessEqual, upper, limit), i.compare(notLessEqual, lower, limit))
		ORL(i.any(i.butNot(out, i.loadMask(flat))), bad)
		return inv
	}
	// level is the nearest level of the current row's elements.
	level := func(inv, nlo vec, zero uniform) vec {
		l := i.vec()
		for p := range l {
			VADDPS(i.part(r.row(lanesX), p), nlo[p], l[p])
			VMULPS(inv[p], l[p], l[p])
			i.roundPart(l[p])
			VMAXPS(zero.VecVirtual, l[p], l[p])
		}
		return l
	}
	// miss is the error of the levels in t with a scale and a low.
	miss := func(label string, s, m vec) vec {
		e := i.copy(i.zero())
		var abs uniform
		if linear {
			abs = i.constant(magnitude)
		}
		r.each(label, func() {
			for p := range e {
				d := i.register()
				VMULPS(i.part(r.row(lanesT), p), s[p], d)
				VADDPS(m[p], d, d)
				VSUBPS(i.part(r.row(lanesX), p), d, d)
				switch {
				case !linear:
					VMULPS(d, d, d)
				case i.size == 64:
					VPANDD(abs.VecVirtual, d, d)
				default:
					VANDPS(abs.VecVirtual, d, d)
				}
				VMULPS(i.part(r.row(lanesW), p), d, d)
				VADDPS(d, e[p], e[p])
			}
		})
		return e
	}

	// The scale that spans the range.
	{
		steps := i.broadcast(stepsAt)
		inv := inverse(steps)
		nlo := i.load(low)
		zero := i.zero()
		r.each("levels", func() {
			l := level(inv, nlo, zero)
			i.store(i.min(l, steps), r.row(lanesT))
		})
		s := i.div(i.constant(one), inv)
		i.store(s, scale)
		e := miss("first", s, i.load(low0))
		i.store(e, best)
	}

	Label("try")
	{
		inv := inverse(i.broadcast(numerators0))
		nlo := i.load(low)
		sumL, sumL2, sumLX := i.copy(i.zero()), i.copy(i.zero()), i.copy(i.zero())
		zero, steps := i.zero(), i.broadcast(stepsAt)
		r.each("sums", func() {
			l := level(inv, nlo, zero)
			for p := range l {
				VMINPS(steps.VecVirtual, l[p], l[p])
				VMOVUPS(l[p], i.part(r.row(lanesT), p))
				wl := i.register()
				VMULPS(i.part(r.row(lanesW), p), l[p], wl)
				VADDPS(wl, sumL[p], sumL[p])
				VMULPS(l[p], wl, l[p])
				VADDPS(l[p], sumL2[p], sumL2[p])
				VMULPS(i.part(r.row(lanesX), p), wl, wl)
				VADDPS(wl, sumLX[p], sumLX[p])
			}
		})
		det := i.sub(i.mul(sumL2, sumW), i.mul(sumL, sumL))
		s := i.div(i.sub(i.mul(sumLX, sumW), i.mul(sumL, sumX)), det)
		m := i.div(i.sub(i.mul(sumL2, sumX), i.mul(sumL, sumLX)), det)
		above := i.compare(greater, m, i.zero())
		i.choose(s, above, i.div(sumLX, sumL2))
		i.choose(m, above, i.zero())
		valid := i.compare(greater, det, i.zero())
		e := miss("error", s, m)
		least := i.load(best)
		better := i.both(valid, i.compare(less, e, least))
		i.choose(least, better, e)
		i.store(least, best)
		v := i.load(scale)
		i.choose(v, better, s)
		i.store(v, scale)
		i.loadTo(v, low)
		i.choose(v, better, i.xor(i.constant(signBit), m))
		i.store(v, low)
	}
	ADDQ(Imm(4), numerators)
	DECQ(tries)
	JNZ(LabelRef("try"))

	// Groups without a range.
	{
		f := i.loadMask(flat)
		v := i.load(scale)
		i.choose(v, f, i.zero())
		i.store(v, scale)
		i.loadTo(v, low)
		i.choose(v, f, i.xor(i.constant(signBit), i.load(low0)))
		i.store(v, low)
	}
	VZEROUPPER()
	result(bad)
}

// result returns whether bad is zero.
func result(bad GPVirtual) {
	ok := GP8()
	TESTL(bad, bad)
	SETEQ(ok)
	Store(ok, ReturnIndex(0))
	RET()
}

// roundPart is round of one register, in place.
func (i isa) roundPart(v VecVirtual) {
	if i.size == 64 {
		VRNDSCALEPS(Imm(8), v, v)
	} else {
		VROUNDPS(Imm(8), v, v)
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

// scale writes the kernel that is searchScale for sixteen groups, without the levels.
func scale(i isa) {
	function("searchScale"+i.suffix, "func(l *float32, n int, steps float32, numerators *float32, tries int)",
		"is searchScale for the groups in lanes, with the numerators of the inverse scales, the first of them -steps.")
	r := walk()
	numerators, tries := argument("numerators"), argument("tries")
	stepsAt := NewParamAddr("steps", 16)
	value, best, found := r.spare(0), r.spare(1), r.field(lanesScale)

	// The element of largest magnitude, and the products of the weights with the elements.
	zeros := i.vec()
	{
		largest, v := i.copy(i.zero()), i.copy(i.zero())
		abs := i.constant(magnitude)
		r.each("largest", func() {
			x := i.load(r.row(lanesX))
			i.store(i.mul(x, r.row(lanesW)), r.row(lanesT))
			a := i.and(abs, x)
			m := i.compare(greater, a, largest)
			i.choose(v, m, x)
			i.choose(largest, m, a)
		})
		i.store(v, value)
		i.op2To(zeros, VMINPS, largest, largest)
	}
	i.store(zeros, r.spare(2))

	try := func(label string) (sumLX, sumL2 vec) {
		v := i.load(value)
		inv := i.div(i.broadcast(Mem{Base: numerators}), v)
		upper := i.sub(i.broadcast(stepsAt), i.constant(one))
		lower := i.xor(i.constant(signBit), i.broadcast(stepsAt))
		hi, lo := uniform{upper[0]}, uniform{lower[0]}
		sumLX, sumL2 = i.copy(i.zero()), i.copy(i.zero())
		r.each(label, func() {
			for p := range sumLX {
				l, t := i.register(), i.register()
				VMULPS(i.part(r.row(lanesX), p), inv[p], l)
				i.roundPart(l)
				VMAXPS(lo.VecVirtual, l, l)
				VMINPS(hi.VecVirtual, l, l)
				VMULPS(i.part(r.row(lanesT), p), l, t)
				VADDPS(t, sumLX[p], sumLX[p])
				VMULPS(i.part(r.row(lanesW), p), l, t)
				VMULPS(l, t, t)
				VADDPS(t, sumL2[p], sumL2[p])
			}
		})
		ADDQ(Imm(4), numerators)
		return sumLX, sumL2
	}
	{
		sumLX, sumL2 := try("first")
		s := i.copy(i.zero())
		i.choose(s, i.compare(notEqual, sumL2, i.zero()), i.div(sumLX, sumL2))
		i.store(s, found)
		i.store(i.mul(s, sumLX), best)
	}
	DECQ(tries)
	Label("try")
	{
		sumLX, sumL2 := try("sums")
		least := i.load(best)
		better := i.both(i.compare(greater, sumL2, i.zero()), i.compare(greater, i.mul(sumLX, sumLX), i.mul(least, sumL2)))
		s := i.div(sumLX, sumL2)
		i.choose(least, better, i.mul(s, sumLX))
		i.store(least, best)
		v := i.load(found)
		i.choose(v, better, s)
		i.store(v, found)
	}
	DECQ(tries)
	JNZ(LabelRef("try"))
	v := i.load(found)
	i.choose(v, i.compare(less, i.load(r.spare(2)), i.constant(leastBits)), i.zero())
	i.store(v, found)
	VZEROUPPER()
	RET()
}

const leastBits = 0x26901d7d // 1e-15

// descend writes the kernel that is descend for sixteen groups, without the levels.
func descend(i isa) {
	function("descend"+i.suffix, "func(l *float32, n int)", "is descend for the groups in lanes.")
	r := walk()
	value, largest0 := r.spare(0), r.spare(1)
	{
		largest, v := i.copy(i.zero()), i.copy(i.zero())
		abs := i.constant(magnitude)
		r.each("largest", func() {
			x := i.load(r.row(lanesX))
			a := i.and(abs, x)
			m := i.compare(greater, a, largest)
			i.choose(v, m, x)
			i.choose(largest, m, a)
		})
		i.store(v, value)
		i.store(largest, largest0)
	}
	sumLX, sumL2 := i.copy(i.zero()), i.copy(i.zero())
	{
		inv := i.div(i.constant(0xc0800000), value) // -4
		r.each("levels", func() {
			for p := range inv {
				x, w, l := i.register(), i.register(), i.register()
				VMOVUPS(i.part(r.row(lanesX), p), x)
				VMULPS(x, inv[p], l)
				i.nearestPart(l)
				VMOVUPS(l, i.part(r.row(lanesT), p))
				VMULPS(x, x, w)
				VMULPS(x, w, x) // the weight times the element
				VMULPS(l, x, x)
				VADDPS(x, sumLX[p], sumLX[p])
				VMULPS(l, w, w)
				VMULPS(l, w, w)
				VADDPS(w, sumL2[p], sumL2[p])
			}
		})
	}
	rounds := GP64()
	MOVQ(U32(5), rounds)
	changed := GP32()
	Label("round")
	XORL(changed, changed)
	r.each("element", func() {
		for p := range sumLX {
			one := isa{i.suffix, 1, i.size} // one register at a time
			lx0, l20 := vec{sumLX[p]}, vec{sumL2[p]}
			x := one.load(i.part(r.row(lanesX), p).(Mem))
			l := one.load(i.part(r.row(lanesT), p).(Mem))
			w := one.mul(x, x)
			wx := one.mul(w, x)
			lx := one.sub(lx0, one.mul(wx, l))
			l2 := one.sub(l20, one.mul(one.mul(w, l), l))
			to := one.div(one.mul(x, l2), lx)
			i.nearestPart(to[0])
			m := one.both(one.compare(greater, lx, one.zero()), one.compare(notEqual, to, l))
			one.accumulate(lx, one.mul(wx, to))
			one.accumulate(l2, one.mul(one.mul(w, to), to))
			m = one.both(m, one.compare(greater, l2, one.zero()))
			m = one.both(m, one.compare(greater, one.mul(one.mul(lx, lx), l20), one.mul(one.mul(lx0, lx0), l2)))
			one.choose(l, m, to)
			one.store(l, i.part(r.row(lanesT), p).(Mem))
			one.choose(lx0, m, lx)
			one.choose(l20, m, l2)
			ORL(one.some(m), changed)
		}
	})
	TESTL(changed, changed)
	JZ(LabelRef("done"))
	DECQ(rounds)
	JNZ(LabelRef("round"))
	Label("done")
	s := i.copy(i.zero())
	i.choose(s, i.compare(greater, sumL2, i.zero()), i.div(sumLX, sumL2))
	i.choose(s, i.compare(less, i.load(largest0), i.constant(leastBits)), i.zero())
	i.store(s, r.field(lanesScale))
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

// nearestPart is the function nearest, clamped to -4 to 3, in place: with the very bits of the reference, also where
// the value is beyond them.
func (i isa) nearestPart(v VecVirtual) {
	VADDPS(i.constant(magic).VecVirtual, v, v)
	if i.size == 64 {
		VPANDD(i.constant(0x7fffff).VecVirtual, v, v)
	} else {
		VPAND(i.constant(0x7fffff).VecVirtual, v, v)
	}
	VPSUBD(i.constant(0x400000).VecVirtual, v, v)
	VPMAXSD(i.constant(0xfffffffc).VecVirtual, v, v)
	VPMINSD(i.constant(3).VecVirtual, v, v)
	VCVTDQ2PS(v, v)
}

var _ Op
