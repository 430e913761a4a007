package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/model"
)

// zeroFolder is a folder below testdata, as testdata/zero.py had PyTorch write it, and the file it is read by.
func zeroFolder(t testing.TB, stage string) (folder, string) {
	t.Helper()
	f := folder{}
	names, _ := filepath.Glob(filepath.Join("testdata", "zero"+stage, "*.pt"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f["step/"+filepath.Base(name)] = text
	}
	for name := range f {
		if MatchZeRO(name) {
			return f, name
		}
	}
	t.Fatal("no model states in testdata/zero" + stage)
	return nil, ""
}

// TestZeRO: partitions of three processes are the parameters that were partitioned, in order, whatever the padding.
func TestZeRO(t *testing.T) {
	floats := func(from, n int) (b []byte) {
		for i := range n {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(from+i)))
		}
		return b
	}
	frozen := []byte{}
	for _, half := range []uint16{0x5640, 0x5650, 0x5660, 0x5670, 0x5680, 0x5690, 0x56a0, 0x56b0, 0x56c0, 0x56d0} { // 100 to 109
		frozen = binary.LittleEndian.AppendUint16(frozen, half)
	}
	running := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(2.5))
	want := []struct {
		name  string
		dtype model.DType
		shape []int64
		data  []byte
	}{
		{"running", model.F32, []int64{2}, running}, {"steps", model.I64, []int64{}, []byte{7, 0, 0, 0, 0, 0, 0, 0}},
		{"f", model.F16, []int64{2, 5}, frozen},
		{"a", model.F32, []int64{3, 5}, floats(0, 15)}, {"b", model.F32, []int64{7}, floats(15, 7)},
		{"c", model.F32, []int64{2, 2}, floats(22, 4)}, {"d", model.F32, []int64{}, floats(26, 1)},
		{"tied", model.F32, []int64{7}, floats(15, 7)},
	}
	for _, stage := range []string{"2", "3"} {
		f, name := zeroFolder(t, stage)
		m, err := ReadZeRO(ctx, f, name)
		if err != nil {
			t.Errorf("stage %s: %v", stage, err)
			continue
		}
		if m.Format != ZeROFormat || len(m.Files) != len(f) || m.Metadata["zero_stage"] != stage || m.Metadata["ds_version"] != "0.17.0" {
			t.Errorf("stage %s: %s of %q, %v", stage, m.Format, m.Files, m.Metadata)
		}
		if len(m.Tensors) != len(want) {
			t.Errorf("stage %s: %d tensors, want %d", stage, len(m.Tensors), len(want))
			continue
		}
		for i, w := range want {
			x := m.Tensors[i]
			got, err := bytesIn(x.Data)
			if x.Name != w.name || x.DType != w.dtype || !slices.Equal(x.Shape, w.shape) || err != nil || !bytes.Equal(got, w.data) {
				t.Errorf("stage %s: %s %s%v %x, %v; want %s %s%v %x", stage, x.Name, x.DType, x.Shape, got, err, w.name, w.dtype, w.shape, w.data)
			}
		}
	}
}

// TestZeROFaults: a process's file that is missing, or that belongs to another training.
func TestZeROFaults(t *testing.T) {
	for name, c := range map[string]struct {
		stage  string
		break_ func(f folder)
		kind   fault.Kind
	}{
		"a process's vectors are missing": {"2", func(f folder) { delete(f, "step/zero_pp_rank_2_mp_rank_00_optim_states.pt") }, fault.Missing},
		"a process's states are missing":  {"3", func(f folder) { delete(f, "step/zero_pp_rank_2_mp_rank_00_model_states.pt") }, fault.Missing},
		"nothing is partitioned": {"2", func(f folder) {
			for name := range f {
				if !MatchZeRO(name) {
					delete(f, name)
				}
			}
		}, fault.Unsupported},
		"model parallelism": {"2", func(f folder) { f["step/mp_rank_01_model_states.pt"] = f["step/mp_rank_00_model_states.pt"] }, fault.Unsupported},
		"vectors of another stage": {"3", func(f folder) {
			other, _ := zeroFolder(t, "2")
			f["step/zero_pp_rank_1_mp_rank_00_optim_states.pt"] = other["step/zero_pp_rank_1_mp_rank_00_optim_states.pt"]
		}, fault.Mismatch},
		"vectors that are cut": {"3", func(f folder) {
			const file = "step/zero_pp_rank_1_mp_rank_00_optim_states.pt"
			f[file] = f[file][:900]
		}, fault.Truncated},
	} {
		f, file := zeroFolder(t, c.stage)
		c.break_(f)
		if _, err := ReadZeRO(ctx, f, file); !errors.Is(err, c.kind) && !(c.kind == fault.Truncated && err != nil) {
			t.Errorf("%s: %v (%v), want %v", name, err, fault.KindOf(err), c.kind)
		}
	}
}
