//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tableLine is a line of the kernel's table of mounts, the only place to ask about a mount that may not answer.
type tableLine struct {
	point, kind, source string
	options             []string
	connection          string // of a FUSE mount: its number below /sys/fs/fuse/connections
}

// mountTable is the table as a process sees it.
func mountTable(pid string) (lines []tableLine) {
	text, _ := os.ReadFile("/proc/" + pid + "/mountinfo")
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 0 || len(f) < dash+4 {
			continue
		}
		_, minor, _ := strings.Cut(f[2], ":")
		lines = append(lines, tableLine{plain.Replace(f[4]), f[dash+1], plain.Replace(f[dash+2]), strings.Split(f[5]+","+f[dash+3], ","), minor})
	}
	return lines
}

func isMounted(point, pid string) bool {
	return slices.ContainsFunc(mountTable(pid), func(l tableLine) bool { return l.point == point })
}

// status is what `isomerfs status --json` says of one mount.
type status struct {
	Mountpoint  string
	Store       *string
	PID         *int
	Passthrough *struct {
		Cache, Store *bool
		Reason       *string
	}
	Fills *[]struct {
		Path       string
		Done, Size int64
	}
	Cache *struct {
		Dir         string
		Used, Limit int64
		Files       int
	}
}

// mount is one mount point, which may be mounted more than once in a test. It is cleared away with the test.
type mount struct {
	t            *testing.T
	store        string
	point, cache string
	options      []string
	as           []string // runs the commands: another user, or nobody in particular
	log          string
	pids         []int // of the daemons
	pid          int   // of the latest
	readers      []*reader
	connections  []string
	closed       bool
}

