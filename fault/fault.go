// Package fault is the one vocabulary of what can be wrong with a model, a store, or the machine they lie on.
//
// An Error is made where the fault is found and travels unchanged to whoever must act on it: fs turns its Kind
// into an errno, in one place; `isomerfs why`, README.md and user.isomerfs.error print its Reason and Remedy.
//
// Malformed input and input that is legal but not read are different kinds: Malformed and its narrower siblings
// say that no reader should take the file, Unsupported and Limit say that this one does not.
package fault

import (
	"errors"
	"fmt"
)

// Kind classifies a fault. A Kind is itself an error, so that errors.Is(err, fault.Truncated) asks for it.
type Kind uint8

const (
	// Unknown is the zero Kind: an error nobody classified. It reads as an I/O error.
	Unknown Kind = iota

	Truncated // an extent ends past its container
	Malformed // the grammar of the format is broken
	Mismatch  // two statements of the file disagree
	Extent    // overlap, hole, or trailing bytes
	Overflow  // a size does not fit 63 bits
	Duplicate // a name or field is given twice
	Checksum  // a stored checksum is not that of the bytes
	Missing   // a part that is referred to does not exist

	Limit       // legal, but above a limit of ours
	Unsupported // legal, but not read by us
	Unsafe      // would need code to run, or leaves the model's directory

	Absent   // no such model, version or view
	Usage    // the request itself is wrong
	Changed  // the source changed since it was planned
	Rejected // a digest or signature policy says no
	Space    // no room left where a build must be kept
	Tool     // a compiler or helper program is missing
	Device   // a device has gone
	Timeout  // took longer than allowed
	Denied   // the operating system refuses access
	IO       // the disk or the network failed
)

var names = [...]string{
	Unknown: "unknown", Truncated: "truncated", Malformed: "malformed", Mismatch: "mismatch", Extent: "extent",
	Overflow: "overflow", Duplicate: "duplicate", Checksum: "checksum", Missing: "missing", Limit: "limit",
	Unsupported: "unsupported", Unsafe: "unsafe", Absent: "absent", Usage: "usage", Changed: "changed",
	Rejected: "rejected", Space: "space", Tool: "tool", Device: "device", Timeout: "timeout", Denied: "denied", IO: "io",
}

// String is the kind's word, as tests and JSON spell it.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return k.String() }

// Broken reports whether the kind says that the file itself is wrong, whoever reads it.
func (k Kind) Broken() bool { return k >= Truncated && k <= Missing }

// Error is one fault: what, where, why, and what would mend it.
type Error struct {
	Kind   Kind
	Path   string // the file, view or option at fault; "" when the caller knows it and has not said yet
	Off    int64  // byte offset in Path's file, or -1
	Reason string // one clause: what is wrong, with the numbers that show it
	Remedy string // one clause: what to do; "" where nothing can be done
	Err    error  // the cause, for errors.Is; may be nil
}

// New is a fault without a place. The format's %w, if any, becomes the cause.
func New(kind Kind, format string, args ...any) *Error { return At(kind, -1, format, args...) }

// At is a fault at a byte offset of the file being read.
func At(kind Kind, off int64, format string, args ...any) *Error {
	text := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Off: off, Reason: text.Error(), Err: errors.Unwrap(text)}
}

// In returns err with path as its place. The path is added once: an error that has one keeps it.
// An error that is no *Error becomes one of kind Unknown.
func In(path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Path: path, Off: -1, Reason: err.Error(), Err: err}
	}
	if e.Path != "" {
		return err
	}
	placed := *e
	placed.Path = path
	return &placed
}

// Remedied returns the error with its remedy set.
func (e *Error) Remedied(format string, args ...any) *Error {
	e.Remedy = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) Error() string {
	text := e.Reason
	if e.Off >= 0 {
		text = fmt.Sprintf("offset %d: %s", e.Off, text)
	}
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's Kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// KindOf is the kind of the first *Error in err's chain, Unknown if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}

// Reason is err's reason with its offset but without its path, for places that show the path themselves.
func Reason(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	bare := *e
	bare.Path = ""
	return bare.Error()
}

// Remedy is what would mend err; "" where nobody knows.
func Remedy(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Remedy
	}
	return ""
}
