package torch

import (
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/codecs/zip"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

// lawful checks what holds of every model that was read, whatever the file: names are unique, sizes are those of types
// and shapes, what is read twice is the same, and a fault has a kind and a reason.
func lawful(t *testing.T, files folder, name string) {
	m, err := load(files, name)
	again, errAgain := load(files, name)
	if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
		t.Fatalf("read twice: %v, %v", err, errAgain)
	}
	if err != nil {
		if fault.KindOf(err) == fault.Unknown || fault.Reason(err) == "" {
			t.Fatalf("%v has no kind", err)
		}
		return
	}
	seen := map[string]bool{}
	for i := range m.Tensors {
		x := &m.Tensors[i]
		if seen[x.Name] {
			t.Fatalf("two tensors %q", x.Name)
		}
		seen[x.Name] = true
		n, err := model.Elements(x.Shape)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := x.DType.Bytes(n); err != nil || size != x.Data.Size() {
			t.Fatalf("%s %s %v: %d bytes (%v)", x.Name, x.DType, x.Shape, x.Data.Size(), err)
		}
		if x.Data.ID() != again.Tensors[i].Data.ID() {
			t.Fatalf("%s is another when it is read again", x.Name)
		}
		if x.Data.Size() > 1<<20 {
			continue
		}
		if _, err := bytesIn(x.Data); err != nil && fault.KindOf(err) == fault.Unknown {
			t.Fatalf("%s: %v", x.Name, err)
		}
	}
	for _, l := range m.Left {
		if l.Reason == "" {
			t.Fatalf("%s is left for no reason", l.Name)
		}
	}
}

// seeds adds the saved files that pick chooses.
func seeds(f *testing.F, pick func(name string, data []byte) []byte) {
	text, err := os.ReadFile("testdata/saved.tsv")
	if err != nil {
		f.Fatal(err)
	}
	seen := map[string]bool{}
	for row := range strings.Lines(string(text)) {
		fields := strings.Split(row, "\t")
		name := "testdata/saved/" + fields[0] + "/v1/" + fields[1]
		if seen[name] {
			continue
		}
		seen[name] = true
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if seed := pick(name, data); seed != nil {
			f.Add(seed)
		}
	}
}

// FuzzFile: whole files, of every container.
func FuzzFile(f *testing.F) {
	seeds(f, func(name string, data []byte) []byte {
		if len(data) > 16<<10 {
			return nil
		}
		return data
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		lawful(t, folder{"m.pt": data}, "m.pt")
	})
}

