package fs

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// pattern fills p with the bytes from off of the file called seed: each word depends on where it is, so that no two
// pages are alike.
func pattern(seed uint64, p []byte, off int64) {
	at := uint64(off)
	for len(p) > 0 {
		x := (at/8+1)*0x9e3779b97f4a7c15 ^ seed*0xbf58476d1ce4e5b9
		x ^= x >> 29
		x *= 0x94d049bb133111eb
		if at%8 == 0 && len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, x)
			p, at = p[8:], at+8
			continue
		}
		p[0] = byte(x >> (at % 8 * 8))
		p, at = p[1:], at+1
	}
}

func patternOf(seed uint64, off, n int64) []byte {
	p := make([]byte, n)
	pattern(seed, p, off)
	return p
}

// forestOf is a tree in memory. Its nodes are added before the mount, or under mu.
type forestOf struct {
	mu      sync.Mutex
	nodes   map[string]*tree.Node
	changed func(string)
	watched chan struct{}
	slow    map[string]chan struct{} // paths whose lookup waits
	err     map[string]error         // paths whose lookup fails
}

func newForest() *forestOf {
	f := &forestOf{nodes: map[string]*tree.Node{}, watched: make(chan struct{}), slow: map[string]chan struct{}{}, err: map[string]error{}}
	f.folder("", false)
	return f
}

var stamp = time.Unix(1_700_000_000, 123_456_789)

func (f *forestOf) put(n *tree.Node) *tree.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	n.Name = filepath.Base(n.Path)
	if n.Attr.Ino == 0 {
		for i, c := range n.Path {
			n.Attr.Ino = n.Attr.Ino*31 + uint64(c)*uint64(i+1)
		}
		n.Attr.Ino |= 1 << 40
	}
	n.Attr.ModTime, n.Attr.Changed = stamp, stamp
	f.nodes[n.Path] = n
	return n
}

func (f *forestOf) folder(path string, fixed bool) *tree.Node {
	return f.put(&tree.Node{Path: path, Kind: tree.Folder, Fixed: fixed, Attr: tree.Attr{Mode: 0o555}})
}

func (f *forestOf) file(path string, file *tree.File, size int64) *tree.Node {
	file.Path = path
	return f.put(&tree.Node{Path: path, Kind: tree.Regular, Fixed: true, File: file, Attr: tree.Attr{Mode: 0o444, Size: size}})
}

func (f *forestOf) link(path, target string) *tree.Node {
	return f.put(&tree.Node{Path: path, Kind: tree.Link, Target: target, Attr: tree.Attr{Mode: 0o777}})
}

func (f *forestOf) remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.nodes, path)
}

func (f *forestOf) Root(ctx context.Context) (*tree.Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[""], nil
}

func (f *forestOf) Lookup(ctx context.Context, folder *tree.Node, name string) (*tree.Node, error) {
	path := join(folder.Path, name)
	f.mu.Lock()
	slow, err, n := f.slow[path], f.err[path], f.nodes[path]
	f.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if n == nil || path == "" {
		return nil, fault.In(path, fault.New(fault.Absent, "there is no such name"))
	}
	return n, nil
}

func (f *forestOf) List(ctx context.Context, folder *tree.Node) ([]tree.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []tree.Entry
	for path, n := range f.nodes {
		if path != "" && parent(path) == folder.Path && !strings.HasPrefix(n.Name, ".") {
			entries = append(entries, tree.Entry{Name: n.Name, Kind: n.Kind, Ino: n.Attr.Ino})
		}
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries, nil
}

func (f *forestOf) Watch(ctx context.Context, changed func(string)) error {
	f.mu.Lock()
	f.changed = changed
	close(f.watched)
	f.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// fail has the lookup of a path fail.
func (f *forestOf) fail(path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err[path] = err
}

// say tells the mount that a folder may have changed.
func (f *forestOf) say(path string) {
	f.mu.Lock()
	changed := f.changed
	f.mu.Unlock()
	changed(path)
}

// stored is a file on disk as a source.
type stored struct {
	path string
	size int64
	id   layout.ID
}

func (s *stored) Size() int64             { return s.size }
func (s *stored) ID() layout.ID           { return s.id }
func (s *stored) String() string          { return s.path }
func (s *stored) Open() (*os.File, error) { return os.Open(s.path) }
func (s *stored) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, fault.In(s.path, fault.New(fault.Missing, "%w", err))
	}
	defer f.Close()
	return f.ReadAt(p, off)
}

