package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/isomerfs/isomerfs/fault"
)

// readyVariable tells the process in the background on which descriptor its parent waits to hear of the mount.
const readyVariable = "_ISOMERFS_READY_FD"

// outcome is what the process in the background says to its parent: a line of success, or why not.
type outcome struct {
	Line  string   `json:"line,omitempty"`
	Code  int      `json:"code"`
	Lines []string `json:"lines,omitempty"`
}

// launch starts this command again in the background and returns when the mount answers, or with its error.
//
// It is the same command line in the same folder: so the process list shows what was asked for, and relative paths
// mean the same. The line of success is printed unless it shall be quiet.
func launch(ctx context.Context, quiet bool) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	var said bytes.Buffer
	child := &exec.Cmd{
		Path: program, Args: os.Args, Env: append(os.Environ(), readyVariable+"=3"),
		ExtraFiles: []*os.File{theirs}, Stderr: &said, SysProcAttr: detached(),
	}
	if underSystemd() { // the journal
		child.Stderr = os.Stderr
	}
	err = child.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	answer := make(chan outcome, 1)
	go func() {
		var o outcome
		text, _ := io.ReadAll(ready)
		if json.Unmarshal(text, &o) != nil {
			o = outcome{Code: -1}
		}
		answer <- o
	}()
	var o outcome
	select {
	case o = <-answer:
	case <-ctx.Done():
		child.Process.Signal(syscall.SIGTERM)
		child.Wait()
		return ctx.Err()
	}
	switch {
	case o.Code == exitDone && quiet:
		return nil
	case o.Code == exitDone:
		_, err := fmt.Println(o.Line)
		return err
	case o.Code > 0:
		child.Wait()
		return &relayed{o}
	}
	child.Wait()
	reason := fault.New(fault.IO, "the process in the background ended before it had mounted (%s)", child.ProcessState)
	if last := strings.TrimSpace(said.String()); last != "" {
		reason.Remedy = last[strings.LastIndex(last, "\n")+1:]
	}
	return reason
}

// relayed is an error that the process in the background has put into words.
type relayed struct{ outcome }

func (r *relayed) Error() string { return strings.Join(r.Lines, "\n") }

// parent is the process that waits for this one to mount.
type parent struct{ pipe *os.File }

// theParent is the waiting parent of a process in the background; nil in every other process.
func theParent() *parent {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	if err != nil || fd < 3 {
		return nil
	}
	os.Unsetenv(readyVariable)
	syscall.CloseOnExec(fd)
	return &parent{os.NewFile(uintptr(fd), "ready")}
}

func (p *parent) tell(o outcome) {
	if text, err := json.Marshal(o); err == nil {
		p.pipe.Write(text)
	}
	p.pipe.Close()
}

// serve mounts and serves, and lets the parent go when the mount answers. Errors until then are the parent's to print,
// later ones are in the log.
func (p *parent) serve(ctx context.Context, m mounting) error {
	told := false
	err := m.serve(ctx, func(line string) error {
		told = true
		p.tell(outcome{Line: line})
		return nil
	})
	if err != nil && !told {
		code, lines := explain(err)
		p.tell(outcome{Code: code, Lines: lines})
		return &relayed{outcome{Code: code}}
	}
	return err
}

// underSystemd reports whether stderr is the journal.
func underSystemd() bool { return os.Getenv("JOURNAL_STREAM") != "" }

var _ error = (*relayed)(nil)

// asRelayed is the outcome that an error brings from another process.
func asRelayed(err error) (outcome, bool) {
	var r *relayed
	if !errors.As(err, &r) {
		return outcome{}, false
	}
	return r.outcome, true
}
