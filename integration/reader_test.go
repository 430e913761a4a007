//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// block is how much a reader reads at once.
const block = 1 << 20

// reader is a child that reads a file and compares every byte with a plain file that it must equal.
//
//	read     reads of 1 MiB, one after another      map      the same through a shared mapping
//	random   200 reads of up to 64 KiB anywhere     private  through a private mapping, backwards
//	direct   reads of 1 MiB with O_DIRECT
//
// Options: pause=MICROSECONDS after each read; hold stands still after the open (and the mmap), half after half of the
// bytes, until go.
type reader struct {
	what  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // closed at the end of its output
	ended chan struct{}
	last  string
}

// startReader starts a reader. prefix is what runs it: another user, or nobody in particular.
func startReader(t *testing.T, prefix []string, path, expected, how string, options ...string) *reader {
	t.Helper()
	argv := append(append(slices.Clone(prefix), "/proc/self/exe"), path, expected, how)
	return startReaderOf(t, argv, options...)
}

func startReaderOf(t *testing.T, argv []string, options ...string) *reader {
	t.Helper()
	r := &reader{what: strings.Join(append(argv[len(argv)-3:], options...), " "), lines: make(chan string, 4), ended: make(chan struct{})}
	r.cmd = program(append(argv, options...)...)
	r.cmd.Env = append(r.cmd.Env, childVariable+"=reader")
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		r.in, err = r.cmd.StdinPipe()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			r.lines <- lines.Text()
		}
		close(r.lines)
		r.cmd.Wait()
		close(r.ended)
	}()
	return r
}

// held waits until the reader stands still where it was told to.
func (r *reader) held(limit time.Duration) bool {
	select {
	case line, open := <-r.lines:
		if open && line != "held" {
			r.last = line
		}
		return line == "held"
	case <-time.After(limit):
		return false
	}
}

// proceed lets a reader go on that stands still.
func (r *reader) proceed() *reader {
	io.WriteString(r.in, "\n")
	return r
}

// verdict waits for the end: "right", "errno NAME ...", "wrong ...", "short ...", "killed" or "hung".
func (r *reader) verdict(limit time.Duration) string {
	timer := time.After(limit)
	for {
		select {
		case line, open := <-r.lines:
			switch {
			case open && line != "held":
				r.last = line
			case open:
			case r.last == "":
				return "killed"
			default:
				return r.last
			}
		case <-timer:
			r.stop(syscall.SIGKILL)
			if !r.gone(2 * time.Second) {
				return "hung, and cannot be killed"
			}
			return "hung"
		}
	}
}

func (r *reader) stop(signal syscall.Signal) { syscall.Kill(r.cmd.Process.Pid, signal) }

// gone reports whether the process has ended within a time.
func (r *reader) gone(limit time.Duration) bool {
	return gone(r.cmd.Process.Pid, limit)
}

// right is what a reader must say of a file that nothing happens to.
func right(verdict string) bool { return verdict == "right" }

// rightOrErrno is what it may say of one that something has happened to: never a wrong byte, a short file, or nothing.
func rightOrErrno(verdict string) bool { return right(verdict) || strings.HasPrefix(verdict, "errno ") }

// wants fails the test unless the reader's verdict holds.
func (r *reader) wants(t *testing.T, holds func(string) bool, limit time.Duration) string {
	t.Helper()
	v := r.verdict(limit)
	if !holds(v) {
		t.Errorf("%s: %s", r.what, v)
	}
	return v
}

