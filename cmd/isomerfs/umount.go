package main

import (
	"context"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
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
		Args: arguments(1, 1, "a mount point"),
	}
	cmd.Flags().BoolVarP(&lazy, "lazy", "l", false, "take the mount away now, and end when the last open file is closed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return umount(cmd.Context(), args[0], lazy) }
	return cmd
}

func umount(ctx context.Context, given string, lazy bool) error {
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
	return detach(ctx, m.point, lazy)
}

// busy is the refusal to unmount under open files.
func busy(point string) error {
	f := fault.New(fault.Denied, "is busy: files of it are open")
	if users := usersOf(point); len(users) > 0 {
		f = fault.New(fault.Denied, "is busy: in use by %s", strings.Join(users, ", "))
	}
	return fault.In(point, f.Remedied("close them, or detach it now: isomerfs umount --lazy %s", point))
}

// within reports whether p is point or lies below it.
func within(p, point string) bool {
	p, point = path.Clean(p), path.Clean(point)
	return p == point || point == "/" || strings.HasPrefix(p, point+"/")
}
