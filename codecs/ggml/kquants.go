package ggml

// super is the number of elements of a super-block.
const super = 256

// kquant is a K-quant: super-blocks of 256 elements in groups, each with a scale and perhaps an offset of a few bits,
// which count in units of a float16 of the super-block.
//
//	Q2_K  16 groups of 16, d·s·q - dmin·m, q in 2 bits, s and m in 4 bits
//	Q3_K  16 groups of 16, d·(s-32)·(q-4), q in 3 bits, s in 6 bits
//	Q4_K   8 groups of 32, d·s·q - dmin·m, q in 4 bits, s and m in 6 bits
//	Q5_K   8 groups of 32, d·s·q - dmin·m, q in 5 bits, s and m in 6 bits
//	Q6_K  16 groups of 16, d·s·(q-32), q in 6 bits, s in 8 bits
//
// A quantizer searches the scale of each group alone, then chooses the units of the super-block, and then takes the
// levels nearest to what the stored scales mean. A group whose stored scale is zero keeps the levels of the search.
type kquant struct {
	typ    Type
	group  int   // elements of a group
	lo, hi int32 // levels

	// search finds the scales of a super-block x, by importance w where there is one.
	search, searchWeighted func(g *groups, x, w []float32)

	// units stores scales and offsets. It reports false for a super-block that it stored as zeros.
	units, unitsWeighted func(block []byte, g *groups) bool

	// meaning are the stored scales and offsets, of every 16 elements.
	meaning func(d, m *[16]float32, block []byte)

	// pack stores levels, counted from the lowest; unpack gives them back, 0 being 0.
	pack   func(block []byte, level *[super]uint8)
	unpack func(level *[super]uint8, block []byte)
}

// groups is what is known of a super-block: the level of each element, counted from the lowest, and of each group its
// scale and, where the type has them, its offset and its weight.
type groups struct {
	level                 [super]uint8
	scale, offset, weight [16]float32
	d, m                  [16]float32 // what is stored of scales and offsets, for every 16 elements
}

var kquants = []*kquant{
	{Q2_K, 16, 0, 3, searchQ2K, searchWeightedQ2K, unitsQ2K, unitsWeightedQ2K, meaningQ2K, packQ2K, unpackQ2K},
	{Q3_K, 16, -4, 3, searchQ3K, searchWeightedQ3K, unitsQ3K, unitsWeightedQ3K, meaningQ3K, packQ3K, unpackQ3K},
	{Q4_K, 32, 0, 15, searchQ4K, searchWeightedQ4K, units6, unitsWeightedQ4K, meaning6, packQ4K, unpackQ4K},
	{Q5_K, 32, 0, 31, searchQ5K, searchWeightedQ5K, units6, unitsWeightedQ5K, meaning6, packQ5K, unpackQ5K},
	{Q6_K, 16, -32, 31, searchQ6K, searchWeightedQ6K, unitsQ6K, unitsQ6K, meaningQ6K, packQ6K, unpackQ6K},
}

// quantize is the reference.
func (k *kquant) quantize(dst []byte, x []float32) {
	var g groups
	size := int(k.typ.Block().Bytes)
	for ; len(x) > 0; dst, x = dst[size:], x[super:] {
		k.search(&g, x[:super], nil)
		if k.units(dst[:size], &g) {
			k.level(&g, dst[:size], x)
			k.pack(dst[:size], &g.level)
		}
	}
}

// quantizeWeighted is the reference where there are importances.
func (k *kquant) quantizeWeighted(dst []byte, x, w []float32) {
	var g groups
	size := int(k.typ.Block().Bytes)
	for ; len(x) > 0; dst, x, w = dst[size:], x[super:], w[super:] {
		k.searchWeighted(&g, x[:super], w[:super])
		if k.unitsWeighted(dst[:size], &g) {
			k.level(&g, dst[:size], x)
			k.pack(dst[:size], &g.level)
		}
	}
}

// level takes the levels nearest to x with the scales that are stored, where they are not 0.
func (k *kquant) level(g *groups, block []byte, x []float32) {
	k.meaning(&g.d, &g.m, block)
	for i, v := range x[:super] {
		if d := g.d[i/16]; d != 0 {
			g.level[i] = uint8(clamp(nearest((v+g.m[i/16])/d), k.lo, k.hi) - k.lo)
		}
	}
}

// widen is the reference.
func (k *kquant) widen(dst []float32, src []byte) {
	var d, m [16]float32
	var level [super]uint8
	size := int(k.typ.Block().Bytes)
	for ; len(dst) > 0; dst, src = dst[super:], src[size:] {
		k.meaning(&d, &m, src[:size])
		k.unpack(&level, src[:size])
		for i, l := range level {
			dst[i] = float32(d[i/16]*float32(int8(l))) - m[i/16]
		}
	}
}

// Where there are no importances, what is searched, and by what weights:

var (
	gridQ2K = grid{first: -0.5, step: 0.1, tries: 15, linear: true}
	gridQ4K = grid{first: -1, step: 0.1, tries: 20}
	gridQ5K = grid{first: -0.5, step: 0.1, tries: 15}
)

