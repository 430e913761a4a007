package fs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A test never touches a mount that its own process serves: a page fault would wait for a thread that waits for the
// fault. This binary runs itself as a client, which reads commands "ID VERB ARGUMENTS" from its input, runs each in a
// goroutine of its own, and writes "ID RESULT": "ok ..." or the name of an errno.

// patienceOfTests is how long any one command may take.
const patienceOfTests = 20 * time.Second

type client struct {
	t     testing.TB
	child *exec.Cmd
	in    io.WriteCloser
	mu    sync.Mutex
	next  int
	waits map[string]chan string
}

func newClient(t testing.TB) *client {
	t.Helper()
	c := &client{t: t, waits: map[string]chan string{}}
	c.child = exec.Command("/proc/self/exe")
	c.child.Env = append(os.Environ(), "FS_TEST_ROLE=client")
	c.child.Stderr = os.Stderr
	var err error
	if c.in, err = c.child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.child.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			id, result, _ := strings.Cut(lines.Text(), " ")
			c.mu.Lock()
			wait := c.waits[id]
			delete(c.waits, id)
			c.mu.Unlock()
			if wait != nil {
				wait <- result
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, wait := range c.waits {
			wait <- "the client has died"
		}
		c.waits = map[string]chan string{}
	}()
	t.Cleanup(c.kill)
	return c
}

func (c *client) kill() {
	c.child.Process.Kill()
	done := make(chan struct{})
	go func() { c.child.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patienceOfTests):
		c.t.Errorf("a client can't be killed")
	}
}

// start begins a command; its result comes through the channel.
func (c *client) start(words ...any) <-chan string {
	wait := make(chan string, 1)
	c.mu.Lock()
	c.next++
	id := strconv.Itoa(c.next)
	c.waits[id] = wait
	c.mu.Unlock()
	line := id
	for _, w := range words {
		line += " " + strings.ReplaceAll(fmt.Sprint(w), " ", "\x00")
	}
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		wait <- "the client has died"
	}
	return wait
}

// outcome waits for a result; "hung" when there is none.
func outcome(wait <-chan string, d time.Duration) string {
	select {
	case r := <-wait:
		return r
	case <-time.After(d):
		return "hung"
	}
}

// do runs a command to its end.
func (c *client) do(words ...any) string {
	c.t.Helper()
	r := outcome(c.start(words...), patienceOfTests)
	if r == "hung" {
		c.t.Fatalf("%v hangs", words)
	}
	return r
}

// want runs a command and checks its result.
func (c *client) want(result string, words ...any) {
	c.t.Helper()
	if got := c.do(words...); got != result {
		c.t.Errorf("%v: %s, want %s", words, got, result)
	}
}

func sum(p []byte) string {
	h := sha256.Sum256(p)
	return hex.EncodeToString(h[:8])
}

// serveClient is the client's side.
func serveClient() {
	signal.Notify(make(chan os.Signal, 9), syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	s := &clientState{fds: map[string]int{}, maps: map[string][]byte{}}
	var out sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", " ")
		}
		go func() {
			r := s.run(words[1], words[2:])
			out.Lock()
			defer out.Unlock()
			fmt.Printf("%s %s\n", words[0], r)
		}()
	}
}

type clientState struct {
	mu   sync.Mutex
	fds  map[string]int
	maps map[string][]byte
}

func named(err error) string {
	if e, ok := err.(syscall.Errno); ok {
		return unix.ErrnoName(e)
	}
	if e, ok := err.(*os.PathError); ok {
		return named(e.Err)
	}
	return err.Error()
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *clientState) fd(h string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, ok := s.fds[h]
	if !ok {
		return -1
	}
	return fd
}

