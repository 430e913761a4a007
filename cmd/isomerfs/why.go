package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isomerfs/isomerfs/fault"
)

func whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "why PATH",
		Short:   "why a view is absent or failed, and what would make it appear",
		GroupID: groupModel,
		Example: `  isomerfs why /mnt/models/resnet50/v3/onnx/fp16/model.onnx
  isomerfs why model.safetensors/onnx/fp16`,
		Args: arguments(1, "PATH"),
	}
	f := formatFlags(cmd, "the reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		answer, err := why(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return answer.print(f)
	}
	return cmd
}

func why(ctx context.Context, path string) (reasoned, error) {
	l, err := newLocator()
	if err != nil {
		return reasoned{}, err
	}
	t, err := l.locate(ctx, path, asOneModel)
	if err != nil {
		return reasoned{}, err
	}
	return t.whyNot(ctx)
}

// whyNot is what `why` says of the target.
func (t *target) whyNot(ctx context.Context) (reasoned, error) {
	path := t.named()
	if t.daemon != nil { // it knows what failed
		return told[reasoned](ctx, t.daemon, "why", path)
	}
	return t.why(ctx, path)
}

func (r reasoned) print(f *format) error {
	reason := ""
	if r.Reason != nil {
		reason = printable(*r.Reason)
	}
	var err error
	switch {
	case f.json:
		err = printJSON(os.Stdout, r)
	case f.quiet:
		_, err = fmt.Println(reason)
	case r.Available && reason == "":
		_, err = fmt.Printf("%s: available\n", printable(r.Path))
	case r.Available:
		_, err = fmt.Printf("%s: available: %s\n", printable(r.Path), reason)
	default:
		_, err = fmt.Printf("%s: not available: %s\n", printable(r.Path), reason)
		if r.Remedy != nil && err == nil {
			_, err = fmt.Println(printable(*r.Remedy))
		}
	}
	return err
}

// absent makes of the error that a target was not found what a person would want to know: why it is not there.
func (t *target) absent(ctx context.Context, err error) error {
	if !errors.Is(err, fault.Absent) {
		return fault.In(t.given, err)
	}
	if name, _, _ := strings.Cut(t.path, "/"); t.missing != "" {
		if _, err := t.store.Dir(ctx, name); err != nil { // most likely a slip of the pen
			return fault.In(t.given, fault.New(fault.Absent, "no such file or folder, and no model %s in %s", name, t.missing))
		}
	}
	answer, failed := t.whyNot(ctx)
	if failed != nil || answer.Available || answer.Reason == nil {
		return fault.In(t.given, err)
	}
	reason := fault.New(fault.Absent, "%s", *answer.Reason)
	if answer.Remedy != nil {
		reason.Remedy = *answer.Remedy
	}
	return fault.In(t.given, reason)
}
