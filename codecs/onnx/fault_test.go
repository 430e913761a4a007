package onnx

import (
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// The wire format, by hand.

func msg(num protowire.Number, parts ...string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, num, bytes), strings.Join(parts, "")))
}
func num(n protowire.Number, v int64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, vint), uint64(v)))
}

// model1 is a model of a graph of these parts; tensor1 an initializer w of shape [4].
func model1(graph ...string) string { return num(1, 8) + msg(8, num(2, 17)) + msg(7, graph...) }
func tensor1(dtype int64, parts ...string) string {
	return msg(5, num(1, 4), num(2, dtype), msg(8, "w"), strings.Join(parts, ""))
}

// node1 is a node with an output; in and out are names separated by spaces.
func node1(op, in, out string, parts ...string) string {
	var p string
	for _, name := range strings.Fields(in) {
		p += msg(1, name)
	}
	for _, name := range strings.Fields(out) {
		p += msg(2, name)
	}
	return msg(1, p, msg(4, op), strings.Join(parts, ""))
}

func external1(entries ...string) string {
	var p string
	for i := 0; i < len(entries); i += 2 {
		p += msg(13, msg(1, entries[i]), msg(2, entries[i+1]))
	}
	return model1(tensor1(1, p, num(14, 1)))
}

var raw16 = msg(9, "0123456789abcdef")

// deep is a message of that many lists of lists.
func deep(n int) string {
	t := ""
	for range n {
		t = msg(4, msg(1, t))
	}
	return model1(tensor1(1, raw16), msg(11, msg(1, "x"), msg(2, t)))
}

