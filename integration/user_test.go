//go:build linux

package integration

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the ordinary user of these tests.
const nobody = 65534

// ordinaryUser gives a prefix that runs a command as an ordinary user, and the process whose mounts that user sees.
// Where /dev/fuse is closed to ordinary users, as in some containers and unlike in any distribution, a mount namespace
// has one with the usual mode.
func ordinaryUser(t *testing.T) (prefix []string, seenBy string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, "self"
	}
	drop := []string{"setpriv", "--reuid=" + strconv.Itoa(nobody), "--regid=" + strconv.Itoa(nobody), "--clear-groups"}
	if info, err := os.Stat("/dev/fuse"); err == nil && info.Mode().Perm()&6 == 6 {
		return drop, "self"
	}
	dir := folder(t, "dev")
	holder := program("unshare", "--mount", "--propagation", "private", "bash", "-c",
		`mount -t tmpfs tmpfs "$0" && mknod -m 666 "$0/fuse" c 10 229 && mount --bind "$0/fuse" /dev/fuse && echo ready && exec cat`, dir)
	out, err := holder.StdoutPipe()
	var in io.Closer
	if err == nil {
		in, err = holder.StdinPipe()
	}
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		syscall.Kill(-holder.Process.Pid, syscall.SIGKILL)
		holder.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal("no mount namespace with a /dev/fuse of its own")
	}
	pid := strconv.Itoa(holder.Process.Pid)
	return append([]string{"nsenter", "-t", pid, "--mount"}, drop...), pid
}

// TestWithoutRoot: an ordinary user mounts through fusermount3, reads the same bytes, and is told why the kernel does
// not read finished files by itself.
func TestWithoutRoot(t *testing.T) {
	needMount(t, "fusermount3", "setpriv", "nsenter")
	s := gallery(t)
	dir, err := os.MkdirTemp("/var/tmp", "isomerfs-user-") // the workshop may be closed to others
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copyTo := func(from, to string, mode os.FileMode) string {
		t.Helper()
		to = filepath.Join(dir, to)
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	tool, player := copyTo(binaryPath(), "isomerfs", 0o755), copyTo(self, "player", 0o755)
	expected := map[int]string{}
	for _, i := range []int{1, 2} {
		file := copyTo(s.want[source(i)], "store/m"+strconv.Itoa(i)+"/v1/model.safetensors", 0o644)
		os.Chtimes(file, settled, settled)
		expected[i] = copyTo(s.want[view(i)], "want"+strconv.Itoa(i), 0o644)
	}
	own := map[string]string{}
	for _, name := range []string{"mnt", "cache", "home", "run"} {
		own[name] = filepath.Join(dir, name)
		if err := os.Mkdir(own[name], 0o700); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(own[name], nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	prefix, seenBy := ordinaryUser(t)
	prefix = append(slices.Clone(prefix), "env", "-u", "XDG_CACHE_HOME", "-u", "XDG_STATE_HOME", "-u", "XDG_CONFIG_HOME", "-u", "ISOMERFS_CACHE_DIR", "HOME="+own["home"], "XDG_RUNTIME_DIR="+own["run"])
	as := func(argv ...string) done { return command(moment, append(slices.Clone(prefix), argv...)...) }
	point := own["mnt"]
	t.Cleanup(func() {
		if isMounted(point, seenBy) {
			t.Error("the mount is still there; lifted by force")
			as("fusermount3", "-uz", point)
		}
		for _, pid := range processesOf(dir) {
			if !gone(pid, 15*time.Second) {
				t.Errorf("process %d is left: %s", pid, commandLine(pid))
				syscall.Kill(pid, syscall.SIGKILL)
				gone(pid, 5*time.Second)
			}
		}
	})

	if d := as(tool, "mount", filepath.Join(dir, "store"), point, "-o", "cache_dir="+own["cache"]); !d.ok() || !isMounted(point, seenBy) {
		t.Fatal(d)
	}
	said := as(tool, "status", "--json")
	mounts := parsed[[]status](t, said)
	at := slices.IndexFunc(mounts, func(m status) bool { return m.Mountpoint == point })
	if at < 0 {
		t.Fatalf("status does not list %s: %v", point, said)
	}
	if p := mounts[at].Passthrough; os.Geteuid() == 0 && (p == nil || p.Cache == nil || *p.Cache || p.Reason == nil || *p.Reason == "") {
		t.Errorf("status does not say why there is no passthrough: %s", said.out)
	}
	for _, c := range []struct {
		model int
		hows  []string
	}{{1, []string{"read", "map", "random", "private"}}, {2, []string{"map", "read", "direct"}}} {
		for _, how := range c.hows {
			r := startReaderOf(t, append(slices.Clone(prefix), childVariable+"=reader", player, filepath.Join(point, view(c.model)), expected[c.model], how))
			if v := r.verdict(time.Minute); !right(v) {
				t.Errorf("%s of m%d: %s", how, c.model, v)
			}
		}
	}
	doctor := as(tool, "doctor", "--json")
	rows := parsed[[]struct {
		Check       string
		OK          bool
		Detail, Fix *string
	}](t, doctor)
	if !slices.ContainsFunc(rows, func(r struct {
		Check       string
		OK          bool
		Detail, Fix *string
	}) bool {
		return strings.Contains(r.Check, "passthrough") && !r.OK && r.Detail != nil && *r.Detail != ""
	}) {
		t.Errorf("doctor does not say why there is no passthrough: %s", doctor.out)
	}
	if d := as(tool, "umount", point); !d.ok() || isMounted(point, seenBy) {
		t.Error(d)
	}
	if pid := mounts[at].PID; pid == nil || !gone(*pid, 15*time.Second) {
		t.Error("the daemon lives on")
	}
}
