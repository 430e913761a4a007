package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/gguf"
	"github.com/isomerfs/isomerfs/layout"
)

var update = flag.Bool("update", false, "write what the commands of the transcripts print into testdata/transcripts")

// roleVariable makes this test binary one of the programs that they run.
const roleVariable = "ISOMERFS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		switch filepath.Base(os.Args[0]) {
		case "model":
			writeModel(os.Args[1:])
		default:
			main()
		}
		return
	}
	os.Exit(m.Run())
}

// TestTranscripts runs the transcripts in testdata/transcripts and compares what is printed. A transcript is a text:
//
//	# a comment
//	$ command, run by sh in a folder of its own
//	what it prints on stdout
//	! what it prints on stderr
//	? its exit code, where that is not 0
//
// Three programs stand ready: isomerfs, model (see writeModel), and what the system has. $WORK stands for the folder,
// and what differs from run to run for itself: $PID, $DATE. Those whose names begin with "mount" mount.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "mount") {
				needMount(t)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newStage(t).replay(string(want))
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s prints something else (go test -update accepts it):\n%s", file, firstDifference(string(want), got))
		})
	}
}

// needMount skips a test where nothing can be mounted, unless ISOMERFS_TEST_REQUIRE says that this machine can.
func needMount(t *testing.T) {
	t.Helper()
	file, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		file.Close()
		if os.Geteuid() == 0 {
			return
		}
		err = errors.New("needs root")
	}
	if slices.Contains(strings.Split(os.Getenv("ISOMERFS_TEST_REQUIRE"), ","), "fuse") {
		t.Fatal(err)
	}
	t.Skip(err)
}

// stage is a folder in which commands run.
type stage struct {
	t    *testing.T
	work string
	env  []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	work, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, work: filepath.Join(work, "work")}
	bin := filepath.Join(work, "bin")
	for _, dir := range []string{s.work, bin, filepath.Join(work, "run")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"isomerfs", "model"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + work, "XDG_CONFIG_HOME=" + filepath.Join(work, "config"),
		"XDG_RUNTIME_DIR=" + filepath.Join(work, "run"), "ISOMERFS_CACHE_DIR=" + filepath.Join(s.work, "cache"),
		"ISOMERFS_LOG=" + filepath.Join(work, "log"), roleVariable + "=command", "LC_ALL=C", "TZ=UTC",
		"GORACE=atexit_sleep_ms=0", // the detector would have each command sleep for a second
	}
	t.Cleanup(func() { // whatever the commands left mounted
		all, _ := mounts()
		for _, m := range all {
			if strings.HasPrefix(m.point, work+"/") {
				s.run("isomerfs umount --lazy " + m.point)
				t.Errorf("left mounted: %s", m.point)
			}
		}
	})
	return s
}

// run is what one command prints, and its exit code.
func (s *stage) run(command string) (out, err string, code int) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.Command("sh", "-c", command)
	c.Dir, c.Env, c.Stdout, c.Stderr = s.work, s.env, &stdout, &stderr
	c.WaitDelay = 10 * time.Second
	timer := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if e := c.Run(); errors.As(e, &exit) {
		code = exit.ExitCode()
	} else if e != nil {
		s.t.Fatalf("%s: %v", command, e)
	}
	return s.steady(stdout.String()), s.steady(stderr.String()), code
}

var unsteady = []struct {
	what *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`process \d+`), "process $$PID"},
	{regexp.MustCompile(`"pid":\d+`), `"pid":$$PID`},
	{regexp.MustCompile(`20\d\d-\d\d-\d\d[T ][\d:]+Z?`), "$$DATE"},
	{regexp.MustCompile(`go1[.\w-]+, \w+/\w+`), "$$GO"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "$$HASH"},
}

// steady is text without what differs from run to run.
func (s *stage) steady(text string) string {
	text = strings.ReplaceAll(text, s.work, "$WORK")
	for _, u := range unsteady {
		text = u.what.ReplaceAllString(text, u.name)
	}
	return text
}

