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

// unpacker is a decoding under way.
type unpacker struct {
	varints
	got  int64  // numbers so far
	out  []byte // elements that were not taken away yet
	bits uint   // of a type of 6 bits: those of no whole byte yet, held of them
	held uint
}

// feed decodes p up to a number that does not end in it, and returns that. Numbers are cut to the width of their type,
// as the reference does; a bool is whether one is not 0.
func (u *unpacker) feed(p []byte) ([]byte, error) {
	width := u.width()
	for len(p) > 0 {
		v, n := protowire.ConsumeVarint(p)
		if n < 0 {
			if len(p) < protowireMax {
				return p, nil
			}
			return nil, fault.New(fault.Malformed, "number %d of the tensor has more than 64 bits", u.got)
		}
		p = p[n:]
		if u.got++; u.got > u.want {
			return nil, fault.New(fault.Mismatch, "more numbers than the %d that the tensor's shape asks for", u.want)
		}
		if u.dtype == model.Bool && v != 0 {
			v = 1
		}
		if width > 0 {
			for i := range width {
				u.out = append(u.out, byte(v>>(8*i)))
			}
			continue
		}
		u.bits |= uint(v&63) << u.held
		for u.held += 6; u.held >= 8; u.held -= 8 {
			u.out = append(u.out, byte(u.bits))
			u.bits >>= 8
		}
	}
	return nil, nil
}

// end is what is wrong with where the numbers end: rest is what feed left.
func (u *unpacker) end(rest []byte) error {
	if len(rest) > 0 {
		return fault.New(fault.Malformed, "number %d of the tensor does not end", u.got)
	}
	if u.got < u.want {
		return fault.New(fault.Mismatch, "%d numbers, and the tensor's shape asks for %d", u.got, u.want)
	}
	if u.held > 0 {
		u.out = append(u.out, byte(u.bits))
	}
	return nil
}

// decode is the elements that p stands for.
func (x varints) decode(p []byte) ([]byte, error) {
	u := unpacker{varints: x}
	rest, err := u.feed(p)
	if err == nil {
		err = u.end(rest)
	}
	return u.out, err
}

// run writes the elements that a file stands for.
func (x varints) run(in *layout.File) func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
	return func(ctx context.Context, ws layout.Workspace, w io.WriterAt) error {
		buf := make([]byte, min(64<<10, in.Size()+protowireMax))
		u := unpacker{varints: x}
		var off, at int64
		have := 0
		for off < in.Size() {
			n, err := in.ReadAt(ctx, ws, buf[have:], off)
			if err != nil && err != io.EOF {
				return err
			}
			off += int64(n)
			rest, err := u.feed(buf[:have+n])
			if err != nil {
				return err
			}
			have = copy(buf, rest)
			if off == in.Size() {
				if err := u.end(buf[:have]); err != nil {
					return err
				}
			}
			if _, err := w.WriteAt(u.out, at); err != nil {
				return err
			}
			at += int64(len(u.out))
			u.out = u.out[:0]
		}
		return nil
	}
}
