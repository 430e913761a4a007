package npy

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Descr is how NumPy describes the type, little-endian; false for a type it does not have.
func Descr(d model.DType) (string, bool) {
	for name, kind := range kinds {
		if kind == d && name != "?" {
			if d.Block().Bytes == 1 {
				return "|" + name, true
			}
			return "<" + name, true
		}
	}
	return "", false
}

// growth is the room, in digits, that NumPy leaves for the dimension in which an array may be appended to.
const growth = 21

// Encode is the start of a file up to the data, byte for byte as numpy.save writes it, in version 1: a type that NumPy does not have is Unsupported, a shape of more dimensions than
// it takes Limit.
func Encode(h *Header) ([]byte, error) {
	descr, ok := Descr(h.DType)
	if !ok {
		return nil, fault.New(fault.Unsupported, "NumPy has no type for %s", h.DType)
	}
	if len(h.Shape) > maxRank {
		return nil, fault.New(fault.Limit, "%d dimensions, and the most that NumPy takes is %d", len(h.Shape), maxRank)
	}
	if h.Big {
		descr = ">" + descr[1:]
	}
	order := "False"
	if h.Fortran {
		order = "True"
	}
	p := append([]byte(magic), 1, 0, 0, 0)
	p = append(p, "{'descr': '"+descr+"', 'fortran_order': "+order+", 'shape': ("...)
	for i, n := range h.Shape {
		if i > 0 {
			p = append(p, ' ')
		}
		p = strconv.AppendInt(p, n, 10)
		if i < len(h.Shape)-1 || i == 0 {
			p = append(p, ',')
		}
	}
	p = append(p, "), }"...)
	if len(h.Shape) > 0 {
		grows := h.Shape[0]
		if h.Fortran {
			grows = h.Shape[len(h.Shape)-1]
		}
		p = append(p, strings.Repeat(" ", max(0, growth-len(strconv.FormatInt(grows, 10))))...)
	}
	p = append(p, strings.Repeat(" ", align-(len(p)+1)%align)...)
	p = append(p, '\n')
	binary.LittleEndian.PutUint16(p[8:], uint16(len(p)-10)) // 64 dimensions of 19 digits are far from 16 bits
	return p, nil
}
