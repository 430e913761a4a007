package pickle

import (
	"fmt"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// object executes the opcodes that import and call.
func (m *machine) object(op byte) error {
	switch op {
	case opGlobal:
		g, err := m.global()
		if err != nil {
			return err
		}
		return m.make(g)
	case opStackGlobal:
		g, err := m.stackGlobal()
		if err != nil {
			return err
		}
		return m.make(g)
	case opInst:
		g, err := m.global()
		if err != nil {
			return err
		}
		args, err := m.popMark("INST")
		if err != nil {
			return err
		}
		if m.imports != nil {
			m.imports.pushed(g)
		}
		return m.call(g, &Tuple{Items: append([]Value(nil), args...)})
	case opObj:
		args, err := m.popMark("OBJ")
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return m.fault(fault.Malformed, "OBJ without a class")
		}
		if err := m.callable("OBJ", args[0]); err != nil {
			return err
		}
		return m.call(args[0], &Tuple{Items: append([]Value(nil), args[1:]...)})
	case opBuild:
		return m.build()
	}

	name := map[byte]string{opReduce: "REDUCE", opNewobj: "NEWOBJ", opNewobjEx: "NEWOBJ_EX"}[op]
	var kwargs *Dict
	if op == opNewobjEx {
		v, err := m.pop(name)
		if err != nil {
			return err
		}
		d, ok := v.(*Dict)
		if !ok {
			return m.fault(fault.Malformed, "NEWOBJ_EX whose keyword arguments are %s", kindOf(v))
		}
		kwargs = d
	}
	v, err := m.pop(name)
	if err != nil {
		return err
	}
	args, ok := v.(*Tuple)
	if !ok {
		return m.fault(fault.Malformed, "%s whose arguments are %s", name, kindOf(v))
	}
	class, err := m.pop(name)
	if err != nil {
		return err
	}
	if err := m.callable(name, class); err != nil {
		return err
	}
	if op == opReduce {
		return m.call(class, args)
	}
	return m.make(&Object{Class: class, Args: args, Kwargs: kwargs, New: true, Off: int64(m.start)})
}

// callable refuses what no interpreter could call.
func (m *machine) callable(op string, class Value) error {
	switch class.(type) {
	case *Global, *Object, *Persistent:
		return nil
	}
	return m.fault(fault.Malformed, "%s calls %s", op, kindOf(class))
}

// global reads the module and the name of a GLOBAL or an INST.
func (m *machine) global() (*Global, error) {
	module, err := m.line()
	if err != nil {
		return nil, err
	}
	name, err := m.line()
	if err != nil {
		return nil, err
	}
	return m.imported(module, name)
}

func (m *machine) stackGlobal() (*Global, error) {
	name, err := m.pop("STACK_GLOBAL")
	if err != nil {
		return nil, err
	}
	module, err := m.pop("STACK_GLOBAL")
	if err != nil {
		return nil, err
	}
	mod, ok := module.(string)
	text, named := name.(string)
	if ok && named {
		return m.imported(mod, text)
	}
	for _, part := range []Value{module, name} {
		if _, computed := part.(*Object); computed {
			if m.imports != nil {
				m.imports.judged(Import{Module: spelled(module), Name: spelled(name), Verdict: Dangerous,
					Reason: "a name that is computed can be any", Off: m.off()})
			}
			return nil, m.fault(fault.Unsafe, "the name of a global is computed by %s", kindOf(part))
		}
	}
	return nil, m.fault(fault.Malformed, "STACK_GLOBAL of %s and %s", kindOf(module), kindOf(name))
}

// spelled is a part of a global's name, ? where a call computes it.
func spelled(part Value) string {
	if text, ok := part.(string); ok {
		return text
	}
	return "?"
}

func (m *machine) imported(module, name string) (*Global, error) {
	if at := invalid(module + name); at >= 0 {
		return nil, m.fault(fault.Malformed, "the name of a global is no UTF-8: %s", quoted(module+"."+name))
	}
	if m.protocol < 3 {
		module, name = python3(module, name)
	}
	g := &Global{Module: module, Name: name, Off: int64(m.start)}
	m.found(g)
	return g, nil
}

