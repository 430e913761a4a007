package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// Server is a mount that is being served.
type Server struct {
	point  string
	vol    *volume
	kernel *fuse.Server
	stop   context.CancelFunc // of what watches the tree
	gone   chan struct{}      // closed when the kernel's connection has ended and everything is given back

	mu sync.Mutex // one Unmount at a time
}

// Check refuses, as Mount does, what cannot be mounted, so that nothing needs to be made for it: only Mountpoint,
// StoreDir, CacheDir and AllowOther are looked at. A dead mount of ours is lifted from the mount point. point is the
// mount point as the mount table will name it.
func Check(o Options) (point string, err error) {
	if point, err = resolve(o.Mountpoint); err != nil {
		return "", err
	}
	if err := apart(point, o.StoreDir, o.CacheDir); err != nil {
		return "", err
	}
	if err := ready(point); err != nil {
		return "", err
	}
	if o.AllowOther {
		return point, OtherUsers()
	}
	return point, nil
}

// Mount shows a tree at a mount point and returns when it answers. Errors are *fault.Error: Usage for a mount point
// that cannot be one, Denied and Tool for what the machine lacks.
//
// As root the mount is made directly; otherwise through fusermount3, and then there is no passthrough.
func Mount(o Options) (*Server, error) {
	if o.CacheDir == "" && o.Cache != nil {
		o.CacheDir = o.Cache.Usage().Dir
	}
	return mount(o, o.Tree, kept{o.Cache})
}

