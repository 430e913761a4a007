package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

// finding is one check of `isomerfs verify`.
type finding struct {
	Path    string        `json:"path"`
	OK      bool          `json:"ok"`
	Check   string        `json:"check"` // structure, digest, signature or pickle
	Detail  *string       `json:"detail"`
	Globals []tree.Global `json:"globals"` // of a pickle: what it would import; null of every other file
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify PATH|STORE",
		Short:   "whether stored files are sound: structure, recorded digests, what pickles would import",
		GroupID: groupModel,
		Long: `Reads the stored files and says of each whether it is sound: its structure, and its
digest where the store records one (SHA256SUMS, a content-addressed name). Digests are
computed anew each time.

A pickle is a program that Python runs to load it (.pt, .bin, .pkl, arrays of objects).
Of each, every name that it would import is listed (--json) with a verdict: safe, opaque
(nothing is known of it) or dangerous. Nothing is ever imported or run here.

Exit code 1 when anything is broken, or imports what is dangerous.`,
		Example: `  isomerfs verify /srv/models
  isomerfs verify /mnt/models/resnet50/v3
  isomerfs verify model.safetensors`,
		Args: arguments(1, "PATH"),
	}
	f := formatFlags(cmd, "the paths")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return verify(cmd.Context(), args[0], f) }
	return cmd
}

func verify(ctx context.Context, path string, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, path, asMounted)
	if err != nil {
		return err
	}
	node, err := t.node(ctx)
	if err != nil {
		return t.absent(ctx, err)
	}
	rows := listing[finding]{
		format: f,
		name:   func(e finding) string { return e.Path },
		head:   []string{"", "CHECK", "PATH", ""},
		cells: func(e finding) []string {
			verdict, detail := "ok", ""
			if !e.OK {
				verdict = "BAD"
			}
			if e.Detail != nil {
				detail = *e.Detail
			}
			return []string{verdict, e.Check, e.Path, detail}
		},
	}
	bad := 0
	var stopped error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = t.tree.Verify(ctx, node, func(found tree.Finding) {
		if !found.OK {
			bad++
		}
		if err := rows.add(finding{found.Path, found.OK, found.Check, known(found.Detail), found.Globals}); err != nil && stopped == nil {
			stopped = err
			cancel()
		}
	})
	if stopped != nil {
		return stopped
	}
	if err != nil && rows.rows == 0 {
		return t.absent(ctx, err)
	}
	if closed := rows.close(); err == nil {
		err = closed
	}
	if err == nil && bad > 0 {
		err = fault.In(t.given, fault.New(fault.Malformed, "%d of %s found bad", bad, plural(rows.rows, "check")))
	}
	return err
}
