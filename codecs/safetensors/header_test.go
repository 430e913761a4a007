package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// one is the header of one F32 tensor of two elements, with text put in at a place.
func one(fields string) string { return `{"w":{` + fields + `}}` }

const good = `"dtype":"F32","shape":[2],"data_offsets":[0,8]`

// TestRefused: each way a header can be wrong, and what it is called.
func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	two := func(a, b string) string {
		return `{"a":{"dtype":"U8","shape":` + a + `},"b":{"dtype":"U8","shape":` + b + `}}`
	}
	for name, c := range map[string]struct {
		header string
		data   int
		kind   fault.Kind
	}{
		"empty":                      {``, 0, fault.Malformed},
		"a brace":                    {`{`, 0, fault.Malformed},
		"not JSON":                   {`weights`, 0, fault.Malformed},
		"an array":                   {`[]`, 0, fault.Malformed},
		"null":                       {`null`, 0, fault.Malformed},
		"cut":                        {`{"w":{"dtype":"F32"`, 8, fault.Malformed},
		"text after":                 {one(good) + `x`, 8, fault.Malformed},
		"two values":                 {one(good) + `{}`, 8, fault.Malformed},
		"NUL after":                  {one(good) + "\x00", 8, fault.Malformed},
		"comment":                    {`{/**/` + one(good)[1:], 8, fault.Malformed},
		"trailing comma":             {`{"w":{` + good + `},}`, 8, fault.Malformed},
		"comma in an array":          {one(`"dtype":"F32","shape":[2,],"data_offsets":[0,8]`), 8, fault.Malformed},
		"comma at the start":         {`{,"w":{` + good + `}}`, 8, fault.Malformed},
		"byte order mark":            {"\ufeff" + one(good), 8, fault.Malformed},
		"single quotes":              {`{'w':{` + good + `}}`, 8, fault.Malformed},
		"name without quotes":        {`{w:{` + good + `}}`, 8, fault.Malformed},
		"name is not UTF-8":          {"{\"w\xff\":{" + good + "}}", 8, fault.Malformed},
		"overlong UTF-8":             {"{\"w\xc0\xaf\":{" + good + "}}", 8, fault.Malformed},
		"surrogate in UTF-8":         {"{\"w\xed\xa0\x80\":{" + good + "}}", 8, fault.Malformed},
		"lone high surrogate":        {`{"w\ud83d":{` + good + `}}`, 8, fault.Malformed},
		"lone low surrogate":         {`{"w\ude00":{` + good + `}}`, 8, fault.Malformed},
		"high surrogate and letter":  {`{"w\ud83d\u0061":{` + good + `}}`, 8, fault.Malformed},
		"two high surrogates":        {`{"w\ud83d\ud83d":{` + good + `}}`, 8, fault.Malformed},
		"unknown escape":             {`{"w\x41":{` + good + `}}`, 8, fault.Malformed},
		"escape of three digits":     {`{"w\u006":{` + good + `}}`, 8, fault.Malformed},
		"control character":          {"{\"w\n\":{" + good + "}}", 8, fault.Malformed},
		"string without an end":      {`{"w`, 8, fault.Malformed},
		"nested deeply":              {one(good + `,"x":` + deep), 8, fault.Limit},
		"name given twice":           {`{"w":{` + good + `},"w":{` + good + `}}`, 8, fault.Duplicate},
		"name given twice, escaped":  {`{"w":{` + good + `},"\u0077":{` + good + `}}`, 8, fault.Duplicate},
		"name twice, two extents":    {`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2, fault.Duplicate},
		"metadata twice":             {`{"__metadata__":{},"__metadata__":{},"w":{` + good + `}}`, 8, fault.Duplicate},
		"metadata twice, escaped":    {`{"__metadata__":null,"__metadat\u0061__":null}`, 0, fault.Duplicate},
		"metadata key twice":         {`{"__metadata__":{"a":"1","\u0061":"2"}}`, 0, fault.Duplicate},
		"metadata nested":            {`{"__metadata__":{"a":{}}}`, 0, fault.Malformed},
		"metadata of a number":       {`{"__metadata__":{"a":1}}`, 0, fault.Malformed},
		"metadata of null":           {`{"__metadata__":{"a":null}}`, 0, fault.Malformed},
		"metadata is a list":         {`{"__metadata__":[]}`, 0, fault.Malformed},
		"entry is null":              {`{"w":null}`, 0, fault.Malformed},
		"entry is a list":            {`{"w":["F32",[2],[0,8]]}`, 8, fault.Malformed},
		"no dtype":                   {one(`"shape":[2],"data_offsets":[0,8]`), 8, fault.Malformed},
		"no shape":                   {one(`"dtype":"F32","data_offsets":[0,8]`), 8, fault.Malformed},
		"no data_offsets":            {one(`"dtype":"F32","shape":[2]`), 8, fault.Malformed},
		"Dtype":                      {one(`"Dtype":"F32","shape":[2],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dtype twice":                {one(good + `,"dtype":"F32"`), 8, fault.Duplicate},
		"shape twice, escaped":       {one(good + `,"sh\u0061pe":[2]`), 8, fault.Duplicate},
		"dtype in lower case":        {one(`"dtype":"f32","shape":[2],"data_offsets":[0,8]`), 8, fault.Unsupported},
		"dtype of a later time":      {one(`"dtype":"F128","shape":[2],"data_offsets":[0,8]`), 8, fault.Unsupported},
		"dtype that has no spelling": {one(`"dtype":"C128","shape":[1],"data_offsets":[0,16]`), 16, fault.Unsupported},
		"dtype of strings":           {one(`"dtype":"STRING","shape":[2],"data_offsets":[0,8]`), 8, fault.Unsupported},
		"dtype is a number":          {one(`"dtype":32,"shape":[2],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension -0":               {one(`"dtype":"F32","shape":[-0],"data_offsets":[0,0]`), 0, fault.Malformed},
		"dimension -2":               {one(`"dtype":"F32","shape":[-2],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension 2.0":              {one(`"dtype":"F32","shape":[2.0],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension 2e0":              {one(`"dtype":"F32","shape":[2e0],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension 02":               {one(`"dtype":"F32","shape":[02],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension of text":          {one(`"dtype":"F32","shape":["2"],"data_offsets":[0,8]`), 8, fault.Malformed},
		"dimension true":             {one(`"dtype":"F32","shape":[true],"data_offsets":[0,8]`), 8, fault.Malformed},
		"shape null":                 {one(`"dtype":"F32","shape":null,"data_offsets":[0,4]`), 4, fault.Malformed},
		"dimension 2^63":             {one(`"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8]`), 8, fault.Overflow},
		"dimension of 30 digits":     {one(`"dtype":"U8","shape":[100000000000000000000000000000],"data_offsets":[0,8]`), 8, fault.Overflow},
		"shape overflows":            {one(`"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]`), 8, fault.Overflow},
		"shape wraps to 0":           {one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), 0, fault.Overflow},
		"shape overflows beside a 0": {one(`"dtype":"F32","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]`), 0, fault.Overflow},
		"0 before an overflow":       {one(`"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]`), 0, fault.Overflow},
		"bytes overflow":             {one(`"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]`), 0, fault.Overflow},
		"65 dimensions":              {one(`"dtype":"U8","shape":[1` + strings.Repeat(",1", 64) + `],"data_offsets":[0,1]`), 1, fault.Limit},
		"a name of 64 KiB and one":   {`{"` + strings.Repeat("n", maxName+1) + `":{` + good + `}}`, 8, fault.Limit},
		"extent too long":            {one(`"dtype":"F32","shape":[1],"data_offsets":[0,8]`), 8, fault.Mismatch},
		"extent too short":           {one(`"dtype":"F32","shape":[3],"data_offsets":[0,8]`), 8, fault.Mismatch},
		"half a byte":                {one(`"dtype":"F4","shape":[3],"data_offsets":[0,2]`), 2, fault.Mismatch},
		"two thirds of a block":      {one(`"dtype":"F6_E2M3","shape":[2],"data_offsets":[0,2]`), 2, fault.Mismatch},
		"extent reversed":            {one(`"dtype":"F32","shape":[2],"data_offsets":[8,0]`), 8, fault.Extent},
		"hole at the start":          {one(`"dtype":"F32","shape":[2],"data_offsets":[4,12]`), 12, fault.Extent},
		"hole between":               {two(`[1],"data_offsets":[0,1]`, `[1],"data_offsets":[2,3]`), 3, fault.Extent},
		"overlap":                    {two(`[2],"data_offsets":[0,2]`, `[2],"data_offsets":[1,3]`), 3, fault.Extent},
		"the same extent":            {two(`[2],"data_offsets":[0,2]`, `[2],"data_offsets":[0,2]`), 2, fault.Extent},
		"empty within another":       {two(`[2],"data_offsets":[0,2]`, `[0],"data_offsets":[1,1]`), 2, fault.Extent},
		"trailing byte":              {one(good), 9, fault.Extent},
		"data without tensors":       {`{}`, 1, fault.Extent},
		"past the end":               {one(good), 7, fault.Truncated},
		"offset of 2^64-1":           {one(`"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]`), 1, fault.Overflow},
		"one offset":                 {one(`"dtype":"U8","shape":[1],"data_offsets":[0]`), 1, fault.Malformed},
		"three offsets":              {one(`"dtype":"U8","shape":[1],"data_offsets":[0,1,1]`), 1, fault.Malformed},
		"offset -1":                  {one(`"dtype":"U8","shape":[1],"data_offsets":[-1,0]`), 1, fault.Malformed},
		"bad number in a field":      {one(good + `,"x":[1.]`), 8, fault.Malformed},
		"bare minus in a field":      {one(good + `,"x":-`), 8, fault.Malformed},
		"bad word in a field":        {one(good + `,"x":nul`), 8, fault.Malformed},
		"bad string in a field":      {one(good + `,"x":"\ud800"`), 8, fault.Malformed},
	} {
		h, err := Decode(ctx, file(c.header, c.data))
		if err == nil {
			t.Errorf("%s: opened with %d tensors", name, len(h.Entries))
		} else if got := fault.KindOf(err); got != c.kind {
			t.Errorf("%s: %v (%v), want %v", name, err, got, c.kind)
		} else if !strings.Contains(err.Error(), "offset ") {
			t.Errorf("%s: no offset in %q", name, err)
		}
	}
}

// TestLength: what the first eight bytes can say.
func TestLength(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		kind fault.Kind
	}{
		"empty file":         {nil, fault.Truncated},
		"seven bytes":        {make([]byte, 7), fault.Truncated},
		"0":                  {make([]byte, 8), fault.Malformed},
		"1":                  {append(binary.LittleEndian.AppendUint64(nil, 1), '{'), fault.Malformed},
		"2^64-1":             {bytes.Repeat([]byte{0xff}, 8), fault.Limit},
		"2^63":               {[]byte{7: 0x80}, fault.Limit},
		"100,000,001":        {binary.LittleEndian.AppendUint64(nil, 100_000_001), fault.Limit},
		"100,000,000, cut":   {binary.LittleEndian.AppendUint64(nil, 100_000_000), fault.Truncated},
		"one more than file": {append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...), fault.Truncated},
	} {
		if _, err := Decode(ctx, &stored{data: c.data}); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// TestTaken: what is odd and legal.
func TestTaken(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		data   int
		names  []string // in the order of the data
	}{
		"plain":                   {one(good), 8, []string{"w"}},
		"no tensors":              {`{}`, 0, nil},
		"scalar":                  {one(`"dtype":"F32","shape":[],"data_offsets":[0,4]`), 4, []string{"w"}},
		"a dimension of 0":        {one(`"dtype":"F32","shape":[3,0],"data_offsets":[0,0]`), 0, []string{"w"}},
		"padded":                  {one(good) + "  \n\t\r ", 8, []string{"w"}},
		"white space before":      {" \n\t\r" + one(good), 8, []string{"w"}},
		"white space all over":    {strings.NewReplacer("{", " {\n", ":", " : ", ",", "\t,\r\n").Replace(one(good)), 8, []string{"w"}},
		"unknown fields":          {one(`"a":{"b":[1,-2.5e+7,null,true,false,"\"",{}],"b":0},"dtype":"F32","shape":[2],"data_offsets":[0,8]`), 8, []string{"w"}},
		"nested as far as it may": {one(good + `,"x":` + strings.Repeat("[", 126) + strings.Repeat("]", 126)), 8, []string{"w"}},
		"metadata":                {`{"__metadata__":{"format":"pt"},"w":{` + good + `}}`, 8, []string{"w"}},
		"metadata last":           {`{"w":{` + good + `},"__metadata__":{"format":"pt"}}`, 8, []string{"w"}},
		"metadata null":           {`{"__metadata__":null,"w":{` + good + `}}`, 8, []string{"w"}},
		"64 dimensions":           {one(`"dtype":"U8","shape":[1` + strings.Repeat(",1", 63) + `],"data_offsets":[0,1]`), 1, []string{"w"}},
		"unsorted":                {`{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 3, []string{"b", "a"}},
		"empty between":           {`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"c":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"d":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2, []string{"d", "b", "c", "a"}},
		"names":                   {`{"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0000\n\ud83d\ude00\/":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"ж":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0, []string{"", "\x00\n😀/", "ж"}},
		"escaped fields":          {one(`"\u0064type":"F\u00332","shape":[2],"data_offsets":[0,8]`), 8, []string{"w"}},
		"names that differ":       {`{"\u00e9":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"e\u0301":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0, []string{"\u00e9", "e\u0301"}},
	} {
		h, err := Decode(ctx, file(c.header, c.data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, e := range h.Entries {
			names = append(names, e.Name)
		}
		if !slices.Equal(names, c.names) {
			t.Errorf("%s: tensors %q, want %q", name, names, c.names)
		}
	}
}

// TestTypes: every type of the container, with the bytes that eight elements take.
func TestTypes(t *testing.T) {
	for dtype, size := range map[string]int{
		"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
		"F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
	} {
		h, err := Decode(ctx, file(fmt.Sprintf(`{"w":{"dtype":%q,"shape":[2,4],"data_offsets":[0,%d]}}`, dtype, size), size))
		if err != nil {
			t.Errorf("%s: %v", dtype, err)
		} else if got := h.Entries[0].DType.String(); got != dtype {
			t.Errorf("%s is read as %s", dtype, got)
		}
	}
}

// TestRead: the tensors of a model are the bytes of the file.
func TestRead(t *testing.T) {
	f := file(`{"__metadata__":{"a":"b"},"x":{"dtype":"I16","shape":[2,3],"data_offsets":[5,17]},"y":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"z":{"dtype":"F64","shape":[0],"data_offsets":[17,17]}}`, 17)
	m, err := Read(ctx, folder{"a/model.safetensors": f}, "a/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if m.Format != "safetensors" || m.File != "a/model.safetensors" || m.Source != f || m.Shards != nil || !reflect.DeepEqual(m.Metadata, map[string]string{"a": "b"}) {
		t.Errorf("%+v", m)
	}
	data := f.data[len(f.data)-17:]
	want := map[string][]byte{"x": data[5:], "y": data[:5], "z": {}}
	for _, x := range m.Tensors {
		got := make([]byte, x.Data.Size())
		if _, err := x.Data.ReadAt(ctx, nil, got, 0); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want[x.Name]) {
			t.Errorf("%s: % x, want % x", x.Name, got, want[x.Name])
		}
	}
	if f.read > int64(len(f.data)) {
		t.Errorf("read %d bytes of a header of %d", f.read, len(f.data)-17)
	}
}

// TestReadsHeaderAlone: of a large file no tensor's byte is read.
func TestReadsHeaderAlone(t *testing.T) {
	f := file(`{"w":{"dtype":"F32","shape":[100000,1000000],"data_offsets":[0,400000000000]}}`, 0)
	head := int64(len(f.data))
	f.size = head + 400_000_000_000
	if _, err := Decode(ctx, f); err != nil {
		t.Fatal(err)
	}
	if f.read != head {
		t.Errorf("read %d bytes of a header of %d", f.read, head)
	}
}

// TestWindows: a token may lie anywhere across the pieces that a header is read in.
func TestWindows(t *testing.T) {
	tail := `"n\u0061me":{"dtype":"F32","shape":[12],"data_offsets":[0,48]}}`
	for cut := range len(tail) + 3 {
		pad := strings.Repeat(" ", window-cut)
		h, err := Decode(ctx, file("{"+pad+tail, 48))
		if err != nil || len(h.Entries) != 1 || h.Entries[0].Name != "name" || h.Entries[0].Shape[0] != 12 || h.Entries[0].End != 48 {
			t.Fatalf("cut %d bytes before the end of a piece: %v", cut, err)
		}
	}
}

// header makes a random header that is in order.
func header(r *rand.Rand) (map[string]string, []Entry) {
	alphabet := []string{"a", "b", ".", "weight", "\"", "\\", "\n", "\x00", "\x1f", "é", "重", "😀", "\u2028", "/", "%", "\x7f", "<"}
	word := func() string {
		var s string
		for range r.IntN(6) {
			s += alphabet[r.IntN(len(alphabet))]
		}
		return s
	}
	metadata := map[string]string{}
	for range r.IntN(4) {
		metadata[word()] = word()
	}
	var entries []Entry
	seen := map[string]bool{}
	var end int64
	for range r.IntN(20) {
		e := Entry{Name: word(), DType: model.Bool + model.DType(r.IntN(int(model.C128-model.Bool))), Begin: end}
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		for range r.IntN(4) {
			e.Shape = append(e.Shape, r.Int64N(5))
		}
		e.Shape = append(e.Shape, 4*r.Int64N(3)) // whole bytes of every type
		n, _ := model.Elements(e.Shape)
		size, err := e.DType.Bytes(n)
		if err != nil {
			panic(err)
		}
		end += size
		e.End = end
		entries = append(entries, e)
	}
	return metadata, entries
}

func plain(entries []Entry) []Entry {
	bare := slices.Clone(entries)
	for i := range bare {
		bare[i].at = 0
		if len(bare[i].Shape) == 0 {
			bare[i].Shape = nil
		}
	}
	return bare
}

// TestEncode: what is written is read again as it was, and its data begins at a multiple of 64.
func TestEncode(t *testing.T) {
	for seed := range uint64(2000) {
		metadata, entries := header(rand.New(rand.NewPCG(seed, 0)))
		head, err := Encode(metadata, entries)
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		if len(entries) > 0 {
			size = entries[len(entries)-1].End
		}
		h, err := Decode(ctx, &stored{data: head, size: int64(len(head)) + size})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, head[8:])
		}
		if !reflect.DeepEqual(h.Metadata, metadata) || !reflect.DeepEqual(plain(h.Entries), plain(entries)) {
			t.Fatalf("seed %d: other entries\n%s", seed, head[8:])
		}
		if h.Start%align != 0 || h.Start != int64(len(head)) {
			t.Fatalf("seed %d: data at %d after a header of %d", seed, h.Start, len(head))
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		metadata map[string]string
		entries  []Entry
		kind     fault.Kind
	}{
		"complex128":         {nil, []Entry{{Name: "w", DType: model.C128}}, fault.Unsupported},
		"strings":            {nil, []Entry{{Name: "w", DType: model.String}}, fault.Unsupported},
		"no type":            {nil, []Entry{{Name: "w"}}, fault.Unsupported},
		"the metadata's key": {nil, []Entry{{Name: "__metadata__", DType: model.U8}}, fault.Unsupported},
		"name":               {nil, []Entry{{Name: "w\xff", DType: model.U8}}, fault.Unsupported},
		"metadata":           {map[string]string{"a": "\xff"}, nil, fault.Unsupported},
		"long metadata":      {map[string]string{"a": strings.Repeat("x", maxHeader)}, nil, fault.Limit},
		"long names":         {nil, slices.Repeat([]Entry{{Name: strings.Repeat("x", 50_000_000), DType: model.U8}}, 3), fault.Limit},
	} {
		if _, err := Encode(c.metadata, c.entries); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// FuzzDecode: whatever is taken is taken again when it is written anew, and then writing changes nothing.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{one(good), `{}`, `{"__metadata__":null}`, ` {"__metadata__":{"a":"\ud83d\ude00"},"\u0000":{"dtype":"F4","shape":[2],"data_offsets":[0,1],"x":[1.5e-7,{}]}}`,
		`{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`} {
		f.Add([]byte(s), uint16(8))
		f.Add([]byte(s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, data uint16) {
		src := &stored{data: binary.LittleEndian.AppendUint64(nil, uint64(len(text)))}
		src.data = append(src.data, text...)
		src.size = int64(len(src.data)) + int64(data)
		h, err := Decode(ctx, src)
		if err != nil {
			if fault.KindOf(err) == fault.Unknown {
				t.Fatalf("an error without a kind: %v", err)
			}
			return
		}
		head, err := Encode(h.Metadata, h.Entries)
		if err != nil {
			t.Fatalf("cannot be written: %v", err)
		}
		again, err := Decode(ctx, &stored{data: head, size: int64(len(head)) + int64(data)})
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, head[8:])
		}
		if !reflect.DeepEqual(again.Metadata, h.Metadata) || !reflect.DeepEqual(plain(again.Entries), plain(h.Entries)) {
			t.Fatalf("what was written is another header\n%s\n%s", text, head[8:])
		}
		if twice, err := Encode(again.Metadata, again.Entries); err != nil || !bytes.Equal(twice, head) {
			t.Fatalf("written twice, it differs: %v", err)
		}
	})
}

// TestLargeHeader: a header as large as one may be costs a few times its size, not a tree of it.
func TestLargeHeader(t *testing.T) {
	if raced {
		t.Skip("memory is not measured under the race detector")
	}
	const count = 850_000
	text := make([]byte, 8, maxHeader+8)
	text = append(text, '{')
	for i := range count {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `"model.layers.%d.mlp.experts.%d.up_proj.weight":{"dtype":"F16","shape":[1,2],"data_offsets":[%d,%d]}`, i/500, i%500, 4*i, 4*i+4)
	}
	text = append(text, '}')
	if len(text) > maxHeader+8 {
		t.Fatalf("the header is %d bytes long", len(text))
	}
	for len(text) < maxHeader+8 {
		text = append(text, ' ')
	}
	binary.LittleEndian.PutUint64(text, uint64(len(text)-8))
	f := &stored{name: "large", data: text, size: int64(len(text)) + 4*count}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m, err := Read(ctx, folder{"m.safetensors": f}, "m.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept, made := int64(after.HeapAlloc-before.HeapAlloc), int64(after.TotalAlloc-before.TotalAlloc)
	t.Logf("%d tensors: %d MB kept, %d MB allocated", len(m.Tensors), kept>>20, made>>20)
	if len(m.Tensors) != count {
		t.Errorf("%d tensors", len(m.Tensors))
	}
	if kept > 280<<20 || made > 700<<20 {
		t.Errorf("a header of %d MB keeps %d MB and took %d MB", len(text)>>20, kept>>20, made>>20)
	}
	if f.most > window {
		t.Errorf("a read of %d bytes", f.most)
	}
	runtime.KeepAlive(m)
}

// TestTooManyTensors: one more than there may be.
func TestTooManyTensors(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range maxTensors + 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	b.WriteByte('}')
	if _, err := Decode(ctx, file(b.String(), 0)); fault.KindOf(err) != fault.Limit {
		t.Errorf("%v", err)
	}
}
