package fs

import (
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// offer tries passthrough for a mount: on the cache directory, and on the store.
func offer(o Options) Passthrough {
	if o.Passthrough == "off" {
		return Passthrough{Reason: "switched off by passthrough=off"}
	}
	var p Passthrough
	why := ProbePassthrough(o.CacheDir)
	p.Cache = why == nil
	err := storePasses(o.StoreDir)
	p.Store = err == nil
	if why == nil {
		why = err
	}
	if why != nil {
		p.Reason = why.Error()
	}
	return p
}

// ProbePassthrough tries whether the kernel passes reads of a mount through to files in dir, and is nil when it does.
// It is tried for real, on a file in a mount of its own that nobody sees: versions and capabilities promise more than
// some kernels and file systems keep. Nothing is left behind.
func ProbePassthrough(dir string) error {
	file, err := nameless(dir)
	if err != nil {
		if file = specimen(dir); file == nil {
			return err
		}
	}
	defer file.Close()
	return fault.In(dir, passes(file))
}

// storePasses is ProbePassthrough for a folder in which nothing is written, and, at a mount, no file is opened either:
// it tries the kernel on a file in memory, and asks the folder whether its file system is a stacked one. Should the
// kernel refuse its files all the same, that shows at the first open.
func storePasses(dir string) error {
	fd, err := unix.MemfdCreate(kind, unix.MFD_CLOEXEC)
	if err != nil {
		return fault.New(fault.IO, "there is no file to try passthrough on: %w", err)
	}
	file := os.NewFile(uintptr(fd), kind)
	defer file.Close()
	if _, err := file.Write([]byte{1}); err != nil {
		return fault.New(fault.IO, "there is no file to try passthrough on: %w", cause(err))
	}
	if err := passes(file); err != nil || dir == "" {
		return fault.In(dir, err)
	}
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err == nil && at.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fault.In(dir, fault.New(fault.Unsupported, "%s", whyNot(syscall.ELOOP)))
	}
	return nil
}

// specimen is a file in dir to try passthrough on, nil when there is none.
func specimen(dir string) *os.File {
	if dir == "" {
		return nil
	}
	const most = 1000 // entries looked at
	var found *os.File
	seen := 0
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if seen++; seen > most {
			return fs.SkipAll
		}
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() == 0 {
			return nil
		}
		if f, err := os.Open(path); err == nil {
			found = f
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// nameless makes a file in dir that nobody sees and that goes with its last descriptor.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fault.In(dir, fault.New(fault.Absent, "there is no file to try passthrough on, and none can be made: %w", err))
	}
	written := os.NewFile(uintptr(fd), dir)
	defer written.Close()
	if _, err := written.Write([]byte{1}); err != nil {
		return nil, fault.In(dir, fault.New(fault.Space, "no file can be written to try passthrough on: %w", cause(err)))
	}
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd)) // for reading alone, as the files that are passed through
	if err != nil {
		return nil, fault.In(dir, fault.New(fault.IO, "%w", cause(err)))
	}
	return file, nil
}

// passes tries passthrough on a file of at least one byte.
func passes(file *os.File) error {
	if major, minor := kernelVersion(); major < 6 || major == 6 && minor < 9 {
		return fault.New(fault.Unsupported, "Linux %d.%d has no passthrough; 6.9 was the first", major, minor)
	}
	root, s, err := unseen(&probe{file: file})
	if err != nil {
		return err
	}
	p := s.volume
	done := make(chan error, 1)
	go func() { // a store may take its time; then this goes on behind our back, and ends with the answer
		defer s.Wait()
		defer unix.Close(root)
		done <- p.try(root)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		if p.reads.Load() == 0 && p.opened.Load() {
			return nil // the kernel took the file and waits for it, not for us
		}
		return fault.New(fault.Timeout, "a read by passthrough did not come back in %s", patience)
	}
}