// FuzzPickle: what a pickle says of the storages of a sound archive around it.
func FuzzPickle(f *testing.F) {
	seeds(f, func(name string, data []byte) []byte {
		src := stored{name, data}
		a, err := zip.Open(ctx, src, 0, src.Size())
		if err != nil {
			return nil
		}
		for i := range a.Members {
			if m := &a.Members[i]; strings.HasSuffix(m.Name, "/data.pkl") {
				pkl, err := a.Bytes(ctx, m, 1<<20)
				if err == nil {
					return pkl
				}
			}
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, pkl []byte) {
		if len(pkl) > 64<<10 {
			return
		}
		entries := []zip.Entry{{Name: "m/data.pkl", Data: layout.Bytes(pkl)}, {Name: "m/version", Data: layout.Bytes([]byte("3\n"))}}
		for i, size := range []int{16, 24, 8, 96, 288, 4, 160, 12} {
			storage := make([]byte, size)
			for j := range storage {
				storage[j] = byte(3*i + j)
			}
			entries = append(entries, zip.Entry{Name: "m/data/" + string(rune('0'+i)), Data: layout.Bytes(storage)})
		}
		file, err := zip.Write(zip.Torch, entries...)
		if err != nil {
			t.Fatal(err)
		}
		data, err := bytesIn(file)
		if err != nil {
			t.Fatal(err)
		}
		lawful(t, folder{"m.pt": data}, "m.pt")
	})
}

// TestSweep: files with one wrong byte, wherever it is, are refused or still lawful, and so are files that are cut.
func TestSweep(t *testing.T) {
	files := store(t, "testdata/saved")
	for name, step := range map[string]int{
		"protocol-2-legacy/v1/model.pt": 3, "protocol-4-legacy/v1/model.pt": 3, "tar-of-the-oldest/v1/model.tar": 17, "protocol-2-zip/v1/model.pt": 7, "detectron/v1/model_final.pkl": 3,
	} {
		data := files[name]
		for at := 0; at < len(data); at += step {
			for _, b := range []byte{0, 255, data[at] + 1, data[at] - 1} {
				bad := append([]byte(nil), data...)
				bad[at] = b
				lawful(t, folder{"m.pt": bad}, "m.pt")
			}
			lawful(t, folder{"m.pt": data[:at]}, "m.pt")
		}
	}
	for name, step := range map[string]int{"quantized/v1/model.pt": 7, "sparse/v1/model.pt": 31, "views-zip/v1/model.pt": 13, "subclasses/v1/model.pt": 3, "arrays/v1/protocol2.pt": 7} {
		src := stored{name, files[name]}
		a, err := zip.Open(ctx, src, 0, src.Size())
		if err != nil {
			t.Fatal(err)
		}
		pkl, err := a.Bytes(ctx, &a.Members[0], 1<<20) // torch.save writes it first
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(pkl); at += step {
			for _, b := range []byte{0, 255, pkl[at] + 1, pkl[at] ^ 0x20} {
				bad := append([]byte(nil), pkl...)
				bad[at] = b
				lawful(t, folder{"m.pt": around(t, bad, a)}, "m.pt")
			}
		}
	}
}

// around is an archive with another pickle.
func around(t *testing.T, pkl []byte, a *zip.Archive) []byte {
	t.Helper()
	var entries []zip.Entry
	for i := range a.Members {
		m := &a.Members[i]
		data, err := a.File(m)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.Name, "/data.pkl") {
			data = layout.Bytes(pkl)
		}
		entries = append(entries, zip.Entry{Name: m.Name, Data: data})
	}
	f, err := zip.Write(zip.Torch, entries...)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := bytesIn(f)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// FuzzDense: a sparse tensor made dense in windows is what it is in one piece.
func FuzzDense(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3, 3, 0, 0, 7}, uint8(4), uint8(5), uint8(3))
	f.Fuzz(func(t *testing.T, places []byte, rows, columns, run uint8) {
		if rows == 0 || columns == 0 || run == 0 {
			return
		}
		n := int64(len(places) / 2)
		var indices, values []byte
		for _, axis := range []int{0, 1} {
			limit := []uint8{rows, columns}[axis]
			for i := range int(n) {
				indices = binary.LittleEndian.AppendUint64(indices, uint64(places[2*i+axis]%limit))
			}
		}
		for i := range n * int64(run) {
			values = binary.LittleEndian.AppendUint32(values, uint32(i*i+1))
		}
		shape := []int64{int64(rows), int64(columns), int64(run)}
		want := make([]byte, 4*shape[0]*shape[1]*shape[2])
		for i := range int(n) {
			at := (int64(places[2*i]%rows)*shape[1] + int64(places[2*i+1]%columns)) * shape[2]
			for k := range shape[2] {
				sum := le.Uint32(want[4*(at+k):]) + le.Uint32(values[4*(int64(i)*shape[2]+k):])
				le.PutUint32(want[4*(at+k):], sum)
			}
		}
		d := &dense{elem: 4, add: adders[model.I32], values: layout.Bytes(values), size: int64(len(want))}
		err := d.coordinates(&Tensor{DType: model.I64, Shape: []int64{2, n}, Data: layout.Bytes(indices)}, &Tensor{DType: model.I32, Shape: []int64{n, shape[2]}, Data: layout.Bytes(values)}, shape)
		if err != nil {
			t.Fatal(err)
		}
		for _, window := range []int64{4, 12, 1 << 20} {
			got := make(buffer, len(want))
			if err := d.fill(context.Background(), nil, got, window); err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Fatalf("in windows of %d bytes it is another", window)
			}
		}
	})
}
