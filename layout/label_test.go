package layout

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// picky copies, and fails on a block of so many bytes that has a 1 in it. It implements Op.
type picky int64

func (o picky) String() string                  { return fmt.Sprintf("picky %d/1", int64(o)) }
func (o picky) Block() (int64, []int64)         { return int64(o), []int64{int64(o)} }
func (o picky) Size(in ...int64) (int64, error) { return in[0], nil }
func (o picky) Apply(dst []byte, src [][]byte) error {
	if bytes.IndexByte(src[0], 1) >= 0 {
		return fault.New(fault.Malformed, "a one")
	}
	copy(dst, src[0])
	return nil
}

// TestLabels: however many tensors become one computation, and however a file is cut and joined again, an error bears
// the name of the tensor that is at fault.
func TestLabels(t *testing.T) {
	const block = 8
	for seed := range seeds(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, block*200)
		src := newMemory("m", data)
		var spans []Span
		var owners []string // of each block
		for len(owners) < 200 {
			n := min(1+r.IntN(30), 200-len(owners))
			name := fmt.Sprintf("w%d", len(spans)/(1+r.IntN(2))) // now and then the same name again
			spans = append(spans, Coded{Op: picky(block), Label: name, In: []*File{must(Extent{src, int64(len(owners)) * block, int64(n) * block})}})
			for range n {
				owners = append(owners, name)
			}
		}
		f := must(spans...)
		if len(f.runs) != 1 {
			t.Fatalf("%d runs", len(f.runs))
		}
		lo := int64(r.IntN(100)) * block
		n := int64(100+r.IntN(100))*block - lo
		part, err := f.Slice(lo, n)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := f.Slice(lo+n, f.Size()-lo-n)
		if err != nil {
			t.Fatal(err)
		}
		if part, err = Concat(part, rest); err != nil {
			t.Fatal(err)
		}
		bad := r.IntN(200)
		data[bad*block+r.IntN(block)] = 1
		for _, c := range []struct {
			f   *File
			off int64
		}{{f, 0}, {part, lo}} {
			_, err := c.f.ReadAt(ctx, nil, make([]byte, c.f.Size()), 0)
			if int64(bad)*block < c.off {
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				continue
			}
			if !errors.Is(err, fault.Malformed) || !strings.HasPrefix(err.Error(), owners[bad]+": ") {
				t.Fatalf("seed %d: block %d is of %s: %v", seed, bad, owners[bad], err)
			}
		}
	}
}
