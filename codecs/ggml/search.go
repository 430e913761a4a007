package ggml

// least is the magnitude below which a group of elements counts as zeros.
const least = 1e-15

// numeratorsOf are those of the inverse scales that searchScale tries, the denominator of which is the element of largest
// magnitude.
func numeratorsOf(steps int32) []float32 {
	list := []float32{float32(-steps)}
	for step := -9; step <= 9; step++ {
		if step != 0 {
			list = append(list, -(float32(steps) + float32(0.1*float32(step))))
		}
	}
	return list
}

// searchScale finds a scale d for levels -steps to steps-1 such that d·level is near x, by least squares of weight w.
// It tries the scale that puts the element of largest magnitude at -steps, and eighteen near it. Levels are stored with
// steps added, so that none is negative; those of zeros are stored as 0.
func searchScale(q []uint8, steps int32, x, w []float32) float32 {
	value, magnitude := largest(x)
	if magnitude < least {
		clear(q)
		return 0
	}
	inverse := float32(-steps) / value
	fit := func() (sumLX, sumL2 float32) {
		for i, v := range x {
			l := float32(clamp(nearest(float32(inverse*v)), -steps, steps-1))
			sumLX += float32(float32(w[i]*v) * l)
			sumL2 += float32(float32(w[i]*l) * l)
		}
		return sumLX, sumL2
	}
	level := func() {
		for i, v := range x {
			q[i] = uint8(steps + clamp(nearest(float32(inverse*v)), -steps, steps-1))
		}
	}
	level()
	sumLX, sumL2 := fit()
	var scale float32
	if sumL2 != 0 {
		scale = sumLX / sumL2
	}
	best := float32(scale * sumLX)
	for _, numerator := range numeratorsOf(steps)[1:] {
		inverse = numerator / value
		sumLX, sumL2 = fit()
		if sumL2 > 0 && float32(sumLX*sumLX) > float32(best*sumL2) {
			level()
			scale = sumLX / sumL2
			best = float32(scale * sumLX)
		}
	}
	return scale
}

// descend finds a scale d for levels -4 to 3 such that d·level is near x, by least squares weighted by the squares of x,
// changing one level at a time. Levels are stored with 4 added; those of zeros are stored as 0.
func descend(q []uint8, x []float32) float32 {
	const steps = 4
	value, magnitude := largest(x)
	if magnitude < least {
		clear(q)
		return 0
	}
	inverse := -steps / value
	var level [16]int32
	var sumLX, sumL2 float32
	for i, v := range x {
		level[i] = clamp(nearest(float32(inverse*v)), -steps, steps-1)
		l, w := float32(level[i]), float32(v*v)
		sumLX += float32(float32(w*v) * l)
		sumL2 += float32(float32(w*l) * l)
	}
	for range 5 {
		changed := false
		for i, v := range x {
			l, w := float32(level[i]), float32(v*v)
			lx := sumLX - float32(float32(w*v)*l)
			if !(lx > 0) {
				continue
			}
			l2 := sumL2 - float32(float32(w*l)*l)
			to := clamp(nearest(float32(v*l2)/lx), -steps, steps-1)
			if to == level[i] {
				continue
			}
			l = float32(to)
			lx += float32(float32(w*v) * l)
			l2 += float32(float32(w*l) * l)
			if l2 > 0 && float32(float32(lx*lx)*sumL2) > float32(float32(sumLX*sumLX)*l2) {
				level[i], sumLX, sumL2, changed = to, lx, l2, true
			}
		}
		if !changed {
			break
		}
	}
	for i := range x {
		q[i] = uint8(level[i] + steps)
	}
	if sumL2 > 0 {
		return sumLX / sumL2
	}
	return 0
}

// grid is the scales that searchAffine tries: with n levels above zero, the range of x over n + first + step·0 ... tries.
type grid struct {
	first, step float32
	tries       int  // beyond the first
	linear      bool // the error is the sum of magnitudes, and not of squares
}

// numerators are those of the inverse scales, the denominator of which is the range.
func (g grid) numerators(steps int32) []float32 {
	list := make([]float32, g.tries+1)
	for try := range list {
		list[try] = g.first + float32(g.step*float32(try)) + float32(steps)
	}
	return list
}

// weightedGrid is that of every type where there are importances.
var weightedGrid = grid{first: -0.9, step: 0.05, tries: 36}

