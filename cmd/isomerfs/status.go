package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func statusCommand() *cobra.Command {
	var watch string
	cmd := &cobra.Command{
		Use:     "status [--watch[=TIME]]",
		Short:   "the mounts of this host: passthrough, conversions under way, cache",
		GroupID: groupMount,
		Example: `  isomerfs status
  isomerfs status --watch=5s`,
		Args: arguments(0),
	}
	f := formatFlags(cmd, "the mount points")
	cmd.Flags().StringVarP(&watch, "watch", "w", "", "print again after TIME, until interrupted")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if watch == "" {
			return printStatus(cmd.Context(), f)
		}
		every, err := parseTime(watch)
		if err != nil {
			return misuse(cmd, "--watch: %v", err)
		}
		return watchStatus(cmd.Context(), f, every)
	}
	return cmd
}

func watchStatus(ctx context.Context, f *format, every time.Duration) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for first := true; ; first = false {
		if terminal(os.Stdout) && !f.json {
			fmt.Print("\x1b[H\x1b[2J")
		} else if !first && !f.json && !f.quiet {
			fmt.Println()
		}
		if err := printStatus(ctx, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done(): // that is how it ends
			return nil
		case <-ticks.C:
		}
	}
}

func printStatus(ctx context.Context, f *format) error {
	all, err := hostStatus(ctx)
	if err != nil {
		return err
	}
	if f.json || f.quiet {
		rows := listing[mounted]{format: f, name: func(m mounted) string { return m.Mountpoint }}
		for _, m := range all {
			if err := rows.add(m); err != nil {
				return err
			}
		}
		return rows.close()
	}
	for i, m := range all {
		if i > 0 {
			fmt.Println()
		}
		if err := m.print(); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "isomerfs: nothing is mounted")
	}
	return nil
}

// hostStatus is every mount of this host, in the order of their mount points. All daemons are asked at once, and none
// for longer than it takes to see that it does not answer.
func hostStatus(ctx context.Context) ([]mounted, error) {
	table, err := mounts()
	if err != nil {
		return nil, err
	}
	all := make([]mounted, len(table))
	var asked sync.WaitGroup
	for i, m := range table {
		asked.Go(func() {
			s, err := askStatus(ctx, m)
			if err != nil {
				s = unanswered(m)
			}
			s.Mountpoint = m.point // of a bind mount, another one than the daemon's own
			all[i] = s
		})
	}
	asked.Wait()
	sort.SliceStable(all, func(i, j int) bool { return all[i].Mountpoint < all[j].Mountpoint })
	return all, ctx.Err()
}

func askStatus(ctx context.Context, m mount) (mounted, error) {
	d, err := dial(ctx, m)
	if err != nil {
		return mounted{}, err
	}
	s, err := d.status(ctx)
	s.Fills = list(s.Fills)
	return s.mounted, err
}

// unanswered is the status of a mount whose daemon says nothing: what the mount table knows.
func unanswered(m mount) mounted {
	return mounted{
		Mountpoint: m.point, Store: m.source, Fills: []filling{},
		Passthrough: passthrough{Reason: given("the daemon does not answer")},
	}
}

func (m mounted) print() error {
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(out, "%s\n", printable(m.Mountpoint))
	fmt.Fprintf(out, "  store\t%s\n", printable(m.Store))
	if m.PID == nil {
		fmt.Fprintf(out, "  daemon\tdoes not answer (umount -l %s lifts a mount whose daemon has died)\n", printable(m.Mountpoint))
		return out.Flush()
	}
	fmt.Fprintf(out, "  daemon\tprocess %d%s\n", *m.PID, since(m.Since))
	fmt.Fprintf(out, "  passthrough\t%s\n", m.Passthrough)
	c := m.Cache
	if c.Dir != nil && c.Used != nil && c.Files != nil {
		limit := "no limit"
		if c.Limit != nil {
			limit = size(*c.Limit)
		}
		fmt.Fprintf(out, "  cache\t%s of %s in %s, %s\n", size(*c.Used), limit, plural(*c.Files, "file"), printable(*c.Dir))
	}
	if m.Log != nil {
		fmt.Fprintf(out, "  log\t%s\n", printable(*m.Log))
	}
	for _, f := range m.Fills {
		part := 100.0
		if f.Size > 0 {
			part = 100 * float64(f.Done) / float64(f.Size)
		}
		fmt.Fprintf(out, "  converting\t%s\t%s of %s (%.0f %%)\n", printable(f.Path), size(f.Done), size(f.Size), part)
	}
	return out.Flush()
}

func (p passthrough) String() string {
	on := func(b *bool) string {
		switch {
		case b == nil:
			return "unknown"
		case *b:
			return "on"
		}
		return "off"
	}
	text := fmt.Sprintf("cache %s, store %s", on(p.Cache), on(p.Store))
	if p.Reason != nil {
		text += ": " + printable(*p.Reason)
	}
	return text
}

func since(when *string) string {
	if when == nil {
		return ""
	}
	t, err := time.Parse(time.RFC3339, *when)
	if err != nil {
		return ""
	}
	return " since " + strings.TrimSuffix(t.Local().Format("2006-01-02 15:04:05"), ":00")
}
