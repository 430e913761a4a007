package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseHelper(t *testing.T) {
	for _, c := range []struct {
		words   string
		spec    string
		options []string
		fake    bool
		sloppy  bool
		verbose bool
		wrong   string
	}{
		{words: "isomerfs:/srv /mnt -o rw,noatime,cache_size=1G", spec: "isomerfs:/srv", options: []string{"rw", "noatime", "cache_size=1G"}},
		{words: "/srv /mnt -v -o rw", spec: "/srv", options: []string{"rw"}, verbose: true},
		{words: "/srv /mnt -sfnv -o rw -t isomerfs.sub -N /proc/1/ns/mnt", spec: "/srv", options: []string{"rw"}, fake: true, sloppy: true, verbose: true},
		{words: "-o ro /srv /mnt -o allow_other", spec: "/srv", options: []string{"ro", "allow_other"}},
		{words: "-oro,umask=027 /srv /mnt", spec: "/srv", options: []string{"ro", "umask=027"}},
		{words: "/srv", wrong: "the store and the mount point"},
		{words: "/srv /mnt /more", wrong: "the store and the mount point"},
		{words: "/srv /mnt -o", wrong: "-o needs a value"},
		{words: "/srv /mnt -x", wrong: "-x"},
	} {
		got, err := parseHelper(strings.Fields(c.words))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q: %v, want an error about %q", c.words, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.words, err)
			continue
		}
		if got.spec != c.spec || got.dir != "/mnt" || !slices.Equal(got.options, c.options) || got.fake != c.fake || got.sloppy != c.sloppy || got.verbose != c.verbose {
			t.Errorf("%q is %+v", c.words, got)
		}
	}
}

// TestHelperOptions: what fstab carries for others is ignored, a typo is not, but for a sloppy call.
func TestHelperOptions(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	foreign := "rw,noatime,noexec,nosuid,nodev,_netdev,nofail,user,x-systemd.automount,X-mount.mkdir,comment=hi,defaults"
	s, err := (&helperCall{options: splitOptions(foreign + ",allow_other,cache-size=2G")}).settings()
	if err != nil || !s.allowOther || s.cacheSize != 2e9 {
		t.Errorf("settings %+v, %v", s, err)
	}
	if _, err := (&helperCall{options: []string{"allow_othr"}}).settings(); err == nil || !strings.Contains(err.Error(), "allow_othr") {
		t.Errorf("a typo: %v", err)
	}
	if _, err := (&helperCall{options: []string{"allow_othr"}, sloppy: true}).settings(); err != nil {
		t.Errorf("a typo of a sloppy call: %v", err)
	}
}

func TestCalledAsHelper(t *testing.T) {
	for words, want := range map[string]string{
		"/sbin/mount.isomerfs /srv /mnt -o rw":               "/srv /mnt -o rw",
		"isomerfs /srv/models /mnt -o rw,dev,suid":           "/srv/models /mnt -o rw,dev,suid",
		"/usr/bin/isomerfs isomerfs:models /mnt -o dev,suid": "isomerfs:models /mnt -o dev,suid",
		"isomerfs mount /srv /mnt -o rw":                     "-",
		"isomerfs ls /mnt":                                   "-",
		"isomerfs":                                           "-",
		"isomerfs --version":                                 "-",
	} {
		got, ok := calledAsHelper(strings.Fields(words))
		if want == "-" && ok || want != "-" && (!ok || strings.Join(got, " ") != want) {
			t.Errorf("%q: %q, %v", words, got, ok)
		}
	}
}
