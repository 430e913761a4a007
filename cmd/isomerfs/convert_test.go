package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// pattern is a source of bytes that tell where they are from; it fails at an offset.
type pattern struct {
	size, fails int64
	reads       atomic.Int64
}

var errBroken = fault.New(fault.IO, "the disk is broken")

func (p *pattern) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	p.reads.Add(1)
	if p.fails > 0 && off+int64(len(b)) > p.fails {
		return 0, errBroken
	}
	for i := range b {
		b[i] = byte((off + int64(i)) * 2654435761 >> 13)
	}
	return len(b), nil
}
func (p *pattern) Size() int64    { return p.size }
func (p *pattern) ID() layout.ID  { return layout.ID{1, byte(p.size), byte(p.size >> 8)} }
func (p *pattern) String() string { return "pattern" }

// odd is a file of every kind of span: a header, a transpose whose grain is large, a copy, zeros.
func odd(t *testing.T, p *pattern) *layout.File {
	t.Helper()
	whole := layout.Stored(p)
	rows, cols := int64(1500), (p.size-100)/4/1500
	f, err := layout.New(
		layout.Literal("header"),
		layout.Box{In: whole, Shape: []int64{cols, rows}, Strides: []int64{4, 4 * cols}, Off: 100, Elem: 4},
		layout.Extent{Source: p, Off: 3, Len: p.size - 3},
		layout.Zeros(12345),
	)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// want is all of a file, read in one piece.
func want(t *testing.T, f *layout.File) []byte {
	t.Helper()
	all := make([]byte, f.Size())
	if _, err := f.ReadAt(context.Background(), nil, all, 0); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPieces: the ranges that are dealt out follow each other without a gap and end at the end.
func TestPieces(t *testing.T) {
	f := odd(t, &pattern{size: 20 << 20})
	for _, usual := range []int64{1, 4096, 1 << 20, 100 << 20} {
		all := &pieces{file: f, len: usual}
		var at int64
		for n := 0; ; n++ {
			lo, hi, ok := all.take()
			if !ok {
				break
			}
			if lo != at || hi <= lo || hi > f.Size() || hi-lo > usual+largest {
				t.Fatalf("of %d: a piece from %d to %d after %d", usual, lo, hi, at)
			}
			if at = hi; usual == 1 && n > 1000 {
				at = f.Size()
				break
			}
		}
		if at != f.Size() {
			t.Errorf("of %d: pieces end at %d of %d", usual, at, f.Size())
		}
	}
}

// TestWriteAndStream: both give the bytes that a single read gives, whatever the spans.
func TestWriteAndStream(t *testing.T) {
	for _, size := range []int64{7000, 1 << 20, 9_000_001} {
		f := odd(t, &pattern{size: size})
		right := want(t, f)
		file, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		node := &tree.Node{File: &tree.File{}}
		if err := write(context.Background(), output{file: f, node: node, size: f.Size()}, nil, file, &progress{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(got, right) {
			t.Errorf("write of %d bytes differs (%v)", size, err)
		}
		var stdout bytes.Buffer
		if err := stream(context.Background(), f, nil, &stdout, &progress{}); err != nil || !bytes.Equal(stdout.Bytes(), right) {
			t.Errorf("stream of %d bytes differs (%v)", size, err)
		}
	}
}

// TestStreamEnds: a source that fails, a reader that goes and an interrupt end a stream with their own error.
func TestStreamEnds(t *testing.T) {
	sound := odd(t, &pattern{size: 30 << 20})
	for name, c := range map[string]struct {
		file *layout.File
		to   io.Writer
		want error
	}{
		"source": {layout.Stored(&pattern{size: 30 << 20, fails: 20 << 20}), io.Discard, fault.IO},
		"reader": {sound, &closing{left: 5 << 20}, io.ErrClosedPipe},
	} {
		if err := stream(context.Background(), c.file, nil, c.to, &progress{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := stream(ctx, sound, nil, &closing{left: 5 << 20, then: cancel}, &progress{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupt: %v", err)
	}
}

// closing takes so many bytes and then fails, or does something.
type closing struct {
	left int
	then func()
}

func (c *closing) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		if c.then == nil {
			return 0, io.ErrClosedPipe
		}
		c.then()
	}
	return len(p), nil
}

// TestMakeFile: a file appears whole or not at all, and never in the place of another.
func TestMakeFile(t *testing.T) {
	for _, nameless := range []bool{true, false} {
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		open := func() *freshFile {
			t.Helper()
			make := newFile
			if !nameless {
				make = namedFile
			}
			f, err := make(out, 0o640)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, "new")
			return f
		}
		names := func() (list []string) {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				list = append(list, e.Name())
			}
			return list
		}
		open().discard()
		if left := names(); len(left) != 0 {
			t.Errorf("nameless %v: discard leaves %v", nameless, left)
		}
		f := open()
		if err := f.publish(out); err != nil {
			t.Fatal(err)
		}
		f.discard()
		if got, err := os.ReadFile(out); string(got) != "new" {
			t.Errorf("nameless %v: published %q, %v", nameless, got, err)
		}
		os.WriteFile(out, []byte("old"), 0o600)
		f = open()
		if err := f.publish(out); !errors.Is(err, fs.ErrExist) {
			t.Errorf("nameless %v: published over another file: %v", nameless, err)
		}
		f.discard()
		if got, _ := os.ReadFile(out); string(got) != "old" || len(names()) != 1 {
			t.Errorf("nameless %v: %q, %v", nameless, got, names())
		}
	}
}

// TestFailuresLeaveNothing: a source that breaks off in the middle leaves neither a file nor a folder.
func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	broken := output{file: layout.Stored(&pattern{size: 30 << 20, fails: 20 << 20}), node: &tree.Node{File: &tree.File{}}, perm: 0o600, path: "a/b"}
	sound := output{file: layout.Bytes([]byte("x")), node: &tree.Node{File: &tree.File{}}, perm: 0o600, path: "c"}
	ctx := context.Background()
	if err := makeFile(ctx, filepath.Join(dir, "file"), broken, &progress{}); !errors.Is(err, fault.IO) {
		t.Errorf("a file: %v", err)
	}
	if err := makeFolder(ctx, filepath.Join(dir, "folder"), []output{sound, broken}, 0, &progress{}); !errors.Is(err, fault.IO) {
		t.Errorf("a folder: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
	if err := makeFolder(ctx, filepath.Join(dir, "folder"), []output{sound, {file: sound.file, node: sound.node, perm: 0o600, path: "a/b"}}, 0, &progress{}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "folder/a/b")); string(got) != "x" {
		t.Errorf("folder/a/b: %q, %v", got, err)
	}
	if err := vacant(filepath.Join(dir, "new"), 1<<60); !errors.Is(err, fault.Space) {
		t.Errorf("an exbibyte: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	for read, want := range map[fs.FileMode]fs.FileMode{0o444: 0o666, 0o440: 0o660, 0o400: 0o600, 0o404: 0o606} {
		if got := permissions(read); got != want {
			t.Errorf("permissions(%o) = %o, want %o", read, got, want)
		}
	}
}

// TestWorkspace: a result is made once, whoever asks; a failure is not kept.
func TestWorkspace(t *testing.T) {
	ws := newWorkspace(t.TempDir())
	defer ws.close()
	ctx := context.Background()
	var made atomic.Int64
	build := func(ctx context.Context, w io.WriterAt) error {
		if made.Add(1) == 1 {
			return errBroken
		}
		_, err := w.WriteAt([]byte("result"), 0)
		return err
	}
	id := layout.ID{7}
	if _, err := ws.Keep(ctx, id, 6, build); !errors.Is(err, errBroken) {
		t.Fatalf("the first time: %v", err)
	}
	done := make(chan string)
	for range 8 {
		go func() {
			s, err := ws.Keep(ctx, id, 6, build)
			if err != nil {
				done <- err.Error()
				return
			}
			b := make([]byte, 6)
			s.ReadAt(ctx, b, 0)
			done <- string(b)
		}()
	}
	for range 8 {
		if got := <-done; got != "result" {
			t.Errorf("got %q", got)
		}
	}
	if made.Load() != 2 {
		t.Errorf("made %d times", made.Load())
	}
	if entries, _ := os.ReadDir(ws.dir); len(entries) != 0 {
		t.Errorf("temporary files have names: %v", entries)
	}
}

// TestRandomRanges: the converted ranges of a file do not depend on how it was cut.
func TestRandomRanges(t *testing.T) {
	f := odd(t, &pattern{size: 3 << 20})
	right := want(t, f)
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		lo := r.Int64N(f.Size())
		hi := lo + 1 + r.Int64N(f.Size()-lo)
		var s section
		s.reset(lo, hi)
		if err := f.Fill(context.Background(), nil, &s, lo, hi); err != nil || !bytes.Equal(s.b, right[lo:hi]) {
			t.Fatalf("bytes %d to %d differ (%v)", lo, hi, err)
		}
	}
}
