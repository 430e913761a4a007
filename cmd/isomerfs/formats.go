package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/views"
)

func formatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "formats",
		Short:   "what can be made of what, and what is lost",
		GroupID: groupModel,
		Args:    arguments(0),
	}
	f := formatFlags(cmd, "FROM TO/PRECISION")
	cmd.RunE = func(*cobra.Command, []string) error {
		rows := listing[views.Row]{
			format: f,
			name: func(r views.Row) string {
				lines := []string{}
				for _, p := range r.Precisions {
					lines = append(lines, r.From+" "+r.To+"/"+p)
				}
				if len(lines) == 0 {
					lines = append(lines, r.From+" "+r.To)
				}
				return strings.Join(lines, "\n")
			},
			head: []string{"FROM", "TO", "PRECISIONS", "LOSES", "NEEDS"},
			cells: func(r views.Row) []string {
				return []string{r.From, r.To, strings.Join(r.Precisions, " "), strings.Join(r.Loses, "; "), strings.Join(r.Needs, "; ")}
			},
		}
		for _, r := range views.Matrix() {
			if err := rows.add(r); err != nil {
				return err
			}
		}
		return rows.close()
	}
	return cmd
}
