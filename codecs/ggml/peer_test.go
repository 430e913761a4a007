package ggml

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// peer is llama.cpp in a process of its own (testdata/peer.c).
type peer struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// startPeer compiles the peer against the llama.cpp that ISOMERFS_TEST_LLAMACPP names (integration/llamacpp.sh builds
// it and prints where). Without one the test is skipped, unless ISOMERFS_TEST_REQUIRE lists llamacpp.
func startPeer(t *testing.T) *peer {
	t.Helper()
	home := os.Getenv("ISOMERFS_TEST_LLAMACPP")
	if home == "" {
		if slices.Contains(strings.Split(os.Getenv("ISOMERFS_TEST_REQUIRE"), ","), "llamacpp") {
			t.Fatal("ISOMERFS_TEST_LLAMACPP names no llama.cpp (ISOMERFS_TEST_REQUIRE says that this machine has llamacpp)")
		}
		t.Skip("ISOMERFS_TEST_LLAMACPP names no llama.cpp to compare with")
	}
	program := filepath.Join(t.TempDir(), "peer")
	gcc := exec.Command("gcc", "-O1", "-o", program, "testdata/peer.c", "-I"+home+"/llama.cpp/ggml/include", "-L"+home+"/bin", "-lggml-base", "-Wl,-rpath,"+home+"/bin")
	if said, err := gcc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the peer: %v", err)
		}
	})
	return &peer{t, in, bufio.NewReaderSize(out, 1<<20)}
}

// ask sends a request and reads its answer of size bytes.
func (p *peer) ask(op byte, t Type, rows, row int, weighted bool, size int64, data ...[]byte) (kept bool, answer []byte) {
	p.t.Helper()
	head := []byte{op}
	for _, n := range []int{int(t), rows, row, map[bool]int{true: 1}[weighted]} {
		head = binary.LittleEndian.AppendUint32(head, uint32(n))
	}
	go func() {
		for _, b := range append([][]byte{head}, data...) {
			p.in.Write(b) // an error shows as an answer that is cut short
		}
	}()
	answer = make([]byte, 1+size)
	if _, err := io.ReadFull(p.out, answer); err != nil {
		p.t.Fatalf("the peer's answer for %s: %v", t, err)
	}
	return answer[0] != 0, answer[1:]
}

// quantize are the blocks that llama.cpp makes, and whether llama-quantize would write them.
func (p *peer) quantize(t Type, row int, x, w []float32) (kept bool, blocks []byte) {
	size, err := t.Bytes(int64(len(x)))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.ask('q', t, len(x)/row, row, w != nil, size, bytesOf(x), bytesOf(w))
}

// dequantize are the elements of blocks.
func (p *peer) dequantize(t Type, blocks []byte) []byte {
	b := t.Block()
	n := int64(len(blocks)) / b.Bytes * b.Elems
	_, x := p.ask('d', t, 1, int(n), false, 4*n, blocks)
	return x
}
