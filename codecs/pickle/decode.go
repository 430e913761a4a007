// Package pickle reads Python's pickles without running them, writes them, and says what they would import.
//
// A pickle is a program: opcodes of one byte, each with its argument, for a machine with a stack and a memo. Python's
// machine imports what GLOBAL names and calls what REDUCE finds, so that loading a pickle may do anything at all. The
// machine here has no import and no call: it records both, as a Global and an Object, and the reader of a format knows
// the few that matter to it. The specification is CPython's Lib/pickletools.py; protocols 0 to 5 are read.
//
// # Security
//
// Whatever the bytes, Decode runs nothing, does not panic, and takes time and memory in proportion to their length. A
// verdict on a global (see Judge) is advice on what Python would do with the same file; nothing here depends on it.
package pickle

import (
	"math"
	"math/big"

	"github.com/isomerfs/isomerfs/fault"
)

const (
	// maxDepth is how deep values nest. Python's own pickler stops at its recursion limit, 1000 by default.
	maxDepth = 1000

	// maxObjects is how many values a pickle may make for each byte that was read. An opcode makes one, and few opcodes come
	// without an argument: more is made only by repeating what is large, which no pickler does.
	maxObjects = 4

	// maxMemory is how many bytes of memory a pickle's values take for each byte that was read, beyond freeMemory and up
	// to allMemory. Real checkpoints take 2 to 10; a list of empty dicts in protocol 4 takes this.
	maxMemory  = 32
	freeMemory = 1 << 20
	allMemory  = 1 << 30

	// maxStack is how many values lie on the stack at once. Picklers empty it every 1000 items, but for tuples.
	maxStack = 1 << 25

	// maxLong is how many bytes a number has. Whoever prints one takes more than proportional time.
	maxLong = 64 << 10

	// maxDigits is how long a number in decimal text is. Python stops there too (sys.set_int_max_str_digits): the
	// time to read one grows with the square.
	maxDigits = 4300
)

// Options say how a pickle is read. The zero value is right for most.
type Options struct {
	// Imports notes each name that the pickle would import, when it would, so also in pickles that turn out to be
	// broken later. May be nil.
	Imports *Imports

	// Base is added to the offsets of errors and imports: where the pickle lies in its file.
	Base int64

	fixed bool // Base is the offset of everything in it: the pickle lies in another
}

// Decode reads the pickle that data begins with and returns its value and its length: what follows its STOP is the
// caller's. An error says what Python's machine, or this one's limits, would not take, at its offset. The value may
// hold slices of data.
func Decode(data []byte, o Options) (v Value, n int, err error) {
	m := machine{reader: reader{data: data, base: o.Base, fixed: o.fixed}, imports: o.Imports}
	v, err = m.run()
	if err == nil {
		err = m.checkDepth(v)
	}
	if err != nil {
		return nil, 0, err
	}
	return v, m.pos, nil
}

// machine is the pickle machine.
type machine struct {
	reader
	imports *Imports // may be nil
	stack   []Value
	marks   []int // heights of stack at which a MARK lies, ascending: nothing below the last can be reached
	memo    memo
	keys    map[Value]map[Value]struct{} // of the dicts with more than a few items, to find a key that stands twice
	made    int64                        // values
	memory  int64                        // bytes that they take, about

	protocol byte // as the last PROTO says
}

// run executes opcodes until STOP.
func (m *machine) run() (Value, error) {
	for {
		m.start = m.pos
		op, err := m.byte()
		if err != nil {
			return nil, fault.At(fault.Truncated, m.off(), "the pickle ends without STOP")
		}
		if op == opStop {
			return m.pop("STOP")
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
	}
}

// step executes one opcode.
func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		version, err := m.byte()
		if err == nil && version > maxProtocol {
			err = m.fault(fault.Unsupported, "pickle protocol %d: those up to %d are known", version, maxProtocol)
		}
		m.protocol = version
		return err
	case opFrame:
		n, err := m.uint(8)
		if err == nil && n > uint64(m.left()) {
			err = m.fault(fault.Truncated, "a frame of %d bytes, and the pickle ends after %d", n, m.left())
		}
		return err

	case opMark:
		m.marks = append(m.marks, len(m.stack))
		return m.hold(perNumber)
	case opPop:
		if n := len(m.marks); n > 0 && m.marks[n-1] == len(m.stack) {
			m.marks = m.marks[:n-1]
			return nil
		}
		_, err := m.pop("POP")
		return err
	case opPopMark:
		_, err := m.popMark("POP_MARK")
		return err
	case opDup:
		v, err := m.top("DUP")
		if err != nil {
			return err
		}
		return m.push(v)

	case opNone:
		return m.push(nil)
	case opNewtrue:
		return m.push(true)
	case opNewfalse:
		return m.push(false)
	case opInt, opLong, opBinint, opBinint1, opBinint2, opLong1, opLong4, opFloat, opBinfloat:
		return m.number(op)
	case opString, opBinstring, opShortBinstring, opUnicode, opBinunicode, opShortBinunicode, opBinunicode8,
		opBinbytes, opShortBinbytes, opBinbytes8, opBytearray8:
		return m.text(op)
	case opNextBuffer, opReadonlyBuffer:
		return m.fault(fault.Unsupported, "a buffer that lies outside the pickle")

	case opEmptyTuple, opTuple, opTuple1, opTuple2, opTuple3, opEmptyList, opList, opEmptyDict, opDict, opEmptySet, opFrozenset:
		return m.container(op)
	case opAppend, opAppends, opAdditems, opSetitem, opSetitems:
		return m.fill(op)

	case opGlobal, opStackGlobal, opInst, opObj, opReduce, opNewobj, opNewobjEx, opBuild:
		return m.object(op)
	case opExt1, opExt2, opExt4:
		return m.extension(op)
	case opPersid, opBinpersid:
		return m.persistent(op)

	case opPut, opBinput, opLongBinput, opMemoize, opGet, opBinget, opLongBinget:
		return m.remember(op)
	}
	return m.fault(fault.Malformed, "0x%02x is no opcode", op)
}

