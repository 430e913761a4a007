package torch

import (
	"bufio"
	"encoding/csv"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// Folders of real and of broken models, where the environment names them.
const (
	corpusFolder    = "ISOMERFS_TEST_CORPUS"
	malformedFolder = "ISOMERFS_TEST_MALFORMED"
)

func named_(t *testing.T, variable string) string {
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("%s names no folder of models", variable)
	}
	return dir
}

// rows are the lines of a table with a header.
func rows(t *testing.T, file string) [][]string {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all[1:]
}

// TestCorpus: every tensor of every PyTorch and TorchScript file of the corpus is what PyTorch itself reads there, as
// testdata/corpus.py found. Of a TorchScript archive there may be more: attributes that hold tensors and that its code
// does not say to be buffers.
func TestCorpus(t *testing.T) {
	dir := named_(t, corpusFolder)
	want := map[string]map[string]string{}
	f, err := os.Open("testdata/corpus.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		file, rest, _ := strings.Cut(s.Text(), "\t")
		name, _, _ := strings.Cut(rest, "\t")
		if want[file] == nil {
			want[file] = map[string]string{}
		}
		want[file][name] = rest
	}
	seen := 0
	for _, row := range rows(t, filepath.Join(dir, "MANIFEST.tsv")) {
		if row[1] != Format && row[1] != ScriptFormat {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		name := path.Base(row[0])
		if !Match(name) && !MatchScript(name) && !Sniff(data[:min(len(data), headSize)]) {
			t.Errorf("%s: by its name and first bytes it is no model of PyTorch's", row[0])
		}
		m, err := load(folder{name: data}, name)
		if err != nil {
			if want[row[0]] != nil {
				t.Errorf("%s: %v", row[0], err)
			}
			continue
		}
		seen++
		if m.Format != row[1] {
			t.Errorf("%s is read as %s", row[0], m.Format)
		}
		have := map[string]string{}
		for i := range m.Tensors {
			if have[m.Tensors[i].Name], err = line(&m.Tensors[i]); err != nil {
				t.Errorf("%s: %s: %v", row[0], m.Tensors[i].Name, err)
			}
		}
		for name, w := range want[row[0]] {
			if have[name] != w {
				t.Errorf("%s: %q, want %q", row[0], have[name], w)
			}
		}
		if m.Format == Format && want[row[0]] != nil && len(have) != len(want[row[0]]) {
			t.Errorf("%s: %d tensors, want %d", row[0], len(have), len(want[row[0]]))
		}
	}
	if seen < len(want) || seen == 0 {
		t.Errorf("%d files were read, and PyTorch reads %d", seen, len(want))
	}
}

// TestMalformed: each broken file of EXPECT.tsv is refused for what is wrong with it, each odd one read.
func TestMalformed(t *testing.T) {
	dir := named_(t, malformedFolder)
	seen := 0
	for _, row := range rows(t, filepath.Join(dir, "EXPECT.tsv")) {
		if group, _, _ := strings.Cut(row[0], "/"); group != "torch" && group != "zip" || !strings.HasSuffix(row[0], ".pt") {
			continue
		}
		seen++
		data, err := os.ReadFile(filepath.Join(dir, row[0]))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(ctx, folder{"m.pt": data}, "m.pt")
		verdict, what, _ := strings.Cut(row[2], " ")
		good := strings.Contains(row[3], "as good") && err != nil && strings.Contains(row[3], fault.KindOf(err).String())
		switch {
		case good:
		case what == "unsafe" && err == nil && slices.ContainsFunc(m.Imports, func(i model.Import) bool { return i.Verdict == model.VerdictDangerous }):
			// read, and for a policy to refuse
		case verdict == "open" && err != nil, verdict == "partial" && err != nil:
			t.Errorf("%s (%s): %v", row[0], row[1], err)
		case verdict == "open":
			if n, _ := strconv.Atoi(what); n != len(m.Tensors) {
				t.Errorf("%s: %d tensors, want %d", row[0], len(m.Tensors), n)
			}
			for i := range m.Tensors {
				if _, err := line(&m.Tensors[i]); err != nil {
					t.Errorf("%s: %v", row[0], err)
				}
			}
		case verdict == "partial":
			if len(m.Left) == 0 {
				t.Errorf("%s (%s): nothing is left out", row[0], row[1])
			}
		case verdict == "read":
			if err == nil {
				err = readAll(m)
			}
			if fault.KindOf(err).String() != what {
				t.Errorf("%s (%s): %v", row[0], row[1], err)
			}
		case err == nil:
			t.Errorf("%s (%s): read", row[0], row[1])
		case fault.KindOf(err).String() != what:
			t.Errorf("%s (%s): %v is %v", row[0], row[1], err, fault.KindOf(err))
		default:
			t.Logf("%s: %v", row[0], err)
		}
	}
	if seen == 0 {
		t.Error("EXPECT.tsv has no files of PyTorch's")
	}
}

// readAll reads every byte of a model.
func readAll(m *model.Model) error {
	for i := range m.Tensors {
		if _, err := bytesIn(m.Tensors[i].Data); err != nil {
			return err
		}
	}
	return nil
}
