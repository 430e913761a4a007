package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
)

// checked is one line of `isomerfs doctor`.
type checked struct {
	Check  string  `json:"check"`
	OK     bool    `json:"ok"`
	Detail *string `json:"detail"`
	Fix    *string `json:"fix"` // always there where OK is not
}

func fine(check, format string, args ...any) checked {
	return checked{check, true, known(fmt.Sprintf(format, args...)), nil}
}

func wrong(check, detail, format string, args ...any) checked {
	return checked{check, false, known(detail), given(fmt.Sprintf(format, args...))}
}

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "whether this host has what mounts need, each line with its fix",
		GroupID: groupHost,
		Args:    arguments(0),
	}
	f := formatFlags(cmd, "the names of the checks")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return doctor(cmd.Context(), f) }
	return cmd
}

func doctor(ctx context.Context, f *format) error {
	s, err := loadSettings(nil)
	if err != nil {
		return err
	}
	rows := listing[checked]{
		format: f,
		name:   func(c checked) string { return c.Check },
		cells: func(c checked) []string {
			verdict, text := "ok", ""
			if c.Detail != nil {
				text = *c.Detail
			}
			if !c.OK {
				verdict = "!!"
			}
			if c.Fix != nil {
				text += ". " + *c.Fix
			}
			return []string{verdict, c.Check, text}
		},
	}
	bad := 0
	for _, c := range examine(ctx, s) {
		if !c.OK {
			bad++
		}
		if err := rows.add(c); err != nil {
			return err
		}
	}
	if err := rows.close(); err != nil {
		return err
	}
	if bad > 0 {
		return fault.New(fault.Tool, "%d of %s not ok", bad, plural(rows.rows, "check"))
	}
	return nil
}

// examineMounts looks for mounts whose daemon does not answer.
func examineMounts(ctx context.Context) checked {
	all, err := hostStatus(ctx)
	if err != nil {
		return wrong("mounts", err.Error(), "mount /proc")
	}
	for _, m := range all {
		if m.PID == nil {
			return wrong("mounts", m.Mountpoint+": the daemon does not answer", "umount -l %s takes a dead mount away; isomerfs mount lifts it too", m.Mountpoint)
		}
	}
	return fine("mounts", "%s", plural(len(all), "mount"))
}
