package pickle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		module, name string
		want         Verdict
	}{
		{"os", "system", Dangerous}, {"posix", "getcwd", Dangerous}, {"os.path", "join", Dangerous}, {"osmium", "X", Opaque},
		{"__builtin__", "eval", Dangerous}, {"builtins", "eval", Dangerous}, {"builtins", "set", Safe}, {"builtins", "print", Opaque},
		{"torch.serialization", "load", Dangerous}, {"torch", "serialization.load", Dangerous}, {"torch", "load", Dangerous},
		{"torch.serialization", "os.system", Dangerous}, {"collections", "builtins.eval", Dangerous}, {"torch.serialization", "os", Dangerous},
		{"six.moves.builtins", "open", Dangerous}, {"sklearn.externals.six.moves.cPickle", "loads", Dangerous}, {"myproject", "eval", Dangerous},
		{"collections", "__builtins__", Dangerous}, {"myproject.net", "Net.__globals__", Dangerous}, {"myproject.net", "Net.__new__", Opaque},
		{"torch._utils", "_rebuild_tensor_v2", Safe}, {"torch", "FloatStorage", Safe}, {"torch._utils", "_rebuild_tensor_v9", Opaque},
		{"__main__", "Net", Opaque}, {"__mp_main__", "Net", Opaque}, {"code", "interact", Dangerous}, {"code.model", "Net", Opaque},
		{"functools", "partial", Opaque}, {"logging", "getLogger", Opaque}, {"logging", "FileHandler", Dangerous}, {"logging.handlers", "SocketHandler", Dangerous},
		{"uuid", "UUID", Safe}, {"uuid", "_get_command_stdout", Dangerous}, {"urllib.parse", "ParseResult", Opaque}, {"urllib.request", "urlopen", Dangerous},
		{"torch.jit._pickle", "restore_type_tag", Safe}, {"torch.fx.graph_module", "reduce_graph_module", Dangerous},
		{"ultralytics.nn.tasks", "DetectionModel", Opaque}, {"numpy.core.multiarray", "_reconstruct", Safe}, {"numpy.random._pickle", "__randomstate_ctor", Opaque},
		{"torch._dynamo.eval_frame", "OptimizedModule", Opaque}, {"torch._dynamo.guards", "GuardBuilder.get", Dangerous},
	} {
		if got, reason := Judge(c.module, c.name); got != c.want || reason == "" {
			t.Errorf("%s %s is %v (%s), want %v", c.module, c.name, got, reason, c.want)
		}
	}
}

// TestTables: no line of a table is without effect, twice there, or against another.
func TestTables(t *testing.T) {
	seen := map[string]string{}
	check := func(table, module, names string, want Verdict) {
		module = strings.TrimSuffix(module, "!")
		list := strings.Fields(names)
		if names == "" {
			list = []string{"anything"}
		}
		for _, name := range list {
			if names != "" {
				if before := seen[module+"."+name]; before != "" {
					t.Errorf("%s.%s stands in %s and in %s", module, name, before, table)
				}
				seen[module+"."+name] = table
			}
			if got, _ := Judge(module, name); got != want {
				t.Errorf("%s.%s is %v, and stands in %s", module, name, got, table)
			}
		}
	}
	for _, line := range safe {
		check("safe", line.module, line.names, Safe)
	}
	for _, line := range dangerous {
		check("dangerous", line.module, line.names, Dangerous)
		if line.reason == "" {
			t.Errorf("%s has no reason", line.module)
		}
	}
	for _, line := range harmless {
		check("harmless", line.module, line.names, Opaque)
	}
}

// told is the imports of a pickle, in words.
func told(data string) (string, error) {
	var found Imports
	_, _, err := found.Scan([]byte(data), 0)
	var words []string
	for _, i := range found.List() {
		words = append(words, fmt.Sprintf("%s.%s %v", i.Module, i.Name, i.Verdict))
	}
	return strings.Join(words, ", "), err
}

