package torch

import (
	"strings"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/model"
)

// element is a type of elements as PyTorch has it.
type element struct {
	name  string      // without torch.: float32, quint8
	dtype model.DType // Invalid where nobody but PyTorch has a name for it
	bytes int64       // of an element in a storage
	part  int64       // bytes that a machine of the other byte order has reversed: half an element of a complex type
}

// elements lists the types that tensors may have. The quantized types (q...) stand with the integers that they store;
// quint4x2 and quint2x4 are bytes of two and four.
var elements = []element{
	{"float32", model.F32, 4, 4}, {"float64", model.F64, 8, 8}, {"float16", model.F16, 2, 2}, {"bfloat16", model.BF16, 2, 2},
	{"int64", model.I64, 8, 8}, {"int32", model.I32, 4, 4}, {"int16", model.I16, 2, 2}, {"int8", model.I8, 1, 1},
	{"uint8", model.U8, 1, 1}, {"bool", model.Bool, 1, 1}, {"complex64", model.C64, 8, 4}, {"complex128", model.C128, 16, 8},
	{"uint16", model.U16, 2, 2}, {"uint32", model.U32, 4, 4}, {"uint64", model.U64, 8, 8},
	{"float8_e4m3fn", model.F8E4M3, 1, 1}, {"float8_e5m2", model.F8E5M2, 1, 1}, {"float8_e4m3fnuz", model.F8E4M3FNUZ, 1, 1},
	{"float8_e5m2fnuz", model.F8E5M2FNUZ, 1, 1}, {"float8_e8m0fnu", model.F8E8M0, 1, 1}, {"float4_e2m1fn_x2", model.F4, 1, 1},
	{"qint8", model.I8, 1, 1}, {"quint8", model.U8, 1, 1}, {"qint32", model.I32, 4, 4}, {"quint4x2", model.U8, 1, 1}, {"quint2x4", model.U8, 1, 1},
	{"complex32", model.Invalid, 4, 2}, {"bcomplex32", model.Invalid, 4, 2},
	{"bits8", model.Invalid, 1, 1}, {"bits16", model.Invalid, 2, 2}, {"bits1x8", model.Invalid, 1, 1}, {"bits2x4", model.Invalid, 1, 1}, {"bits4x2", model.Invalid, 1, 1},
	{"uint1", model.Invalid, 1, 1}, {"uint2", model.Invalid, 1, 1}, {"uint3", model.Invalid, 1, 1}, {"uint4", model.Invalid, 1, 1},
	{"uint5", model.Invalid, 1, 1}, {"uint6", model.Invalid, 1, 1}, {"uint7", model.Invalid, 1, 1},
	{"int1", model.Invalid, 1, 1}, {"int2", model.Invalid, 1, 1}, {"int3", model.Invalid, 1, 1}, {"int4", model.Invalid, 1, 1},
	{"int5", model.Invalid, 1, 1}, {"int6", model.Invalid, 1, 1}, {"int7", model.Invalid, 1, 1},
}

// aliases are other names of the same types.
var aliases = map[string]string{
	"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "short": "int16", "cfloat": "complex64", "cdouble": "complex128", "chalf": "complex32",
}

// storageClasses are the types of elements of the storages that have one.
var storageClasses = map[string]string{
	"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
	"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
	"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
	"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
	"UntypedStorage": untyped,
}

// untyped is the name of the elements of a storage without a type: bytes.
const untyped = ""

var elementsByName = func() map[string]*element {
	m := map[string]*element{untyped: {untyped, model.U8, 1, 1}}
	for i := range elements {
		m[elements[i].name] = &elements[i]
	}
	for alias, name := range aliases {
		m[alias] = m[name]
	}
	return m
}()

// quantized reports whether elements stand for other numbers.
func (e *element) quantized() bool { return strings.HasPrefix(e.name, "q") }

// elementOf is the type that a global names: torch.float32. nil where it names none that is known.
func elementOf(v pickle.Value) *element {
	g, ok := v.(*pickle.Global)
	if !ok || g.Module != "torch" || g.Name == untyped {
		return nil
	}
	return elementsByName[g.Name]
}
