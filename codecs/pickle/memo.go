package pickle

import (
	"strconv"

	"github.com/isomerfs/isomerfs/fault"
)

// memo holds the values that the pickle numbered: the numbers 0, 1, 2, ..., as every pickler gives them, in a slice,
// and any others in a map, so that a number costs nothing by being large.
type memo struct {
	dense  []Value
	sparse map[uint64]Value
}

func (m *memo) put(i uint64, v Value) {
	if i < uint64(len(m.dense)) {
		m.dense[i] = v
		return
	}
	if _, ok := m.sparse[i]; !ok && i == uint64(len(m.dense)) {
		m.dense = append(m.dense, v)
		return
	}
	if m.sparse == nil {
		m.sparse = map[uint64]Value{}
	}
	m.sparse[i] = v
}

func (m *memo) get(i uint64) (Value, bool) {
	if i < uint64(len(m.dense)) {
		return m.dense[i], true
	}
	v, ok := m.sparse[i]
	return v, ok
}

// size is how many numbers are taken, which is the next that MEMOIZE gives.
func (m *memo) size() uint64 { return uint64(len(m.dense) + len(m.sparse)) }

// remember executes the opcodes of the memo.
func (m *machine) remember(op byte) error {
	var i uint64
	var err error
	switch op {
	case opMemoize:
		i = m.memo.size()
	case opBinput, opBinget:
		i, err = m.uint(1)
	case opLongBinput, opLongBinget:
		i, err = m.uint(4)
	default:
		var line string
		if line, err = m.line(); err != nil {
			return err
		}
		if i, err = strconv.ParseUint(line, 10, 63); err != nil {
			return m.fault(fault.Malformed, "%s is no number of the memo", quoted(line))
		}
	}
	if err != nil {
		return err
	}
	switch op {
	case opPut, opBinput, opLongBinput, opMemoize:
		v, err := m.top("PUT")
		if err != nil {
			return err
		}
		m.memo.put(i, v)
		if i < uint64(len(m.memo.dense)) {
			return m.hold(perItem)
		}
		return m.hold(perKey)
	}
	v, ok := m.memo.get(i)
	if !ok {
		return m.fault(fault.Malformed, "memo %d is read before it is written", i)
	}
	return m.push(v)
}
