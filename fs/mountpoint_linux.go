package fs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// kind is what follows "fuse." in the mount table.
const kind = "isomerfs"

// patience is how long a mount that may be dead is given to answer.
const patience = 2 * time.Second

// resolve is the mount point as the kernel will name it: absolute, without links. Only its parent is looked into, since
// the folder itself may be a mount whose daemon is gone.
func resolve(point string) (string, error) {
	if point == "" {
		return "", fault.New(fault.Usage, "no mount point was given")
	}
	path, err := filepath.Abs(point)
	if err != nil {
		return "", fault.In(point, fault.New(fault.Usage, "%w", err))
	}
	if path == "/" {
		return path, nil
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fault.In(point, fault.New(fault.Usage, "the mount point does not exist").Remedied("mkdir -p %s", path))
	case err != nil:
		return "", fault.In(point, fault.New(fault.Denied, "the mount point can't be looked at: %w", cause(err)))
	}
	path = filepath.Join(folder, filepath.Base(path))
	if _, err := os.Readlink(path); err == nil { // a link is followed; on a dead mount this fails
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", fault.In(point, fault.New(fault.Usage, "the mount point leads nowhere"))
		}
	}
	return path, nil
}

// ready checks that point, as resolve gave it, is a folder on which nothing is mounted, and lifts a dead mount of our
// own: one whose daemon was killed.
func ready(point string) error {
	for range 8 { // dead mounts may lie on one another
		top, err := mounted(point)
		if err != nil {
			return fault.In(point, fault.New(fault.IO, "the mount table can't be read: %w", err))
		}
		if top == nil {
			return isFolder(point)
		}
		state := alive(point)
		ours := top.FSType == "fuse."+kind
		switch {
		case state == nil && ours:
			return fault.In(point, fault.New(fault.Usage, "isomerfs is mounted here already").Remedied("isomerfs umount %s", point))
		case state == nil:
			return fault.In(point, fault.New(fault.Usage, "the mount point is already a mount, of type %s", top.FSType))
		case errors.Is(state, errSilent):
			return fault.In(point, fault.New(fault.Usage, "the mount point is already a mount, which does not answer").Remedied("umount -l %s", point))
		case !ours:
			return fault.In(point, fault.New(fault.Usage, "the mount point is a dead mount of type %s", top.FSType).Remedied("umount -l %s", point))
		}
		if err := lift(point, true); err != nil {
			return fault.In(point, fault.New(fault.Usage, "the mount point is a dead mount that can't be lifted: %w", err).Remedied("umount -l %s", point))
		}
	}
	return fault.In(point, fault.New(fault.Usage, "the mount point is a heap of dead mounts").Remedied("umount -l %s, several times", point))
}

func isFolder(point string) error {
	info, err := os.Stat(point)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.In(point, fault.New(fault.Usage, "the mount point does not exist").Remedied("mkdir -p %s", point))
	case err != nil:
		return fault.In(point, fault.New(fault.Denied, "the mount point can't be looked at: %w", cause(err)))
	case !info.IsDir():
		return fault.In(point, fault.New(fault.Usage, "the mount point is not a folder"))
	}
	return nil
}

// mounted is the topmost mount at a path, nil where there is none. It looks into the mount table alone, for a mount
// that hangs would hang whoever asks it.
func mounted(path string) (*mountinfo.Info, error) {
	all, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != path, false })
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// errSilent is a mount that says nothing at all.
var errSilent = errors.New("no answer")

// Answers asks whatever is mounted at a path for its root, which a hanging mount does not get to hang the caller by:
// nil, ENOTCONN or ECONNABORTED from a mount whose daemon has died, or fault.Timeout. Unlike stat it is answered by the
// daemon, and not from what the kernel remembers of it.
func Answers(path string) error {
	err := alive(path)
	if errors.Is(err, errSilent) {
		return fault.In(path, fault.New(fault.Timeout, "the mount does not answer").Remedied("umount -l %s", path))
	}
	return err
}

func alive(path string) error {
	answer := make(chan error, 1)
	go func() {
		var s unix.Statx_t
		answer <- unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &s)
	}()
	select {
	case err := <-answer:
		switch err {
		case unix.ENOTCONN, unix.ECONNABORTED:
			return err
		}
		return nil // also EACCES: another user's mount keeps us out
	case <-time.After(patience):
		return errSilent
	}
}

