package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Set by the linker (-X main.version=... -X main.commit=...). Without it the module's own build information tells.
var version, commit string

// build is what `isomerfs version` prints.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func builtVersion() build {
	b := build{version, commit, runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if ok && b.Commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	if b.Version = strings.Trim(b.Version, "()"); b.Version == "" { // (devel) is Go's word for a checkout
		b.Version = "unknown"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

// String is the build in one line.
func (b build) String() string {
	short := b.Commit
	if len(short) > 12 {
		short = short[:12]
	}
	return fmt.Sprintf("isomerfs %s (commit %s, %s, %s/%s)", b.Version, short, b.Go, runtime.GOOS, runtime.GOARCH)
}

// program is the name and version that documents bear.
func (b build) program() string { return "isomerfs " + b.Version }

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "the version of this program",
		GroupID: groupHost,
		Args:    arguments(0),
	}
	f := formatFlags(cmd, "the version")
	cmd.RunE = func(*cobra.Command, []string) error {
		b := builtVersion()
		switch {
		case f.json:
			return printJSON(os.Stdout, b)
		case f.quiet:
			_, err := fmt.Println(b.Version)
			return err
		}
		_, err := fmt.Println(b)
		return err
	}
	return cmd
}
