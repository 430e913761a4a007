package cache

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var errCrashed = errors.New("the machine has crashed")

// memDisk is a Disk in memory that forgets what was not synced. Each operation counts; at any of them the machine may
// crash, or the operation may fail.
//
// After a crash, crashed() is what a disk may hold then: of the names that were changed since their folder was synced
// some are as before, some as after, in any combination; of the bytes written since their file was synced any sectors
// are there and others not.
type memDisk struct {
	mu      sync.Mutex
	names   map[string]*inode // as the system sees them
	durable map[string]*inode // as they were when their folder was synced
	total   int64             // of the disk
	lost    int64             // taken by somebody else
	ops     []string
	crashAt int                                // the operation at which the machine crashes; -1: never
	dead    bool                               // it has
	fault   func(n int, op, name string) error // why operation n fails
	open    int                                // files
	misused bool                               // a file was used after it was closed
}

type inode struct {
	b       []byte
	durable []byte
	pending []write // since the last sync
	used    time.Time
	links   int
	opened  int
	locks   map[*memFile]Lock
}

type write struct {
	off int64
	b   []byte
}

func newMemDisk() *memDisk {
	return &memDisk{names: map[string]*inode{}, durable: map[string]*inode{}, total: 1 << 40, crashAt: -1}
}

// do counts an operation. It is called with d.mu held, and says what becomes of it; torn: it may or may not have
// happened.
func (d *memDisk) do(op, name string) (err error, torn bool) {
	if d.dead {
		return errCrashed, false
	}
	n := len(d.ops)
	d.ops = append(d.ops, op+" "+name)
	if n == d.crashAt {
		d.dead = true
		return errCrashed, n%2 == 0
	}
	if d.fault != nil {
		if err := d.fault(n, op, name); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}, false
		}
	}
	return nil, false
}

func (d *memDisk) crash() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// crashed is a disk as it may be after the crash, all locks gone.
func (d *memDisk) crashed(r *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newMemDisk()
	after.total, after.lost = d.total, d.lost
	survivors := map[*inode]*inode{}
	survive := func(in *inode) *inode {
		if s := survivors[in]; s != nil {
			return s
		}
		b := bytes.Clone(in.durable)
		for _, w := range in.pending {
			if need := int(w.off) + len(w.b); need > len(b) && r.IntN(4) > 0 { // the size is known, the bytes may not be
				b = append(b, make([]byte, need-len(b))...)
			}
			const sector = 4096
			all := r.IntN(3) == 0
			for at := 0; at < len(w.b); at += sector {
				end := min(at+sector, len(w.b))
				if to := int(w.off) + at; (all || r.IntN(2) == 0) && to < len(b) {
					copy(b[to:], w.b[at:end])
				}
			}
		}
		s := &inode{b: b, durable: bytes.Clone(b), used: in.used, links: 1, locks: map[*memFile]Lock{}}
		survivors[in] = s
		return s
	}
	changed := map[string]bool{}
	for name := range d.names {
		changed[name] = true
	}
	for name := range d.durable {
		changed[name] = true
	}
	ordered := r.IntN(2) == 0 // all of it was written, as a journal does a moment later
	for name := range changed {
		in, old := d.names[name], d.durable[name]
		if in != old && !ordered && r.IntN(2) == 0 {
			in = old
		}
		if in != nil {
			s := survive(in)
			after.names[name], after.durable[name] = s, s
		}
	}
	return after
}

func (d *memDisk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	err, torn := d.do("create", name)
	if err != nil && !torn {
		return nil, err
	}
	in := &inode{links: 1, used: time.Now(), locks: map[*memFile]Lock{}}
	d.names[name] = in
	if err != nil {
		return nil, err
	}
	f := d.file(in, name)
	in.locks[f] = Exclusive
	return f, nil
}

func (d *memDisk) file(in *inode, name string) *memFile {
	in.opened++
	d.open++
	return &memFile{d: d, in: in, name: name}
}

