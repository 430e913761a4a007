package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// distributedFolder is testdata/dcp, as testdata/dcp.py had PyTorch write it.
func distributedFolder(t testing.TB) folder {
	t.Helper()
	f := folder{}
	for _, name := range []string{".metadata", "__0_0.distcp", "__1_0.distcp"} {
		text, err := os.ReadFile(filepath.Join("testdata", "dcp", name))
		if err != nil {
			t.Fatal(err)
		}
		f[name] = text
	}
	return f
}

// counted is 0, 1, 2 ... in a type.
func counted(d model.DType, n int) (b []byte) {
	for i := range n {
		switch d {
		case model.F32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
		case model.BF16:
			b = binary.LittleEndian.AppendUint16(b, uint16(math.Float32bits(float32(i))>>16))
		case model.I64:
			b = binary.LittleEndian.AppendUint64(b, uint64(i))
		}
	}
	return b
}

// TestDistributed: parts of two processes, split along any axis and replicated, are the tensors that were distributed.
func TestDistributed(t *testing.T) {
	m, err := ReadDistributed(ctx, distributedFolder(t), ".metadata")
	if err != nil {
		t.Fatal(err)
	}
	if m.Format != DistributedFormat || !slices.Equal(m.Files, []string{".metadata", "__0_0.distcp", "__1_0.distcp"}) {
		t.Errorf("%s of %q", m.Format, m.Files)
	}
	want := map[string]model.Tensor{
		"rows": {DType: model.F32, Shape: []int64{5, 3}}, "columns": {DType: model.F32, Shape: []int64{3, 5}},
		"middle": {DType: model.BF16, Shape: []int64{2, 3, 4}}, "same": {DType: model.I64, Shape: []int64{4}}, "empty": {DType: model.F32, Shape: []int64{0, 2}},
	}
	if len(m.Tensors) != len(want) {
		t.Errorf("%d tensors, want %d", len(m.Tensors), len(want))
	}
	for _, x := range m.Tensors {
		w, ok := want[x.Name]
		if !ok || x.DType != w.DType || !slices.Equal(x.Shape, w.Shape) {
			t.Errorf("%s is %s%v, want %s%v", x.Name, x.DType, x.Shape, w.DType, w.Shape)
			continue
		}
		n, _ := model.Elements(x.Shape)
		got, err := bytesIn(x.Data)
		if err != nil || !bytes.Equal(got, counted(x.DType, int(n))) {
			t.Errorf("%s holds %x, %v", x.Name, got, err)
		}
	}
	if len(m.Imports) == 0 {
		t.Error("nothing is said of what the pickles would import")
	}
}

// TestDistributedFaults: a file of parts that is missing, cut or another one.
func TestDistributedFaults(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(f folder)
		kind   fault.Kind
	}{
		"a file of parts is missing": {func(f folder) { delete(f, "__1_0.distcp") }, fault.Missing},
		"a file of parts is cut":     {func(f folder) { f["__1_0.distcp"] = f["__1_0.distcp"][:1000] }, fault.Truncated},
		"the metadata is cut":        {func(f folder) { f[".metadata"] = f[".metadata"][:1000] }, fault.Truncated},
		"the metadata is no pickle":  {func(f folder) { f[".metadata"] = []byte("{}") }, fault.Malformed},
		"the metadata is of another": {func(f folder) { f[".metadata"] = []byte("\x80\x02}.") }, fault.Unsupported},
		"a path leads out": {func(f folder) {
			f[".metadata"] = bytes.ReplaceAll(f[".metadata"], []byte("__1_0.distcp"), []byte("../0.distcp!"))
		}, fault.Unsafe},
		"a part is another's": {func(f folder) { f["__0_0.distcp"] = f["__1_0.distcp"] }, fault.Truncated},
	} {
		f := distributedFolder(t)
		c.break_(f)
		_, err := ReadDistributed(ctx, f, ".metadata")
		if err == nil || name != "a part is another's" && !errors.Is(err, c.kind) {
			t.Errorf("%s: %v (%v), want %v", name, err, fault.KindOf(err), c.kind)
		}
	}
}

// TestJoined: any rectangle that is cut from side to side again and again, and whose parts are shuffled, is put
// together again; with a part less it is missing something.
func TestJoined(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		rank := 1 + rng.IntN(4)
		whole := block{lo: make([]int64, rank)}
		n := int64(1)
		for range rank {
			d := 1 + rng.Int64N(6)
			whole.size = append(whole.size, d)
			n *= d
		}
		data := counted(model.F32, int(n))
		var parts []block
		var cut func(b block, depth int)
		cut = func(b block, depth int) {
			axis := rng.IntN(rank)
			if depth == 0 || b.size[axis] < 2 {
				b.data = layout.Bytes(cutOut(data, whole.size, b))
				parts = append(parts, b)
				return
			}
			at := 1 + rng.Int64N(b.size[axis]-1)
			one, two := block{lo: slices.Clone(b.lo), size: slices.Clone(b.size)}, block{lo: slices.Clone(b.lo), size: slices.Clone(b.size)}
			one.size[axis], two.lo[axis], two.size[axis] = at, b.lo[axis]+at, b.size[axis]-at
			cut(one, depth-1)
			cut(two, depth-1)
		}
		cut(whole, rng.IntN(5))
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		f, err := joined(parts, whole, 4)
		if err != nil {
			t.Fatalf("%d parts of %v: %v", len(parts), whole.size, err)
		}
		if got, err := bytesIn(f); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d parts of %v are %x, %v", len(parts), whole.size, got, err)
		}
		if f, err := joined(parts[1:], whole, 4); err == nil {
			t.Fatalf("%v without a part is %d bytes", whole.size, f.Size())
		}
	}
}

// cutOut is the bytes of a rectangle of a tensor of 4-byte elements.
func cutOut(data []byte, shape []int64, b block) (out []byte) {
	at := slices.Clone(b.lo)
	for {
		off := int64(0)
		for i, n := range shape {
			off = off*n + at[i]
		}
		out = append(out, data[4*off:4*off+4]...)
		axis := len(shape) - 1
		for ; axis >= 0; axis-- {
			if at[axis]++; at[axis] < b.lo[axis]+b.size[axis] {
				break
			}
			at[axis] = b.lo[axis]
		}
		if axis < 0 {
			return out
		}
	}
}
