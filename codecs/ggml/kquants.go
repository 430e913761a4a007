package ggml

// The K-quants: super-blocks of 256 elements in 8 or 16 groups, each with a scale (and an offset) of a few bits, which
// count in units of a float16 of the super-block.
//
//	Q2_K  16 groups of 16, q in 2 bits, d·s·q - dmin·m, s and m in 4 bits
//	Q3_K  16 groups of 16, q-4 in 2+1 bits, d·(s-32)·q, s in 6 bits
//	Q4_K   8 groups of 32, q in 4 bits, d·s·q - dmin·m, s and m in 6 bits
//	Q5_K   8 groups of 32, q in 4+1 bits, d·s·q - dmin·m, s and m in 6 bits
//	Q6_K  16 groups of 16, q-32 in 4+2 bits, d·s·q, s in 8 bits
//
// A quantizer searches the scale of each group alone, then the units of the super-block, and then takes the levels
// nearest to what the stored scales mean. A group whose stored scale is zero keeps the levels of the search.

const super = 256 // elements of a super-block

// groups is what the search finds for a super-block: the level of each element, and of each group its scale and, where
// the type has offsets, its offset, and its weight.
type groups struct {
	level                 [super]uint8
	scale, offset, weight [16]float32
}

// relevel takes the levels nearest to x with the group's scale d and offset m as they were stored, unless d is 0.
func relevel(level []uint8, x []float32, d, m float32, lo, hi int32) {
	if d == 0 {
		return
	}
	for i, v := range x {
		level[i] = uint8(clamp(nearest((v+m)/d), lo, hi) - lo)
	}
}

// gridQ2K, gridQ4K and gridQ5K are searched where there are no importances.
var (
	gridQ2K = grid{first: -0.5, step: 0.1, tries: 15, linear: true}
	gridQ4K = grid{first: -1, step: 0.1, tries: 20}
	gridQ5K = grid{first: -0.5, step: 0.1, tries: 15}
)

func quantizeQ2_K(dst []byte, x []float32) {
	var g groups
	for ; len(x) > 0; dst, x = dst[84:], x[super:] {
		var hiScale, hiOffset float32
		for j := range 16 {
			group := x[16*j : 16*j+16]
			var weight [16]float32
			for i, v := range group {
				weight[i] = abs(v)
			}
			g.scale[j], g.offset[j] = searchAffine(g.level[16*j:16*j+16], 3, group, weight[:], gridQ2K)
			if g.scale[j] > hiScale {
				hiScale = g.scale[j]
			}
			if g.offset[j] > hiOffset {
				hiOffset = g.offset[j]
			}
		}
		packPlainQ2_K(dst, x, &g, hiScale, hiOffset)
	}
}

// packPlainQ2_K stores what was searched without importances, with the greatest scale and offset at 15.
func packPlainQ2_K(dst []byte, x []float32, g *groups, hiScale, hiOffset float32) {
	clear(dst[:16])
	le.PutUint16(dst[80:], 0)
	le.PutUint16(dst[82:], 0)
	if hiScale > 0 {
		inverse := 15 / hiScale
		for j := range 16 {
			dst[j] = uint8(nearest(float32(inverse * g.scale[j])))
		}
		le.PutUint16(dst[80:], half(hiScale/15))
	}
	if hiOffset > 0 {
		inverse := 15 / hiOffset
		for j := range 16 {
			dst[j] |= uint8(nearest(float32(inverse*g.offset[j])) << 4)
		}
		le.PutUint16(dst[82:], half(hiOffset/15))
	}
	packQ2_K(dst, x, g)
}

func quantizeWeightedQ2_K(dst []byte, x, w []float32) {
	var g groups
	for ; len(x) > 0; dst, x, w = dst[84:], x[super:], w[super:] {
		sigma2 := sumSquares(0, x[:super]) / super
		for j := range 16 {
			var weight [16]float32
			weigh(weight[:], x[16*j:], w[16*j:], sigma2)
			g.weight[j] = sum(weight[:])
			g.scale[j], g.offset[j] = searchAffine(g.level[16*j:16*j+16], 3, x[16*j:16*j+16], weight[:], weightedGrid)
		}
		packWeightedQ2_K(dst, x, &g)
	}
}

