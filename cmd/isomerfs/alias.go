package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/store"
)

// moved is what `isomerfs alias` did.
type movedAlias struct {
	Model string  `json:"model"`
	Alias string  `json:"alias"`
	From  *string `json:"from"` // null: there was none
	To    *string `json:"to"`   // null: there is none any more
}

func aliasCommand() *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:     "alias MODEL NAME VERSION",
		Short:   "let a name lead to a version of a model, and back again",
		GroupID: groupModel,
		Long: `Makes NAME an alias of a version of MODEL: a symlink in the store, put in place of the one before
in one step. Mounts show it within two seconds. What it led to is kept in MODEL's .aliases.jsonl, and
--undo goes back there, one move each time.

MODEL is a model's folder in a store, or in a mount whose store can be written here.`,
		Example: `  isomerfs alias /srv/models/resnet50 champion v3
  isomerfs alias /srv/models/resnet50 champion --undo`,
		Args: func(cmd *cobra.Command, args []string) error {
			if undo {
				return arguments(2, "MODEL", "NAME")(cmd, args)
			}
			return arguments(3, "MODEL", "NAME", "VERSION")(cmd, args)
		},
	}
	f := formatFlags(cmd, "the version that the name leads to now")
	cmd.Flags().BoolVar(&undo, "undo", false, "let it lead where it did before")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		version := ""
		if !undo {
			version = args[2]
		}
		return alias(cmd.Context(), args[0], args[1], version, undo, f)
	}
	return cmd
}

func alias(ctx context.Context, model, name, version string, undo bool, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, model, asOneModel)
	if err != nil {
		return err
	}
	node, err := t.node(ctx)
	if err != nil {
		return t.absent(ctx, err)
	}
	var m store.Move
	if undo {
		m, err = store.UndoAlias(ctx, t.store, node.Path, name)
	} else {
		m, err = store.SetAlias(ctx, t.store, node.Path, name, version)
	}
	if err != nil {
		return replaced(t.given, err)
	}
	did := movedAlias{Model: node.Path, Alias: name, From: known(m.From), To: known(m.To)}
	switch {
	case f.json:
		return printJSON(os.Stdout, did)
	case f.quiet:
		_, err = fmt.Println(m.To)
	case m.From == m.To:
		_, err = fmt.Printf("%s leads to %s already\n", printable(name), printable(m.To))
	case m.To == "":
		_, err = fmt.Printf("%s is no more (it led to %s)\n", printable(name), printable(m.From))
	case m.From == "":
		_, err = fmt.Printf("%s leads to %s\n", printable(name), printable(m.To))
	default:
		_, err = fmt.Printf("%s leads to %s (before: %s)\n", printable(name), printable(m.To), printable(m.From))
	}
	return err
}
