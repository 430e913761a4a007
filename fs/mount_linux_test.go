package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

func TestMain(m *testing.M) {
	switch os.Getenv("FS_TEST_ROLE") {
	case "client":
		serveClient()
		return
	case "daemon":
		serveDaemon()
		return
	case "ordinary":
		serveOrdinary()
		return
	}
	dir, err := os.MkdirTemp("", "isomerfs-fs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("TMPDIR", dir)
	code := m.Run()
	for _, point := range fuses() {
		fmt.Fprintln(os.Stderr, "left mounted:", point)
		unix.Unmount(point, unix.MNT_DETACH)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// fuses are the mount points of FUSE below the folder for temporary files.
func fuses() []string {
	all, _ := mountinfo.GetMounts(mountinfo.PrefixFilter(os.TempDir()))
	var points []string
	for _, one := range all {
		if strings.HasPrefix(one.FSType, "fuse") {
			points = append(points, one.Mountpoint)
		}
	}
	return points
}

// stage is a mount of a small tree, and a client of it.
type stage struct {
	*Server
	t       testing.TB
	forest  *forestOf
	keeper  *keeperOf
	options Options
	dir     string
	c       *client
}

const (
	mib      = 1 << 20
	viewSize = 3*mib + 1234
	version  = "m/v1"
	viewPath = version + "/safetensors/fp16/model.safetensors"
)

// newStage has one model of one version, not mounted yet: a view, a stored file, a small one in memory, documents.
func newStage(t testing.TB) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts of the tests need root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: dir, forest: newForest(), keeper: &keeperOf{dir: filepath.Join(dir, "cache")}}
	for _, name := range []string{"cache", "store", "mnt"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.options = Options{Mountpoint: filepath.Join(dir, "mnt"), Source: "a store", StoreDir: filepath.Join(dir, "store"), CacheDir: s.keeper.dir,
		Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	f := s.forest
	f.folder("m", false)
	f.folder(version, false)
	f.link("m/latest", "v1")
	for _, path := range []string{"safetensors", "safetensors/fp16", "source", "tensors"} {
		f.folder(version+"/"+path, true)
	}
	return s
}

// testLog gives what is logged to the test.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("log: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// view adds a computed file.
func (s *stage) view(path string, seed uint64, size int64) *computed {
	v := s.keeper.view(seed, size)
	s.forest.file(path, v.asFile(), size)
	return v
}

// stored adds a stored file.
func (s *stage) stored(path string, seed uint64, size int64) *stored {
	file := write(s.t, filepath.Join(s.dir, "store", filepath.Base(path)), seed, size)
	s.forest.file(path, &tree.File{Source: file, Exact: true, XAttr: map[string]string{"size_exact": "true", "sha256": "12"}}, size)
	return file
}

// mount mounts, and unmounts at the end of the test.
func (s *stage) mount() *stage {
	s.t.Helper()
	server, err := mount(s.options, s.forest, s.keeper)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Server = server
	s.t.Cleanup(func() {
		if s.c != nil {
			s.c.kill()
		}
		ctx, stop := context.WithTimeout(context.Background(), patienceOfTests)
		defer stop()
		if err := server.Unmount(ctx, false); err != nil {
			s.t.Errorf("unmount: %v", err)
			unix.Unmount(s.options.Mountpoint, unix.MNT_DETACH)
		}
		s.keeper.mu.Lock()
		defer s.keeper.mu.Unlock()
		for _, c := range s.keeper.files {
			if refs := c.refs.Load(); refs != 0 {
				s.t.Errorf("view %d: %d references are left", c.seed, refs)
			}
		}
		if n := server.Stats().Handles; n != 0 {
			s.t.Errorf("%d handles are left", n)
		}
	})
	s.c = newClient(s.t)
	return s
}

func (s *stage) path(p string) string { return filepath.Join(s.options.Mountpoint, p) }

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patienceOfTests); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

func piece(seed uint64, off, n int64) string {
	return fmt.Sprintf("ok %d %s", n, sum(patternOf(seed, off, n)))
}

// needPassthrough is for tests that make no sense without it.
func needPassthrough(t testing.TB) {
	t.Helper()
	if err := ProbePassthrough(t.TempDir()); err != nil {
		t.Skipf("no passthrough here: %v", err)
	}
}

func TestMountTable(t *testing.T) {
	s := newStage(t)
	s.options.Source = "/some/store,with=odd\\chars and spaces"
	s.mount()
	top, err := mounted(s.options.Mountpoint)
	if err != nil || top == nil {
		t.Fatalf("mounted: %v, %v", top, err)
	}
	if top.FSType != "fuse.isomerfs" || top.Source != s.options.Source && top.Source != strings.ReplaceAll(s.options.Source, " ", `\040`) {
		t.Errorf("type %s, source %q", top.FSType, top.Source)
	}
	for _, option := range []string{"ro", "nosuid", "nodev"} {
		if !strings.Contains(","+top.Options+",", ","+option+",") {
			t.Errorf("options %s lack %s", top.Options, option)
		}
	}
	if !strings.Contains(top.VFSOptions, "default_permissions") {
		t.Errorf("options %s lack default_permissions", top.VFSOptions)
	}
}

func TestAttributes(t *testing.T) {
	s := newStage(t)
	s.view(viewPath, 1, viewSize)
	s.stored(version+"/source/model.safetensors", 2, 5000)
	n := s.forest.nodes[viewPath]
	n.Attr.UID, n.Attr.GID = 12, 34
	s.mount()
	stat := func(path string) string { return s.c.do("stat", s.path(path)) }
	ino := n.Attr.Ino
	if got, want := stat(viewPath), fmt.Sprintf("ok 100444 1 %d %d 12 34 1700000000 123456789 123456789 1048576 %d", viewSize, (viewSize+511)/512, ino); got != want {
		t.Errorf("view: %s, want %s", got, want)
	}
	if got := stat(version + "/source/model.safetensors"); !strings.HasPrefix(got, "ok 100444 1 5000 10 0 0 ") {
		t.Errorf("stored file: %s", got)
	}
	if got := stat(version + "/tensors"); !strings.HasPrefix(got, "ok 40555 1 0 0 ") {
		t.Errorf("folder: %s", got)
	}
	if got := stat("m/latest"); !strings.HasPrefix(got, "ok 120777 1 2 ") {
		t.Errorf("link: %s", got)
	}
	s.c.want("ok v1", "readlink", s.path("m/latest"))
	s.c.want("EINVAL", "readlink", s.path(viewPath))
	s.c.want(fmt.Sprintf("ok %d %d 0", viewSize, ino), "statx", s.path(viewPath))
	s.c.want("ok latest@ v1/", "list", s.path("m"))
	s.c.want("ok safetensors/ source/ tensors/", "list", s.path("m/latest"))
	s.c.want("ok safetensors/ source/ tensors/", "list", s.path("m/latest/"))
	s.c.want("ok safetensors/ source/ tensors/", "list", s.path("m/latest")) // from the kernel's memory
	s.c.want("ok", "dots", s.path("m"))
	s.c.want("ok", "dots", s.path(version+"/tensors"))
	s.c.want("ok true true 255 0", "statfs", s.path(""))
	s.c.want("ENOENT", "stat", s.path("m/none"))
	s.c.want("ENOENT", "stat", s.path(version+"/tensors/none"))
	s.c.want("ENAMETOOLONG", "stat", s.path(strings.Repeat("x", 256)))
	s.c.want("ENOTDIR", "stat", s.path(viewPath+"/x"))
	s.c.want("EISDIR", "read-all", s.path("m"))
	if n := s.keeper.files[s.forest.nodes[viewPath].File.Layout.ID()].reads.Load(); n != 0 {
		t.Errorf("stat read %d times", n)
	}
}

func TestNegativeLookups(t *testing.T) {
	s := newStage(t)
	s.mount()
	lookups := func() uint64 { return s.Stats().Ops["lookup"] }
	none := s.path(version + "/tensors/none")
	s.c.want("ENOENT", "stat", none)
	before := lookups()
	for range 20 {
		s.c.want("ENOENT", "stat", none)
	}
	if n := lookups() - before; n > 10 { // of what may change on the way, once a second
		t.Errorf("an absent name in a folder that stays as it is was looked up %d times", n)
	}
	s.c.want("ENOENT", "stat", s.path("m/v2"))
	s.forest.folder("m/v2", false)
	if got := s.c.do("stat", s.path("m/v2")); !strings.HasPrefix(got, "ok 40555") {
		t.Errorf("a name that was absent when asked, later: %s", got)
	}
	s.forest.fail("m/v3", fault.New(fault.Truncated, "it ends early"))
	s.c.want("EBADMSG", "stat", s.path("m/v3"))
}

func TestExtendedAttributes(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.stored(version+"/source/model.safetensors", 2, 5000)
	s.forest.file(version+"/README.md", &tree.File{Document: func(context.Context) ([]byte, error) { return []byte("text"), nil }, Exact: true}, 4)
	s.mount()
	get := func(result, path, name string) {
		t.Helper()
		s.c.want(result, "getxattr", s.path(path), name)
	}
	get("ok virtual", viewPath, "user.isomerfs.state")
	get("ok true", viewPath, "user.isomerfs.size_exact")
	get("ok 0 3146962", viewPath, "user.isomerfs.progress")
	get("ENODATA", viewPath, "user.isomerfs.sha256")
	get("ENODATA", viewPath, "user.isomerfs.error")
	get("ENODATA", viewPath, "user.isomerfs.none")
	get("ENODATA", viewPath, "user.none")
	get("ENODATA", viewPath, "security.selinux")
	get("ENODATA", viewPath, "security.capability")
	if got := s.c.do("getxattr", s.path(viewPath), "system.posix_acl_access"); got != "ENODATA" && got != "EOPNOTSUPP" {
		t.Errorf("posix_acl: %s", got)
	}
	s.c.want("ok 0", "listxattr", s.path(viewPath))
	source := version + "/source/model.safetensors"
	get("ok source", source, "user.isomerfs.state")
	get("ok 12", source, "user.isomerfs.sha256")
	get("ENODATA", source, "user.isomerfs.progress")
	get("ENODATA", version+"/README.md", "user.isomerfs.state")
	get("ENODATA", "m", "user.isomerfs.state")
	v.complete()
	get("ok ready", viewPath, "user.isomerfs.state")
	get("ok 3146962 3146962", viewPath, "user.isomerfs.progress")
	if got := s.c.do("getxattr", s.path(viewPath), "user.isomerfs.sha256"); len(got) != 3+64 {
		t.Errorf("sha256: %s", got)
	}
	v.evict()
	v.set(func(c *computed) {
		c.err, c.state = fault.At(fault.Checksum, 77, "the stored checksum differs").Remedied("fetch it again"), cache.Failed
	})
	s.c.want("EBADMSG", "read-all", s.path(viewPath))
	get("ok failed", viewPath, "user.isomerfs.state")
	get("ok offset 77: the stored checksum differs; fetch it again", viewPath, "user.isomerfs.error")
	v.set(func(c *computed) { c.err, c.state = nil, cache.Virtual })
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
	get("ENODATA", viewPath, "user.isomerfs.error")
}

func TestReadOnly(t *testing.T) {
	s := newStage(t)
	s.view(viewPath, 1, viewSize)
	s.mount()
	for _, what := range []string{"create", "mkdir", "symlink", "mknod", "tmpfile"} {
		for _, folder := range []string{"", "m", version + "/tensors"} {
			s.c.want("EROFS", "change", what, s.path(folder))
		}
	}
	s.c.want("EROFS", "change", "rmdir", s.path("m"))
	for _, what := range []string{"link", "unlink", "rename", "chmod", "chown", "utime", "truncate", "write", "read-write", "open-truncate", "append", "setxattr", "removexattr"} {
		s.c.want("EROFS", "change", what, s.path(viewPath))
	}
	if n := s.Stats().Ops["write"]; n != 0 {
		t.Errorf("the kernel asked %d times", n)
	}
}

func TestErrnos(t *testing.T) {
	for kind := fault.Unknown; kind <= fault.IO; kind++ {
		n, ok := kinds[kind]
		if !ok || n == 0 || n == syscall.ENOSYS || n == syscall.EINTR || n == syscall.EAGAIN {
			t.Errorf("%v is %v", kind, n)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	for _, c := range []struct {
		err        error
		read, open syscall.Errno
	}{
		{nil, 0, 0},
		{errors.New("x"), syscall.EIO, syscall.EIO},
		{context.Canceled, syscall.EIO, syscall.EIO}, // somebody else's
		{context.DeadlineExceeded, syscall.ETIMEDOUT, syscall.ETIMEDOUT},
		{fault.In("x", fault.New(fault.Missing, "gone")), syscall.EBADMSG, syscall.ENOENT},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Unsafe, "x")), syscall.EACCES, syscall.EACCES},
		{fault.New(fault.Unknown, "wrapped: %w", context.DeadlineExceeded), syscall.ETIMEDOUT, syscall.ETIMEDOUT},
	} {
		if got := errnoOf(ctx, c.err); got != c.read {
			t.Errorf("read %v: %v", c.err, got)
		}
		if got := openErrno(ctx, c.err); got != c.open {
			t.Errorf("open %v: %v", c.err, got)
		}
	}
	stop()
	if got := errnoOf(ctx, fault.In("x", fmt.Errorf("wait: %w", context.Canceled))); got != syscall.EINTR {
		t.Errorf("interrupted: %v", got)
	}
}

func TestOpenFailures(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	var broken atomic.Pointer[error]
	s.forest.nodes[viewPath].File.Check = func(context.Context) error { return *broken.Load() }
	s.mount()
	for _, c := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.Changed, "the source is another"), "ESTALE"},
		{fault.New(fault.Missing, "the source is gone"), "ENOENT"},
		{fault.New(fault.Rejected, "no signature"), "EKEYREJECTED"},
		{fault.New(fault.Denied, "no"), "EACCES"},
		{nil, "ok"},
	} {
		broken.Store(&c.err)
		s.c.want(c.want, "open", "h", s.path(viewPath))
	}
	s.c.want("ok", "close", "h")
	v.set(func(c *computed) {
		c.ready = func(context.Context) error { return fault.New(fault.Limit, "too large") }
	})
	s.c.want("EFBIG", "open", "h", s.path(viewPath))
}

