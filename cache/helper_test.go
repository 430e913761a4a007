package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// source is bytes that count how often they are read, and that can be made slow, or fail.
type source struct {
	id    layout.ID
	b     []byte
	read  atomic.Int64                // bytes
	calls atomic.Int64                // reads
	wait  atomic.Pointer[chan bool]   // reads wait until it is closed
	delay atomic.Int64                // nanoseconds that each read takes
	fail  atomic.Pointer[fault.Error] // what reads fail with
}

var sources atomic.Uint64

// period is after how many bytes a source repeats itself: no multiple of anything else.
const period = 1<<20 + 52

func newSource(seed uint64, size int) *source {
	s := &source{b: make([]byte, size)}
	binary.LittleEndian.PutUint64(s.id[:], sources.Add(1))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < min(size, period); i += 4 {
		var word [4]byte
		binary.LittleEndian.PutUint32(word[:], r.Uint32())
		copy(s.b[i:], word[:])
	}
	repeat(s.b, period)
	return s
}

// repeat fills b with its first n bytes, again and again.
func repeat(b []byte, n int) {
	for ; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

func (s *source) ID() layout.ID  { return s.id }
func (s *source) Size() int64    { return int64(len(s.b)) }
func (s *source) String() string { return "source" }

func (s *source) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	s.calls.Add(1)
	if wait := s.wait.Load(); wait != nil {
		select {
		case <-*wait:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if d := s.delay.Load(); d > 0 {
		select {
		case <-time.After(time.Duration(d)):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err := s.fail.Load(); err != nil {
		return 0, err
	}
	if off >= int64(len(s.b)) {
		return 0, io.EOF
	}
	n := copy(p, s.b[off:])
	s.read.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// halve is an Op that keeps the upper half of each 32-bit word.
type halve struct{}

func (halve) String() string          { return "halve/1" }
func (halve) Block() (int64, []int64) { return 2, []int64{4} }
func (halve) Size(in ...int64) (int64, error) {
	if in[0]%4 != 0 {
		return 0, fault.New(fault.Extent, "%d bytes are no whole words", in[0])
	}
	return in[0] / 2, nil
}
func (halve) Apply(dst []byte, src [][]byte) error {
	in := src[0]
	for len(dst) >= 4 && len(in) >= 8 {
		v := binary.LittleEndian.Uint64(in)
		binary.LittleEndian.PutUint32(dst, uint32(v>>48)<<16|uint32(v>>16)&0xffff)
		dst, in = dst[4:], in[8:]
	}
	for i := 0; i+2 <= len(dst); i += 2 {
		dst[i], dst[i+1] = in[2*i+2], in[2*i+3]
	}
	return nil
}

// view is a file of a header and the halves of a source, with its bytes.
func view(t testing.TB, s *source) (*layout.File, []byte) {
	t.Helper()
	header := bytes.Repeat([]byte("header.."), 128)
	whole, err := layout.New(layout.Extent{Source: s, Len: s.Size()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := layout.New(layout.Literal(header), layout.Coded{Op: halve{}, In: []*layout.File{whole}})
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, f.Size())
	body := want[copy(want, header):]
	for i := 0; i < min(len(body), period/2); i += 2 {
		copy(body[i:], s.b[2*i+2:2*i+4])
	}
	repeat(body, period/2)
	return f, want
}

// sized is a view of so many bytes, with its source.
func sized(t testing.TB, seed uint64, size int) (*layout.File, []byte, *source) {
	t.Helper()
	s := newSource(seed, 2*(size-1024))
	f, want := view(t, s)
	if f.Size() != int64(size) {
		t.Fatalf("a view of %d bytes", f.Size())
	}
	return f, want, s
}

func open(t testing.TB, o Options) *Cache {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// check compares n bytes from off with what they should be.
func check(t testing.TB, e *Entry, want []byte, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	got, err := e.ReadAt(context.Background(), p, off)
	end := min(off+n, int64(len(want)))
	if int64(got) != max(0, end-off) || err != nil && (err != io.EOF || off+n <= int64(len(want))) {
		t.Fatalf("%d bytes at %d of %d: got %d, %v", n, off, len(want), got, err)
	}
	if off < end && !bytes.Equal(p[:got], want[off:end]) {
		for i := range p[:got] {
			if p[i] != want[off+int64(i)] {
				t.Fatalf("%d bytes at %d: byte %d is %02x and should be %02x", n, off, off+int64(i), p[i], want[off+int64(i)])
			}
		}
	}
}

// checkAll reads a file from start to end.
func checkAll(t testing.TB, e *Entry, want []byte, piece int64) {
	t.Helper()
	for off := int64(0); off < int64(len(want)); off += piece {
		check(t, e, want, off, piece)
	}
}

// until waits for what must come about soon.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about in 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func ready(e *Entry) func() bool { return func() bool { return e.State() == Ready } }

// together runs f in so many goroutines.
func together(n int, f func(i int)) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { f(i) })
	}
	wait.Wait()
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// remembered is the number of entries that a cache knows of.
func remembered(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
