package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/tree"
)

// completing is how long a shell waits for names at most. What takes longer is completed as plain files.
const completing = time.Second

// completePaths lets each command below c that takes paths complete them, those that take none nothing.
func completePaths(c *cobra.Command) {
	for _, below := range c.Commands() {
		completePaths(below)
		words := strings.Fields(below.Use)[1:]
		switch {
		case below.ValidArgsFunction != nil || below.ValidArgs != nil:
		case slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "MOUNTPOINT") }) && len(words) == 1:
			below.ValidArgsFunction = completeMounts
		case slices.ContainsFunc(words, takesPath):
			below.ValidArgsFunction = completePath
		case len(words) == 0:
			below.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// takesPath reports whether a word of a usage line stands for a path.
func takesPath(word string) bool {
	return slices.ContainsFunc([]string{"PATH", "STORE", "SRC", "MODEL", "VIEW"}, func(name string) bool { return strings.Contains(word, name) })
}

// completeMounts gives the mount points of this host.
func completeMounts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var points []string
	if all, err := mounts(); err == nil {
		for _, m := range all {
			points = append(points, m.point)
		}
	}
	return points, cobra.ShellCompDirectiveNoFileComp
}

// completePath gives what a path may go on with where that is no folder which the shell can list: the versions of a
// model, and the views of a version, that no mount shows. No tensor is read for it.
func completePath(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completing)
	defer cancel()
	found := make(chan []string, 1)
	go func() { found <- pathsFrom(ctx, begun) }()
	select {
	case names := <-found:
		if len(names) > 0 {
			return names, cobra.ShellCompDirectiveNoSpace
		}
	case <-ctx.Done(): // also where a file system hangs
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// pathsFrom lists the paths that begin so, those of folders with a slash at the end. There are none where the shell
// sees them as well.
func pathsFrom(ctx context.Context, begun string) []string {
	folder, prefix := begun[:strings.LastIndex(begun, "/")+1], begun[strings.LastIndex(begun, "/")+1:]
	at := folder
	if at == "" {
		at = "."
	}
	l, err := newLocator()
	if err != nil {
		return nil
	}
	if _, _, ok := inMount(l.mounts, at); ok {
		return nil
	}
	var names []string
	add := func(name string, isFolder bool) {
		if !strings.HasPrefix(name, prefix) || prefix == "" && strings.HasPrefix(name, ".") {
			return
		}
		if isFolder {
			name += "/"
		}
		if full := folder + name; !slices.Contains(names, full) {
			names = append(names, full)
		}
	}
	if stored, err := os.ReadDir(at); err == nil {
		whole, err := filepath.Abs(at)
		if err != nil {
			return nil
		}
		if _, err := l.plain(whole); err != nil { // neither a model nor a version
			return nil
		}
		for _, e := range stored {
			info, err := os.Stat(filepath.Join(at, e.Name()))
			add(e.Name(), err == nil && info.IsDir())
		}
	}
	t, err := l.locate(ctx, at, asMounted)
	if err != nil {
		return names
	}
	node, err := t.tree.Resolve(ctx, t.path)
	if err != nil {
		return names
	}
	entries, err := t.tree.List(ctx, node)
	if err != nil {
		return names
	}
	for _, e := range entries {
		add(e.Name, e.Kind != tree.Regular)
	}
	return names
}

// completeOptions gives the names of mount options for the last of those that -o has, and what a name may be set to.
func completeOptions(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cut := strings.LastIndex(begun, ",") + 1
	before, last := begun[:cut], begun[cut:]
	var words []string
	for _, o := range options {
		if name, _, ok := strings.Cut(last, "="); ok {
			if optionName(name) == o.name {
				for _, c := range o.choices() {
					words = append(words, before+name+"="+c)
				}
			}
			continue
		}
		if !strings.HasPrefix(o.name, last) {
			continue
		}
		word := before + o.name
		if o.value != "" {
			word += "="
		}
		words = append(words, cobra.CompletionWithDesc(word, o.usage))
	}
	return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// complete gives the values of one option's flag.
func (o option) complete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch o.value {
	case "DIR":
		return nil, cobra.ShellCompDirectiveFilterDirs
	case "FILE":
		return nil, cobra.ShellCompDirectiveDefault
	}
	return o.choices(), cobra.ShellCompDirectiveNoFileComp
}

// choices are the words that an option may be set to, where these are few: those of its placeholder, or those that its
// explanation begins with.
func (o option) choices() []string {
	if strings.Contains(o.value, "|") {
		return strings.Split(o.value, "|")
	}
	words, _, _ := strings.Cut(o.usage, ":")
	words, _, _ = strings.Cut(words, " (")
	words = strings.ReplaceAll(words, " or ", ", ")
	list := strings.Split(words, ", ")
	for _, w := range list {
		if w == "" || strings.ContainsAny(w, " ") || o.set(&settings{}, w) != nil {
			return nil
		}
	}
	return list
}
