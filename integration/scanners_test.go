//go:build linux

package integration

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/scanners.txt anew")

// differences says why `isomerfs verify` passes what a scanner's table lists, by scanner and module.name; probe stands
// for a whole module. Each is found opaque: not safe, and refused by pickle=refuse-opaque.
var differences = map[string]string{
	"picklescan functools.partial":            "calls what it is given, as every REDUCE does, and what that is, is listed; checkpoints hold it as a layer's factory",
	"fickling functools.probe":                "as functools.partial",
	"fickling builtins.probe":                 "the functions that do harm are listed one by one",
	"fickling __builtin__.probe":              "as builtins",
	"fickling operator.probe":                 "attrgetter, itemgetter and methodcaller are listed; the others are sums and comparisons",
	"fickling _operator.probe":                "as operator",
	"fickling types.probe":                    "CodeType and FunctionType are listed; SimpleNamespace and others are values",
	"fickling logging.probe":                  "the handlers are listed; a logger is pickled as logging.getLogger and its name",
	"fickling joblib.probe":                   "load, dump and Parallel are listed; NumpyArrayWrapper is how joblib stores an array",
	"fickling difflib.probe":                  "compares texts",
	"fickling torch.jit.probe":                "what compiles or loads is listed; torch.jit._pickle is how TorchScript writes lists",
	"fickling torch.storage._load_from_bytes": "the pickle in its argument is gone through, and its imports are listed",
	"fickling compile.probe":                  "a function of builtins, and no module",
	"fickling eval.probe":                     "a function of builtins, and no module",
	"fickling exec.probe":                     "a function of builtins, and no module",
}

// remarks say why the verdicts on a sample differ.
var remarks = map[string]string{
	"extension.pkl": "what the code stands for is known to the loading program alone",
	"computed.pkl":  "os, and a name that a call makes",
	"through.pkl":   "os as an attribute of torch.serialization",
	"dunder.pkl":    "every module has builtins as an attribute",
	"nested.pkl":    "a pickle in the bytes of torch.storage._load_from_bytes",
	"within.pt":     "the same in an archive",
	"unnamed.pt":    "protocol 0 in a member without a name that tells",
	"notes.txt":     "protocol 0 in a file without a name that tells",
	"archive.zip":   "an archive in an archive",
	"renamed.pt":    "the directory has another name for data.pkl than its header",
	"undirected.pt": "the directory is broken, and the members are there",
	"legacy.pt":     "the fourth of five pickles",
	"objects.npz":   "arrays of objects in an archive",
	"old.tar":       "PyTorch before 0.1.10",
	"partial.pkl":   "functools.partial calls what it is given, and what that is, is listed",
	"member.pkl":    "getattr of a class and a name in the pickle: a member of an enumeration",
	"logger.pkl":    "logging.getLogger",
	"uuid.pkl":      "uuid.UUID is a number",
	"broken.pkl":    "fails after the call",
	"cut.pkl":       "fails after the call",
	"magic.pt":      "a call where the magic number should be",
	"attribute.pkl": "getattr of a value",
	"crc.pt":        "the CRC-32 of data.pkl is another's, which torch does not compare",
	"plain.npy":     "no object in it",
	"objects.npy":   "an array of objects",
	"fields.npy":    "an array of structures with an object",
	"popped.pkl":    "imported and dropped",
	"second.pkl":    "the second of two pickles",
	"constants.pt":  "the second of two pickles in an archive",
	"inst.pkl":      "INST",
	"obj.pkl":       "OBJ",
	"memo.pkl":      "module and name from the memo",
	"class.pkl":     "a class that nobody knows",
	"array.pkl":     "an array of NumPy's",
	"state.pkl":     "an OrderedDict",
	"state.pt":      "the same in an archive",
	"model.pt":      "as torch.save writes it",
	"deflated.pt":   "the same, compressed",
	"protocol0.pkl": "os.getcwd by its name here",
	"protocol1.pkl": "the same",
	"protocol2.pkl": "the same",
	"protocol3.pkl": "the same",
	"protocol4.pkl": "the same",
	"protocol5.pkl": "the same",
}

// verified is one row of `isomerfs verify --json`.
type verified struct {
	Path    string
	OK      bool
	Check   string
	Globals []struct{ Module, Name, Verdict string }
}

// verdicts is what isomerfs makes of each file of a store: its worst verdict, broken, or nothing.
func verdicts(t *testing.T, store string) map[string]string {
	t.Helper()
	d := isomerfs("verify", store, "--json")
	if d.hung || d.code > 1 {
		t.Fatal(d)
	}
	found := map[string]string{}
	for _, row := range parsed[[]verified](t, d) {
		name := path.Base(row.Path)
		word := ""
		switch {
		case row.Check == "pickle":
			word = "safe"
			for _, g := range row.Globals {
				if g.Verdict == "dangerous" || word == "safe" {
					word = g.Verdict
				}
			}
			if row.OK == (word == "dangerous") {
				t.Errorf("%s: ok is %v, and its verdict is %s", row.Path, row.OK, word)
			}
		case !row.OK && found[name] == "":
			word = "broken"
		default:
			continue
		}
		found[name] = word
	}
	return found
}