// write makes a stored file of a pattern.
func write(t testing.TB, path string, seed uint64, size int64) *stored {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, patternOf(seed, 0, size), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &stored{path: path, size: size}
	binary.LittleEndian.PutUint64(s.id[:], seed+1)
	copy(s.id[8:], path)
	return s
}

// keeperOf is a cache whose files are completed and evicted by the test.
type keeperOf struct {
	dir   string
	mu    sync.Mutex
	files map[layout.ID]*computed
}

// computed is a file of a pattern in the cache.
type computed struct {
	keeper *keeperOf
	layout *layout.File
	seed   uint64
	size   int64

	mu       sync.Mutex
	state    cache.State
	file     *os.File
	hold     []*os.File // files of before an eviction, which handles may have
	watchers []func()
	err      error
	ready    func(context.Context) error // what Prepare does
	gate     chan struct{}               // reads wait for it, if there is one

	refs, reads atomic.Int64
}

// view describes a file of size bytes called seed, and has the cache know it.
func (k *keeperOf) view(seed uint64, size int64) *computed {
	f := layout.Bytes(binary.LittleEndian.AppendUint64(nil, seed)) // identifies it; the bytes are the pattern's
	c := &computed{keeper: k, layout: f, seed: seed, size: size, state: cache.Virtual}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files == nil {
		k.files = map[layout.ID]*computed{}
	}
	k.files[f.ID()] = c
	return c
}

func (k *keeperOf) get(f *layout.File, path string) entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.files[f.ID()]
	c.refs.Add(1)
	return c
}

func (k *keeperOf) State(id layout.ID, f *layout.File) cache.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.files[id].State()
}

func (k *keeperOf) Digest(id layout.ID) (string, bool) {
	if k.State(id, nil) == cache.Ready {
		return strings.Repeat("ab", 32), true
	}
	return "", false
}

func (k *keeperOf) Hush() {}

func (k *keeperOf) Usage() cache.Usage { return cache.Usage{Dir: k.dir} }

func (c *computed) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.mu.Lock()
	gate, err := c.gate, c.err
	c.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err != nil {
		return 0, err
	}
	n := min(int64(len(p)), max(0, c.size-off))
	pattern(c.seed, p[:n], off)
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (c *computed) Prepare(ctx context.Context) error {
	c.mu.Lock()
	ready, err := c.ready, c.err
	c.mu.Unlock()
	if ready != nil {
		return ready(ctx)
	}
	return err
}

func (c *computed) Warm(ctx context.Context) error { c.complete(); return nil }

func (c *computed) Complete() (*os.File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file, c.file != nil
}

func (c *computed) State() cache.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *computed) Progress() (int64, int64) {
	if c.State() == cache.Ready {
		return c.size, c.size
	}
	return 0, c.size
}

func (c *computed) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *computed) OnChange(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, f)
}

func (c *computed) Release() {
	if c.refs.Add(-1) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watchers = nil
		for _, f := range c.hold {
			f.Close()
		}
		c.hold = nil
	}
}

// complete writes the file and says so.
func (c *computed) complete() {
	c.mu.Lock()
	if c.file == nil {
		path := filepath.Join(c.keeper.dir, fmt.Sprintf("%d-%d", c.seed, time.Now().UnixNano()))
		if err := os.WriteFile(path, patternOf(c.seed, 0, c.size), 0o600); err != nil {
			panic(err)
		}
		f, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		c.file, c.state = f, cache.Ready
	}
	c.tell()
}

// evict removes the file and says so.
func (c *computed) evict() {
	c.mu.Lock()
	if c.file != nil {
		os.Remove(c.file.Name())
		c.hold = append(c.hold, c.file)
		c.file, c.state = nil, cache.Virtual
	}
	c.tell()
}

// tell unlocks c.mu and calls the watchers, as the cache does: from a goroutine without locks.
func (c *computed) tell() {
	watchers := append([]func(){}, c.watchers...)
	c.mu.Unlock()
	go func() {
		for _, w := range watchers {
			w()
		}
	}()
}

func (c *computed) set(f func(*computed)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func (c *computed) asFile() *tree.File {
	return &tree.File{Layout: c.layout, Exact: true, XAttr: map[string]string{"size_exact": "true", "recipe": c.layout.Recipe().String()}}
}

var (
	_ forest = (*forestOf)(nil)
	_ keeper = (*keeperOf)(nil)
	_ entry  = (*computed)(nil)
)
