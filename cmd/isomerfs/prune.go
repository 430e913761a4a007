package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/isomerfs/isomerfs/cache"
	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/store"
	"github.com/isomerfs/isomerfs/tree"
)

// prune removes from a cache what no file of the given stores leads to, nor of those whose mounts use the cache. Where
// there is no store at all, only what is of no use to anybody goes: what killed daemons have left.
func prune(ctx context.Context, dir string, stores []string) error {
	trees, err := pruneTrees(ctx, dir, stores)
	if err != nil {
		return err
	}
	items, err := cache.List(dir)
	if err != nil {
		return placed(dir, err)
	}
	dead := map[layout.ID]bool{}
	if len(trees) > 0 {
		if dead, err = unreached(ctx, items, trees); err != nil {
			return err
		}
	}
	freed, err := cache.Prune(dir, func(i cache.Item) bool { return !dead[i.ID] })
	if err != nil {
		return placed(dir, err)
	}
	fmt.Fprintf(os.Stderr, "isomerfs: %s freed in %s\n", size(freed), dir)
	if len(trees) == 0 && len(items) > 0 {
		fmt.Fprintln(os.Stderr, "no mount uses it: name stores, and what they do not lead to goes")
	}
	return nil
}

// pruneTrees opens the stores whose files are to stay.
func pruneTrees(ctx context.Context, dir string, stores []string) ([]*tree.Tree, error) {
	l, err := newLocator()
	if err != nil {
		return nil, err
	}
	var trees []*tree.Tree
	open := func(dir string, follow []string) error {
		s, err := store.Open(dir, store.Options{Follow: follow, Settle: asTheyAre})
		if err != nil {
			return fault.In(dir, err)
		}
		trees = append(trees, l.newTree(s))
		return nil
	}
	for _, given := range stores {
		if err := open(given, l.settings.follow); err != nil {
			return nil, err
		}
	}
	for _, m := range l.mounts {
		var said serving
		d, err := dial(ctx, m)
		if err == nil {
			said, err = d.status(ctx)
		}
		if err != nil { // it may use this cache; a store that does is known by the mount table at best
			if filepath.IsAbs(m.source) {
				open(m.source, l.settings.follow)
			}
			continue
		}
		if said.Cache.Dir != nil && sameFolder(*said.Cache.Dir, dir) {
			if err := open(said.Store, said.Follow); err != nil {
				return nil, err
			}
		}
	}
	return trees, nil
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// unreached are the items that no view of the trees is, nor is made from. Most are found where they were made; for the
// rest, of models that were moved and for intermediate results, every view is looked at.
func unreached(ctx context.Context, items []cache.Item, trees []*tree.Tree) (map[layout.ID]bool, error) {
	left := map[layout.ID]bool{}
	for _, i := range items {
		left[i.ID] = true
		for _, t := range trees {
			n, err := t.Resolve(ctx, i.Path)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && n.File != nil && n.File.Layout != nil && n.File.Layout.ID() == i.ID {
				delete(left, i.ID)
				break
			}
		}
	}
	for _, t := range trees {
		if len(left) == 0 {
			break
		}
		root, err := t.Root(ctx)
		if err != nil {
			return nil, err
		}
		err = t.Walk(ctx, root, func(n *tree.Node) error {
			if n.File != nil && n.File.Layout != nil {
				delete(left, n.File.Layout.ID())
				eachMaterialized(n.File.Layout, func(id layout.ID) { delete(left, id) })
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}

// eachMaterialized calls found with the ID of everything in a file that the cache keeps by itself.
func eachMaterialized(f *layout.File, found func(layout.ID)) {
	for _, s := range f.Spans() {
		switch s := s.(type) {
		case layout.Box:
			eachMaterialized(s.In, found)
		case layout.Coded:
			for _, in := range s.In {
				eachMaterialized(in, found)
			}
		case layout.Materialized:
			if whole, err := layout.New(s); err == nil {
				found(whole.ID())
			}
			for _, in := range s.In {
				eachMaterialized(in, found)
			}
		}
	}
}