// packWeightedQ2_K stores what was searched with importances.
func packWeightedQ2_K(dst []byte, x []float32, g *groups) {
	var s, m [16]uint8
	le.PutUint16(dst[80:], half(fitPositive(s[:], 15, g.scale[:], g.weight[:])))
	le.PutUint16(dst[82:], half(fitPositive(m[:], 15, g.offset[:], g.weight[:])))
	for j := range 16 {
		dst[j] = s[j] | m[j]<<4
	}
	packQ2_K(dst, x, g)
}

// packQ2_K stores the elements of a super-block that has its scales.
func packQ2_K(dst []byte, x []float32, g *groups) {
	d, dmin := single(le.Uint16(dst[80:])), single(le.Uint16(dst[82:]))
	for j := range 16 {
		relevel(g.level[16*j:16*j+16], x[16*j:16*j+16], d*float32(dst[j]&15), float32(dmin*float32(dst[j]>>4)), 0, 3)
	}
	pack2(dst[16:80], &g.level)
}

// pack2 stores 256 elements of 2 bits: byte j of each 32 has elements j, j+32, j+64 and j+96, from the lowest bits up.
func pack2(dst []byte, level *[super]uint8) {
	for h := range 2 {
		l, out := level[128*h:128*h+128], dst[32*h:32*h+32]
		for j := range out {
			out[j] = l[j] | l[j+32]<<2 | l[j+64]<<4 | l[j+96]<<6
		}
	}
}

func quantizeQ3_K(dst []byte, x []float32) {
	var g groups
	for ; len(x) > 0; dst, x = dst[110:], x[super:] {
		for j := range 16 {
			g.scale[j] = descend(g.level[16*j:16*j+16], x[16*j:16*j+16])
		}
		packPlainQ3_K(dst, x, &g)
	}
}

// packPlainQ3_K stores what was searched without importances, with the scale of the greatest magnitude at -32.
func packPlainQ3_K(dst []byte, x []float32, g *groups) {
	var s [16]uint8
	le.PutUint16(dst[108:], 0)
	if value, _ := largest(g.scale[:]); value != 0 {
		inverse := -32 / value
		for j := range s {
			s[j] = uint8(clamp(int32(int8(nearest(float32(inverse*g.scale[j])))), -32, 31) + 32)
		}
		le.PutUint16(dst[108:], half(1/inverse))
	}
	packQ3_K(dst, x, g, &s)
}

func quantizeWeightedQ3_K(dst []byte, x, w []float32) {
	var g groups
	for ; len(x) > 0; dst, x, w = dst[110:], x[super:], w[super:] {
		sigma2 := float32(2*sumSquares(0, x[:super])) / super
		for j := range 16 {
			var weight [16]float32
			weigh(weight[:], x[16*j:], w[16*j:], sigma2)
			g.weight[j] = sum(weight[:])
			g.scale[j] = searchScale(g.level[16*j:16*j+16], 4, x[16*j:16*j+16], weight[:])
		}
		packWeightedQ3_K(dst, x, &g)
	}
}

// packWeightedQ3_K stores what was searched with importances.
func packWeightedQ3_K(dst []byte, x []float32, g *groups) {
	var s [16]uint8
	le.PutUint16(dst[108:], half(searchScale(s[:], 32, g.scale[:], g.weight[:])))
	packQ3_K(dst, x, g, &s)
}

// packQ3_K stores the scales, and the elements of a super-block that has its d: first the third bits, bit j/32 of byte
// j%32 for element j, then the lower two, then the scales.
func packQ3_K(dst []byte, x []float32, g *groups, s *[16]uint8) {
	scales := dst[96:108]
	clear(scales)
	for j, l := range s {
		scales[j%8] |= l & 15 << (j / 8 * 4)
		scales[8+j%4] |= l >> 4 << (j / 4 * 2)
	}
	d := single(le.Uint16(dst[108:]))
	for j := range 16 {
		relevel(g.level[16*j:16*j+16], x[16*j:16*j+16], d*float32(scaleQ3K(scales, j)), 0, -4, 3)
	}
	high := dst[:32]
	clear(high)
	low := g.level
	for j, l := range g.level {
		if l > 3 {
			high[j%32] |= 1 << (j / 32)
			low[j] = l - 4
		}
	}
	pack2(dst[32:96], &low)
}

