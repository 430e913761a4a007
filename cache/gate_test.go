package cache

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// taker takes tickets and says in which order it got them.
type taker struct {
	g     *gate
	order chan string
}

func (k *taker) take(name string, n int64, ahead bool) *ticket {
	t := k.g.ticket(n, ahead)
	go func() {
		if k.g.take(context.Background(), t, func() { k.order <- name + " is late" }) == nil {
			k.order <- name
		}
	}()
	synctest.Wait()
	return t
}

// expect is who got a ticket since the last time, in whatever order.
func (k *taker) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(k.order) > 0 {
		got = append(got, <-k.order)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("got %q and not %q", got, want)
	}
}

// TestGate hands out room to readers first, and to a few ahead of them.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &taker{newGate(10, 2), make(chan string, 20)}
		a := k.take("a", 4, true)
		b := k.take("b", 4, true)
		c := k.take("c", 1, true) // two are ahead already
		d := k.take("d", 4, false)
		k.expect(t, "a", "b")
		e := k.take("e", 1, false) // after d, though it would fit
		k.expect(t)
		k.g.end(a)
		k.expect(t, "d", "e", "c")
		k.g.end(b)
		k.g.end(c)
		k.g.end(d)
		k.g.end(e)
		big := k.take("big", 100, false) // has all for itself
		small := k.take("small", 1, false)
		k.expect(t, "big")
		k.g.end(big)
		k.expect(t, "small")
		k.g.end(small)
		if k.g.lent != 0 || k.g.ahead != 0 {
			t.Errorf("%d bytes and %d places are lost", k.g.lent, k.g.ahead)
		}
	})
}

// TestGateHurry lets a reader go before those whom nobody waits for.
func TestGateHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &taker{newGate(4, 1), make(chan string, 20)}
		a := k.take("a", 4, true)
		b := k.take("b", 4, true)
		c := k.take("c", 4, true)
		k.expect(t, "a")
		k.g.hurry(c)
		k.g.end(a)
		k.expect(t, "c")
		k.g.hurry(c)
		k.g.end(c)
		k.expect(t, "b")
		k.g.end(b)
		if k.g.lent != 0 || k.g.ahead != 0 {
			t.Errorf("%d bytes and %d places are lost", k.g.lent, k.g.ahead)
		}
	})
}

// TestGateLate takes room back from those who wait for a source.
func TestGateLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &taker{newGate(4, 1), make(chan string, 20)}
		a := k.take("a", 4, true)
		k.take("b", 4, true)
		k.expect(t, "a")
		time.Sleep(patience + 1)
		k.expect(t, "a is late", "b")
		if k.g.end(a) || k.g.computed(a) {
			t.Error("a late ticket is held")
		}
	})
}

// TestGateCancel leaves the queue.
func TestGateCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(4, 1)
		a, b := g.ticket(4, false), g.ticket(4, false)
		if err := g.take(context.Background(), a, func() {}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := g.take(ctx, b, func() {}); !errors.Is(err, context.DeadlineExceeded) || len(g.urgent) != 0 {
			t.Errorf("%v, %d wait", err, len(g.urgent))
		}
		g.end(a)
		if g.lent != 0 {
			t.Errorf("%d bytes are lost", g.lent)
		}
	})
}
