package cache

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

func someRecord() *record {
	r := &record{size: 3*block + 5, made: time.Unix(1_700_000_000, 123), path: "org/model/v1/onnx/fp16/model.onnx", sums: []uint32{1, 2, 0xffffffff, 7}}
	r.id[0], r.id[31], r.digest[5] = 1, 2, 3
	return r
}

// TestRecord reads what was written, and refuses it with any bit changed and at any other length.
func TestRecord(t *testing.T) {
	want := someRecord()
	b := want.encode()
	got, err := readRecord(bytes.NewReader(b), int64(len(b)), true)
	if err != nil || !got.made.Equal(want.made) {
		t.Fatalf("%+v, %v", got, err)
	}
	got.made = want.made
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v is not %+v", got, want)
	}
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if _, err := readRecord(bytes.NewReader(bad), int64(len(bad)), true); err == nil || fault.KindOf(err) == fault.Unknown {
				t.Fatalf("bit %d of byte %d changed: %v", bit, i, err)
			}
		}
	}
	for n := range b {
		if _, err := readRecord(bytes.NewReader(b[:n]), int64(n), true); err == nil {
			t.Fatalf("the first %d bytes are taken for a record", n)
		}
		if _, err := readRecord(bytes.NewReader(b[:n]), int64(len(b)), true); err == nil {
			t.Fatalf("the first %d bytes of a file that was longer are taken for a record", n)
		}
	}
	if _, err := readRecord(bytes.NewReader(append(b, 0)), int64(len(b)+1), true); err == nil {
		t.Fatal("a byte too many is taken for a record")
	}
	long := someRecord()
	long.path = strings.Repeat("x", 10_000)
	b = long.encode()
	if got, err := readRecord(bytes.NewReader(b), int64(len(b)), true); err != nil || len(got.path) != mostPath {
		t.Fatalf("a long path: %v", err)
	}
}

// FuzzRecord: what is read as a record is written as the same bytes.
func FuzzRecord(f *testing.F) {
	f.Add(someRecord().encode())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readRecord(bytes.NewReader(b), int64(len(b)), true)
		if err == nil && !bytes.Equal(r.encode(), b) {
			t.Fatalf("%x is read as %x", b, r.encode())
		}
	})
}
