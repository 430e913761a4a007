package torch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	archiveName  = "model/" // torch.save calls it after the file
	alignment    = 64       // of the bytes of a storage: what torch.load(mmap=True) can put any load to
	untypedClass = "UntypedStorage"
)

// typed are the types that have a storage of their own, by the name of its class; untyped those whose storages are
// bytes, by the name of the type in module torch (torch/storage.py, _dtype_to_storage_type_map and _new_dtypes).
var (
	typedStorages = map[model.DType]string{
		model.F64: "DoubleStorage", model.F32: "FloatStorage", model.F16: "HalfStorage", model.BF16: "BFloat16Storage",
		model.I64: "LongStorage", model.I32: "IntStorage", model.I16: "ShortStorage", model.I8: "CharStorage",
		model.U8: "ByteStorage", model.Bool: "BoolStorage", model.C64: "ComplexFloatStorage", model.C128: "ComplexDoubleStorage",
	}
	untypedStorages = map[model.DType]string{
		model.U16: "uint16", model.U32: "uint32", model.U64: "uint64",
		model.F8E4M3: "float8_e4m3fn", model.F8E5M2: "float8_e5m2", model.F8E4M3FNUZ: "float8_e4m3fnuz",
		model.F8E5M2FNUZ: "float8_e5m2fnuz", model.F8E8M0: "float8_e8m0fnu", model.F4: "float4_e2m1fn_x2",
	}
)

// Holds is why PyTorch cannot hold a tensor of this name, type and shape; nil when it can.
func Holds(name string, dtype model.DType, shape []int64) error {
	_, typed := typedStorages[dtype]
	_, untyped := untypedStorages[dtype]
	remedy := "npy/ or tensors/ hold it"
	switch {
	case !typed && !untyped:
		return fault.New(fault.Unsupported, "tensor %q is %s, which PyTorch has no type for", name, dtype).Remedied("%s", remedy)
	case dtype == model.F4 && (len(shape) == 0 || shape[len(shape)-1]%2 != 0):
		return fault.New(fault.Unsupported, "tensor %q is F4 of shape %v, and PyTorch has pairs of those: the last dimension must be even", name, shape).Remedied("%s", remedy)
	case !utf8.ValidString(name):
		return fault.New(fault.Unsupported, "the tensor's name %q is not UTF-8, and a key of PyTorch's is text", name).Remedied("%s", remedy)
	}
	return nil
}

// Writer makes an archive as torch.save does (torch/serialization.py, _save):
//
//	data.pkl               the object, a pickle of protocol 2 in which a storage is named by its number
//	.format_version        1: the storages lie in the order of their numbers
//	.storage_alignment     64
//	byteorder              little
//	data/0 data/1 ...      the storages, each at a multiple of 64 bytes
//	version                3
//	.data/serialization_id 40 digits
//
// in one folder, each member stored and with its CRC-32. Storages are numbered as they are asked for, which must be
// the order in which the pickle comes to them: who maps a file may compute where they lie.
type Writer struct {
	storages []*layout.File
	shared   map[share]Written
}

// share is what tensors have in common that are kept in one storage.
type share struct {
	dtype model.DType
	bytes layout.ID
}

// Tensor is the value that torch.load makes a tensor of: row-major, in a storage of its own, or in that of an earlier
// tensor which is the same bytes of the same stored file. It fails as Holds does.
func (w *Writer) Tensor(t model.Tensor) (pickle.Value, error) {
	if err := Holds(t.Name, t.DType, t.Shape); err != nil {
		return nil, err
	}
	storage, ok := w.earlier(t)
	if !ok {
		class, numel := typedStorages[t.DType], t.Data.Size()
		if class == "" {
			class = untypedClass
		} else {
			numel /= t.DType.Block().Bytes
		}
		storage = w.Storage(class, numel, t.Data)
		if key, ok := sharing(t); ok {
			if w.shared == nil {
				w.shared = map[share]Written{}
			}
			w.shared[key] = storage
		}
	}
	shape := slices.Clone(t.Shape)
	if t.DType == model.F4 {
		shape[len(shape)-1] /= 2
	}
	args := []pickle.Value{storage.Value(), int64(0), tuple(shape), tuple(strides(shape)), false, orderedDict(nil)}
	if name, ok := untypedStorages[t.DType]; ok {
		args = append(args, &pickle.Global{Module: "torch", Name: name})
		return call("torch._utils", "_rebuild_tensor_v3", args...), nil
	}
	return call("torch._utils", "_rebuild_tensor_v2", args...), nil
}

