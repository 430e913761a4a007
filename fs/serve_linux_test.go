package fs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/tree"
)

// serveDaemon is a daemon of its own, to be killed: it serves the folder in FS_TEST_DIR until then, a complete view, a
// stored file, and a view that is never complete and whose reads wait when there is a file called "wait".
func serveDaemon() {
	dir := os.Getenv("FS_TEST_DIR")
	f, k := newForest(), &keeperOf{dir: filepath.Join(dir, "cache")}
	f.folder("m", true)
	ready := k.view(1, viewSize)
	ready.complete()
	f.file("m/ready", ready.asFile(), viewSize)
	virtual := k.view(2, viewSize)
	f.file("m/virtual", virtual.asFile(), viewSize)
	if _, err := os.Stat(filepath.Join(dir, "wait")); err == nil {
		virtual.gate = make(chan struct{})
	}
	source := &stored{path: filepath.Join(dir, "store", "source"), size: viewSize}
	f.file("m/source", &tree.File{Source: source, Exact: true}, viewSize)
	server, err := mount(Options{Mountpoint: filepath.Join(dir, "mnt"), CacheDir: k.dir, StoreDir: filepath.Join(dir, "store")}, f, k)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready", server.Passthrough())
	io.Copy(io.Discard, os.Stdin)
	server.Unmount(context.Background(), false)
}

// daemon starts one and waits until it serves.
func daemon(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "FS_TEST_ROLE=daemon", "FS_TEST_DIR="+dir)
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, child); unix.Unmount(filepath.Join(dir, "mnt"), unix.MNT_DETACH) })
	line, _ := bufio.NewReader(out).ReadString('\n')
	if !strings.HasPrefix(line, "ready") {
		t.Fatalf("the daemon says %q", line)
	}
	return child
}

// kill ends a daemon by SIGKILL, and fails when that does not end it.
func kill(t *testing.T, child *exec.Cmd) {
	t.Helper()
	child.Process.Kill()
	done := make(chan struct{})
	go func() { child.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patienceOfTests):
		t.Error("a daemon outlives SIGKILL")
	}
}

// Passthrough handles and mappings outlive the daemon; a plain mount over the dead one works; what waited gets an errno.
func TestKilledDaemon(t *testing.T) {
	needPassthrough(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cache", "store", "mnt"} {
		os.Mkdir(filepath.Join(dir, name), 0o755)
	}
	write(t, filepath.Join(dir, "store", "source"), 3, viewSize)
	os.WriteFile(filepath.Join(dir, "wait"), nil, 0o644)
	path := func(name string) string { return filepath.Join(dir, "mnt", "m", name) }
	first := daemon(t, dir)
	c := newClient(t)
	for _, name := range []string{"ready", "source", "virtual"} {
		c.want("ok", "open", name, path(name))
	}
	c.want("ok", "map", "rm", "ready", viewSize)
	c.want("ok", "map", "vm", "virtual", viewSize)
	c.want(piece(1, 0, mib), "pread", "ready", 0, mib)
	waits := []<-chan string{c.start("pread", "virtual", 0, mib), c.start("touch", "vm", 0, mib), c.start("pread", "virtual", mib, mib)}
	time.Sleep(50 * time.Millisecond)
	kill(t, first)
	for _, wait := range waits {
		if got := outcome(wait, patienceOfTests); got != "ENOTCONN" && got != "ECONNABORTED" && got != "SIGBUS" {
			t.Errorf("what waited for a killed daemon got %s", got)
		}
	}
	c.want(piece(1, mib, mib), "pread", "ready", mib, mib)
	c.want(piece(3, mib, mib), "pread", "source", mib, mib)
	c.want("ok "+sum(patternOf(1, mib, mib)), "touch", "rm", mib, mib)
	c.want("ENOTCONN", "read-all", path("ready"))
	second := daemon(t, dir)
	c.want(piece(1, 0, viewSize), "read-all", path("ready"))
	c.want(piece(3, 0, viewSize), "pread", "source", 0, viewSize)
	c.want("ok "+sum(patternOf(1, 2*mib, mib)), "touch", "rm", 2*mib, mib)
	c.want(piece(1, 5, 500_000), "pread", "ready", 5, 500_000)
	kill(t, second)
	unix.Unmount(filepath.Join(dir, "mnt"), unix.MNT_DETACH)
	c.want(piece(1, 5, 500_000), "pread", "ready", 5, 500_000)
}