func mount(o Options, trees forest, cache keeper) (*Server, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	point, err := Check(o)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	root, err := trees.Root(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	v := &volume{tree: trees, cache: cache, dir: o.CacheDir, wait: o.Wait, limit: RequestTimeout(), log: log, inodes: newInodes(root)}
	v.backing = &backings{log: log, offer: offer(o), cacheOn: deviceOf(o.CacheDir), storeOn: deviceOf(o.StoreDir)}
	kernel, err := connect(point, o, v)
	if err != nil {
		stop()
		return nil, err
	}
	v.maps = kernel.KernelSettings().Flags64()&fuse.CAP_DIRECT_IO_ALLOW_MMAP != 0
	v.backing.kernel, v.backing.drop = kernel.RegisterBackingFd, kernel.UnregisterBackingFd
	v.notify = newNotifier(v.inodes, func(folder uint64, name string) syscall.Errno {
		return syscall.Errno(kernel.EntryNotify(folder, name))
	})
	s := &Server{point: point, vol: v, kernel: kernel, stop: stop, gone: make(chan struct{})}
	go s.serve()
	go v.follow(ctx)
	s.settle(o)
	return s, nil
}

// connect mounts, and takes the kernel's first request.
func connect(point string, o Options, v *volume) (*fuse.Server, error) {
	options := &fuse.MountOptions{
		FsName:           o.Source,
		Name:             kind,
		AllowOther:       o.AllowOther,
		Options:          []string{"default_permissions"},
		DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RDONLY,

		MaxWrite:      1 << 20, // of a read too
		MaxBackground: 1024,    // 12, the usual, let 30 slow reads of one file hold up every other for seconds
		MaxStackDepth: 1,       // files of overlayfs are not passed through, and overlayfs can lie on the mount

		// The kernel's page cache is dropped by nothing but us: contents never change on one inode.
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        fuse.CAP_DIRECT_IO_ALLOW_MMAP, // MAP_SHARED of a file in direct mode
		DisableReadDirPlus:       true,
		DisableSplice:            true, // replies of 1 MiB do not fit a pipe; each would fail first

		Logger: slog.NewLogLogger(v.log.Handler(), slog.LevelDebug),
		PanicHandler: func(what any) fuse.Status {
			v.log.Error("panic", "what", fmt.Sprint(what), "stack", string(debug.Stack()))
			return fuse.EIO
		},
	}
	if o.Source == "" {
		options.FsName = kind
	}
	if os.Geteuid() == 0 {
		options.DirectMountStrict = true
	} else {
		if _, err := fusermount(); err != nil {
			return nil, err
		}
		options.Options = append(options.Options, "ro", "nosuid", "nodev")
	}
	kernel, err := fuse.NewServer(v, point, options)
	if err != nil {
		return nil, refusal(point, err)
	}
	return kernel, nil
}

// refusal says why the mount was refused, and what would help.
func refusal(point string, err error) error {
	const device = "/dev/fuse"
	if _, missing := os.Stat(device); missing != nil {
		return fault.In(device, fault.New(fault.Device, "there is no FUSE here: %w", err).
			Remedied("modprobe fuse; in a container, start it with --device /dev/fuse"))
	}
	if f, denied := os.OpenFile(device, os.O_RDWR, 0); denied != nil {
		return fault.In(device, fault.New(fault.Denied, "it can't be opened: %w", cause(denied)).
			Remedied("chmod 666 /dev/fuse; in a container, start it with --device /dev/fuse"))
	} else {
		f.Close()
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return fault.In(point, fault.New(fault.Denied, "the kernel does not let us mount: %w", err).
			Remedied("in a container, start it with --cap-add SYS_ADMIN"))
	}
	return fault.In(point, fault.New(fault.IO, "the mount failed: %w", err))
}

// settle does after the mount what can't be done before.
func (s *Server) settle(o Options) {
	log := s.vol.log
	if os.Geteuid() == 0 {
		if err := readAhead(s.point); err != nil {
			log.Debug("read-ahead stays as it is", "reason", err)
		}
	}
	if p := s.Passthrough(); p.Reason != "" {
		log.Info("no passthrough", "cache", p.Cache, "store", p.Store, "reason", p.Reason)
	}
	if limit := s.vol.limit; limit > 0 {
		log.Warn("the kernel aborts the mount when a request waits longer, so longer ones fail", "seconds", limit.Seconds(),
			"remedy", "sysctl fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0")
	}
}

// serve answers the kernel until its connection ends: by Unmount, by somebody else's umount, or at the last close after
// a lazy one.
func (s *Server) serve() {
	s.kernel.Serve()
	s.stop()
	s.vol.notify.close()
	for _, h := range s.vol.handles.removeAll() { // of a connection that was aborted
		s.vol.release(h)
	}
	close(s.gone)
}

// follow has the kernel look up anew what the tree says may have changed.
func (v *volume) follow(ctx context.Context) {
	var mu sync.Mutex
	paths := map[string]struct{}{}
	waiting := false
	flush := func() {
		mu.Lock()
		some := paths
		paths, waiting = map[string]struct{}{}, false
		mu.Unlock()
		v.notify.add(v.inodes.below(some)...)
	}
	err := v.tree.Watch(ctx, func(path string) {
		mu.Lock()
		defer mu.Unlock()
		paths[path] = struct{}{}
		if !waiting { // changes come in crowds
			waiting = true
			time.AfterFunc(20*time.Millisecond, flush)
		}
	})
	if err != nil && ctx.Err() == nil {
		v.log.Warn("the store is not watched", "reason", fault.Reason(err))
	}
}

// Mountpoint is where the mount is, absolute and without links.
func (s *Server) Mountpoint() string { return s.point }

// Passthrough says which files the kernel reads by itself, and why not all.
func (s *Server) Passthrough() Passthrough { return s.vol.backing.report() }

// Stats are counts since the mount.
func (s *Server) Stats() Stats { return s.vol.stats() }

// Wait returns when the mount is gone and nothing of it is open any more.
func (s *Server) Wait() { <-s.gone }

// Unmount takes the mount out of the tree. While files of it are in use it fails with ErrBusy, or, if it is lazy,
// lets them be read on: Wait then returns after the last close, unless the process ends before. After a mount that is
// not busy it returns when the connection has ended, or ctx has.
func (s *Server) Unmount(ctx context.Context, lazy bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for pause := time.Millisecond; ; pause *= 2 { // a process that has just died lets go in a moment
		select {
		case <-s.gone:
			return nil
		default:
		}
		if err = lift(s.point, false); !errors.Is(err, unix.EBUSY) || pause > 100*time.Millisecond {
			break
		}
		time.Sleep(pause)
	}
	if errors.Is(err, unix.EBUSY) {
		if !lazy {
			return fault.In(s.point, &fault.Error{Kind: fault.Usage, Off: -1, Reason: "the mount is in use", Err: ErrBusy,
				Remedy: fmt.Sprintf("close what is open there (fuser -m %s names it), or umount -l %s", s.point, s.point)})
		}
		if err = lift(s.point, true); err == nil {
			return nil
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // somebody else was faster
	default:
		return fault.In(s.point, fault.New(fault.IO, "the unmount failed: %w", err))
	}
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
