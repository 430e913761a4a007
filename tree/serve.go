package tree

import (
	"context"
	"path"

	"github.com/isomerfs/isomerfs/fault"
)

// withholds reports whether a version has no views because the alias that is served does not lead to it. The store is
// asked each time: an alias that moves makes other versions of those that it left and reached.
func (t *Tree) withholds(ctx context.Context, model, name string) (bool, error) {
	if t.o.Serve == "" {
		return false, nil
	}
	d, err := t.o.Store.Dir(ctx, model)
	if err != nil {
		return false, err
	}
	to := map[string]string{}
	for _, a := range d.Aliases {
		to[a.Name] = a.Target
	}
	end := t.o.Serve
	for range maxLinks { // an alias may lead to an alias
		next, ok := to[end]
		if !ok {
			break
		}
		if end = next; end == name {
			return false, nil
		}
	}
	return true, nil
}

// withheld is why a version that is not served has no views.
func (c *contents) withheld() *fault.Error {
	return fault.New(fault.Absent, "the version has no alias %s, and views of other versions are not served (serve=%[1]s)", c.t.o.Serve).
		Remedied("isomerfs alias %s %s %s", path.Join(c.t.o.Store.String(), c.v.Model), c.t.o.Serve, c.v.Name)
}
