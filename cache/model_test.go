package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// TestEverythingAtOnce has several readers do whatever they may, with two caches over one small disk that fails now and
// then, is cleared, and is short of space, and sources that fail too. The model is simple: a read gives the file's
// bytes, or an error where its source failed.
func TestEverythingAtOnce(t *testing.T) {
	for seed := range uint64(3) {
		everythingAtOnce(t, seed)
	}
}

func everythingAtOnce(t *testing.T, seed uint64) {
	d := newMemDisk()
	d.total = 24 << 20
	var files []*layout.File
	var wants [][]byte
	var froms []*source
	for i, size := range []int{50 << 10, 900 << 10, 1<<20 + 4096, 2 << 20, 3<<20 + 2048, 5 << 20, 34 << 20} {
		f, want, s := sized(t, uint64(i), size)
		files, wants, froms = append(files, f), append(wants, want), append(froms, s)
	}
	caches := []*Cache{open(t, Options{Disk: d, Limit: 10 << 20, Workers: 2}), open(t, Options{Disk: d, Limit: 10 << 20, Workers: 1})}
	stop := make(chan bool)
	var mischief sync.WaitGroup
	mischief.Go(func() {
		r := rand.New(rand.NewPCG(seed, 99))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(r.IntN(20)) * time.Millisecond):
			}
			switch r.IntN(5) {
			case 0:
				d.removeAll()
			case 1:
				share := r.IntN(4)
				dice := rand.New(rand.NewPCG(seed, r.Uint64()))
				d.mu.Lock()
				d.fault = func(int, string, string) error {
					if dice.IntN(10) < share {
						return syscall.EIO
					}
					return nil
				}
				d.mu.Unlock()
			case 2:
				d.mu.Lock()
				d.lost = r.Int64N(d.total)
				d.mu.Unlock()
			case 3:
				froms[r.IntN(len(froms))].fail.Store(fault.New(fault.IO, "no answer"))
			case 4:
				for _, s := range froms {
					s.fail.Store(nil)
				}
				d.mu.Lock()
				d.fault, d.lost = nil, 0
				d.mu.Unlock()
			}
		}
	})
	together(6, func(i int) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		c := caches[i%2]
		for range 40 {
			k := r.IntN(len(files))
			e := c.Get(files[k], "x")
			ctx, cancel := context.WithCancel(context.Background())
			if r.IntN(8) == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
			}
			if r.IntN(2) == 0 {
				tolerate(t, e.Prepare(ctx))
			}
			switch r.IntN(6) {
			case 0:
				e.Complete()
			case 1:
				e.OnChange(func() { e.State() })
			case 2:
				c.State(files[k].ID(), files[k])
				c.Fills()
			case 3:
				c.Usage()
			case 4:
				if files[k].Size() < 4<<20 {
					tolerate(t, e.Warm(ctx))
				}
			}
			off := r.Int64N(files[k].Size())
			n := 1 + r.Int64N(300_000)
			for range r.IntN(12) {
				p := make([]byte, n)
				got, err := e.ReadAt(ctx, p, off)
				if err != nil && err != io.EOF {
					tolerate(t, err)
					if got != 0 {
						t.Errorf("seed %d: %d bytes and %v", seed, got, err)
					}
					continue
				}
				if want := min(n, files[k].Size()-off); int64(got) != want || !bytes.Equal(p[:got], wants[k][off:off+want]) {
					t.Errorf("seed %d: file %d: %d bytes at %d: %d, right: %v", seed, k, n, off, got, bytes.Equal(p[:got], wants[k][off:off+int64(got)]))
				}
				if off += int64(got); off == files[k].Size() {
					off = 0
				}
			}
			e.Release()
			cancel()
		}
	})
	close(stop)
	mischief.Wait()
	for _, s := range froms {
		s.fail.Store(nil)
	}
	d.mu.Lock()
	d.fault, d.lost = nil, 0
	d.mu.Unlock()
	for _, c := range caches {
		began := time.Now()
		c.Close()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("seed %d: Close took %v", seed, took)
		}
	}
	if d.opened() != 0 || d.misused {
		t.Errorf("seed %d: %d files are left open, used after they were closed: %v", seed, d.opened(), d.misused)
	}
	for i, c := range caches {
		if c.gate.lent != 0 || c.gate.ahead != 0 {
			t.Errorf("seed %d: cache %d still lends %d bytes and %d places", seed, i, c.gate.lent, c.gate.ahead)
		}
	}
	c := open(t, Options{Disk: d})
	if err := verify(context.Background(), d, func(item Item, err error) {
		if err != nil {
			t.Errorf("seed %d: %s: %v", seed, item.Name, err)
		}
	}); err != nil {
		t.Error(err)
	}
	for i, f := range files[:6] {
		e := c.Get(f, "x")
		checkAll(t, e, wants[i], 1<<20)
		e.Release()
	}
	c.Close()
}

// tolerate takes the errors that a caller has brought on itself, or that a source has.
func tolerate(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case fault.KindOf(err) == fault.IO, fault.KindOf(err) == fault.Space:
	default:
		t.Errorf("a reader was told: %v", err)
	}
}
