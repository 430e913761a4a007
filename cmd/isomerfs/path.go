package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// realFile is where the bytes of a view lie on the disk.
type realFile struct {
	View   string `json:"view"` // as it was given
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Pinned bool   `json:"pinned"` // it stays in the cache; false for a stored file
}

func pathCommand() *cobra.Command {
	var unpin bool
	cmd := &cobra.Command{
		Use:     "path VIEW...",
		Short:   "the real file behind a view of a mount, converted and kept",
		GroupID: groupMount,
		Long: `Converts a view of a mount, waits until it is sealed, pins it in the cache, and prints the path of
the file that holds its bytes: for loaders that read with direct I/O, and for hosts without passthrough.
Of a view that is a stored file, that is its path. The file must not be written.

A pinned file stays however full the cache is, until --unpin, or isomerfs cache rm.`,
		Example: `  isomerfs path /mnt/models/llama/latest/gguf/Q4_K_M/model.gguf
  isomerfs path --unpin /mnt/models/llama/latest/safetensors/bf16/model.safetensors`,
		Args: arguments(-1, "VIEW"),
	}
	f := formatFlags(cmd, "the paths")
	cmd.Flags().BoolVar(&unpin, "unpin", false, "let the file go when its space is needed; nothing is printed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return realPaths(cmd.Context(), args, unpin, f) }
	return cmd
}

func realPaths(ctx context.Context, views []string, unpin bool, f *format) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	rows := listing[realFile]{
		format: f,
		name:   func(r realFile) string { return r.Path },
		cells:  func(r realFile) []string { return []string{r.Path} },
	}
	failed := error(nil)
	for _, view := range views {
		one, err := realPath(ctx, all, view, unpin, f.json || f.quiet)
		if err != nil {
			failed = err
			break
		}
		if !unpin {
			if failed = rows.add(one); failed != nil {
				break
			}
		}
	}
	if unpin {
		return failed
	}
	if err := rows.close(); failed == nil {
		failed = err
	}
	return failed
}

func realPath(ctx context.Context, all []mount, view string, unpin, quiet bool) (realFile, error) {
	m, rest, ok := inMount(all, view)
	if !ok {
		return realFile{}, fault.In(view, fault.New(fault.Unsupported, "lies in no mount").Remedied("isomerfs convert makes files without a mount"))
	}
	d, err := dial(ctx, m)
	if err != nil {
		return realFile{}, err
	}
	question := "path"
	if unpin {
		question = "unpin"
	} else if err := warmOne(ctx, all, view, quiet); err != nil { // with a bar
		return realFile{}, err
	}
	one, err := told[realFile](ctx, d, question, m.tree(rest))
	if err != nil && ctx.Err() == nil {
		err = replaced(view, err)
	}
	one.View = view
	return one, err
}

// realFile pins a view, or lets it go, and says where its bytes lie.
func (s *server) realFile(ctx context.Context, path string, unpin bool) (realFile, error) {
	node, err := s.tree.Resolve(ctx, path)
	if err != nil {
		return realFile{}, s.because(ctx, path, err)
	}
	if node.Kind != tree.Regular || node.File == nil {
		return realFile{}, fault.In(path, fault.New(fault.Unsupported, "is a folder: name a file in it"))
	}
	stored := node.File.Source
	if f := node.File.Layout; f != nil && stored == nil {
		stored = f.Identical()
	}
	if stored != nil {
		if _, ok := stored.(layout.Opener); !ok {
			return realFile{}, fault.In(path, fault.New(fault.Unsupported, "has no file on this host"))
		}
		return realFile{Path: stored.String(), Size: stored.Size()}, nil
	}
	if node.File.Layout == nil {
		return realFile{}, fault.In(path, fault.New(fault.Unsupported, "is a document, made anew each time").Remedied("copy it where it is needed"))
	}
	entry := s.cache.Get(node.File.Layout, node.Path)
	defer entry.Release()
	if unpin {
		return realFile{}, entry.Unpin()
	}
	real, err := entry.Pin(ctx)
	if err != nil {
		return realFile{}, fault.In(path, err)
	}
	return realFile{Path: real, Size: node.File.Layout.Size(), Pinned: true}, nil
}

// openView opens a view in a mount, and so keeps its file for as long as somebody has the descriptor.
func openView(view string) (*os.File, error) {
	f, err := os.Open(view)
	if err != nil {
		return nil, placed(view, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fault.In(view, fmt.Errorf("is no file"))
	}
	return f, nil
}
