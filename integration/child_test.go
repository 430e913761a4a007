//go:build linux

package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable names the part that this binary plays when it is run again by a test.
const childVariable = "ISOMERFS_TEST_CHILD"

// beChild plays a part and gives the exit code.
func beChild(name string, args []string) int {
	switch name {
	case "reader":
		return readerMain(args)
	case "slow":
		return slowMain(args)
	}
	question, err := io.ReadAll(os.Stdin)
	if err == nil {
		var reply any
		switch name {
		case "survey":
			reply, err = told(question, survey)
		case "attributes":
			reply, err = told(question, attributes)
		case "sums":
			reply, err = told(question, sums)
		case "content":
			reply, err = told(question, content)
		case "list":
			reply, err = told(question, list)
		case "links":
			reply, err = told(question, links)
		case "crowd":
			reply, err = told(question, crowd)
		case "churn":
			reply, err = told(question, churn)
		case "writes":
			reply, err = told(question, writes)
		default:
			err = errors.New("no such part")
		}
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(reply)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func told[Q, A any](question []byte, part func(Q) (A, error)) (a A, err error) {
	var q Q
	if err := json.Unmarshal(question, &q); err != nil {
		return a, err
	}
	return part(q)
}

// ask has a child play a part; the child has to answer in time.
func ask[A any](t *testing.T, limit time.Duration, part string, question any) A {
	t.Helper()
	var a A
	text, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	cmd := program("/proc/self/exe")
	cmd.Env = append(cmd.Env, childVariable+"="+part)
	cmd.Stdin = bytes.NewReader(text)
	d := finish(cmd, limit)
	if !d.ok() {
		t.Fatalf("%s of %.200s: %v", part, text, d)
	}
	if err := json.Unmarshal([]byte(d.out), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// errno is the name of what the kernel said, "" for nothing.
func errno(err error) string {
	var number syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &number):
		return unix.ErrnoName(number)
	}
	return err.Error()
}

// looks is what stat says, and whether readdir agrees with it.
type looks struct {
	Mode               uint32
	Nlink, Ino         uint64
	Size, Blocks       int64
	UID, GID           uint32
	Mtime, Ctime       int64 // nanoseconds since 1970
	ReaddirDisagrees   string
	IsDir, IsFile, Lnk bool
}

// survey is everything listed below a folder, by path.
func survey(root string) (map[string]looks, error) {
	found := map[string]looks{}
	var walk func(dir string) error
	walk = func(dir string) error {
		f, err := os.Open(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		types, err := direntTypes(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		for name, d := range types {
			path := filepath.Join(dir, name)
			var s unix.Stat_t
			if err := unix.Lstat(filepath.Join(root, path), &s); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			l := looks{
				Mode: s.Mode, Nlink: uint64(s.Nlink), Ino: s.Ino, Size: s.Size, Blocks: s.Blocks, UID: s.Uid, GID: s.Gid,
				Mtime: s.Mtim.Nano(), Ctime: s.Ctim.Nano(),
				IsDir: s.Mode&unix.S_IFMT == unix.S_IFDIR, IsFile: s.Mode&unix.S_IFMT == unix.S_IFREG, Lnk: s.Mode&unix.S_IFMT == unix.S_IFLNK,
			}
			if d.ino != s.Ino || uint32(d.kind)<<12 != s.Mode&unix.S_IFMT {
				l.ReaddirDisagrees = fmt.Sprintf("readdir says inode %d and type %d, stat %d and %d", d.ino, d.kind, s.Ino, s.Mode&unix.S_IFMT>>12)
			}
			found[path] = l
			if l.IsDir {
				if err := walk(path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return found, walk("")
}

type dirent struct {
	ino  uint64
	kind uint8 // DT_DIR and so on: the bits of S_IFMT
}

// direntTypes is a listing as getdents64 gives it.
func direntTypes(f *os.File) (map[string]dirent, error) {
	found := map[string]dirent{}
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(int(f.Fd()), buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return found, err
		}
		for rest := buffer[:n]; len(rest) > 0; {
			size := binary.NativeEndian.Uint16(rest[16:])
			name, _, _ := bytes.Cut(rest[19:size], []byte{0})
			if s := string(name); s != "." && s != ".." {
				if _, twice := found[s]; twice {
					return nil, fmt.Errorf("%s is listed twice", s)
				}
				found[s] = dirent{binary.NativeEndian.Uint64(rest), rest[18]}
			}
			rest = rest[size:]
		}
	}
}

// below are paths below a folder.
type below struct {
	Root  string
	Paths []string
	Name  string // of the attribute, for attributes
}

// attributes is an extended attribute of each file, or the errno's name after "!".
func attributes(q below) (map[string]string, error) {
	found := map[string]string{}
	buffer := make([]byte, 64<<10)
	for _, path := range q.Paths {
		n, err := unix.Lgetxattr(filepath.Join(q.Root, path), q.Name, buffer)
		if err != nil {
			found[path] = "!" + errno(err)
			continue
		}
		found[path] = string(buffer[:n])
	}
	return found, nil
}

// sum is what reading a file gave.
type sum struct {
	Size, Read int64 // by fstat; bytes that came
	SHA256     string
	Errno      string
}

// sums reads files to their ends.
func sums(q below) (map[string]sum, error) {
	found := map[string]sum{}
	buffer := make([]byte, 1<<20)
	for _, path := range q.Paths {
		found[path] = func() (s sum) {
			f, err := os.Open(filepath.Join(q.Root, path))
			if err != nil {
				return sum{Errno: errno(err)}
			}
			defer f.Close()
			if info, err := f.Stat(); err == nil {
				s.Size = info.Size()
			}
			hash := sha256.New()
			s.Read, err = io.CopyBuffer(hash, onlyReader{f}, buffer)
			s.Errno, s.SHA256 = errno(err), hex.EncodeToString(hash.Sum(nil))
			return s
		}()
	}
	return found, nil
}

type onlyReader struct{ io.Reader }

// piece is a part of a file; N 0: all of it.
type piece struct {
	Path   string
	Off, N int64
}

// got is what reading gave.
type got struct {
	Data  []byte
	Size  int64 // by stat; -1: none
	Errno string
}

// content reads pieces, each with an open of its own.
func content(pieces []piece) ([]got, error) {
	all := make([]got, len(pieces))
	for i, p := range pieces {
		all[i].Size = -1
		if info, err := os.Stat(p.Path); err == nil {
			all[i].Size = info.Size()
		}
		f, err := os.Open(p.Path)
		if err == nil {
			var r io.Reader = f
			if p.N > 0 {
				r = io.NewSectionReader(f, p.Off, p.N)
			}
			all[i].Data, err = io.ReadAll(io.LimitReader(r, 64<<20))
			f.Close()
		}
		all[i].Errno = errno(err)
	}
	return all, nil
}

// names is a listing, sorted.
type names struct {
	Names []string
	Errno string
}

func list(dir string) (names, error) {
	entries, err := os.ReadDir(dir)
	n := names{Names: []string{}, Errno: errno(err)}
	for _, e := range entries {
		n.Names = append(n.Names, e.Name())
	}
	return n, nil
}

// links are the targets of symlinks, by path; "!" and the errno's name for what is none.
func links(q below) (map[string]string, error) {
	found := map[string]string{}
	for _, path := range q.Paths {
		target, err := os.Readlink(filepath.Join(q.Root, path))
		if err != nil {
			target = "!" + errno(err)
		}
		found[path] = target
	}
	return found, nil
}

// many is readers of one file, Count in all.
type many struct {
	Path, Expected string
	Count          int
}

// crowd has threads open a file at one moment and read a share each. It says what was wrong first, or nothing.
func crowd(q many) (string, error) {
	expected, err := mapped(q.Expected)
	if err != nil {
		return "", err
	}
	var gate, all sync.WaitGroup
	gate.Add(q.Count)
	complaints := make(chan string, q.Count)
	for i := range q.Count {
		all.Go(func() {
			from, to := len(expected)*i/q.Count, len(expected)*(i+1)/q.Count
			gate.Done()
			gate.Wait()
			fd, err := unix.Open(q.Path, unix.O_RDONLY, 0)
			for err == unix.EINTR {
				fd, err = unix.Open(q.Path, unix.O_RDONLY, 0)
			}
			if err != nil {
				complaints <- "open: " + errno(err)
				return
			}
			defer unix.Close(fd)
			buffer := make([]byte, 64<<10)
			for at := from; at < to; {
				n, err := pread(fd, buffer[:min(len(buffer), to-at)], int64(at))
				if err != nil || n == 0 || !bytes.Equal(buffer[:n], expected[at:at+n]) {
					complaints <- fmt.Sprintf("%d bytes at %d: %s, or other bytes", n, at, errno(err))
					return
				}
				at += n
			}
		})
	}
	all.Wait()
	close(complaints)
	return <-complaints, nil
}

// churn opens, reads a little and closes, again and again.
func churn(q many) (string, error) {
	buffer := make([]byte, 4096)
	for range q.Count {
		f, err := os.Open(q.Path)
		if err != nil {
			return errno(err), nil
		}
		_, err = f.Read(buffer)
		f.Close()
		if err != nil && err != io.EOF {
			return errno(err), nil
		}
	}
	return "", nil
}

// pread is one read, again where a signal came between.
func pread(fd int, p []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, off)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// writes tries everything that would change a mount, at a folder and a file of it, and gives the errno of each.
func writes(q below) (map[string]string, error) {
	dir, file := q.Root, filepath.Join(q.Root, q.Paths[0])
	said := map[string]string{}
	try := func(what string, err error) {
		said[what] = errno(err)
		if err == nil {
			said[what] = "it was done"
		}
	}
	open := func(path string, flags int) error {
		f, err := os.OpenFile(path, flags, 0o644)
		if err == nil {
			f.Close()
		}
		return err
	}
	now := time.Now()
	try("open for writing", open(file, os.O_WRONLY))
	try("open for reading and writing", open(file, os.O_RDWR))
	try("open and truncate", open(file, os.O_WRONLY|os.O_TRUNC))
	try("create", open(filepath.Join(dir, "new"), os.O_WRONLY|os.O_CREATE))
	try("truncate", os.Truncate(file, 0))
	try("unlink", os.Remove(file))
	try("mkdir", os.Mkdir(filepath.Join(dir, "new"), 0o755))
	try("rmdir", syscall.Rmdir(filepath.Dir(file)))
	try("rename", os.Rename(file, filepath.Join(dir, "new")))
	try("symlink", os.Symlink("x", filepath.Join(dir, "new")))
	try("link", os.Link(file, filepath.Join(dir, "new")))
	try("mkfifo", syscall.Mkfifo(filepath.Join(dir, "new"), 0o644))
	try("chmod", os.Chmod(file, 0o777))
	try("chown", os.Lchown(file, 1, 1))
	try("utimes", os.Chtimes(file, now, now))
	try("setxattr", unix.Setxattr(file, "user.isomerfs.state", []byte("x"), 0))
	try("removexattr", unix.Removexattr(file, "user.isomerfs.state"))
	return said, nil
}

// tree is the regular files and links below a plain folder.
func tree(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
