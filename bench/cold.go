package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// A model of 2.6 GB, one of half and one of a tenth, of as many tensors each.
const (
	large = "2600"
	half  = "1300"
	small = "260"
	few   = 93
	many  = 4500
)

func (b *bench) sized(size string) (store, path string, err error) {
	mb, _ := strconv.ParseInt(size, 10, 64)
	store = "few-" + size
	path, err = b.model(store, "m", mb*1_000_000, few)
	return filepath.Join(b.folder, store), path, err
}

// took is what a conversion cost: seconds to the last byte and until kept, CPU seconds, peak memory in MiB.
type took struct{ read, wall, cpu, peak float64 }

// coldRead reads the fp16 view of a model in a fresh mount and waits until it is sealed.
func (b *bench) coldRead(store, source string) (t took, err error) {
	cached(source)
	b.warmMemory(length(source) / 2)
	m, err := b.mount(store, "")
	if err != nil {
		return t, err
	}
	defer m.unmount()
	cpu, own := m.cpu(), children()
	t.peak, err = m.peak(func() error {
		n, err := b.tool("io", "ready", m.view("m"))
		if err == nil {
			t.read, t.wall = n[0], n[1]
		}
		return err
	})
	t.cpu = m.cpu() - cpu + children() - own
	return t, err
}

// floor is the C program on the same source.
func (b *bench) floor(store, source string) (t took, err error) {
	type head struct {
		path string
		data int64
	}
	h, err := remember(b, "head of "+source, func() (head, error) {
		m, err := b.mount(store, "")
		if err != nil {
			return head{}, err
		}
		defer m.unmount()
		path, data, err := b.header(m.view("m"), source)
		return head{path, data}, err
	})
	if err != nil {
		return t, err
	}
	cached(source)
	b.warmMemory(length(source) / 2)
	out := filepath.Join(b.folder, "floor")
	own := children()
	n, err := b.tool("cast", source, h.path, out, strconv.FormatInt(h.data, 10), "sync")
	os.Remove(out)
	if err != nil {
		return t, err
	}
	return took{wall: n[0], cpu: children() - own}, nil
}

// colds is cold reads of a model beside the floor, round by round.
func (b *bench) colds(size string) ([][2]took, error) {
	return remember(b, "colds of "+size, func() ([][2]took, error) {
		store, source, err := b.sized(size)
		if err != nil {
			return nil, err
		}
		return round(b, func(i int) (pair [2]took, err error) {
			for k := range 2 {
				if (k+i)%2 == 0 {
					pair[0], err = b.coldRead(store, source)
				} else {
					pair[1], err = b.floor(store, source)
				}
				if err != nil {
					return pair, err
				}
			}
			return pair, nil
		})
	})
}

func cold(what, size string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		pairs, err := b.colds(size)
		var list []float64
		for _, p := range pairs {
			switch what {
			case "wall":
				list = append(list, p[0].wall/p[1].wall)
			case "cpu":
				list = append(list, p[0].cpu/p[1].cpu)
			case "peak":
				list = append(list, p[0].peak)
			}
		}
		return median(list), err
	}
}

func peaks(b *bench) (float64, error) {
	high, err := cold("peak", large)(b)
	if err != nil {
		return 0, err
	}
	low, err := cold("peak", small)(b)
	return (high - min(max(high-low, 0), 12)) / low, err
}

func torch(b *bench) (float64, error) {
	if err := exec.Command(b.python, "-c", "import torch, safetensors").Run(); err != nil {
		return 0, errors.New("-python has no torch and safetensors")
	}
	store, source, err := b.sized(large)
	if err != nil {
		return 0, err
	}
	out := filepath.Join(b.folder, "half.safetensors")
	script := "import sys\nfrom safetensors.torch import load_file, save_file\nsave_file({k: v.half() for k, v in load_file(sys.argv[1]).items()}, sys.argv[2], metadata={'format': 'pt'})"
	ratios, err := round(b, func(int) (float64, error) {
		cached(source)
		start := time.Now()
		_, err := b.command(b.python, "-c", script, source, out)
		peer := time.Since(start).Seconds()
		os.Remove(out)
		if err != nil {
			return 0, err
		}
		ours, err := b.coldRead(store, source)
		return ours.read / peer, err
	})
	return median(ratios), err
}

// makePyTorch writes a state_dict of 93 matrices of float32, 2.6 GB at scale 1; halvePyTorch is what a user would run today.
const makePyTorch = `
import sys, torch
count, side = 93, max(64, int((float(sys.argv[2]) * 2.6e9 / 4 / 93) ** 0.5))
some = torch.randn(side * side, generator=torch.Generator().manual_seed(1))
torch.save({f"layers.{i}.weight": some.roll(i).reshape(side, side) for i in range(count)}, sys.argv[1])
`

const halvePyTorch = `
import sys, torch
torch.save({name: tensor.half() for name, tensor in torch.load(sys.argv[1], weights_only=True).items()}, sys.argv[2])
`

