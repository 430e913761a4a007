package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/fs"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
	"github.com/isomerfs/isomerfs/tree"
)

// defaultCacheSize is the limit of a cache of which nobody said how large it may be.
const defaultCacheSize = 50e9

// How long the end may take: readers that hold files open get so long to let go, fills so long to stop.
const (
	graceOfReaders = 5 * time.Second
	graceOfFills   = 6 * time.Second
)

// server is a mount as its own process sees it.
type server struct {
	answers
	mounting
	at      places
	store   store.Store
	cache   *cache.Cache
	fs      atomic.Pointer[fs.Server] // nil until it is mounted; by then the kernel may already ask for live documents
	log     *journal
	started time.Time
}

// serve mounts, calls ready with a line for people when the mount answers, and serves until it is unmounted or ctx
// ends. After an error before ready nothing is mounted.
func (m mounting) serve(ctx context.Context, ready func(string) error) error {
	frugal()
	at, err := m.check()
	if err != nil {
		return err
	}
	log, err := openJournal(m, at.point)
	if err != nil {
		return err
	}
	s := &server{mounting: m, at: at, log: log, started: time.Now()}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	count, err := s.models(ctx)
	if err != nil {
		return fault.In(m.store, err)
	}
	kernel, err := fs.Mount(fs.Options{
		Tree: s.tree, Cache: s.cache, Mountpoint: at.point, Source: m.store, StoreDir: at.store, CacheDir: m.cacheDir,
		Passthrough: m.passthrough, AllowOther: m.allowOther, Wait: m.firstOpen == "wait", Log: log.Logger,
	})
	if err != nil {
		return fault.In(m.point, err)
	}
	s.fs.Store(kernel)
	stop, err := s.answer()
	if err != nil {
		s.unmount()
		return err
	}
	defer stop()
	os.Chdir("/") // no folder is held by a process in the background
	line := fmt.Sprintf("isomerfs: %s from %s at %s; cache %s, limit %s", plural(count, "model"), m.store, m.point, m.cacheDir, size(s.limit()))
	log.Info("mounted", "store", at.store, "mountpoint", at.point, "models", count, "cache", m.cacheDir, "limit", s.limit(), "version", builtVersion().Version)
	if err := ready(line); err != nil {
		s.unmount()
		return err
	}
	daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+line)
	alive, die := context.WithCancel(context.Background()) // not ctx: the end may take longer than a watchdog waits
	defer die()
	go s.beat(alive)
	return s.wait(ctx)
}

// frugal bounds the memory that garbage may take: what a daemon works on is in buffers that are lent again and again,
// and what lives long is small files (cache) and what versions are (tree), 32 and 16 MiB at most. The limit lies well
// above these: a collector that runs against it does nothing else.
func frugal() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(128 << 20)
}

// answering is how many requests find a place to run while every processor computes.
const answering = 4

// processors is how many conversions may run at a time, all that the machine or its cgroup has where nothing else was
// said. Go runs as many goroutines more, so that a request is not held up until a conversion makes room: the kernel
// shares the processors between them, and lets who has waited go first.
func (s *server) processors() int {
	n := s.fillCPUs
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	runtime.GOMAXPROCS(max(n, runtime.GOMAXPROCS(0)) + answering)
	return n
}

// open opens the store and the cache and makes the tree.
func (s *server) open() error {
	var err error
	s.store, err = store.Open(s.at.store, store.Options{Follow: s.follow, Log: s.log.Logger})
	if err != nil {
		return fault.In(s.mounting.store, err)
	}
	s.cache, err = cache.Open(cache.Options{Dir: s.cacheDir, Limit: s.limit(), Workers: s.processors(), Fills: s.fills, Log: s.log.Logger})
	if err != nil {
		return placed(s.cacheDir, err)
	}
	s.tree = tree.New(tree.Options{
		Store: s.store, Program: builtVersion().program(), Pickle: s.pickle, Serve: s.served, UID: s.uid, GID: s.gid, Umask: s.umask,
		State: func(f *layout.File) string { return s.cache.State(f.ID(), f).String() }, Digest: s.cache.Digest, Live: s.live(), Log: s.log.Logger,
	})
	return nil
}

func (s *server) limit() int64 {
	if s.cacheSize == 0 {
		return defaultCacheSize
	}
	return s.cacheSize
}

// models counts the names in the root of the store: a listing, and no more.
func (s *server) models(ctx context.Context) (int, error) {
	d, err := s.store.Dir(ctx, "")
	if err != nil {
		return 0, err
	}
	return len(d.Names), nil
}

// wait serves until the mount is gone, or takes it away when ctx ends.
func (s *server) wait(ctx context.Context) error {
	gone := make(chan struct{})
	go func() {
		s.fs.Load().Wait()
		close(gone)
	}()
	select {
	case <-gone:
		s.log.Info("unmounted")
		daemon.SdNotify(false, daemon.SdNotifyStopping)
		return nil
	case <-ctx.Done():
	}
	s.log.Info("told to end")
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	s.unmount()
	select {
	case <-gone:
	case <-time.After(graceOfReaders):
		s.log.Warn("files are still open: their readers are left")
	}
	return nil
}

// unmount takes the mount away, under open files too: they are served on as long as this process lives.
func (s *server) unmount() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.fs.Load().Unmount(ctx, false)
	if errors.Is(err, fs.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = s.fs.Load().Unmount(ctx, true)
	}
	if err != nil {
		s.log.Warn("not unmounted", "error", err)
	}
}

// close ends the fills and the cache, or leaves them to the end of the process when a store does not answer.
func (s *server) close() {
	done := make(chan error, 1)
	go func() { done <- s.cache.Close() }()
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("cache", "error", err)
		}
	case <-time.After(graceOfFills):
		s.log.Warn("a conversion does not end: its source does not answer")
	}
}
