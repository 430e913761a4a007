// Package npy reads and writes NumPy's file of one array, and its archive of several (see ReadArchive).
//
//	byte 0    93 'N' 'U' 'M' 'P' 'Y'
//	     6    version, two bytes: 1 0, 2 0 or 3 0
//	     8    H, the header's length: u16 little-endian in version 1, u32 from version 2 on
//	     10   header: a Python dict of three keys, padded with spaces and ended by a line feed so that the data
//	     (12)   begins at a multiple of 64: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
//	     ...  data, in C order, or in Fortran order where the header says so
//
// The specification is numpy.lib.format. Headers are literals for Python's parser; this package has one of its own,
// for the few literals that NumPy writes. Version 3 is version 2 in UTF-8 instead of Latin-1.
//
// NumPy takes bytes after the array, since a file may hold several, a key given twice and negative dimensions;
// all three are refused here. An array of objects is a pickle, which runs code to be read: Unsafe.
package npy

import (
	"context"
	"encoding/binary"
	"io"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	magic     = "\x93NUMPY"
	maxHeader = 10_000 // bytes: NumPy's own limit, _MAX_HEADER_SIZE
	maxRank   = 64     // NumPy 2's NPY_MAXDIMS
	align     = 64     // NumPy's ARRAY_ALIGN
)

// Header is what stands before the data.
type Header struct {
	DType   model.DType
	Shape   []int64 // outermost first
	Fortran bool    // the first index runs fastest
	Big     bool    // big-endian; never of a type of one byte
	Start   int64   // offset of the data in the file
}

// Decode reads and checks the header of a file, and that the data ends where the file does.
func Decode(ctx context.Context, src layout.Source) (*Header, error) {
	size := src.Size()
	head := make([]byte, min(12, size))
	if err := readFull(ctx, src, head, 0); err != nil {
		return nil, err
	}
	if n := min(len(head), len(magic)); string(head[:n]) != magic[:n] {
		return nil, fault.At(fault.Malformed, 0, "the file does not begin with %q", magic)
	}
	if len(head) < 10 {
		return nil, fault.At(fault.Truncated, size, "a file of %d bytes has no header", size)
	}
	major, minor := head[6], head[7]
	if major < 1 || major > 3 || minor != 0 {
		return nil, fault.At(fault.Unsupported, 6, "version %d.%d of the format is not read here", major, minor)
	}
	start, length := int64(10), int64(binary.LittleEndian.Uint16(head[8:]))
	if major > 1 {
		if len(head) < 12 {
			return nil, fault.At(fault.Truncated, size, "a file of %d bytes has no header", size)
		}
		start, length = 12, int64(binary.LittleEndian.Uint32(head[8:]))
	}
	if length > maxHeader {
		return nil, fault.At(fault.Limit, 8, "the header is %d bytes long, and the most is %d", length, maxHeader)
	}
	if start+length > size {
		return nil, fault.At(fault.Truncated, size, "the header would end at byte %d of %d", start+length, size)
	}
	text := make([]byte, length)
	if err := readFull(ctx, src, text, start); err != nil {
		return nil, err
	}
	h, err := parse(string(text), start)
	if err != nil {
		return nil, err
	}
	h.Start = start + length
	n, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	switch {
	case n > size-h.Start:
		return nil, fault.At(fault.Truncated, h.Start, "%d bytes of data, of which the file holds %d", n, size-h.Start)
	case n < size-h.Start:
		return nil, fault.At(fault.Extent, h.Start+n, "%d bytes after the array", size-h.Start-n)
	}
	return h, nil
}

// Bytes is the size of the data.
func (h *Header) Bytes() (int64, error) {
	n, err := model.Elements(h.Shape)
	if err != nil {
		return 0, err
	}
	return h.DType.Bytes(n)
}

// readFull fills p. A source that ends early has changed since its size was taken.
func readFull(ctx context.Context, src layout.Source, p []byte, off int64) error {
	n, err := src.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = fault.At(fault.Changed, off+int64(n), "the file ended where it had %d bytes before", src.Size())
	}
	return err
}