// A panic fails one request and nothing else.
func TestPanics(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	s.view(version+"/tensors/a", 2, viewSize)
	s.forest.nodes[version+"/tensors/a"].File.Check = func(context.Context) error { panic("check") }
	v.set(func(c *computed) { c.ready = func(context.Context) error { panic("prepare") } })
	s.options.Log = nil
	s.mount()
	s.c.want("EIO", "open", "h", s.path(version+"/tensors/a"))
	s.c.want("EIO", "open", "h", s.path(viewPath))
	v.set(func(c *computed) { c.ready = nil })
	v.refs.Store(0) // the panic kept one
	s.c.want(piece(1, 0, viewSize), "read-all", s.path(viewPath))
}

// A short answer is an error: cp takes it for the end of the file.
func TestShortReads(t *testing.T) {
	s := newStage(t)
	v := s.view(viewPath, 1, viewSize)
	v.size = viewSize / 2 // the bytes end before the size that was promised
	s.mount()
	s.c.want("ok", "open", "h", s.path(viewPath))
	s.c.want(piece(1, 1000, 5000), "pread", "h", 1000, 5000)
	s.c.want("EIO", "pread", "h", viewSize/2-100, 200)
	s.c.want("EIO", "pread", "h", viewSize-100, 200)
	s.c.want("EIO", "read-all", s.path(viewPath))
	s.c.want(piece(1, 0, 0), "pread", "h", viewSize, 200)
}

