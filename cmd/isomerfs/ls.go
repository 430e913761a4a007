package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
)

func lsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls [STORE|PATH]",
		Short:   "the stored files and every view that can be made of them, with their sizes",
		GroupID: groupModel,
		Example: `  isomerfs ls /srv/models                     everything a mount of the store would show
  isomerfs ls /srv/models/resnet50/v3         one version
  isomerfs ls model.safetensors               what can be made of a file`,
		Args: arguments(1),
	}
	f := formatFlags(cmd, "the paths")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := "."
		if len(args) > 0 {
			path = args[0]
		}
		return ls(cmd.Context(), path, f)
	}
	return cmd
}

func ls(ctx context.Context, path string, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, path, asMounted)
	if err != nil {
		return err
	}
	rows := listing[listed]{
		format: f,
		name:   func(e listed) string { return e.Path },
		head:   []string{"VIEW", "SIZE", "STATE"},
		cells: func(e listed) []string {
			about := ""
			if !e.Exact {
				about = "about "
			}
			return []string{e.Path, about + size(e.Size), e.State}
		},
	}
	switch {
	case t.stored != "":
		err = t.lsOf(ctx, t.stored, rows.add)
	case t.daemon != nil: // it knows what is ready
		err = t.daemon.ask(ctx, "ls", t.path, func(raw json.RawMessage) error {
			var e listed
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			return rows.add(e)
		})
	default:
		err = t.ls(ctx, t.path, rows.add)
	}
	if err != nil && rows.rows == 0 {
		return t.absent(ctx, err)
	}
	if closed := rows.close(); err == nil {
		err = closed
	}
	return err
}
