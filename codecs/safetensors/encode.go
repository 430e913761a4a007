package safetensors

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// align is what the offset of the data is padded to: a cache line, and the widest vector load.
const align = 64

// Encode is the start of a file up to the data: the length, and the header padded with spaces so that the data begins
// at a multiple of 64. Entries stand in the order given. Metadata is sorted by key, and left out where there is none.
//
// What the container cannot hold is Unsupported: a type without a spelling, a name that is not UTF-8 or is the key of
// the metadata. A header longer than readers take is Limit.
func Encode(metadata map[string]string, entries []Entry) ([]byte, error) {
	p := make([]byte, 8, 8+64*(len(metadata)+2*len(entries)+1))
	p = append(p, '{')
	if len(metadata) > 0 {
		p = append(p, `"`+metadataKey+`":{`...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				p = append(p, ',')
			}
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, fault.New(fault.Unsupported, "the metadata's %q is not UTF-8, and a safetensors header is", key)
			}
			p = appendString(p, key)
			p = append(p, ':')
			p = appendString(p, metadata[key])
		}
		p = append(p, '}')
	}
	for i := range entries {
		e := &entries[i]
		if err := Holds(e.Name, e.DType); err != nil {
			return nil, err
		}
		if len(p) > len("{")+8 {
			p = append(p, ',')
		}
		p = appendString(p, e.Name)
		p = append(p, `:{"dtype":"`...)
		p = append(p, e.DType.String()...)
		p = append(p, `","shape":[`...)
		for j, n := range e.Shape {
			if j > 0 {
				p = append(p, ',')
			}
			p = strconv.AppendInt(p, n, 10)
		}
		p = append(p, `],"data_offsets":[`...)
		p = strconv.AppendInt(p, e.Begin, 10)
		p = append(p, ',')
		p = strconv.AppendInt(p, e.End, 10)
		p = append(p, "]}"...)
		if len(p) > maxHeader {
			break
		}
	}
	p = append(p, '}')
	for len(p)%align != 0 {
		p = append(p, ' ')
	}
	if n := len(p) - 8; n > maxHeader {
		return nil, fault.New(fault.Limit, "the header would be longer than the %d bytes that readers take", maxHeader)
	}
	binary.LittleEndian.PutUint64(p, uint64(len(p)-8))
	return p, nil
}

// Holds is why the container cannot hold a tensor of this name and type; nil when it can.
func Holds(name string, dtype model.DType) error {
	if spelt(dtype.String()) != dtype || dtype == model.Invalid {
		return fault.New(fault.Unsupported, "tensor %q is %s, which safetensors has no spelling for", name, dtype).
			Remedied("npy/ or tensors/ hold it")
	}
	if name == metadataKey {
		return fault.New(fault.Unsupported, "a tensor is named %s, which safetensors keeps for itself", metadataKey).
			Remedied("npy/ or tensors/ hold it")
	}
	if !utf8.ValidString(name) {
		return fault.New(fault.Unsupported, "the tensor's name %q is not UTF-8, and a safetensors header is", name).
			Remedied("npy/ or tensors/ hold it")
	}
	return nil
}

// spelt is the type that the container spells so; model.Invalid when there is none.
func spelt(name string) model.DType {
	if d := model.ParseDType(name); d != model.C128 {
		return d
	}
	return model.Invalid
}

// appendString appends s as a JSON string: short escapes where there are some, \u00XX for other control characters,
// everything else as it is.
func appendString(p []byte, s string) []byte {
	const hex = "0123456789abcdef"
	p = append(p, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		p = append(p, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			p = append(p, '\\', c)
		case '\b':
			p = append(p, `\b`...)
		case '\f':
			p = append(p, `\f`...)
		case '\n':
			p = append(p, `\n`...)
		case '\r':
			p = append(p, `\r`...)
		case '\t':
			p = append(p, `\t`...)
		default:
			p = append(p, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(p, s[from:]...), '"')
}
