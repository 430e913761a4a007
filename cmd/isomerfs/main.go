// Command isomerfs shows one stored copy of a model as plain files of every format and precision its users need.
//
// This package is flags and words: it opens a store and a cache, mounts, and prints what tree, cache and fs say. Results
// go to stdout, talk goes to stderr. Exit codes: 0 done; 1 no, with the reason on stderr; 2 wrong usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	var code int
	if words, ok := calledAsHelper(os.Args); ok {
		code = runHelper(ctx, words)
	} else {
		code = run(ctx, os.Args[1:])
	}
	stop()
	os.Exit(code)
}

// run is the program: what main does, without the end of the process.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	return tell(root.ExecuteContext(ctx))
}
