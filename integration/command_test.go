//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// moment is what a command may take that has little to do, on a busy machine.
const moment = 30 * time.Second

// done is how a program ended.
type done struct {
	what     string
	code     int // -1: by a signal, or never
	hung     bool
	out, err string
}

func (d done) String() string {
	how := fmt.Sprintf("exit %d", d.code)
	if d.hung {
		how = "hung"
	}
	said := strings.TrimSpace(d.err)
	if said == "" {
		said = strings.TrimSpace(d.out)
	}
	if len(said) > 600 {
		said = said[:600] + "..."
	}
	return fmt.Sprintf("%s: %s: %s", d.what, how, said)
}

func (d done) ok() bool { return d.code == 0 && !d.hung }

// sink collects what a program prints; a program that hangs may print still.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// program is a program that has been prepared: its group can be killed, and nothing that it leaves behind holds us up.
func program(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// environment is ours without settings of isomerfs: what people have set for themselves changes no test, and a test
// changes nothing of theirs.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ISOMERFS_") && !strings.HasPrefix(v, "XDG_C") && !strings.HasPrefix(v, "XDG_STATE") && !strings.HasPrefix(v, "LC_") {
			env = append(env, v)
		}
	}
	own := filepath.Join(workshop, "own")
	return append(env, "LC_ALL=C", "PYTHONDONTWRITEBYTECODE=1",
		"ISOMERFS_CACHE_DIR="+own+"/cache", "XDG_CACHE_HOME="+own+"/cache", "XDG_CONFIG_HOME="+own+"/config", "XDG_STATE_HOME="+own+"/state")
}

// finish starts a prepared program and waits for its end, no longer than limit, and little longer even where it cannot
// be killed.
func finish(cmd *exec.Cmd, limit time.Duration) done {
	var out, errs sink
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &errs
	d := done{what: filepath.Base(cmd.Path) + " " + strings.Join(cmd.Args[1:], " "), code: -1}
	if err := cmd.Start(); err != nil {
		d.err = err.Error()
		return d
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-time.After(limit):
		d.hung = true
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		select {
		case err = <-ended:
		case <-time.After(5 * time.Second):
			err = errors.New("it outlives SIGKILL")
		}
	}
	d.out, d.err = out.String(), errs.String()
	var exit *exec.ExitError
	switch {
	case err == nil && !d.hung:
		d.code = 0
	case errors.As(err, &exit):
		d.code = exit.ExitCode()
		if d.code < 0 {
			d.err += " " + exit.String()
		}
	case errors.Is(err, exec.ErrWaitDelay):
		d.err += " it left somebody behind who holds its output open"
	case err != nil:
		d.err += " " + err.Error()
	}
	if d.hung {
		d.err += fmt.Sprintf(" (no end within %v)", limit)
	}
	return d
}

// command runs a program to its end.
func command(limit time.Duration, argv ...string) done { return finish(program(argv...), limit) }

// isomerfs runs a command of the program under test.
func isomerfs(args ...string) done {
	return command(2*time.Minute, append([]string{binaryPath()}, args...)...)
}

// answer is what `isomerfs ARGS --json` says; the command has to succeed.
func answer[T any](t *testing.T, args ...string) T {
	t.Helper()
	d := isomerfs(append(args, "--json")...)
	if !d.ok() {
		t.Fatal(d)
	}
	return parsed[T](t, d)
}

// parsed is the JSON that a command printed.
func parsed[T any](t *testing.T, d done) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(d.out), &v); err != nil {
		t.Fatalf("%s prints no such JSON: %v: %.300s", d.what, err, d.out)
	}
	return v
}

// running reports whether a process lives; a zombie does not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// gone waits for the end of a process.
func gone(pid int, limit time.Duration) bool {
	for until := time.Now().Add(limit); running(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

// threads says what each thread of a process waits for in the kernel, as far as it tells.
func threads(pid int) string {
	var text strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		stat, _ := os.ReadFile(task + "/stat")
		wait, _ := os.ReadFile(task + "/wchan")
		stack, _ := os.ReadFile(task + "/stack")
		_, state, _ := bytes.Cut(stat, []byte(") "))
		fmt.Fprintf(&text, "thread %s: %.1s, %s: %s\n", filepath.Base(task), state, wait, strings.Join(strings.Fields(string(stack)), " "))
	}
	return text.String()
}
