//go:build linux && amd64 && cgo

// Command bench measures the ops of package ggml against llama.cpp's own functions.
//
//	codecs/ggml/_bench/run.sh [-json] [-rounds N] [-type Q4_K] [-from F16]
//
// The two take turns on the same buffers of two million weights, in this process and thread; they are compared, and
// differ in no byte. A ratio is the time that llama.cpp takes over the time that package ggml takes, the median over the
// rounds: 1 is as fast, more is faster. Times are CPU times of the thread. Rates are in millions of weights per second
// and core.
//
// From float16, llama.cpp widens with ggml_fp16_to_fp32_row before it quantizes, as llama-quantize does.
//
// ISOMERFS_CPU chooses the kernels, as everywhere.
package main

/*
#cgo LDFLAGS: -lggml-base
#include "ggml.h"

static void dequantize(int type, const void * blocks, float * x, int64_t n) {
	ggml_get_type_traits((enum ggml_type) type)->to_float(blocks, x, n);
}
*/
import "C"

import (
	"bytes"
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
	"text/tabwriter"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/codecs/ggml"
	"github.com/isomerfs/isomerfs/codecs/quant"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/model"
)

const (
	row    = 4096
	rows   = 512
	counts = row * rows
)

// line is one row of the table.
type line struct {
	Op      string  `json:"op"`
	Kernels string  `json:"kernels"`
	Ratio   float64 `json:"ratio"` // time of llama.cpp / time of package ggml
	Rate    float64 `json:"mweights_per_second"`
	Peer    float64 `json:"llamacpp_mweights_per_second"`
	Rounds  int     `json:"rounds"`
}

// contest is an op with its inputs, and the same work done by llama.cpp.
type contest struct {
	name string
	op   layout.Op
	in   [][]byte
	peer func(dst []byte)
}

func main() {
	log.SetFlags(0)
	asJSON := flag.Bool("json", false, "print one JSON array")
	rounds := flag.Int("rounds", 7, "counted rounds, after one that is not")
	only := flag.String("type", "", "only this type")
	from := flag.String("from", "F32", "the type of the weights, F32 or F16")
	flag.Parse()
	runtime.LockOSThread()
	debug.SetGCPercent(-1)

	lines := []line{}
	for _, c := range contests(*only, model.ParseDType(*from)) {
		lines = append(lines, c.race(*rounds))
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(lines); err != nil {
			log.Fatal(err)
		}
		return
	}
	fmt.Printf("kernels %s against llama.cpp\n", quant.Active())
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "op\tratio\tMweights/s\tllama.cpp\t\n")
	for _, l := range lines {
		fmt.Fprintf(out, "%s\t%.2f\t%.1f\t%.1f\t\n", l.Op, l.Ratio, l.Rate, l.Peer)
	}
	out.Flush()
}

// contests are the ops on weights of a type, normal deviates of a standard deviation of 0.05.
func contests(only string, from model.DType) (list []contest) {
	r := rand.New(rand.NewPCG(2, 2))
	x, w := make([]float32, counts), make([]float32, row)
	for i := range x {
		x[i] = float32(0.05 * r.NormFloat64())
	}
	for i := range w {
		w[i] = float32(math.Exp(r.NormFloat64()))
	}
	in := bytesOf(x)
	if from == model.F16 {
		narrow, _ := quant.Cast(model.F32, model.F16)
		in = apply(narrow, 2*counts, in)
	}
	single := make([]float32, counts)
	quantize := func(t ggml.Type, weights *C.float) func(dst []byte) {
		return func(dst []byte) {
			source := x
			if from == model.F16 {
				C.ggml_fp16_to_fp32_row((*C.ggml_fp16_t)(unsafe.Pointer(&in[0])), (*C.float)(&single[0]), counts)
				source = single
			}
			C.ggml_quantize_chunk(C.enum_ggml_type(t), (*C.float)(&source[0]), unsafe.Pointer(&dst[0]), 0, rows, row, weights)
		}
	}
	weights := bytes.Repeat(bytesOf(w), rows)
	for _, t := range ggml.Types() {
		if only != "" && t.String() != only || t.DType() != model.Invalid {
			continue
		}
		if op, ok := ggml.Quantize(t, from); ok {
			list = append(list, contest{op.String(), op, [][]byte{in}, quantize(t, nil)})
			if op, ok := ggml.Dequantize(t); ok && from == model.F32 {
				blocks := apply(must(ggml.Quantize(t, from)), size(t), in)
				list = append(list, contest{op.String(), op, [][]byte{blocks}, func(dst []byte) {
					C.dequantize(C.int(t), unsafe.Pointer(&blocks[0]), (*C.float)(unsafe.Pointer(&dst[0])), counts)
				}})
			}
		}
		if op, ok := ggml.QuantizeWeighted(t, from, row); ok {
			list = append(list, contest{op.String(), op, [][]byte{in, weights}, quantize(t, (*C.float)(&w[0]))})
		}
	}
	return list
}

func must(op layout.Op, _ bool) layout.Op { return op }

func size(t ggml.Type) int {
	n, err := t.Bytes(counts)
	if err != nil {
		log.Fatal(err)
	}
	return int(n)
}

func apply(op layout.Op, n int, in ...[]byte) []byte {
	dst := make([]byte, n)
	if err := op.Apply(dst, in); err != nil {
		log.Fatal(err)
	}
	return dst
}

// race is the median ratio of the peer's time to ours.
func (c contest) race(rounds int) line {
	sizes := make([]int64, len(c.in))
	for i := range c.in {
		sizes[i] = int64(len(c.in[i]))
	}
	n, err := c.op.Size(sizes...)
	if err != nil {
		log.Fatal(err)
	}
	one, other := make([]byte, n), make([]byte, n)
	ours := func() {
		if err := c.op.Apply(one, c.in); err != nil {
			log.Fatal(err)
		}
	}
	theirs := func() { c.peer(other) }
	var ratios, a, b []float64
	for round := range rounds + 1 {
		var x, y float64
		if round%2 == 0 { // whoever comes second finds the other's traces
			x, y = sample(ours), sample(theirs)
		} else {
			y, x = sample(theirs), sample(ours)
		}
		if round > 0 {
			ratios, a, b = append(ratios, y/x), append(a, x), append(b, y)
		} else if !bytes.Equal(one, other) {
			log.Fatalf("%s: llama.cpp and package ggml give different bytes", c.name)
		}
	}
	return line{c.name, quant.Active().String(), median(ratios), counts / median(a) * 1e3, counts / median(b) * 1e3, rounds}
}

// sample is the CPU time of a run in ns, the mean of as many as take a fiftieth of a second.
func sample(run func()) float64 {
	start := threadTime()
	for n := 1; ; n++ {
		run()
		if t := threadTime() - start; t > 20*time.Millisecond {
			return float64(t) / float64(n)
		}
	}
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

func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
}
