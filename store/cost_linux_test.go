package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestListingOpensNothing has the kernel tell what is opened: listing the root touches nothing below it, and listing
// a model and entering a version open folders alone.
func TestListingOpensNothing(t *testing.T) {
	const models = 300
	files := map[string]string{}
	for i := range models {
		for v := 1; v <= 3; v++ {
			files[fmt.Sprintf("model-%03d/v%d/model.safetensors", i, v)] = "x"
		}
	}
	_, root := storeOf(t, files)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	seen := inotify{fd: fd, dirs: map[int32]string{}, ids: map[string]int32{}}
	for name := range files {
		version := filepath.Join(root, filepath.Dir(name))
		for _, dir := range []string{version, filepath.Dir(version)} {
			id, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN|unix.IN_ACCESS)
			if err != nil {
				t.Fatal(err)
			}
			seen.dirs[int32(id)] = dir
		}
	}
	opened := func() (files, folders []string) {
		buf := make([]byte, 1<<20)
		n, err := unix.Read(fd, buf)
		if err == unix.EAGAIN {
			return nil, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range seen.decode(buf[:n]) {
			if path := filepath.Join(ev.dir, ev.name); ev.folder {
				folders = append(folders, path)
			} else {
				files = append(files, path)
			}
		}
		return files, folders
	}

	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if d, err := s.Dir(ctx, ""); err != nil || len(d.Names) != models {
		t.Fatal(d, err)
	}
	if files, folders := opened(); len(files)+len(folders) > 0 {
		t.Errorf("listing the root opened %q %q", files, folders)
	}
	if d, err := s.Dir(ctx, "model-007"); err != nil || len(d.Versions) != 3 {
		t.Fatal(d, err)
	}
	if files, folders := opened(); len(files) > 0 || len(folders) == 0 {
		t.Errorf("listing a model opened the files %q, the folders %q", files, folders)
	}
	v, err := s.Version(ctx, "model-007", "v2")
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := opened(); len(files) > 0 {
		t.Errorf("entering a version opened %q", files)
	}
	if _, err := v.Files[0].Source.ReadAt(ctx, make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	if files, _ := opened(); len(files) == 0 {
		t.Error("reading a file was not noticed: this test sees nothing")
	}
}

// BenchmarkRoot lists 10,000 models of 3 versions, as after a mount.
func BenchmarkRoot(b *testing.B) {
	root := b.TempDir()
	for i := range 10_000 {
		for v := 1; v <= 3; v++ {
			makeFile(b, root, fmt.Sprintf("model-%05d/v%d/model.safetensors", i, v), "x")
		}
	}
	ctx := context.Background()
	time.Sleep(racyCoarse)
	b.Run("open and list", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(root, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if d, err := s.Dir(ctx, ""); err != nil || len(d.Names) != 10_000 {
				b.Fatal(err)
			}
		}
	})
	s, err := Open(root, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("list again", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Dir(ctx, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a model", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Dir(ctx, fmt.Sprintf("model-%05d", i%10_000)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a version", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Version(ctx, fmt.Sprintf("model-%05d", i%10_000), "v2"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("native readdir of the root", func(b *testing.B) {
		for b.Loop() {
			if _, err := readFolder(root); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRead reads 1 MiB and 4 KiB of a stored file that the page cache has.
func BenchmarkRead(b *testing.B) {
	root := b.TempDir()
	makeFile(b, root, "m/v1/x.bin", string(make([]byte, 1<<20)))
	s, err := Open(root, Options{})
	if err != nil {
		b.Fatal(err)
	}
	v, err := s.Version(context.Background(), "m", "v1")
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := v.Files[0].Source.ReadAt(context.Background(), p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("check", func(b *testing.B) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for b.Loop() {
			if err := v.Files[0].Source.(Checker).Check(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
