package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type bench struct {
	binary, python, folder string
	rounds                 int
	scale                  float64
	memo                   map[string]any
	busy                   float64 // the worst spin ratio of the rounds of the present row
}

// round runs turn once uncounted and then b.rounds times, and gives what each counted turn gave. Rounds on a busy
// machine are done again, as often as they are asked for.
func round[T any](b *bench, turn func(i int) (T, error)) ([]T, error) {
	var quiet, all []T
	worst := 0.0
	for i := 0; i <= 2*b.rounds && len(quiet) < b.rounds; i++ {
		before := b.spin()
		got, err := turn(i)
		if err != nil {
			return nil, err
		}
		noise := max(before, b.spin())
		if i == 0 {
			continue
		}
		all = append(all, got)
		if noise < 1.25 {
			quiet = append(quiet, got)
		} else {
			worst = max(worst, noise)
		}
	}
	if len(quiet) >= (b.rounds+1)/2 {
		return quiet, nil
	}
	b.busy = max(b.busy, worst)
	return all, nil
}

// remember runs make once and keeps what it gave, for rows that share a measurement.
func remember[T any](b *bench, key string, make func() (T, error)) (T, error) {
	type kept struct {
		value T
		err   error
		busy  float64
	}
	if k, ok := b.memo[key].(kept); ok {
		b.busy = k.busy
		return k.value, k.err
	}
	value, err := make()
	b.memo[key] = kept{value, err, b.busy}
	return value, err
}

// tool runs one of the peers and gives the numbers it prints.
func (b *bench) tool(name string, args ...string) ([]float64, error) {
	out, err := b.command(filepath.Join(b.folder, name), args...)
	if err != nil {
		return nil, err
	}
	var numbers []float64
	for _, word := range strings.Fields(string(out)) {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return nil, fmt.Errorf("%s %v printed %q", name, args, out)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("%s %v printed nothing", name, args)
	}
	return numbers, nil
}

func (b *bench) command(name string, args ...string) ([]byte, error) {
	var errs bytes.Buffer
	c := exec.Command(name, args...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %v %s", filepath.Base(name), strings.Join(args[:min(2, len(args))], " "), err, errs.String())
	}
	return out, nil
}

func (b *bench) spin() float64 {
	one, err1 := b.tool("io", "spin", "1")
	two, err2 := b.tool("io", "spin", "2")
	if err1 != nil || err2 != nil {
		return 1
	}
	return two[0] / one[0]
}

// model writes, once, a SafeTensors file of count float32 tensors of random values, n bytes in all, as
// STORE/NAME/v1/model.safetensors, and gives its path.
func (b *bench) model(store, name string, n int64, count int) (string, error) {
	path := filepath.Join(b.folder, store, name, "v1", "model.safetensors")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	each := max(1, int64(float64(n)*b.scale)/int64(count)/4096) * 1024 // elements of a tensor
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	for i := range count {
		header[fmt.Sprintf("layers.%05d.weight", i)] = map[string]any{"dtype": "F32", "shape": []int64{each / 1024, 1024}, "data_offsets": []int64{int64(i) * each * 4, int64(i+1) * each * 4}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	text = append(text, bytes.Repeat([]byte{' '}, (8-len(text)%8)%8)...)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	binary.Write(w, binary.LittleEndian, uint64(len(text)))
	w.Write(text)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(count)))
	piece := make([]byte, 1<<20)
	for i := 0; i < len(piece); i += 4 {
		binary.LittleEndian.PutUint32(piece[i:], rng.Uint32()&0x807fffff|(120+rng.Uint32N(10))<<23)
	}
	for left := each * 4 * int64(count); left > 0; left -= int64(len(piece)) {
		w.Write(piece[:min(left, int64(len(piece)))])
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return path, os.Chtimes(path, settled, settled)
}

// mount is a store mounted with a fresh cache.
type mount struct {
	point, cache string
	pid          int
	b            *bench
}

func (b *bench) mount(store, options string) (*mount, error) {
	m := &mount{b: b}
	var err error
	if m.point, err = os.MkdirTemp(b.folder, "mnt-"); err != nil {
		return nil, err
	}
	if m.cache, err = os.MkdirTemp(b.folder, "cache-"); err != nil {
		return nil, err
	}
	opts := "cache_dir=" + m.cache
	if options != "" {
		opts += "," + options
	}
	if _, err := b.command(b.binary, "mount", store, m.point, "-o", opts); err != nil {
		return nil, err
	}
	out, err := b.command(b.binary, "status", "--json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Mountpoint string
		Pid        int
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	for _, s := range list {
		if s.Mountpoint == m.point {
			m.pid = s.Pid
		}
	}
	return m, nil
}

func (m *mount) unmount() {
	m.b.command(m.b.binary, "umount", m.point)
	for range 200 {
		if syscall.Kill(m.pid, 0) != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	os.Remove(m.point)
	os.RemoveAll(m.cache)
}

func (m *mount) view(name string) string {
	return filepath.Join(m.point, name, "v1/safetensors/fp16/model.safetensors")
}

// cpu is the daemon's user and system time so far, in seconds.
func (m *mount) cpu() float64 {
	total := 0.0
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", m.pid))
	for _, t := range tasks {
		if data, err := os.ReadFile(t); err == nil {
			ns, _ := strconv.ParseFloat(strings.Fields(string(data))[0], 64)
			total += ns / 1e9
		}
	}
	return total
}

// anonymous is the daemon's anonymous memory in MiB.
func (m *mount) anonymous() float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	for _, line := range strings.Split(string(data), "\n") {
		if kb, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024
		}
	}
	return 0
}

// peak samples the daemon's anonymous memory while work runs.
func (m *mount) peak(work func() error) (float64, error) {
	var most float64
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			most = max(most, m.anonymous())
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	err := work()
	close(done)
	wg.Wait()
	return most, err
}

// children is the CPU time of all children that have ended.
func children() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// cached reads files so that they lie in the page cache, for both sides.
func cached(paths ...string) {
	for _, path := range paths {
		if f, err := os.Open(path); err == nil {
			io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, make([]byte, 1<<20))
			f.Close()
		}
	}
}

// warmMemory uses as much page cache as the next turn will, and frees it. Memory of a virtual machine that lay free for
// seconds may have gone back to its host, and then costs whoever uses it next.
func (b *bench) warmMemory(bytes int64) {
	path := filepath.Join(b.folder, "throwaway")
	f, err := os.Create(path)
	if err != nil {
		return
	}
	piece := make([]byte, 8<<20)
	for left := bytes; left > 0; left -= int64(len(piece)) {
		if _, err := f.Write(piece); err != nil {
			break
		}
	}
	f.Close()
	os.Remove(path)
}

// header writes the first bytes of a view, its header, to a file, and gives the file and where the source's data begin.
func (b *bench) header(view, source string) (path string, data int64, err error) {
	length := func(file string) (int64, error) {
		out, err := b.command("head", "-c", "8", file)
		if err != nil || len(out) < 8 {
			return 0, fmt.Errorf("the header of %s: %v", file, err)
		}
		return 8 + int64(binary.LittleEndian.Uint64(out)), nil
	}
	n, err := length(view)
	if err != nil {
		return "", 0, err
	}
	if data, err = length(source); err != nil {
		return "", 0, err
	}
	out, err := b.command("head", "-c", strconv.FormatInt(n, 10), view)
	if err != nil {
		return "", 0, err
	}
	f, err := os.CreateTemp(b.folder, "head-")
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	_, err = f.Write(out)
	return f.Name(), data, err
}
