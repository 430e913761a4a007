package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/tree"
)

// fitting is a row of plan.
type fitting struct {
	View  string `json:"view"`     // FORMAT/PRECISION
	Size  int64  `json:"size"`     // of its files
	Cache int64  `json:"kv_cache"` // of the keys and values of the context
	Total int64  `json:"total"`
	Fits  bool   `json:"fits"`

	Context int64 `json:"context"` // tokens
}

func planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan --fit SIZE MODEL",
		Short: "which precisions of a language model fit, from their layouts alone",
		Long: `Says what each precision of a language model takes in memory: its file, exactly, and the keys and values
of a context, in float16. What a program needs besides, some hundred megabytes, is not in it. Nothing is
converted, and no weight is read.`,
		GroupID: groupModel,
		Example: `  isomerfs plan --fit 24G /srv/models/llama
  isomerfs plan --fit 8G --context 32768 -q model.gguf     the views that fit, one a line`,
		Args: arguments(1, "MODEL"),
	}
	f := formatFlags(cmd, "the views that fit")
	fit := cmd.Flags().String("fit", "", "the memory there is, such as 24G")
	tokens := cmd.Flags().Int64("context", 0, "tokens of the context (8192, or what the model was made for where that is less)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *fit == "" {
			return misuse(cmd, "--fit is missing: how much memory is there?")
		}
		most, err := parseSize(*fit)
		if err != nil {
			return misuse(cmd, "--fit: %s", fault.Reason(err))
		}
		if *tokens < 0 || cmd.Flags().Changed("context") && *tokens == 0 {
			return misuse(cmd, "--context: %d is no number of tokens", *tokens)
		}
		return plan(cmd.Context(), args[0], most, *tokens, f)
	}
	return cmd
}

func plan(ctx context.Context, path string, most, tokens int64, f *format) error {
	l, err := newLocator()
	if err != nil {
		return err
	}
	t, err := l.locate(ctx, path, asOneModel)
	if err != nil {
		return err
	}
	node, err := t.node(ctx)
	if err != nil {
		return t.absent(ctx, err)
	}
	if d, err := t.store.Dir(ctx, node.Path); err == nil && !d.Model {
		return fault.In(t.given, fault.New(fault.Usage, "it is a folder of models; plan one of them"))
	}
	list, err := t.tree.Fits(ctx, node, tokens)
	if err != nil {
		return replaced(t.given, err)
	}
	rows := listing[fitting]{
		format: f,
		name:   func(r fitting) string { return r.View },
		head:   []string{"VIEW", "SIZE", "KV CACHE", "TOTAL", "FITS"},
		cells: func(r fitting) []string {
			return []string{r.View, size(r.Size), size(r.Cache), size(r.Total), yes(r.Fits)}
		},
	}
	fits := 0
	for _, x := range list {
		r := newFitting(x, most)
		if r.Fits {
			fits++
		}
		if f.quiet && !r.Fits {
			continue
		}
		if err := rows.add(r); err != nil {
			return err
		}
	}
	if err := rows.close(); err != nil {
		return err
	}
	if fits == 0 { // an answer, not a failure
		tell(fault.In(t.given, fault.New(fault.Limit, "no precision fits %s with a context of %d tokens", size(most), list[0].Tokens)))
	}
	return nil
}

func newFitting(x tree.Fit, most int64) fitting {
	r := fitting{View: x.View, Size: x.Size, Cache: x.Memory, Total: x.Size + x.Memory, Context: x.Tokens}
	r.Fits = r.Total >= 0 && r.Total <= most
	return r
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
