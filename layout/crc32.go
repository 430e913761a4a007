package layout

import (
	"encoding/binary"
	"hash/crc32"
)

// CRC32 is the CRC-32 of IEEE 802.3 as zip, gzip and PNG use it, as four bytes, little-endian.
var CRC32 Reducer = crc32IEEE{}

type crc32IEEE struct{}

func (crc32IEEE) String() string { return "crc32/1" }
func (crc32IEEE) Size() int64    { return 4 }
func (crc32IEEE) Block() int64   { return 1 }

func (crc32IEEE) Reduce(p []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p))
}

// Merge rests on the CRC of a‖b being that of a followed by n zero bytes, but for the inversions at both ends that
// cancel out, plus that of b: the remainder of a times x^8n, added without carry.
func (crc32IEEE) Merge(a, b []byte, n int64) []byte {
	le := binary.LittleEndian
	return le.AppendUint32(nil, times(le.Uint32(a), bytesOn(n))^le.Uint32(b))
}

// A polynomial over GF(2) of degree below 32 is a uint32 whose highest bit is the coefficient of 1 and whose lowest is
// that of x^31, as the remainders of this CRC are written.
const one = 1 << 31

// times is a*b modulo the CRC's polynomial.
func times(a, b uint32) uint32 {
	var sum uint32
	for ; a != 0; a <<= 1 { // the coefficients of a from that of 1 on
		if a&one != 0 {
			sum ^= b
		}
		carry := b & 1
		b >>= 1 // times x
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return sum
}

// powers[i] is x^(8*2^i).
var powers = func() (list [63]uint32) {
	p := uint32(one >> 8)
	for i := range list {
		list[i] = p
		p = times(p, p)
	}
	return list
}()

// bytesOn is x^8n: what a remainder is multiplied by when n zero bytes follow.
func bytesOn(n int64) uint32 {
	p := uint32(one)
	for i := 0; n != 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			p = times(p, powers[i])
		}
	}
	return p
}
