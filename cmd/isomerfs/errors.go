package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
)

// The exit codes.
const (
	exitDone  = 0
	exitNo    = 1
	exitUsage = 2
)

// usageError is a request that makes no sense. It ends with exitUsage.
type usageError struct {
	reason  string
	command string // whose help would help
}

func (e *usageError) Error() string { return e.reason }

// misuse is a usageError of cmd.
func misuse(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{reason: fmt.Sprintf(format, args...), command: cmd.CommandPath()}
}

// tell prints an error as at most three lines on stderr (what, why, and what to do) and gives the exit code.
func tell(err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, syscall.EPIPE) { // whoever read our output has gone, and knows why
		return exitNo
	}
	code, lines := explain(err)
	for _, line := range lines {
		fmt.Fprintln(os.Stderr, line)
	}
	return code
}

// explain is the exit code of an error and its lines.
func explain(err error) (code int, lines []string) {
	if o, ok := asRelayed(err); ok {
		return o.Code, o.Lines
	}
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage, []string{"isomerfs: " + oneLine(usage.reason), fmt.Sprintf("try: %s --help", usage.command)}
	case errors.Is(err, context.Canceled):
		return exitNo, []string{"isomerfs: interrupted"}
	}
	lines = []string{"isomerfs: " + oneLine(err.Error())}
	if remedy := fault.Remedy(err); remedy != "" {
		lines = append(lines, oneLine(remedy))
	}
	return exitNo, lines
}

// oneLine is text for one line of a terminal: what would move the cursor or end the line is escaped.
func oneLine(text string) string { return strings.TrimSpace(printable(text)) }

// placed is an error of the operating system as a fault at path.
func placed(path string, err error) error {
	var e *fault.Error
	if err == nil || errors.As(err, &e) {
		return fault.In(path, err)
	}
	kind := fault.IO
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.Absent
	case errors.Is(err, fs.ErrPermission):
		kind = fault.Denied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = fault.Space
	}
	var at *fs.PathError
	reason := err
	if errors.As(err, &at) {
		reason = at.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		reason = call.Err
	}
	return fault.In(path, fault.New(kind, "%w", reason))
}

// replaced is an error about a path in the tree as one about the path that was given.
func replaced(given string, err error) error {
	return &fault.Error{Kind: fault.KindOf(err), Path: given, Off: -1, Reason: fault.Reason(err), Remedy: fault.Remedy(err), Err: err}
}
