package cache

import (
	"context"
	"testing"
	"time"
)

// held reports whether the ticket is handed out within a time that is long beside a hush.
func held(t *ticket, within time.Duration) bool {
	select {
	case <-t.ready:
		return true
	case <-time.After(within):
		return false
	}
}

// TestHush: who comes to a file goes before what is computed ahead, and the file's own read-ahead with it; then all
// goes on by itself.
func TestHush(t *testing.T) {
	g := newGate(1<<20, 4)
	asked := func(ahead, young bool) *ticket {
		x := g.ticket(1, ahead)
		x.young = young
		go g.take(context.Background(), x, func() {})
		return x
	}
	began := time.Now()
	g.hush()
	fill, young, reader := asked(true, false), asked(true, true), asked(false, false)
	if !held(reader, time.Second) || !held(young, time.Second) {
		t.Fatal("a reader, or what is read ahead for it, waits for the end of a hush that was made for it")
	}
	if !held(fill, 5*time.Second) {
		t.Fatal("a fill never goes on after a hush")
	}
	if waited := time.Since(began); waited < moment {
		t.Errorf("a fill went on after %v, before the hush of %v was over", waited, moment)
	}
}

// TestHushEnds: however many come, fills have as much time for themselves.
func TestHushEnds(t *testing.T) {
	g := newGate(1<<20, 4)
	end := time.Now().Add(3 * rest)
	quiet := time.Duration(0)
	last := time.Now()
	for time.Now().Before(end) {
		g.hush()
		g.mu.Lock()
		if now := time.Now(); g.quiet.After(now) {
			quiet += now.Sub(last)
			last = now
		} else {
			last = now
		}
		g.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if quiet > 2*rest+rest/2 {
		t.Errorf("fills rested for %v of %v", quiet, 3*rest)
	}
	if quiet < rest/2 {
		t.Errorf("fills rested for %v only: a hush is not kept", quiet)
	}
}