// lift unmounts. detached takes the mount out of the tree at once, and files that are open stay so.
func lift(point string, detached bool) error {
	if os.Geteuid() == 0 {
		how := unix.UMOUNT_NOFOLLOW
		if detached {
			how |= unix.MNT_DETACH
		}
		return unix.Unmount(point, how)
	}
	program, err := fusermount()
	if err != nil {
		return err
	}
	words := []string{"-u", "-q", "--", point}
	if detached {
		words = append([]string{"-z"}, words...)
	}
	var said bytes.Buffer
	command := exec.Command(program, words...)
	command.Stderr = &said
	if err := command.Run(); err != nil {
		if text := strings.TrimSpace(said.String()); text != "" && !strings.Contains(text, "busy") {
			return errors.New(text)
		}
		if top, err := mounted(point); err == nil && top == nil {
			return unix.EINVAL
		}
		return unix.EBUSY // -q hides the reason, which otherwise comes in the user's language
	}
	return nil
}

// Detach unmounts what another process of ours serves at a point, as the mount table names it: without a look at the
// mount, which may hang. ErrBusy is in the chain of its error when files are in use; with lazy that is no obstacle.
func Detach(point string, lazy bool) error {
	switch err := lift(point, lazy); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return fault.In(point, &fault.Error{Kind: fault.Usage, Off: -1, Reason: "the mount is in use", Err: ErrBusy})
	case fault.KindOf(err) != fault.Unknown:
		return fault.In(point, err)
	default:
		return fault.In(point, fault.New(fault.Denied, "the unmount failed: %w", err))
	}
}

// fusermount is the program by which an ordinary user mounts.
func fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "/usr/bin/fusermount3", "fusermount"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fault.New(fault.Tool, "fusermount3 is not installed, and only root mounts without it").Remedied("install the package fuse3")
}

// OtherUsers checks that this user may let others use a mount: root may, others if fuse.conf says so.
func OtherUsers() error { return otherUsersBy("/etc/fuse.conf") }

func otherUsersBy(conf string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if allows(conf) {
		return nil
	}
	return fault.In(conf, fault.New(fault.Denied, "allow_other is not permitted to ordinary users").Remedied("add the line user_allow_other to %s", conf))
}

// allows reports whether a fuse.conf has the line user_allow_other.
func allows(conf string) bool {
	f, err := os.Open(conf)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "user_allow_other" {
			return true
		}
	}
	return false
}

// apart checks that the mount hides nothing that is needed to serve it, and lies in nothing that it shows.
func apart(point, store, dir string) error {
	for _, other := range []struct{ path, what string }{{store, "store"}, {dir, "cache directory"}} {
		if other.path == "" {
			continue
		}
		real, err := filepath.EvalSymlinks(other.path)
		if err != nil {
			continue // whoever needs it says so
		}
		if real, err = filepath.Abs(real); err != nil {
			continue
		}
		if within(point, real) && (other.what == "store" || point == real) {
			return fault.In(point, fault.New(fault.Usage, "the mount point is inside the %s, %s", other.what, real))
		}
		if within(real, point) {
			return fault.In(point, fault.New(fault.Usage, "a mount here would hide the %s, %s", other.what, real))
		}
	}
	return nil
}

// within reports whether path is folder or lies below it.
func within(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || folder == "/" || rest[0] == '/')
}

// cause is the errno of an error of package os, whose own text names the path again.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// RequestTimeout is the longest that the kernel lets a request wait before it aborts the whole mount
// (fs.fuse.default_request_timeout and max_request_timeout, Linux 6.15); 0 is for ever, as it should be: the first
// open of a view may have to wait for its conversion.
func RequestTimeout() time.Duration {
	var least time.Duration
	for _, name := range []string{"default_request_timeout", "max_request_timeout"} {
		text, err := os.ReadFile("/proc/sys/fs/fuse/" + name)
		if err != nil {
			continue
		}
		seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if d := time.Duration(seconds) * time.Second; err == nil && d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// readAhead has the kernel read ahead a mebibyte at a time in what the daemon serves; it offers no more than 128 KiB
// when it is asked in the protocol. Only root can.
func readAhead(point string) error {
	top, err := mounted(point)
	if err != nil || top == nil {
		return err
	}
	path := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", top.Major, top.Minor)
	return os.WriteFile(path, []byte("1024"), 0)
}
