package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
)

// kept is one file of `isomerfs cache ls`.
type kept struct {
	Name string `json:"name"` // what `cache rm` takes
	Path string `json:"path"` // of the view, below the root of the mount that made it
	Size int64  `json:"size"`

	Pinned bool `json:"pinned"` // see `isomerfs path`
}

func cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cache COMMAND",
		Short:   "the cache of converted files: ls, rm, prune, verify",
		GroupID: groupHost,
		Long: `Looks after the folder in which converted files are kept. Mounts that use it may go on: what is
removed is converted again when it is read.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return misuse(cmd, "which command? ls, rm, prune or verify")
		},
	}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "cache-dir", "", "the folder (as for mount)")
	where := func() (string, error) {
		if dir != "" {
			return filepath.Abs(dir)
		}
		s, err := loadSettings(nil)
		if err != nil {
			return "", err
		}
		return s.cacheDir, nil
	}
	cmd.AddCommand(cacheLs(where), cacheRm(where), cachePrune(where), cacheVerify(where))
	return cmd
}

func cacheLs(where func() (string, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "the files in the cache",
		Args:  arguments(0),
	}
	f := formatFlags(cmd, "the names")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := where()
		if err != nil {
			return err
		}
		items, err := cache.List(dir)
		if err != nil {
			return placed(dir, err)
		}
		rows := listing[kept]{
			format: f,
			name:   func(k kept) string { return k.Name },
			head:   []string{"NAME", "SIZE", "PATH"},
			cells:  func(k kept) []string { return []string{k.Name, size(k.Size), k.Path} },
		}
		for _, i := range items {
			if err := rows.add(kept{i.Name, i.Path, i.Size, i.Pinned}); err != nil {
				return err
			}
		}
		return rows.close()
	}
	return cmd
}

func cacheRm(where func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "remove files from the cache, by the names that cache ls gives",
		Args:  arguments(-1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := cache.Remove(dir, name); err != nil {
					return fault.In(name, err)
				}
			}
			return nil
		},
	}
}

func cacheVerify(where func() (string, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "whether each file in the cache is still what was sealed",
		Args:  arguments(0),
	}
	f := formatFlags(cmd, "the names")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := where()
		if err != nil {
			return err
		}
		return verifyCache(cmd.Context(), dir, f)
	}
	return cmd
}

func verifyCache(ctx context.Context, dir string, f *format) error {
	type checked struct {
		kept
		OK     bool    `json:"ok"`
		Detail *string `json:"detail"`
	}
	rows := listing[checked]{
		format: f,
		name:   func(c checked) string { return c.Name },
		head:   []string{"", "NAME", "PATH", ""},
		cells: func(c checked) []string {
			if c.OK {
				return []string{"ok", c.Name, c.Path, ""}
			}
			return []string{"BAD", c.Name, c.Path, *c.Detail}
		},
	}
	bad := 0
	err := cache.Verify(ctx, dir, func(i cache.Item, err error) {
		row := checked{kept: kept{i.Name, i.Path, i.Size, i.Pinned}, OK: err == nil}
		if err != nil {
			bad++
			row.Detail = given(fault.Reason(err))
		}
		rows.add(row)
	})
	if closed := rows.close(); err == nil {
		err = closed
	}
	if err != nil {
		return placed(dir, err)
	}
	if bad > 0 {
		return fault.In(dir, fault.New(fault.Checksum, "%d of %s found bad", bad, plural(rows.rows, "file")).Remedied("isomerfs cache rm NAME removes one; it is converted again when it is read"))
	}
	return nil
}

func cachePrune(where func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "prune [STORE...]",
		Short: "remove what no stored file leads to any more",
		Long: `Removes the files that nothing in the stores leads to: in those whose mounts use the cache now, and
in each STORE that is named. What killed daemons have left behind goes in any case.`,
		Args: arguments(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := where()
			if err != nil {
				return err
			}
			return prune(cmd.Context(), dir, args)
		},
	}
}
