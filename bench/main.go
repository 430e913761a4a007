// Command bench measures isomerfs as ratios: each figure is the median over rounds of one thing's time over that of a
// peer or a floor measured in the same round. Absolute times say more about the machine than about the program and are
// not printed. See README.md beside this file.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is one bar: what is measured against what, and how small (or large) the ratio must be.
type row struct {
	name      string
	must, aim float64
	higher    bool // a larger ratio is better
	run       func(*bench) (float64, error)
}

// rows is what `make bench` prints, in this order. Rows share what they measured (see memo).
var rows = []row{
	{"cold first read of an fp16 view, persisted / C program, file to file with fsync, 2.6 GB", 1.3, 1.0, false, cold("wall", large)},
	{"  the same in CPU seconds", 3, 2, false, cold("cpu", large)},
	{"  the same, 0.26 GB", 1.3, 1.0, false, cold("wall", small)},
	{"  daemon's peak anonymous memory meanwhile, MiB, 2.6 GB", 64, 40, false, cold("peak", large)},
	{"  peak memory, 2.6 GB / 0.26 GB (within 12 MiB counts as none)", 1.1, 1.0, false, peaks},
	{"cold fp16 view to its last byte / torch load_file, half, save_file, 2.6 GB", 0.30, 0.17, false, torch},
	{"cold fp16 view of a PyTorch file, as one, to its last byte / torch.load, half, torch.save, 2.6 GB", 0.30, 0.17, false, pytorch},
	{"cold ONNX fp16 view to its last byte / Python onnx and float16 converter, 1.3 GB inline", 0.15, 0.08, false, onnx},
	{"growth: wall at 2x bytes (1.8 to 2.2)", 2.2, 2.0, false, growth},
	{"CPU per byte: 4,500 small tensors / 93 large ones, 0.26 GB", 1.6, 1.2, false, smallTensors},
	{"time to the first 1 MiB: 2.6 GB / 0.26 GB model", 1.2, 1.05, false, firstOf("small")},
	{"  2.6 GB model / C program that reads, converts and writes as much", 5, 3, false, firstOf("floor")},
	{"  first 1 MiB of one model while another fills / alone", 2, 1.3, false, firstBeside},
	{"8 cold readers of 8 models, aggregate speed / one after another", 0.9, 1.2, true, eight},
	{"CPU seconds of 64 first readers, a 64th each / one reader", 1.1, 1.02, false, crowd},
	{"repeated stat / native", 1.3, 1.1, false, warm("stat")},
	{"warm 1 MiB sequential, speed / native", 0.93, 0.98, true, warm("seq")},
	{"warm 4 KiB random, speed / native", 0.65, 0.9, true, warm("random")},
	{"warm mmap touch, speed / native", 0.93, 0.98, true, warm("map")},
	{"without passthrough: warm 1 MiB sequential, speed / native", 0.45, 0.7, true, buffered},
	{"open + 4 KiB + close of a ready file / bare go-fuse passthrough", 1.3, 1.1, false, opens},
	{"1,000 models of 1 MB, cold, open to close / safetensors and numpy in one process", 1.0, 0.6, false, thousand},
	{"resident page cache after seal and reopen / output", 1.05, 1.0, false, resident},
	{"10,000 models of 3 versions: mount + ls / empty mount + native ls", 3, 1.5, false, tenThousand},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	b := &bench{memo: map[string]any{}}
	flag.StringVar(&b.binary, "isomerfs", "bin/isomerfs", "the program")
	flag.StringVar(&b.python, "python", "python3", "an interpreter with numpy and safetensors, and torch for the row that names it")
	flag.IntVar(&b.rounds, "rounds", 5, "counted rounds")
	flag.Float64Var(&b.scale, "scale", 1, "shrinks every model, for a quick look")
	scratch := flag.String("scratch", os.TempDir(), "a folder on a real disk with 12 GB free")
	only := flag.String("only", "", "a regular expression: rows to measure")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	filter, err := regexp.Compile(*only)
	if err != nil {
		log.Fatal(err)
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		log.Fatal(err)
	}
	if b.folder, err = os.MkdirTemp(*scratch, "isomerfs-bench-"); err != nil {
		log.Fatal(err)
	}
	code := 0
	func() {
		defer os.RemoveAll(b.folder)
		if err := b.build(); err != nil {
			log.Print(err)
			code = 1
			return
		}
		code = b.table(filter, *asJSON)
	}()
	os.Exit(code)
}

// result is a row as measured.
type result struct {
	Name   string   `json:"name"`
	Ratio  *float64 `json:"ratio"`
	Must   float64  `json:"must"`
	Aim    float64  `json:"aim"`
	Higher bool     `json:"higher_is_better"`
	Note   string   `json:"note"`
}

func (r result) verdict() string {
	switch {
	case r.Ratio == nil:
		return "not measured"
	case r.Higher && *r.Ratio >= r.Aim || !r.Higher && *r.Ratio <= r.Aim:
		return "aim"
	case r.Higher && *r.Ratio >= r.Must || !r.Higher && *r.Ratio <= r.Must:
		return "ok"
	}
	return "SHORT"
}

func (b *bench) table(filter *regexp.Regexp, asJSON bool) (code int) {
	var all []result
	if !asJSON {
		fmt.Printf("%d CPUs, %s, %d rounds, scale %g\n\n| ratio | must | aim | |what |\n|---:|---:|---:|---|---|\n", runtime.NumCPU(), cpuModel(), b.rounds, b.scale)
	}
	for _, r := range rows {
		if !filter.MatchString(r.name) {
			continue
		}
		b.busy = 0
		out := result{Name: strings.TrimSpace(r.name), Must: r.must, Aim: r.aim, Higher: r.higher}
		ratio, err := r.run(b)
		if err != nil {
			out.Note = err.Error()
		} else {
			out.Ratio = &ratio
			if b.busy > 1.25 {
				out.Note = fmt.Sprintf("busy machine: two threads of arithmetic took %.2f times as long as one", b.busy)
			}
		}
		if out.verdict() == "SHORT" && out.Note == "" {
			code = 1
		}
		all = append(all, out)
		if !asJSON {
			cell, sign := "", "≤"
			if out.Ratio != nil {
				cell = fmt.Sprintf("%.3f", *out.Ratio)
			}
			if r.higher {
				sign = "≥"
			}
			name := r.name
			if out.Note != "" {
				name += " (" + strings.ReplaceAll(out.Note, "\n", " ") + ")"
			}
			fmt.Printf("| %s | %s %g | %s %g | %s | %s |\n", cell, sign, r.must, sign, r.aim, out.verdict(), name)
		}
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		enc.Encode(all)
	}
	return code
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(data); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

func median(list []float64) float64 {
	list = slices.Clone(list)
	slices.Sort(list)
	if n := len(list); n%2 == 1 {
		return list[n/2]
	} else if n > 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return 0
}

// build compiles the peers.
func (b *bench) build() error {
	for name, args := range map[string][]string{
		"io":       {"gcc", "-O2", "-o", "%", "bench/peers/io.c", "-lpthread"},
		"cast":     {"gcc", "-O3", "-mavx2", "-mf16c", "-o", "%", "bench/peers/cast.c"},
		"barefuse": {"go", "build", "-o", "%", "./bench/barefuse"},
	} {
		out := filepath.Join(b.folder, name)
		for i := range args {
			if args[i] == "%" {
				args[i] = out
			}
		}
		if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("building the peer %s: %v\n%s", name, err, text)
		}
	}
	return nil
}

// settled is a time long past, so that stored files count as whole.
var settled = time.Unix(1_700_000_000, 0)