func TestDocuments(t *testing.T) {
	s := newStage(t)
	var now atomic.Value
	text := ""
	set := func(to string) { text = to; now.Store(to) }
	set("first")
	doc := func(context.Context) ([]byte, error) { return []byte(now.Load().(string)), nil }
	s.forest.file(version+"/README.md", &tree.File{Document: doc, Exact: true}, 5)
	s.forest.folder(".isomerfs", false)
	live := s.forest.file(".isomerfs/log", &tree.File{Document: doc, Live: true}, 0)
	live.Fixed = false
	s.mount()
	readme, log := s.path(version+"/README.md"), s.path(".isomerfs/log")
	s.c.want("ok", "open", "a", readme)
	s.c.want("ok m/", "list", s.path(""))
	set("other")
	s.c.want("ok 5 "+sum([]byte("first")), "pread", "a", 0, 100)
	s.c.want("ok 5 "+sum([]byte("other")), "read-all", readme)
	s.c.want("ok 3 "+sum([]byte("rst")), "pread", "a", 2, 100)
	s.c.want("ok", "map", "m", "a", 5)
	s.c.want("ok "+sum([]byte("first")), "touch", "m", 0, 5)
	s.c.want("ok", "unmap", "m")
	set(strings.Repeat("it grows ", 10_000))
	s.c.want(fmt.Sprintf("ok %d %s", len(text), sum([]byte(text))), "read-all", log)
	s.c.want("ok", "open", "l", log)
	if got := s.c.do("fstat", "l"); !strings.HasPrefix(got, fmt.Sprintf("ok %d ", len(text))) {
		t.Errorf("fstat of an open live document: %s", got)
	}
	set("")
	s.c.want("ok 0 "+sum(nil), "read-all", log)
}

