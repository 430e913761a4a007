//go:build linux && amd64 && cgo

// Command bench measures the casts of package quant against the same casts in C with AVX2 and F16C intrinsics.
//
//	go run ./codecs/quant/_bench [-json] [-rounds N] [-cast f32] [-must RATIO]
//
// The two take turns on the same buffers, in this process and thread. A ratio is the time that C takes over the time
// that package quant takes, the median over the rounds: 1 is as fast, more is faster. Rates are GB/s (10^9 bytes) of
// the wider side. "dram" sweeps 512 MiB of the wider side; "l2" repeats a piece of 256 KiB.
//
// A sample counts when the thread had a processor to itself: when its wall time is within 2 % of its CPU time. Where
// that cannot be had the line says so ("busy"), and its ratio is of CPU times.
//
// ISOMERFS_CPU chooses the kernels, as everywhere.
package main

/*
#cgo CFLAGS: -O3 -march=x86-64-v3
#include "peer.h"
*/
import "C"

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	dram  = 512 << 20 // bytes of the wider side
	l2    = 256 << 10
	sweep = 512 << 20 // bytes of the wider side in one sample of l2
)

// peers are the functions of peer.h. cgo can call them, but not take their addresses.
var peers = map[string]func(dst, src unsafe.Pointer, n C.size_t){
	"f64→f32/1":      func(d, s unsafe.Pointer, n C.size_t) { C.peer_f64_f32(d, s, n) },
	"f64→f16/1":      func(d, s unsafe.Pointer, n C.size_t) { C.peer_f64_f16(d, s, n) },
	"f64→bf16/1":     func(d, s unsafe.Pointer, n C.size_t) { C.peer_f64_bf16(d, s, n) },
	"f32→f16/1":      func(d, s unsafe.Pointer, n C.size_t) { C.peer_f32_f16(d, s, n) },
	"f32→bf16/1":     func(d, s unsafe.Pointer, n C.size_t) { C.peer_f32_bf16(d, s, n) },
	"f16→f32/1":      func(d, s unsafe.Pointer, n C.size_t) { C.peer_f16_f32(d, s, n) },
	"f16→bf16/1":     func(d, s unsafe.Pointer, n C.size_t) { C.peer_f16_bf16(d, s, n) },
	"bf16→f32/1":     func(d, s unsafe.Pointer, n C.size_t) { C.peer_bf16_f32(d, s, n) },
	"bf16→f16/1":     func(d, s unsafe.Pointer, n C.size_t) { C.peer_bf16_f16(d, s, n) },
	"f8_e4m3→f32/1":  func(d, s unsafe.Pointer, n C.size_t) { C.peer_e4m3_f32(d, s, n) },
	"f8_e4m3→f16/1":  func(d, s unsafe.Pointer, n C.size_t) { C.peer_e4m3_f16(d, s, n) },
	"f8_e4m3→bf16/1": func(d, s unsafe.Pointer, n C.size_t) { C.peer_e4m3_bf16(d, s, n) },
	"f8_e5m2→f32/1":  func(d, s unsafe.Pointer, n C.size_t) { C.peer_e5m2_f32(d, s, n) },
	"f8_e5m2→f16/1":  func(d, s unsafe.Pointer, n C.size_t) { C.peer_e5m2_f16(d, s, n) },
	"f8_e5m2→bf16/1": func(d, s unsafe.Pointer, n C.size_t) { C.peer_e5m2_bf16(d, s, n) },
}

// line is one row of the table.
type line struct {
	Cast    string  `json:"cast"`
	Kernels string  `json:"kernels"` // generic or avx2
	Buffers string  `json:"buffers"` // dram or l2
	Ratio   float64 `json:"ratio"`   // time of C / time of package quant
	Rate    float64 `json:"gb_per_second"`
	Peer    float64 `json:"c_gb_per_second"`
	Rounds  int     `json:"rounds"`
	Quiet   bool    `json:"quiet"`
}

