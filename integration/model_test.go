//go:build linux

package integration

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x448/float16"
)

// settled is the time of files that have lain in their store for long.
var settled = time.Unix(1_700_000_000, 0)

// tensor is a stored tensor; data is little-endian, row-major.
type tensor struct {
	name, dtype string
	shape       []int64
	data        []byte
}

// widths are the bytes of an element.
var widths = map[string]int64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

// entry is one tensor of a SafeTensors header.
type entry struct {
	Name    string  `json:"-"`
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// safetensors is a file of tensors, in their order.
func safetensors(tensors []tensor) []byte {
	var header bytes.Buffer
	at := int64(0)
	for i, t := range tensors {
		name, _ := json.Marshal(t.name)
		rest, _ := json.Marshal(entry{DType: t.dtype, Shape: t.shape, Offsets: []int64{at, at + int64(len(t.data))}})
		fmt.Fprintf(&header, "%s%s:%s", map[bool]string{true: "{", false: ","}[i == 0], name, rest)
		at += int64(len(t.data))
	}
	if len(tensors) == 0 {
		header.WriteByte('{')
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(header.Len()))
	file = append(file, header.Bytes()...)
	for _, t := range tensors {
		file = append(file, t.data...)
	}
	return file
}

// headerOf parses the header of a SafeTensors file whose first bytes (all of the header, at least) are head: its
// entries in their order, its metadata, and where the data begins. It takes nothing but what the format allows.
func headerOf(head []byte) (entries []entry, metadata map[string]string, data int64, err error) {
	if len(head) < 8 {
		return nil, nil, 0, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint64(head)
	if n > uint64(len(head)-8) {
		return nil, nil, 0, fmt.Errorf("a header of %d bytes, in %d", n, len(head))
	}
	data = 8 + int64(n)
	text := json.NewDecoder(bytes.NewReader(head[8:data]))
	if token, err := text.Token(); err != nil || token != json.Delim('{') || head[8] != '{' {
		return nil, nil, 0, fmt.Errorf("the header begins with %v: %v", token, err)
	}
	for text.More() {
		key, err := text.Token()
		if err != nil {
			return nil, nil, 0, err
		}
		if key == "__metadata__" {
			if err := text.Decode(&metadata); err != nil {
				return nil, nil, 0, err
			}
			continue
		}
		e := entry{Name: key.(string)}
		if err := text.Decode(&e); err != nil || len(e.Offsets) != 2 || e.Shape == nil {
			return nil, nil, 0, fmt.Errorf("the entry of %q: %v", e.Name, err)
		}
		entries = append(entries, e)
	}
	return entries, metadata, data, nil
}

// inOrder are entries in the order of their data.
func inOrder(entries []entry) []entry {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]))
	})
	return sorted
}

// precisions are the weight views and the type of their floats.
var precisions = map[string]string{"fp32": "F32", "fp16": "F16", "bf16": "BF16"}

// cast is what a view of a precision holds for a tensor: the slow, obvious way, an element at a time.
func cast(data []byte, from, precision string) (dtype string, out []byte) {
	to := precisions[precision]
	if _, float := map[string]bool{"F64": true, "F32": true, "F16": true, "BF16": true}[from]; !float || from == to {
		return from, data
	}
	out = make([]byte, 0, int64(len(data))/widths[from]*widths[to])
	for ; len(data) > 0; data = data[widths[from]:] {
		var x float32
		switch from {
		case "F64":
			wide := math.Float64frombits(binary.LittleEndian.Uint64(data))
			if x = float32(wide); to != "F32" {
				x = toOdd(wide)
			}
		case "F32":
			x = math.Float32frombits(binary.LittleEndian.Uint32(data))
		case "F16":
			x = float16.Frombits(binary.LittleEndian.Uint16(data)).Float32()
		case "BF16":
			x = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data)) << 16)
		}
		switch to {
		case "F32":
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		case "F16":
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(x).Bits())
		case "BF16":
			bits := math.Float32bits(x) // no NaN among the values of these tests
			out = binary.LittleEndian.AppendUint16(out, uint16((bits+0x7FFF+bits>>16&1)>>16))
		}
	}
	return to, out
}

// toOdd is a float32 that rounds to half precision as the float64 would: inexact ones have their last bit set.
func toOdd(x float64) float32 {
	near := float32(x)
	if float64(near) == x || math.IsInf(x, 0) {
		return near
	}
	bits := math.Float32bits(near)
	if math.Abs(float64(near)) > math.Abs(x) {
		bits--
	}
	return math.Float32frombits(bits | 1)
}

