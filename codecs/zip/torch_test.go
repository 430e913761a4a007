package zip

import (
	"bytes"
	"os"
	"testing"

	"github.com/isomerfs/isomerfs/layout"
)

// TestTorchLarge: an archive beyond 4 GiB is torch.save's own, byte for byte. testdata/torch-large.head is what PyTorch
// 2.15 wrote before and .tail what it wrote after the zeros of
//
//	torch.save({'a': torch.zeros(1_100_000_000), 'z': torch.zeros(0), 'b': torch.ones(5), 'c': torch.ones(3).half()}, 'big.pt')
func TestTorchLarge(t *testing.T) {
	head, err := os.ReadFile("testdata/torch-large.head")
	if err != nil {
		t.Fatal(err)
	}
	tail, err := os.ReadFile("testdata/torch-large.tail")
	if err != nil {
		t.Fatal(err)
	}
	const zeros = 4_400_000_000
	data, err := layout.New(layout.Zeros(zeros))
	if err != nil {
		t.Fatal(err)
	}
	// What is in the members, at the places where that archive has it.
	entries := []Entry{
		{Name: "big/data.pkl", Data: layout.Bytes(head[64 : 64+359])},
		{Name: "big/.format_version", Data: layout.Bytes([]byte("1"))},
		{Name: "big/.storage_alignment", Data: layout.Bytes([]byte("64"))},
		{Name: "big/byteorder", Data: layout.Bytes([]byte("little"))},
		{Name: "big/data/0", Data: data},
		{Name: "big/data/1", Data: layout.Bytes(nil)},
		{Name: "big/data/2", Data: layout.Bytes(bytes.Repeat([]byte{0, 0, 0x80, 0x3f}, 5))},
		{Name: "big/data/3", Data: layout.Bytes(bytes.Repeat([]byte{0, 0x3c}, 3))},
		{Name: "big/version", Data: layout.Bytes([]byte("3\n"))},
		{Name: "big/.data/serialization_id", Data: layout.Bytes([]byte("1077862729799854162513274844480971412324"))},
	}
	for i := range entries {
		entries[i].Align = 64
	}
	f, err := Write(Torch, entries...)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(head)) + zeros // a few of the zeros are part of the tail
	if want := 4_400_000_000 + int64(len(tail)); f.Size() != want {
		t.Fatalf("%d bytes, want %d", f.Size(), want)
	}
	same := func(off int64, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := f.ReadAt(ctx, &workspace{}, got, off); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("from %d:\n%x\nwant\n%x", off, got, want)
		}
	}
	same(0, head)
	same(end, tail[end-4_400_000_000:])
}