// sharing is by what a tensor's storage is known. Bytes that the planner made are no stored tensor's: two that are
// equal are still two.
func sharing(t model.Tensor) (share, bool) {
	if t.Data.Size() == 0 || t.Data.Literal() {
		return share{}, false
	}
	return share{t.DType, t.Data.ID()}, true
}

func (w *Writer) earlier(t model.Tensor) (Written, bool) {
	if key, ok := sharing(t); ok {
		s, ok := w.shared[key]
		return s, ok
	}
	return Written{}, false
}

// Written is a storage of an archive that is being written.
type Written struct {
	class, key string
	numel      int64
}

// Storage adds a storage of numel elements: class is its class, such as FloatStorage.
func (w *Writer) Storage(class string, numel int64, data *layout.File) Written {
	w.storages = append(w.storages, data)
	return Written{class, strconv.Itoa(len(w.storages) - 1), numel}
}

// Value is what stands for the storage in the pickle; another for each place, as torch.save has it.
func (s Written) Value() *pickle.Persistent {
	module := "torch"
	if s.class == untypedClass {
		module = "torch.storage"
	}
	return &pickle.Persistent{ID: &pickle.Tuple{Items: []pickle.Value{"storage", &pickle.Global{Module: module, Name: s.class}, s.key, "cpu", s.numel}}}
}

// File is the archive of an object whose storages this writer made. What is known of the model beside the object,
// metadata, stands in the member extra/metadata.json where there is any: torch.load does not look at it, and
// torch.jit's own archives keep such files there.
func (w *Writer) File(root pickle.Value, o pickle.EncodeOptions, metadata map[string]string) (*layout.File, error) {
	data, err := pickle.Encode(root, o)
	if err != nil {
		return nil, err
	}
	entries := make([]zip.Entry, 0, len(w.storages)+8)
	add := func(name string, f *layout.File) {
		entries = append(entries, zip.Entry{Name: archiveName + name, Data: f, Align: alignment})
	}
	add("data.pkl", layout.Bytes(data))
	add(".format_version", layout.Bytes([]byte("1")))
	add(".storage_alignment", layout.Bytes([]byte(strconv.Itoa(alignment))))
	add("byteorder", layout.Bytes([]byte("little")))
	for i, s := range w.storages {
		add("data/"+strconv.Itoa(i), s)
	}
	add("version", layout.Bytes([]byte("3\n")))
	add(".data/serialization_id", layout.Bytes([]byte(serializationID(entries, data))))
	if len(metadata) > 0 {
		text, err := json.MarshalIndent(metadata, "", "  ") // sorted by key
		if err != nil {
			return nil, fault.New(fault.Unsupported, "the metadata cannot be written: %w", err)
		}
		add("extra/metadata.json", layout.Bytes(append(text, '\n')))
	}
	return zip.Write(zip.Torch, entries...)
}

// serializationID is what torch.save makes of the names and the checksums of the members: two numbers of twenty
// digits. Here the second is one of their sizes and of the object, so that it is known before any of the bytes are.
func serializationID(entries []zip.Entry, data []byte) string {
	names, content := sha256.New(), sha256.New()
	var size [8]byte
	for _, e := range entries {
		fmt.Fprintf(names, "%s\x00", e.Name)
		binary.LittleEndian.PutUint64(size[:], uint64(e.Data.Size()))
		content.Write(size[:])
	}
	content.Write(data)
	number := func(sum []byte) uint64 { return binary.LittleEndian.Uint64(sum) }
	return fmt.Sprintf("%020d%020d", number(names.Sum(nil)), number(content.Sum(nil)))
}

// StateDict is the value of a module's state_dict: an OrderedDict of tensors by name.
func StateDict(entries []pickle.Entry) pickle.Value { return orderedDict(entries) }

func orderedDict(entries []pickle.Entry) *pickle.Object {
	d := call("collections", "OrderedDict")
	d.Entries = entries
	return d
}

func call(module, name string, args ...pickle.Value) *pickle.Object {
	return &pickle.Object{Class: &pickle.Global{Module: module, Name: name}, Args: &pickle.Tuple{Items: args}}
}

func tuple(numbers []int64) *pickle.Tuple {
	t := &pickle.Tuple{Items: make([]pickle.Value, len(numbers))}
	for i, n := range numbers {
		t.Items[i] = n
	}
	return t
}

// strides are those of a row-major tensor, in elements, as PyTorch has them where a dimension is 0. Only without
// elements can they pass 63 bits, and then any will do.
func strides(shape []int64) []int64 {
	s := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		next, ok := product(n, max(1, shape[i]))
		if !ok {
			next = 0
		}
		n = next
	}
	return s
}
