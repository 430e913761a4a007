package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
)

func warmCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:     "warm PATH...",
		Short:   "convert views of a mount now, so that the first reader does not wait",
		GroupID: groupMount,
		Long: `Converts views of a mount now. PATH is a file in a mount, or a folder with all its files. Each
PATH is printed on stdout once it is complete: sealed in the cache, or held in memory where it is small.`,
		Example: `  isomerfs warm /mnt/models/resnet50/v3/safetensors/fp16/model.safetensors
  isomerfs warm /mnt/models/*/latest/onnx/fp16`,
		Args: arguments(-1, "PATH"),
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return warm(cmd.Context(), args, quiet) }
	return cmd
}

func warm(ctx context.Context, paths []string, quiet bool) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	failed := 0
	for _, path := range paths {
		err := warmOne(ctx, all, path, quiet)
		switch {
		case err == nil:
			if _, err := fmt.Println(path); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case len(paths) == 1:
			return err
		default: // the others may still be made
			failed++
			tell(err)
		}
	}
	if failed > 0 {
		return fault.New(fault.Absent, "%d of %s could not be made", failed, plural(len(paths), "path"))
	}
	return nil
}

func warmOne(ctx context.Context, all []mount, path string, quiet bool) error {
	m, rest, ok := inMount(all, path)
	if !ok {
		return fault.In(path, fault.New(fault.Unsupported, "lies in no mount").Remedied("isomerfs convert makes files without a mount"))
	}
	d, err := dial(ctx, m)
	if err != nil {
		return err
	}
	var bar *progress
	defer func() {
		if bar != nil {
			bar.close()
		}
	}()
	err = d.ask(ctx, "warm", m.tree(rest), func(raw json.RawMessage) error {
		var f filling
		if err := json.Unmarshal(raw, &f); err != nil {
			return err
		}
		if bar == nil {
			bar = newProgress(f.Size, path, quiet)
		}
		bar.set(f.Done)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		err = replaced(path, err)
	}
	return err
}
