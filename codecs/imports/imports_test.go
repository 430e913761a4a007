package imports

import (
	"archive/tar"
	stdzip "archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

var ctx = context.Background()

// getcwd is a pickle that calls a function which does no harm, of a module that does.
const getcwd = "\x80\x02cos\ngetcwd\nq\x00)Rq\x01."

type folder map[string]string

func (f folder) List() []string { return nil }
func (f folder) Open(name string) (layout.Source, error) {
	if data, ok := f[name]; ok {
		return blob(data), nil
	}
	return nil, fault.New(fault.Missing, "no such file")
}

// member is one of an archive; a name that ends in a ! is stored, else it is deflated.
type member struct{ name, data string }

func zipped(t testing.TB, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	for _, m := range members {
		name, stored := strings.CutSuffix(m.name, "!")
		h := &stdzip.FileHeader{Name: name, Method: stdzip.Deflate}
		if stored {
			h.Method = stdzip.Store
		}
		to, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(to, m.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t testing.TB, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)), Mode: 0o600, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// npy is an array file of a dtype, with what follows its header.
func npy(descr, rest string) string {
	header := "{'descr': " + descr + ", 'fortran_order': False, 'shape': (1,), }"
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	return "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), byte(len(header) >> 8)}) + header + rest
}

// noise is bytes that are no pickle.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = 0
	return string(b)
}

func words(found *Found) string {
	var list []string
	for _, i := range found.Imports {
		list = append(list, fmt.Sprintf("%s.%s %s", i.Module, i.Name, i.Verdict))
	}
	return strings.Join(list, ", ")
}

func TestRead(t *testing.T) {
	const safe = "\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."
	const danger = "os.getcwd dangerous"
	legacy := "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.\x80\x02]q\x00."
	broken := strings.Replace(zipped(t, member{"a/data.pkl!", getcwd}), "PK\x01\x02", "PK\x01\x00", 1)
	archive := zipped(t, member{"m/data.pkl!", getcwd})
	inside := "\x80\x03ctorch.storage\n_load_from_bytes\nB" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(archive)))) + archive + "\x85R."
	renamed := []byte(zipped(t, member{"a/data.pkl!", getcwd}, member{"b!", "x"}))
	copy(renamed[bytes.LastIndex(renamed, []byte("a/data.pkl")):], "b/nothing!")
	for _, c := range []struct {
		file, data string
		pickles    int
		err        fault.Kind // Unknown for none
		want       string
	}{
		{"model.pkl", getcwd, 1, 0, danger},
		{"model", getcwd, 1, 0, danger},
		{"README.md", "cos\ngetcwd\n)R.", 1, 0, danger},
		{"protocol0.txt", "(S'a'\nios\ngetcwd\np0\n.", 1, 0, danger},
		{"two.pkl", safe + getcwd, 2, 0, "collections.OrderedDict safe, " + danger},
		{"cut.pkl", getcwd[:len(getcwd)-2], 0, fault.Truncated, danger},
		{"broken.bin", "\x80\x02cos\ngetcwd\n)R\xff", 0, fault.Malformed, danger},
		{"broken", "cos\ngetcwd\n)R\xff", 0, fault.Malformed, danger},
		{"extension.pkl", "\x82\x07.", 0, fault.Unsafe, "?.extension 7 dangerous"},
		{"legacy.pt", legacy + noise(1000), 5, 0, "collections.OrderedDict safe"},
		{"nothing.pkl", "\x80\x02N.", 1, 0, ""},
		{"torn.pkl", "\x80\x02N", 0, fault.Truncated, ""},

		{"notes.txt", "classes\nof things\nand more", 0, 0, ""},
		{"empty", "", 0, 0, ""},
		{"weights.bin", noise(100_000), 0, 0, ""},
		{"text.dat", "0.5 0.25\n", 0, 0, ""},
		{"n", "N.", 0, 0, ""},

		{"model.pt", zipped(t, member{"m/data.pkl!", getcwd}, member{"m/data/0!", noise(4096)}, member{"m/version!", "3\n"}), 1, 0, danger},
		{"deflated.pt", zipped(t, member{"m/data.pkl", getcwd}), 1, 0, danger},
		{"odd.zip", zipped(t, member{"readme!", "hello"}, member{"m/weights!", getcwd}), 1, 0, danger},
		{"constants.pt", zipped(t, member{"m/data.pkl!", safe}, member{"m/constants.pkl!", getcwd}), 2, 0, "collections.OrderedDict safe, " + danger},
		{"nested.zip", zipped(t, member{"a.zip!", zipped(t, member{"b.pkl", getcwd})}), 1, 0, danger},
		{"nested.pt2", zipped(t, member{"serialized_state_dict.pt", zipped(t, member{"m/data.pkl!", getcwd})}), 1, 0, danger},
		{"torn.pt", zipped(t, member{"m/data.pkl!", getcwd})[:120], 1, fault.Truncated, danger},
		{"no-directory.pt", broken, 1, fault.Malformed, danger},
		{"renamed.pt", string(renamed), 1, fault.Mismatch, danger},
		{"deep.zip", zipped(t, member{"a!", zipped(t, member{"b!", zipped(t, member{"c!", zipped(t, member{"d!", "x"})})})}), 0, 0, "?.? dangerous"},

		{"objects.npy", npy("'|O'", getcwd), 1, 0, danger},
		{"fields.npy", npy("[('a', '<f4'), ('b', 'O')]", getcwd), 1, 0, danger},
		{"plain.npy", npy("'<f4'", "\x00\x00\x80?"), 0, 0, ""},
		{"objects.npz", zipped(t, member{"a.npy!", npy("'|O'", getcwd)}, member{"b.npy", npy("'<f4'", "abcd")}), 1, 0, danger},
		{"old.tar", tarred(t, member{"sys_info", safe}, member{"pickle", getcwd}, member{"storages", noise(512)}), 2, 0, "collections.OrderedDict safe, " + danger},
		{"inside.pkl", inside, 1, 0, "torch.storage._load_from_bytes opaque, " + danger},
	} {
		found, err := Read(ctx, folder{c.file: c.data}, c.file)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if words(found) != c.want || fault.KindOf(found.Err) != c.err {
			t.Errorf("%s: %q, %v; want %q and %v", c.file, words(found), found.Err, c.want, c.err)
		}
		if c.want == danger && c.err == 0 && found.Pickles != c.pickles {
			t.Errorf("%s: %d pickles, want %d", c.file, found.Pickles, c.pickles)
		}
		for _, i := range found.Imports {
			if i.File != c.file {
				t.Errorf("%s: an import of %q", c.file, i.File)
			}
		}
	}
}