func TestSeek(t *testing.T) {
	s := newStage(t)
	s.view(viewPath, 1, viewSize)
	s.mount()
	s.c.want("ok", "open", "h", s.path(viewPath))
	s.c.want("ok 100", "seek", "h", 100, unix.SEEK_DATA)
	s.c.want(fmt.Sprintf("ok %d", viewSize), "seek", "h", 100, unix.SEEK_HOLE)
	s.c.want("ENXIO", "seek", "h", viewSize, unix.SEEK_DATA)
	s.c.want("ENXIO", "seek", "h", viewSize, unix.SEEK_HOLE)
	s.c.want(fmt.Sprintf("ok %d", viewSize), "seek", "h", 0, unix.SEEK_END)
}

func TestMountpoints(t *testing.T) {
	s := newStage(t)
	file := filepath.Join(s.dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(s.dir, "link")
	if err := os.Symlink("mnt", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"store/inside", "cache/inside"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	try := func(point, want string) {
		t.Helper()
		o := s.options
		o.Mountpoint = point
		server, err := mount(o, s.forest, s.keeper)
		if err == nil {
			server.Unmount(context.Background(), false)
			t.Errorf("%s was accepted", point)
			return
		}
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), point) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v (%v), want %q", point, err, fault.KindOf(err), want)
		}
	}
	try(filepath.Join(s.dir, "none"), "does not exist")
	try(filepath.Join(s.dir, "none/none"), "does not exist")
	try(file, "not a folder")
	try(filepath.Join(s.dir, "store"), "inside the store")
	try(filepath.Join(s.dir, "store/inside"), "inside the store")
	try(s.dir, "would hide the store")
	try("/proc", "already a mount")
	s.options.Mountpoint = link // a link is followed
	s.mount()
	if s.Mountpoint() != filepath.Join(s.dir, "mnt") {
		t.Errorf("mounted at %s", s.Mountpoint())
	}
	s.options.Mountpoint = filepath.Join(s.dir, "mnt")
	try(s.options.Mountpoint, "isomerfs is mounted here already")
}