// TestScanners holds the verdicts of isomerfs against those of picklescan, fickling and modelscan, on inert samples and
// on every line of their tables. testdata/scanners.txt is what they say, side by side; -update writes it anew.
func TestScanners(t *testing.T) {
	need(t, "binary", "scanners")
	dir := folder(t, "scanners")
	python := os.Getenv("ISOMERFS_TEST_SCANNERS")
	d := command(5*time.Minute, python, "-W", "ignore", "scanners.py", dir)
	if !d.ok() {
		t.Fatal(d)
	}
	type sample struct{ File, Picklescan, Fickling, Modelscan string }
	said := parsed[struct {
		Samples []sample
		Tables  []struct{ File, Scanner, Module, Name string }
	}](t, d)
	ours := verdicts(t, dir)

	var text strings.Builder
	fmt.Fprintf(&text, "# What isomerfs, picklescan 1.0.5, fickling 0.1.12 and modelscan 0.8.8 say of the samples of scanners.py.\n\n")
	line := func(columns ...string) {
		fmt.Fprintln(&text, strings.TrimRight(fmt.Sprintf("%-15s %-10s %-12s %-26s %-12s %s", columns[0], columns[1], columns[2], columns[3], columns[4], columns[5]), " "))
	}
	line("file", "isomerfs", "picklescan", "fickling", "modelscan", "what it is")
	for _, s := range said.Samples {
		word := ours[s.File]
		if word == "" {
			word = "nothing"
		}
		line(s.File, word, s.Picklescan, s.Fickling, s.Modelscan, remarks[s.File])
		if remarks[s.File] == "" {
			t.Errorf("%s: nothing says what it is", s.File)
		}
	}
	agreed := map[string]int{}
	fmt.Fprintf(&text, "\n# What their tables list and isomerfs finds opaque, and why.\n\n")
	used := map[string]bool{}
	for _, e := range said.Tables {
		key := fmt.Sprintf("%s %s.%s", e.Scanner, e.Module, e.Name)
		switch why := differences[key]; {
		case ours[e.File] == "dangerous":
			agreed[e.Scanner]++
		case why == "" || ours[e.File] != "opaque":
			t.Errorf("%s is %s, and nothing says why", key, ours[e.File])
		default:
			used[key] = true
			fmt.Fprintf(&text, "%-40s %s\n", key, why)
		}
	}
	for key := range differences {
		if !used[key] {
			t.Errorf("there is no difference about %s", key)
		}
	}
	fmt.Fprintf(&text, "\n# Lines of their tables that isomerfs finds dangerous, too: picklescan %d, fickling %d, modelscan %d.\n", agreed["picklescan"], agreed["fickling"], agreed["modelscan"])

	const golden = "testdata/scanners.txt"
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("%s has not what they say (-update):\n%s", golden, text.String())
	}
	for _, s := range said.Samples { // whatever the table says
		if s.Picklescan == "dangerous" && ours[s.File] != "dangerous" && !harmless[s.File] {
			t.Errorf("%s is dangerous to picklescan, and %s to isomerfs", s.File, ours[s.File])
		}
	}
}

// harmless are the samples that picklescan takes for dangerous, and nothing can come of.
var harmless = map[string]bool{"partial.pkl": true, "member.pkl": true, "uuid.pkl": true}

// TestScannersCorpus: the attacks of a corpus are found by isomerfs, whatever the scanners say.
func TestScannersCorpus(t *testing.T) {
	need(t, "binary", "scanners")
	corpus := os.Getenv("ISOMERFS_TEST_CORPUS")
	if corpus == "" {
		t.Skip("ISOMERFS_TEST_CORPUS names no folder of models")
	}
	file, err := os.Open(filepath.Join(corpus, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, "attacks")
	argv := []string{os.Getenv("ISOMERFS_TEST_SCANNERS"), "-W", "ignore", "scanners.py", "--scan"}
	for _, row := range rows {
		if strings.Contains(strings.Join(row, " "), "HOSTILE") {
			data, err := os.ReadFile(filepath.Join(corpus, row[0]))
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, "attacks/v1", path.Base(row[0]))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o644); err != nil {
				t.Fatal(err)
			}
			argv = append(argv, to)
		}
	}
	if len(argv) == 5 {
		t.Skip("the corpus has no attacks")
	}
	d := command(5*time.Minute, argv...)
	if !d.ok() {
		t.Fatal(d)
	}
	said := parsed[struct {
		Samples []struct{ File, Picklescan, Fickling, Modelscan string }
	}](t, d)
	ours := verdicts(t, dir)
	for _, s := range said.Samples {
		t.Logf("%s: isomerfs %s, picklescan %s, fickling %s, modelscan %s", s.File, ours[s.File], s.Picklescan, s.Fickling, s.Modelscan)
		if ours[s.File] != "dangerous" {
			t.Errorf("%s is an attack, and %q to isomerfs", s.File, ours[s.File])
		}
	}
}
