package cache

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// block is the number of bytes that one checksum of a sealed file covers.
const block = 1 << 20

// record is what stands beside a sealed file: how it was when it was sealed, and for whom.
//
//	 0  magic    8  "isomerC1"
//	 8  id      32  the layout's
//	40  size     8  of the file in bytes
//	48  made     8  when it was sealed, nanoseconds since 1970
//	56  digest  32  SHA-256 of the file; zeros while it is not known
//	88  block    4  bytes that each checksum covers
//	92  length   4  of the path
//	96  path        for people
//	    check    4  CRC-32 of all that stands before
//	    sums   4*n  CRC-32 of each block of the file
//	    check    4  CRC-32 of the sums
//
// Integers are little-endian, CRC-32 is IEEE 802.3's: of the checksums in the standard library the fastest here, at a
// thirtieth of what computing a byte costs.
//
// It is a file of its own because the kernel passes the sealed file through as it is: what were appended to it would be
// read with it, and extended attributes hold no checksums of a large file, where there are any. The two need no tag
// that binds them: whatever has one ID has the same bytes.
type record struct {
	id     layout.ID
	size   int64
	made   time.Time
	digest [32]byte
	path   string
	sums   []uint32
}

const (
	magic     = "isomerC1"
	headBytes = 96
	mostPath  = 4096
)

func (r *record) known() bool { return r.digest != [32]byte{} }

// sha256 is the digest in hexadecimal, "" while it is not known.
func (r *record) sha256() string {
	if !r.known() {
		return ""
	}
	return hex.EncodeToString(r.digest[:])
}

func blocks(size int64) int64 { return size/block + min(1, size%block) }

func (r *record) encode() []byte {
	path := r.path[:min(len(r.path), mostPath)]
	b := make([]byte, 0, headBytes+len(path)+8+4*len(r.sums))
	b = append(b, magic...)
	b = append(b, r.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.made.UnixNano()))
	b = append(b, r.digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, block)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(path)))
	b = append(b, path...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	sums := len(b)
	for _, s := range r.sums {
		b = binary.LittleEndian.AppendUint32(b, s)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[sums:]))
}

// readRecord reads a record of `have` bytes; without its sums unless they are wanted. Errors say why it is none.
func readRecord(f io.ReaderAt, have int64, wantSums bool) (*record, error) {
	head := make([]byte, min(have, headBytes+mostPath+4))
	if n, err := f.ReadAt(head, 0); n < len(head) {
		return nil, fault.At(fault.Truncated, int64(n), "the record of a cached file: %w", orEOF(err))
	}
	if len(head) < headBytes+4 || string(head[:8]) != magic {
		return nil, fault.New(fault.Malformed, "not a record of a cached file")
	}
	length := int64(binary.LittleEndian.Uint32(head[92:]))
	if length > mostPath || headBytes+length+4 > int64(len(head)) {
		return nil, fault.At(fault.Malformed, 92, "the record of a cached file gives its path %d bytes", length)
	}
	end := headBytes + length
	if got, want := crc32.ChecksumIEEE(head[:end]), binary.LittleEndian.Uint32(head[end:]); got != want {
		return nil, fault.At(fault.Checksum, end, "the record of a cached file has CRC-32 %08x and says %08x", got, want)
	}
	r := &record{
		size: int64(binary.LittleEndian.Uint64(head[40:])),
		made: time.Unix(0, int64(binary.LittleEndian.Uint64(head[48:]))),
		path: string(head[headBytes:end]),
	}
	copy(r.id[:], head[8:])
	copy(r.digest[:], head[56:])
	if per := binary.LittleEndian.Uint32(head[88:]); per != block {
		return nil, fault.At(fault.Unsupported, 88, "checksums over %d bytes each", per)
	}
	n := blocks(r.size)
	if r.size < 0 || end+4+4*n+4 != have {
		return nil, fault.At(fault.Mismatch, 40, "the record of a cached file of %d bytes has %d", r.size, have)
	}
	if !wantSums {
		return r, nil
	}
	raw := make([]byte, 4*n+4)
	if m, err := f.ReadAt(raw, end+4); m < len(raw) {
		return nil, fault.At(fault.Truncated, end+4+int64(m), "the checksums of a cached file: %w", orEOF(err))
	}
	if got, want := crc32.ChecksumIEEE(raw[:4*n]), binary.LittleEndian.Uint32(raw[4*n:]); got != want {
		return nil, fault.At(fault.Checksum, end+4, "the checksums of a cached file have CRC-32 %08x and say %08x", got, want)
	}
	r.sums = make([]uint32, n)
	for i := range r.sums {
		r.sums[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	return r, nil
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