func searchQ2K(g *groups, x, _ []float32) {
	for j := range 16 {
		var weight [16]float32
		for i := range weight {
			weight[i] = abs(x[16*j+i])
		}
		g.scale[j], g.offset[j] = searchAffine(g.level[16*j:16*j+16], 3, x[16*j:16*j+16], weight[:], gridQ2K)
	}
}

func searchQ3K(g *groups, x, _ []float32) {
	for j := range 16 {
		g.scale[j] = descend(g.level[16*j:16*j+16], x[16*j:16*j+16])
	}
}

func searchQ4K(g *groups, x, _ []float32) { g.searchMean(x, 15, gridQ4K) }
func searchQ5K(g *groups, x, _ []float32) { g.searchMean(x, 31, gridQ5K) }

// searchMean weighs an element by its magnitude and the mean one of its group.
func (g *groups) searchMean(x []float32, steps int32, grid grid) {
	for j := range 8 {
		group := x[32*j : 32*j+32]
		mean := sqrt(sumSquares(0, group) / 32)
		var weight [32]float32
		for i, v := range group {
			weight[i] = mean + abs(v)
		}
		g.scale[j], g.offset[j] = searchAffine(g.level[32*j:32*j+32], steps, group, weight[:], grid)
	}
}

func searchQ6K(g *groups, x, _ []float32) {
	var weight [super]float32
	squares(weight[:], x)
	searchWeightedQ6K(g, x, weight[:])
}

// Where there are:

func searchWeightedQ2K(g *groups, x, w []float32) {
	sigma2 := sumSquares(0, x) / super
	for j := range 16 {
		weight := g.weigh(j, 16, x, w, sigma2)
		g.scale[j], g.offset[j] = searchAffine(g.level[16*j:16*j+16], 3, x[16*j:16*j+16], weight[:16], weightedGrid)
	}
}

func searchWeightedQ3K(g *groups, x, w []float32) {
	sigma2 := float32(2*sumSquares(0, x)) / super
	for j := range 16 {
		weight := g.weigh(j, 16, x, w, sigma2)
		g.scale[j] = searchScale(g.level[16*j:16*j+16], 4, x[16*j:16*j+16], weight[:16])
	}
}

func searchWeightedQ4K(g *groups, x, w []float32) { g.searchImportance(x, w, 15) }
func searchWeightedQ5K(g *groups, x, w []float32) { g.searchImportance(x, w, 31) }

func (g *groups) searchImportance(x, w []float32, steps int32) {
	sigma2 := float32(2*sumSquares(0, x)) / super
	for j := range 8 {
		weight := g.weigh(j, 32, x, w, sigma2)
		g.scale[j], g.offset[j] = searchAffine(g.level[32*j:32*j+32], steps, x[32*j:32*j+32], weight[:], weightedGrid)
	}
}

func searchWeightedQ6K(g *groups, x, w []float32) {
	for j := range 16 {
		g.scale[j] = searchScale(g.level[16*j:16*j+16], 32, x[16*j:16*j+16], w[16*j:16*j+16])
	}
}

// weigh are the weights of the elements of group j of n, and adds them up.
func (g *groups) weigh(j, n int, x, w []float32, sigma2 float32) (weight [32]float32) {
	weigh(weight[:n], x[n*j:], w[n*j:], sigma2)
	g.weight[j] = sum(weight[:n])
	return weight
}

// unitsQ2K puts the greatest scale and the greatest offset at 15. d and dmin stand behind the elements.
func unitsQ2K(block []byte, g *groups) bool {
	hiScale, hiOffset := greatest(g.scale[:]), greatest(g.offset[:])
	inverseScale, inverseOffset := 15/hiScale, 15/hiOffset
	for j := range 16 {
		var s, m uint8
		if hiScale > 0 {
			s = uint8(nearest(float32(inverseScale * g.scale[j])))
		}
		if hiOffset > 0 {
			m = uint8(nearest(float32(inverseOffset * g.offset[j])))
		}
		block[j] = s | m<<4
	}
	le.PutUint16(block[80:], half(hiScale/15))
	le.PutUint16(block[82:], half(hiOffset/15))
	return true
}

func unitsWeightedQ2K(block []byte, g *groups) bool {
	var s, m [16]uint8
	le.PutUint16(block[80:], half(fitPositive(s[:], 15, g.scale[:], g.weight[:])))
	le.PutUint16(block[82:], half(fitPositive(m[:], 15, g.offset[:], g.weight[:])))
	for j := range 16 {
		block[j] = s[j] | m[j]<<4
	}
	return true
}

func meaningQ2K(d, m *[16]float32, block []byte) {
	scale, offset := single(le.Uint16(block[80:])), single(le.Uint16(block[82:]))
	for j, s := range block[:16] {
		d[j], m[j] = float32(scale*float32(s&15)), float32(offset*float32(s>>4))
	}
}

