package main

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// freshFile is a file that is not there yet for anybody else.
type freshFile struct {
	*os.File
	name string // beside its final name; "" for a file that has none
}

// namedFile makes a fresh file with a hidden name beside out.
func namedFile(out string, perm fs.FileMode) (*freshFile, error) {
	for {
		name := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+"."+strconv.FormatUint(uint64(rand.Uint32()), 36)+".tmp")
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if os.IsExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &freshFile{f, name}, nil
	}
}

// publish gives the file its name, unless that is taken (fs.ErrExist).
func (f *freshFile) publish(out string) error {
	if f.name == "" {
		return linkNameless(f.File, out)
	}
	if err := f.Close(); err != nil { // where writes fail late, they fail here
		return err
	}
	if err := renameNew(f.name, out); err != nil {
		return err
	}
	f.name = ""
	return nil
}

// discard closes the file; what was not published is gone.
func (f *freshFile) discard() {
	f.Close()
	if f.name != "" {
		os.Remove(f.name)
	}
}

// renameChecked renames where the file system has no rename that refuses: by a link, which does, or else with a look
// before.
func renameChecked(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return os.Remove(from)
	} else if os.IsExist(err) {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}
