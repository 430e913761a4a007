//go:build linux

// Package integration drives the built binary as its users do: it mounts stores for real, and reads them with the
// programs and libraries that people read models with.
//
// The process of the tests never touches a mount itself: a read that the daemon never answers cannot be ended from
// inside. What looks into a mount is a program, or this same test binary run again as a child (child_test.go), each with
// a limit to its time. Every mount is lifted at the end of its test whatever happened, and one that stays fails the test.
//
//	ISOMERFS_TEST_BINARY     the binary; without it only the tests of the house run
//	ISOMERFS_TEST_REQUIRE    what must not be missing here: fuse,root,fusermount3,python,fio,rsync (test.sh sets it)
//	ISOMERFS_TEST_PYTHON     an interpreter with the packages of requirements.txt
//	ISOMERFS_TEST_SCANNERS   an interpreter with the packages of requirements-scanners.txt
//	ISOMERFS_TEST_SCRATCH    a folder on the disk to work on, about 4 GB; default: the temporary folder
//	ISOMERFS_TEST_CORPUS     a folder of real models with a MANIFEST.tsv, as more inputs
//	ISOMERFS_TEST_MALFORMED  a folder of broken models with an EXPECT.tsv, as more inputs
package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// workshop is the folder of this run, below which every test has its own.
var workshop string

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(beChild(name, os.Args[1:]))
	}
	os.Exit(inWorkshop(m.Run))
}

// inWorkshop runs the tests in a folder of their own. Mounts and processes that are left below it fail the run.
func inWorkshop(tests func() int) int {
	base := os.Getenv("ISOMERFS_TEST_SCRATCH")
	if base == "" {
		base = os.TempDir()
	}
	dir, err := os.MkdirTemp(base, "isomerfs-integration-")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	workshop = dir
	code := tests()
	if left := leftovers(dir); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: the tests left behind:\n\t%s\n", strings.Join(left, "\n\t"))
		code = 1
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	return code
}

// leftovers lifts the mounts and ends the processes that still have to do with dir, and names them.
func leftovers(dir string) (left []string) {
	for _, m := range mountTable("self") {
		if strings.HasPrefix(m.point, dir+"/") {
			left = append(left, "a mount at "+m.point)
			syscall.Unmount(m.point, syscall.MNT_DETACH)
		}
	}
	for _, pid := range processesOf(dir) {
		left = append(left, fmt.Sprintf("process %d: %s", pid, commandLine(pid)))
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return left
}

// processesOf are the processes with dir in their command line, which are ours: nobody else knows the folder.
func processesOf(dir string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if pid != os.Getpid() && strings.Contains(commandLine(pid), dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

// folder is a fresh folder that goes with the test.
func folder(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp(workshop, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// once makes a thing for all tests that need it, when the first does. It fails each of them when it cannot be made.
type once[T any] struct {
	do    sync.Once
	made  T
	whole bool
}

func (o *once[T]) get(t *testing.T, build func() T) T {
	t.Helper()
	o.do.Do(func() {
		o.made = build()
		o.whole = true
	})
	if !o.whole {
		t.Fatal("what this test stands on could not be made: see the first test that failed")
	}
	return o.made
}

// within calls holds until it has nothing to complain about or the time is over, and returns the last complaint.
func within(limit time.Duration, holds func() string) string {
	for until := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		complaint := holds()
		if complaint == "" || time.Now().After(until) {
			return complaint
		}
	}
}
