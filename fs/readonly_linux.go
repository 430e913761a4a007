package fs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// The mount is read-only, so the kernel refuses whoever would change something before it asks. Should it ask all the
// same (a mount that was made writable with mount -o remount,rw), the answer stays EROFS.

func (v *volume) readOnly() fuse.Status { return v.answer(opWrite, syscall.EROFS) }

func (v *volume) SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Mknod(<-chan struct{}, *fuse.MknodIn, string, *fuse.EntryOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Mkdir(<-chan struct{}, *fuse.MkdirIn, string, *fuse.EntryOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Unlink(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return v.readOnly() }
func (v *volume) Rmdir(<-chan struct{}, *fuse.InHeader, string) fuse.Status  { return v.readOnly() }
func (v *volume) Rename(<-chan struct{}, *fuse.RenameIn, string, string) fuse.Status {
	return v.readOnly()
}
func (v *volume) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Symlink(<-chan struct{}, *fuse.InHeader, string, string, *fuse.EntryOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) SetXAttr(<-chan struct{}, *fuse.SetXAttrIn, string, []byte) fuse.Status {
	return v.readOnly()
}
func (v *volume) RemoveXAttr(<-chan struct{}, *fuse.InHeader, string) fuse.Status {
	return v.readOnly()
}
func (v *volume) Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return v.readOnly()
}
func (v *volume) Write(<-chan struct{}, *fuse.WriteIn, []byte) (uint32, fuse.Status) {
	return 0, v.readOnly()
}
func (v *volume) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, v.readOnly()
}
func (v *volume) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status { return v.readOnly() }
func (v *volume) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, v.readOnly()
}

// Flush and Fsync have nothing to do. The kernel leaves Flush out, as FOPEN_NOFLUSH says.
func (v *volume) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }
func (v *volume) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

// Locks are the kernel's own business, since none was asked for at the mount.
func (v *volume) GetLk(<-chan struct{}, *fuse.LkIn, *fuse.LkOut) fuse.Status {
	return v.answer(opOther, syscall.EOPNOTSUPP)
}
func (v *volume) SetLk(<-chan struct{}, *fuse.LkIn) fuse.Status {
	return v.answer(opOther, syscall.EOPNOTSUPP)
}
func (v *volume) SetLkw(<-chan struct{}, *fuse.LkIn) fuse.Status {
	return v.answer(opOther, syscall.EOPNOTSUPP)
}

// Ioctl knows none.
func (v *volume) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return v.answer(opOther, syscall.ENOTTY)
}

// Lseek finds no hole: a file is data to its end, and after it comes the one hole that every file has.
func (v *volume) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	n := v.inodes.get(in.NodeId)
	if n == nil {
		return v.answer(opOther, syscall.ESTALE)
	}
	size := uint64(v.size(n.node.Load(), n))
	switch {
	case in.Whence != unix.SEEK_DATA && in.Whence != unix.SEEK_HOLE:
		return v.answer(opOther, syscall.EINVAL)
	case in.Offset >= size:
		return v.answer(opOther, syscall.ENXIO)
	case in.Whence == unix.SEEK_DATA:
		out.Offset = in.Offset
	default:
		out.Offset = size
	}
	return v.answer(opOther, 0)
}
