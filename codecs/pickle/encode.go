package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/isomerfs/isomerfs/fault"
)

// EncodeOptions say how values are written. The zero value writes them as they are.
type EncodeOptions struct {
	// Replace is asked, once each, about the *List, *Tuple, *Dict, *Set, *Global, *Object and *Persistent that are
	// written, and may give another value to write instead; what that holds is asked about in turn, except for itself.
	// ok is false for what stays. May be nil.
	Replace func(v Value) (other Value, ok bool)
}

// Encode writes v as a pickle of protocol 2, which is torch.save's: with the opcodes, the memo and the batches of
// CPython's pickler, so that what Python wrote comes back byte for byte where its strings were as many objects as
// they are values. Python 3's bytes and sets are written as the calls of _codecs.encode and set that protocol 2 has for
// them. Keyword arguments of NEWOBJ_EX are written with that opcode of protocol 4.
//
// Values may be shared and may hold themselves, as long as some list, dict or object's state closes the circle. What
// cannot be written: a value of a type that Value does not name (Usage), a circle through a set (Unsupported), values
// nested too deep (Limit), names of globals with newlines, or that would be read as others (Unsupported).
func Encode(v Value, o EncodeOptions) ([]byte, error) {
	e := encoder{out: []byte{opProto, 2}, replace: o.Replace, memo: map[any]int{}, open: map[*Set]bool{}}
	if err := e.save(v); err != nil {
		return nil, err
	}
	return append(e.out, opStop), nil
}

// batch is how many items one APPENDS or SETITEMS adds.
const batch = 1000

type encoder struct {
	out      []byte
	replace  func(v Value) (Value, bool)
	replaced map[Value]Value
	memo     map[any]int // by pointer; a string by its value, a global by its name, bytes by where they lie
	open     map[*Set]bool
	depth    int
}

// globalKey and bytesKey are keys of the memo.
type (
	globalKey struct{ module, name string }
	bytesKey  struct {
		at *byte
		n  int
	}
)

// save writes a value.
func (e *encoder) save(v Value) error {
	if e.replace != nil && (marked(v) != nil || isGlobal(v)) {
		v = e.substitute(v)
	}
	if e.depth++; e.depth > maxDepth {
		return fault.New(fault.Limit, "values nest more than %d deep", maxDepth)
	}
	defer func() { e.depth-- }()

	switch v := v.(type) {
	case nil:
		e.op(opNone)
	case bool:
		if v {
			e.op(opNewtrue)
		} else {
			e.op(opNewfalse)
		}
	case int64:
		e.int(v)
	case *big.Int:
		return e.bigInt(v)
	case float64:
		e.out = binary.BigEndian.AppendUint64(append(e.out, opBinfloat), math.Float64bits(v))
	case string:
		return e.str(v)
	case Bytes:
		return e.bytes(v)
	case *List:
		if !e.get(v) {
			e.op(opEmptyList)
			e.put(v)
			return e.items(v.Items, true)
		}
	case *Tuple:
		return e.tuple(v)
	case *Dict:
		if !e.get(v) {
			e.op(opEmptyDict)
			e.put(v)
			return e.entries(v.Entries, true)
		}
	case *Set:
		return e.set(v)
	case *Global:
		return e.global(v)
	case *Object:
		return e.object(v)
	case *Persistent:
		if err := e.save(v.ID); err != nil {
			return err
		}
		e.op(opBinpersid)
	default:
		return fault.New(fault.Usage, "a pickle holds no %T", v)
	}
	return nil
}

func isGlobal(v Value) bool { _, ok := v.(*Global); return ok }

// substitute is what is written for v.
func (e *encoder) substitute(v Value) Value {
	if other, known := e.replaced[v]; known {
		return other
	}
	other, ok := e.replace(v)
	if !ok {
		other = v
	}
	if e.replaced == nil {
		e.replaced = map[Value]Value{}
	}
	e.replaced[v] = other
	if marked(other) != nil || isGlobal(other) {
		e.replaced[other] = other
	}
	return other
}

func (e *encoder) op(op byte) { e.out = append(e.out, op) }