// nested is a graph in an attribute of a node of a graph, so many times.
func nested(n int) string {
	g := ""
	for range n {
		g = node1("If", "", "", msg(5, msg(1, "g"), num(20, 5), msg(6, g)))
	}
	return model1(tensor1(1, raw16), g)
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		kind fault.Kind // Unknown: it is read
	}{
		"nothing wrong":                      {model1(tensor1(1, raw16)), 0},
		"nothing":                            {"", fault.Malformed},
		"no version":                         {msg(7, tensor1(1, raw16)), fault.Malformed},
		"no graph":                           {num(1, 8) + msg(8, num(2, 17)), fault.Malformed},
		"an empty graph":                     {model1(), fault.Malformed},
		"no operator set":                    {num(1, 8) + msg(7, tensor1(1, raw16)), fault.Malformed},
		"the end is missing":                 {strings.TrimSuffix(model1(tensor1(1, raw16)), "ef"), fault.Truncated},
		"a length without an end":            {model1(tensor1(1, raw16)) + "\x32\xff", fault.Truncated},
		"a length past its message":          {model1("\x0a\x05abcd"), fault.Truncated},
		"a number of 11 bytes":               {"\x08" + strings.Repeat("\x80", 10) + "\x01" + model1(tensor1(1, raw16)), fault.Malformed},
		"a number of 65 bits":                {"\x08" + strings.Repeat("\xff", 9) + "\x02" + model1(tensor1(1, raw16)), fault.Malformed},
		"a group":                            {model1(tensor1(1, raw16)) + "\x0b\x0c", fault.Malformed},
		"a reserved wire type":               {model1(tensor1(1, raw16)) + "\x0e", fault.Malformed},
		"field 0":                            {model1(tensor1(1, raw16)) + "\x00\x01", fault.Malformed},
		"a field beyond all numbers":         {model1(tensor1(1, raw16)) + "\xf8\xff\xff\xff\x1f\x01", fault.Malformed},
		"a graph that is a number":           {num(1, 8) + num(7, 8), fault.Malformed},
		"two graphs":                         {model1(tensor1(1, raw16)) + msg(7), fault.Duplicate},
		"two versions":                       {num(1, 8) + model1(tensor1(1, raw16)), fault.Duplicate},
		"two raw_data":                       {model1(tensor1(1, raw16, raw16)), fault.Duplicate},
		"a dimension of two kinds":           {model1(tensor1(1, raw16), msg(11, msg(1, "x"), msg(2, msg(1, msg(2, msg(1, num(1, 3), msg(2, "n"))))))), fault.Duplicate},
		"lists of lists, 60 deep":            {deep(60), 0},
		"lists of lists, 70 deep":            {deep(70), fault.Limit},
		"subgraphs, 41 deep":                 {nested(41), 0},
		"subgraphs, 43 deep":                 {nested(43), fault.Limit},
		"a name that is not UTF-8":           {model1(msg(5, num(1, 4), num(2, 1), msg(8, "\xff"), raw16)), fault.Malformed},
		"a type that is undefined":           {model1(tensor1(0, raw16)), fault.Malformed},
		"a type of the future":               {model1(tensor1(99, raw16)), 0},
		"a segment":                          {model1(tensor1(1, raw16, msg(3))), fault.Unsupported},
		"too few bytes":                      {model1(tensor1(1, msg(9, "0123"))), fault.Mismatch},
		"too many bytes":                     {model1(tensor1(1, msg(9, "0123456789abcdef0"))), fault.Mismatch},
		"no bytes":                           {model1(tensor1(1)), fault.Mismatch},
		"bytes in two fields":                {model1(tensor1(1, raw16, msg(4, "0123456789abcdef"))), fault.Malformed},
		"bytes in the wrong field":           {model1(tensor1(1, msg(7, "0123"))), fault.Malformed},
		"floats":                             {model1(tensor1(1, msg(4, "0123456789abcdef"))), 0},
		"floats, cut":                        {model1(tensor1(1, msg(4, "0123456789abcde"))), fault.Malformed},
		"numbers":                            {model1(tensor1(7, msg(7, "\x01\x80\x01\x00\x05"))), 0},
		"numbers, packed and not":            {model1(tensor1(7, msg(7, "\x01\x80\x01\x00"), num(7, 9))), 0},
		"numbers, one too many":              {model1(tensor1(7, msg(7, "\x01\x80\x01\x00\x05\x06"))), fault.Mismatch},
		"numbers, the last cut":              {model1(tensor1(7, msg(7, "\x01\x01\x00\x80"))), fault.Malformed},
		"many numbers, far too few":          {model1(msg(5, num(1, 1<<20), num(2, 7), msg(8, "w"), msg(7, strings.Repeat("\x01", 600)))), fault.Mismatch},
		"strings in raw_data":                {model1(tensor1(8, raw16)), fault.Malformed},
		"strings, too few":                   {model1(tensor1(8, msg(6, "a"), msg(6, ""), msg(6, "b"))), fault.Mismatch},
		"strings":                            {model1(tensor1(8, msg(6, "a"), msg(6, ""), msg(6, "b"), msg(6, "\xff"))), 0},
		"a negative dimension":               {model1(msg(5, num(1, -1), num(2, 1), msg(8, "w"), raw16)), fault.Malformed},
		"a shape of more than 63 bits":       {model1(msg(5, num(1, 1<<32), num(1, 1<<32), num(2, 1), msg(8, "w"), raw16)), fault.Overflow},
		"an initializer without a name":      {model1(msg(5, num(1, 4), num(2, 1), raw16)), fault.Malformed},
		"an initializer given twice":         {model1(tensor1(1, raw16), tensor1(1, raw16)), fault.Duplicate},
		"an attribute of two values":         {model1(node1("Relu", "", "y", msg(5, msg(1, "a"), num(3, 1), msg(4, "s")))), fault.Malformed},
		"an attribute of another type":       {model1(node1("Relu", "", "y", msg(5, msg(1, "a"), num(3, 1), num(20, 3)))), fault.Malformed},
		"an attribute of an unknown type":    {model1(node1("Relu", "", "y", msg(5, msg(1, "a"), num(20, 77)))), fault.Unsupported},
		"an attribute without a tensor":      {model1(node1("Relu", "", "y", msg(5, msg(1, "a"), num(20, 4)))), fault.Malformed},
		"an attribute that refers":           {model1(node1("Relu", "", "y", msg(5, msg(1, "a"), num(20, 1), msg(21, "b")))), fault.Malformed},
		"a node that takes what is not":      {model1(node1("Relu", "x", "y")), fault.Malformed},
		"a node that takes its own":          {model1(node1("Relu", "y", "y")), fault.Malformed},
		"data beside":                        {external1("location", "w.bin"), 0},
		"data beside, at a place":            {external1("location", "./w.bin", "offset", "0", "length", "16", "checksum", "x"), 0},
		"data beside, in a folder":           {external1("location", "sub/w.bin"), 0},
		"data beside, above":                 {external1("location", "../w.bin"), fault.Unsafe},
		"data beside, above, by a detour":    {external1("location", "sub/../../w.bin"), fault.Unsafe},
		"data beside, absolute":              {external1("location", "/etc/passwd"), fault.Unsafe},
		"data beside, a Windows path":        {external1("location", `C:\w.bin`), fault.Unsafe},
		"data beside, on a drive":            {external1("location", `C:/w.bin`), fault.Unsafe},
		"data beside, a NUL":                 {external1("location", "w.bin\x00"), fault.Unsafe},
		"data beside, the folder itself":     {external1("location", "."), fault.Malformed},
		"data beside, in memory":             {external1("location", "*/_ORT_MEM_ADDR_/*"), fault.Malformed},
		"data beside, no file":               {external1("location", "gone.bin"), fault.Missing},
		"data beside, no place":              {external1("offset", "0"), fault.Malformed},
		"data beside, past the end":          {external1("location", "w.bin", "offset", "1"), fault.Truncated},
		"data beside, far past the end":      {external1("location", "w.bin", "offset", "9223372036854775807", "length", "16"), fault.Truncated},
		"data beside, an offset of 64 bits":  {external1("location", "w.bin", "offset", "9223372036854775808"), fault.Overflow},
		"data beside, an offset of words":    {external1("location", "w.bin", "offset", "+1"), fault.Malformed},
		"data beside, an empty offset":       {external1("location", "w.bin", "offset", ""), fault.Malformed},
		"data beside, a length too short":    {external1("location", "w.bin", "length", "15"), fault.Mismatch},
		"data beside, a file too long":       {external1("location", "long.bin"), fault.Mismatch},
		"data beside, two locations":         {external1("location", "w.bin", "location", "w.bin"), fault.Duplicate},
		"data beside and within":             {model1(tensor1(1, raw16, msg(13, msg(1, "location"), msg(2, "w.bin")), num(14, 1))), fault.Malformed},
		"an unknown field":                   {model1(tensor1(1, raw16)) + msg(999, "x"), 0},
		"a large unknown field":              {model1(tensor1(1, raw16)) + msg(999, strings.Repeat("x", 1<<20)), 0},
		"an unknown field in a tensor":       {model1(tensor1(1, raw16, msg(99, strings.Repeat("x", 1<<10)))), 0},
		"fields in an unusual order":         {msg(7, tensor1(1, raw16)) + msg(8, num(2, 17)) + num(1, 8), 0},
		"numbers longer than they need be":   {"\x08\x88\x00" + msg(8, num(2, 17)) + "\x3a\xa1\x80\x00" + tensor1(1, raw16) + strings.Repeat("\x98\x3f\x01", 2), 0},
		"a sparse tensor of no values":       {model1(msg(15, num(3, 4))), fault.Malformed},
		"a sparse tensor of too few indices": {model1(msg(15, msg(1, num(1, 1), num(2, 1), msg(8, "w"), msg(9, "0123")), msg(2, num(1, 2), num(2, 7), msg(7, "\x01\x02")), num(3, 4))), fault.Mismatch},
	} {
		f := folder{"m.onnx": {name: "m.onnx", data: []byte(c.file)}, "w.bin": {name: "w.bin", data: []byte("0123456789abcdef")}, "long.bin": {name: "long.bin", data: make([]byte, 17)}, "sub/w.bin": {name: "sub/w.bin", data: make([]byte, 16)}}
		m, err := Read(ctx, f, "m.onnx")
		switch {
		case c.kind == 0 && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.kind != 0 && err == nil:
			t.Errorf("%s: read", name)
		case fault.KindOf(err) != c.kind:
			t.Errorf("%s: %v is %v, want %v", name, err, fault.KindOf(err), c.kind)
		case err == nil:
			unchanged(t, name, m, f)
		}
	}
}