// readerMain is the child.
func readerMain(args []string) int {
	path, expected, how := args[0], args[1], args[2]
	var pause time.Duration
	for _, o := range args[3:] {
		if us, ok := strings.CutPrefix(o, "pause="); ok {
			n, _ := strconv.Atoi(us)
			pause = time.Duration(n) * time.Microsecond
		}
	}
	hold, half := slices.Contains(args, "hold"), slices.Contains(args, "half")
	in := bufio.NewReader(os.Stdin)
	stood := false
	stand := func() {
		if stood {
			return
		}
		stood = true
		fmt.Println("held")
		if _, err := in.ReadString('\n'); err != nil {
			os.Exit(1)
		}
	}
	fmt.Println(compare(path, expected, how, func(at, size int64) {
		switch {
		case at == 0 && hold && !half:
			stand()
		case at > 0 && hold && half && at >= size/2:
			stand()
		}
		if at > 0 {
			time.Sleep(pause)
		}
	}))
	return 0
}

// compare reads path as how says and gives the verdict. step is called before the first read and after each.
func compare(path, expected, how string, step func(at, size int64)) (verdict string) {
	want, err := mapped(expected)
	if err != nil {
		return "no expectation: " + err.Error()
	}
	size := int64(len(want))
	flags := unix.O_RDONLY
	if how == "direct" {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(path, flags, 0)
	for err == unix.EINTR {
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		return "errno " + errno(err) + " at open"
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return "errno " + errno(err) + " at fstat"
	}
	if s.Size != size {
		return fmt.Sprintf("short: fstat says %d bytes, want %d", s.Size, size)
	}
	check := func(got []byte, at int64) string {
		if bytes.Equal(got, want[at:at+int64(len(got))]) {
			return ""
		}
		for i := range got {
			if got[i] != want[at+int64(i)] {
				return fmt.Sprintf("wrong at %d of %d", at+int64(i), size)
			}
		}
		return ""
	}
	buffer, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // O_DIRECT wants whole pages
	if err != nil {
		return err.Error()
	}
	// read is one read. Less than was asked for is a fault though the rest would follow: programs take it for the end of
	// the file. Only before an error it is right: the kernel cuts a large read in two, and delivers the first half when
	// the second fails.
	read := func(at, n int64) string {
		did, err := pread(fd, buffer[:n], at)
		if err != nil {
			return fmt.Sprintf("errno %s at %d", errno(err), at)
		}
		due := min(n, size-at)
		if bad := check(buffer[:min(int64(did), due)], at); bad != "" {
			return bad
		}
		if int64(did) == due {
			return ""
		}
		if _, err := pread(fd, buffer[:due-int64(did)], at+int64(did)); err != nil {
			return fmt.Sprintf("errno %s at %d", errno(err), at+int64(did))
		}
		return fmt.Sprintf("short: a read at %d gave %d bytes of %d", at, did, due)
	}
	switch how {
	case "map", "private":
		mode := unix.MAP_SHARED
		if how == "private" {
			mode = unix.MAP_PRIVATE
		}
		view, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, mode)
		if err != nil {
			return "errno " + errno(err) + " at mmap"
		}
		at := int64(0)
		debug.SetPanicOnFault(true)
		defer func() {
			if recover() != nil {
				verdict = fmt.Sprintf("errno SIGBUS at %d", at)
			}
		}()
		step(0, size)
		for done := int64(0); done < size; done += block {
			at = done
			if how == "private" {
				at = (size - 1 - done) / block * block
			}
			if bad := check(view[at:min(at+block, size)], at); bad != "" {
				return bad
			}
			step(done+block, size)
		}
	case "random":
		step(0, size)
		for i := range int64(200) {
			at := rand.Int64N(size)
			if bad := read(at, min(size-at, 1+rand.Int64N(64<<10))); bad != "" {
				return bad
			}
			step((i+1)*size/200, size)
		}
	default:
		step(0, size)
		for at := int64(0); at < size; at += block {
			n := min(size-at, block)
			if how == "direct" {
				n = block
			}
			if bad := read(at, n); bad != "" {
				return bad
			}
			step(at+block, size)
		}
	}
	return "right"
}

// mapped is a plain file's bytes. They are not copied: a reader of a large file is at its work, and can be ended, at once.
func mapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
}
