package tree

import (
	"context"
	"os"
	"path/filepath"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/store"
)

// Plain is a tree over one model file, seen with the files beside it, or over one folder of them, outside any store;
// and the node of what was asked for: the stored file, or the version's folder.
func Plain(ctx context.Context, path string, o Options) (*Tree, *Node, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, nil, systemFault(path, err)
	}
	s, model, version, err := store.Plain(path)
	if err != nil {
		return nil, nil, err
	}
	o.Store = s
	t := New(o)
	n, err := t.Resolve(ctx, join(model, version))
	if err != nil || st.IsDir() {
		return t, n, err
	}
	if n, err = t.Lookup(ctx, n, "source"); err != nil {
		return nil, nil, err
	}
	n, err = t.Lookup(ctx, n, filepath.Base(path))
	return t, n, err
}

// systemFault is what the operating system says of a path that the user gave.
func systemFault(path string, err error) error {
	kind := fault.IO
	switch {
	case os.IsNotExist(err):
		kind = fault.Absent
	case os.IsPermission(err):
		kind = fault.Denied
	}
	var cause *os.PathError
	if e, ok := err.(*os.PathError); ok {
		cause = e
		err = cause.Err
	}
	return fault.In(path, fault.New(kind, "%w", err))
}