// TestCut: a file that ends within its graph or within any field is refused, without a panic.
func TestCut(t *testing.T) {
	f := files(t, "testdata")
	for _, name := range []string{"everything.onnx", "typed.onnx"} {
		whole := f[name]
		read, err := scan(ctx, whole)
		if err != nil {
			t.Fatal(err)
		}
		ends, graph := map[int64]bool{}, int64(0)
		read.fields(0, read.size, func(f field) {
			ends[f.end] = true
			if f.num == 7 {
				graph = f.end
			}
		})
		for n := range whole.Size() {
			_, err := Read(ctx, folder{name: {name: name, data: whole.data[:n]}}, name)
			if err == nil && (n < graph || !ends[n]) {
				t.Errorf("%s: the first %d bytes of %d are read", name, n, whole.Size())
			}
		}
	}
}

// FuzzRead: what is read is written back byte for byte; changed, it differs by the change; and what is written anew is
// read as the same graph and written the same again.
func FuzzRead(f *testing.F) {
	for name, s := range files(f, "testdata") {
		if Match(name) {
			f.Add(s.data)
		}
	}
	f.Add([]byte(external1("location", "w.bin")))
	f.Add([]byte(nested(3)))
	f.Add([]byte(deep(3)))
	f.Fuzz(lawful)
}

