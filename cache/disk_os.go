package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// A cache directory, as it lies on the disk:
//
//	CACHEDIR.TAG          says that backups may pass it by, and that it is ours
//	v1/lock               held shared by each daemon that uses it, exclusively by who removes all of v1
//	v1/obj/ab/ID          a sealed file: the bytes of the layout ID, nothing else
//	v1/obj/ab/ID.meta     its record
//	v1/obj/ab/ID.xx.part  either of them while it is written, locked by the daemon that writes it
//
// Folders are open to their owner alone: a view shows no more than its model does, and so must the cache.
const (
	format   = "v1"
	tagName  = "CACHEDIR.TAG"
	tagText  = "Signature: 8a477f597d28d172789f06886806bc55\n# " + tagOwner + ": it can be removed at any time.\n# https://bford.info/cachedir/\n"
	tagOwner = "This folder is a cache of isomerfs"
)

// osDisk is a folder of the local file system.
type osDisk struct {
	root string // DIR/v1
	dev  uint64 // of DIR: a folder of that name on another device is not the cache, but what lay under its mount

	mu   sync.Mutex
	lock *os.File // v1/lock
}

// openDisk opens a cache directory; with create it is made, and an error says why it cannot be written.
func openDisk(dir string, create bool) (*osDisk, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New("not a folder")}
	}
	d := &osDisk{root: filepath.Join(dir, format), dev: device(info)}
	if create {
		if err := d.prepare(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// prepare makes the folder of this format, and shows that files can be made in it.
func (d *osDisk) prepare() error {
	if err := os.MkdirAll(filepath.Join(d.root, objects), 0o700); err != nil {
		return err
	}
	probe, err := os.CreateTemp(d.root, "probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(probe.Name())
	if err := probe.Close(); err != nil {
		return err
	}
	tag := filepath.Join(filepath.Dir(d.root), tagName)
	if _, err := os.Lstat(tag); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(tag, []byte(tagText), 0o600); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(filepath.Join(d.root, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if _, err := flock(lock, Shared); err != nil {
		lock.Close()
		return err
	}
	d.lock = lock
	return nil
}

// Close gives the directory's lock back.
func (d *osDisk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	err := d.lock.Close()
	d.lock = nil
	return err
}

func (d *osDisk) path(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

func (d *osDisk) Create(name string) (File, error) {
	path := d.path(name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			if err := d.folders(filepath.Dir(path)); err != nil {
				return nil, err
			}
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if err != nil {
			return nil, err
		}
		file := &osFile{File: f}
		ok, err := file.Lock(Exclusive)
		var info Info
		if err == nil {
			info, err = file.Stat()
		}
		switch {
		case err != nil:
			f.Close()
			os.Remove(path)
			return nil, err
		case ok && info.Links > 0:
			return file, nil
		}
		// Before the lock another daemon that starts took the file for a leftover: it has removed it, or is about to.
		f.Close()
		if err := ignoreAbsent(os.Remove(path)); err != nil {
			return nil, err
		}
	}
}

// folders makes a folder of the cache again: its directory may have been removed meanwhile. It must not come to lie
// on another device, which is full of other things.
func (d *osDisk) folders(path string) error {
	for up := filepath.Dir(d.root); ; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err == nil {
			if device(info) != d.dev {
				return &fs.PathError{Op: "mkdir", Path: path, Err: fmt.Errorf("%s is on another device than the cache was", up)}
			}
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || up == filepath.Dir(up) {
			return err
		}
	}
	return os.MkdirAll(path, 0o700)
}

func (d *osDisk) Open(name string) (File, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (d *osDisk) Stat(name string) (Info, error) {
	info, err := os.Lstat(d.path(name))
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func (d *osDisk) List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var infos []Info
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it went meanwhile
			infos = append(infos, infoOf(info))
		}
	}
	return infos, err
}

func (d *osDisk) Commit(from, to string) error { return renameNew(d.path(from), d.path(to)) }

func (d *osDisk) Replace(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d *osDisk) Remove(name string) error { return os.Remove(d.path(name)) }

func (d *osDisk) Sync(dir string) error {
	f, err := os.Open(d.path(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (d *osDisk) Touch(name string, at time.Time) error {
	return os.Chtimes(d.path(name), time.Time{}, at)
}

func (d *osDisk) Space() (free, total int64, err error) { return diskSpace(filepath.Dir(d.root)) }

// osFile is an open file of the local file system.
type osFile struct{ *os.File }

// OS is the descriptor, for the kernel to read by itself.
func (f *osFile) OS() *os.File { return f.File }

func (f *osFile) Flush(off, n int64) error { return startWriting(f.File, off, n) }

func (f *osFile) Lock(how Lock) (bool, error) { return flock(f.File, how) }

func (f *osFile) Stat() (Info, error) {
	info, err := f.File.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

// otherFormats lists the folders in a cache directory that other versions of the format left.
func otherFormats(dir string) []string {
	tag, err := os.ReadFile(filepath.Join(dir, tagName))
	if err != nil || !bytes.Contains(tag, []byte(tagOwner)) {
		return nil // not ours: a folder that happens to be called v2 is somebody's
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var others []string
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || name == format || len(name) < 2 || name[0] != 'v' || !digits(name[1:]) {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name, objects)); err == nil && info.IsDir() {
			others = append(others, filepath.Join(dir, name))
		}
	}
	return others
}

// removeFormat removes a folder of another version of the format unless a daemon uses it, and says how many bytes went.
func removeFormat(path string) (freed int64, err error) {
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if ok, err := flock(lock, Exclusive); !ok || err != nil {
		return 0, err
	}
	filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				freed += infoOf(info).Space
			}
		}
		return nil
	})
	return freed, os.RemoveAll(path)
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// diskFault is an error of the disk as people read it.
func diskFault(err error) *fault.Error {
	kind := fault.IO
	switch {
	case err == nil:
		return nil
	case noSpace(err):
		kind = fault.Space
	case errors.Is(err, fs.ErrPermission):
		kind = fault.Denied
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fault.New(kind, "%w", err)
}
