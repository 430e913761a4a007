package pickle

import (
	"strings"
	"sync"
)

// Verdict says what it would mean that Python imports a global, and calls it with arguments of the pickle's choice.
type Verdict uint8

const (
	Safe      Verdict = iota // it makes a value and does nothing else, whatever its arguments
	Opaque                   // nothing is known of it
	Dangerous                // it runs code, starts programs, touches files or the network, or leads to what does
)

// String is the word that `isomerfs verify` uses.
func (v Verdict) String() string { return [...]string{"safe", "opaque", "dangerous"}[v] }

// Judge is the verdict on a global, and why. It is advice to those who load the same file with Python: here nothing is
// imported or called, whatever the verdict.
//
// A verdict is about one global. REDUCE calls whatever lies on the stack, so a function that only calls another that it
// is given (functools.partial, map) adds nothing to a pickle, and is opaque; one that finds another by its name
// (getattr, operator.attrgetter) is dangerous, because what it finds is in no list of imports.
func Judge(module, name string) (Verdict, string) {
	verdict, reason := judge(module, name)
	if m, n := python3(module, name); verdict != Dangerous && (m != module || n != name) {
		if v, r := judge(m, n); v == Dangerous {
			return v, r
		}
	}
	return verdict, reason
}

func judge(module, name string) (Verdict, string) {
	t := verdicts()
	path := module + "." + name
	if t.allowed[path] {
		return Safe, "makes values, and nothing else"
	}
	// the longest rule decides: what is said of a name goes before what is said of its module
	for at := len(path); at > 0; at = strings.LastIndexByte(path[:at], '.') {
		rule, ok := t.rules[path[:at]]
		switch {
		case !ok, at < len(module) && flat[path[:at]]:
		case rule.verdict == Dangerous:
			return Dangerous, rule.reason
		case at == len(path):
			return Opaque, rule.reason
		default: // what is said of a class is not said of its attributes
		}
	}
	for i, part := range strings.Split(path, ".") {
		special := len(part) > 4 && strings.HasPrefix(part, "__") && strings.HasSuffix(part, "__")
		if special && !ordinary[part] && !(i == 0 && part == "__mp_main__") {
			return Dangerous, part + " leads from any global to everything that Python can do"
		}
	}
	if strings.Contains("."+path, ".six.moves.") {
		return Dangerous, "six.moves leads to modules of the standard library"
	}
	for _, part := range strings.Split(name, ".") {
		switch {
		case t.through[part]:
			return Dangerous, "reaches the module " + part + " through " + module
		case part == "eval" || part == "exec" || part == "execfile":
			return Dangerous, "bears the name of what runs source code"
		}
	}
	return Opaque, "not known: loading would run whatever it does"
}

// flat are modules of Python's that hold no others, and whose names people give to packages of their own: code.model
// can only be one of those.
var flat = map[string]bool{"code": true, "commands": true, "glob": true, "imp": true, "inspect": true, "platform": true, "profile": true,
	"sched": true, "select": true, "signal": true, "site": true, "timeit": true, "trace": true, "types": true}

// ordinary are the special names that a pickle may have a reason to name: __torch__ is where TorchScript's classes are,
// and no module of Python's.
var ordinary = map[string]bool{"__torch__": true, "__new__": true, "__newobj__": true, "__newobj_ex__": true, "__init__": true, "__main__": true, "__name__": true, "__qualname__": true}

// verdict is one line of the tables as it is looked up.
type verdict struct {
	verdict Verdict
	reason  string
}

type tables struct {
	allowed map[string]bool
	rules   map[string]verdict // by module or by module.name
	through map[string]bool    // modules that are looked for among the attributes of others
}

var verdicts = sync.OnceValue(func() tables {
	t := tables{allowed: map[string]bool{}, rules: map[string]verdict{}, through: map[string]bool{}}
	for _, line := range safe {
		for _, name := range strings.Fields(line.names) {
			t.allowed[line.module+"."+name] = true
		}
	}
	for _, line := range dangerous {
		module, through := strings.CutSuffix(line.module, "!")
		if through {
			t.through[module] = true
		}
		if line.names == "" {
			t.rules[module] = verdict{Dangerous, line.reason}
			continue
		}
		for _, name := range strings.Fields(line.names) {
			t.rules[module+"."+name] = verdict{Dangerous, line.reason}
		}
	}
	for _, line := range harmless {
		for _, name := range strings.Fields(line.names) {
			t.rules[line.module+"."+name] = verdict{Opaque, line.reason}
		}
	}
	return t
})
