package store

import (
	"encoding/hex"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_LARGEFILE

	// getUUID is FS_IOC_GETFSUUID of linux/fs.h, _IOR(0x15, 0, struct fsuuid2): a byte of length and 16 bytes.
	// Kernels since 6.9 answer it for ext4, XFS, btrfs, F2FS and bcachefs.
	getUUID = 0x80111500
)

func fromUnix(st *unix.Stat_t) status {
	return status{
		identity: identity{
			dev: uint64(st.Dev), ino: st.Ino, size: st.Size, //nolint:unconvert // Dev is of another type elsewhere
			mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
		},
		mode: fileMode(st.Mode), uid: st.Uid, gid: st.Gid,
	}
}

// filesystemOf names the file system that a folder lies on so that the name is the same after a restart, as far as
// the file system knows one.
func filesystemOf(folder string, dev uint64) string {
	name := ""
	fd, err := ignoringEINTR(func() (int, error) { return unix.Open(folder, openFlags|unix.O_DIRECTORY, 0) })
	if err == nil {
		var uuid [17]byte
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getUUID, uintptr(unsafe.Pointer(&uuid)))
		unix.Close(fd)
		if n := int(uuid[0]); errno == 0 && n > 0 && n <= 16 {
			name = "uuid " + hex.EncodeToString(uuid[1:1+n])
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err == nil && (name == "" || st.Type == unix.BTRFS_SUPER_MAGIC) {
		// On btrfs the fsid tells the subvolume too: each counts its own inodes.
		if st.Fsid != (unix.Fsid{}) {
			name += fmt.Sprintf(" fsid %08x%08x", uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1]))
		}
	}
	if name == "" {
		name = fmt.Sprintf("dev %x", dev)
	}
	return name
}

// seesChanges reports whether the kernel sees every change of a folder's file system: those of network file systems
// are made elsewhere.
func seesChanges(folder string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.RAMFS_MAGIC, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */ :
		return true
	}
	return false
}
