package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/isomerfs/isomerfs/fault"
)

// fsType is the type of our mounts in the mount table.
const fsType = "fuse.isomerfs"

// mount is a line of the mount table.
type mount struct {
	point  string // where it is mounted
	root   string // which part of it is: "/", or a folder for a bind mount
	source string // the store as it was given
	device string // "0:45": the same for all mounts of one daemon, and of no other
	uid    int    // who mounted it
}

// mounts lists the mounts of isomerfs on this host, in the order they were made. Nothing but the mount table is read:
// a mount whose daemon hangs is listed too.
func mounts() ([]mount, error) {
	table, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.FSType != fsType, false })
	if err != nil {
		return nil, fmt.Errorf("the mount table: %w", err)
	}
	var found []mount
	for _, m := range table {
		found = append(found, mount{
			point: m.Mountpoint, root: m.Root, source: m.Source, uid: ownerOf(m.VFSOptions),
			device: fmt.Sprintf("%d:%d", m.Major, m.Minor),
		})
	}
	return found, nil
}

// ownerOf is the user_id of a FUSE mount's options.
func ownerOf(options string) int {
	for _, o := range strings.Split(options, ",") {
		if v, ok := strings.CutPrefix(o, "user_id="); ok {
			if n, err := strconv.Atoi(v); err == nil {
				return n
			}
		}
	}
	return 0
}

// mountAt is the topmost mount at a point.
func mountAt(all []mount, point string) (mount, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].point == point {
			return all[i], true
		}
	}
	return mount{}, false
}

// tree is the path in the tree of what stands at rest below the mount point.
func (m mount) tree(rest string) string { return strings.Trim(path.Join(m.root, rest), "/") }

// deviceOf is the device number of the topmost mount at a point.
func deviceOf(point string) (string, error) {
	all, err := mounts()
	if err != nil {
		return "", err
	}
	m, ok := mountAt(all, point)
	if !ok {
		return "", fault.In(point, fault.New(fault.Absent, "the mount table does not show the mount"))
	}
	return m.device, nil
}

// inMount finds the mount that a path lies in, and the rest of the path below the mount point. Symlinks are resolved
// on the way there, and nothing in or at a mount is touched: its daemon may hang.
func inMount(all []mount, given string) (m mount, rest string, ok bool) {
	if len(all) == 0 {
		return m, "", false
	}
	whole, err := absolute(given)
	if err != nil {
		return m, "", false
	}
	todo := strings.Split(whole, "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		if m, ok := mountAt(all, next); ok {
			// What lies below is the daemon's; ".." does not lead out of the mount.
			return m, strings.Trim(path.Clean("/"+strings.Join(todo, "/")), "/"), true
		}
		info, err := os.Lstat(next)
		if err != nil {
			return m, "", false
		}
		if info.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > 40 {
			return m, "", false
		}
		if strings.HasPrefix(target, "/") {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	if m, ok := mountAt(all, "/"); ok {
		return m, strings.Trim(at, "/"), true
	}
	return m, "", false
}

// absolute is a path from the root, as it was given: neither links nor ".." are resolved.
func absolute(given string) (string, error) {
	if filepath.IsAbs(given) {
		return given, nil
	}
	dir, err := workingDir()
	if err != nil {
		return "", err
	}
	return dir + "/" + given, nil
}