func (s *clientState) run(verb string, a []string) (result string) {
	debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			result = "SIGBUS"
			if e, ok := r.(error); !ok || !strings.Contains(e.Error(), "fault") && !strings.Contains(e.Error(), "memory") {
				result = fmt.Sprintf("panic %v", r)
			}
		}
	}()
	ok := func(err error, words ...any) string {
		if err != nil {
			return named(err)
		}
		return strings.TrimSpace("ok " + fmt.Sprintln(words...))
	}
	switch verb {
	case "open": // HANDLE PATH
		fd, err := openRetrying(a[1], unix.O_RDONLY|unix.O_CLOEXEC)
		if err == nil {
			s.mu.Lock()
			s.fds[a[0]] = fd
			s.mu.Unlock()
		}
		return ok(err)
	case "open-once": // HANDLE PATH, without trying again after EINTR
		fd, err := unix.Open(a[1], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			s.mu.Lock()
			s.fds[a[0]] = fd
			s.mu.Unlock()
		}
		return ok(err)
	case "reopen": // HANDLE OF
		fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", s.fd(a[1])), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			s.mu.Lock()
			s.fds[a[0]] = fd
			s.mu.Unlock()
		}
		return ok(err)
	case "close":
		s.mu.Lock()
		fd := s.fds[a[0]]
		delete(s.fds, a[0])
		s.mu.Unlock()
		return ok(unix.Close(fd))
	case "pread": // HANDLE OFF N
		p := make([]byte, number(a[2]))
		n, err := unix.Pread(s.fd(a[0]), p, number(a[1]))
		return ok(err, n, sum(p[:max(n, 0)]))
	case "read-all": // PATH
		p, err := os.ReadFile(a[0])
		return ok(err, len(p), sum(p))
	case "map": // HANDLE OF SIZE
		p, err := unix.Mmap(s.fd(a[1]), 0, int(number(a[2])), unix.PROT_READ, unix.MAP_SHARED)
		if err == nil {
			s.mu.Lock()
			s.maps[a[0]] = p
			s.mu.Unlock()
		}
		return ok(err)
	case "touch": // HANDLE OFF N
		s.mu.Lock()
		p := s.maps[a[0]]
		s.mu.Unlock()
		return ok(nil, sum(bytes.Clone(p[number(a[1]):number(a[1])+number(a[2])])))
	case "unmap":
		s.mu.Lock()
		p := s.maps[a[0]]
		delete(s.maps, a[0])
		s.mu.Unlock()
		return ok(unix.Munmap(p))
	case "fstat":
		var st unix.Stat_t
		err := unix.Fstat(s.fd(a[0]), &st)
		return ok(err, st.Size, st.Ino)
	case "stat":
		var st unix.Stat_t
		err := unix.Lstat(a[0], &st)
		return ok(err, fmt.Sprintf("%o", st.Mode), st.Nlink, st.Size, st.Blocks, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Nsec, st.Blksize, st.Ino)
	case "statx":
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, a[0], unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
		return ok(err, st.Size, st.Ino, st.Mask&unix.STATX_BTIME)
	case "list":
		entries, err := os.ReadDir(a[0])
		var names []string
		for _, e := range entries {
			name := e.Name()
			if e.IsDir() {
				name += "/"
			} else if e.Type()&os.ModeSymlink != 0 {
				name += "@"
			}
			names = append(names, name)
		}
		return ok(err, strings.Join(names, " "))
	case "dots": // the raw entries . and .., with their inode numbers
		return ok(dots(a[0]))
	case "readlink":
		to, err := os.Readlink(a[0])
		return ok(err, to)
	case "getxattr":
		p := make([]byte, 256)
		n, err := unix.Getxattr(a[0], a[1], p)
		return ok(err, string(p[:max(n, 0)]))
	case "listxattr":
		n, err := unix.Listxattr(a[0], make([]byte, 256))
		return ok(err, n)
	case "statfs":
		var st unix.Statfs_t
		err := unix.Statfs(a[0], &st)
		return ok(err, st.Blocks > 0, st.Bsize > 0, st.Namelen, st.Bavail)
	case "seek": // HANDLE OFF WHENCE
		n, err := unix.Seek(s.fd(a[0]), number(a[1]), int(number(a[2])))
		return ok(err, n)
	case "change": // WHAT PATH
		return ok(change(a[0], a[1]))
	case "storm": // PATH SEED SIZE MILLISECONDS THREADS
		return storm(a[0], uint64(number(a[1])), number(a[2]), time.Duration(number(a[3]))*time.Millisecond, int(number(a[4])))
	case "churn": // PATH COUNT
		for range number(a[1]) {
			fd, err := openRetrying(a[0], unix.O_RDONLY)
			if err != nil {
				return named(err)
			}
			if _, err := unix.Pread(fd, make([]byte, 4096), 0); err != nil {
				return named(err)
			}
			unix.Close(fd)
		}
		return "ok"
	case "time": // WHAT PATH COUNT
		return timed(a[0], a[1], int(number(a[2])))
	case "bind": // PATH WHERE
		return ok(unix.Mount(a[0], a[1], "", unix.MS_BIND, ""))
	case "signalled-read": // HANDLE SIGNAL, which this thread gets while it reads
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread := unix.Gettid()
		go func() {
			time.Sleep(50 * time.Millisecond)
			unix.Tgkill(os.Getpid(), thread, unix.Signal(number(a[1])))
		}()
		p := make([]byte, 4096)
		n, err := unix.Pread(s.fd(a[0]), p, 0)
		return ok(err, n, sum(p[:max(n, 0)]))
	}
	return "no such verb"
}

