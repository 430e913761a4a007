package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

func layoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "layout PATH",
		Short:   "the spans of a view: where each of its bytes comes from",
		GroupID: groupModel,
		Example: `  isomerfs layout /srv/models/resnet50/v3/safetensors/fp16/model.safetensors`,
		Args:    arguments(1, "PATH"),
	}
	f := formatFlags(cmd, "the stored files that the bytes come from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return spans(cmd.Context(), args[0], f) }
	return cmd
}

func spans(ctx context.Context, path string, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, path, asOneModel)
	if err != nil {
		return err
	}
	node, err := t.node(ctx)
	if err != nil {
		return t.absent(ctx, err)
	}
	file, err := bytesOf(ctx, node)
	if err != nil {
		return fault.In(t.given, err)
	}
	rows := listing[layout.Line]{
		format: f,
		name:   func(s layout.Line) string { return fmt.Sprint(s.Source) },
		head:   []string{"OFFSET", "SIZE", "KIND", "FROM", "BY", "OF"},
		cells: func(s layout.Line) []string {
			from, by := "", ""
			if s.Source != nil {
				from = fmt.Sprintf("%v at %v", s.Source, s.SourceOff)
			}
			if s.Op != nil {
				by = fmt.Sprint(s.Op)
			}
			return []string{strconv.FormatInt(s.Off, 10), strconv.FormatInt(s.Size, 10), s.Kind, from, by, s.Label}
		},
	}
	seen := map[any]bool{nil: true}
	for _, line := range file.Lines() {
		if f.quiet {
			if seen[line.Source] {
				continue
			}
			seen[line.Source] = true
		}
		if err := rows.add(line); err != nil {
			return err
		}
	}
	return rows.close()
}

// bytesOf is a regular file's bytes as a layout.
func bytesOf(ctx context.Context, n *tree.Node) (*layout.File, error) {
	switch {
	case n.Kind != tree.Regular || n.File == nil:
		return nil, fault.New(fault.Unsupported, "is a folder: name a file in it")
	case n.File.Layout != nil:
		return n.File.Layout, nil
	case n.File.Source != nil:
		return layout.Stored(n.File.Source), nil
	}
	text, err := n.File.Document(ctx)
	if err != nil {
		return nil, err
	}
	return layout.Bytes(text), nil
}
