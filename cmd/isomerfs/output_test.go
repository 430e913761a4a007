package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// TestPrintable: nothing in a name moves the cursor, colours the terminal or ends the line.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"layer1.weight": "layer1.weight", "größe/重み": "größe/重み", "a b": "a b", `say "x"`: `say "x"`, `back\slash`: `back\slash`,
		"\x1b[31mred": `\x1b[31mred`, "two\nlines": `two\nlines`, "\r": `\r`, "bad\xff": `bad\xff`, "\u202eevil": `\u202eevil`, "a\"\x00": `a"\x00`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestExplain: at most three lines, each of them one, and the exit code.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		code  int
		first string
		lines int
	}{
		"usage":       {misuse(versionCommand(), "no %s", "such thing"), 2, "isomerfs: no such thing", 2},
		"fault":       {fault.In("/m", fault.At(fault.Malformed, 7, "bad\nheader")), 1, `isomerfs: /m: offset 7: bad\nheader`, 1},
		"remedy":      {fault.In("/m", fault.New(fault.Tool, "missing").Remedied("apt\ninstall")), 1, "isomerfs: /m: missing", 2},
		"interrupted": {fmt.Errorf("reading: %w", context.Canceled), 1, "isomerfs: interrupted", 1},
		"system":      {placed("/x", &os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}), 1, "isomerfs: /x: permission denied", 1},
		"relayed":     {&relayed{outcome{Code: 2, Lines: []string{"isomerfs: far away"}}}, 2, "isomerfs: far away", 1},
	} {
		code, lines := explain(c.err)
		if code != c.code || len(lines) != c.lines || lines[0] != c.first || strings.Contains(strings.Join(lines, ""), "\n") {
			t.Errorf("%s: exit %d, %q", name, code, lines)
		}
	}
	for err, kind := range map[error]fault.Kind{syscall.ENOSPC: fault.Space, syscall.ENOENT: fault.Absent, syscall.EPERM: fault.Denied, io.ErrUnexpectedEOF: fault.IO} {
		if got := fault.KindOf(placed("x", err)); got != kind {
			t.Errorf("%v is of kind %v, want %v", err, got, kind)
		}
	}
}

// TestRefusal: an error survives the way from a daemon to a command.
func TestRefusal(t *testing.T) {
	for _, err := range []error{
		fault.In("a/b", fault.At(fault.Checksum, 12, "wrong sum").Remedied("fetch it again")),
		fault.New(fault.Absent, "nothing here"),
		errors.New("something else"),
	} {
		text, failed := json.Marshal(newRefusal(err))
		if failed != nil {
			t.Fatal(failed)
		}
		var r refusal
		if failed := json.Unmarshal(text, &r); failed != nil {
			t.Fatal(failed)
		}
		got := r.err()
		if got.Error() != err.Error() || fault.KindOf(got) != fault.KindOf(err) || fault.Remedy(got) != fault.Remedy(err) {
			t.Errorf("%v (%v) arrives as %v (%v)", err, fault.KindOf(err), got, fault.KindOf(got))
		}
	}
}

func TestRecent(t *testing.T) {
	r := &recent{}
	if len(r.text()) != 0 {
		t.Error("an empty log has text")
	}
	log := slog.New(slog.NewTextHandler(r, nil))
	for i := range remembered + 50 {
		log.Info("line", "n", i)
	}
	lines := strings.Split(strings.TrimSpace(string(r.text())), "\n")
	if len(lines) != remembered || !strings.HasSuffix(lines[0], "n=50") || !strings.HasSuffix(lines[remembered-1], "n=249") {
		t.Errorf("%d lines from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

// TestLongLog: a log that has grown long is put aside when a mount begins.
func TestLongLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "log")
	for _, size := range []int64{0, longestLog + 1, 10} {
		file, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(size); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	old, err := os.Stat(path + ".1")
	now, failed := os.Stat(path)
	if err != nil || failed != nil || old.Size() != longestLog+1 || now.Size() != 10 {
		t.Errorf("put aside: %v, %v; now: %v, %v", old, err, now, failed)
	}
}

// TestHelp: every command says what it does in one line, and its examples name it.
func TestHelp(t *testing.T) {
	for _, c := range newRoot().Commands() {
		if c.Short == "" || len(c.Short) > 100 || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q", c.Name(), c.Short)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(c.Example), "\n") {
			if line != "" && !regexp.MustCompile(`^\s*isomerfs `+c.Name()+`\b`).MatchString(line) {
				t.Errorf("%s: the example %q is of another command", c.Name(), line)
			}
		}
	}
}
