//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFio: fio writes blocks with checksums to a plain file. As a stored file, and as the bytes of a tensor, the mount
// serves them, and fio finds every checksum right by read, by mmap and asynchronously, in order and at random.
func TestFio(t *testing.T) {
	needMount(t, "fio")
	dir := folder(t, "fio")
	blob := filepath.Join(dir, "blob.bin")
	run := func(file, engine, order string) done {
		cmd := program("fio", "--name=verify", "--filename="+file, "--size=64M", "--bs=64k", "--rw="+order, "--verify=crc32c", "--ioengine="+engine,
			"--verify_state_save=0", "--verify_fatal=1", "--minimal")
		switch order {
		case "write":
			cmd.Args = append(cmd.Args, "--do_verify=0")
		default:
			cmd.Args = append(cmd.Args, "--verify_only", "--readonly")
		}
		cmd.Dir = dir
		return finish(cmd, time.Minute)
	}
	if d := run(blob, "psync", "write"); !d.ok() {
		t.Fatal(d)
	}
	data, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	put(t, filepath.Join(store, "blob/v1/blob.bin"), data)
	// The tensor begins at an odd place of the stored file, so that nothing is aligned by chance.
	put(t, filepath.Join(store, "blob/v1/model.safetensors"), safetensors([]tensor{{"before", "U8", []int64{12345}, make([]byte, 12345)}, {"blob", "U8", []int64{int64(len(data))}, data}}))

	engines := []string{"psync", "mmap", "libaio"}
	if said := command(moment, "fio", "--enghelp"); !strings.Contains(said.out, "libaio") {
		engines = engines[:2]
	}
	for _, path := range []string{"blob/v1/source/blob.bin", "blob/v1/tensors/blob"} {
		for _, engine := range engines {
			for _, order := range []string{"randread", "read"} {
				t.Run(strings.Join([]string{filepath.Dir(path)[8:], engine, order}, "-"), func(t *testing.T) {
					m := mounted(t, store)
					for _, when := range []string{"first", "again"} {
						if d := run(m.at(path), engine, order); !d.ok() {
							t.Errorf("%s: %v", when, d)
						}
					}
				})
			}
		}
	}
	// The check is sharp: a flipped bit is found.
	flip(t, blob)
	if d := run(blob, "psync", "read"); d.ok() {
		t.Error("fio finds nothing wrong with a damaged file")
	}
}
