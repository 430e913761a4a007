package optimizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isomerfs/isomerfs/codecs/pickle"
	"github.com/isomerfs/isomerfs/codecs/torch"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// text is a JSON document in the making. Numbers that tensors hold are spans of it: they are read when it is.
type text struct {
	parts []*layout.File
	buf   bytes.Buffer
	size  int64
}

func (t *text) add(s string) {
	t.buf.WriteString(s)
	t.size += int64(len(s))
}

func (t *text) file(f *layout.File) {
	t.flush()
	t.parts = append(t.parts, f)
	t.size += f.Size()
}

func (t *text) flush() {
	if t.buf.Len() > 0 {
		t.parts = append(t.parts, layout.Bytes(bytes.Clone(t.buf.Bytes())))
		t.buf.Reset()
	}
}

func (t *text) layout() (*layout.File, error) {
	t.flush()
	return layout.Concat(t.parts...)
}

// string adds a JSON string. A lone surrogate, which Python's text may have, is the escape of it.
func (t *text) string(s string) {
	t.add(`"`)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1 && len(s) >= 3 && s[0] == 0xed && s[1] >= 0xa0:
			t.add(`\u` + strconv.FormatUint(0xd000|uint64(s[1]&0x3f)<<6|uint64(s[2]&0x3f), 16))
			n = 3
		case r == utf8.RuneError && n == 1:
			t.add(`\ufffd`)
		case r == '"' || r == '\\':
			t.add(`\` + string(r))
		case r < 0x20:
			t.add(`\u00` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
		default:
			t.add(s[:n])
		}
		s = s[n:]
	}
	t.add(`"`)
}

// float adds a number; JSON has none for what is infinite or no number, and null stands for those.
func (t *text) float(x float64) { t.add(spell(x, 64)) }

func spell(x float64, bits int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "null"
	}
	s := strconv.FormatFloat(x, 'g', -1, bits)
	if !strings.ContainsAny(s, ".e") {
		s += ".0" // a float stays one for whoever reads it
	}
	return s
}

// spelled is the text of a tensor's one number, padded with blanks to a width that holds any.
type spelled model.DType

const spelledWidth = 24 // of -2.2250738585072014e-308

// String is the type and the version of the text.
func (s spelled) String() string { return "json " + model.DType(s).String() + "/1" }

// Block is one number.
func (s spelled) Block() (out int64, in []int64) {
	return spelledWidth, []int64{model.DType(s).Block().Bytes}
}

// Size is that of as many numbers.
func (s spelled) Size(in ...int64) (int64, error) {
	width := model.DType(s).Block().Bytes
	if len(in) != 1 || in[0] < 0 || in[0]%width != 0 || in[0]/width > math.MaxInt64/spelledWidth {
		return 0, fault.New(fault.Mismatch, "%s: %v bytes are no numbers of %d", s, in, width)
	}
	return in[0] / width * spelledWidth, nil
}

// Apply spells each number.
func (s spelled) Apply(dst []byte, src [][]byte) error {
	width := int(model.DType(s).Block().Bytes)
	for i := 0; (i+1)*spelledWidth <= len(dst) && (i+1)*width <= len(src[0]); i++ {
		out := dst[i*spelledWidth : (i+1)*spelledWidth]
		raw := src[0][i*width : (i+1)*width]
		text := "null"
		switch n, _ := torch.Number(model.DType(s), raw); n := n.(type) {
		case bool:
			text = strconv.FormatBool(n)
		case int64:
			text = strconv.FormatInt(n, 10)
		case *big.Int:
			text = n.String()
		case float64:
			bits := 32
			if model.DType(s) == model.F64 {
				bits = 64
			}
			text = spell(n, bits)
		}
		copy(out, text)
		for j := len(text); j < len(out); j++ {
			out[j] = ' '
		}
	}
	return nil
}

var _ layout.Op = spelled(0)

// number adds the one number of a tensor; false where it has none that JSON could hold.
func (t *text) number(tensor *torch.Tensor, label string) bool {
	if tensor.Left != "" || len(tensor.Shape) > 0 || tensor.Data == nil {
		return false
	}
	switch d := tensor.DType; d {
	case model.Bool, model.I8, model.U8, model.I16, model.U16, model.I32, model.U32, model.I64, model.U64, model.F64, model.F32, model.F16, model.BF16:
		f, err := layout.New(layout.Coded{Op: spelled(d), Label: label, In: []*layout.File{tensor.Data}})
		if err != nil {
			return false
		}
		t.file(f)
		return true
	}
	return false
}

// values writes values of pickles as JSON: dicts, lists and numbers as such, a tensor as the file that it is or as its
// one number, an object of any other class as {"class": ..., and what it was made of and holds}.
type values struct {
	t      *text
	c      *torch.Checkpoint
	tensor func(t *torch.Tensor, name string) // adds what stands for a tensor that is no number
	bare   bool                               // only the one called step is a number, others of one number are tensors
	skip   func(v pickle.Value) bool          // what is left out; may be nil
	open   []pickle.Value                     // what holds the value that is being written
	left   int                                // values that may still be written
}

