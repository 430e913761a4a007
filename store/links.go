package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/isomerfs/isomerfs/fault"
)

func isLink(st status) bool { return st.mode&fs.ModeSymlink != 0 }

// sibling is the name beside it that a link leads to, where it leads to one.
func (s *directory) sibling(dir, link string) (string, bool) {
	text, err := os.Readlink(filepath.Join(dir, link))
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(dir, text)
	}
	target := filepath.Clean(text)
	if parent := filepath.Dir(target); parent != dir {
		if !filepath.IsAbs(text) {
			return "", false
		}
		if parent, err = filepath.EvalSymlinks(parent); err != nil || parent != dir {
			return "", false
		}
	}
	return filepath.Base(target), true
}

// follows resolves a link: to a path without links, and what lies there. One that leads out of the store is Unsafe,
// unless into a folder that may be followed, or into the blobs of repo, the hub repository that it lies in.
func (s *directory) follows(path, repo string) (string, status, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		var system *fs.PathError
		text, _ := os.Readlink(path)
		switch {
		case os.IsNotExist(err):
			return "", status{}, fault.New(fault.Missing, "is a link to %s, where nothing is", text)
		case !errors.As(err, &system): // EvalSymlinks' own: it has followed 255 of them
			return "", status{}, fault.New(fault.Missing, "is a link to %s, and that leads in circles", text)
		}
		return "", status{}, systemFault("", err, fault.Missing)
	}
	if !s.inside(real, repo) {
		tree := real
		if st, err := stat(real); err != nil || !st.mode.IsDir() {
			tree = filepath.Dir(real)
		}
		return "", status{}, fault.New(fault.Unsafe, "is a link to %s, outside the store", real).
			Remedied("allow it with the mount option follow=%s", tree)
	}
	st, err := lstat(real)
	if err != nil {
		return "", status{}, systemFault("", err, fault.Missing)
	}
	return real, st, nil
}

// inside reports whether a path without links may be read.
func (s *directory) inside(real, repo string) bool {
	if within(real, s.real) {
		return true
	}
	if repo != "" && within(real, filepath.Join(repo, "blobs")) {
		return true
	}
	for _, tree := range s.follow {
		if within(real, tree) {
			return true
		}
	}
	return false
}