func TestImports(t *testing.T) {
	getcwd := "cos\ngetcwd\n)R."
	for _, c := range []struct {
		name, data string
		kind       fault.Kind // of the error; Unknown for none
		want       string
	}{
		{"GLOBAL", getcwd, 0, "os.getcwd dangerous"},
		{"INST", "(iposix\ngetcwd\n.", 0, "posix.getcwd dangerous"},
		{"OBJ", "(cnt\ngetcwd\no.", 0, "nt.getcwd dangerous"},
		{"STACK_GLOBAL", "\x80\x04\x8c\x02os\x8c\x06getcwd\x93.", 0, "os.getcwd dangerous"},
		{"STACK_GLOBAL through the memo", "\x80\x04\x8c\x02os\x940\x8c\x06getcwd\x940h\x00h\x01\x93.", 0, "os.getcwd dangerous"},
		{"STACK_GLOBAL of STRING", "\x80\x04S'o\\x73'\nU\x06getcwd\x93.", 0, "os.getcwd dangerous"},
		{"popped at once", "cos\ngetcwd\n0N.", 0, "os.getcwd dangerous"},
		{"Python 2's name", "c__builtin__\neval\n.", 0, "builtins.eval dangerous"},
		{"in a broken pickle", "cos\ngetcwd\n)R\xff", fault.Malformed, "os.getcwd dangerous"},
		{"in a pickle cut short", "cos\ngetcwd\n)R", fault.Truncated, "os.getcwd dangerous"},
		{"in the second pickle", "N." + getcwd, 0, "os.getcwd dangerous"},
		{"a computed name", "\x80\x04cmy\nnames\n)R\x8c\x06getcwd\x93.", fault.Unsafe, "my.names opaque, ?.getcwd dangerous"},
		{"an extension", "\x82\x01.", fault.Unsafe, "?.extension 1 dangerous"},
		{"getattr of a known name", "\x80\x02c__builtin__\ngetattr\nq\x00cm\nEnum\nX\x01\x00\x00\x00a\x86Rh\x00cm\nEnum\nX\x01\x00\x00\x00b\x86R\x86.", 0,
			"builtins.getattr opaque, m.Enum opaque, m.Enum.a opaque, m.Enum.b opaque"},
		{"getattr of getattr", "\x80\x02c__builtin__\ngetattr\nq\x00h\x00cm\nA\nX\x01\x00\x00\x00B\x86RX\x01\x00\x00\x00C\x86R.", 0,
			"builtins.getattr opaque, m.A opaque, m.A.B opaque, m.A.B.C opaque"},
		{"getattr to a module", "\x80\x02c__builtin__\ngetattr\ncm\nA\nX\x0b\x00\x00\x00__globals__\x86R.", 0,
			"builtins.getattr opaque, m.A opaque, m.A.__globals__ dangerous"},
		{"getattr of a value", "\x80\x02c__builtin__\ngetattr\n]X\x01\x00\x00\x00a\x86R.", 0, "builtins.getattr dangerous"},
		{"getattr handed on", "\x80\x02cfunctools\npartial\nc__builtin__\ngetattr\n\x85R.", 0, "functools.partial opaque, builtins.getattr dangerous"},
		{"a pickle in a pickle", "\x80\x03ctorch.storage\n_load_from_bytes\nC" + string(rune(len(getcwd))) + getcwd + "\x85R.", 0,
			"torch.storage._load_from_bytes opaque, os.getcwd dangerous"},
		{"and in protocol 2", "\x80\x02ctorch.storage\n_load_from_bytes\nc_codecs\nencode\nX" + string(rune(len(getcwd))) + "\x00\x00\x00" + getcwd + "X\x06\x00\x00\x00latin1\x86R\x85R.", 0,
			"torch.storage._load_from_bytes opaque, _codecs.encode safe, os.getcwd dangerous"},
	} {
		got, err := told(c.data)
		if got != c.want || fault.KindOf(err) != c.kind {
			t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
		}
	}
}

