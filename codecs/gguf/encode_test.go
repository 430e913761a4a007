package gguf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/layout"
)

var ctx = context.Background()

// file is a source of bytes in memory.
type file string

func (s file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if n := copy(p, s[min(off, s.Size()):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}
func (s file) Size() int64    { return int64(len(s)) }
func (s file) ID() layout.ID  { return sha256.Sum256([]byte(s)) }
func (s file) String() string { return "file" }

// all is every byte of a file.
func all(t testing.TB, f *layout.File) []byte {
	t.Helper()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(ctx, memory{}, b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

// memory is a workspace that keeps nothing.
type memory struct{}

func (memory) Budget() int64 { return 32 << 20 }
func (memory) Keep(ctx context.Context, _ layout.ID, size int64, build func(context.Context, io.WriterAt) error) (layout.Source, error) {
	w := make(buffer, size)
	err := build(ctx, w)
	return file(w), err
}

type buffer []byte

func (b buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

func bytesOf(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if s, ok := p.(string); ok {
			p = []byte(s)
		}
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func text8(s string) []byte { return bytesOf(uint64(len(s)), s) }

// TestFile: a small file, byte for byte.
func TestFile(t *testing.T) {
	c := &Content{
		KVs: []KV{
			Key("general.architecture", "llama"), Key("a", uint8(200)), Key("b", int32(-2)), Key("c", float32(0.5)), Key("d", true), Key("e", uint64(1)<<63), Key("f", -1.5),
			List("words", []string{"x", "", "yz"}), List("numbers", []int16{1, -1}), List("none", []string{}),
		},
		Tensors: []Tensor{
			{"t.weight", []int64{1, 1, 2, 3}, ggml.F32, layout.Bytes(bytes.Repeat([]byte{7}, 24))},
			{"scalar", nil, ggml.I8, layout.Bytes([]byte{9})},
			{"blocks", []int64{2, 32}, ggml.Q4_0, layout.Bytes(bytes.Repeat([]byte{3}, 36))},
		},
	}
	head := bytesOf("GGUF", uint32(3), uint64(3), uint64(10),
		text8("general.architecture"), uint32(8), text8("llama"), text8("a"), uint32(0), uint8(200), text8("b"), uint32(5), int32(-2), text8("c"), uint32(6), float32(0.5),
		text8("d"), uint32(7), uint8(1), text8("e"), uint32(10), uint64(1)<<63, text8("f"), uint32(12), -1.5,
		text8("words"), uint32(9), uint32(8), uint64(3), text8("x"), text8(""), text8("yz"), text8("numbers"), uint32(9), uint32(3), uint64(2), int16(1), int16(-1), text8("none"), uint32(9), uint32(8), uint64(0),
		text8("t.weight"), uint32(2), uint64(3), uint64(2), uint32(0), uint64(0), text8("scalar"), uint32(1), uint64(1), uint32(24), uint64(32),
		text8("blocks"), uint32(2), uint64(32), uint64(2), uint32(2), uint64(64))
	want := string(head) + strings.Repeat("\x00", (32-len(head)%32)%32) + strings.Repeat("\x07", 24) + strings.Repeat("\x00", 8) + "\x09" + strings.Repeat("\x00", 31) + strings.Repeat("\x03", 36) + strings.Repeat("\x00", 28)
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(all(t, f)); got != want {
		t.Errorf("wrote\n%q instead of\n%q", got, want)
	}
	if n := len(f.Spans()); n > 20 {
		t.Errorf("%d spans", n)
	}
}