func pytorch(b *bench) (float64, error) {
	if err := exec.Command(b.python, "-c", "import torch").Run(); err != nil {
		return 0, errors.New("-python has no torch")
	}
	return b.against("pytorch", "model.pt", makePyTorch, halvePyTorch)
}

// makeONNX writes a graph of matrix products whose float32 weights, inline, are 1.3 GB at scale 1.
const makeONNX = `
import sys, numpy, onnx
from onnx import TensorProto, helper
count, side = 93, max(64, int((float(sys.argv[2]) * 1.3e9 / 4 / 93) ** 0.5))
rng = numpy.random.default_rng(1)
some = rng.standard_normal(side * side, numpy.float32) / side ** 0.5
nodes, weights, at = [], [], "x"
for i in range(count):
    t = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[side, side])
    t.raw_data = numpy.roll(some, i).tobytes()
    weights.append(t)
    nodes.append(helper.make_node("MatMul", [at, f"w{i}"], [f"y{i}"], name=f"n{i}"))
    at = f"y{i}"
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", side])
graph = helper.make_graph(nodes, "g", [value("x")], [value(at)], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), sys.argv[1])
`

// halveONNX is what a user would run today.
const halveONNX = `
import sys, onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
onnx.save(convert_float_to_float16(onnx.load(sys.argv[1]), keep_io_types=True), sys.argv[2])
`

func onnx(b *bench) (float64, error) {
	if err := exec.Command(b.python, "-c", "import onnx; from onnxruntime.transformers import float16").Run(); err != nil {
		return 0, errors.New("-python has no onnx and onnxruntime")
	}
	return b.against("onnx", "model.onnx", makeONNX, halveONNX)
}

// against is a cold read of the fp16 view of a model, in its own format, over what a script takes to make a file of it.
func (b *bench) against(format, file, make, halve string) (float64, error) {
	store := filepath.Join(b.folder, format)
	source, out := filepath.Join(store, "m/v1", file), filepath.Join(b.folder, "half-"+file)
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		return 0, err
	}
	if _, err := b.command(b.python, "-c", make, source, fmt.Sprint(b.scale)); err != nil {
		return 0, err
	}
	if err := os.Chtimes(source, settled, settled); err != nil {
		return 0, err
	}
	ratios, err := round(b, func(int) (float64, error) {
		cached(source)
		start := time.Now()
		_, err := b.command(b.python, "-c", halve, source, out)
		peer := time.Since(start).Seconds()
		os.Remove(out)
		if err != nil {
			return 0, err
		}
		cached(source)
		m, err := b.mount(store, "")
		if err != nil {
			return 0, err
		}
		defer m.unmount()
		n, err := b.tool("io", "ready", filepath.Join(m.point, "m/v1", format, "fp16", file))
		if err != nil {
			return 0, err
		}
		return n[0] / peer, nil
	})
	return median(ratios), err
}

func growth(b *bench) (float64, error) {
	ratios, err := round(b, func(int) (float64, error) {
		var wall [2]float64
		for i, size := range []string{large, half} {
			store, source, err := b.sized(size)
			if err != nil {
				return 0, err
			}
			t, err := b.coldRead(store, source)
			if err != nil {
				return 0, err
			}
			wall[i] = t.wall
		}
		return wall[0] / wall[1], nil
	})
	return median(ratios), err
}

func smallTensors(b *bench) (float64, error) {
	fewStore, fewSource, err := b.sized(small)
	if err != nil {
		return 0, err
	}
	manySource, err := b.model("many", "m", 260_000_000, many)
	if err != nil {
		return 0, err
	}
	ratios, err := round(b, func(int) (float64, error) {
		a, err := b.coldRead(filepath.Join(b.folder, "many"), manySource)
		if err != nil {
			return 0, err
		}
		c, err := b.coldRead(fewStore, fewSource)
		if err != nil {
			return 0, err
		}
		return (a.cpu / float64(length(manySource))) / (c.cpu / float64(length(fewSource))), nil
	})
	return median(ratios), err
}

func length(path string) int64 {
	s, err := os.Stat(path)
	if err != nil {
		return 1
	}
	return s.Size()
}

// first is the seconds to the first 1 MiB of a model nobody has touched in this mount.
func (b *bench) first(size string) (float64, error) {
	store, source, err := b.sized(size)
	if err != nil {
		return 0, err
	}
	cached(source)
	m, err := b.mount(store, "")
	if err != nil {
		return 0, err
	}
	defer m.unmount()
	n, err := b.tool("io", "first", m.view("m"))
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

func firstOf(against string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		_, source, err := b.sized(large)
		if err != nil {
			return 0, err
		}
		data, err := os.Open(source)
		if err != nil {
			return 0, err
		}
		defer data.Close()
		short, head, out := filepath.Join(b.folder, "short"), filepath.Join(b.folder, "short-head"), filepath.Join(b.folder, "short-out")
		buf := make([]byte, 2<<20+64<<10)
		if _, err := data.ReadAt(buf, 0); err != nil {
			return 0, err
		}
		if err := errors.Join(os.WriteFile(short, buf, 0o644), os.WriteFile(head, buf[:64<<10], 0o644)); err != nil {
			return 0, err
		}
		ratios, err := round(b, func(int) (float64, error) {
			var ours, peer []float64
			for range 4 { // milliseconds: more of them cost nothing
				n, err := b.first(large)
				if err != nil {
					return 0, err
				}
				ours = append(ours, n)
				if against == "small" {
					if n, err = b.first(small); err != nil {
						return 0, err
					}
					peer = append(peer, n)
					continue
				}
				os.Remove(out)
				p, err := b.tool("cast", short, head, out, strconv.Itoa(64<<10))
				if err != nil {
					return 0, err
				}
				peer = append(peer, p[0])
			}
			return median(ours) / median(peer), nil
		})
		return median(ratios), err
	}
}

