//go:build linux

package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unitFile = "../packaging/systemd/isomerfs@.service"

// TestUnit does what systemd does with isomerfs@.service, with the command line and the capabilities that stand in it: it waits to be told
// READY, then WATCHDOG again and again; kills the daemon and starts it again over the dead mount, while a reader has a
// finished file open; and ends it by SIGTERM.
func TestUnit(t *testing.T) {
	needMount(t, "root", "setpriv")
	s := gallery(t)
	m := newMount(t, s.store)
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/isomerfs (.*)$`).FindSubmatch(text)
	capabilities := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(CAP_.*)$`).FindSubmatch(text)
	if line == nil || capabilities == nil {
		t.Fatal("the unit has no ExecStart or no CapabilityBoundingSet that can be tried")
	}
	bounds := "-all," + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(string(capabilities[1]), "CAP_", "+")), " ", ",")
	socket := filepath.Join(folder(t, "run"), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	hear := func(what string) string {
		t.Helper()
		buf := make([]byte, 4096)
		told.SetReadDeadline(time.Now().Add(moment))
		for {
			n, err := told.Read(buf)
			if err != nil {
				t.Fatalf("nobody says %s: %v", what, err)
			}
			if strings.Contains("\n"+string(buf[:n]), "\n"+what) {
				return string(buf[:n])
			}
		}
	}
	start := func() *exec.Cmd {
		t.Helper()
		var words []string
		for _, w := range strings.Fields(string(line[1])) {
			words = append(words, os.Expand(w, func(name string) string { return map[string]string{"STORE": s.store, "MOUNTPOINT": m.point}[name] }))
		}
		// The watchdog's variables name the process that they are for, as exec does not change it.
		cmd := exec.Command("sh", append([]string{"-c", `WATCHDOG_PID=$$ exec "$@"`, "sh", "setpriv", "--bounding-set=" + bounds, "--no-new-privs", binaryPath()}, words...)...)
		cmd.Env = append(environment(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=600000", "ISOMERFS_CACHE_DIR="+m.cache)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		m.pid = cmd.Process.Pid
		if said := hear("READY=1"); !strings.Contains(said, "STATUS=isomerfs: ") {
			t.Errorf("the daemon says %q", said)
		}
		hear("WATCHDOG=1")
		hear("WATCHDOG=1")
		return cmd
	}
	daemon := start()
	m.make(view(1), s.want[view(1)])
	kept := rightOrErrno
	if cache, _ := m.passthrough(); cache {
		kept = right
	}
	r := m.read(view(1), s.want[view(1)], "read", "hold", "half")
	if !r.held(moment) {
		t.Fatal("no reader gets so far")
	}
	daemon.Process.Kill()
	daemon.Wait()
	daemon = start()
	r.proceed().wants(t, kept, moment)
	m.read(view(1), s.want[view(1)], "read").wants(t, right, moment)
	daemon.Process.Signal(syscall.SIGTERM)
	hear("STOPPING=1")
	if err := daemon.Wait(); err != nil || isMounted(m.point, "self") {
		t.Errorf("SIGTERM ends with %v; still mounted: %v", err, isMounted(m.point, "self"))
	}
}

// leastExposed is the exposure, of 10, that `systemd-analyze security` may find in the unit. What is left is what a
// mount takes: see the comments there.
const leastExposed = 4.0

// TestUnitIsSound: systemd finds no fault with the unit, and no more exposure than the documentation says.
func TestUnitIsSound(t *testing.T) {
	need(t, "systemd-analyze")
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "isomerfs@models.service")
	put(t, unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/isomerfs", "/bin/true")))
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", unit).CombinedOutput()
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > leastExposed {
		t.Errorf("the exposure is %s, and should be %v at most\n%s", found[1], leastExposed, out)
	}
}
