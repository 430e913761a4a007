package tree

import "context"

// Watch calls changed with the canonical paths of folders whose entries, or whose files, may have changed, as the store
// learns of it. It returns when ctx ends.
func (t *Tree) Watch(ctx context.Context, changed func(path string)) error {
	return t.o.Store.Watch(ctx, func(paths []string) {
		for _, p := range paths {
			changed(p)
		}
	})
}