// hard are values that round in every way, but no NaN.
var hard = []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), 65504, 65519.996, 65520, 1e30, 5.9604645e-8,
	2.9802322e-8, 2.9802326e-8, 6.1035156e-5, 6.0975552e-5, 1 + 1.0/2048, 1 + 3.0/2048, 1 + 1.0/256, 1 + 3.0/256, 3.3895314e38, 3.4028235e38, -1e-30, 1e-40}

// random fills data with values of a type: floats of both signs from 2^-7 to 2 and some that round hard, else any bits.
func random(source *rand.ChaCha8, dtype string, count int64) []byte {
	data := make([]byte, count*widths[dtype])
	source.Read(data)
	put := binary.LittleEndian
	switch dtype {
	case "F32":
		for at := 0; at < len(data); at += 4 {
			put.PutUint32(data[at:], put.Uint32(data[at:])&0x83FF_FFFF|0x3C00_0000)
		}
		for i, x := range hard[:min(len(hard), int(count)/2)] {
			put.PutUint32(data[8*i:], math.Float32bits(x))
		}
	case "F64":
		for at := 0; at < len(data); at += 8 {
			put.PutUint64(data[at:], put.Uint64(data[at:])&0x807F_FFFF_FFFF_FFFF|0x3F80_0000_0000_0000)
		}
		for i, x := range hard[:min(len(hard), int(count)/2)] {
			put.PutUint64(data[16*i:], math.Float64bits(float64(x)+float64(x)*1e-13))
		}
	case "F16":
		for at := 0; at < len(data); at += 2 {
			put.PutUint16(data[at:], put.Uint16(data[at:])&0xBBFF)
		}
	case "BF16":
		for at := 0; at < len(data); at += 2 {
			put.PutUint16(data[at:], put.Uint16(data[at:])&0xBFFF)
		}
	case "BOOL":
		for i := range data {
			data[i] &= 1
		}
	}
	return data
}

// layers are float32 tensors of nbytes in all, in rows of 96.
func layers(nbytes int64, count int, seed byte) (tensors []tensor) {
	source := rand.NewChaCha8([32]byte{seed})
	rows := nbytes / 4 / 96 / int64(count)
	for i := range count {
		tensors = append(tensors, tensor{fmt.Sprintf("layers.%d.weight", i), "F32", []int64{rows, 96}, random(source, "F32", rows*96)})
	}
	return tensors
}

// put writes a file into a store, with an old time.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err == nil {
		err = os.Chtimes(path, settled, settled)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// npyHeader is the dict of a .npy header as people read it, and where the data begins.
func npyHeader(head []byte) (dict string, data int64, err error) {
	if len(head) < 10 || string(head[:6]) != "\x93NUMPY" {
		return "", 0, fmt.Errorf("no .npy file: % x", head[:min(10, len(head))])
	}
	at, n := int64(10), int64(binary.LittleEndian.Uint16(head[8:]))
	if head[6] > 1 {
		at, n = 12, int64(binary.LittleEndian.Uint32(head[8:]))
	}
	if int64(len(head)) < at+n {
		return "", 0, io.ErrUnexpectedEOF
	}
	return string(head[at : at+n]), at + n, nil
}

