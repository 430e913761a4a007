package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	isofs "github.com/isomerfs/isomerfs/fs"
)

func umountCommand() *cobra.Command {
	var lazy bool
	cmd := &cobra.Command{
		Use:     "umount MOUNTPOINT",
		Aliases: []string{"unmount"},
		Short:   "unmount; what is being converted does not hold it up",
		GroupID: groupMount,
		Example: `  isomerfs umount /mnt/models
  isomerfs umount --lazy /mnt/models          also under open files: they are served to their end`,
		Args: arguments(1, "MOUNTPOINT"),
	}
	cmd.Flags().BoolVarP(&lazy, "lazy", "l", false, "take the mount away now, and end when the last open file is closed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return umount(args[0], lazy) }
	return cmd
}

func umount(given string, lazy bool) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	m, rest, ok := inMount(all, given)
	switch {
	case !ok:
		return fault.In(given, fault.New(fault.Absent, "is no mount of isomerfs").Remedied("isomerfs status lists them"))
	case rest != "":
		return fault.In(given, fault.New(fault.Absent, "is no mount point, but lies in the mount at %s", m.point))
	}
	if me := os.Geteuid(); me != 0 && me != m.uid {
		return fault.In(m.point, fault.New(fault.Denied, "belongs to user %d, who may unmount it, as root may", m.uid))
	}
	err = isofs.Detach(m.point, lazy)
	if errors.Is(err, isofs.ErrBusy) {
		return busy(m.point)
	}
	return err
}

// busy is the refusal to unmount under open files.
func busy(point string) error {
	f := fault.New(fault.Denied, "is busy: files of it are open")
	if users := usersOf(point); len(users) > 0 {
		f = fault.New(fault.Denied, "is busy: in use by %s", strings.Join(users, ", "))
	}
	return fault.In(point, f.Remedied("close them, or detach it now: isomerfs umount --lazy %s", point))
}

// usersOf lists processes that have something below point open, as far as we may see: at most five.
func usersOf(point string) []string {
	var users []string
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range folders {
		if !holds(proc, point) {
			continue
		}
		name, _ := os.ReadFile(proc + "/comm")
		users = append(users, fmt.Sprintf("%s (process %s)", printable(strings.TrimSpace(string(name))), filepath.Base(proc)))
		if len(users) == 5 {
			return append(users, "others")
		}
	}
	return users
}

// holds reports whether a process stands in point, or has a file of it open or mapped. The links in /proc are read, not
// followed: the mount is not asked.
func holds(proc, point string) bool {
	within := func(link string) bool {
		to, err := os.Readlink(link)
		return err == nil && (to == point || strings.HasPrefix(to, point+"/"))
	}
	for _, link := range []string{"cwd", "root", "exe"} {
		if within(proc + "/" + link) {
			return true
		}
	}
	for _, folder := range []string{"fd", "map_files"} {
		entries, err := os.ReadDir(proc + "/" + folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if within(filepath.Join(proc, folder, e.Name())) {
				return true
			}
		}
	}
	return false
}
