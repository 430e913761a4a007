package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
	"github.com/isomerfs/isomerfs/views"
)

func convertCommand() *cobra.Command {
	var to, out string
	var quiet bool
	cmd := &cobra.Command{
		Use:     "convert SRC --to FORMAT[/PRECISION] [-o OUT]",
		Short:   "convert a model to a file or folder: what a mount would serve, without a mount",
		GroupID: groupModel,
		Long: `Converts SRC, a model file or folder or a path in a store or mount, to the same bytes that a
mount serves as MODEL/VERSION/FORMAT/PRECISION. OUT is a file, or a folder where the view has
several files; it is never overwritten, and a failure leaves nothing. "-o -" writes to stdout.
Without -o, OUT is named like the view and made in the current folder. Without PRECISION, it is
the stored one, or else the first that FORMAT has.`,
		Example: `  isomerfs convert model.safetensors --to safetensors/fp16 -o half.safetensors
  isomerfs convert /srv/models/resnet50 --to npy -o arrays
  isomerfs convert model.safetensors --to safetensors/bf16 -o - | ssh host 'cat > model.safetensors'`,
		Args: arguments(1, "SRC"),
	}
	cmd.Flags().StringVarP(&to, "to", "t", "", "the view, such as safetensors/fp16 (see isomerfs formats)")
	cmd.Flags().StringVarP(&out, "output", "o", "", `the file or folder to make, or "-" for stdout`)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" {
			return misuse(cmd, "--to is missing: a view such as safetensors/fp16")
		}
		if name, _, _ := strings.Cut(to, "/"); !hasView(name) {
			return misuse(cmd, "--to %s: there is no format %q, only %s", to, name, strings.Join(viewNames(), ", "))
		}
		return convert(cmd.Context(), args[0], to, out, quiet)
	}
	return cmd
}

func viewNames() []string {
	var names []string
	for _, v := range views.Table {
		names = append(names, v.Name)
	}
	return names
}

// output is one file to make.
type output struct {
	path string // below OUT; "" when OUT is the file itself
	perm fs.FileMode
	size int64
	file *layout.File
	node *tree.Node
}

func convert(ctx context.Context, src, to, out string, quiet bool) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, src, asOneModel)
	if err != nil {
		return err
	}
	view, err := t.view(ctx, to)
	var files []output
	if err == nil {
		files, err = t.outputs(ctx, view)
	}
	if err != nil {
		if broken := t.unreadable(ctx); broken != nil {
			err = broken
		}
		return fault.In(t.given, err)
	}
	var total int64
	for _, f := range files {
		total += f.size
	}
	single := len(files) == 1 && files[0].path == ""
	bar := newProgress(total, path.Base(src)+" to "+to, quiet)
	defer bar.close()
	if out == "-" {
		if !single {
			return fault.In(to, fault.New(fault.Unsupported, "is %s, and stdout takes one", plural(len(files), "file")).Remedied("give a folder to make: -o OUT"))
		}
		ws := newWorkspace(os.TempDir())
		defer ws.close()
		return stream(ctx, files[0].file, ws, os.Stdout, bar)
	}
	if out == "" {
		out = defaultOut(view, files, single)
	}
	if single {
		err = makeFile(ctx, out, files[0], bar)
	} else {
		err = makeFolder(ctx, out, files, total, bar)
	}
	if err != nil {
		return err
	}
	bar.close()
	if !quiet {
		_, err = fmt.Println(out)
	}
	return err
}

// defaultOut is what is made without -o: a view's one file by its own name, else a folder named like the view.
func defaultOut(view *tree.Node, files []output, single bool) string {
	if single {
		return files[0].node.Name
	}
	parts := strings.Split(view.Path, "/")
	if n := len(parts); n >= 2 && hasView(parts[n-2]) {
		return parts[n-2] + "-" + parts[n-1]
	}
	return view.Name
}

