package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is a set of instructions for sixteen lanes.
type isa struct {
	suffix string
	parts  int // registers that sixteen lanes take
	size   int // bytes of a register
}

var (
	avx2   = isa{"AVX2", 2, 32}
	avx512 = isa{"AVX512", 1, 64}
)

// vec is sixteen float32 or 32-bit integers; mask is sixteen truths.
type (
	vec  []VecVirtual
	mask []Op // vectors of all or no bits with AVX2, opmask registers with AVX-512
)

func (i isa) register() VecVirtual {
	if i.size == 64 {
		return ZMM()
	}
	return YMM()
}

func (i isa) vec() vec {
	v := make(vec, i.parts)
	for p := range v {
		v[p] = i.register()
	}
	return v
}

// part is operand a's part p: of a vec, of sixteen values in memory, or of one value that all lanes have.
func (i isa) part(a any, p int) Op {
	switch a := a.(type) {
	case vec:
		return a[p]
	case Mem:
		return a.Offset(p * i.size)
	case uniform:
		return a.VecVirtual
	}
	panic("no operand")
}

// uniform is a register with the same value in all lanes, for every part.
type uniform struct{ VecVirtual }

// broadcast is a value of memory in all lanes.
func (i isa) broadcast(m Mem) uniform {
	r := i.register()
	VBROADCASTSS(m, r)
	return uniform{r}
}

func (i isa) constant(bits uint32) uniform { return i.broadcast(word(bits)) }

func (i isa) zero() uniform {
	r := i.register()
	VXORPS(r, r, r)
	return uniform{r}
}

// load and store move sixteen values.
func (i isa) load(m Mem) vec { v := i.vec(); i.loadTo(v, m); return v }

func (i isa) loadTo(v vec, m Mem) {
	for p := range v {
		VMOVUPS(i.part(m, p), v[p])
	}
}

func (i isa) store(v any, m Mem) {
	for p := range i.parts {
		VMOVUPS(i.part(v, p), i.part(m, p))
	}
}

func (i isa) copy(a any) vec {
	v := i.vec()
	for p := range v {
		VMOVAPS(i.part(a, p), v[p])
	}
	return v
}

// op2 is a two-operand instruction in Go's order: f(b, a, dst) is dst = a ∘ b. b may be in memory.
func (i isa) op2(f func(...Op), a, b any) vec { v := i.vec(); i.op2To(v, f, a, b); return v }

func (i isa) op2To(v vec, f func(...Op), a, b any) {
	for p := range v {
		f(i.part(b, p), i.part(a, p), v[p])
	}
}

func (i isa) add(a, b any) vec { return i.op2(VADDPS, a, b) }
func (i isa) sub(a, b any) vec { return i.op2(VSUBPS, a, b) }
func (i isa) mul(a, b any) vec { return i.op2(VMULPS, a, b) }
func (i isa) div(a, b any) vec { return i.op2(VDIVPS, a, b) }

// min is a where a < b, else b; max is a where a > b, else b.
func (i isa) min(a, b any) vec { return i.op2(VMINPS, a, b) }
func (i isa) max(a, b any) vec { return i.op2(VMAXPS, a, b) }

// accumulate adds b to sum.
func (i isa) accumulate(sum vec, b any) { i.op2To(sum, VADDPS, sum, b) }

func (i isa) and(a, b any) vec { return i.op2(VANDPS, a, b) }
func (i isa) xor(a, b any) vec { return i.op2(VXORPS, a, b) }

func (i isa) sqrt(a any) vec {
	v := i.vec()
	for p := range v {
		VSQRTPS(i.part(a, p), v[p])
	}
	return v
}

// round is the nearest integer, ties to even.
func (i isa) round(a any) vec {
	v := i.vec()
	for p := range v {
		if i.size == 64 {
			VRNDSCALEPS(Imm(8), i.part(a, p), v[p])
		} else {
			VROUNDPS(Imm(8), i.part(a, p), v[p])
		}
	}
	return v
}

