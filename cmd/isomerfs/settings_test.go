package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/tree"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"50G": 50e9, "50GB": 50e9, "50g": 50e9, "64MiB": 64 << 20, "1.5T": 1.5e12, "4096": 4096, "1 GB": 1e9, "7EiB": 7 << 60,
		"0": 0, "": 0, "many": 0, "-1G": 0, "G": 0, "1GG": 0, "9EiB": 0, "1e3": 0,
	} {
		got, err := parseSize(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "2m": 2 * time.Minute, "1h30m": 90 * time.Minute, "0s": 0, "-1s": 0, "30": 0, "": 0} {
		got, err := parseTime(text)
		if got != want && err == nil || (err == nil) != (want != 0) {
			t.Errorf("parseTime(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestSplitOptions(t *testing.T) {
	for text, want := range map[string][]string{
		"a=1,b,c=x y":        {"a=1", "b", "c=x y"},
		`dir="/a,b",ro`:      {`dir="/a,b"`, "ro"},
		",a,,b,":             {"a", "b"},
		"":                   nil,
		`unclosed="a,b`:      {`unclosed="a,b`},
		`follow=/x,follow=y`: {"follow=/x", "follow=y"},
	} {
		if got := splitOptions(text); !slices.Equal(got, want) {
			t.Errorf("splitOptions(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestPrecedence: flags win over variables, those over the user's file; what may be given several times adds up.
func TestPrecedence(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	file := filepath.Join(config, "isomerfs", "isomerfs.conf")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "# a comment\n\ncache-size = 1G   # beside a value\nfirst_open=wait\nlog_level = debug\nfollow = /a\ncache_dir = \"/c # d\"\nfills = 3\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ISOMERFS_CACHE_SIZE", "2G")
	t.Setenv("ISOMERFS_FILLS", "4")
	t.Setenv("ISOMERFS_NO_SUCH_THING", "ignored")

	cmd := mountCommand()
	if err := cmd.ParseFlags([]string{"-o", "fills=5,follow=/b,umask=027", "--cache-dir", "/e", "--allow-other", "--fills=6", "-o", "uid=7,gid=8,pickle=refuse-opaque"}); err != nil {
		t.Fatal(err)
	}
	s, err := loadSettings(*cmd.Flags().Lookup("option").Value.(*mountOptions).given)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case s.cacheSize != 2e9, s.firstOpen != "wait", s.logLevel != slog.LevelDebug, s.fills != 6, s.umask != 0o27, !s.allowOther,
		*s.uid != 7, *s.gid != 8, s.passthrough != "auto", s.verify != "structure", s.pickle != tree.RefuseOpaque, s.fillCPUs != 0:
		t.Errorf("settings are %+v", s)
	case s.cacheDir != "/e":
		t.Errorf("cache_dir is %s: the flag did not win", s.cacheDir)
	case !slices.Equal(s.follow, []string{"/a", "/b"}):
		t.Errorf("follow is %v", s.follow)
	}
}

// TestOptionsAreExplained: every option has a help text, a name that can be a variable, and refuses nonsense by name.
func TestOptionsAreExplained(t *testing.T) {
	free := []string{"cache_dir", "follow", "log"} // any text is a path
	for _, o := range options {
		if o.usage == "" || strings.Trim(o.name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("option %q is badly named or not explained", o.name)
		}
		err := assignment{o.name, "~nonsense~", "by me"}.apply(&settings{})
		if slices.Contains(free, o.name) != (err == nil) {
			t.Errorf("%s=~nonsense~: %v", o.name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "by me") || !strings.Contains(err.Error(), "~nonsense~")) {
			t.Errorf("%s: the refusal %q names neither who nor what", o.name, err)
		}
	}
}
