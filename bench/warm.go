package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ready mounts a model, has its view sealed, and copies it to a native file.
func (b *bench) ready(size, options string) (m *mount, native string, err error) {
	store, _, err := b.sized(size)
	if err != nil {
		return nil, "", err
	}
	if m, err = b.mount(store, options); err != nil {
		return nil, "", err
	}
	native = filepath.Join(b.folder, "native/m/v1/safetensors/fp16/model.safetensors") // as deep: a path costs by its length
	if err = os.MkdirAll(filepath.Dir(native), 0o755); err == nil {
		_, err = b.tool("io", "ready", m.view("m"))
	}
	if err == nil {
		_, err = b.command("cp", m.view("m"), native)
	}
	if err != nil {
		m.unmount()
	}
	return m, native, err
}

func warm(verb string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) { return b.compare(verb, "", verb != "stat") }
}

func buffered(b *bench) (float64, error) { return b.compare("seq", "passthrough=off", true) }

// compare runs a reader on a ready view and on a native file of the same bytes, many turns to a round since they are
// short. The ratio is of times, or of speeds.
func (b *bench) compare(verb, options string, speeds bool) (float64, error) {
	m, native, err := b.ready(large, options)
	if err != nil {
		return 0, err
	}
	defer m.unmount()
	defer os.Remove(native)
	args := map[string]string{"random": "20000", "stat": "200000"}[verb]
	run := func(path string) (float64, error) {
		list := []string{verb, path}
		if args != "" {
			list = append(list, args)
		}
		n, err := b.tool("io", list...)
		if err != nil {
			return 0, err
		}
		return n[0], nil
	}
	ratios, err := round(b, func(int) (float64, error) {
		var ours, theirs []float64
		for range 5 {
			o, err := run(m.view("m"))
			if err != nil {
				return 0, err
			}
			n, err := run(native)
			if err != nil {
				return 0, err
			}
			ours, theirs = append(ours, o), append(theirs, n)
		}
		if speeds {
			return median(theirs) / median(ours), nil
		}
		return median(ours) / median(theirs), nil
	})
	return median(ratios), err
}

func opens(b *bench) (float64, error) {
	m, native, err := b.ready(small, "")
	if err != nil {
		return 0, err
	}
	defer m.unmount()
	defer os.Remove(native)
	point, err := os.MkdirTemp(b.folder, "bare-")
	if err != nil {
		return 0, err
	}
	bare := exec.Command(filepath.Join(b.folder, "barefuse"), b.folder, point)
	stdin, err := bare.StdinPipe()
	if err != nil {
		return 0, err
	}
	stdout, err := bare.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := bare.Start(); err != nil {
		return 0, err
	}
	defer func() { stdin.Close(); bare.Wait(); os.Remove(point) }()
	if _, err := stdout.Read(make([]byte, 6)); err != nil {
		return 0, fmt.Errorf("barefuse did not mount: %v", err)
	}
	ratios, err := round(b, func(int) (float64, error) {
		o, err := b.tool("io", "open", m.view("m"), "5000")
		if err != nil {
			return 0, err
		}
		n, err := b.tool("io", "open", filepath.Join(point, strings.TrimPrefix(native, b.folder)), "5000")
		if err != nil {
			return 0, err
		}
		return o[0] / n[0], nil
	})
	return median(ratios), err
}

func thousand(b *bench) (float64, error) {
	const count = 1000
	store := filepath.Join(b.folder, "thousand")
	var sources []string
	for i := range count {
		path, err := b.model("thousand", fmt.Sprintf("m%04d", i), 1_000_000, 8)
		if err != nil {
			return 0, err
		}
		sources = append(sources, path)
	}
	script := "import sys, time\nimport numpy\nfrom safetensors.numpy import load_file, save\nt = time.perf_counter()\nfor p in sys.argv[1:]: save({k: v.astype(numpy.float16) for k, v in load_file(p).items()})\nprint(time.perf_counter() - t)"
	ratios, err := round(b, func(int) (float64, error) {
		cached(sources...)
		out, err := b.command(b.python, append([]string{"-c", script}, sources...)...)
		if err != nil {
			return 0, err
		}
		peer, err := strconv.ParseFloat(string(out[:len(out)-1]), 64)
		if err != nil {
			return 0, err
		}
		m, err := b.mount(store, "")
		if err != nil {
			return 0, err
		}
		defer m.unmount()
		args := []string{"each", "1048576"}
		for i := range count {
			args = append(args, m.view(fmt.Sprintf("m%04d", i)))
		}
		n, err := b.tool("io", args...)
		if err != nil {
			return 0, err
		}
		return n[0] / peer, nil
	})
	return median(ratios), err
}

func resident(b *bench) (float64, error) {
	m, native, err := b.ready(small, "")
	if err != nil {
		return 0, err
	}
	defer m.unmount()
	os.Remove(native)
	if _, err := b.tool("io", "seq", m.view("m")); err != nil {
		return 0, err
	}
	total, size := 0.0, 0.0
	files, _ := filepath.Glob(filepath.Join(m.cache, "*/*/*/*"))
	for _, path := range append(files, m.view("m")) {
		if path != m.view("m") && length(path) < 1<<20 {
			continue
		}
		n, err := b.tool("io", "resident", path)
		if err != nil {
			return 0, err
		}
		if path == m.view("m") {
			size = float64(length(path))
			continue // through passthrough these are the cache file's own pages
		}
		total += n[0]
	}
	return total / size, nil
}

func tenThousand(b *bench) (float64, error) {
	tiny, err := b.model("tiny", "m", 4096, 1)
	if err != nil {
		return 0, err
	}
	store, empty := filepath.Join(b.folder, "ten-thousand"), filepath.Join(b.folder, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return 0, err
	}
	for i := range 10_000 {
		for v := 1; v <= 3; v++ {
			dir := filepath.Join(store, fmt.Sprintf("model-%05d", i), fmt.Sprint("v", v))
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.Link(tiny, filepath.Join(dir, "model.safetensors"))); err != nil {
				return 0, err
			}
		}
	}
	defer os.RemoveAll(store)
	run := func(store, list string) (float64, error) {
		start := time.Now()
		m, err := b.mount(store, "")
		if err != nil {
			return 0, err
		}
		if list == "" {
			list = m.point
		}
		_, err = b.command("ls", list)
		took := time.Since(start).Seconds()
		m.unmount()
		return took, err
	}
	ratios, err := round(b, func(int) (float64, error) {
		ours, err := run(store, "")
		if err != nil {
			return 0, err
		}
		floor, err := run(empty, store)
		return ours / floor, err
	})
	return median(ratios), err
}
