package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// replaceStderr makes file, or nothing, of what was our parent's: what the runtime prints as it dies is in the log then,
// and a parent that has gone is no broken pipe.
func replaceStderr(file *os.File) error {
	if file == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		file = null
	}
	return unix.Dup3(int(file.Fd()), 2, 0)
}