func TestBusyUnmount(t *testing.T) {
	s := newStage(t)
	s.view(viewPath, 1, viewSize)
	s.mount()
	s.c.want("ok", "open", "h", s.path(viewPath))
	err := s.Unmount(context.Background(), false)
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), s.Mountpoint()) {
		t.Fatalf("unmount of a busy mount: %v", err)
	}
	if top, _ := mounted(s.Mountpoint()); top == nil {
		t.Fatal("a busy mount is gone")
	}
	if err := s.Unmount(context.Background(), true); err != nil {
		t.Fatalf("lazy unmount: %v", err)
	}
	if top, _ := mounted(s.Mountpoint()); top != nil {
		t.Fatal("a lazy unmount leaves the mount")
	}
	s.c.want(piece(1, mib, mib), "pread", "h", mib, mib)
	select {
	case <-s.gone:
		t.Fatal("the server ended under an open file")
	default:
	}
	s.c.want("ok", "close", "h")
	eventually(t, "the end after the last close", func() bool {
		select {
		case <-s.gone:
			return true
		default:
			return false
		}
	})
	s.Wait()
}

func TestUnmountByOthers(t *testing.T) {
	s := newStage(t)
	s.mount()
	if err := unix.Unmount(s.Mountpoint(), 0); err != nil {
		t.Fatal(err)
	}
	s.Wait()
}

// What changes in the store is seen at once where the tree notices, and within a second where it does not.
func TestChanges(t *testing.T) {
	s := newStage(t)
	s.mount()
	<-s.forest.watched
	s.c.want("ok v1", "readlink", s.path("m/latest"))
	s.c.want("ok latest@ v1/", "list", s.path("m"))
	s.forest.folder("m/v2", false)
	s.forest.link("m/latest", "v2")
	s.c.want("ok latest@ v1/ v2/", "list", s.path("m"))
	s.forest.say("m")
	eventually(t, "the alias leads to the new version", func() bool { return s.c.do("readlink", s.path("m/latest")) == "ok v2" })
	s.c.do("stat", s.path("m/v2"))
	s.forest.remove("m/v2")
	s.forest.remove("m/latest")
	s.forest.say("m/v2")
	s.forest.say("m")
	eventually(t, "a removed version is gone", func() bool { return s.c.do("stat", s.path("m/v2")) == "ENOENT" })
	eventually(t, "a removed alias is gone", func() bool { return s.c.do("readlink", s.path("m/latest")) == "ENOENT" })
}