// TestNestedBudget: pickles in pickles end somewhere.
func TestNestedBudget(t *testing.T) {
	data := "N."
	for range deepest + 1 {
		raw, err := Encode(&Object{Class: &Global{Module: "torch.storage", Name: "_load_from_bytes"}, Args: &Tuple{Items: []Value{Bytes(data)}}}, EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		data = string(raw)
	}
	var found Imports
	if _, _, err := found.Scan([]byte(data), 0); err != nil || found.Worst() != Dangerous {
		t.Errorf("%v, %v: want dangerous", found.Worst(), err)
	}
}

// TestChain: names that nest are followed only so far, in little time.
func TestChain(t *testing.T) {
	attr := "X\x01\x00\x00\x00a\x86R"
	for n, want := range map[int]Verdict{chain: Opaque, chain + 1: Dangerous, 50_000: Dangerous} {
		data := "\x80\x02" + strings.Repeat("c__builtin__\ngetattr\n", n) + "cm\nA\n" + strings.Repeat(attr, n) + "."
		var found Imports
		found.Scan([]byte(data), 0)
		if got := found.Worst(); got != want {
			t.Errorf("%d deep: %v, want %v", n, got, want)
		}
	}
}

// TestReadImports: a pickle that is read in several pieces tells of each import once.
func TestReadImports(t *testing.T) {
	data := "\x80\x02(c__builtin__\ngetattr\ncm\nEnum\nX\x01\x00\x00\x00a\x86R" + strings.Repeat("X\x10\x00\x00\x000123456789abcdef", 20_000) + "t."
	var found Imports
	_, next, err := Read(strings.NewReader("junk"+data+"more"), 4, int64(len(data)+8), 1<<20, Options{Imports: &found})
	if err != nil || next != int64(len(data)+4) {
		t.Fatal(next, err)
	}
	names := []string{}
	for _, i := range found.List() {
		names = append(names, fmt.Sprint(i.Module, ".", i.Name, " ", i.Verdict, " ", i.Off))
	}
	if want := []string{"builtins.getattr opaque 7", "m.Enum opaque 28", "m.Enum.a opaque 43"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if _, _, err := Read(strings.NewReader(data), 0, int64(len(data)), 1000, Options{}); fault.KindOf(err) != fault.Limit {
		t.Errorf("%v: want a limit", err)
	}
	if _, _, err := Read(strings.NewReader(data[:len(data)-1]), 0, int64(len(data)-1), 1<<20, Options{}); fault.KindOf(err) != fault.Truncated {
		t.Errorf("%v: want truncated", err)
	}
}

// TestScanFile: many pickles, small and large, are gone through as one.
func TestScanFile(t *testing.T) {
	var data strings.Builder
	large := "\x80\x02(c__builtin__\ngetattr\ncm\nEnum\nX\x01\x00\x00\x00a\x86R" + strings.Repeat("X\x10\x00\x00\x000123456789abcdef", 10_000) + "t."
	small := 0
	for i := range 5 {
		data.WriteString(large)
		for range 20_000 * i {
			data.WriteString("I42\n.")
			small++
		}
	}
	data.WriteString("cos\ngetcwd\n)R\xff")
	for _, size := range []int64{1 << 20, int64(len(large))} {
		var found Imports
		pickles, next, err := found.ScanFile(strings.NewReader(data.String()), 0, int64(data.Len()), size)
		if pickles != small+5 || next != int64(data.Len()-14) || fault.KindOf(err) != fault.Malformed {
			t.Errorf("%d pickles of %d, up to %d, %v", pickles, small+5, next, err)
		}
		words := ""
		for _, i := range found.List() {
			words += fmt.Sprintf("%s.%s %v ", i.Module, i.Name, i.Verdict)
		}
		if want := "builtins.getattr opaque m.Enum opaque m.Enum.a opaque os.getcwd dangerous "; words != want {
			t.Errorf("%s, want %s", words, want)
		}
	}
	var found Imports
	if pickles, next, err := found.ScanFile(strings.NewReader(data.String()), 0, int64(data.Len()), 1<<17); pickles != 0 || next != 0 || fault.KindOf(err) != fault.Limit {
		t.Errorf("%d pickles, up to %d, %v", pickles, next, err)
	}
}
