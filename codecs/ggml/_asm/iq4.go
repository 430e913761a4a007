package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The levels of IQ4_NL, and what lies halfway between neighbours: from there on the upper one is nearest.
var (
	levelsIQ4 = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	halfway   = func() (h [16]float32) {
		for k := range 15 {
			h[k] = (levelsIQ4[k] + levelsIQ4[k+1]) / 2 // exact
		}
		return h
	}()
)

// floats is memory of so many float32.
func floats(name string, v []float32) Mem {
	return data(name, func() {
		for k, f := range v {
			DATA(4*k, U32(math.Float32bits(f)))
		}
	})
}

// lookup finds the nearest level by halves, without a branch.
type lookup struct {
	i     isa
	small []VecVirtual // tables in registers
}

func (i isa) lookup() lookup {
	l := lookup{i: i}
	if i.size == 64 {
		for n, from := range []func(k int) float32{
			func(k int) float32 { return halfway[(k|3)&^4] },
			func(k int) float32 { return halfway[(k|1)&^2] },
			func(k int) float32 { return halfway[k&^1] },
			func(k int) float32 { return levelsIQ4[k] },
		} {
			var t [16]float32
			for k := range t {
				t[k] = from(k)
			}
			r := ZMM()
			VMOVUPS(floats("iq4wide"+string(rune('0'+n)), t[:]), r)
			l.small = append(l.small, r)
		}
		return l
	}
	third := YMM() // the control counts down from 0: bits 0 and 1 of -(2a+b)
	var t [8]float32
	for k := range t {
		t[k] = halfway[4*(-k&3)+1]
	}
	VMOVUPS(floats("iq4third", t[:]), third)
	return lookup{i, []VecVirtual{third}}
}

// find gives the index of the level nearest to v, as an integer with its sign turned for AVX2, and the level.
func (l lookup) find(v VecVirtual) (index, level VecVirtual) {
	if l.i.size == 64 {
		index = ZMM()
		VXORPS(index, index, index)
		t := ZMM()
		VBROADCASTSS(word(math.Float32bits(halfway[7])), t)
		for n := 3; ; n-- {
			m := K()
			VCMPPS(Imm(greaterEqual), t, v, m)
			VPORD(l.i.constant(1<<n).VecVirtual, index, m, index)
			if n == 0 {
				break
			}
			t = ZMM()
			VPERMPS(l.small[3-n], index, t)
		}
		level = ZMM()
		VPERMPS(l.small[3], index, level)
		return index, level
	}
	upper, t := YMM(), YMM()
	VCMPPS(Imm(lessEqual), v, l.i.constant(math.Float32bits(halfway[7])).VecVirtual, upper)
	VBLENDVPS(upper, l.i.constant(math.Float32bits(halfway[11])).VecVirtual, l.i.constant(math.Float32bits(halfway[3])).VecVirtual, t)
	index = YMM()
	next := func() {
		VCMPPS(Imm(greaterEqual), t, v, t)
		VPADDD(index, index, index)
		VPADDD(t, index, index)
	}
	VPADDD(upper, upper, index)
	VCMPPS(Imm(greaterEqual), t, v, t)
	VPADDD(t, index, index)
	VPERMILPS(index, l.small[0], t)
	next()
	var fourth, low, high [8]float32
	for k := range fourth { // bits 0 to 2 of a number that counts down from 0
		fourth[k] = halfway[2*(-k&7)]
		low[k], high[k] = levelsIQ4[-k&7], levelsIQ4[8+-k&7]
	}
	VPERMPS(floats("iq4fourth", fourth[:]), index, t)
	next()
	level = YMM()
	VPERMPS(floats("iq4low", low[:]), index, level)
	VPERMPS(floats("iq4high", high[:]), index, t)
	VBLENDVPS(upper, t, level, level)
	return index, level
}

const (
	greaterEqual = 0x1d // ordered
	lessEqual    = 0x12 // ordered
)

// iq4 writes the kernel that is searchIQ4 for the groups in lanes.
func iq4(i isa) {
	i.parts = 1
	function("searchIQ4"+i.suffix, "func(l *float32, n int, numerators *float32, tries int)",
		"is searchIQ4 for as many groups in lanes as a register has, with the numerators of the inverse scales after the first.")
	r := walk()
	numerators, tries := argument("numerators"), argument("tries")
	find := i.lookup()

	largest, value := i.copy(i.zero()), i.copy(i.zero())
	{
		abs := i.constant(magnitude)
		r.each("largest", func() {
			x := i.load(r.row(lanesX))
			a := i.and(x, abs)
			m := i.compare(greater, a, largest)
			i.choose(value, m, x)
			i.choose(largest, m, a)
		})
	}
	i.storeMask(i.compare(less, largest, i.constant(leastBits)), r.spare(0))
	i.store(value, r.spare(1))

	fit := func(label string, inverse vec) (sumQX, sumQ2 vec) {
		sumQX, sumQ2 = i.copy(i.zero()), i.copy(i.zero())
		r.each(label, func() {
			x := i.load(r.row(lanesX))
			_, q := find.find(i.mul(x, inverse)[0])
			wq := i.mul(vec{q}, r.row(lanesW))
			i.accumulate(sumQX, i.mul(wq, x))
			i.accumulate(sumQ2, i.mul(wq, vec{q}))
		})
		return sumQX, sumQ2
	}
	{
		d := i.div(i.load(r.spare(1)), i.constant(0x42fe0000)) // 127
		sumQX, sumQ2 := fit("first", i.div(i.constant(one), d))
		s := i.copy(i.zero())
		i.choose(s, i.compare(greater, sumQ2, i.zero()), i.div(sumQX, sumQ2))
		i.store(s, r.field(lanesScale))
		i.store(i.mul(s, sumQX), r.spare(2))
	}
	Label("try")
	{
		sumQX, sumQ2 := fit("sums", i.div(i.broadcast(Mem{Base: numerators}), r.spare(1)))
		best, found := i.load(r.spare(2)), i.load(r.field(lanesScale))
		better := i.both(i.compare(greater, sumQ2, i.zero()), i.compare(greater, i.mul(sumQX, sumQX), i.mul(best, sumQ2)))
		d := i.div(sumQX, sumQ2)
		i.choose(best, better, i.mul(d, sumQX))
		i.choose(found, better, d)
		i.store(best, r.spare(2))
		i.store(found, r.field(lanesScale))
	}
	ADDQ(Imm(4), numerators)
	DECQ(tries)
	JNZ(LabelRef("try"))
	found := i.load(r.field(lanesScale))
	i.choose(found, i.loadMask(r.spare(0)), i.zero())
	i.store(found, r.field(lanesScale))
	VZEROUPPER()
	RET()
}

// nearestLevels writes the kernel that stores the indices of the nearest levels.
func nearestLevels() {
	function("packIQ4AVX2", "func(dst *byte, x *float32, inverse float32)",
		"stores the levels nearest to 32 elements times inverse, in 4 bits each.")
	dst, x := argument("dst"), argument("x")
	inverse, order, low := YMM(), inOrder(), all32(0x0f0f0f0f)
	VBROADCASTSS(NewParamAddr("inverse", 16), inverse)
	find := avx2.lookup()
	var q [4]VecVirtual
	for k := range q {
		v := YMM()
		VMULPS(Mem{Base: x, Disp: 32 * k}, inverse, v)
		index, _ := find.find(v)
		q[k] = YMM()
		VPXOR(q[k], q[k], q[k])
		VPSUBD(index, q[k], q[k])
	}
	putLevels(pack(q, false, order), low, dst, 0, 4)
	VZEROUPPER()
	RET()
}

var _ Register