// version is the folder of the one version that the target is or lies in: of a model its latest.
func (t *target) version(ctx context.Context) (*tree.Node, error) {
	p := t.path
	node, err := t.tree.Resolve(ctx, p)
	if err != nil {
		return nil, t.absent(ctx, err)
	}
	if d, err := t.store.Dir(ctx, node.Path); err == nil && !d.Model {
		model, err := t.onlyModel(ctx, node)
		if err != nil {
			return nil, fault.In(t.given, err)
		}
		if node, err = t.tree.Resolve(ctx, model); err != nil {
			return nil, fault.In(t.given, err)
		}
	}
	if t.tree.Version(node) == nil { // a model
		if node, err = t.tree.Resolve(ctx, path.Join(node.Path, "latest")); err != nil {
			return nil, t.absent(ctx, err)
		}
	}
	if v := t.tree.Version(node); v != nil {
		return v, nil
	}
	return nil, fault.In(t.given, fault.New(fault.Absent, "no model is here"))
}

// unreadable is why the plain file that was named is no model; nil where it is one. The models beside it may be at fault
// as well, and are not what was asked for.
func (t *target) unreadable(ctx context.Context) error {
	if t.stored == "" {
		return nil
	}
	node, err := t.node(ctx)
	if err == nil {
		_, err = t.tree.Model(ctx, node)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return replaced(t.given, err)
}

// onlyModel is the path of the model of a store that has one.
func (t *target) onlyModel(ctx context.Context, root *tree.Node) (string, error) {
	several := errors.New("several")
	found := ""
	err := t.tree.Models(ctx, root, func(path string, _ *tree.Shown, _ error) error {
		if found != "" {
			return several
		}
		found = path
		return nil
	})
	switch {
	case errors.Is(err, several):
		return "", fault.New(fault.Unsupported, "is a store of several models").Remedied("name one: %s/MODEL", t.given)
	case err == nil && found == "":
		return "", fault.New(fault.Absent, "no model is here")
	}
	return found, err
}

// view is the node of a view of the target's version: a folder FORMAT/PRECISION, or FORMAT where it has no precisions.
func (t *target) view(ctx context.Context, to string) (*tree.Node, error) {
	version, err := t.version(ctx)
	if err != nil {
		return nil, err
	}
	p := path.Join(version.Path, path.Clean("/"+to))
	node, err := t.tree.Resolve(ctx, p)
	if err != nil {
		at := *t
		at.path, at.stored, at.given = p, "", t.given+": "+to
		at.daemon = nil // the files count as they lie there, not as the mount sees them
		return nil, at.absent(ctx, err)
	}
	if name, precision, _ := strings.Cut(to, "/"); precision != "" || node.Kind != tree.Folder || !hasPrecisions(name) {
		return node, nil
	}
	entries, err := t.tree.List(ctx, node)
	if err != nil {
		return nil, fault.In(t.given, err)
	}
	var first *tree.Node
	for _, e := range entries {
		if e.Kind != tree.Folder {
			continue
		}
		below, err := t.tree.Lookup(ctx, node, e.Name)
		if err != nil {
			return nil, fault.In(t.given, err)
		}
		if first == nil {
			first = below
		}
		stored := true
		err = t.tree.Walk(ctx, below, func(n *tree.Node) error {
			stored = stored && (n.Kind != tree.Regular || n.File.Source != nil)
			return nil
		})
		if err == nil && stored {
			return below, nil
		}
	}
	if first == nil {
		return nil, fault.In(t.given+": "+to, fault.New(fault.Absent, "no precision can be made"))
	}
	return first, nil
}

func hasPrecisions(format string) bool {
	return slices.ContainsFunc(views.Table, func(v views.View) bool { return v.Name == format && v.Precisions != nil })
}

// outputs are the files of a view: where one stored file was named, those that are made of it alone.
func (t *target) outputs(ctx context.Context, view *tree.Node) ([]output, error) {
	var of *tree.Node
	if node, err := t.node(ctx); err == nil && node.File != nil && node.File.Source != nil {
		version := t.tree.Version(node)
		if version != nil && strings.HasPrefix(node.Path, version.Path+"/source/") {
			of = node
		}
	}
	var files []output
	err := t.files(ctx, view, func(n *tree.Node) error {
		if of != nil {
			if made, err := t.tree.MadeOf(ctx, n, of); err != nil || !made {
				return err
			}
		}
		file, err := bytesOf(ctx, n)
		if err != nil {
			return err
		}
		files = append(files, output{
			path: strings.TrimPrefix(strings.TrimPrefix(n.Path, view.Path), "/"),
			perm: permissions(n.Attr.Mode), size: file.Size(), file: file, node: n,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fault.New(fault.Absent, "nothing is made of it in %s", view.Path)
	}
	if of != nil { // the folders of its own that it has beside other models
		for dir, _, ok := strings.Cut(files[0].path, "/"); ok; dir, _, ok = strings.Cut(files[0].path, "/") {
			if slices.ContainsFunc(files, func(f output) bool { return !strings.HasPrefix(f.path, dir+"/") }) {
				break
			}
			for i := range files {
				files[i].path = strings.TrimPrefix(files[i].path, dir+"/")
			}
		}
	}
	if len(files) == 1 && !strings.Contains(files[0].path, "/") {
		files[0].path = ""
	}
	return files, nil
}

// permissions of a new file: who may read the view may read it, and who may read it may write it; the umask takes its
// share as always.
func permissions(read fs.FileMode) fs.FileMode { return 0o600 | read&0o044 | read&0o044>>1 }

// makeFile makes the file out. Nothing is left of it after a failure.
func makeFile(ctx context.Context, out string, f output, bar *progress) error {
	if err := vacant(out, f.size); err != nil {
		return err
	}
	file, err := newFile(out, f.perm)
	if err != nil {
		return placed(out, err)
	}
	defer file.discard()
	ws := newWorkspace(filepath.Dir(out))
	defer ws.close()
	if err := write(ctx, f, ws, file.File, bar); err != nil {
		return written(out, err)
	}
	if err := file.publish(out); err != nil {
		return written(out, err)
	}
	return nil
}

// makeFolder makes the folder out with files in it.
func makeFolder(ctx context.Context, out string, files []output, total int64, bar *progress) (err error) {
	if err := vacant(out, total); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.tmp")
	if err != nil {
		return placed(out, err)
	}
	defer os.RemoveAll(temporary)
	ws := newWorkspace(temporary)
	defer ws.close()
	for _, f := range files {
		name := filepath.Join(temporary, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return written(out, err)
		}
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, f.perm)
		if err != nil {
			return written(out, err)
		}
		err = write(ctx, f, ws, file, bar)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return written(out, err)
		}
	}
	ws.close()
	if err := os.Chmod(temporary, 0o777&^umask()); err != nil { // MkdirTemp makes private folders
		return written(out, err)
	}
	return written(out, renameNew(temporary, out))
}

// vacant fails when out exists, or when its disk plainly has no room for so many bytes.
func vacant(out string, bytes int64) error {
	if _, err := os.Lstat(out); err == nil {
		return occupied(out)
	}
	dir := filepath.Dir(out)
	info, err := os.Stat(dir)
	if err != nil {
		return placed(dir, err)
	}
	if !info.IsDir() {
		return fault.In(dir, fault.New(fault.Denied, "is no folder"))
	}
	if free, ok := freeSpace(dir); ok && free < bytes {
		return fault.In(out, fault.New(fault.Space, "no space for it: it takes %s and %s has %s free", size(bytes), dir, size(free)))
	}
	return nil
}

// occupied is the refusal to overwrite.
func occupied(out string) error {
	return fault.In(out, fault.New(fault.Denied, "exists, and is never overwritten").Remedied("remove it, or give another name with -o"))
}

// written says which file could not be written, when the operating system says why; faults of the source name the
// source already.
func written(out string, err error) error {
	var system *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return occupied(out)
	case errors.As(err, &link):
		return placed(out, link.Err)
	case errors.As(err, &system) && fault.KindOf(err) == fault.Unknown:
		return placed(out, system.Err)
	}
	return err
}
