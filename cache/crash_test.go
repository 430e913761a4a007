package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// scene is some views, and a run through fill, seal, restart and eviction with them.
type scene struct {
	files []*layout.File
	want  [][]byte
}

func newScene(t *testing.T) *scene {
	s := &scene{}
	for i := range 3 {
		f, want, _ := sized(t, uint64(i), 1<<20+100_000+i*1024)
		s.files, s.want = append(s.files, f), append(s.want, want)
	}
	return s
}

// play reads every view to its end and waits until it is sealed, in a cache that holds two of the three: the first
// goes for the third. Then it starts anew, reads the second, which it finds sealed, and the first, for which the third
// goes. It ends early when the disk is dead or a view is not kept. Reads are right whatever the disk does.
func (s *scene) play(t *testing.T, d *memDisk) error {
	for _, order := range [][]int{{0, 1, 2}, {1, 0}} {
		c, err := Open(Options{Disk: d, Limit: 3 << 20, Workers: 1})
		if err != nil {
			return nil // a directory that can't be read is refused
		}
		for _, i := range order {
			e := c.Get(s.files[i], fmt.Sprint("view ", i))
			err := s.readAll(e, i)
			for err == nil && len(c.Fills()) > 0 && !d.crash() {
				time.Sleep(20 * time.Microsecond)
			}
			e.Release()
			if err != nil {
				c.Close()
				return fmt.Errorf("view %d: %w", i, err)
			}
		}
		c.Close()
	}
	return nil
}

func (s *scene) readAll(e *Entry, i int) error {
	got := make([]byte, len(s.want[i]))
	if err := e.Prepare(context.Background()); err != nil {
		return err
	}
	for off := 0; off < len(got); off += 500_000 {
		if _, err := e.ReadAt(context.Background(), got[off:min(off+500_000, len(got))], int64(off)); err != nil {
			return err
		}
	}
	if !bytes.Equal(got, s.want[i]) {
		return fault.New(fault.Checksum, "WRONG BYTES")
	}
	return nil
}

// recovered fails unless a cache over the disk has right bytes for all, and nothing but whole files and their records.
func (s *scene) recovered(t *testing.T, d *memDisk, what string) {
	t.Helper()
	c, err := Open(Options{Disk: d, Workers: 1})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer c.Close()
	for _, name := range d.list() {
		if strings.HasSuffix(name, partSuffix) {
			t.Fatalf("%s: %s is left", what, name)
		}
	}
	for i, f := range s.files {
		e := c.Get(f, fmt.Sprint("view ", i))
		if e.State() == Ready {
			d.mu.Lock()
			on := bytes.Clone(d.names[objectName(f.ID())].b)
			d.mu.Unlock()
			if !bytes.Equal(on, s.want[i]) {
				t.Fatalf("%s: view %d is ready with wrong bytes", what, i)
			}
		}
		if err := s.readAll(e, i); err != nil {
			t.Fatalf("%s: view %d: %v", what, i, err)
		}
		e.Release()
	}
	until(t, what+": everything sealed", func() bool {
		for _, f := range s.files {
			if c.State(f.ID(), f) != Ready {
				return false
			}
		}
		return true
	})
	if err := verify(context.Background(), d, func(item Item, err error) {
		if err != nil {
			t.Fatalf("%s: verify: %s: %v", what, item.Path, err)
		}
	}); err != nil {
		t.Fatalf("%s: verify: %v", what, err)
	}
}

// TestCrash lets the machine crash at every operation, with several outcomes of each.
func TestCrash(t *testing.T) {
	s := newScene(t)
	whole := newMemDisk()
	if err := s.play(t, whole); err != nil {
		t.Fatal(err)
	}
	s.recovered(t, whole, "without a crash")
	n := len(whole.ops)
	const seeds = 2
	for at := 0; at < n; at += thinned {
		d := newMemDisk()
		d.crashAt = at
		if err := s.play(t, d); err != nil {
			t.Fatalf("crash at operation %d: a reader was told: %v", at, err)
		}
		for seed := range uint64(seeds) {
			what := fmt.Sprintf("crash at operation %d of %d, seed %d", at, n, seed)
			s.recovered(t, d.crashed(rand.New(rand.NewPCG(seed, uint64(at)))), what)
		}
	}
}

// TestFailures lets every operation fail in turn, once and from there on, for want of space and by the disk's fault.
// Readers never notice, and nothing is called ready that is not.
func TestFailures(t *testing.T) {
	s := newScene(t)
	whole := newMemDisk()
	if err := s.play(t, whole); err != nil {
		t.Fatal(err)
	}
	n := len(whole.ops)
	for at := 0; at < n; at += thinned {
		for _, on := range []bool{false, true} {
			errno := syscall.EIO
			if (at%2 == 0) == on {
				errno = syscall.ENOSPC
			}
			what := fmt.Sprintf("%v at operation %d of %d (and on: %v)", errno, at, n, on)
			d := newMemDisk()
			d.fault = func(i int, op, name string) error {
				if i == at || on && i > at {
					return errno
				}
				return nil
			}
			if err := s.play(t, d); err != nil {
				t.Fatalf("%s: a reader was told: %v", what, err)
			}
			d.mu.Lock()
			d.fault = nil
			if d.open != 0 {
				t.Errorf("%s: %d files are left open", what, d.open)
			}
			if d.misused {
				t.Errorf("%s: a file was used after it was closed", what)
			}
			d.mu.Unlock()
			s.recovered(t, d, what)
		}
	}
}