// counting is a file of which the bytes that were read are counted.
type counting struct {
	layout.Source
	read int64
}

func (c *counting) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.read += int64(len(p))
	return c.Source.ReadAt(ctx, p, off)
}

type one struct{ src layout.Source }

func (o one) List() []string                     { return nil }
func (o one) Open(string) (layout.Source, error) { return o.src, nil }

// TestCost: weights are not read to see that they are no pickles, whatever their first bytes are.
func TestCost(t *testing.T) {
	members := []member{{"m/data.pkl!", getcwd}}
	for i := range 256 {
		members = append(members, member{fmt.Sprintf("m/data/%d!", i), string(rune(0)) + noise(100_000)[1:]})
		members[i+1].data = string([]byte{byte(i)}) + members[i+1].data[1:] // every opcode begins one
	}
	src := &counting{Source: blob(zipped(t, members...))}
	found, err := Read(ctx, one{src}, "m.pt")
	if err != nil || words(found) != "os.getcwd dangerous" {
		t.Fatal(words(found), err)
	}
	if src.read > src.Size()/4 {
		t.Errorf("%d of %d bytes read", src.read, src.Size())
	}
}

func TestCancelled(t *testing.T) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Read(over, folder{"a.pkl": getcwd}, "a.pkl"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzRead: whatever the file, it ends, and what it finds has a verdict.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{getcwd, zipped(f, member{"m/data.pkl!", getcwd}), zipped(f, member{"m/data.pkl", getcwd}), tarred(f, member{"pickle", getcwd}), npy("'|O'", getcwd)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"model.pt", "model"} {
			found, err := Read(ctx, folder{name: string(data)}, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range found.Imports {
				switch i.Verdict {
				case model.VerdictSafe, model.VerdictOpaque, model.VerdictDangerous:
				default:
					t.Fatalf("%+v", i)
				}
			}
		}
	})
}

// corpusFolder is the variable that names a folder of real models, with their list in MANIFEST.tsv.
const corpusFolder = "ISOMERFS_TEST_CORPUS"

// TestCorpus: in every file of PyTorch's and NumPy's that is known to be sound nothing dangerous is found, and in each
// that is known to be an attack something is.
func TestCorpus(t *testing.T) {
	dir := os.Getenv(corpusFolder)
	if dir == "" {
		t.Skipf("%s names no folder of models", corpusFolder)
	}
	file, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
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
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	sound, hostile := 0, 0
	for _, row := range rows[1:] {
		attack := strings.Contains(row[column["description"]], "HOSTILE")
		if format := row[column["format"]]; !attack && format != "pytorch" && format != "numpy" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, row[column["path"]]))
		if err != nil {
			t.Fatal(err)
		}
		found, err := Read(ctx, folder{row[0]: string(data)}, row[0])
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		dangerous := strings.Contains(words(found), model.VerdictDangerous)
		if dangerous != attack {
			t.Errorf("%s: %s (%v)", row[0], words(found), found.Err)
		}
		if attack {
			hostile++
		} else {
			sound++
		}
	}
	if sound == 0 || hostile == 0 {
		t.Fatalf("%d sound files and %d attacks looked at", sound, hostile)
	}
	t.Logf("%d sound files and %d attacks looked at", sound, hostile)
}
