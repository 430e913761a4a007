package onnx

import (
	"context"
	"fmt"
	"io"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// varints is the decoding of elements that are stored as protobuf numbers of varying length.
type varints struct {
	dtype model.DType
	want  int64 // how many numbers there are
}

// wanted is how many numbers stand for so many elements, which are length bytes: one for each, but for types of 4 and
// 2 bits one for each byte.
func wanted(d model.DType, elements, length int64) int64 {
	switch d {
	case model.F4, model.I4, model.U4, model.I2, model.U2:
		return length
	}
	return elements
}

func (x varints) String() string { return fmt.Sprintf("varints→%s %d/1", x.dtype, x.want) }

// width is the bytes of the result for each number; 0 for types of 6 bits, of which four numbers make three bytes.
func (x varints) width() int {
	switch b := x.dtype.Block(); {
	case b.Elems == 1:
		return int(b.Bytes)
	case x.dtype == model.F6E2M3 || x.dtype == model.F6E3M2:
		return 0
	}
	return 1
}

// run writes the elements. Numbers are cut to the width of their type, as the reference does; a bool is whether one is
// not 0.
func (x varints) run(in *layout.File) func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
	return func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
		const chunk = 64 << 10
		buf := make([]byte, chunk)
		out := make([]byte, 0, chunk+8)
		var got, at, off int64
		var bits, held uint // of a type of 6 bits
		have := 0
		width := x.width()
		flush := func() error {
			_, err := w.WriteAt(out, at)
			at += int64(len(out))
			out = out[:0]
			return err
		}
		for off < in.Size() || have > 0 {
			n, err := in.ReadAt(ctx, ws, buf[have:], off)
			if err != nil && err != io.EOF {
				return err
			}
			off += int64(n)
			p := buf[:have+n]
			for len(p) > 0 {
				v, n := protowire.ConsumeVarint(p)
				if n < 0 {
					if len(p) < protowireMax && off < in.Size() {
						break // the rest of it comes with the next chunk
					}
					return fault.New(fault.Malformed, "number %d of the tensor does not end, or has more than 64 bits", got)
				}
				p = p[n:]
				if got++; got > x.want {
					return fault.New(fault.Mismatch, "more numbers than the %d that the tensor's shape asks for", x.want)
				}
				if x.dtype == model.Bool && v != 0 {
					v = 1
				}
				switch width {
				case 0:
					bits |= uint(v&63) << held
					for held += 6; held >= 8; held -= 8 {
						out = append(out, byte(bits))
						bits >>= 8
					}
				default:
					for i := range width {
						out = append(out, byte(v>>(8*i)))
					}
				}
				if len(out) >= chunk {
					if err := flush(); err != nil {
						return err
					}
				}
			}
			have = copy(buf, p)
		}
		if got < x.want {
			return fault.New(fault.Mismatch, "%d numbers, and the tensor's shape asks for %d", got, x.want)
		}
		if held > 0 {
			out = append(out, byte(bits))
		}
		return flush()
	}
}