// try reads a byte of the probe below root.
func (p *probe) try(root int) error {
	fd, err := unix.Openat(root, probeName, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if p.refused.Load() != 0 {
		return fault.New(fault.Unsupported, "%s", whyNot(syscall.Errno(p.refused.Load())))
	}
	if err != nil {
		return fault.New(fault.Unsupported, "the kernel does not open a file for passthrough: %w", err)
	}
	defer unix.Close(fd)
	n, err := unix.Pread(fd, make([]byte, 1), 0)
	switch {
	case err != nil:
		return fault.New(fault.Unsupported, "a read by passthrough failed: %w", err)
	case p.reads.Load() > 0:
		return fault.New(fault.Unsupported, "the kernel asks for the bytes all the same")
	case n != 1:
		return fault.New(fault.Unsupported, "a read by passthrough gave %d bytes of 1", n)
	}
	return nil
}

// whyNot is what the kernel means when it does not take a file for passthrough.
func whyNot(errno syscall.Errno) string {
	switch errno {
	case syscall.EPERM:
		return "passthrough needs root (CAP_SYS_ADMIN)"
	case syscall.ELOOP:
		return "the files lie on a stacked file system, such as a container's overlay, which the kernel does not pass reads through to"
	case syscall.EOPNOTSUPP, syscall.ENOTTY, syscall.EINVAL, syscall.ENOSYS:
		return "this kernel, or the file system of the files, has no passthrough (" + unix.ErrnoName(errno) + ")"
	}
	return "the kernel refuses passthrough (" + unix.ErrnoName(errno) + ")"
}

func kernelVersion() (major, minor int) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major, minor
}

const (
	probeName = "probe"
	probeNode = 2
)

// probe is a file system of one file, which the kernel is to read by itself.
type probe struct {
	fuse.RawFileSystem // its defaults
	file               *os.File
	kernel             *fuse.Server
	opened             atomic.Bool
	refused            atomic.Uint32 // the errno by which the kernel refused the file
	reads              atomic.Uint64 // that came to us
}

func (p *probe) Init(kernel *fuse.Server) { p.kernel = kernel }

func (p *probe) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name != probeName {
		return fuse.ENOENT
	}
	out.NodeId = probeNode
	p.attributes(probeNode, &out.Attr)
	return fuse.OK
}

func (p *probe) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	p.attributes(in.NodeId, &out.Attr)
	return fuse.OK
}

func (p *probe) attributes(id uint64, out *fuse.Attr) {
	*out = fuse.Attr{Ino: id, Mode: syscall.S_IFDIR | 0o500, Nlink: 1}
	if id == probeNode {
		out.Mode, out.Size = syscall.S_IFREG|0o400, 1
	}
}

func (p *probe) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	id, errno := p.kernel.RegisterBackingFd(&fuse.BackingMap{Fd: int32(p.file.Fd())})
	if errno != 0 {
		p.refused.Store(uint32(errno))
		return fuse.EIO
	}
	p.opened.Store(true)
	out.BackingID, out.OpenFlags = id, fuse.FOPEN_PASSTHROUGH
	return fuse.OK
}

func (p *probe) Read(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status) {
	p.reads.Add(1)
	return nil, fuse.EIO
}

// unseen serves p on a mount that is part of no one's tree, and goes with its root's last descriptor.
func unseen(p *probe) (root int, server *unseenServer, err error) {
	refuse := func(err error) (int, *unseenServer, error) {
		if err == unix.EPERM {
			return -1, nil, fault.New(fault.Denied, "%s", whyNot(syscall.EPERM))
		}
		return -1, nil, fault.New(fault.Unsupported, "passthrough can't be tried: %w", err)
	}
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return refuse(err)
	}
	context, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		unix.Close(device)
		return refuse(err)
	}
	defer unix.Close(context)
	for _, option := range [][2]string{
		{"fd", strconv.Itoa(device)}, {"rootmode", "40000"},
		{"user_id", strconv.Itoa(os.Geteuid())}, {"group_id", strconv.Itoa(os.Getegid())},
	} {
		if err := unix.FsconfigSetString(context, option[0], option[1]); err != nil {
			unix.Close(device)
			return refuse(err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		unix.Close(device)
		return refuse(err)
	}
	root, err = unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		unix.Close(device)
		return refuse(err)
	}
	p.RawFileSystem = fuse.NewDefaultRawFileSystem()
	kernel, err := fuse.NewServer(p, "/dev/fd/"+strconv.Itoa(device), &fuse.MountOptions{Logger: log.New(discard{}, "", 0)}) // takes the descriptor
	if err != nil {
		unix.Close(root)
		return refuse(err)
	}
	if kernel.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		err = fault.New(fault.Unsupported, "this kernel was built without passthrough")
	}
	go kernel.Serve()
	if err != nil {
		unix.Close(root)
		kernel.Wait()
		return -1, nil, err
	}
	return root, &unseenServer{Server: kernel, volume: p}, nil
}

type unseenServer struct {
	*fuse.Server
	volume *probe
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