// npyKinds are NumPy's names of types; what it has none of is widened to float32.
var npyKinds = map[string]string{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<f4", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}

// escape is a tensor's name as a file name: what file systems and shells trip over becomes %XX.
func escape(name, suffix string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+=@,:"
	var parts []string
	size := len(suffix)
	for i := range len(name) {
		part := name[i : i+1]
		if !strings.Contains(plain, part) || i == 0 && (part == "." || part == "-") {
			part = fmt.Sprintf("%%%02X", name[i])
		}
		parts = append(parts, part)
		size += len(part)
	}
	if name == "" {
		parts = []string{"%_"}
	}
	if size > 255 {
		digest := sha256.Sum256([]byte(name))
		end := "%~" + hex.EncodeToString(digest[:])[:32]
		room := 255 - len(suffix) - len(end)
		for i, part := range parts {
			if room -= len(part); room < 0 {
				parts = append(parts[:i:i], end)
				break
			}
		}
	}
	return strings.Join(parts, "") + suffix
}

// TestEscape: the rule that the tests expect of file names is the one that design and users know.
func TestEscape(t *testing.T) {
	long := "layers." + strings.Repeat("x", 400)
	digest := sha256.Sum256([]byte(long))
	for _, c := range []struct{ name, suffix, want string }{
		{"model.layers.0.weight", ".npy", "model.layers.0.weight.npy"}, {"a/b", "", "a%2Fb"}, {"..", ".npy", "%2E..npy"}, {"-rf", "", "%2Drf"}, {"", ".npy", "%_.npy"},
		{"😀", "", "%F0%9F%98%80"}, {"100%", "", "100%25"}, {"dense/kernel:0", "", "dense%2Fkernel:0"},
		{long, ".npy", long[:255-4-34] + "%~" + hex.EncodeToString(digest[:])[:32] + ".npy"},
	} {
		if got := escape(c.name, c.suffix); got != c.want {
			t.Errorf("%q is %q, want %q", c.name, got, c.want)
		}
	}
}

// TestExpectedCasts: the casts that the tests expect are IEEE 754's, to nearest, ties to even, rounded once.
func TestExpectedCasts(t *testing.T) {
	f32 := func(x float32) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)) }
	f64 := func(x float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(x)) }
	for _, c := range []struct {
		data      []byte
		from      string
		precision string
		bits      uint16
	}{
		{f32(1 + 1.0/2048), "F32", "fp16", 0x3C00}, {f32(1 + 3.0/2048), "F32", "fp16", 0x3C02}, {f32(65519.996), "F32", "fp16", 0x7BFF}, {f32(65520), "F32", "fp16", 0x7C00},
		{f32(2.9802322e-8), "F32", "fp16", 0}, {f32(2.9802326e-8), "F32", "fp16", 1}, {f32(-1e30), "F32", "fp16", 0xFC00},
		{f32(1 + 1.0/256), "F32", "bf16", 0x3F80}, {f32(1 + 3.0/256), "F32", "bf16", 0x3F82}, {f32(3.4028235e38), "F32", "bf16", 0x7F80},
		// By way of float32 the first of these would be a tie, and round down.
		{f64(1 + 1.0/2048 + 1e-12), "F64", "fp16", 0x3C01}, {f64(1 + 1.0/256 + 1e-12), "F64", "bf16", 0x3F81}, {f64(1e300), "F64", "fp16", 0x7C00},
	} {
		if _, got := cast(c.data, c.from, c.precision); binary.LittleEndian.Uint16(got) != c.bits {
			t.Errorf("% x in %s is %#04x, want %#04x", c.data, c.precision, binary.LittleEndian.Uint16(got), c.bits)
		}
	}
}

// scene is a store and what a mount of it must hold: the bytes of every file that is no document, written down beside
// it by this process alone. Of the files that have one, the header is the mount's own; it is checked by reading it.
type scene struct {
	store string
	want  map[string]string // plain files, by the path in the mount
	links map[string]string // targets, by path
	raw   map[string]tensor // what the files of tensors/ are made of
}

// has reports what is wrong with a path's bytes in a copy of the mount, or nothing.
func (s *scene) has(copied, path string) string {
	same, err := sameFile(filepath.Join(copied, path), s.want[path])
	switch {
	case err != nil:
		return err.Error()
	case !same:
		return path + " has other bytes"
	}
	return ""
}

func sameFile(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer y.Close()
	one, two := make([]byte, block), make([]byte, block)
	for {
		n, err := io.ReadFull(x, one)
		m, _ := io.ReadFull(y, two)
		if !bytes.Equal(one[:n], two[:m]) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
	}
}

// document reports whether a path of a mount is one of the generated documents.
func document(path string) bool {
	parts := strings.Split(path, "/")
	base := parts[len(parts)-1]
	documents := []string{"README.md", "CACHEDIR.TAG", ".nomedia", "metadata.json", "provenance.json", "SHA256SUMS", "summary.txt", "graph.svg", "graph.dot", "requirements.txt"}
	return slices.Contains(documents, base) && !slices.Contains(parts, "source") || base == "index.json" && slices.Contains(parts, "tensors")
}

// sizes of the files of a scene, by path.
func (s *scene) sizes(t *testing.T) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	for path, file := range s.want {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		sizes[path] = info.Size()
	}
	return sizes
}

// paths of a scene, sorted.
func (s *scene) paths() []string { return slices.Sorted(maps.Keys(s.want)) }
