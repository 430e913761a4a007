//go:build !linux

package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NOFOLLOW

func fromUnix(st *unix.Stat_t) status {
	return status{
		identity: identity{
			dev: uint64(st.Dev), ino: uint64(st.Ino), size: st.Size,
			mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
		},
		mode: fileMode(uint32(st.Mode)), uid: st.Uid, gid: st.Gid,
	}
}

// filesystemOf names the file system that a folder lies on.
func filesystemOf(folder string, dev uint64) string { return fmt.Sprintf("dev %x", dev) }