// Predicates of a comparison. Those that are ordered are false for what is no number.
const (
	equal        = 0x00
	less         = 0x11
	notEqual     = 0x04 // or unordered
	greater      = 0x1e
	notLessEqual = 0x16 // or unordered
)

// compare is where a ∘ b holds.
func (i isa) compare(predicate uint8, a, b any) mask {
	m := make(mask, i.parts)
	for p := range m {
		if i.size == 64 {
			m[p] = K()
		} else {
			m[p] = YMM()
		}
		VCMPPS(Imm(uint64(predicate)), i.part(b, p), i.part(a, p), m[p])
	}
	return m
}

// both is where a and b hold.
func (i isa) both(a, b mask) mask { return i.logic(a, b, VANDPS, KANDW) }

// either is where a or b holds.
func (i isa) either(a, b mask) mask { return i.logic(a, b, VORPS, KORW) }

// butNot is where a holds and b does not.
func (i isa) butNot(a, b mask) mask { return i.logic(a, b, VANDNPS, KANDNW) }

func (i isa) logic(a, b mask, wide func(...Op), narrow func(x, y, z Op)) mask {
	m := make(mask, i.parts)
	for p := range m {
		if i.size == 64 {
			m[p] = K()
			narrow(a[p], b[p], m[p])
		} else {
			m[p] = YMM()
			wide(a[p], b[p], m[p])
		}
	}
	return m
}

// choose puts b's value into the lanes of a where m holds.
func (i isa) choose(a vec, m mask, b any) {
	for p := range a {
		if i.size == 64 {
			VBLENDMPS(i.part(b, p), a[p], m[p], a[p])
		} else {
			VBLENDVPS(m[p], i.part(b, p), a[p], a[p])
		}
	}
}

// any is a register that is zero where m holds nowhere.
func (i isa) any(m mask) GPVirtual {
	r := GP32()
	if i.size == 64 {
		KMOVW(m[0], r)
		return r
	}
	VORPS(m[0], m[1], m[0])
	VMOVMSKPS(m[0], r)
	return r
}

// The fields of type lanes in package ggml.
const (
	lanesX       = 0    // rows of x
	lanesW       = 2048 // rows of weights
	lanesT       = 4096 // rows of what a kernel keeps
	lanesScale   = 6144 // results
	lanesOffset  = 6144 + 64
	lanesWeight  = 6144 + 2*64
	lanesSigma   = 6144 + 3*64
	lanesInverse = 6144 + 4*64 // of the levels that were found: x + from, times inverse
	lanesFrom    = 6144 + 5*64
	lanesSpare   = 6144 + 6*64 // what kernels have no register for
	rowBytes     = 64
)

// rows is a walk over the rows of lanes.
type rows struct {
	base, at, end Register
	shift         int // of everything
}

// walk prepares rows of n elements.
func walk() *rows {
	l, n := argument("l"), argument("n")
	SHLQ(Imm(6), n)
	end := GP64()
	LEAQ(Mem{Base: l, Index: n, Scale: 1}, end)
	return &rows{l, GP64(), end, 0}
}

// each runs body for each row.
func (r *rows) each(label string, body func()) {
	MOVQ(r.base, r.at)
	each(label, r.at, r.end, rowBytes, body)
}

// after runs body for each row but the first.
func (r *rows) after(label string, body func()) {
	LEAQ(Mem{Base: r.base, Disp: rowBytes}, r.at)
	each(label, r.at, r.end, rowBytes, body)
}

// row is the current row of a field, field the lanes themselves or a field of one row.
func (r *rows) row(field int) Mem   { return Mem{Base: r.at, Disp: field + r.shift} }
func (r *rows) field(field int) Mem { return Mem{Base: r.base, Disp: field + r.shift} }

// spare is the n-th place for sixteen values.
func (r *rows) spare(n int) Mem { return r.field(lanesSpare + n*rowBytes) }