// put numbers what lies on the stack.
func (e *encoder) put(key any) {
	i := len(e.memo)
	e.memo[key] = i
	if i < 256 {
		e.out = append(e.out, opBinput, byte(i))
	} else {
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opLongBinput), uint32(i))
	}
}

// get writes what was written before by its number; it is false of what was not.
func (e *encoder) get(key any) bool {
	i, ok := e.memo[key]
	if !ok {
		return false
	}
	if i < 256 {
		e.out = append(e.out, opBinget, byte(i))
	} else {
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opLongBinget), uint32(i))
	}
	return true
}

func (e *encoder) int(n int64) {
	switch {
	case n >= 0 && n <= math.MaxUint8:
		e.out = append(e.out, opBinint1, byte(n))
	case n >= 0 && n <= math.MaxUint16:
		e.out = binary.LittleEndian.AppendUint16(append(e.out, opBinint2), uint16(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opBinint), uint32(n))
	default:
		raw := binary.LittleEndian.AppendUint64(nil, uint64(n))
		e.long(raw)
	}
}

// long writes a number in two's complement, without the bytes that only repeat its sign.
func (e *encoder) long(raw []byte) {
	for n := len(raw); n > 1; n-- {
		sign := byte(0)
		if raw[n-2]&0x80 != 0 {
			sign = 0xff
		}
		if raw[n-1] != sign {
			break
		}
		raw = raw[:n-1]
	}
	if len(raw) < 256 {
		e.out = append(e.out, opLong1, byte(len(raw)))
	} else {
		e.out = binary.LittleEndian.AppendUint32(append(e.out, opLong4), uint32(len(raw)))
	}
	e.out = append(e.out, raw...)
}

func (e *encoder) bigInt(n *big.Int) error {
	if n.IsInt64() {
		e.int(n.Int64())
		return nil
	}
	width := n.BitLen()/8 + 1
	if width > math.MaxInt32 {
		return fault.New(fault.Limit, "a number of %d bits", n.BitLen())
	}
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*width)))
	}
	raw := make([]byte, width)
	n.FillBytes(raw)
	for i, j := 0, len(raw)-1; i < j; i, j = i+1, j-1 {
		raw[i], raw[j] = raw[j], raw[i]
	}
	e.long(raw)
	return nil
}

func (e *encoder) str(text string) error {
	if e.get(text) {
		return nil
	}
	if at := invalid(text); at >= 0 {
		return fault.New(fault.Usage, "byte %d of a str of %d bytes is no UTF-8", at, len(text))
	}
	if len(text) > math.MaxUint32 {
		return fault.New(fault.Limit, "a str of %d bytes", len(text))
	}
	e.out = binary.LittleEndian.AppendUint32(append(e.out, opBinunicode), uint32(len(text)))
	e.out = append(e.out, text...)
	e.put(text)
	return nil
}

// bytes writes bytes as the text that Latin-1 makes of them, and the call that makes bytes of the text.
func (e *encoder) bytes(raw Bytes) error {
	key := bytesKey{unsafe.SliceData(raw), len(raw)}
	if len(raw) == 0 {
		key = bytesKey{}
	}
	if e.get(key) {
		return nil
	}
	if len(raw) == 0 {
		if err := e.call(&Global{Module: "builtins", Name: "bytes"}, &Tuple{}); err != nil {
			return err
		}
		e.put(key)
		return nil
	}
	var text strings.Builder
	text.Grow(len(raw))
	for _, b := range raw {
		text.WriteRune(rune(b))
	}
	if err := e.call(&Global{Module: "_codecs", Name: "encode"}, &Tuple{Items: []Value{text.String(), "latin1"}}); err != nil {
		return err
	}
	e.put(key)
	return nil
}

func (e *encoder) tuple(t *Tuple) error {
	n := len(t.Items)
	switch {
	case n == 0:
		e.op(opEmptyTuple)
		return nil
	case e.get(t):
		return nil
	case n > 3:
		e.op(opMark)
	}
	for _, item := range t.Items {
		if err := e.save(item); err != nil {
			return err
		}
	}
	if _, held := e.memo[t]; held { // by one of its own items: what was begun here is dropped
		if n > 3 {
			e.op(opPopMark)
		} else {
			for range n {
				e.op(opPop)
			}
		}
		e.get(t)
		return nil
	}
	if n > 3 {
		e.op(opTuple)
	} else {
		e.op(opTuple1 + byte(n-1))
	}
	e.put(t)
	return nil
}