// newMount is a mount point with a cache of its own where nothing is mounted yet.
func newMount(t *testing.T, store string, options ...string) *mount {
	t.Helper()
	dir := folder(t, "mount")
	m := &mount{t: t, store: store, point: filepath.Join(dir, "mnt"), cache: filepath.Join(dir, "cache"), log: filepath.Join(dir, "log"), options: options}
	if err := os.Mkdir(m.point, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

// mounted is a fresh mount with a fresh cache.
func mounted(t *testing.T, store string, options ...string) *mount {
	t.Helper()
	m := newMount(t, store, options...)
	m.mount()
	return m
}

// try runs `isomerfs mount`.
func (m *mount) try() done {
	m.t.Helper()
	options := append([]string{"cache_dir=" + m.cache, "log=" + m.log}, m.options...)
	argv := append(slices.Clone(m.as), binaryPath(), "mount", m.store, m.point, "-o", strings.Join(options, ","))
	d := command(moment, argv...)
	for _, l := range mountTable("self") {
		if l.point == m.point && l.kind == "fuse.isomerfs" {
			m.connections = append(m.connections, l.connection)
		}
	}
	if d.ok() {
		m.pid = 0
		if s := m.status(); s.PID != nil {
			m.pid = *s.PID
			m.pids = append(m.pids, m.pid)
		}
		if m.pid == 0 {
			m.t.Fatalf("status does not know the process behind %s", m.point)
		}
	}
	return d
}

// mount runs `isomerfs mount`, which has to succeed.
func (m *mount) mount() {
	m.t.Helper()
	if d := m.try(); !d.ok() {
		m.t.Fatal(d)
	}
}

// status is what the status command says of this mount.
func (m *mount) status() status {
	m.t.Helper()
	d := command(moment, append(slices.Clone(m.as), binaryPath(), "status", "--json")...)
	if !d.ok() {
		m.t.Fatal(d)
	}
	for _, s := range parsed[[]status](m.t, d) {
		if s.Mountpoint == m.point {
			return s
		}
	}
	m.t.Fatalf("status does not list %s: %s", m.point, d.out)
	return status{}
}

// passthrough reports whether the kernel reads finished files of the cache by itself, and whether stored ones.
func (m *mount) passthrough() (cache, store bool) {
	m.t.Helper()
	p := m.status().Passthrough
	if p == nil || p.Cache == nil || p.Store == nil {
		m.t.Fatalf("status says nothing of passthrough at %s", m.point)
	}
	return *p.Cache, *p.Store
}

// at is a path in the mount.
func (m *mount) at(path string) string { return filepath.Join(m.point, path) }

// read starts a reader of a file in the mount, to be compared with a plain file.
func (m *mount) read(path, expected, how string, options ...string) *reader {
	m.t.Helper()
	r := startReader(m.t, m.as, m.at(path), expected, how, options...)
	m.readers = append(m.readers, r)
	return r
}

// xattr is one attribute user.isomerfs.NAME, or "!" and the errno's name.
func (m *mount) xattr(path, name string) string {
	m.t.Helper()
	return ask[map[string]string](m.t, moment, "attributes", below{m.point, []string{path}, "user.isomerfs." + name})[path]
}

// untilReady waits for a file that is being filled, or has been read, to be sealed.
func (m *mount) untilReady(path string) {
	m.t.Helper()
	if bad := within(moment, func() string {
		if state := m.xattr(path, "state"); state != "ready" {
			return state
		}
		return ""
	}); bad != "" {
		m.t.Fatalf("%s does not become ready: %s", path, bad)
	}
}

// make reads a file wholly, once, and waits until it is ready.
func (m *mount) make(path, expected string) {
	m.t.Helper()
	if v := m.read(path, expected, "read").verdict(time.Minute); !right(v) {
		m.t.Fatalf("%s: %s", path, v)
	}
	m.untilReady(path)
}

// lists fails the test unless the mount still answers.
func (m *mount) lists(path string) {
	m.t.Helper()
	if n := ask[names](m.t, 10*time.Second, "list", m.at(path)); n.Errno != "" || len(n.Names) == 0 {
		m.t.Errorf("%s lists %v: %s", path, n.Names, n.Errno)
	}
}

// kill is kill -9, and its end, which whoever starts a daemon again waits for.
func (m *mount) kill() {
	m.t.Helper()
	syscall.Kill(m.pid, syscall.SIGKILL)
	if !gone(m.pid, 10*time.Second) {
		m.t.Fatal("the daemon outlives SIGKILL")
	}
}

// umount runs `isomerfs umount`.
func (m *mount) umount() done {
	return command(moment, append(slices.Clone(m.as), binaryPath(), "umount", m.point)...)
}

// close lifts the mount, whatever state it is in, and fails the test where that takes force.
func (m *mount) close() {
	if m.closed {
		return
	}
	m.closed = true
	for _, r := range m.readers {
		r.stop(syscall.SIGKILL)
	}
	for _, r := range m.readers {
		r.gone(5 * time.Second)
	}
	if isMounted(m.point, "self") {
		if d := m.umount(); !d.ok() && !m.t.Failed() {
			m.t.Error(d)
		}
	}
	for isMounted(m.point, "self") {
		m.t.Error("the mount is still there; lifted by force")
		if err := syscall.Unmount(m.point, syscall.MNT_DETACH); err != nil {
			m.t.Error(err)
			break
		}
	}
	pids := append(slices.Clone(m.pids), processesOf(m.point)...)
	for _, pid := range pids {
		if gone(pid, 15*time.Second) {
			continue
		}
		m.t.Errorf("the daemon lives on without its mount: process %d", pid)
		syscall.Kill(pid, syscall.SIGKILL)
		if !gone(pid, 5*time.Second) {
			m.t.Errorf("process %d outlives SIGKILL; its connection is aborted", pid)
			m.abort()
		}
	}
	if m.t.Failed() {
		if text, err := os.ReadFile(m.log); err == nil && len(text) > 0 {
			m.t.Logf("the end of the daemon's log:\n%s", text[max(0, len(text)-3000):])
		}
	}
}

// abort ends FUSE connections whose daemon waits for itself in the kernel, beyond any signal.
func (m *mount) abort() {
	dir := filepath.Join(filepath.Dir(m.log), "fusectl")
	if os.Mkdir(dir, 0o700) != nil || syscall.Mount("fusectl", dir, "fusectl", 0, "") != nil {
		return
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	for _, number := range m.connections {
		os.WriteFile(filepath.Join(dir, number, "abort"), []byte("1"), 0o200)
	}
}

// memory is a line of /proc/PID/status in bytes: VmHWM, Threads and so on.
func memory(t *testing.T, pid int, key string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			var n int64
			unit := ""
			fmt.Sscan(rest, &n, &unit)
			if unit == "kB" {
				n <<= 10
			}
			return n
		}
	}
	t.Fatalf("/proc/%d/status has no %s", pid, key)
	return 0
}