func (d *memDisk) find(op, name string) (*inode, error) {
	if in := d.names[name]; in != nil {
		return in, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (d *memDisk) Open(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	if err, _ := d.do("open", name); err != nil {
		return nil, err
	}
	return d.file(in, name), nil
}

func (in *inode) info(name string) Info {
	return Info{Name: path.Base(name), Size: int64(len(in.b)), Space: int64(len(in.b)), Used: in.used, Links: in.links}
}

func (d *memDisk) Stat(name string) (Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	if err, _ := d.do("stat", name); err != nil {
		return Info{}, err
	}
	return in.info(name), nil
}

func (d *memDisk) List(dir string) ([]Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err, _ := d.do("list", dir); err != nil {
		return nil, err
	}
	seen := map[string]Info{}
	for name, in := range d.names {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if !ok {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		if deeper {
			seen[first] = Info{Name: first, Dir: true}
		} else {
			seen[first] = in.info(name)
		}
	}
	var infos []Info
	for _, info := range seen {
		infos = append(infos, info)
	}
	return infos, nil
}

func (d *memDisk) Commit(from, to string) error { return d.rename("commit", from, to, false) }

func (d *memDisk) Replace(from, to string) error { return d.rename("replace", from, to, true) }

func (d *memDisk) rename(op, from, to string, over bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find(op, from)
	if err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) {
		return errors.New("a file is renamed to another folder")
	}
	old := d.names[to]
	if old != nil && !over {
		return &fs.PathError{Op: op, Path: to, Err: fs.ErrExist}
	}
	err, torn := d.do(op, to)
	if err != nil && !torn {
		return err
	}
	if old != nil {
		old.links--
	}
	d.names[to] = in
	delete(d.names, from)
	return err
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find("remove", name)
	if err != nil {
		return err
	}
	err, torn := d.do("remove", name)
	if err != nil && !torn {
		return err
	}
	in.links--
	delete(d.names, name)
	return err
}

func (d *memDisk) Sync(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err, _ := d.do("syncdir", dir); err != nil {
		return err
	}
	for name := range d.durable {
		if path.Dir(name) == dir && d.names[name] == nil {
			delete(d.durable, name)
		}
	}
	for name, in := range d.names {
		if path.Dir(name) == dir {
			d.durable[name] = in
		}
	}
	return nil
}

func (d *memDisk) Touch(name string, at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find("touch", name)
	if err != nil {
		return err
	}
	if err, _ := d.do("touch", name); err != nil {
		return err
	}
	in.used = at
	return nil
}

func (d *memDisk) Space() (free, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err, _ := d.do("space", ""); err != nil {
		return 0, 0, err
	}
	return d.total - d.lost - d.taken(), d.total, nil
}

// taken is the bytes of all files, as far as they were written, with d.mu held.
func (d *memDisk) taken() int64 {
	var n int64
	for _, in := range d.names {
		for _, w := range in.pending {
			n += int64(len(w.b))
		}
		if len(in.pending) == 0 {
			n += int64(len(in.b))
		}
	}
	return n
}

// removeAll is rm -rf.
func (d *memDisk) removeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, in := range d.names {
		in.links--
		delete(d.names, name)
	}
}

// opened is the number of open files.
func (d *memDisk) opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// list is the names there are.
func (d *memDisk) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// memFile is an opening of a file.
type memFile struct {
	d    *memDisk
	in   *inode
	name string
	shut bool
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return 0, fs.ErrClosed
	}
	if err, _ := f.d.do("read", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.in.b)) {
		return 0, io.EOF
	}
	n := copy(p, f.in.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return 0, fs.ErrClosed
	}
	err, torn := f.d.do("write", f.name)
	if err != nil && !torn {
		return 0, err
	}
	if err == nil && f.in.links > 0 && f.d.taken()+int64(len(p)) > f.d.total-f.d.lost {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	if need := int(off) + len(p); need > len(f.in.b) {
		f.in.b = append(f.in.b, make([]byte, need-len(f.in.b))...)
	}
	copy(f.in.b[off:], p)
	f.in.pending = append(f.in.pending, write{off, bytes.Clone(p)})
	f.in.used = time.Now()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return fs.ErrClosed
	}
	if err, _ := f.d.do("truncate", f.name); err != nil {
		return err
	}
	f.in.b = append(f.in.b[:min(int64(len(f.in.b)), size)], make([]byte, max(0, size-int64(len(f.in.b))))...)
	f.in.pending = append(f.in.pending, write{off: size})
	return nil
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return fs.ErrClosed
	}
	if err, _ := f.d.do("sync", f.name); err != nil {
		return err
	}
	f.in.durable = bytes.Clone(f.in.b)
	f.in.pending = nil
	return nil
}

func (f *memFile) Flush(int64, int64) error { return nil }

func (f *memFile) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return fs.ErrClosed
	}
	f.shut = true
	f.in.opened--
	f.d.open--
	delete(f.in.locks, f)
	return nil
}