// set writes a set, which protocol 2 has no opcode for, as the call of its class with a list.
func (e *encoder) set(s *Set) error {
	if e.get(s) {
		return nil
	}
	if e.open[s] {
		return fault.New(fault.Unsupported, "a set that holds itself")
	}
	e.open[s] = true
	defer delete(e.open, s)
	name := "set"
	if s.Frozen {
		name = "frozenset"
	}
	if err := e.call(&Global{Module: "builtins", Name: name}, &Tuple{Items: []Value{&List{Items: s.Items}}}); err != nil {
		return err
	}
	e.put(s)
	return nil
}

func (e *encoder) global(g *Global) error {
	key := globalKey{g.Module, g.Name}
	if e.get(key) {
		return nil
	}
	module, name, ok := python2(g.Module, g.Name)
	if !ok {
		return fault.New(fault.Unsupported, "protocol 2 cannot name %s: Python 2 had another module of that name", quoted(g.String()))
	}
	if strings.ContainsRune(module+name, '\n') || !utf8.ValidString(module+name) {
		return fault.New(fault.Unsupported, "protocol 2 cannot name %s", quoted(g.String()))
	}
	e.op(opGlobal)
	e.out = append(e.out, module...)
	e.op('\n')
	e.out = append(e.out, name...)
	e.op('\n')
	e.put(key)
	return nil
}

// call writes a callable, its arguments, and REDUCE.
func (e *encoder) call(class Value, args *Tuple) error {
	if err := e.save(class); err != nil {
		return err
	}
	if err := e.save(args); err != nil {
		return err
	}
	e.op(opReduce)
	return nil
}

func (e *encoder) object(o *Object) error {
	if e.get(o) {
		return nil
	}
	args := o.Args
	if args == nil {
		args = &Tuple{}
	}
	switch {
	case !o.New:
		if err := e.call(o.Class, args); err != nil {
			return err
		}
	default:
		if err := e.save(o.Class); err != nil {
			return err
		}
		if err := e.save(args); err != nil {
			return err
		}
		if o.Kwargs == nil {
			e.op(opNewobj)
			break
		}
		if err := e.save(o.Kwargs); err != nil {
			return err
		}
		e.op(opNewobjEx)
	}
	if _, held := e.memo[o]; held { // by its own arguments: what was made here is dropped
		e.op(opPop)
		e.get(o)
		return nil
	}
	e.put(o)
	if err := e.items(o.Items, false); err != nil {
		return err
	}
	if err := e.entries(o.Entries, false); err != nil {
		return err
	}
	if !o.Built {
		return nil
	}
	if err := e.save(o.State); err != nil {
		return err
	}
	e.op(opBuild)
	return nil
}

// items writes what is appended to a list, or to an object. CPython asks an object's iterator for more than one before
// it begins a batch, but looks only once at a list's length: the last batch of a list may be of one.
func (e *encoder) items(items []Value, list bool) error {
	return e.batches(len(items), list, opAppend, opAppends, func(i int) error { return e.save(items[i]) })
}

// entries writes what is set in a dict or in an object.
func (e *encoder) entries(entries []Entry, dict bool) error {
	return e.batches(len(entries), dict, opSetitem, opSetitems, func(i int) error {
		if err := e.save(entries[i].Key); err != nil {
			return err
		}
		return e.save(entries[i].Value)
	})
}

func (e *encoder) batches(n int, exact bool, one, many byte, save func(i int) error) error {
	for i := 0; i < n; {
		last := min(i+batch, n)
		single := last-i == 1 && (!exact || n == 1)
		if !single {
			e.op(opMark)
		}
		for ; i < last; i++ {
			if err := save(i); err != nil {
				return err
			}
		}
		if single {
			e.op(one)
		} else {
			e.op(many)
		}
	}
	return nil
}
