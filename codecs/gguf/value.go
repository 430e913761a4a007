package gguf

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// ValueType is the type of a value, by its number in the file.
type ValueType uint32

const (
	Uint8   ValueType = 0
	Int8    ValueType = 1
	Uint16  ValueType = 2
	Int16   ValueType = 3
	Uint32  ValueType = 4
	Int32   ValueType = 5
	Float32 ValueType = 6
	Bool    ValueType = 7 // one byte, 0 or 1
	String  ValueType = 8
	Array   ValueType = 9 // of one other type
	Uint64  ValueType = 10
	Int64   ValueType = 11
	Float64 ValueType = 12
)

var valueTypes = [...]struct {
	name string
	size int64 // of a value; 0 where they differ
}{
	Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2}, Int16: {"int16", 2}, Uint32: {"uint32", 4}, Int32: {"int32", 4},
	Float32: {"float32", 4}, Bool: {"bool", 1}, String: {"string", 0}, Array: {"array", 0}, Uint64: {"uint64", 8}, Int64: {"int64", 8}, Float64: {"float64", 8},
}

// String is the type's name in Go.
func (t ValueType) String() string {
	if int(t) < len(valueTypes) {
		return valueTypes[t].name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// size is the bytes of a value; 0 of strings, arrays and types that there are not.
func (t ValueType) size() int64 {
	if int(t) < len(valueTypes) {
		return valueTypes[t].size
	}
	return 0
}

// KV is a key and its value. Numbers, booleans and strings are held; arrays, and strings too long to hold, are a File
// of their bytes, so that a tokenizer costs no memory and a stored one is never copied.
type KV struct {
	Key   string
	Type  ValueType
	Value any // uint8 ... float64, bool or string; nil where Data has it

	Elem  ValueType    // of an array: the type of its elements, never Array
	Count int64        // of an array: how many
	Data  *layout.File // of an array: its elements, little-endian, each string after its length as a uint64; of a long string: its bytes
	First []any        // of an array: its first elements, where they are known, long strings cut
}

// Scalar is the values that a key can have but arrays.
type Scalar interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | float32 | bool | string | uint64 | int64 | float64
}

// typeOf is the type of a value of Go.
func typeOf(v any) ValueType {
	switch v.(type) {
	case uint8:
		return Uint8
	case int8:
		return Int8
	case uint16:
		return Uint16
	case int16:
		return Int16
	case uint32:
		return Uint32
	case int32:
		return Int32
	case float32:
		return Float32
	case bool:
		return Bool
	case string:
		return String
	case uint64:
		return Uint64
	case int64:
		return Int64
	}
	return Float64
}

// Key is an entry of one value.
func Key[T Scalar](key string, value T) KV { return KV{Key: key, Type: typeOf(value), Value: value} }

// List is an entry of an array, which is held in memory. Large arrays are for LargeList.
func List[T Scalar](key string, values []T) KV {
	var zero T
	var b []byte
	for _, v := range values {
		b = appendValue(b, v)
	}
	kv := LargeList(key, typeOf(zero), int64(len(values)), layout.Bytes(b))
	for _, v := range values[:min(len(values), maxFirst)] {
		kv.First = append(kv.First, v)
	}
	return kv
}

// LargeList is an entry of an array whose bytes come from elsewhere: a stored file, or a computation that is run when
// they are read. elem is never Array.
func LargeList(key string, elem ValueType, count int64, data *layout.File) KV {
	return KV{Key: key, Type: Array, Elem: elem, Count: count, Data: data}
}

// AppendValue appends a value to b as an array's elements lie in Data: numbers little-endian, strings after their
// length.
func AppendValue[T Scalar](b []byte, value T) []byte { return appendValue(b, value) }

func appendValue(b []byte, value any) []byte {
	le := binary.LittleEndian
	switch v := value.(type) {
	case uint8:
		return append(b, v)
	case int8:
		return append(b, byte(v))
	case uint16:
		return le.AppendUint16(b, v)
	case int16:
		return le.AppendUint16(b, uint16(v))
	case uint32:
		return le.AppendUint32(b, v)
	case int32:
		return le.AppendUint32(b, uint32(v))
	case float32:
		return le.AppendUint32(b, math.Float32bits(v))
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return append(le.AppendUint64(b, uint64(len(v))), v...)
	case uint64:
		return le.AppendUint64(b, v)
	case int64:
		return le.AppendUint64(b, uint64(v))
	case float64:
		return le.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// Text is the value of a string; "" of anything else, and of a string too long to hold.
func (kv *KV) Text() string {
	if kv == nil {
		return ""
	}
	s, _ := kv.Value.(string)
	return s
}

// Uint is the value of a key whose value is a whole number and not negative.
func (kv *KV) Uint() (uint64, bool) {
	if kv == nil {
		return 0, false
	}
	switch v := kv.Value.(type) {
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int8:
		return uint64(v), v >= 0
	case int16:
		return uint64(v), v >= 0
	case int32:
		return uint64(v), v >= 0
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// maxUints is the longest array that Uints reads: of the layers of a model.
const maxUints = 4096

// Uints is the whole numbers of a short array, none of them negative, or the one of a key that has one: hyper-parameters
// that may differ from layer to layer. It reports false for any other key.
func (kv *KV) Uints(ctx context.Context) ([]uint64, bool) {
	if n, ok := kv.Uint(); ok {
		return []uint64{n}, true
	}
	if kv == nil || kv.Type != Array || kv.Count > maxUints || kv.Elem.size() == 0 || kv.Data == nil {
		return nil, false
	}
	b := make([]byte, kv.Data.Size())
	if _, err := kv.Data.ReadAt(ctx, nil, b, 0); err != nil && err != io.EOF {
		return nil, false
	}
	list := make([]uint64, kv.Count)
	for i := range list {
		v := number(kv.Elem, b[int64(i)*kv.Elem.size():], binary.LittleEndian)
		if yes, ok := v.(bool); ok {
			if v = uint8(0); yes {
				v = uint8(1)
			}
		}
		n, ok := (&KV{Value: v}).Uint()
		if !ok {
			return nil, false
		}
		list[i] = n
	}
	return list, true
}

// Shown is the value as people read it; an array in one line, its first elements and its length.
func (kv *KV) Shown() string {
	switch {
	case kv.Value != nil:
		if s, ok := kv.Value.(string); ok {
			return s
		}
		return text(kv.Value)
	case kv.Type == String:
		return fmt.Sprintf("%d bytes of text", kv.Data.Size())
	}
	return kv.summary()
}

// maxFirst is the most elements of an array that are held to be shown, and maxFirstText the most bytes of a string
// among them.
const (
	maxFirst     = 8
	maxFirstText = 64
)

// summary is an array in a line: all of its elements where they are few.
func (kv *KV) summary() string {
	b := []byte{'['}
	for i, v := range kv.First {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, text(v)...)
	}
	if kv.Count > int64(len(kv.First)) {
		if len(kv.First) > 0 {
			b = append(b, ", ... "...)
		}
		b = fmt.Appendf(b, "%d of %s", kv.Count, kv.Elem)
	}
	return string(append(b, ']'))
}

// text is a value as an array's summary shows it.
func text(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) > maxFirstText {
			return strconv.Quote(v[:maxFirstText]) + "..."
		}
		return strconv.Quote(v)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// number is the value of a scalar's bytes in an order of bytes.
func number(t ValueType, b []byte, order binary.ByteOrder) any {
	switch t {
	case Uint8:
		return b[0]
	case Int8:
		return int8(b[0])
	case Uint16:
		return order.Uint16(b)
	case Int16:
		return int16(order.Uint16(b))
	case Uint32:
		return order.Uint32(b)
	case Int32:
		return int32(order.Uint32(b))
	case Float32:
		return math.Float32frombits(order.Uint32(b))
	case Bool:
		return b[0] == 1
	case Uint64:
		return order.Uint64(b)
	case Int64:
		return int64(order.Uint64(b))
	}
	return math.Float64frombits(order.Uint64(b))
}

// check says why an entry can't be written.
func (kv *KV) check() error {
	if kv.Key == "" || len(kv.Key) > maxKey {
		return fault.New(fault.Limit, "a key of %d bytes", len(kv.Key))
	}
	switch {
	case kv.Type == Array && (kv.Data == nil || kv.Elem == Array || int(kv.Elem) >= len(valueTypes) || kv.Count < 0):
		return fault.New(fault.Malformed, "key %q: no array of %d %s", kv.Key, kv.Count, kv.Elem)
	case kv.Type == Array:
		if size := kv.Elem.size(); size > 0 && kv.Data.Size() != size*kv.Count || size == 0 && kv.Data.Size()/8 < kv.Count {
			return fault.New(fault.Mismatch, "key %q: %d bytes for %d of %s", kv.Key, kv.Data.Size(), kv.Count, kv.Elem)
		}
	case kv.Value == nil && (kv.Type != String || kv.Data == nil):
		return fault.New(fault.Malformed, "key %q has no value", kv.Key)
	case kv.Value != nil && typeOf(kv.Value) != kv.Type:
		return fault.New(fault.Mismatch, "key %q: %T as %s", kv.Key, kv.Value, kv.Type)
	}
	return nil
}
