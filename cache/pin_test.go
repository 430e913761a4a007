package cache

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// TestPin: a pinned file has a path with its bytes, and stays when all others go; without its pin it goes too.
func TestPin(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	c, err := Open(Options{Dir: dir, Limit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file := func(fill byte) *layout.File {
		f, _, _ := sized(t, uint64(fill), 3<<20)
		return f
	}
	warm := func(f *layout.File) {
		e := c.Get(f, "f")
		defer e.Release()
		if err := e.Warm(ctx); err != nil {
			t.Fatal(err)
		}
	}
	f := file(1)
	e := c.Get(f, "pinned")
	path, err := e.Pin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	e.Release()
	_, want, _ := sized(t, 1, 3<<20)
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
		t.Fatalf("%s: %d bytes, %v", path, len(b), err)
	}
	for i := range byte(5) {
		warm(file(10 + i))
	}
	if _, err := Prune(dir, func(Item) bool { return false }); err != nil {
		t.Fatal(err)
	}
	items, err := List(dir)
	if err != nil || len(items) != 1 || !items[0].Pinned || items[0].ID != f.ID() {
		t.Fatalf("the cache has %+v, %v; want the pinned file alone", items, err)
	}
	e = c.Get(f, "pinned")
	if err := e.Unpin(); err != nil {
		t.Fatal(err)
	}
	e.Release()
	for i := range byte(5) {
		warm(file(20 + i))
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its pin the file is still there: %v", err)
	}
	small := c.Get(layout.Bytes([]byte("small")), "small")
	defer small.Release()
	if _, err := small.Pin(ctx); !errors.Is(err, fault.Unsupported) {
		t.Errorf("a file in memory was pinned: %v", err)
	}
}

// TestPinSurvives: a pin is the disk's, and holds for the next daemon and for one beside it; removing the file by name
// takes it along.
func TestPinSurvives(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	c, err := Open(Options{Dir: dir, Limit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	f, _, _ := sized(t, 99, 3<<20)
	e := c.Get(f, "pinned")
	if _, err := e.Pin(ctx); err != nil {
		t.Fatal(err)
	}
	e.Release()
	c.Close()
	if c, err = Open(Options{Dir: dir, Limit: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range byte(4) {
		other, _, _ := sized(t, uint64(i), 3<<20)
		e := c.Get(other, "other")
		if err := e.Warm(ctx); err != nil {
			t.Fatal(err)
		}
		e.Release()
	}
	items, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	kept := false
	for _, i := range items {
		kept = kept || i.ID == f.ID() && i.Pinned
	}
	if !kept {
		t.Fatalf("the pinned file went: %+v", items)
	}
	if err := Remove(dir, f.ID().String()); err != nil {
		t.Fatal(err)
	}
	if items, err := List(dir); err != nil || len(items) != 1 {
		t.Errorf("left: %+v, %v", items, err)
	}
	if pinned(c.disk, f.ID()) {
		t.Error("the pin of a removed file is still there")
	}
}
