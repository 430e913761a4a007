package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// storeOf makes a store of files with settled times and opens it.
func storeOf(t *testing.T, files map[string]string) (*directory, string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		makeFile(t, root, name, text)
	}
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*directory), root
}

// sourceOf is the source of a file of m/v1.
func sourceOf(t *testing.T, s Store, name string) layout.Source {
	t.Helper()
	v, err := s.Version(context.Background(), "m", "v1")
	if err != nil {
		t.Fatal(err)
	}
	source, err := v.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestSourceReads(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	s, root := storeOf(t, map[string]string{"m/v1/x.bin": string(text), "m/v1/empty": ""})
	source := sourceOf(t, s, "x.bin")
	if source.Size() != int64(len(text)) || source.String() != filepath.Join(root, "m/v1/x.bin") {
		t.Errorf("size %d, name %s", source.Size(), source)
	}
	ctx := context.Background()
	for _, test := range []struct {
		off, n, want int
		err          error
	}{
		{0, 10, 10, nil}, {5, 65531, 65531, nil}, {0, 65536, 65536, nil}, {0, 65537, 65536, io.EOF}, {65535, 2, 1, io.EOF},
		{65536, 1, 0, io.EOF}, {1 << 40, 1, 0, io.EOF}, {65536, 0, 0, nil}, {3, 0, 0, nil},
	} {
		p := make([]byte, test.n)
		n, err := source.ReadAt(ctx, p, int64(test.off))
		if n != test.want || err != test.err {
			t.Errorf("%d bytes at %d: %d, %v, want %d, %v", test.n, test.off, n, err, test.want, test.err)
		} else if n > 0 && !bytes.Equal(p[:n], text[test.off:test.off+n]) {
			t.Errorf("%d bytes at %d differ", test.n, test.off)
		}
	}
	if _, err := source.ReadAt(ctx, make([]byte, 1), -1); fault.KindOf(err) != fault.Usage {
		t.Errorf("negative offset: %v", err)
	}
	if n, err := sourceOf(t, s, "empty").ReadAt(ctx, make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("empty file: %d, %v", n, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := source.ReadAt(cancelled, make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f, err := source.(layout.Opener).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, text) {
		t.Errorf("opened: %d bytes, %v", len(got), err)
	}
	v, err := s.Version(ctx, "m", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open("other"); fault.KindOf(err) != fault.Missing {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestSourceChanges changes a file in every way, and wants each to be noticed by all that look at it, and a new
// version to have another identity and the new bytes.
func TestSourceChanges(t *testing.T) {
	write := func(path string, flags int, text string) error {
		f, err := os.OpenFile(path, flags, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(text)
		return err
	}
	for _, test := range []struct {
		name   string
		change func(path string) error
		want   string // what is read afterwards; "-" when there is nothing
	}{
		{"truncated", func(path string) error { return os.Truncate(path, 3) }, "old"},
		{"grown", func(path string) error { return write(path, os.O_APPEND|os.O_WRONLY, "er") }, "old byteser"},
		{"rewritten in place", func(path string) error { return write(path, os.O_WRONLY, "new bytes") }, "new bytes"},
		{"rewritten in place with its old times", func(path string) error {
			if err := write(path, os.O_WRONLY, "new bytes"); err != nil {
				return err
			}
			return os.Chtimes(path, old, old)
		}, "new bytes"},
		{"replaced", func(path string) error {
			if err := write(path+".new", os.O_CREATE|os.O_WRONLY, "new bytes"); err != nil {
				return err
			}
			if err := os.Chtimes(path+".new", old, old); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, "new bytes"},
		{"deleted", os.Remove, "-"},
		{"folder renamed", func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+"0") }, "-"},
		{"mode", func(path string) error { return os.Chmod(path, 0o600) }, "old bytes"},
		{"linked", func(path string) error { return os.Link(path, filepath.Join(filepath.Dir(filepath.Dir(path)), "link")) }, "old bytes"},
		{"replaced by a folder", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o755)
		}, "-"},
		{"replaced by a pipe", func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o644)
		}, "-"},
		{"replaced by a link", func(path string) error {
			if err := os.Rename(path, path+".moved"); err != nil {
				return err
			}
			return os.Symlink(path+".moved", path)
		}, "old bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, root := storeOf(t, map[string]string{"m/v1/x.bin": "old bytes", "m/v1/other": "other"})
			path := filepath.Join(root, "m/v1/x.bin")
			ctx := context.Background()
			before, err := s.Version(ctx, "m", "v1")
			if err != nil {
				t.Fatal(err)
			}
			was, untouched := sourceOf(t, s, "x.bin"), sourceOf(t, s, "other")
			time.Sleep(10 * time.Millisecond) // a tick of the file system's clock
			if err := test.change(path); err != nil {
				t.Fatal(err)
			}
			if n, err := was.ReadAt(ctx, make([]byte, 9), 0); fault.KindOf(err) != fault.Changed || n != 0 {
				t.Errorf("ReadAt: %d, %v", n, err)
			}
			if f, err := was.(layout.Opener).Open(); fault.KindOf(err) != fault.Changed {
				t.Errorf("Open: %v, %v", f, err)
			}
			if err := was.(Checker).Check(ctx); fault.KindOf(err) != fault.Changed && test.name != "replaced by a link" {
				t.Errorf("Check: %v", err)
			}
			if test.name != "folder renamed" {
				if n, err := untouched.ReadAt(ctx, make([]byte, 5), 0); n != 5 || err != nil {
					t.Errorf("another file: %d, %v", n, err)
				}
				if err := untouched.(Checker).Check(ctx); err != nil {
					t.Errorf("another file: %v", err)
				}
			}
			s.settle = -1 // what is there now
			after, err := s.Version(ctx, "m", "v1")
			if test.name == "folder renamed" {
				if fault.KindOf(err) != fault.Absent {
					t.Errorf("the version: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if after.ID == before.ID {
				t.Error("the version has the same ID")
			}
			f := after.File("x.bin")
			if test.want == "-" {
				if f != nil && f.Err == nil {
					t.Errorf("the file is still there: %v", f)
				}
				return
			}
			if f.Source.ID() == was.ID() {
				t.Error("the source has the same ID")
			}
			got := make([]byte, f.Info.Size)
			if _, err := f.Source.ReadAt(ctx, got, 0); err != nil || string(got) != test.want {
				t.Errorf("read %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// TestChangedWhileRead changes a file between the reads of another goroutine: what is read without an error is all old
// or all new.
func TestChangedWhileRead(t *testing.T) {
	const size = 1 << 20
	s, root := storeOf(t, map[string]string{"m/v1/x.bin": string(bytes.Repeat([]byte{'a'}, size))})
	path := filepath.Join(root, "m/v1/x.bin")
	s.settle = -1
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := f.Write(bytes.Repeat([]byte{'a' + byte(i%26)}, size)); err != nil {
				t.Error(err)
			}
			f.Close()
			time.Sleep(time.Duration(i%2) * 50 * time.Millisecond) // let some reads succeed
		}
	})
	whole, refused := 0, 0
	p := make([]byte, size)
	for began, i := time.Now(), 0; (whole < 5 || refused < 5) && time.Since(began) < 10*time.Second; i++ {
		v, err := s.Version(context.Background(), "m", "v1")
		if err != nil {
			t.Fatal(err)
		}
		// As of every settled file, its time must not be of now: a write within one tick of the file system's clock
		// leaves it as it is.
		if source := v.File("x.bin"); time.Since(source.Info.ModTime) < 20*time.Millisecond {
			continue
		}
		source := v.File("x.bin").Source
		time.Sleep(time.Duration(i%6) * 10 * time.Millisecond)
		n, err := source.ReadAt(context.Background(), p, 0)
		if err != nil {
			if fault.KindOf(err) != fault.Changed || n != 0 {
				t.Fatalf("%d, %v", n, err)
			}
			refused++
			continue
		}
		whole++
		if i := bytes.IndexFunc(p, func(r rune) bool { return r != rune(p[0]) }); i >= 0 {
			t.Fatalf("byte %d is %q after %q", i, p[i], p[0])
		}
	}
	close(stop)
	writer.Wait()
	t.Logf("%d whole, %d refused", whole, refused)
	if whole == 0 || refused == 0 {
		t.Errorf("%d whole, %d refused: one of the two was not tried", whole, refused)
	}
}

func TestIdentities(t *testing.T) {
	s, root := storeOf(t, map[string]string{"m/v1/a": "x", "m/v1/b": "x"})
	if err := os.Link(filepath.Join(root, "m/v1/a"), filepath.Join(root, "m/v1/c")); err != nil {
		t.Fatal(err)
	}
	a, b, c := sourceOf(t, s, "a"), sourceOf(t, s, "b"), sourceOf(t, s, "c")
	if a.ID() == b.ID() {
		t.Error("two files have one ID")
	}
	if a.ID() != c.ID() {
		t.Error("two names of one file have two IDs")
	}
	again, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sourceOf(t, again, "a").ID() != a.ID() {
		t.Error("another store gives the file another ID")
	}

	const blob = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	const commit = "0123456789abcdef0123456789abcdef01234567"
	ids := map[layout.ID]bool{}
	for range 2 {
		s, _ := storeOf(t, map[string]string{
			"models--o--n/blobs/" + blob:                                            "abc",
			"models--o--n/snapshots/" + commit + "/x.bin -> ../../blobs/" + blob:    "",
			"models--o--n/snapshots/" + commit + "/sub/y -> ../../../blobs/" + blob: "",
		})
		v, err := s.Version(context.Background(), "o/n", commit[:12])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Files {
			ids[f.Source.ID()] = true
			if f.SHA256 != blob {
				t.Errorf("%s has the digest %q", f.Name, f.SHA256)
			}
		}
	}
	if len(ids) != 1 {
		t.Errorf("one blob in two caches has %d IDs", len(ids))
	}
}

// TestSlowSource makes one file hang: its readers wait and can leave, readers of others do not notice.
func TestSlowSource(t *testing.T) {
	s, _ := storeOf(t, map[string]string{"m/v1/slow": "x", "m/v1/fast": "y"})
	slow, fast := sourceOf(t, s, "slow").(*source), sourceOf(t, s, "fast")
	for range readsOfOneFile { // as reads that do not return hold them
		slow.slots <- struct{}{}
		s.reads <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	for range 1000 {
		waiting.Go(func() {
			if _, err := slow.ReadAt(ctx, make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
				t.Errorf("a waiting reader: %v", err)
			}
		})
	}
	for range 100 {
		quick, done := context.WithTimeout(context.Background(), 5*time.Second)
		if n, err := fast.ReadAt(quick, make([]byte, 1), 0); n != 1 || err != nil {
			t.Fatalf("another file: %d, %v", n, err)
		}
		done()
	}
	cancel()
	waiting.Wait()
}

// TestLeaveHangingLook has readdir and stat hang: whoever waits for them can leave.
func TestLeaveHangingLook(t *testing.T) {
	s, _ := storeOf(t, nil)
	hang := make(chan struct{})
	defer close(hang)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for range looksAtOnce {
		err := s.look(ctx, func(context.Context) error { <-hang; return nil })
		if !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Dir(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dir: %v", err)
	}
}