// spend counts n values that are about to be made.
func (m *machine) spend(n int) error {
	if m.made += int64(n); m.made > maxObjects*int64(m.pos) {
		return m.fault(fault.Limit, "%d values made of %d bytes: more than %d for each", m.made, m.pos, maxObjects)
	}
	return nil
}

// hold counts n bytes of memory.
func (m *machine) hold(n int) error {
	if m.memory += int64(n); m.memory > min(freeMemory+maxMemory*int64(m.pos), allMemory) {
		return m.fault(fault.Limit, "the values of %d bytes take %d of memory: more than %d for each", m.pos, m.memory, maxMemory)
	}
	return nil
}

// What values take: an interface, a slice's header, a container beyond its items.
const (
	perItem   = 16
	perEntry  = 2 * perItem
	perNumber = 8
	perKey    = 64 // in a map
	perValue  = 32
	perObject = 160
)

// push puts a value on the stack that is there already.
func (m *machine) push(v Value) error {
	if err := m.spend(1); err != nil {
		return err
	}
	if m.imports != nil {
		m.imports.pushed(v)
	}
	if len(m.stack) == maxStack {
		return m.fault(fault.Limit, "more than %d values on the stack", maxStack)
	}
	m.stack = append(m.stack, v)
	return nil
}

// make puts a new value on the stack.
func (m *machine) make(v Value) error {
	n := perValue
	switch v := v.(type) {
	case nil, bool:
		n = 0
	case int64:
		if n = perNumber; v >= 0 && v < 256 { // Go has these
			n = 0
		}
	case float64:
		n = perNumber
	case *big.Int:
		n += v.BitLen() / 8
	case string:
		n = perItem + len(v)
	case *List:
		n += perItem * len(v.Items)
	case *Tuple:
		n += perItem * len(v.Items)
	case *Set:
		n += perItem * len(v.Items)
	case *Global:
		n += len(v.Module) + len(v.Name)
	case *Object:
		n = perObject
	}
	if err := m.hold(n); err != nil {
		return err
	}
	return m.push(v)
}

// floor is the height of the stack below which the last MARK closes it.
func (m *machine) floor() int {
	if n := len(m.marks); n > 0 {
		return m.marks[n-1]
	}
	return 0
}

func (m *machine) top(op string) (Value, error) {
	if len(m.stack) <= m.floor() {
		return nil, m.underflow(op)
	}
	return m.stack[len(m.stack)-1], nil
}

func (m *machine) pop(op string) (Value, error) {
	v, err := m.top(op)
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

func (m *machine) underflow(op string) error {
	if len(m.marks) > 0 {
		return m.fault(fault.Malformed, "%s takes more than lies above the last MARK", op)
	}
	return m.fault(fault.Malformed, "%s takes more than lies on the stack", op)
}

// popMark pops what lies above the last MARK, and the MARK. The slice holds until the next push.
func (m *machine) popMark(op string) ([]Value, error) {
	n := len(m.marks)
	if n == 0 {
		return nil, m.fault(fault.Malformed, "%s without a MARK", op)
	}
	at := m.marks[n-1]
	m.marks = m.marks[:n-1]
	values := m.stack[at:]
	m.stack = m.stack[:at]
	return values, nil
}

// number executes the opcodes of ints and floats.
func (m *machine) number(op byte) error {
	var v Value
	switch op {
	case opBinint:
		n, err := m.uint(4)
		if err != nil {
			return err
		}
		v = int64(int32(n))
	case opBinint1, opBinint2:
		width := 1
		if op == opBinint2 {
			width = 2
		}
		n, err := m.uint(width)
		if err != nil {
			return err
		}
		v = int64(n)
	case opLong1:
		raw, err := m.counted(1)
		if err != nil {
			return err
		}
		v = long(raw)
	case opLong4:
		raw, err := m.signed()
		if err != nil {
			return err
		}
		if len(raw) > maxLong {
			return m.fault(fault.Limit, "a number of %d bytes, more than %d", len(raw), maxLong)
		}
		v = long(raw)
	case opBinfloat:
		raw, err := m.take(8)
		if err != nil {
			return err
		}
		v = math.Float64frombits(bigEndian(raw))
	default:
		line, err := m.line()
		if err != nil {
			return err
		}
		if v, err = m.decimal(op, line); err != nil {
			return err
		}
	}
	return m.make(v)
}

// long is a little-endian number in two's complement.
func long(raw []byte) Value {
	if len(raw) <= 8 {
		var n uint64
		for i, b := range raw {
			n |= uint64(b) << (8 * i)
		}
		shift := 64 - 8*len(raw)
		return int64(n<<shift) >> shift
	}
	reversed := make([]byte, len(raw))
	for i, b := range raw {
		reversed[len(raw)-1-i] = b
	}
	n := new(big.Int).SetBytes(reversed)
	if raw[len(raw)-1]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	return whole(n)
}

// whole is n as the type that a Value has for it.
func whole(n *big.Int) Value {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}
