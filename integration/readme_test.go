//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// marked are the blocks of shell commands in a document that follow a line <!-- test -->.
var marked = regexp.MustCompile("(?ms)^<!-- test -->\n+```sh\n(.*?)^```$")

// TestReadme: the commands of README.md do what they say, in the order in which they stand, for somebody who has a
// clone, an empty home and the program on the path.
func TestReadme(t *testing.T) {
	needMount(t)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := marked.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no block of commands marked <!-- test -->")
	}
	home := folder(t, "home")
	clone := filepath.Join(home, "isomerfs")
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(clone, "demo"), os.DirFS("../demo")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binaryPath(), filepath.Join(bin, "isomerfs")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range mountTable("self") {
			if strings.HasPrefix(l.point, home+"/") {
				t.Errorf("the commands leave %s mounted", l.point)
				isomerfs("umount", l.point)
			}
		}
	})
	for i, block := range blocks {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			cmd := program("bash", "-exc", "set -o pipefail\n"+block[1])
			cmd.Dir = clone
			cmd.Env = append(cmd.Env, "HOME="+home, "PATH="+bin+":"+os.Getenv("PATH"))
			d := finish(cmd, time.Minute)
			if d.what = "block"; !d.ok() {
				t.Errorf("%v\n%s", d, d.err)
			}
		})
	}
}

// TestDemo: the demo runs from its beginning to its end.
func TestDemo(t *testing.T) {
	needMount(t, "python")
	d := finish(program(os.Getenv("ISOMERFS_TEST_PYTHON"), "../demo/demo.py", binaryPath()), 2*time.Minute)
	if !d.ok() || !strings.Contains(d.out, "accuracy") {
		t.Error(d)
	}
}
