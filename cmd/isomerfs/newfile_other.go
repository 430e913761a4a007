//go:build !linux

package main

import (
	"errors"
	"io/fs"
	"os"
)

// newFile makes the file that will be out, under another name beside it.
func newFile(out string, perm fs.FileMode) (*freshFile, error) { return namedFile(out, perm) }

func linkNameless(*os.File, string) error { return errors.ErrUnsupported }

func renameNew(from, to string) error { return renameChecked(from, to) }

// freeSpace is not asked for here: a full disk is noticed when it is full.
func freeSpace(string) (int64, bool) { return 0, false }

func umask() fs.FileMode { return 0o022 }
