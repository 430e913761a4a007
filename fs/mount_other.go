//go:build !linux

package fs

import (
	"context"
	"runtime"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// Server is a mount; there are none on this system.
type Server struct{}

func unsupported() error {
	return fault.New(fault.Unsupported, "isomerfs mounts on Linux only, and this is %s", runtime.GOOS).
		Remedied("use ls, show and convert, which need no mount")
}

// Mount fails as fault.Unsupported: mounts need Linux.
func Mount(Options) (*Server, error) { return nil, unsupported() }

// Check fails as fault.Unsupported: mounts need Linux.
func Check(Options) (string, error) { return "", unsupported() }

// Detach fails as fault.Unsupported: mounts need Linux.
func Detach(string, bool) error { return unsupported() }

// OtherUsers is nil.
func OtherUsers() error { return nil }

// ProbePassthrough fails as fault.Unsupported: passthrough needs Linux.
func ProbePassthrough(string) error { return unsupported() }

// Answers fails as fault.Unsupported.
func Answers(string) error { return unsupported() }

// RequestTimeout is 0.
func RequestTimeout() time.Duration { return 0 }

// Wait returns at once.
func (*Server) Wait() {}

// Unmount fails as fault.Unsupported.
func (*Server) Unmount(context.Context, bool) error { return unsupported() }

// Mountpoint is empty.
func (*Server) Mountpoint() string { return "" }

// Passthrough is the zero value.
func (*Server) Passthrough() Passthrough { return Passthrough{} }

// Stats is the zero value.
func (*Server) Stats() Stats { return Stats{} }
