package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
	isofs "github.com/isomerfs/isomerfs/fs"
)

// examine makes all checks.
func examine(ctx context.Context, s *settings) []checked {
	disk := existingParent(s.cacheDir)
	return []checked{
		examineFuse(), examineFusermount(), examinePassthrough(disk), examineTimeout(), examineCache(s.cacheDir, disk),
		examineOthers(), examineUpdatedb("/etc/updatedb.conf"), examineInotify("/proc/sys/fs/inotify"), examineMounts(ctx),
	}
}

func examineFuse() checked {
	const name = "/dev/fuse"
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	switch {
	case err == nil:
		file.Close()
		return fine(name, "can be opened")
	case errors.Is(err, fs.ErrNotExist):
		return wrong(name, "is missing", "Load the module (modprobe fuse); in a container: --device /dev/fuse")
	}
	return wrong(name, bareError(err).Error(), "Let this user read and write it (chmod 666 %s); in a container: --device /dev/fuse --cap-add SYS_ADMIN", name)
}

func examineFusermount() checked {
	const name = "fusermount3"
	for _, name := range []string{name, "/usr/bin/" + name, "/bin/" + name} { // PATH may be unset
		if path, err := exec.LookPath(name); err == nil {
			return fine(name, "%s", path)
		}
	}
	if os.Geteuid() == 0 {
		return fine(name, "is not installed; root mounts without it")
	}
	return wrong(name, "is not installed", "Install it: apt install fuse3, dnf install fuse3, apk add fuse3")
}

func examinePassthrough(disk string) checked {
	const name = "fuse passthrough"
	err := isofs.ProbePassthrough(disk)
	if err == nil {
		return fine(name, "the kernel reads complete files in %s by itself", disk)
	}
	fix := fault.Remedy(err)
	if fix == "" {
		fix = "Mount as root, on Linux 6.9 or newer, with the cache on a disk of its own (not overlayfs); without it everything works, slower"
	}
	return wrong(name, fault.Reason(err), "%s", fix)
}

func examineTimeout() checked {
	const name = "fuse request timeout"
	if limit := isofs.RequestTimeout(); limit > 0 {
		return wrong(name, "the kernel ends a mount in which a request takes "+limit.String(), "sysctl fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0")
	}
	return fine(name, "none")
}

func examineCache(dir, disk string) checked {
	const name = "cache"
	var s unix.Statfs_t
	if err := unix.Statfs(disk, &s); err != nil {
		return wrong(name, disk+": "+err.Error(), "Give another cache_dir")
	}
	if unix.Access(disk, unix.W_OK) != nil {
		return wrong(name, dir+" can't be written", "Give another folder: ISOMERFS_CACHE_DIR, or -o cache_dir=DIR")
	}
	free, all := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	detail := size(free) + " of " + size(all) + " free for " + dir
	if free < all/20 {
		return wrong(name, detail, "Nothing more is kept below 5 %%: free some space, or give a cache_dir on another disk")
	}
	return fine(name, "%s", detail)
}

func examineOthers() checked {
	const name = "allow_other"
	if err := isofs.OtherUsers(); err != nil {
		c := fine(name, "%s", fault.Reason(err))
		c.Fix = given("Only for mounts that other users shall read: " + fault.Remedy(err))
		return c
	}
	return fine(name, "is allowed")
}

// examineUpdatedb looks whether the nightly walk of locate(1) is kept out of mounts.
func examineUpdatedb(conf string) checked {
	const name = "updatedb"
	file, err := os.Open(conf)
	if err != nil {
		return fine(name, "is not installed")
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if strings.TrimSpace(key) != "PRUNEFS" {
			continue
		}
		for _, t := range strings.Fields(strings.Trim(strings.TrimSpace(value), `"'`)) {
			if strings.EqualFold(t, fsType) || strings.EqualFold(t, "fuse") {
				return fine(name, "leaves mounts of isomerfs out")
			}
		}
	}
	return wrong(name, "walks through mounts of isomerfs each night", "Add %s to PRUNEFS in %s", fsType, conf)
}

// The inotify limits that a store of some thousand models needs: a watch for each folder.
const (
	enoughWatches   = 65536
	enoughInstances = 64
)

func examineInotify(folder string) checked {
	const name = "inotify"
	for _, limit := range []struct {
		file   string
		enough int
	}{{"max_user_watches", enoughWatches}, {"max_user_instances", enoughInstances}} {
		text, err := os.ReadFile(filepath.Join(folder, limit.file))
		if err != nil {
			return fine(name, "has no limits here")
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && n < limit.enough {
			return wrong(name, limit.file+" is "+strconv.Itoa(n)+": changes of large stores are seen at the next rescan only", "sysctl fs.inotify.%s=%d", limit.file, limit.enough)
		}
	}
	return fine(name, "enough watches")
}