// searchAffine finds a scale d and an offset m, not negative, for levels 0 to steps such that d·level - m is near x: of
// the scales of the grid, each with the offset of least squares of weight w, the one with the least error. Levels are
// those of the search; of a range of width 0 they are 0.
func searchAffine(q []uint8, steps int32, x, w []float32, g grid) (scale, offset float32) {
	lo, hi := x[0], x[0]
	sumW := w[0]
	sumX := float32(sumW * x[0])
	for i := 1; i < len(x); i++ {
		if x[i] < lo {
			lo = x[i]
		}
		if x[i] > hi {
			hi = x[i]
		}
		sumW += w[i]
		sumX += float32(w[i] * x[i])
	}
	if lo > 0 {
		lo = 0
	}
	if lo == hi {
		clear(q)
		return 0, -lo
	}
	var trial [32]uint8
	miss := func(levels []uint8, scale, lo float32) (sum float32) {
		for i, v := range x {
			d := float32(scale*float32(levels[i])) + lo - v
			if g.linear {
				d = abs(d)
			} else {
				d = float32(d * d)
			}
			sum += float32(w[i] * d)
		}
		return sum
	}
	inverse := float32(steps) / (hi - lo)
	scale = 1 / inverse
	for i, v := range x {
		q[i] = uint8(clamp(nearest(float32(inverse*(v-lo))), 0, steps))
	}
	best := miss(q, scale, lo)
	for _, numerator := range g.numerators(steps) {
		inverse = numerator / (hi - lo)
		var sumL, sumL2, sumLX float32
		for i, v := range x {
			l := clamp(nearest(float32(inverse*(v-lo))), 0, steps)
			trial[i] = uint8(l)
			wl := float32(w[i] * float32(l))
			sumL += wl
			sumL2 += float32(wl * float32(l))
			sumLX += float32(wl * v)
		}
		det := float32(sumW*sumL2) - float32(sumL*sumL)
		if !(det > 0) {
			continue
		}
		s := (float32(sumW*sumLX) - float32(sumX*sumL)) / det
		m := (float32(sumL2*sumX) - float32(sumL*sumLX)) / det
		if m > 0 {
			m, s = 0, sumLX/sumL2
		}
		if e := miss(trial[:len(x)], s, m); e < best {
			copy(q, trial[:])
			best, scale, lo = e, s, m
		}
	}
	return scale, -lo
}

// fitPositive finds a scale d for levels 0 to steps such that d·level is near x, of which none counts that is negative,
// by least squares of weight w.
func fitPositive(q []uint8, steps int32, x, w []float32) float32 {
	var hi float32
	for _, v := range x {
		if v > hi {
			hi = v
		}
	}
	if hi < least {
		clear(q)
		return 0
	}
	miss := func(inverse float32, level func(v float32) int32) (sum float32) {
		scale := 1 / inverse
		for i, v := range x {
			d := v - float32(scale*float32(level(float32(inverse*v))))
			sum += float32(float32(w[i]*d) * d)
		}
		return sum
	}
	inverse := float32(steps) / hi
	best := miss(inverse, func(v float32) int32 { return int32(uint8(nearest(v))) })
	for try := -4; try <= 4; try++ {
		if try == 0 {
			continue
		}
		near := (float32(0.1*float32(try)) + float32(steps)) / hi
		if e := miss(near, func(v float32) int32 { return min(steps, nearest(v)) }); e < best {
			best, inverse = e, near
		}
	}
	var sumLX, sumL2 float32
	for i, v := range x {
		l := min(steps, nearest(float32(inverse*v)))
		q[i] = uint8(l)
		sumLX += float32(float32(w[i]*v) * float32(l))
		sumL2 += float32(float32(w[i]*float32(l)) * float32(l))
	}
	for range 5 {
		changed := false
		for i, v := range x {
			l := float32(q[i])
			lx := sumLX - float32(float32(w[i]*v)*l)
			l2 := sumL2 - float32(float32(w[i]*l)*l)
			if !(lx > 0 && l2 > 0) {
				continue
			}
			to := min(steps, nearest(float32(v*l2)/lx))
			if to == int32(q[i]) {
				continue
			}
			l = float32(to)
			lx += float32(float32(w[i]*v) * l)
			l2 += float32(float32(w[i]*l) * l)
			if float32(float32(lx*lx)*sumL2) > float32(float32(sumLX*sumLX)*l2) {
				q[i], sumLX, sumL2, changed = uint8(to), lx, l2, true
			}
		}
		if !changed {
			break
		}
	}
	if sumL2 > 0 {
		return sumLX / sumL2
	}
	return 0
}
