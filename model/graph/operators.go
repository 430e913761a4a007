package graph

import (
	"strconv"
	"strings"
	"sync"

	"github.com/isomerfs/isomerfs/model"
)

// kind is the type of a value as far as it matters to precision: f for float32, h for float16, b for bfloat16, x for
// any other element type; s before those of a sequence, o before those of an optional. "" is not known.
type kind string

const (
	unknown kind = ""
	float   kind = "f"
	other   kind = "x"
)

// kindOf is the kind of a declared type.
func kindOf(t *model.Type) kind {
	if t == nil {
		return unknown
	}
	switch t.Form {
	case model.TensorForm, model.SparseForm:
		return kindOfElements(t.DType)
	case model.SequenceForm:
		return of("s", kindOf(t.Elem))
	case model.OptionalForm:
		return of("o", kindOf(t.Elem))
	case model.MapForm, model.OpaqueForm:
		return other
	}
	return unknown
}

// of is the kind of a container.
func of(container string, k kind) kind {
	if k == unknown {
		return unknown
	}
	return kind(container) + k
}

func kindOfElements(d model.DType) kind {
	switch d {
	case model.Invalid:
		return unknown
	case model.F32:
		return float
	case model.F16:
		return "h"
	case model.BF16:
		return "b"
	}
	return other
}

// Element types in the numbers of ONNX's TensorProto.DataType.
const (
	onnxFloat    = 1
	onnxFloat16  = 10
	onnxBFloat16 = 16
)

// kindOfNumber is the kind of such a number.
func kindOfNumber(n int64) kind {
	switch n {
	case 0:
		return unknown
	case onnxFloat:
		return float
	case onnxFloat16:
		return "h"
	case onnxBFloat16:
		return "b"
	}
	return other
}

// operator is what a version of an operator says of the types of its inputs and outputs.
type operator struct {
	version         int64
	inputs, outputs []parameter
	variables       map[byte][]kind
}

// parameter is a formal parameter: a variable, or a fixed kind where variable is 0.
type parameter struct {
	variable byte
	fixed    kind
	repeats  bool // takes all further arguments
	free     bool // each of them with a type of its own
}

// operators is the table: by domain and name, in ascending order of version.
var operators = sync.OnceValue(func() map[string][]operator {
	table := map[string][]operator{}
	for row := range strings.Lines(operatorRows) {
		f := strings.Fields(row)
		o := operator{inputs: parameters(f[3]), outputs: parameters(f[4]), variables: map[byte][]kind{}}
		o.version, _ = strconv.ParseInt(f[2], 10, 64)
		if f[5] != "-" {
			for _, v := range strings.Split(f[5], ";") {
				var kinds []kind
				for _, k := range strings.Split(v[2:], ",") {
					kinds = append(kinds, kind(k))
				}
				o.variables[v[0]] = kinds
			}
		}
		key := f[0] + " " + f[1]
		table[key] = append(table[key], o)
	}
	return table
})

func parameters(text string) []parameter {
	if text == "-" {
		return nil
	}
	var list []parameter
	for _, p := range strings.Split(text, ".") {
		var x parameter
		if last := p[len(p)-1]; last == '*' || last == '+' {
			x.repeats, x.free = true, last == '+'
			p = p[:len(p)-1]
		}
		if len(p) == 1 && 'A' <= p[0] && p[0] <= 'Z' {
			x.variable = p[0]
		} else if x.fixed = kind(p); len(p) == 1 && !strings.Contains("fhb", p) {
			x.fixed = other
		}
		list = append(list, x)
	}
	return list
}

// operatorOf is the operator of a node, in the version that its opset has; nil where the table does not know it.
func operatorOf(n *model.Node, opset int64) *operator {
	domain := n.Domain
	if model.Standard(domain) {
		domain = "ai.onnx"
	}
	versions := operators()[domain+" "+n.Op]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].version <= max(opset, 1) {
			return &versions[i]
		}
	}
	return nil
}

// slot names the variable behind one argument: arguments of one slot are of one type.
type slot struct {
	variable byte
	at       int // of an argument with a type of its own; else 0
}

// parameterAt is the formal parameter of argument i of a list, and its slot.
func parameterAt(list []parameter, i int) (parameter, slot, bool) {
	if i < len(list) {
		p := list[i]
		s := slot{variable: p.variable}
		if p.free {
			s.at = i + 1
		}
		return p, s, true
	}
	if n := len(list); n > 0 && list[n-1].repeats {
		p := list[n-1]
		s := slot{variable: p.variable}
		if p.free {
			s.at = i + 1
		}
		return p, s, true
	}
	return parameter{}, slot{}, false
}

// admits reports whether a variable may be of a kind.
func (o *operator) admits(variable byte, k kind) bool {
	for _, one := range o.variables[variable] {
		if one == k {
			return true
		}
	}
	return false
}

// only is the kind of a variable that can be of one kind alone.
func (o *operator) only(variable byte) kind {
	if kinds := o.variables[variable]; len(kinds) == 1 {
		return kinds[0]
	}
	return unknown
}
