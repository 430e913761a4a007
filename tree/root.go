package tree

import (
	"context"
	"io/fs"
	"slices"
	"sort"

	"github.com/isomerfs/isomerfs/store"
)

// The names of the root that are no model's.
const (
	controlName = ".isomerfs"
	latest      = "latest"
)

var rootNames = []string{"README.md", "CACHEDIR.TAG", ".nomedia"} // in the order of listing

func reserved(name string) bool { return name == controlName || slices.Contains(rootNames, name) }

// cachedirTag tells backups that all of this can be made again: https://bford.info/cachedir/
const cachedirTag = `Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by isomerfs: everything here is made from the models of the store.
# For information about cache directory tags see https://bford.info/cachedir/
`

const nomedia = "Indexers of media pass this tree over.\n"

// rootItem is a node of the root that is no model; nil where there is none.
func (t *Tree) rootItem(root *Node, name string) *Node {
	switch name {
	case "README.md":
		return t.fixed(root, name, []byte(rootReadme))
	case "CACHEDIR.TAG":
		return t.fixed(root, name, []byte(cachedirTag))
	case ".nomedia":
		return t.fixed(root, name, []byte(nomedia))
	case controlName:
		n := &Node{Name: name, Path: name, Kind: Folder, in: where{place: control}}
		n.Attr = t.attr(name, folderAll, root.Attr.UID, root.Attr.GID, t.began, 0)
		return n
	}
	return nil
}

const rootReadme = `# Models, in every format

This is a read-only view of a store of models. Each version of a model shows every format and precision that can be
made of it; a file is computed when it is first read, and kept. Sizes are exact before that, so ls, du and rsync cost
nothing.

    MODEL/VERSION/FORMAT/PRECISION/FILE

    ls MODEL                                             versions, and aliases like latest
    ls MODEL/latest                                      what there is of the latest one
    cat MODEL/latest/README.md                           what is here, how to use it, and what is missing and why
    MODEL/latest/source/                                 the stored files, untouched
    MODEL/latest/safetensors/fp16/model.safetensors      the weights as float16
    MODEL/latest/tensors/index.json                      every tensor's name, type and shape
    MODEL/latest/tensors/NAME                            its bytes: little-endian, C order, no header
    MODEL/latest/npy/NAME.npy                            the same for numpy.load(..., mmap_mode="r")

Names are forgiving: half, f16 and FP16 lead to fp16; 3 leads to v3; 1.2 to the newest 1.2.x.

Everything else is in commands, which take paths in this tree:

    isomerfs why PATH       why something is not here, and what would make it appear
    isomerfs show PATH      the tensors of a model or file
    isomerfs layout PATH    where each byte of a file comes from
    isomerfs warm PATH      compute now what will be read soon
    isomerfs verify PATH    whether the stored files are sound, and have the digests that were recorded

isomerfs itself tells its state in .isomerfs/, which is not listed: cat .isomerfs/status.json
`

// liveEstimate is the size that a live document has before it is made.
const liveEstimate = 4096

// live is a document below .isomerfs, nil where there is none.
func (t *Tree) live(dir *Node, name string) *Node {
	text, ok := t.o.Live[name]
	if !ok {
		return nil
	}
	p := join(dir.Path, name)
	n := &Node{Name: name, Path: p, Kind: Regular}
	n.Attr = t.attr(p, readAll, dir.Attr.UID, dir.Attr.GID, t.began, liveEstimate)
	n.File = &File{
		Path: p, Live: true,
		XAttr:    map[string]string{"size_exact": "estimate"},
		Check:    func(context.Context) error { return nil },
		Document: func(context.Context) ([]byte, error) { return text() },
	}
	return n
}

func (t *Tree) liveNames() []string {
	names := make([]string, 0, len(t.o.Live))
	for name := range t.o.Live {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// latest is the version that latest leads to where the store does not say: the newest release that is sound, else the
// newest sound version before a release, or the newest of all where none is sound.
func (t *Tree) latest(ctx context.Context, d *store.Dir, read fs.FileMode) (string, error) {
	order := newest(d.Versions)
	for _, name := range order {
		v, err := t.enter(ctx, d.Path, name, read)
		if err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			continue // it went since it was listed
		}
		c, err := t.contents(ctx, v)
		if err != nil {
			return "", err
		}
		if c.sound() {
			return name, nil
		}
	}
	return order[0], nil
}

// newest is versions, the newest first; those before a release come after all releases.
func newest(versions []string) []string {
	order := slices.Clone(versions)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b string) int {
		switch {
		case early(a) == early(b):
			return 0
		case early(b):
			return -1
		}
		return 1
	})
	return order
}

// aliases lists the names that lead to a version, latest among them, now.
func (t *Tree) aliases(ctx context.Context, v *version) ([]string, error) {
	d, err := t.o.Store.Dir(ctx, v.Model)
	if err != nil {
		return nil, err
	}
	to := map[string]string{}
	for _, a := range d.Aliases {
		to[a.Name] = a.Target
	}
	if to[latest] == "" && len(d.Versions) > 0 && !slices.Contains(d.Versions, latest) {
		if to[latest], err = t.latest(ctx, d, v.model); err != nil {
			return nil, err
		}
	}
	list := []string{}
	for name := range to {
		end := to[name]
		for range maxLinks {
			if next, ok := to[end]; ok && end != v.Name {
				end = next
			}
		}
		if end == v.Name {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list, nil
}