// unitsQ3K puts the scale of the greatest magnitude at -32. d stands behind the elements and the scales.
func unitsQ3K(block []byte, g *groups) bool {
	var s [16]uint8
	le.PutUint16(block[108:], 0)
	if value, _ := largest(g.scale[:]); value != 0 {
		inverse := -32 / value
		for j := range s {
			s[j] = uint8(clamp(int32(int8(nearest(float32(inverse*g.scale[j])))), -32, 31) + 32)
		}
		le.PutUint16(block[108:], half(1/inverse))
	}
	putQ3K(block[96:108], &s)
	return true
}

func unitsWeightedQ3K(block []byte, g *groups) bool {
	var s [16]uint8
	le.PutUint16(block[108:], half(searchScale(s[:], 32, g.scale[:], g.weight[:])))
	putQ3K(block[96:108], &s)
	return true
}

// putQ3K stores sixteen scales: four bits of each, and then their upper two.
func putQ3K(dst []byte, s *[16]uint8) {
	clear(dst)
	for j, l := range s {
		dst[j%8] |= l & 15 << (j / 8 * 4)
		dst[8+j%4] |= l >> 4 << (j / 4 * 2)
	}
}

func meaningQ3K(d, m *[16]float32, block []byte) {
	scale, s := single(le.Uint16(block[108:])), block[96:108]
	for j := range 16 {
		d[j], m[j] = float32(scale*float32(int32(s[j%8]>>(j/8*4)&15|s[8+j%4]>>(j/4*2)&3<<4)-32)), 0
	}
}

// units6 puts the greatest scale and the greatest offset at 63. d and dmin stand first.
func units6(block []byte, g *groups) bool {
	hiScale, hiOffset := greatest(g.scale[:8]), greatest(g.offset[:8])
	var inverseScale, inverseOffset float32
	if hiScale > 0 {
		inverseScale = 63 / hiScale
	}
	if hiOffset > 0 {
		inverseOffset = 63 / hiOffset
	}
	var s, m [8]uint8
	for j := range 8 {
		s[j] = min(63, uint8(nearest(float32(inverseScale*g.scale[j]))))
		m[j] = min(63, uint8(nearest(float32(inverseOffset*g.offset[j]))))
	}
	le.PutUint16(block, half(hiScale/63))
	le.PutUint16(block[2:], half(hiOffset/63))
	put6(block[4:16], &s, &m)
	return true
}

func unitsWeightedQ4K(block []byte, g *groups) bool { return unitsWeighted6(block, g, 255) }
func unitsWeightedQ5K(block []byte, g *groups) bool { return unitsWeighted6(block, g, 63) }

// unitsWeighted6 stores no scale and no offset above most.
func unitsWeighted6(block []byte, g *groups, most uint8) bool {
	var s, m [8]uint8
	le.PutUint16(block, half(fitPositive(s[:], 63, g.scale[:8], g.weight[:8])))
	le.PutUint16(block[2:], half(fitPositive(m[:], 63, g.offset[:8], g.weight[:8])))
	for j := range 8 {
		s[j], m[j] = min(most, s[j]), min(most, m[j])
	}
	put6(block[4:16], &s, &m)
	return true
}

// put6 stores eight scales and eight offsets of 6 bits: those of the first four groups, with the upper two bits of the
// others above, and then the lower four of the others.
func put6(dst []byte, s, m *[8]uint8) {
	for j := range 4 {
		dst[j] = s[j] | s[j+4]>>4<<6
		dst[j+4] = m[j] | m[j+4]>>4<<6
		dst[j+8] = s[j+4]&15 | m[j+4]<<4
	}
}

func meaning6(d, m *[16]float32, block []byte) {
	scale, offset, b := single(le.Uint16(block)), single(le.Uint16(block[2:])), block[4:16]
	for j := range 4 {
		d[2*j], m[2*j] = float32(scale*float32(b[j]&63)), float32(offset*float32(b[j+4]&63))
		d[2*j+8], m[2*j+8] = float32(scale*float32(b[j+8]&15|b[j]>>6<<4)), float32(offset*float32(b[j+8]>>4|b[j+4]>>6<<4))
		d[2*j+1], m[2*j+1], d[2*j+9], m[2*j+9] = d[2*j], m[2*j], d[2*j+8], m[2*j+8]
	}
}

// unitsQ6K puts the scale of the greatest magnitude at -128. The scales and d stand behind the elements.
func unitsQ6K(block []byte, g *groups) bool {
	value, magnitude := largest(g.scale[:])
	if magnitude < least {
		clear(block)
		return false
	}
	inverse := -128 / value
	le.PutUint16(block[208:], half(1/inverse))
	for j, s := range g.scale {
		block[192+j] = byte(min(127, nearest(float32(inverse*s))))
	}
	return true
}

func meaningQ6K(d, m *[16]float32, block []byte) {
	scale := single(le.Uint16(block[208:]))
	for j, s := range block[192:208] {
		d[j], m[j] = float32(scale*float32(int8(s))), 0
	}
}

// greatest is the greatest of x, 0 where none is greater.
func greatest(x []float32) (v float32) {
	for _, w := range x {
		if w > v {
			v = w
		}
	}
	return v
}

// sum adds x up, one after another.
func sum(x []float32) (s float32) {
	for _, v := range x {
		s += v
	}
	return s
}
