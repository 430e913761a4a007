package gguf

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
)

// A big-endian file has the numbers of the keys, of the entries and of the data in that order of bytes. What is the
// number in a block of a quantized type is known of those that llama.cpp's gguf_convert_endian.py turns: the float16
// of the scales. Of the others there is no file that says.

// swap reverses the bytes of numbers in blocks: so many bytes at each of these offsets. It implements layout.Op.
type swap struct {
	name  string
	block int
	width int
	at    []int
}

// numbers is a swap of plain numbers.
func numbers(width int) swap { return swap{fmt.Sprintf("swap%d", 8*width), width, width, []int{0}} }

// swapOf is what turns the data of a type from big-endian to little-endian; nil where there is nothing to turn, false
// where nobody knows.
func swapOf(t ggml.Type) (layout.Op, bool) {
	switch t {
	case ggml.F16, ggml.BF16, ggml.I16:
		return numbers(2), true
	case ggml.F32, ggml.I32:
		return numbers(4), true
	case ggml.F64, ggml.I64:
		return numbers(8), true
	case ggml.I8, ggml.MXFP4, ggml.NVFP4:
		return nil, true
	case ggml.Q4_0, ggml.Q8_0, ggml.Q1_0:
		return scales(t, 0), true
	case ggml.Q4_K:
		return scales(t, 0, 2), true
	case ggml.Q6_K:
		return scales(t, 208), true
	case ggml.TQ2_0:
		return scales(t, 64), true
	}
	return nil, false
}

// scales is a swap of the float16 at these offsets of a type's blocks.
func scales(t ggml.Type, at ...int) swap {
	return swap{"swap " + t.String(), int(t.Block().Bytes), 2, at}
}

func (s swap) String() string          { return s.name + "/1" }
func (s swap) Block() (int64, []int64) { return int64(s.block), []int64{int64(s.block)} }

func (s swap) Size(in ...int64) (int64, error) {
	if len(in) != 1 || in[0]%int64(s.block) != 0 {
		return 0, fault.New(fault.Mismatch, "%s of %d bytes: no whole number of blocks of %d", s, in, s.block)
	}
	return in[0], nil
}

func (s swap) Apply(dst []byte, src [][]byte) error {
	if len(src[0]) < len(dst) || len(dst)%s.block != 0 {
		return fault.New(fault.Mismatch, "%s: %d bytes cannot come from %d", s, len(dst), len(src[0]))
	}
	copy(dst, src[0])
	for ; len(dst) > 0; dst = dst[s.block:] {
		for _, at := range s.at {
			slices.Reverse(dst[at : at+s.width])
		}
	}
	return nil
}

// swapArray is the elements of a big-endian file's array, little-endian. Where strings begin is known only by walking
// through them, so they come as a whole.
func swapArray(elem ValueType, count int64, data *layout.File) (*layout.File, error) {
	if elem != String {
		if elem.size() == 1 || count == 0 {
			return data, nil
		}
		return layout.New(layout.Coded{Op: numbers(int(elem.size())), In: []*layout.File{data}})
	}
	run := func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
		b := make([]byte, window)
		var next int64 // where the next length stands
		for off := int64(0); off < data.Size(); {
			b = b[:min(window, data.Size()-off)]
			if _, err := data.ReadAt(ctx, ws, b, off); err != nil && err != io.EOF {
				return err
			}
			for next-off+8 <= int64(len(b)) {
				length := b[next-off:][:8]
				n := binary.BigEndian.Uint64(length)
				if n > uint64(data.Size()-next-8) {
					return fault.At(fault.Changed, next, "a string of %d bytes where there was a shorter one", n)
				}
				next += 8 + int64(n)
				slices.Reverse(length)
			}
			if next < off+int64(len(b)) { // a length that the window cuts
				b = b[:next-off]
			}
			if len(b) == 0 {
				return fault.At(fault.Changed, off, "half a length where there was a string")
			}
			if _, err := w.WriteAt(b, off); err != nil {
				return err
			}
			off += int64(len(b))
		}
		return nil
	}
	return layout.New(layout.Materialized{Name: "swap strings/1", Length: data.Size(), In: []*layout.File{data}, Run: run})
}