// A mount by an ordinary user goes through fusermount3, without passthrough.
func TestWithoutRoot(t *testing.T) {
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("no fusermount3")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("no setpriv")
	}
	dir, err := os.MkdirTemp("/var/tmp", "isomerfs-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, name := range []string{"cache", "store", "mnt"} {
		os.Mkdir(filepath.Join(dir, name), 0o755)
		os.Chown(filepath.Join(dir, name), 65534, 65534)
	}
	write(t, filepath.Join(dir, "store", "source"), 3, viewSize)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	// An ordinary user may not open /dev/fuse in every container; a name space of mounts has one with the usual mode.
	script := `set -e
mount -t tmpfs tmpfs "$0/cache"; mknod -m 666 "$0/cache/fuse" c 10 229; mount --bind "$0/cache/fuse" /dev/fuse; umount -l "$0/cache"
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0/program"`
	command := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, dir)
	command.Env = append(os.Environ(), "FS_TEST_ROLE=ordinary", "FS_TEST_DIR="+dir)
	text, err := command.CombinedOutput()
	if err != nil || strings.TrimSpace(string(text)) != "done" {
		t.Errorf("%s (%v)", text, err)
	}
}

// serveOrdinary is the test as an ordinary user: a daemon, and this binary again as its client.
func serveOrdinary() {
	dir := os.Getenv("FS_TEST_DIR")
	fail := func(what string, args ...any) { fmt.Println(append([]any{what}, args...)...); os.Exit(1) }
	f, k := newForest(), &keeperOf{dir: filepath.Join(dir, "cache")}
	v := k.view(1, viewSize)
	f.file("view", v.asFile(), viewSize)
	f.file("source", &tree.File{Source: &stored{path: filepath.Join(dir, "store", "source"), size: viewSize}, Exact: true}, viewSize)
	o := Options{Mountpoint: filepath.Join(dir, "mnt"), Source: "a,b", CacheDir: k.dir, StoreDir: filepath.Join(dir, "store")}
	if !allows("/etc/fuse.conf") {
		o.AllowOther = true
		if _, err := mount(o, f, k); err == nil || !strings.Contains(err.Error(), "/etc/fuse.conf") {
			fail("allow_other:", err)
		}
		o.AllowOther = false
	}
	server, err := mount(o, f, k)
	if err != nil {
		fail("mount:", err)
	}
	if p := server.Passthrough(); p.Cache || p.Store || !strings.Contains(p.Reason, "root") {
		fail("passthrough:", p)
	}
	top, err := mounted(o.Mountpoint)
	if err != nil || top == nil || top.FSType != "fuse.isomerfs" || top.Source != "a,b" || !strings.HasPrefix(top.Options, "ro,") {
		fail("the mount table:", top, err)
	}
	t := &ordinary{}
	c := newClient(t)
	c.want("ok", "open", "h", filepath.Join(o.Mountpoint, "view"))
	if err := server.Unmount(context.Background(), false); !errors.Is(err, ErrBusy) {
		fail("busy:", err)
	}
	c.want("ok", "close", "h")
	for range 2 {
		c.want(piece(1, 0, viewSize), "read-all", filepath.Join(o.Mountpoint, "view"))
		c.want(piece(3, 0, viewSize), "read-all", filepath.Join(o.Mountpoint, "source"))
		v.complete()
	}
	c.kill()
	if err := server.Unmount(context.Background(), false); err != nil {
		fail("unmount:", err)
	}
	server.Wait()
	if t.failed {
		os.Exit(1)
	}
	fmt.Println("done")
}

// ordinary is as much of a testing.TB as a client needs.
type ordinary struct {
	testing.TB
	failed bool
}

func (t *ordinary) Helper()        {}
func (t *ordinary) Cleanup(func()) {}
func (t *ordinary) Errorf(format string, args ...any) {
	t.failed = true
	fmt.Printf(format+"\n", args...)
}
func (t *ordinary) Fatal(args ...any) { fmt.Println(args...); os.Exit(1) }
func (t *ordinary) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}