func (f *memFile) Lock(how Lock) (bool, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return false, fs.ErrClosed
	}
	if f.d.dead {
		return false, errCrashed
	}
	for other, lock := range f.in.locks {
		if other != f && (how == Exclusive || how == Shared && lock == Exclusive) {
			return false, nil
		}
	}
	if how == Unlocked {
		delete(f.in.locks, f)
	} else {
		f.in.locks[f] = how
	}
	return true, nil
}

func (f *memFile) Stat() (Info, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.shut {
		f.d.misused = true
		return Info{}, fs.ErrClosed
	}
	if err, _ := f.d.do("fstat", f.name); err != nil {
		return Info{}, err
	}
	return f.in.info(f.name), nil
}

// TestDisks holds the two disks to the same contract.
func TestDisks(t *testing.T) {
	disks := map[string]func(t *testing.T) Disk{
		"memory": func(*testing.T) Disk { return newMemDisk() },
		"os": func(t *testing.T) Disk {
			d, err := openDisk(t.TempDir(), true)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.Close() })
			return d
		},
	}
	for name, make := range disks {
		t.Run(name, func(t *testing.T) { diskContract(t, make(t)) })
	}
}

func diskContract(t *testing.T, d Disk) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("got %v and not %v", err, want)
		}
	}
	if infos, err := d.List("obj/ab"); err != nil || len(infos) != 0 {
		t.Fatalf("a folder that is not there: %v, %v", infos, err)
	}
	_, err := d.Open("obj/ab/x")
	is(err, fs.ErrNotExist)
	_, err = d.Stat("obj/ab/x")
	is(err, fs.ErrNotExist)
	is(d.Remove("obj/ab/x"), fs.ErrNotExist)
	is(d.Commit("obj/ab/x", "obj/ab/y"), fs.ErrNotExist)

	f, err := d.Create("obj/ab/x")
	must(err)
	_, err = d.Create("obj/ab/x")
	is(err, fs.ErrExist)
	other, err := d.Open("obj/ab/x")
	must(err)
	lock := func(f File, how Lock, want bool) {
		t.Helper()
		if got, err := f.Lock(how); err != nil || got != want {
			t.Fatalf("lock %d: %v, %v", how, got, err)
		}
	}
	lock(other, Shared, false)
	lock(other, Exclusive, false)
	lock(f, Shared, true)
	lock(other, Exclusive, false)
	lock(other, Shared, true)
	lock(f, Exclusive, false)
	lock(f, Unlocked, true)
	lock(other, Exclusive, true)
	must(other.Close())
	lock(f, Exclusive, true)

	must(f.Truncate(10))
	_, err = f.WriteAt([]byte("abc"), 4)
	must(err)
	p := make([]byte, 10)
	if n, err := f.ReadAt(p, 0); n != 10 || err != nil && err != io.EOF || string(p) != "\x00\x00\x00\x00abc\x00\x00\x00" {
		t.Fatalf("read %d, %v, %q", n, err, p)
	}
	if n, err := f.ReadAt(p, 8); n != 2 || err != io.EOF {
		t.Fatalf("read at the end: %d, %v", n, err)
	}
	must(f.Flush(0, 10))
	must(f.Sync())
	g, err := d.Create("obj/ab/y")
	must(err)
	must(g.Close())
	is(d.Commit("obj/ab/x", "obj/ab/y"), fs.ErrExist)
	must(d.Replace("obj/ab/x", "obj/ab/y"))
	must(d.Commit("obj/ab/y", "obj/ab/z"))
	must(d.Sync("obj/ab"))
	at := time.Unix(1_700_000_000, 0)
	must(d.Touch("obj/ab/z", at))
	infos, err := d.List("obj/ab")
	must(err)
	if len(infos) != 1 || infos[0].Name != "z" || infos[0].Size != 10 || infos[0].Dir || !infos[0].Used.Equal(at) {
		t.Fatalf("listed %+v", infos)
	}
	if infos, err := d.List("obj"); err != nil || len(infos) != 1 || !infos[0].Dir || infos[0].Name != "ab" {
		t.Fatalf("listed %+v, %v", infos, err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	must(d.Remove("obj/ab/z"))
	if info, err := f.Stat(); err != nil || info.Links != 0 || info.Size != 10 {
		t.Fatalf("%+v, %v", info, err)
	}
	if n, err := f.ReadAt(p[:3], 4); n != 3 || err != nil || string(p[:3]) != "abc" {
		t.Fatalf("an unlinked file: %d, %v, %q", n, err, p[:3])
	}
	must(f.Close())
	if free, total, err := d.Space(); err != nil || free <= 0 || total < free {
		t.Fatalf("space %d of %d, %v", free, total, err)
	}
}