// openRetrying opens as Go, Python and most others do: after EINTR again.
func openRetrying(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func dots(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := make([]byte, 8192)
	n, err := unix.ReadDirent(fd, buf)
	if err != nil {
		return err
	}
	if !bytes.Contains(buf[:n], []byte("\x00.\x00")) && !bytes.Contains(buf[:n], []byte("\x04.\x00")) || !bytes.Contains(buf[:n], []byte("..\x00")) {
		return syscall.ENOENT
	}
	return nil
}

func change(what, path string) error {
	switch what {
	case "create":
		_, err := unix.Open(path+"/new", unix.O_CREAT|unix.O_WRONLY, 0o644)
		return err
	case "mkdir":
		return unix.Mkdir(path+"/new", 0o755)
	case "symlink":
		return unix.Symlink("x", path+"/new")
	case "mknod":
		return unix.Mknod(path+"/new", unix.S_IFREG|0o644, 0)
	case "link":
		return unix.Link(path, path+".new")
	case "unlink":
		return unix.Unlink(path)
	case "rmdir":
		return unix.Rmdir(path)
	case "rename":
		return unix.Rename(path, path+".new")
	case "chmod":
		return unix.Chmod(path, 0o644)
	case "chown":
		return unix.Chown(path, 1, 1)
	case "utime":
		return unix.Utimes(path, []unix.Timeval{{}, {}})
	case "truncate":
		return unix.Truncate(path, 0)
	case "write":
		_, err := unix.Open(path, unix.O_WRONLY, 0)
		return err
	case "read-write":
		_, err := unix.Open(path, unix.O_RDWR, 0)
		return err
	case "open-truncate":
		_, err := unix.Open(path, unix.O_RDONLY|unix.O_TRUNC, 0)
		return err
	case "append":
		_, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND, 0)
		return err
	case "tmpfile":
		_, err := unix.Open(path, unix.O_TMPFILE|unix.O_WRONLY, 0o600)
		return err
	case "setxattr":
		return unix.Setxattr(path, "user.isomerfs.state", []byte("x"), 0)
	case "removexattr":
		return unix.Removexattr(path, "user.isomerfs.state")
	}
	return fmt.Errorf("no such change")
}

// storm opens, reads and maps a file from many threads and compares every byte.
func storm(path string, seed uint64, size int64, d time.Duration, threads int) string {
	var opens, wrong atomic.Int64
	var first atomic.Pointer[string]
	fail := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		first.CompareAndSwap(nil, &text)
		wrong.Add(1)
	}
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for i := range threads {
		all.Add(1)
		go func() {
			defer all.Done()
			debug.SetPanicOnFault(true)
			defer func() {
				if r := recover(); r != nil {
					fail("panic %v", r)
				}
			}()
			r := rand.New(rand.NewPCG(uint64(i), seed))
			for time.Now().Before(end) {
				fd, err := openRetrying(path, unix.O_RDONLY|unix.O_CLOEXEC)
				if err != nil {
					fail("open: %v", err)
					continue
				}
				opens.Add(1)
				for range 4 {
					off := r.Int64N(size)
					p := make([]byte, min(1+r.Int64N(100_000), size-off))
					n, err := unix.Pread(fd, p, off)
					if err == unix.EINTR {
						continue
					}
					if err != nil || n != len(p) || !bytes.Equal(p, patternOf(seed, off, int64(n))) {
						fail("pread at %d: %d of %d bytes, %v", off, n, len(p), err)
					}
				}
				if r.IntN(4) == 0 {
					p, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
					if err != nil {
						fail("mmap: %v", err)
					} else {
						off := r.Int64N(size - 4096)
						if !bytes.Equal(p[off:off+4096], patternOf(seed, off, 4096)) {
							fail("mmap at %d is wrong", off)
						}
						unix.Munmap(p)
					}
				}
				unix.Close(fd)
			}
		}()
	}
	all.Wait()
	if text := first.Load(); text != nil {
		return fmt.Sprintf("%d wrong of %d opens: %s", wrong.Load(), opens.Load(), *text)
	}
	return fmt.Sprintf("ok %d", opens.Load())
}

// timed measures one thing many times and gives seconds.
func timed(what, path string, count int) string {
	buf := make([]byte, 1<<20)
	fd, err := openRetrying(path, unix.O_RDONLY)
	if err != nil {
		return named(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	unix.Fstat(fd, &st)
	r := rand.New(rand.NewPCG(7, 7))
	began := time.Now()
	switch what {
	case "open":
		for range count {
			fd, err := unix.Open(path, unix.O_RDONLY, 0)
			if err != nil {
				return named(err)
			}
			unix.Pread(fd, buf[:4096], 0)
			unix.Close(fd)
		}
	case "stat":
		for range count {
			unix.Stat(path, &st)
		}
	case "seq":
		for range count {
			for off := int64(0); off < st.Size; off += int64(len(buf)) {
				unix.Pread(fd, buf, off)
			}
		}
	case "rand":
		for range count {
			unix.Pread(fd, buf[:4096], r.Int64N(st.Size-4096))
		}
	case "touch":
		p, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return named(err)
		}
		var x byte
		for range count {
			for i := 0; i < len(p); i += 4096 {
				x += p[i]
			}
		}
		buf[0] = x
		unix.Munmap(p)
	}
	return fmt.Sprintf("ok %.9f", time.Since(began).Seconds())
}