// TestMutated is the same law over the fixtures with a few bytes changed, which leaves most of their lengths right.
func TestMutated(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := files(t, "testdata")
	for _, name := range []string{"everything.onnx", "typed.onnx", "old.onnx", "external.onnx"} {
		for range mutations {
			data := slices.Clone(f[name].data)
			for range 1 + rng.IntN(3) {
				i := rng.IntN(len(data))
				if rng.IntN(2) == 0 {
					data[i] = byte(rng.IntN(32))
				} else {
					data[i] ^= 1 << rng.IntN(8)
				}
			}
			lawful(t, data)
			if t.Failed() {
				t.Fatalf("%s: %q", name, data)
			}
		}
	}
}

const mutations = 1000

func lawful(t *testing.T, data []byte) {
	d := folder{"m.onnx": {name: "m.onnx", data: data}, "w.bin": {name: "w.bin", data: []byte("0123456789abcdef")}, "external.bin": {name: "external.bin", data: make([]byte, 2480)}}
	m, err := Read(ctx, d, "m.onnx")
	if err != nil {
		if fault.KindOf(err) == fault.Unknown {
			t.Errorf("%v is of no kind", err)
		}
		return
	}
	unchanged(t, "fuzzed", m, d)
	if unsound(m) {
		return
	}
	reworded(t, "fuzzed", m)
	anew(t, "fuzzed", m)
}

// unsound reports whether reading a tensor fails: the numbers of a large one are counted when it is read.
func unsound(m *model.Model) bool {
	bad := false
	look := func(c *model.Constant) {
		if c != nil && !bad {
			_, err := c.Data.ReadAt(ctx, &workspace{}, make([]byte, c.Data.Size()), 0)
			bad = err != nil && err != io.EOF
		}
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if c, ok := v.Interface().(*model.Constant); ok {
				look(c)
			} else if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).Name != "Wire" {
					walk(v.Field(i))
				}
			}
		}
	}
	walk(reflect.ValueOf(m.Graph))
	return bad
}