// beside makes a store of eight small models and the large one.
func (b *bench) beside() (store string, err error) {
	for i := range 8 {
		if _, err := b.model("eight", fmt.Sprint("m", i), 260_000_000, few); err != nil {
			return "", err
		}
	}
	_, source, err := b.sized(large)
	if err != nil {
		return "", err
	}
	store = filepath.Join(b.folder, "eight")
	big := filepath.Join(store, "big/v1/model.safetensors")
	if _, err := os.Stat(big); err == nil {
		return store, nil
	}
	return store, errors.Join(os.MkdirAll(filepath.Dir(big), 0o755), os.Link(source, big))
}

func firstBeside(b *bench) (float64, error) {
	store, err := b.beside()
	if err != nil {
		return 0, err
	}
	firsts := func(filling bool) (times []float64, err error) {
		paths, _ := filepath.Glob(filepath.Join(store, "*/v1/model.safetensors"))
		cached(paths...)
		b.warmMemory(int64(1.3e9 * b.scale))
		m, err := b.mount(store, "")
		if err != nil {
			return nil, err
		}
		defer m.unmount()
		fill := exec.Command(filepath.Join(b.folder, "io"), "ready", m.view("big"))
		ended := make(chan error, 1)
		if filling {
			if err := fill.Start(); err != nil {
				return nil, err
			}
			go func() { ended <- fill.Wait() }()
			defer func() { <-ended }()
			time.Sleep(150 * time.Millisecond)
		}
		for i := range 8 {
			n, err := b.tool("io", "first", m.view(fmt.Sprint("m", i)))
			if err != nil {
				return nil, err
			}
			if filling && len(ended) > 0 {
				break
			}
			times = append(times, n[0])
		}
		return times, nil
	}
	ratios, err := round(b, func(int) (float64, error) {
		busy, err := firsts(true)
		if err != nil {
			return 0, err
		}
		alone, err := firsts(false)
		if err == nil && len(busy) == 0 {
			err = errors.New("the large model was filled at once")
		}
		return median(busy) / median(alone), err
	})
	return median(ratios), err
}

func eight(b *bench) (float64, error) {
	store, err := b.beside()
	if err != nil {
		return 0, err
	}
	run := func(atOnce bool) (float64, error) {
		paths, _ := filepath.Glob(filepath.Join(store, "m*/v1/model.safetensors"))
		cached(paths...)
		b.warmMemory(int64(1.04e9 * b.scale))
		m, err := b.mount(store, "")
		if err != nil {
			return 0, err
		}
		defer m.unmount()
		start := time.Now()
		var running []*exec.Cmd
		for i := range 8 {
			c := exec.Command(filepath.Join(b.folder, "io"), "ready", m.view(fmt.Sprint("m", i)))
			if err := c.Start(); err != nil {
				return 0, err
			}
			if running = append(running, c); !atOnce {
				err = errors.Join(err, c.Wait())
			}
		}
		if atOnce {
			for _, c := range running {
				err = errors.Join(err, c.Wait())
			}
		}
		return time.Since(start).Seconds(), err
	}
	ratios, err := round(b, func(int) (float64, error) {
		one, err := run(false)
		if err != nil {
			return 0, err
		}
		all, err := run(true)
		return one / all, err
	})
	return median(ratios), err
}

func crowd(b *bench) (float64, error) {
	store, source, err := b.sized(large)
	if err != nil {
		return 0, err
	}
	spent := func(readers string) (float64, error) {
		cached(source)
		b.warmMemory(length(source) / 2)
		m, err := b.mount(store, "")
		if err != nil {
			return 0, err
		}
		defer m.unmount()
		cpu, own := m.cpu(), children()
		if _, err := b.tool("io", "crowd", m.view("m"), readers); err != nil {
			return 0, err
		}
		if _, err := b.tool("io", "ready", m.view("m"), strconv.Itoa(8<<20)); err != nil {
			return 0, err
		}
		return m.cpu() - cpu + children() - own, nil
	}
	ratios, err := round(b, func(int) (float64, error) {
		crowd, err := spent("64")
		if err != nil {
			return 0, err
		}
		one, err := spent("1")
		return crowd / one, err
	})
	return median(ratios), err
}
