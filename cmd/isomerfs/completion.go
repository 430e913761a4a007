package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "completion SHELL",
		Short:   "a script that completes isomerfs commands, for bash, zsh, fish or powershell",
		GroupID: groupHost,
		Example: `  isomerfs completion bash > /etc/bash_completion.d/isomerfs
  isomerfs completion zsh > "${fpath[1]}/_isomerfs"
  isomerfs completion fish > ~/.config/fish/completions/isomerfs.fish
  isomerfs completion powershell | Out-String | Invoke-Expression`,
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := arguments(1, "SHELL")(cmd, args); err != nil {
				return err
			}
			if !slices.Contains(shells, args[0]) {
				return misuse(cmd, "no completion for %q: there is one for %s", args[0], strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(os.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(os.Stdout)
			case "fish":
				return root.GenFishCompletion(os.Stdout, true)
			default:
				return root.GenPowerShellCompletionWithDesc(os.Stdout)
			}
		},
	}
}
