package ggml

import (
	"math"
	"math/rand/v2"
)

// spread is a kind of values that weights have, or that a quantizer could stumble over.
type spread struct {
	name string
	fill func(r *rand.Rand, x []float32)
}

// each is a spread whose values do not know each other.
func each(name string, value func(r *rand.Rand) float32) spread {
	return spread{name, func(r *rand.Rand, x []float32) {
		for i := range x {
			x[i] = value(r)
		}
	}}
}

// grouped is a spread that changes its parameters every n values.
func grouped(name string, n int, draw func(r *rand.Rand) func() float32) spread {
	return spread{name, func(r *rand.Rand, x []float32) {
		var value func() float32
		for i := range x {
			if i%n == 0 {
				value = draw(r)
			}
			x[i] = value()
		}
	}}
}

func normal(r *rand.Rand) float32 { return float32(r.NormFloat64()) }

// anyFinite is any finite float32, each exponent as likely as another.
func anyFinite(r *rand.Rand) float32 {
	for {
		if v := math.Float32frombits(r.Uint32()); v-v == 0 {
			return v
		}
	}
}

var spreads = []spread{
	each("normal", func(r *rand.Rand) float32 { return normal(r) * 0.02 }),
	each("heavy tails", func(r *rand.Rand) float32 {
		return float32(r.NormFloat64() / math.Sqrt(0.001+r.Float64()))
	}),
	each("half precision", func(r *rand.Rand) float32 { return single(half(normal(r) * 0.05)) }),
	each("zeros", func(r *rand.Rand) float32 { return 0 }),
	each("negative zeros", func(r *rand.Rand) float32 { return float32(math.Copysign(0, float64(r.IntN(2))-0.5)) }),
	each("few values", func(r *rand.Rand) float32 { return float32(r.IntN(7) - 3) }),
	each("ties", func(r *rand.Rand) float32 { return float32(r.IntN(511)-255) / 2 }),
	each("signs", func(r *rand.Rand) float32 { return float32(r.IntN(2)*2-1) * 0.7 }),
	each("positive", func(r *rand.Rand) float32 { return abs(normal(r)) + 1 }),
	each("negative", func(r *rand.Rand) float32 { return -abs(normal(r)) - 1 }),
	each("sparse", func(r *rand.Rand) float32 {
		if r.IntN(20) > 0 {
			return 0
		}
		return normal(r)
	}),
	each("denormals", func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() & 0x803fffff) }),
	each("tiny", func(r *rand.Rand) float32 { return normal(r) * 1e-15 }),
	each("tinier", func(r *rand.Rand) float32 { return normal(r) * 1e-37 }),
	each("large", func(r *rand.Rand) float32 { return normal(r) * 2e4 }),
	each("huge", func(r *rand.Rand) float32 { return normal(r) * 1e18 }),
	each("huger", func(r *rand.Rand) float32 { return float32(max(-3e38, min(3e38, r.NormFloat64()*1e38))) }),
	each("any", anyFinite),
	each("below powers of two", func(r *rand.Rand) float32 {
		return math.Float32frombits(uint32(100+r.IntN(50))<<23 - uint32(r.IntN(9)))
	}),
	grouped("equal values", 256, func(r *rand.Rand) func() float32 {
		v := normal(r)
		return func() float32 { return v }
	}),
	grouped("equal groups", 16, func(r *rand.Rand) func() float32 {
		v := normal(r)
		return func() float32 { return v }
	}),
	grouped("scales", 16, func(r *rand.Rand) func() float32 {
		s := math.Exp2(float64(r.IntN(40) - 30))
		return func() float32 { return float32(r.NormFloat64() * s) }
	}),
	grouped("wild scales", 32, func(r *rand.Rand) func() float32 {
		s := math.Exp2(float64(r.IntN(200) - 130))
		return func() float32 { return float32(r.NormFloat64() * s) }
	}),
	grouped("far from zero", 32, func(r *rand.Rand) func() float32 {
		at, s := r.NormFloat64()*1000, math.Exp2(float64(-r.IntN(30)))
		return func() float32 { return float32(at + s*r.NormFloat64()) }
	}),
	grouped("one of its group", 32, func(r *rand.Rand) func() float32 {
		at, i := r.IntN(32), -1
		v := normal(r)
		return func() float32 {
			if i++; i == at {
				return v
			}
			return 0
		}
	}),
	grouped("outliers", 256, func(r *rand.Rand) func() float32 {
		return func() float32 {
			if r.IntN(64) == 0 {
				return normal(r) * 1e4
			}
			return normal(r) * 1e-3
		}
	}),
	grouped("ternary", 256, func(r *rand.Rand) func() float32 {
		s := abs(normal(r))
		return func() float32 { return float32(r.IntN(3)-1) * s }
	}),
}

// importances are kinds of what an imatrix holds.
var importances = []spread{
	each("ones", func(r *rand.Rand) float32 { return 1 }),
	each("squares", func(r *rand.Rand) float32 { v := normal(r); return v * v }),
	each("wild", func(r *rand.Rand) float32 { return float32(math.Exp(8 * r.NormFloat64())) }),
	each("many zeros", func(r *rand.Rand) float32 { return float32(r.IntN(2)) * r.Float32() }),
	each("zeros", func(r *rand.Rand) float32 { return 0 }),
	each("tiny", func(r *rand.Rand) float32 { return r.Float32() * 1e-30 }),
	each("huge", func(r *rand.Rand) float32 { return r.Float32() * 1e30 }),
}