// replay runs the commands of a transcript and is the transcript as they went.
func (s *stage) replay(text string) string {
	var b strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		command, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			if line := lines[i]; strings.HasPrefix(line, "#") || line == "\n" {
				b.WriteString(line)
			}
			continue
		}
		b.WriteString(lines[i])
		for strings.HasSuffix(command, "\\\n") && i+1 < len(lines) {
			i++
			b.WriteString(lines[i])
			command += lines[i]
		}
		out, err, code := s.run(strings.TrimSuffix(command, "\n"))
		for line := range strings.Lines(out) {
			b.WriteString(escapeLine(line))
		}
		for line := range strings.Lines(err) {
			b.WriteString("! " + strings.TrimSuffix(line, "\n") + "\n")
		}
		if code != 0 {
			fmt.Fprintf(&b, "? %d\n", code)
		}
	}
	return b.String()
}

// escapeLine is a line of output that can't be taken for anything else of a transcript.
func escapeLine(line string) string {
	line = strings.TrimRight(line, " \n")
	if line == "" || strings.ContainsRune("#$!?", rune(line[0])) {
		line = "|" + line
	}
	return line + "\n"
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "(end)", "(end)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\n  said  %s\n  says  %s\nall of it:\n%s", i+1, x, y, got)
		}
	}
	return ""
}

// writeModel is the program model: it writes a safetensors file whose tensors are ones, and which is long settled; or
// where FILE ends in .gguf a language model of one layer with these tensors, all zeros.
//
//	model FILE NAME:DTYPE:DIM,DIM...
func writeModel(args []string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "model:", err)
			os.Exit(1)
		}
	}
	settled := time.Unix(1_700_000_000, 0)
	if strings.HasSuffix(args[0], ".gguf") {
		fail(writeGGUF(args[0], args[1:]))
		fail(os.Chtimes(args[0], settled, settled))
		return
	}
	one := map[string][]byte{"F32": {0, 0, 0x80, 0x3f}, "F16": {0, 0x3c}, "BF16": {0x80, 0x3f}, "I64": {1, 0, 0, 0, 0, 0, 0, 0}, "U8": {1}}
	header := map[string]any{}
	var data bytes.Buffer
	for _, arg := range args[1:] {
		parts := strings.Split(arg, ":")
		shape, count := []int{}, 1
		for dim := range strings.SplitSeq(parts[2], ",") {
			n, err := strconv.Atoi(dim)
			fail(err)
			shape, count = append(shape, n), count*n
		}
		start := data.Len()
		data.Write(bytes.Repeat(one[parts[1]], count))
		header[parts[0]] = map[string]any{"dtype": parts[1], "shape": shape, "data_offsets": []int{start, data.Len()}}
	}
	text, err := json.Marshal(header)
	fail(err)
	text = append(text, bytes.Repeat([]byte{' '}, -len(text)&7)...)
	file := append([]byte{byte(len(text)), byte(len(text) >> 8), 0, 0, 0, 0, 0, 0}, text...)
	fail(os.MkdirAll(filepath.Dir(args[0]), 0o755))
	fail(os.WriteFile(args[0], append(file, data.Bytes()...), 0o644))
	fail(os.Chtimes(args[0], settled, settled))
}

func writeGGUF(file string, tensors []string) error {
	key := func(name string, n uint32) gguf.KV { return gguf.Key("llama."+name, n) }
	c := &gguf.Content{KVs: []gguf.KV{
		gguf.Key("general.architecture", "llama"), key("block_count", 1), key("embedding_length", 256), key("attention.head_count", 4), key("context_length", 512),
		gguf.List("tokenizer.ggml.tokens", strings.Split("<unk> <s> </s> a b c d e f g", " ")),
	}}
	for _, arg := range tensors {
		parts := strings.Split(arg, ":")
		t := gguf.Tensor{Name: parts[0]}
		t.Type, _ = ggml.ParseType(parts[1])
		for dim := range strings.SplitSeq(parts[2], ",") {
			n, err := strconv.ParseInt(dim, 10, 64)
			if err != nil {
				return err
			}
			t.Shape = append(t.Shape, n)
		}
		n, err := gguf.Size(t.Type, t.Shape)
		if err != nil {
			return err
		}
		t.Data = layout.Bytes(make([]byte, n))
		c.Tensors = append(c.Tensors, t)
	}
	f, err := c.File()
	if err != nil {
		return err
	}
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(context.Background(), nil, b, 0); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}