func main() {
	log.SetFlags(0)
	asJSON := flag.Bool("json", false, "print one JSON array")
	rounds := flag.Int("rounds", 11, "counted rounds, after one that is not")
	only := flag.String("cast", "", "only the casts whose name holds this")
	must := flag.Float64("must", 0, "fail when a dram ratio is below this")
	flag.Parse()

	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	inputs, outputs := memory(dram), memory(dram)
	lines := []line{}
	for _, e := range quant.Encodings {
		peer, ok := peers[e.Op.String()]
		if !ok || !strings.Contains(e.Op.String(), *only) {
			continue // what becomes float64 has no kernel: no view needs it
		}
		in, out := int(e.From.Block().Bytes), int(e.To.Block().Bytes)
		n := dram / max(in, out)
		src, dst := inputs[:n*in], outputs[:n*out]
		compare(e, peer, src, dst)
		fill(src, e.From)
		for _, size := range []struct {
			name     string
			n, times int
		}{{"dram", n, 1}, {"l2", l2 / max(in, out), sweep / l2}} {
			src, dst := src[:size.n*in], dst[:size.n*out]
			ours := func() { apply(e.Op, dst, src) }
			theirs := func() { peer(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), C.size_t(size.n)) }
			l := race(*rounds, size.times, ours, theirs)
			l.Cast, l.Kernels, l.Buffers = e.Op.String(), quant.Active().String(), size.name
			bytes := float64(size.n*max(in, out)) * float64(size.times)
			l.Rate, l.Peer = bytes/l.Rate, bytes/l.Peer
			lines = append(lines, l)
		}
	}

	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(lines); err != nil {
			log.Fatal(err)
		}
	} else {
		fmt.Printf("casts, kernels %s, against C intrinsics (AVX2, F16C)\n", quant.Active())
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(out, "cast\tbuffers\tratio\tGB/s\tC GB/s\t\t\n")
		for _, l := range lines {
			busy := ""
			if !l.Quiet {
				busy = "busy"
			}
			fmt.Fprintf(out, "%s\t%s\t%.2f\t%.1f\t%.1f\t%s\t\n", l.Cast, l.Buffers, l.Ratio, l.Rate, l.Peer, busy)
		}
		out.Flush()
	}
	for _, l := range lines {
		if l.Buffers == "dram" && l.Ratio < *must {
			log.Fatalf("%s: %.3f of C, and %.2f is the least", l.Cast, l.Ratio, *must)
		}
	}
}

// race is the median ratio of peer's time to ours; Rate and Peer are the median times in ns.
func race(rounds, times int, ours, peer func()) line {
	l := line{Rounds: rounds, Quiet: true}
	var ratios, a, b []float64
	for round := range rounds + 1 {
		first, second := ours, peer
		if round%2 == 1 { // whoever comes second finds the other's traces
			first, second = peer, ours
		}
		x, quietX := sample(times, first)
		y, quietY := sample(times, second)
		if round%2 == 1 {
			x, y = y, x
		}
		if round == 0 {
			continue
		}
		l.Quiet = l.Quiet && quietX && quietY
		ratios, a, b = append(ratios, y/x), append(a, x), append(b, y)
	}
	l.Ratio, l.Rate, l.Peer = median(ratios), median(a), median(b)
	return l
}

// sample is the time in ns of so many runs: wall time if the thread was alone on its processor in one of some tries,
// else the least CPU time.
func sample(times int, run func()) (ns float64, quiet bool) {
	least := math.Inf(1)
	for range 10 {
		cpu, wall := threadTime(), time.Now()
		for range times {
			run()
		}
		w, c := float64(time.Since(wall)), float64(threadTime()-cpu)
		if w <= 1.02*c {
			return w, true
		}
		least = min(least, c)
	}
	return least, false
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		log.Fatal("thread time: ", err)
	}
	return time.Duration(t.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func apply(op layout.Op, dst, src []byte) {
	if err := op.Apply(dst, [][]byte{src}); err != nil {
		log.Fatal(err)
	}
}

// memory is n bytes in huge pages where the kernel gives them, present.
func memory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		log.Fatalf("%d bytes of memory: %v", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a kernel without them is as good, if slower for both
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return b
}

// compare wants the same bytes of both for elements of any bits.
func compare(e quant.Encoding, peer func(dst, src unsafe.Pointer, n C.size_t), src, dst []byte) {
	const n = 1 << 16
	src, dst = src[:n*e.From.Block().Bytes], dst[:n*e.To.Block().Bytes]
	r := rand.New(rand.NewPCG(1, 1))
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	if len(src) == 2*n {
		for i := range n {
			binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
		}
	}
	apply(e.Op, dst, src)
	want := bytes.Clone(dst)
	clear(dst)
	peer(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), n)
	if !bytes.Equal(dst, want) {
		log.Fatalf("%s: C and package quant give different bytes", e.Op)
	}
}

// fill makes weights: normal deviates of a standard deviation of 0.05. Of the float8, which nothing here narrows to,
// any bits.
func fill(b []byte, d model.DType) {
	r := rand.New(rand.NewPCG(2, 2))
	piece := make([]byte, 1<<20)
	if d.Float() {
		weights := make([]byte, (len(piece))/int(d.Block().Bytes)*8)
		for i := 0; i < len(weights); i += 8 {
			binary.LittleEndian.PutUint64(weights[i:], math.Float64bits(0.05*r.NormFloat64()))
		}
		if op, ok := quant.Cast(model.F64, d); ok {
			apply(op, piece, weights)
		} else {
			piece = weights
		}
	} else {
		for i := range piece {
			piece[i] = byte(r.Uint32())
		}
	}
	for len(b) > 0 {
		b = b[copy(b, piece):]
	}
}