// parse reads the dict of three keys that stands at an offset of the file.
func parse(header string, at int64) (*Header, error) {
	l := &literal{text: header, base: at}
	v, err := l.value()
	if err != nil {
		return nil, err
	}
	if c := l.peek(); c != 0 {
		return nil, l.malformed("expected nothing after the dict and found %q", c)
	}
	if v.kind != dict {
		return nil, fault.At(fault.Malformed, at, "the header is no dict")
	}
	h := &Header{}
	seen := map[string]bool{}
	for i := 0; i < len(v.of); i += 2 {
		key, val := v.of[i], v.of[i+1]
		if key.kind != text {
			return nil, fault.At(fault.Malformed, key.at, "a key of the header is no string")
		}
		if seen[key.text] {
			return nil, fault.At(fault.Duplicate, key.at, "the header has %q twice", key.text)
		}
		seen[key.text] = true
		switch key.text {
		case "descr":
			err = h.descr(val)
		case "fortran_order":
			if h.Fortran = val.true; val.kind != truth {
				err = fault.At(fault.Malformed, val.at, "fortran_order is neither True nor False")
			}
		case "shape":
			err = h.shape(val)
		default:
			err = fault.At(fault.Malformed, key.at, "the header has a key %q", key.text)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return nil, fault.At(fault.Malformed, at, "the header has no %q", key)
		}
	}
	if _, err := h.Bytes(); err != nil {
		return nil, fault.At(fault.KindOf(err), at, "%s", fault.Reason(err))
	}
	return h, nil
}

// kinds are the types by their description without its byte order.
var kinds = map[string]model.DType{
	"?": model.Bool, "b1": model.Bool, "i1": model.I8, "i2": model.I16, "i4": model.I32, "i8": model.I64,
	"u1": model.U8, "u2": model.U16, "u4": model.U32, "u8": model.U64,
	"f2": model.F16, "f4": model.F32, "f8": model.F64, "c8": model.C64, "c16": model.C128,
}

func (h *Header) descr(v value) error {
	switch v.kind {
	case text:
	case list:
		return fault.At(fault.Unsupported, v.at, "an array of structures")
	case tuple:
		return fault.At(fault.Unsupported, v.at, "an array of arrays")
	default:
		return fault.At(fault.Malformed, v.at, "descr is no type")
	}
	order, name := byte('='), v.text
	if name != "" && strings.IndexByte("<>|=", name[0]) >= 0 {
		order, name = name[0], name[1:]
	}
	if name == "O" || strings.HasPrefix(name, "O") && strings.Trim(name[1:], "0123456789") == "" {
		return fault.At(fault.Unsafe, v.at, "an array of Python objects is a pickle, which runs code when it is read").
			Remedied("save the array with a type of numbers")
	}
	var ok bool
	if h.DType, ok = kinds[name]; !ok {
		err := fault.At(fault.Unsupported, v.at, "the type %q is not read here", v.text)
		if strings.HasPrefix(name, "V") {
			err.Reason = "the type " + v.text + " is bytes of unknown meaning: bfloat16 and float8 are stored so, and the file does not say which"
			return err.Remedied("save the array as float32, or as safetensors")
		}
		return err
	}
	h.Big = order == '>' && h.DType.Block().Bytes > 1
	return nil
}

func (h *Header) shape(v value) error {
	if v.kind != tuple {
		return fault.At(fault.Malformed, v.at, "shape is no tuple")
	}
	if len(v.of) > maxRank {
		return fault.At(fault.Limit, v.at, "shape has %d dimensions, and the most is %d", len(v.of), maxRank)
	}
	h.Shape = make([]int64, 0, len(v.of))
	for _, n := range v.of {
		switch {
		case n.kind != integer:
			return fault.At(fault.Malformed, n.at, "a dimension of the shape is no whole number")
		case n.n < 0:
			return fault.At(fault.Overflow, n.at, "a dimension of the shape does not fit 63 bits")
		}
		h.Shape = append(h.Shape, n.n)
	}
	return nil
}
