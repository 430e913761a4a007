package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	isofs "github.com/isomerfs/isomerfs/fs"
)

func mountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "mount STORE MOUNTPOINT [-o OPTION,...]",
		Short:   "show a store of models as a file system",
		GroupID: groupMount,
		Long: `Mounts STORE, a folder of models, at MOUNTPOINT, an existing folder outside it, and returns when the
mount answers. A process in the background serves it until it is unmounted.

STORE needs no preparation: models lie in MODEL/VERSION/, or as loose files, or as a Hugging Face
cache has them. Nothing is ever written to it.

Each option may be given as -o NAME=VALUE, as --NAME VALUE, as a variable ISOMERFS_NAME, or as a line
"NAME = VALUE" of /etc/isomerfs.conf or ~/.config/isomerfs/isomerfs.conf; what comes first here wins.`,
		Example: `  isomerfs mount /srv/models /mnt/models
  isomerfs mount ~/.cache/huggingface/hub ~/models -o cache_size=200G
  isomerfs mount /srv/models /mnt/models -o allow_other,cache_dir=/scratch/isomerfs`,
		Args: arguments(2, "STORE", "MOUNTPOINT"),
	}
	front := cmd.Flags().BoolP("foreground", "f", false, "stay in front; SIGTERM and SIGINT unmount")
	given := settingsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := loadSettings(*given)
		if err != nil {
			return err
		}
		m := mounting{store: args[0], point: args[1], settings: s}
		switch parent := theParent(); {
		case parent != nil:
			m.background = true
			return parent.serve(cmd.Context(), m)
		case *front:
			return m.serve(cmd.Context(), func(line string) error {
				_, err := fmt.Println(line)
				return err
			})
		}
		return launch(cmd.Context(), false)
	}
	return cmd
}

// mounting is a mount that was asked for.
type mounting struct {
	store, point string // as given
	*settings
	background bool
}

// places are where things lie on this host, checked: absolute and without links.
type places struct{ store, point string }

// check refuses what can't be mounted before anything is made for it, and lifts a dead mount of ours from the mount
// point.
func (m *mounting) check() (places, error) {
	var p places
	if m.verify != "structure" {
		return p, fault.In("verify="+m.verify, fault.New(fault.Unsupported, "this level is not built yet").Remedied("use verify=structure"))
	}
	var err error
	if p.store, err = folder(strings.TrimPrefix(m.store, "isomerfs:"), "the store"); err != nil {
		if p.store, err = folder(m.store, "the store"); err != nil { // a folder may be called so
			return p, err
		}
	}
	p.point, err = isofs.Check(isofs.Options{Mountpoint: m.point, StoreDir: p.store, CacheDir: m.cacheDir, AllowOther: m.allowOther})
	if err != nil {
		return p, err
	}
	if disk, err := filepath.EvalSymlinks(existingParent(m.cacheDir)); err == nil && (disk == p.point || strings.HasPrefix(disk, p.point+"/")) {
		return p, fault.In(p.point, fault.New(fault.Denied, "a mount here would hide the cache, %s", m.cacheDir).Remedied("mount elsewhere, or give another cache_dir"))
	}
	return p, nil
}

// existingParent is the deepest folder of a path that is there.
func existingParent(path string) string {
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// folder is the path of an existing folder, without links.
func folder(path, what string) (string, error) {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(real)
	}
	if err != nil {
		return "", fault.In(path, fault.New(fault.Absent, "%s: %w", what, bareError(err)))
	}
	if !info.IsDir() {
		return "", fault.In(path, fault.New(fault.Denied, "%s is no folder", what))
	}
	return real, nil
}

// bareError is an error of the operating system without the call and the path.
func bareError(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
