//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHugeModel: 400 GB of float32, most of it holes. Sizes, layouts and reads anywhere work, in bounded memory.
func TestHugeModel(t *testing.T) {
	needMount(t)
	const tensors, rows = 400, 250_000 // of 1,000 float32 each: 1 GB
	var header strings.Builder
	for i := range tensors {
		fmt.Fprintf(&header, `%s"layers.%d.weight":{"dtype":"F32","shape":[%d,1000],"data_offsets":[%d,%d]}`, map[bool]string{true: "{", false: ","}[i == 0], i, rows, int64(i)*rows*4000, int64(i+1)*rows*4000)
	}
	header.WriteString("}")
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	head := append([]byte{0, 0, 0, 0, 0, 0, 0, 0}, header.String()...)
	head[0], head[1], head[2] = byte(header.Len()), byte(header.Len()>>8), byte(header.Len()>>16)
	const elements = int64(tensors) * rows * 1000
	store := folder(t, "store")
	file := filepath.Join(store, "huge/v1/model.safetensors")
	put(t, file, head)
	size := int64(len(head)) + 4*elements
	if err := os.Truncate(file, size); err != nil {
		t.Fatalf("ISOMERFS_TEST_SCRATCH must be on a disk that takes a sparse file of 400 GB: %v", err)
	}
	// Values at the beginning, in the middle and at the end, so that a hole is not mistaken for the right answer.
	values := layers(4<<20, 1, 42)[0].data
	_, halves := cast(values, "F32", "fp16")
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	marks := []int64{0, elements/2 + 12_345, elements - int64(len(values))/4}
	for _, at := range marks {
		if _, err := f.WriteAt(values, int64(len(head))+4*at); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	os.Chtimes(file, settled, settled)

	m := mounted(t, store)
	const huge = "huge/v1/safetensors/fp16/model.safetensors"
	first := ask[[]got](t, moment, "content", []piece{{m.at(huge), 0, 256 << 10}})[0]
	entries, _, data, err := headerOf(first.Data)
	if err != nil || len(entries) != tensors || first.Size != data+2*elements {
		t.Fatalf("%d tensors, %d bytes, data at %d: %v %s", len(entries), first.Size, data, err, first.Errno)
	}
	var pieces []piece
	for _, at := range marks {
		pieces = append(pieces, piece{m.at(huge), data + 2*at, int64(len(halves))})
	}
	pieces = append(pieces, piece{m.at(huge), data + elements/3, 1 << 20}, piece{m.at("huge/v1/tensors/layers.399.weight"), 1_000_000_000 - int64(len(values)), int64(len(values))},
		piece{m.at("huge/v1/source/model.safetensors"), size - int64(len(values)), int64(len(values))})
	for i, got := range ask[[]got](t, time.Minute, "content", pieces) {
		want := [][]byte{halves, halves, halves, make([]byte, 1<<20), values, values}[i]
		if got.Errno != "" || !bytes.Equal(got.Data, want) {
			t.Errorf("%s at %d: %d bytes, not those of the source: %s", pieces[i].Path, pieces[i].Off, len(got.Data), got.Errno)
		}
	}
	spans := answer[[]span](t, "layout", m.at(huge))
	if last := spans[len(spans)-1]; last.Off+last.Size != data+2*elements {
		t.Errorf("the layout ends at %d of %d", last.Off+last.Size, data+2*elements)
	}
	if used := allocated(m.cache); used > 2<<30 {
		t.Errorf("reads of some MiB put %d bytes into the cache", used)
	}
	if most := memory(t, m.pid, "VmHWM"); most > 200<<20 {
		t.Errorf("the daemon took %d MiB of memory", most>>20)
	}
}

// TestManyModels: 10,000 models of 3 versions mount and list in little time, and no file of theirs is opened for it.
func TestManyModels(t *testing.T) {
	needMount(t)
	const count, versions, header = 10_000, 3, 8000
	store := folder(t, "store")
	one := tensor{"w", "U8", []int64{1}, []byte{'x'}}
	file := safetensors([]tensor{one})
	text := append(file[8:len(file)-1:len(file)-1], bytes.Repeat([]byte{' '}, header)...)[:header]
	tiny := filepath.Join(folder(t, "tiny"), "tiny")
	put(t, tiny, slices.Concat([]byte{header & 255, header >> 8, 0, 0, 0, 0, 0, 0}, text, one.data))
	for i := range count {
		for v := 1; v <= versions; v++ {
			dir := fmt.Sprintf("%s/model-%05d/v%d", store, i, v)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(tiny, dir+"/model.safetensors"); err != nil {
				t.Fatal(err)
			}
		}
	}
	began := time.Now()
	m := mounted(t, store)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the mount takes %v", took)
	}
	read := func() (n int64) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", m.pid))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscanf(string(text), "rchar: %d", &n)
		return n
	}
	rest := func() int64 { // what the mount itself reads is no cost of a listing
		last := read()
		for range 20 {
			time.Sleep(200 * time.Millisecond)
			now := read()
			if now == last {
				break
			}
			last = now
		}
		return last
	}
	before := rest()
	began = time.Now()
	listed := ask[names](t, moment, "list", m.point)
	if took := time.Since(began); took > 5*time.Second || len(listed.Names) < count {
		t.Errorf("a listing of %d names takes %v", len(listed.Names), took)
	}
	shell(t, `ls -f "$FROM" > /dev/null`, moment, "FROM="+m.point)
	if cost := read() - before; cost > 4<<20 {
		t.Errorf("the daemon read %d bytes for a listing: it opened files", cost)
	}
	if got := ask[names](t, 5*time.Second, "list", m.at("model-05000")); !slices.Equal(got.Names, []string{"latest", "v1", "v2", "v3"}) {
		t.Errorf("a model among many lists %v %s", got.Names, got.Errno)
	}
	if got := ask[[]got](t, moment, "content", []piece{{Path: m.at("model-09999/v2/tensors/w")}})[0]; string(got.Data) != "x" {
		t.Errorf("a model among many has %q %s", got.Data, got.Errno)
	}
	if most := memory(t, m.pid, "VmHWM"); most > 200<<20 {
		t.Errorf("the daemon took %d MiB of memory", most>>20)
	}
}
