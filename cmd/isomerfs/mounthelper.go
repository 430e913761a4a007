package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isomerfs/isomerfs/fault"
)

// The exit codes that mount(8) passes on, of a helper of its.
const (
	mountUsage   = 1
	mountSystem  = 2
	mountStopped = 8
	mountFailed  = 32
)

// helperName is the name under which mount(8) looks for a program that mounts the type isomerfs.
const helperName = "mount.isomerfs"

// ignored are mount options that are for mount(8), the kernel or init, and mean nothing here. x-* and X-* belong to
// them. A mount of ours is read-only whatever the table says: rw is what mount(8) adds where nobody said ro.
var ignored = []string{
	"ro", "rw", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "exec", "noexec", "suid",
	"nosuid", "dev", "nodev", "atime", "noatime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime", "diratime", "nodiratime",
	"sync", "async", "dirsync", "silent", "loud", "iversion", "noiversion", "mand", "nomand", "remount",
}

// ignorable reports whether an option means nothing to us.
func ignorable(option string) bool {
	name, _, _ := strings.Cut(option, "=")
	lower := strings.ToLower(name)
	return slices.Contains(ignored, name) || strings.HasPrefix(lower, "x-") || name == "comment"
}

// helperCall is a call by mount(8): mount.isomerfs SPEC DIR [-sfnv] [-N NS] [-o OPTIONS] [-t TYPE.SUBTYPE].
type helperCall struct {
	spec, dir string
	options   []string
	fake      bool // check, and mount nothing
	sloppy    bool // options that are not known are left out
	verbose   bool
}

// parseHelper reads the words after the program's name. Options may stand before, between and after the two names.
func parseHelper(args []string) (*helperCall, error) {
	c := &helperCall{}
	var names []string
	for i := 0; i < len(args); i++ {
		word := args[i]
		if len(word) < 2 || word[0] != '-' {
			names = append(names, word)
			continue
		}
		for j := 1; j < len(word); j++ {
			letter := word[j]
			switch letter {
			case 's':
				c.sloppy = true
				continue
			case 'f':
				c.fake = true
				continue
			case 'n', 'r', 'w':
				continue
			case 'v':
				c.verbose = true
				continue
			case 'o', 'N', 't':
			default:
				return nil, errors.New("-" + string(letter) + ": mount(8) has no such option for its helpers")
			}
			value := word[j+1:]
			if value == "" {
				if i++; i == len(args) {
					return nil, errors.New("-" + string(letter) + " needs a value")
				}
				value = args[i]
			}
			if letter == 'o' {
				c.options = append(c.options, splitOptions(value)...)
			}
			break
		}
	}
	if len(names) != 2 {
		return nil, errors.New("needs the store and the mount point: " + helperName + " STORE MOUNTPOINT [-o OPTION,...]")
	}
	c.spec, c.dir = names[0], names[1]
	return c, nil
}

// settings are the options of the call that are ours.
func (c *helperCall) settings() (*settings, error) {
	var given []assignment
	for _, o := range c.options {
		if ignorable(o) {
			continue
		}
		name, value, _ := strings.Cut(o, "=")
		a := assignment{optionName(name), unquote(value), name}
		if c.sloppy && !slices.ContainsFunc(options, func(o option) bool { return o.name == a.name }) {
			continue
		}
		given = append(given, a)
	}
	return loadSettings(given)
}

// runHelper is the program as mount(8) calls it.
func runHelper(ctx context.Context, args []string) int {
	c, err := parseHelper(args)
	if err != nil {
		tell(&usageError{err.Error(), "isomerfs mount"})
		return mountUsage
	}
	err = c.mount(ctx)
	code := tell(err)
	switch {
	case err == nil:
		return exitDone
	case code == exitUsage, errors.Is(err, fault.Denied), errors.Is(err, os.ErrPermission):
		return mountUsage
	case errors.Is(err, context.Canceled):
		return mountStopped
	case errors.Is(err, fault.Space):
		return mountSystem
	}
	return mountFailed
}

// mount mounts, and says nothing about it unless it was asked to, as mount(8) wants its helpers.
func (c *helperCall) mount(ctx context.Context) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	m := mounting{store: c.spec, point: c.dir, settings: s}
	if parent := theParent(); parent != nil {
		m.background = true
		return parent.serve(ctx, m)
	}
	if c.fake {
		_, err := m.check()
		return err
	}
	return launch(ctx, !c.verbose)
}

// calledAsHelper reports whether mount(8) called us, and with which words: as mount.isomerfs; or, for the type
// fuse.isomerfs, through mount.fuse3, with a store and a mount point and no command before them.
func calledAsHelper(args []string) ([]string, bool) {
	if filepath.Base(args[0]) == helperName {
		return args[1:], true
	}
	if len(args) >= 5 && strings.ContainsAny(args[1], "/:") && !strings.HasPrefix(args[1], "-") && strings.HasPrefix(args[2], "/") && args[3] == "-o" {
		return args[1:], true
	}
	return nil, false
}