// scaleQ3K is the scale of group j in the twelve bytes that hold them: four bits of each, and then their upper two.
func scaleQ3K(scales []byte, j int) int32 {
	return int32(scales[j%8]>>(j/8*4)&15|scales[8+j%4]>>(j/4*2)&3<<4) - 32
}

func quantizeQ4_K(dst []byte, x []float32) {
	var g groups
	for ; len(x) > 0; dst, x = dst[144:], x[super:] {
		g.searchPlain(x, 15, gridQ4K)
		putUnits(dst, &g)
		packQ4_K(dst, x, &g)
	}
}

func quantizeQ5_K(dst []byte, x []float32) {
	var g groups
	for ; len(x) > 0; dst, x = dst[176:], x[super:] {
		g.searchPlain(x, 31, gridQ5K)
		putUnits(dst, &g)
		packQ5_K(dst, x, &g)
	}
}

// searchPlain searches 8 groups of 32. The weight of an element grows with its size within the group.
func (g *groups) searchPlain(x []float32, steps int32, grid grid) {
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

// putUnits stores the scales and offsets of 8 groups, the greatest of each at 63.
func putUnits(dst []byte, g *groups) {
	var hiScale, hiOffset float32
	for j := range 8 {
		if g.scale[j] > hiScale {
			hiScale = g.scale[j]
		}
		if g.offset[j] > hiOffset {
			hiOffset = g.offset[j]
		}
	}
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
	le.PutUint16(dst, half(hiScale/63))
	le.PutUint16(dst[2:], half(hiOffset/63))
	put6(dst[4:16], &s, &m)
}

// put6 stores eight scales and eight offsets of 6 bits.
func put6(dst []byte, s, m *[8]uint8) {
	for j := range 4 {
		dst[j] = s[j] | s[j+4]>>4<<6
		dst[j+4] = m[j] | m[j+4]>>4<<6
		dst[j+8] = s[j+4]&15 | m[j+4]<<4
	}
}

// get6 is the scale and the offset of group j in what put6 stored.
func get6(src []byte, j int) (s, m uint8) {
	if j < 4 {
		return src[j] & 63, src[j+4] & 63
	}
	return src[j+4]&15 | src[j-4]>>6<<4, src[j+4]>>4 | src[j]>>6<<4
}

func quantizeWeightedQ4_K(dst []byte, x, w []float32) {
	var g groups
	for ; len(x) > 0; dst, x, w = dst[144:], x[super:], w[super:] {
		g.searchWeighted(x, w, 15)
		putWeightedUnits(dst, &g, 255)
		packQ4_K(dst, x, &g)
	}
}

func quantizeWeightedQ5_K(dst []byte, x, w []float32) {
	var g groups
	for ; len(x) > 0; dst, x, w = dst[176:], x[super:], w[super:] {
		g.searchWeighted(x, w, 31)
		putWeightedUnits(dst, &g, 63)
		packQ5_K(dst, x, &g)
	}
}

// searchWeighted searches 8 groups of 32 by importance.
func (g *groups) searchWeighted(x, w []float32, steps int32) {
	sigma2 := float32(2*sumSquares(0, x[:super])) / super
	for j := range 8 {
		var weight [32]float32
		weigh(weight[:], x[32*j:], w[32*j:], sigma2)
		g.weight[j] = sum(weight[:])
		g.scale[j], g.offset[j] = searchAffine(g.level[32*j:32*j+32], steps, x[32*j:32*j+32], weight[:], weightedGrid)
	}
}

// putWeightedUnits stores the scales and offsets of 8 groups, no level above most.
func putWeightedUnits(dst []byte, g *groups, most uint8) {
	var s, m [8]uint8
	le.PutUint16(dst, half(fitPositive(s[:], 63, g.scale[:8], g.weight[:8])))
	le.PutUint16(dst[2:], half(fitPositive(m[:], 63, g.offset[:8], g.weight[:8])))
	for j := range 8 {
		s[j], m[j] = min(most, s[j]), min(most, m[j])
	}
	put6(dst[4:16], &s, &m)
}

// relevel6 takes the levels, from 0 to hi, of a super-block of Q4_K or Q5_K that has its scales.
func relevel6(dst []byte, x []float32, g *groups, hi int32) {
	d, dmin := single(le.Uint16(dst)), single(le.Uint16(dst[2:]))
	for j := range 8 {
		s, m := get6(dst[4:16], j)
		relevel(g.level[32*j:32*j+32], x[32*j:32*j+32], d*float32(s), float32(dmin*float32(m)), 0, hi)
	}
}

// packQ4_K stores the elements of a super-block that has its scales: byte j of each 32 has elements j and j+32.
func packQ4_K(dst []byte, x []float32, g *groups) {
	relevel6(dst, x, g, 15)
	for n := range 4 {
		l, out := g.level[64*n:64*n+64], dst[16+32*n:48+32*n]
		for j := range out {
			out[j] = l[j] | l[j+32]<<4
		}
	}
}

// packQ5_K stores the elements of a super-block that has its scales: first the fifth bits, bit j/32 of byte j%32 for
// element j, then the lower four as in Q4_K.
func packQ5_K(dst []byte, x []float32, g *groups) {
	relevel6(dst, x, g, 31)
	high := dst[16:48]
	clear(high)
	for n := range 4 {
		l, out := g.level[64*n:64*n+64], dst[48+32*n:80+32*n]
		for j := range out {
			out[j] = l[j]&15 | l[j+32]<<4
			high[j] |= l[j]>>4<<(2*n) | l[j+32]>>4<<(2*n+1)
		}
	}
}

func quantizeQ6_K(dst []byte, x []float32) {
	var g groups
	for ; len(x) > 0; dst, x = dst[210:], x[super:] {
		for j := range 16 {
			group := x[16*j : 16*j+16]
			var weight [16]float32
			for i, v := range group {
				weight[i] = float32(v * v)
			}
			g.scale[j] = searchScale(g.level[16*j:16*j+16], 32, group, weight[:])
		}
		packQ6_K(dst, x, &g)
	}
}

func quantizeWeightedQ6_K(dst []byte, x, w []float32) {
	var g groups
	for ; len(x) > 0; dst, x, w = dst[210:], x[super:], w[super:] {
		for j := range 16 {
			g.scale[j] = searchScale(g.level[16*j:16*j+16], 32, x[16*j:16*j+16], w[16*j:16*j+16])
		}
		packQ6_K(dst, x, &g)
	}
}

// packQ6_K stores a super-block, the scale of the greatest magnitude at -128: the lower four bits, byte j of each 64
// with elements j and j+64 of 128, then the upper two, byte j of each 32 with elements j, j+32, j+64 and j+96, then the
// scales.
func packQ6_K(dst []byte, x []float32, g *groups) {
	value, magnitude := largest(g.scale[:])
	if magnitude < least {
		clear(dst[:210])
		return
	}
	inverse := -128 / value
	le.PutUint16(dst[208:], half(1/inverse))
	d := single(le.Uint16(dst[208:]))
	for j := range 16 {
		s := int8(min(127, nearest(float32(inverse*g.scale[j]))))
		dst[192+j] = byte(s)
		relevel(g.level[16*j:16*j+16], x[16*j:16*j+16], d*float32(s), 0, -32, 31)
	}
	for h := range 2 {
		l, low, high := g.level[128*h:128*h+128], dst[64*h:64*h+64], dst[128+32*h:160+32*h]
		for j := range high {
			low[j] = l[j]&15 | l[j+64]<<4
			low[j+32] = l[j+32]&15 | l[j+96]<<4
			high[j] = l[j]>>4 | l[j+32]>>4<<2 | l[j+64]>>4<<4 | l[j+96]>>4<<6
		}
	}
}

// sum adds x up, one after another.
func sum(x []float32) (s float32) {
	for _, v := range x {
		s += v
	}
	return s
}
