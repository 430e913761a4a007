//go:build !linux

package store

import "golang.org/x/sys/unix"

// open opens a path whose last element is no symbolic link.
func open(path string, flags int) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Open(path, openFlags|flags, 0) })
}
