package torch

import (
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// isArray reports whether a global makes a NumPy array in a pickle: numpy.core.multiarray._reconstruct with a state,
// numpy.core.numeric._frombuffer of protocol 5; numpy._core since NumPy 2.
func isArray(g *pickle.Global) bool {
	switch g.Module {
	case "numpy.core.multiarray", "numpy._core.multiarray":
		return g.Name == "_reconstruct"
	case "numpy.core.numeric", "numpy._core.numeric":
		return g.Name == "_frombuffer"
	}
	return false
}

// array is a NumPy array:
//
//	_reconstruct(ndarray, (0,), b'b'), whose state is (version, shape, dtype, column-major, bytes)
//	_frombuffer(bytes, dtype, shape, 'C' or 'F')
func (r *reading) array(o *pickle.Object, args []pickle.Value) (*Tensor, error) {
	var shape, dtype, data pickle.Value
	fortran := false
	if classOf(o).Name == "_frombuffer" {
		if err := r.args(o, args, 4, 4); err != nil {
			return nil, err
		}
		order, _ := text(args[3])
		data, dtype, shape, fortran = args[0], args[1], args[2], order == "F"
	} else {
		state, ok := o.State.(*pickle.Tuple)
		if !ok {
			return nil, nil // of a class of somebody's own
		}
		s := state.Items
		if len(s) == 5 {
			s = s[1:]
		}
		if len(s) != 4 {
			return nil, r.at(fault.Malformed, o.Off, "a NumPy array whose state has %d parts", len(state.Items))
		}
		shape, dtype, data = s[0], s[1], s[3]
		fortran, _ = s[2].(bool)
		if n, ok := s[2].(int64); ok {
			fortran = n != 0
		}
	}
	dims, err := r.counts(shape, o.Off, "the shape of a NumPy array")
	if err != nil {
		return nil, err
	}
	if len(dims) > maxRank {
		return nil, r.at(fault.Limit, o.Off, "a NumPy array of %d dimensions, and the most is %d", len(dims), maxRank)
	}
	n, err := model.Elements(dims)
	if err != nil {
		return nil, r.at(fault.KindOf(err), o.Off, "a NumPy array: %s", fault.Reason(err))
	}
	d, width, big := arrayType(dtype)
	if d == model.Invalid {
		return left("it is a NumPy array of elements that no other format has"), nil
	}
	raw, ok := bytesOf(data)
	if !ok {
		return left("it is a NumPy array of Python objects"), nil
	}
	if size, ok := product(n, width); !ok || size != int64(len(raw)) {
		return nil, r.at(fault.Mismatch, o.Off, "a NumPy array of shape %v and %d bytes an element has %d bytes", dims, width, len(raw))
	}
	f := layout.Bytes(raw)
	if part := partOf(d, width); big && part > 1 {
		if f, err = layout.New(layout.Coded{Op: quant.Swap(int(part)), In: []*layout.File{f}}); err != nil {
			return nil, err
		}
	}
	strides := make([]int64, len(dims))
	for step, i := int64(1), 0; i < len(dims); i++ {
		at := len(dims) - 1 - i
		if fortran {
			at = i
		}
		strides[at] = step
		step *= max(1, dims[at])
	}
	if f, err = walked(f, dims, strides, 0, width); err != nil {
		return nil, err
	}
	return &Tensor{DType: d, Shape: dims, Data: f}, nil
}

// bytesOf is the bytes of an array or a bytearray.
func bytesOf(v pickle.Value) ([]byte, bool) {
	switch v := v.(type) {
	case pickle.Bytes:
		return v, true
	case string: // of Python 2, and as such text where it happens to be UTF-8
		return []byte(v), true
	case *pickle.Object: // bytearray(b'...')
		if g := classOf(v); g != nil && g.Is("builtins", "bytearray") && len(v.Args.Items) == 1 {
			b, ok := v.Args.Items[0].(pickle.Bytes)
			return b, ok
		}
	}
	return nil, false
}

// arrayTypes are NumPy's types by kind and width in bytes.
var arrayTypes = map[string]model.DType{
	"f2": model.F16, "f4": model.F32, "f8": model.F64, "i1": model.I8, "i2": model.I16, "i4": model.I32, "i8": model.I64,
	"u1": model.U8, "u2": model.U16, "u4": model.U32, "u8": model.U64, "b1": model.Bool, "c8": model.C64, "c16": model.C128,
}

// arrayType is what numpy.dtype('f4', False, True) with the state (3, '<', ...) says: the type, the bytes of an
// element, and whether those are big-endian. Invalid where it is no type of ours.
func arrayType(v pickle.Value) (d model.DType, width int64, big bool) {
	o, ok := v.(*pickle.Object)
	g := classOf(v)
	if !ok || g == nil {
		return model.Invalid, 0, false
	}
	if g.Module == "ml_dtypes" || g.Module == "numpy.dtypes" {
		return model.Invalid, 0, false
	}
	if g.Module != "numpy" || g.Name != "dtype" {
		return model.Invalid, 0, false
	}
	name, _ := text(item(o.Args.Items, 0))
	if state, ok := o.State.(*pickle.Tuple); ok {
		order, _ := text(item(state.Items, 1))
		big = order == ">"
	}
	if strings.HasPrefix(name, ">") {
		big = true
	}
	d = arrayTypes[strings.TrimLeft(name, "<>=|")]
	if d == model.Invalid {
		return d, 0, false
	}
	return d, d.Block().Bytes, big
}

// partOf is the bytes that another byte order reverses.
func partOf(d model.DType, width int64) int64 {
	if d == model.C64 || d == model.C128 {
		return width / 2
	}
	return width
}
