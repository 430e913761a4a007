package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// summed is a view of so many bytes of a source that states the CRC-32 of itself in pieces; piece wrong is stated
// wrongly, none where it is negative.
func summed(t testing.TB, seed uint64, size, pieces, wrong int) (*layout.File, []byte, *source) {
	t.Helper()
	s := newSource(seed, 2*(size-1024))
	var sums []layout.Sum
	for i := range pieces {
		lo, hi := len(s.b)/pieces*i, len(s.b)/pieces*(i+1)
		sum := layout.Sum{Name: "piece", Off: int64(lo), Len: int64(hi - lo), CRC: crc32.ChecksumIEEE(s.b[lo:hi])}
		if i == wrong {
			sum.CRC++
		}
		sums = append(sums, sum)
	}
	_, want := view(t, s)
	header, err := layout.New(layout.Literal(want[:1024]))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := layout.New(layout.Extent{Source: layout.Summed(s, sums), Len: s.Size()})
	if err != nil {
		t.Fatal(err)
	}
	body, err := layout.New(layout.Coded{Op: halve{}, In: []*layout.File{whole}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := layout.Concat(header, body)
	if err != nil {
		t.Fatal(err)
	}
	return f, want, s
}

func sealedThere(d *memDisk, f *layout.File) bool {
	for _, name := range d.list() {
		if name == objectName(f.ID()) {
			return true
		}
	}
	return false
}

// TestWrongSums: of a file that is filled at open nothing is given whose sources are not what they say they are; of a
// larger one never all, and it is never sealed.
func TestWrongSums(t *testing.T) {
	for _, size := range []int{100 << 10, 3 << 20, 40 << 20} {
		d := newMemDisk()
		c := open(t, Options{Disk: d})
		f, want, s := summed(t, 1, size, 4, 2)
		e := c.Get(f, "x")
		err := e.Prepare(context.Background())
		if small := size <= wholeAtOpen; small != (fault.KindOf(err) == fault.Checksum) || !small && err != nil {
			t.Errorf("%d bytes: opened: %v", size, err)
		} else if small {
			if n, err := e.ReadAt(context.Background(), make([]byte, 10), 0); n != 0 || fault.KindOf(err) != fault.Checksum {
				t.Errorf("%d bytes: %d read, %v", size, n, err)
			}
		} else {
			check(t, e, want, 0, 1<<20)
			if got := s.read.Load(); got > 4<<20 {
				t.Errorf("the first MiB costs %d bytes", got)
			}
			var off int64
			for err == nil && off < int64(size) {
				p := make([]byte, 1<<20)
				_, err = e.ReadAt(context.Background(), p, off)
				if err == nil && !bytes.Equal(p, want[off:off+int64(len(p))]) {
					t.Errorf("other bytes at %d", off)
				}
				off += int64(len(p))
			}
			if fault.KindOf(err) != fault.Checksum || off > int64(size)*3/4+2<<20 {
				t.Errorf("%d bytes: at %d: %v", size, off, err)
			}
			if err := e.Warm(context.Background()); fault.KindOf(err) != fault.Checksum {
				t.Errorf("%d bytes: warmed: %v", size, err)
			}
		}
		if e.State() != Failed || fault.KindOf(e.Err()) != fault.Checksum || !strings.Contains(e.Err().Error(), "piece") {
			t.Errorf("%d bytes: %v, %v", size, e.State(), e.Err())
		}
		e.Release()
		c.Close()
		if sealedThere(d, f) {
			t.Errorf("%d bytes: sealed", size)
		}
	}
}

// TestSumsOfMore: a file that has a part of what a checksum is of is compared before it is sealed, whether or not the
// rest passes by.
func TestSumsOfMore(t *testing.T) {
	for _, wrong := range []int{-1, 0} {
		whole, _, s := summed(t, 2, 36<<20, 1, wrong)
		for _, size := range []int64{2 << 20, 34 << 20} {
			d := newMemDisk()
			c := open(t, Options{Disk: d})
			f, err := whole.Slice(1<<20, size)
			if err != nil {
				t.Fatal(err)
			}
			e := c.Get(f, "x")
			if err := e.Prepare(context.Background()); err != nil && wrong < 0 {
				t.Fatal(err)
			}
			switch err := e.Warm(context.Background()); {
			case wrong < 0 && (err != nil || !sealedThere(d, f)):
				t.Errorf("%d bytes: %v, sealed: %v", size, err, sealedThere(d, f))
			case wrong >= 0 && (fault.KindOf(err) != fault.Checksum || sealedThere(d, f)):
				t.Errorf("%d bytes: %v, sealed: %v", size, err, sealedThere(d, f))
			}
			e.Release()
			c.Close()
		}
		if got := s.read.Load(); got > 3*s.Size() {
			t.Errorf("%d bytes read of %d", got, s.Size())
		}
	}
}

// TestRightSums cost no second read.
func TestRightSums(t *testing.T) {
	for _, size := range []int{100 << 10, 3 << 20, 40 << 20} {
		c := open(t, Options{Disk: newMemDisk()})
		f, want, s := summed(t, 3, size, 3, -1)
		e := c.Get(f, "x")
		if err := e.Prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		checkAll(t, e, want, 1<<20)
		if err := e.Warm(context.Background()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		most := s.Size() + 4096
		if size <= wholeAtOpen {
			most += s.Size() // before it is given
		}
		if got := s.read.Load(); got > most {
			t.Errorf("%d bytes: %d read of %d", size, got, s.Size())
		}
		e.Release()
	}
}

// zipped is a file of views with the CRC-32 of each behind it, and all of them again at the end.
func zipped(t testing.TB, members, size int) (f *layout.File, want []byte, sources []*source) {
	t.Helper()
	var files, end []*layout.File
	var sums []byte
	for i := range members {
		m, b, s := sized(t, uint64(i), size)
		sum, err := layout.New(layout.Fold{Reducer: layout.CRC32, In: m})
		if err != nil {
			t.Fatal(err)
		}
		files, end, sources = append(files, m, sum), append(end, sum), append(sources, s)
		crc := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))
		want, sums = append(append(want, b...), crc...), append(sums, crc...)
	}
	f, err := layout.Concat(append(files, end...)...)
	if err != nil {
		t.Fatal(err)
	}
	return f, append(want, sums...), sources
}

// TestFolds: whether a file with checksums at its end is read from there or from its beginning, all of it is computed
// once, and what the end needs is kept.
func TestFolds(t *testing.T) {
	for name, begin := range map[string]func(e *Entry, want []byte){
		"from the beginning": func(e *Entry, want []byte) {},
		"from the end":       func(e *Entry, want []byte) { check(t, e, want, e.Size()-30, 30) },
		"from the end, by many": func(e *Entry, want []byte) {
			together(8, func(i int) { check(t, e, want, e.Size()-30-int64(i), 30) })
		},
		"from its middle": func(e *Entry, want []byte) { check(t, e, want, 20<<20, 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{6 << 20, 2 << 20} { // 48 MiB, and what is filled at open
				c := open(t, Options{Disk: newMemDisk(), Workers: 2})
				f, want, sources := zipped(t, 8, size)
				if len(want) < 30<<20 && strings.Contains(name, "middle") {
					continue
				}
				e := c.Get(f, "x")
				begin(e, want)
				if err := e.Prepare(context.Background()); err != nil {
					t.Fatal(err)
				}
				checkAll(t, e, want, 1<<20)
				if err := e.Warm(context.Background()); err != nil {
					t.Fatal(err)
				}
				var read, all int64
				for _, s := range sources {
					read, all = read+s.read.Load(), all+s.Size()
				}
				if most := all + all/4; read > most {
					t.Errorf("%d bytes read of %d", read, all)
				}
				if computed := c.Stats().Computed; computed > e.Size()+e.Size()/8 {
					t.Errorf("%d bytes computed of %d", computed, e.Size())
				}
				e.Release()
			}
		})
	}
}

// TestFoldsWithoutRoom: what cannot be kept is computed for the checksums alone.
func TestFoldsWithoutRoom(t *testing.T) {
	d := newMemDisk()
	d.lost = d.total - 10<<20
	c := open(t, Options{Disk: d, Workers: 2})
	f, want, sources := zipped(t, 8, 6<<20)
	e := c.Get(f, "x")
	check(t, e, want, e.Size()-30, 30)
	checkAll(t, e, want, 1<<20)
	var read, all int64
	for _, s := range sources {
		read, all = read+s.read.Load(), all+s.Size()
	}
	if read > 3*all {
		t.Errorf("%d bytes read of %d", read, all)
	}
	e.Release()
}