// found notes a global.
func (m *machine) found(g *Global) {
	if m.imports != nil {
		m.imports.add(g.Module, g.Name, m.off())
	}
}

// extension executes EXT1, EXT2 and EXT4.
func (m *machine) extension(op byte) error {
	code, err := m.uint(map[byte]int{opExt1: 1, opExt2: 2, opExt4: 4}[op])
	if err != nil {
		return err
	}
	if m.imports != nil {
		m.imports.judged(Import{Module: "?", Name: fmt.Sprintf("extension %d", code), Verdict: Dangerous,
			Reason: "a code of copyreg's registry stands for whatever the loading program registered", Off: m.off()})
	}
	return m.fault(fault.Unsafe, "extension %d stands for a global that only the program which wrote the pickle knows", code)
}

// call records the call of class. A few of Python's functions only spell values that protocol 2 has no opcode for;
// what they would make is known, and made.
func (m *machine) call(class Value, args *Tuple) error {
	if m.imports != nil {
		m.imports.called(class, args, m.off())
	}
	if g, ok := class.(*Global); ok {
		switch {
		case g.Is("_codecs", "encode"):
			if raw, ok := latin1(args); ok {
				if err := m.hold(len(raw)); err != nil {
					return err
				}
				return m.make(Bytes(raw))
			}
		case g.Is("builtins", "bytes") && len(args.Items) == 0:
			return m.make(Bytes{})
		case g.Is("builtins", "set") || g.Is("builtins", "frozenset"):
			if s, ok := set(args); ok {
				if err := m.spend(len(s.Items)); err != nil {
					return err
				}
				s.Items = append([]Value(nil), s.Items...)
				s.Frozen = g.Name == "frozenset"
				return m.make(s)
			}
		}
	}
	return m.make(&Object{Class: class, Args: args, Off: int64(m.start)})
}

// latin1 is what _codecs.encode(text, "latin1") is, as which Python 3 writes bytes in the protocols that have none.
func latin1(args *Tuple) ([]byte, bool) {
	if len(args.Items) != 2 {
		return nil, false
	}
	text, ok := args.Items[0].(string)
	if codec, _ := args.Items[1].(string); !ok || codec != "latin1" {
		return nil, false
	}
	raw := make([]byte, 0, len(text))
	for _, c := range text {
		if c > 0xff {
			return nil, false
		}
		raw = append(raw, byte(c))
	}
	return raw, true
}

// set is the set of the one list that args holds.
func set(args *Tuple) (*Set, bool) {
	if len(args.Items) != 1 {
		return nil, false
	}
	list, ok := args.Items[0].(*List)
	if !ok {
		return nil, false
	}
	return &Set{Items: list.Items}, true
}

func (m *machine) build() error {
	state, err := m.pop("BUILD")
	if err != nil {
		return err
	}
	v, err := m.top("BUILD")
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *Object:
		if v.Built {
			return m.fault(fault.Unsupported, "the state of %s is set twice", kindOf(v))
		}
		v.Built, v.State = true, state
		return nil
	case *Global:
		return m.fault(fault.Unsafe, "BUILD would change %s itself", kindOf(v))
	case *Persistent:
		return m.fault(fault.Unsupported, "BUILD of %s", kindOf(v))
	}
	return m.fault(fault.Malformed, "BUILD of %s, which has no state", kindOf(v))
}

// persistent executes PERSID and BINPERSID.
func (m *machine) persistent(op byte) error {
	if op == opPersid {
		line, err := m.line()
		if err != nil {
			return err
		}
		if strings.IndexFunc(line, func(c rune) bool { return c > 0x7f }) >= 0 {
			return m.fault(fault.Malformed, "PERSID %s is not ASCII", quoted(line))
		}
		return m.make(&Persistent{ID: line, Off: int64(m.start)})
	}
	id, err := m.pop("BINPERSID")
	if err != nil {
		return err
	}
	return m.make(&Persistent{ID: id, Off: int64(m.start)})
}