const (
	mostValues = 1 << 18
	mostText   = 64 << 20 // bytes of a document
	deepest    = 256
)

// spent reports whether there is no room for another value.
func (w *values) spent() bool { return w.left <= 0 || w.t.size > mostText }

// any writes a value whose name is path.
func (w *values) any(v pickle.Value, path string) {
	if w.left--; w.spent() || len(w.open) > deepest {
		w.t.add(`{"left_out": "too many values"}`)
		return
	}
	switch v := v.(type) {
	case nil:
		w.t.add("null")
	case bool:
		w.t.add(strconv.FormatBool(v))
	case int64:
		w.t.add(strconv.FormatInt(v, 10))
	case *big.Int:
		if v.BitLen() > 4096 {
			w.t.add(`{"left_out": "a number of ` + strconv.Itoa(v.BitLen()) + ` bits"}`)
			return
		}
		w.t.add(v.String())
	case float64:
		w.t.float(v)
	case string:
		w.t.string(v)
	case pickle.Bytes:
		w.t.add(`{"base64": "` + base64.StdEncoding.EncodeToString(v) + `"}`)
	case *pickle.Global:
		w.t.string(v.String())
	case *pickle.Persistent:
		if t := w.c.Tensor(v); t != nil {
			w.one(t, path)
			return
		}
		w.t.add(`{"left_out": "a storage"}`)
	default:
		for _, o := range w.open {
			if o == v {
				w.t.add(`{"left_out": "it holds itself"}`)
				return
			}
		}
		w.open = append(w.open, v)
		w.holder(v, path)
		w.open = w.open[:len(w.open)-1]
	}
}

// one writes a tensor.
func (w *values) one(t *torch.Tensor, path string) {
	if w.bare && path != stepKey || !w.t.number(t, path) {
		w.tensor(t, path)
	}
}

func (w *values) holder(v pickle.Value, path string) {
	switch v := v.(type) {
	case *pickle.List:
		w.list(v.Items, path)
	case *pickle.Tuple:
		w.list(v.Items, path)
	case *pickle.Set:
		w.list(v.Items, path)
	case *pickle.Dict:
		w.dict(v.Entries, path)
	case *pickle.Object:
		w.object(v, path)
	}
}

func (w *values) list(items []pickle.Value, path string) {
	w.t.add("[")
	first := true
	for i, v := range items {
		if w.skip != nil && w.skip(v) {
			continue
		}
		if w.spent() {
			break
		}
		if !first {
			w.t.add(", ")
		}
		first = false
		w.any(v, below(path, strconv.Itoa(i)))
	}
	w.t.add("]")
}

// dict writes an object of JSON's, or a list of pairs where two keys would be one name.
func (w *values) dict(entries []pickle.Entry, path string) {
	kept := make([]pickle.Entry, 0, len(entries))
	names := map[string]bool{}
	for _, e := range entries {
		if w.skip == nil || !w.skip(e.Value) {
			kept = append(kept, e)
			names[torch.KeyName(e.Key)] = true
		}
	}
	if len(names) < len(kept) {
		w.t.add("[")
		for i, e := range kept {
			if w.spent() {
				break
			}
			if i > 0 {
				w.t.add(", ")
			}
			w.t.add("[")
			w.any(e.Key, path)
			w.t.add(", ")
			w.any(e.Value, below(path, torch.KeyName(e.Key)))
			w.t.add("]")
		}
		w.t.add("]")
		return
	}
	w.t.add("{")
	for i, e := range kept {
		if w.spent() {
			break
		}
		if i > 0 {
			w.t.add(", ")
		}
		name := torch.KeyName(e.Key)
		w.t.string(name)
		w.t.add(": ")
		w.any(e.Value, below(path, name))
	}
	w.t.add("}")
}

func (w *values) object(o *pickle.Object, path string) {
	if t := w.c.Tensor(o); t != nil {
		w.one(t, path)
		return
	}
	if n, ok := torch.Scalar(o); ok {
		w.any(n, path)
		return
	}
	class := pickle.ClassOf(o)
	if class != nil && class.Module == "collections" && o.State == nil {
		if entries, ok := pickle.Entries(o); ok {
			w.dict(entries, path)
			return
		}
	}
	w.t.add(`{"class": `)
	if class != nil {
		w.t.string(class.String())
	} else {
		w.t.add("null")
	}
	if len(o.Args.Items) > 0 {
		w.t.add(`, "args": `)
		w.list(o.Args.Items, path)
	}
	if o.State != nil {
		w.t.add(`, "state": `)
		w.any(o.State, path)
	}
	if len(o.Items) > 0 {
		w.t.add(`, "items": `)
		w.list(o.Items, path)
	}
	if len(o.Entries) > 0 {
		w.t.add(`, "entries": `)
		w.dict(o.Entries, path)
	}
	w.t.add("}")
}

// below is the name of what a value holds under a key.
func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// known is what is written of a tensor in a file of its own.
type known struct {
	File   string  `json:"file"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	NBytes int64   `json:"nbytes"`
}

// json adds a value of Go's.
func (t *text) json(v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.add("null")
		return
	}
	t.add(strings.TrimSuffix(b.String(), "\n"))
}
