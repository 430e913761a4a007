//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFstab: mount(8) finds mount.isomerfs, `mount -a` twice leaves one mount, a typo and a store that is not there are
// mount(8)'s exit codes with one clear line, and umount(8) takes the mount away. All in a mount namespace of its own, in
// which /usr/sbin holds the helper alone.
func TestFstab(t *testing.T) {
	need(t, "binary", "fuse", "root")
	s := common(t)
	dir := t.TempDir()
	sbin, point := filepath.Join(dir, "sbin"), filepath.Join(dir, "mnt")
	for _, d := range []string{sbin, point} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(binaryPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sbin, "mount.isomerfs"), text, 0o755); err != nil {
		t.Fatal(err)
	}
	fstab := filepath.Join(dir, "fstab")
	line := func(spec, options string) string {
		return strings.Join([]string{spec, point, "isomerfs", "ro,cache_dir=" + filepath.Join(dir, "cache") + options, "0", "0"}, " ") + "\n"
	}
	put(t, fstab, []byte(line("isomerfs:"+s.store, ",allow_other,nofail,_netdev,noatime,x-systemd.automount,comment=models")))
	put(t, fstab+".typo", []byte(line(s.store, ",cache_sise=1G")))
	put(t, fstab+".away", []byte(line(filepath.Join(dir, "nowhere"), "")))

	script := `set -u
mount --bind "$SBIN" "$(readlink -f /sbin)"
mount -a -T "$FSTAB"; echo "first $?"
mount -a -T "$FSTAB"; echo "again $?"
echo "mounts $(grep -c " $POINT fuse.isomerfs " /proc/mounts)"
ls "$POINT/small" | tr '\n' ' '; echo
umount "$POINT"; echo "umount $?"
mount -T "$FSTAB" -f "$POINT"; echo "fake $?"
echo "left $(grep -c " $POINT fuse.isomerfs " /proc/mounts)"
mount -a -T "$FSTAB.typo"; echo "typo $?"
mount -a -T "$FSTAB.away"; echo "away $?"
echo "left $(grep -c " $POINT fuse.isomerfs " /proc/mounts)"
`
	// Neither PATH nor HOME reach a helper that mount(8) starts at boot.
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", script)
	cmd.Env = []string{"SBIN=" + sbin, "FSTAB=" + fstab, "POINT=" + point, "PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	said := string(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{"first 0", "again 0", "mounts 1", "champion latest v1 v2", "fake 0", "umount 0", "left 0", "cache_sise: there is no such option", "away 32", "nowhere"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing in:\n%s", want, said)
		}
	}
	if code := after(said, "typo "); code == 0 {
		t.Errorf("a typo in fstab ends with 0:\n%s", said)
	}
}

// after is the number that follows a word; 0 where there is none.
func after(text, word string) int {
	_, rest, _ := strings.Cut(text, word)
	n, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
	return n
}
