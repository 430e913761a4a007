package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

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
		Args: arguments(2, 2, "a store and a mount point"),
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
		return launch(cmd.Context())
	}
	return cmd
}

// mounting is a mount that was asked for.
type mounting struct {
	store, point string // as given
	*settings
	background bool
}

// place is where things lie on this host, checked.
type places struct {
	store string // its folder, without links
	point string // likewise
}

// check refuses what can't be mounted, and lifts a dead mount of ours from the mount point.
func (m *mounting) check(ctx context.Context) (places, error) {
	var p places
	if m.verify != "structure" {
		return p, fault.In("verify="+m.verify, fault.New(fault.Unsupported, "this level is not built yet").Remedied("use verify=structure"))
	}
	if m.allowOther {
		if err := othersAllowed(); err != nil {
			return p, err
		}
	}
	var err error
	if p.store, err = folder(strings.TrimPrefix(m.store, "isomerfs:"), "the store"); err != nil {
		if _, whole := folder(m.store, "the store"); whole != nil { // a folder may be called so
			return p, err
		}
		p.store, _ = folder(m.store, "the store")
	}
	if err := lift(ctx, m.point); err != nil {
		return p, err
	}
	if p.point, err = folder(m.point, "the mount point"); err != nil {
		return p, err
	}
	if err := unmounted(p.point); err != nil {
		return p, err
	}
	if within(p.point, p.store) {
		return p, fault.In(p.point, fault.New(fault.Denied, "the mount point lies in the store %s", p.store).Remedied("mount outside the store"))
	}
	if within(p.store, p.point) {
		return p, fault.In(p.point, fault.New(fault.Denied, "the store %s lies in the mount point, which would hide it", p.store).Remedied("mount elsewhere"))
	}
	if within(realAsFarAsThere(m.cacheDir), p.point) {
		return p, fault.In(p.point, fault.New(fault.Denied, "the cache %s lies in the mount point, which would hide it", m.cacheDir).Remedied("mount elsewhere, or give another cache_dir"))
	}
	return p, nil
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

// realAsFarAsThere is a path without links, as far as it exists.
func realAsFarAsThere(path string) string {
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// lift unmounts a mount of ours at point whose daemon has died. A living one, or one that hangs, is refused.
func lift(ctx context.Context, point string) error {
	for range 8 { // mounts may be stacked
		all, err := mounts()
		if err != nil {
			return err
		}
		m, rest, ok := inMount(all, point)
		if !ok {
			return nil
		}
		if rest != "" {
			return fault.In(point, fault.New(fault.Denied, "the mount point lies in the mount of isomerfs at %s", m.point).Remedied("mount elsewhere"))
		}
		switch err := isofs.Answers(m.point); {
		case errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.ECONNABORTED):
			if err := detach(ctx, m.point, true); err != nil {
				return err
			}
		case errors.Is(err, fault.Timeout):
			return fault.In(point, err)
		default:
			return fault.In(point, fault.New(fault.Denied, "%s is mounted there already", m.source).Remedied("isomerfs umount %s takes it away", m.point))
		}
	}
	return nil
}

// othersAllowed refuses allow_other where an ordinary user may not have it.
func othersAllowed() error {
	if os.Geteuid() == 0 {
		return nil
	}
	const conf = "/etc/fuse.conf"
	text, err := os.ReadFile(conf)
	if err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.TrimSpace(line) == "user_allow_other" {
				return nil
			}
		}
	}
	return fault.In("allow_other", fault.New(fault.Denied, "%s does not allow it to ordinary users", conf).Remedied("add the line user_allow_other to %s", conf))
}
