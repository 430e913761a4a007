package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The groups of the help text.
const (
	groupMount = "mount"
	groupModel = "model"
	groupHost  = "host"
)

const about = `isomerfs serves one stored copy of a model as plain files of every format and
precision its users need. A file is converted when it is first read.

PATH is a path in a mount, or below a store (STORE/MODEL/VERSION/safetensors/fp16/model.safetensors),
or a plain model file or folder; MODEL alone is its latest version.`

// newRoot is the command tree. It is made anew for each run, so that tests share nothing.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "isomerfs",
		Short:         "one stored copy of a model, every format and precision, as plain files",
		Long:          about,
		Version:       builtVersion().Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return misuse(cmd, "which command?")
		},
	}
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	root.SetVersionTemplate("isomerfs {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, "%s", err.Error()) })
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: groupMount, Title: "Mounts:"},
		&cobra.Group{ID: groupModel, Title: "Models, with and without a mount:"},
		&cobra.Group{ID: groupHost, Title: "This program and this host:"},
	)
	root.AddCommand(
		mountCommand(), umountCommand(), statusCommand(), warmCommand(), pathCommand(), runCommand(),
		lsCommand(), showCommand(), diffCommand(), aliasCommand(), whyCommand(), layoutCommand(), convertCommand(), planCommand(), verifyCommand(),
		cacheCommand(), doctorCommand(), formatsCommand(), completionCommand(), manualCommand(), versionCommand(),
	)
	completePaths(root)
	help := helpCommand()
	root.SetHelpCommand(help)
	root.SetHelpCommandGroupID(groupHost)
	return root
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "what a command does",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// arguments checks that those with names are given, and at most max in all (-1: any number).
func arguments(max int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return misuse(cmd, "%s is missing", names[len(args)])
		case max == 0 && len(args) > 0:
			return misuse(cmd, "%s: the command takes no arguments", args[0])
		case max > 0 && len(args) > max:
			return misuse(cmd, "%s is one argument too many", args[max])
		}
		return nil
	}
}

// unknownCommand is the complaint about a word that is no command of cmd, with the nearest that is.
func unknownCommand(cmd *cobra.Command, word string) error {
	text := fmt.Sprintf("unknown command %q", word)
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return misuse(cmd, "%s", text)
}
