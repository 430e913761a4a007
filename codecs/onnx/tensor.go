package onnx

import (
	"fmt"
	"slices"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// dtypes are the types of elements by their number in TensorProto.DataType.
var dtypes = [...]model.DType{
	1: model.F32, 2: model.U8, 3: model.I8, 4: model.U16, 5: model.I16, 6: model.I32, 7: model.I64, 8: model.String, 9: model.Bool,
	10: model.F16, 11: model.F64, 12: model.U32, 13: model.U64, 14: model.C64, 15: model.C128, 16: model.BF16, 17: model.F8E4M3,
	18: model.F8E4M3FNUZ, 19: model.F8E5M2, 20: model.F8E5M2FNUZ, 21: model.U4, 22: model.I4, 23: model.F4, 24: model.F8E8M0,
	25: model.U2, 26: model.I2, 27: model.F6E2M3, 28: model.F6E3M2,
}

// dtypeOf is the type of a number of the wire; model.Invalid for 0 and for what ONNX does not have yet.
func dtypeOf(code uint64) model.DType {
	if code < uint64(len(dtypes)) {
		return dtypes[code]
	}
	return model.Invalid
}

// codeOf is the number of a type; 0 for model.Invalid.
func codeOf(d model.DType) uint64 {
	if d == model.Invalid {
		return 0
	}
	return uint64(max(0, slices.Index(dtypes[:], d)))
}

// size is the bytes of so many elements. Types narrower than a byte fill the last one up.
func size(d model.DType, elements int64) (int64, error) {
	b := d.Block()
	if b.Elems > 1 {
		whole, err := d.Bytes(elements / b.Elems * b.Elems)
		rest := elements % b.Elems
		return whole + (rest*b.Bytes*8/b.Elems+7)/8, err
	}
	return d.Bytes(elements)
}

// The fields of a TensorProto that hold elements, as bits of a set.
const (
	floatData  = 1 << 4
	int32Data  = 1 << 5
	stringData = 1 << 6
	int64Data  = 1 << 7
	rawData    = 1 << 9
	doubleData = 1 << 10
	uint64Data = 1 << 11
	anyData    = floatData | int32Data | stringData | int64Data | rawData | doubleData | uint64Data
)

// typed is the field for elements of a type that are not raw.
func typed(d model.DType) uint64 {
	switch d {
	case model.F32, model.C64:
		return floatData
	case model.F64, model.C128:
		return doubleData
	case model.I64:
		return int64Data
	case model.U32, model.U64:
		return uint64Data
	case model.String:
		return stringData
	}
	return int32Data
}

var dataNames = map[uint64]string{
	floatData: "float_data", int32Data: "int32_data", stringData: "string_data", int64Data: "int64_data", rawData: "raw_data",
	doubleData: "double_data", uint64Data: "uint64_data",
}

// tensorWire is where a tensor was stored, and what was read of it.
type tensorWire struct {
	*wire
	dtype    model.DType
	data     *layout.File
	location string // of a tensor in another file: as it is written
	file     string // the same as a path below the version's folder
	source   layout.Source
}

func (d *decoder) tensor(at field) (*model.Constant, error) {
	t := d.t
	c := &model.Constant{}
	w := &tensorWire{wire: t.wire(at)}
	c.Wire = w
	var (
		has     uint64
		code    uint64
		parts   []field // of the elements
		outside []model.Entry
		remote  bool
		segment bool
	)
	t.fields(at.body, at.end, func(f field) {
		switch f.num {
		case 1:
			c.Shape = t.ints(c.Shape, f)
		case 2:
			code = f.value
		case 3:
			segment = true
		case 8:
			c.Name = t.str(f)
		case 12:
			c.Doc = t.str(f)
		case 13:
			outside = append(outside, t.entry(f))
		case 14:
			remote = f.value == 1
		case 16:
			c.Metadata = append(c.Metadata, t.entry(f))
		case 4, 5, 6, 7, 9, 10, 11:
			if f.num == 9 || f.num == 6 || f.typ != bytes || f.end > f.body { // no values are no field
				has |= 1 << f.num
				parts = append(parts, f)
			}
		}
	})
	what := "a tensor"
	if c.Name != "" {
		what = "tensor " + quote(c.Name)
	}
	wrong := func(kind fault.Kind, format string, args ...any) error {
		return fault.At(kind, at.head, "%s: %s", what, fmt.Sprintf(format, args...))
	}
	c.DType = dtypeOf(code)
	w.dtype = c.DType
	if code == 0 {
		return nil, wrong(fault.Malformed, "its data_type is undefined")
	}
	if segment {
		return nil, wrong(fault.Unsupported, "it is one segment of a tensor, which no known writer makes")
	}
	elements, err := model.Elements(c.Shape)
	if err != nil {
		return nil, wrong(fault.KindOf(err), "%s", fault.Reason(err))
	}
	if has&(has-1) != 0 {
		return nil, wrong(fault.Malformed, "its elements stand in more than one field")
	}
	if c.DType == model.Invalid { // of a later version of ONNX: carried as it is
		c.Data, _ = layout.New()
		w.data = c.Data
		return c, nil
	}
	if has != 0 && has != typed(c.DType) && (has != rawData || c.DType == model.String) {
		return nil, wrong(fault.Malformed, "elements of %s stand in %s", c.DType, dataNames[has])
	}
	if remote && (has != 0 || c.DType == model.String) {
		return nil, wrong(fault.Malformed, "its elements are said to be in another file, and they are in this one or are strings")
	}
	if c.DType == model.String {
		if int64(len(parts)) != elements {
			return nil, wrong(fault.Mismatch, "%d strings, and its shape %v has %d elements", len(parts), c.Shape, elements)
		}
		c.Data, _ = layout.New() // its own, so that another one is a change
		w.data = c.Data
		return c, nil
	}
	length, err := size(c.DType, elements)
	if err != nil {
		return nil, wrong(fault.KindOf(err), "%s", fault.Reason(err))
	}
	switch {
	case remote:
		if err = d.find(w, outside, length); err != nil {
			return nil, wrong(fault.KindOf(err), "%s", fault.Reason(err))
		}
	case has == 0 && length > 0:
		return nil, wrong(fault.Mismatch, "it holds no elements, and its shape %v has %d", c.Shape, elements)
	case has == 0:
		w.data, _ = layout.New()
	default:
		if w.data, err = t.elements(c.DType, elements, length, parts); err != nil {
			return nil, wrong(fault.KindOf(err), "%s", fault.Reason(err))
		}
	}
	c.Data = w.data
	return c, nil
}

// elements is the data of a tensor whose elements stand in the fields of parts, all of one number.
func (t *text) elements(d model.DType, elements, length int64, parts []field) (*layout.File, error) {
	num := uint64(1) << parts[0].num
	var spans []layout.Span // the contents of the fields, without tags
	var lits []byte         // of single values, which follow one another in runs
	flush := func() {
		if len(lits) > 0 {
			spans = append(spans, layout.Literal(lits))
			lits = nil
		}
	}
	numbers := num == int32Data || num == int64Data || num == uint64Data
	known, least, most := true, int64(0), int64(0) // how many numbers there are, where all were read, or between what
	for _, f := range parts {
		switch {
		case f.typ == bytes:
			flush()
			if f.end > f.body {
				spans = append(spans, layout.Extent{Source: t.src, Off: f.body, Len: f.end - f.body})
			}
			if !numbers {
				continue
			}
			if t.isCut(f) {
				known = false
				least += (f.end - f.body + protowireMax - 1) / protowireMax
				most += f.end - f.body
				continue
			}
			n, err := count(t.str(f), vint)
			if err != nil {
				return nil, err
			}
			least, most = least+n, most+n
		case f.typ == f32:
			lits = append(lits, byte(f.value), byte(f.value>>8), byte(f.value>>16), byte(f.value>>24))
		case f.typ == f64:
			lits = protowire.AppendFixed64(lits, f.value)
		default:
			lits = protowire.AppendVarint(lits, f.value)
			least, most = least+1, most+1
		}
	}
	flush()
	stored, err := layout.New(spans...)
	if err != nil {
		return nil, err
	}
	if !numbers {
		if stored.Size() != length {
			return nil, fault.New(fault.Mismatch, "%s is of %d bytes, and its %d elements of %s are %d", dataNames[num], stored.Size(), elements, d, length)
		}
		return stored, nil
	}
	x := varints{dtype: d, want: wanted(d, elements, length)}
	if x.want < least || x.want > most {
		if known {
			return nil, fault.New(fault.Mismatch, "%d numbers in %s, and its shape asks for %d", most, dataNames[num], x.want)
		}
		return nil, fault.New(fault.Mismatch, "%d bytes of numbers in %s, and its shape asks for %d of them", stored.Size(), dataNames[num], x.want)
	}
	if known { // all of it came with the structure
		var p []byte
		for _, s := range stored.Spans() {
			switch s := s.(type) {
			case layout.Literal:
				p = append(p, s...)
			case layout.Extent:
				p = append(p, t.slice(s.Off, s.Off+s.Len)...)
			}
		}
		if p, err = x.decode(p); err != nil {
			return nil, err
		}
		return layout.Bytes(p), nil
	}
	return layout.New(layout.Materialized{Name: x.String(), Length: length, In: []*layout.File{stored}, Run: x.run(stored)})
}
