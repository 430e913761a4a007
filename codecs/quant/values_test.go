package quant

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/isomerfs/isomerfs/model"
)

// values are the elements of a type that the casts are tried on: all there are, or those around every decision that a
// cast takes, and many at random.
func values(d model.DType) []uint64 {
	var v []uint64
	switch bits := 8 * d.Block().Bytes; bits {
	case 8, 16:
		for b := range uint64(1) << bits {
			v = append(v, b)
		}
	case 32:
		v = values32()
	case 64:
		v = values64()
	}
	return v
}

// decisions are the values of a 16-bit type, and the halves between them and beyond the largest, as float64.
func decisions(d model.DType) []float64 {
	var v []float64
	infinity := uint64(0x7c00)
	if d == model.BF16 {
		infinity = 0x7f80
	}
	for b := range infinity {
		x := math.Float64frombits(oracle(d, model.F64, b))
		next := math.Float64frombits(oracle(d, model.F64, b+1))
		if math.IsInf(next, 0) { // as far as from the one before
			next = 2*x - math.Float64frombits(oracle(d, model.F64, b-1))
		}
		v = append(v, x, x+(next-x)/2)
	}
	return v
}

func values32() []uint64 {
	var v []uint64
	around := func(b uint64) {
		for i := uint64(0); i < 5; i++ {
			v = append(v, (b-2+i)&(1<<32-1), (b-2+i)&(1<<32-1)|1<<31)
		}
	}
	for _, d := range []model.DType{model.F16, model.BF16} {
		for _, x := range decisions(d) {
			around(uint64(math.Float32bits(float32(x))))
		}
	}
	for b := range uint64(1) << 16 { // each upper half with each kind of lower half
		for _, low := range []uint64{0, 1, 0x1fff, 0x2000, 0x7fff, 0x8000, 0x8001, 0xffff} {
			v = append(v, b<<16|low)
		}
	}
	r := rand.New(rand.NewPCG(3, 3))
	for range 1 << 19 {
		v = append(v, uint64(r.Uint32()))
	}
	for range 1 << 16 { // subnormals and NaNs of both signs, any payload
		v = append(v, uint64(r.Uint32()&0x807fffff), uint64(r.Uint32()|0x7f800000))
	}
	return v
}

func values64() []uint64 {
	var v []uint64
	around := func(x float64) { // the neighbours, and where a detour by float32 would fall upon x or just not
		b := math.Float64bits(x)
		for _, c := range []uint64{b, b - 1<<28, b + 1<<28} {
			for i := uint64(0); i < 3; i++ {
				v = append(v, c-1+i, (c-1+i)^1<<63)
			}
		}
	}
	for _, d := range []model.DType{model.F16, model.BF16} {
		for _, x := range decisions(d) {
			around(x)
		}
	}
	r := rand.New(rand.NewPCG(4, 4))
	for range 1 << 14 { // halves between float32
		x, y := math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()&0x807fffff)
		for _, x := range []float32{x, y} {
			around((float64(x) + float64(math.Nextafter32(x, 0))) / 2)
		}
	}
	for range 1 << 18 {
		v = append(v, r.Uint64())
		v = append(v, r.Uint64()&^(0x7ff<<52)|uint64(1023-160+r.IntN(300))<<52) // within reach of float32
	}
	for range 1 << 16 {
		v = append(v, r.Uint64()|0x7ff<<52, r.Uint64()&^(0x7ff<<52), 0x7ff<<52|uint64(1)<<r.IntN(52))
	}
	return v
}

func put(b []byte, i, width int, v uint64) {
	switch width {
	case 1:
		b[i] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b[2*i:], uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b[4*i:], uint32(v))
	case 8:
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
}

func get(b []byte, i, width int) uint64 {
	switch width {
	case 1:
		return uint64(b[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return binary.LittleEndian.Uint64(b[8*i:])
}

func TestValues(t *testing.T) {
	for _, e := range Encodings {
		in, out := formats[e.From].bytes(), formats[e.To].bytes()
		v := values(e.From)
		v = append(v, make([]uint64, -len(v)&63)...) // so that none but the last can be left to the reference
		src, want := make([]byte, in*len(v)), make([]uint64, len(v))
		for i, b := range v {
			put(src, i, in, b)
			want[i] = oracle(e.From, e.To, b)
		}
		dst := make([]byte, out*len(v))
		for tier := range min(Best(), AVX2) + 1 {
			t.Run(fmt.Sprintf("%s/%s", tier, e.Op), func(t *testing.T) {
				clear(dst)
				c := newCast(tier, e.Op.String(), in, out, e.Op.(*cast).pure)
				if err := c.Apply(dst, [][]byte{src}); err != nil {
					t.Fatal(err)
				}
				for i, want := range want {
					if got := get(dst, i, out); got != want {
						t.Fatalf("%#0*x: %#0*x, want %#0*x", 2+2*in, v[i], 2+2*out, got, 2+2*out, want)
					}
				}
			})
		}
	}
}
