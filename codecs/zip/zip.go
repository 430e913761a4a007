// Package zip reads and writes the archives that models come in: PyTorch's, NumPy's and Keras' files are zips.
//
//	┌─────────────────────┐ 0
//	│ local header, name  │ for each member, one after another
//	│ extra fields        │
//	│ data                │ stored, or deflated
//	│ data descriptor     │ CRC-32 and sizes, where the local header (flag bit 3) says that they follow the data
//	├─────────────────────┤
//	│ directory           │ for each member: name, method, CRC-32, sizes, offset of its local header
//	├─────────────────────┤
//	│ zip64 end record    │ where a size or a count passes 32 or 16 bits
//	│ zip64 locator       │
//	│ end record, comment │
//	└─────────────────────┘ end of file
//
// The specification is PKWARE's APPNOTE.TXT, 6.3.10; all numbers are little-endian. It lets a reader start from the
// directory or from the local headers, and readers that start from different ends see different files in one archive.
// This one takes only archives in which there is nothing to choose: the members and the directory fill the file
// without a gap, overlap, prefix or suffix, both headers of a member say the same, and no name appears twice or leads
// out of the archive. Encrypted archives, archives in several parts and members that are links are Unsupported.
//
// An archive is untrusted: no length or count of it sizes anything before the file's own size has bounded it.
package zip

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
)

// Methods of compression that can be read.
const (
	Stored   = 0
	Deflated = 8
)

const (
	localSignature      = "PK\x03\x04"
	descriptorSignature = "PK\x07\x08"
	entrySignature      = "PK\x01\x02" // of the directory
	endSignature        = "PK\x05\x06"
	end64Signature      = "PK\x06\x06"
	locatorSignature    = "PK\x06\x07"

	localSize   = 30 // without name and extra fields
	entrySize   = 46 // without name, extra fields and comment
	endSize     = 22 // without the comment
	end64Size   = 56
	locatorSize = 20

	encrypted    = 1 << 0 // flag bits
	streamed     = 1 << 3 // CRC-32 and sizes are in a data descriptor
	patched      = 1 << 5
	strong       = 1 << 6 // strong encryption
	inUTF8       = 1 << 11
	maskedHeader = 1 << 13

	zip64Extra   = 0x0001
	unicodeExtra = 0x7075 // Info-ZIP's name in UTF-8, for names in another encoding
	paddingExtra = 0x4246 // "FB": bytes that align the data, as PyTorch writes them

	escape16 = math.MaxUint16 // the value is in the zip64 fields
	escape32 = math.MaxUint32

	maxName = math.MaxUint16
)

// Limits of ours.
const (
	maxMembers   = 1 << 20   // as many tensors as a model may have
	maxDirectory = 128 << 20 // bytes: 2^20 members of usual names
	freelyLarge  = 1 << 20   // what a member of metadata may expand to however small it is packed
	maxRatio     = 100       // and beyond that at the most, as Keras has it
	deflateRatio = 1032      // no deflate stream expands more: 258 bytes from two bits
)

var le = binary.LittleEndian

// Holds fails for a name that no member may have here: one that leads out of the archive, or that archives cannot
// spell without doubt.
func Holds(name string) error {
	switch {
	case name == "":
		return fault.New(fault.Malformed, "a member without a name")
	case len(name) > maxName:
		return fault.New(fault.Limit, "a member's name of %d bytes, and an archive has room for %d", len(name), maxName)
	case !utf8.ValidString(name):
		return fault.New(fault.Malformed, "the member's name %.80q is no UTF-8", name)
	case strings.IndexByte(name, 0) >= 0:
		return fault.New(fault.Malformed, "the member's name %.80q has a NUL", name)
	case strings.IndexByte(name, '\\') >= 0:
		return fault.New(fault.Malformed, "the member's name %.80q has a backslash, where the specification has slashes only", name)
	case name[0] == '/':
		return fault.New(fault.Unsafe, "the member's name %.80q is absolute", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fault.New(fault.Unsafe, "the member's name %.80q leads out of the archive", name)
		}
	}
	return nil
}

// cp437 is the upper half of the code page that names are in where they are not marked as UTF-8.
var cp437 = []rune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0")

// decodeName is a name as text.
func decodeName(raw []byte, flags uint16) string {
	if flags&inUTF8 != 0 {
		return string(raw)
	}
	var b strings.Builder
	for _, c := range raw {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			b.WriteRune(cp437[c-0x80])
		}
	}
	return b.String()
}

// Member is one file of an archive.
type Member struct {
	Name   string
	Method uint16 // Stored or Deflated; others are listed and can't be read
	CRC    uint32 // CRC-32 (IEEE) of the bytes, meaningful where HasCRC
	HasCRC bool
	Size   int64 // in bytes, unpacked
	Packed int64 // in bytes, in the archive
	Off    int64 // offset of the packed bytes in the source
}
