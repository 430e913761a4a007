package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isomerfs/isomerfs/fault"
)

// versions makes a store of a model m with three versions, and a loose file.
func versions(t *testing.T) (Store, string) {
	t.Helper()
	dir := t.TempDir()
	for _, v := range []string{"v1", "v2", "v10"} {
		if err := os.MkdirAll(filepath.Join(dir, "m", v), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "m", v, "model.onnx"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "loose.onnx"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{Settle: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestAlias(t *testing.T) {
	ctx := context.Background()
	s, dir := versions(t)
	now := func() string {
		to, err := os.Readlink(filepath.Join(dir, "m", "champion"))
		if err != nil {
			return ""
		}
		return to
	}
	for _, step := range []struct{ to, from, want string }{{"v1", "", "v1"}, {"2", "v1", "v2"}, {"latest", "v2", "v10"}, {"champion", "v10", "v10"}} {
		m, err := SetAlias(ctx, s, "m", "champion", step.to)
		if err != nil || m.From != step.from || m.To != step.want || now() != step.want {
			t.Fatalf("champion to %s: %+v, %v; it leads to %s", step.to, m, err, now())
		}
	}
	if d, err := s.Dir(ctx, "m"); err != nil || len(d.Aliases) != 1 || d.Aliases[0] != (Alias{"champion", "v10"}) || len(d.Versions) != 3 {
		t.Errorf("the store shows %+v, %v", d, err)
	}
	for _, want := range []string{"v2", "v1", ""} {
		if m, err := UndoAlias(ctx, s, "m", "champion"); err != nil || m.To != want || now() != want {
			t.Fatalf("undone to %q: %+v, %v; it leads to %q", want, m, err, now())
		}
	}
	if _, err := UndoAlias(ctx, s, "m", "champion"); !errors.Is(err, fault.Absent) {
		t.Errorf("there was nothing left to undo: %v", err)
	}
	if _, err := SetAlias(ctx, s, "m", "champion", "v1"); err != nil {
		t.Fatal(err)
	}
	if m, err := UndoAlias(ctx, s, "m", "champion"); err != nil || m.To != "" {
		t.Errorf("a move after undone ones: %+v, %v", m, err)
	}
}

// TestAliasRefused: what can be no alias stays as it is.
func TestAliasRefused(t *testing.T) {
	ctx := context.Background()
	s, dir := versions(t)
	for _, c := range []struct {
		model, name, version string
		kind                 fault.Kind
		says                 string
	}{
		{"m", "champion", "v7", fault.Absent, "no version v7"},
		{"nobody", "champion", "v1", fault.Absent, "nobody"},
		{"", "champion", "v1", fault.Denied, "folder of models"},
		{"m", "v3", "v1", fault.Denied, "versions are called"},
		{"m", "a/b", "v1", fault.Denied, "no alias"},
		{"m", ".hidden", "v1", fault.Denied, "no alias"},
		{"m", "", "v1", fault.Denied, "no alias"},
		{"loose", "champion", "v1", fault.Denied, ""},
	} {
		if _, err := SetAlias(ctx, s, c.model, c.name, c.version); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "m", "notes"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := SetAlias(ctx, s, "m", "notes", "v1"); !errors.Is(err, fault.Denied) {
		t.Errorf("a folder became an alias: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "m", ".*tmp"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
