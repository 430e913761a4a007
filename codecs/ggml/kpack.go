package ggml

// How the K-quants store levels: eight neighbours at a time, each in a byte of a word.

// low1 ... are the lowest bits of each byte of a word.
const (
	low1 = 0x0101010101010101
	low2 = 0x0303030303030303
	low4 = 0x0f0f0f0f0f0f0f0f
	top  = 0x8080808080808080
)

// eight are the levels of the elements from i.
func eight(level *[super]uint8, i int) uint64       { return le.Uint64(level[i : i+8]) }
func putEight(level *[super]uint8, i int, v uint64) { le.PutUint64(level[i:i+8], v) }

// less is each byte of v minus n, of which no byte of v has the highest bit and n is less than 128.
func less(v uint64, n uint8) uint64 {
	return (v | top) - low1*uint64(n) ^ top
}

// pack2 stores the lowest two bits of 256 levels: byte j of each 32 has those of elements j, j+32, j+64 and j+96 of 128,
// from the lowest bits up.
func pack2(dst []byte, level *[super]uint8) {
	for i := 0; i < 64; i += 8 {
		at := i/32*128 + i%32
		v := eight(level, at)&low2 | eight(level, at+32)&low2<<2 | eight(level, at+64)&low2<<4 | eight(level, at+96)&low2<<6
		le.PutUint64(dst[i:i+8], v)
	}
}

// unpack2 is what pack2 stored.
func unpack2(level *[super]uint8, src []byte) {
	for i := 0; i < 64; i += 8 {
		v, at := le.Uint64(src[i:i+8]), i/32*128+i%32
		for n := range 4 {
			putEight(level, at+32*n, v>>(2*n)&low2)
		}
	}
}

// pack1 stores one bit of 256 levels: bit j/32 of byte j%32 is that of element j.
func pack1(dst []byte, level *[super]uint8, bit int) {
	for i := 0; i < 32; i += 8 {
		var v uint64
		for n := range 8 {
			v |= eight(level, i+32*n) >> bit & low1 << n
		}
		le.PutUint64(dst[i:i+8], v)
	}
}

// unpack1 adds to levels what pack1 stored.
func unpack1(level *[super]uint8, src []byte, bit int) {
	for i := 0; i < 32; i += 8 {
		v := le.Uint64(src[i : i+8])
		for n := range 8 {
			putEight(level, i+32*n, eight(level, i+32*n)|v>>n&low1<<bit)
		}
	}
}

// pack4 stores the lowest four bits of 256 levels: byte j of each n has those of elements j and j+n of 2n.
func pack4(dst []byte, level *[super]uint8, n int) {
	for i := 0; i < 128; i += 8 {
		at := i/n*2*n + i%n
		le.PutUint64(dst[i:i+8], eight(level, at)&low4|eight(level, at+n)&low4<<4)
	}
}

// unpack4 is what pack4 stored.
func unpack4(level *[super]uint8, src []byte, n int) {
	for i := 0; i < 128; i += 8 {
		v, at := le.Uint64(src[i:i+8]), i/n*2*n+i%n
		putEight(level, at, v&low4)
		putEight(level, at+n, v>>4&low4)
	}
}

// shift moves all levels down by n.
func shift(level *[super]uint8, n uint8) {
	for i := 0; i < super; i += 8 {
		putEight(level, i, less(eight(level, i), n))
	}
}

func packQ2K(block []byte, level *[super]uint8)   { pack2(block[16:80], level) }
func unpackQ2K(level *[super]uint8, block []byte) { unpack2(level, block[16:80]) }

func packQ3K(block []byte, level *[super]uint8) {
	pack1(block[:32], level, 2)
	pack2(block[32:96], level)
}

func unpackQ3K(level *[super]uint8, block []byte) {
	unpack2(level, block[32:96])
	unpack1(level, block[:32], 2)
	shift(level, 4)
}

func packQ4K(block []byte, level *[super]uint8)   { pack4(block[16:144], level, 32) }
func unpackQ4K(level *[super]uint8, block []byte) { unpack4(level, block[16:144], 32) }

func packQ5K(block []byte, level *[super]uint8) {
	pack1(block[16:48], level, 4)
	pack4(block[48:176], level, 32)
}

func unpackQ5K(level *[super]uint8, block []byte) {
	unpack4(level, block[48:176], 32)
	unpack1(level, block[16:48], 4)
}

func packQ6K(block []byte, level *[super]uint8) {
	for i := 0; i < 64; i += 8 {
		at := i/32*128 + i%32
		a, b, c, d := eight(level, at), eight(level, at+32), eight(level, at+64), eight(level, at+96)
		low := block[i/32*64+i%32:]
		le.PutUint64(low[:8], a&low4|c&low4<<4)
		le.PutUint64(low[32:40], b&low4|d&low4<<4)
		le.PutUint64(block[128+i:136+i], a>>4&low2|b>>4&low2<<2|c>>4&low2<<4|d>>4&low2<<6)
	}
}

func unpackQ6K(level *[super]uint8, block []byte) {
	var upper [super]uint8
	unpack4(level, block[:128], 64)
	unpack2(&upper, block[128:192])
	for i := 0; i < super; i += 8 {
		putEight(level, i, less(eight(level, i)|eight(&upper, i)<<4, 32))
	}
}
