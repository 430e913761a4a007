//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestServeApproved: under serve=approved a version's views come and go with the alias, without a remount; the stored
// file stays.
func TestServeApproved(t *testing.T) {
	needMount(t)
	s := gallery(t)
	store := s.copies(t, 0)
	m := mounted(t, store, "serve=approved")
	there := func(path string) bool {
		_, err := os.Stat(m.at(path))
		return err == nil
	}
	is := func(want bool) {
		t.Helper()
		if bad := within(10*time.Second, func() string {
			if there(view(0)) == want {
				return ""
			}
			return view(0) + " does not follow the alias"
		}); bad != "" {
			t.Error(bad)
		}
		if !there(source(0)) {
			t.Error("the stored file is gone")
		}
	}
	is(false)
	link := filepath.Join(store, "m0", "approved")
	if err := os.Symlink("v1", link); err != nil {
		t.Fatal(err)
	}
	is(true)
	m.read(view(0), s.want[view(0)], "read").wants(t, right, moment)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	is(false)
}
