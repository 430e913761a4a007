package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// detach unmounts a mount point, which is not looked at: a daemon that hangs must not hold us up.
func detach(ctx context.Context, point string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	switch err := unix.Unmount(point, flags); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY):
		return busy(point)
	case !errors.Is(err, unix.EPERM):
		return placed(point, err)
	}
	program, err := fusermount()
	if err != nil {
		return fault.In(point, fault.New(fault.Tool, "an ordinary user unmounts through fusermount3, which is not installed").Remedied("install fuse3"))
	}
	args := []string{"-u"}
	if lazy {
		args = append(args, "-z")
	}
	said, err := exec.CommandContext(ctx, program, append(args, "--", point)...).CombinedOutput()
	switch {
	case err == nil:
		return nil
	case bytes.Contains(bytes.ToLower(said), []byte("busy")):
		return busy(point)
	}
	return fault.In(point, fault.New(fault.Denied, "%s", strings.TrimSpace(strings.TrimPrefix(string(said), "fusermount3: "))))
}

// fusermount is the program that mounts and unmounts for ordinary users. PATH may be unset.
func fusermount() (string, error) {
	for _, name := range []string{"fusermount3", "/usr/bin/fusermount3", "/bin/fusermount3", "fusermount"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}

// usersOf lists processes that have something below point open, as far as we may see: at most five.
func usersOf(point string) []string {
	var users []string
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range folders {
		if !holds(proc, point) {
			continue
		}
		name, _ := os.ReadFile(proc + "/comm")
		users = append(users, fmt.Sprintf("%s (process %s)", printable(strings.TrimSpace(string(name))), filepath.Base(proc)))
		if len(users) == 5 {
			return append(users, "others")
		}
	}
	return users
}

// holds reports whether a process stands in point, or has a file of it open or mapped. The links in /proc are read, not
// followed: the mount is not asked.
func holds(proc, point string) bool {
	for _, link := range []string{"cwd", "root", "exe"} {
		if to, err := os.Readlink(proc + "/" + link); err == nil && within(to, point) {
			return true
		}
	}
	for _, folder := range []string{"fd", "map_files"} {
		entries, err := os.ReadDir(proc + "/" + folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(proc, folder, e.Name())); err == nil && within(to, point) {
				return true
			}
		}
	}
	return false
}
